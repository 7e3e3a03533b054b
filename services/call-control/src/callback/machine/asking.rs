//! How the phone of the awaited party is asked whether it is free: by a subscription to its dialogs (RFC 4235), and where it takes none,
//! by OPTIONS, which is answered as an INVITE would be (RFC 3261 11.2). LAD-6
//!
//! | what comes                              | what follows                                                   |
//! |-----------------------------------------|----------------------------------------------------------------|
//! | nothing yet                             | SUBSCRIBE                                                      |
//! | 2xx to it                               | a NOTIFY within 64*T1, or the phone is asked by OPTIONS         |
//! | a refusal of it (489, 405, 403, 603, ...) | OPTIONS every 30 s: 486 or 600 is busy, an answer of a phone free |
//! | NOTIFY with dialogs, all over           | free                                                           |
//! | NOTIFY with another dialog              | busy                                                           |
//! | NOTIFY that misses a version            | SUBSCRIBE inside the dialog: everything is told anew            |
//! | its time, or ten minutes, are nearly over | SUBSCRIBE inside the dialog                                  |
//! | 481 or silence to that; NOTIFY terminated | SUBSCRIBE anew; OPTIONS after three in a row, or when it says never |
//! | the end of the callback                 | SUBSCRIBE with Expires 0                                       |
//!
//! Of several phones of the party, the one that says something first is listened to; others get 481 and forget us (RFC 6665 4.4.1).

use sip_body::told_dialogs::{ToldDialog, ToldDialogs};
use sip_dialog::sequence::is_in_order;

use super::Callback;
use super::record::{Ask, AskKind, Awaited, Said, State, Subscription};

/// How long a subscription is asked for.
const EXPIRES_S: u32 = 3_600;
/// How long one is asked for to who called in and is about to hang up.
const EXPIRES_OF_CALLER_S: u32 = 60;
/// A subscription is renewed at least so often: what a lost NOTIFY would have said is told again.
const RENEWED_MS: u64 = 600_000;
/// 64*T1: after it no first NOTIFY comes any more (RFC 6665 4.1.2.4).
const NOTIFIED_MS: u64 = 32_000;
/// The pause between two OPTIONS.
const POLL_MS: u64 = 30_000;
/// A request is given up after this time: the transaction of an edge (64*T1) and slack.
const PATIENCE_MS: u64 = 45_000;
/// When an unanswered request is looked after: its replica may have died.
const ASK_LOOK_MS: u64 = 5_000;
/// Subscriptions in a row of which nothing came.
const MOST_FAILURES: u32 = 3;
/// Dialogs of a phone that are remembered.
const MOST_DIALOGS: usize = 64;
/// Octets of the id of one.
const LONGEST_ID: usize = 256;
/// Route values of a dialog.
const MOST_ROUTES: usize = 32;

/// The answer to a request of a callback.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// SIP status; 408 when nobody answered, 503 when there was no way.
    pub status: u32,
    /// Tag of To.
    pub to_tag: String,
    /// URI of Contact.
    pub contact: String,
    /// Route set, in the order in which requests of ours travel.
    pub route: Vec<String>,
    /// Flow token.
    pub flow: String,
    /// Expires in seconds, when it says so.
    pub expires_s: Option<u32>,
}

/// A NOTIFY as far as it matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// Number of the subscription, as its Call-ID says.
    pub number: u32,
    /// Tag of From: the notifier's.
    pub from_tag: String,
    /// CSeq.
    pub cseq: u32,
    /// URI of Contact; empty for none.
    pub contact: String,
    /// Route set, in the order in which requests of ours travel.
    pub route: Vec<String>,
    /// Flow token.
    pub flow: String,
    /// What it says of the subscription.
    pub state: NotifyState,
    /// The dialogs, when it tells of them.
    pub info: Option<ToldDialogs>,
}

/// What a NOTIFY says of its subscription (RFC 6665 4.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotifyState {
    /// It goes on, for so many seconds when it says so.
    Goes(Option<u32>),
    /// It is over, and may be asked for again.
    Over,
    /// It is over, and will be refused.
    Refused,
}

impl Default for NotifyState {
    fn default() -> Self {
        Self::Goes(None)
    }
}

impl Callback {
    /// Asks for what is not known yet, unless that is being asked for.
    pub(super) fn ask_whether_free(&mut self, now_ms: u64) {
        if self.ask.is_some() {
            return;
        }
        if let Some(subscription) = &self.subscription {
            let is_silent = subscription.remote_cseq == 0;
            if now_ms >= subscription.expire_ms || (is_silent && now_ms >= subscription.renew_ms) {
                self.lose_subscription(is_silent);
            }
        }
        match &self.subscription {
            _ if self.polls && now_ms >= self.poll_ms => {
                self.poll_ms = now_ms + POLL_MS;
                self.ask(AskKind::Options, now_ms);
            }
            _ if self.polls => {}
            None => self.subscribe(now_ms),
            Some(subscription) if now_ms >= subscription.renew_ms => self.renew(now_ms),
            Some(_) => {}
        }
    }

    fn subscribe(&mut self, now_ms: u64) {
        self.subscriptions += 1;
        self.subscription = Some(Subscription {
            number: self.subscriptions,
            local_cseq: 1,
            expire_ms: now_ms + u64::from(self.wanted_s()) * 1_000,
            renew_ms: now_ms + PATIENCE_MS,
            ..Subscription::default()
        });
        self.ask(AskKind::Subscribe, now_ms);
    }

    fn renew(&mut self, now_ms: u64) {
        self.ask_within(AskKind::Renew, now_ms);
    }

    /// Ends what is subscribed to. What is not answered yet is ended when it is.
    pub(super) fn unsubscribe(&mut self, now_ms: u64) {
        let is_established = self.subscription.as_ref().is_some_and(|known| {
            !known.remote_tag.is_empty() && !known.remote_target.is_empty() && now_ms < known.expire_ms
        });
        match self.ask.as_ref().map(Ask::kind) {
            Some(AskKind::Subscribe | AskKind::Renew | AskKind::Unsubscribe) => {}
            Some(AskKind::Options | AskKind::Unspecified) | None => {
                self.ask = None;
                if is_established {
                    self.ask_within(AskKind::Unsubscribe, now_ms);
                }
            }
        }
    }

    fn ask_within(&mut self, kind: AskKind, now_ms: u64) {
        if let Some(subscription) = &mut self.subscription {
            subscription.local_cseq += 1;
            self.ask(kind, now_ms);
        }
    }

    fn ask(&mut self, kind: AskKind, now_ms: u64) {
        self.asked += 1;
        self.ask = Some(Ask { number: self.asked, kind: kind.into(), since_ms: now_ms });
    }

    /// How long a subscription is asked for, in seconds.
    pub fn wanted_s(&self) -> u32 {
        match self.waits_for() {
            Awaited::To => EXPIRES_S,
            Awaited::From => EXPIRES_OF_CALLER_S,
        }
    }

    /// A request that nobody answered for too long.
    pub(super) fn give_up_asking(&mut self, now_ms: u64) {
        if let Some(ask) = &self.ask
            && now_ms >= ask.since_ms + PATIENCE_MS
        {
            let silence = Answer { status: 408, ..Answer::default() };
            self.answered(ask.number, &silence, now_ms);
        }
    }

    pub(super) fn answered(&mut self, number: u32, answer: &Answer, now_ms: u64) {
        let Some(ask) = self.ask.take_if(|ask| ask.number == number) else { return };
        let is_ok = (200..300).contains(&answer.status);
        match ask.kind() {
            AskKind::Subscribe | AskKind::Renew if is_ok => self.subscribed(answer, now_ms),
            // RFC 6665 4.1.2.2: it is gone, or its phone is
            AskKind::Renew => self.lose_subscription(false),
            AskKind::Subscribe => self.poll_instead(),
            AskKind::Options => {
                self.said = match answer.status {
                    486 | 600 => Said::Busy,
                    // Whoever has no OPTIONS is there
                    501 => Said::Free,
                    403 | 404 | 408 | 410 | 430 | 480 | 481 | 483 | 500.. => Said::Nothing,
                    _ => Said::Free,
                }
                .into();
            }
            AskKind::Unsubscribe | AskKind::Unspecified => {}
        }
        if self.is_over() && matches!(ask.kind(), AskKind::Subscribe | AskKind::Renew) {
            self.unsubscribe(now_ms);
        }
    }

    fn subscribed(&mut self, answer: &Answer, now_ms: u64) {
        let wanted_s = self.wanted_s();
        let Some(subscription) = &mut self.subscription else { return };
        if subscription.remote_tag.is_empty() {
            subscription.remote_tag.clone_from(&answer.to_tag);
            subscription.route = answer.route.iter().take(MOST_ROUTES).cloned().collect();
        }
        if subscription.remote_tag == answer.to_tag && !answer.contact.is_empty() {
            subscription.remote_target.clone_from(&answer.contact);
            subscription.flow.clone_from(&answer.flow);
        }
        let given_s = answer.expires_s.unwrap_or(wanted_s).min(wanted_s);
        subscription.lasts(given_s, now_ms);
        if subscription.remote_cseq == 0 {
            subscription.renew_ms = now_ms + NOTIFIED_MS;
        }
    }

    /// The subscription is no more, or nothing comes of it.
    fn lose_subscription(&mut self, is_useless: bool) {
        self.subscription = None;
        self.said = Said::Nothing.into();
        self.failures += 1;
        if is_useless || self.failures >= MOST_FAILURES {
            self.polls = true;
        }
    }

    fn poll_instead(&mut self) {
        self.subscription = None;
        self.said = Said::Nothing.into();
        self.polls = true;
    }

    /// Takes a NOTIFY; gives the status of its answer.
    pub(super) fn notified(&mut self, notify: &Notify, now_ms: u64) -> u32 {
        let is_over = self.is_over();
        // RFC 6665 4.1.3: what matches no subscription
        let Some(subscription) = self.subscription.as_mut().filter(|known| known.number == notify.number)
        else {
            return 481;
        };
        if subscription.remote_tag.is_empty() {
            // RFC 6665 4.4.1: it may come before the answer to the SUBSCRIBE
            subscription.remote_tag.clone_from(&notify.from_tag);
            subscription.route = notify.route.iter().take(MOST_ROUTES).cloned().collect();
        } else if subscription.remote_tag != notify.from_tag {
            return 481;
        }
        let last = (subscription.remote_cseq > 0).then_some(subscription.remote_cseq);
        if last == Some(notify.cseq) {
            return 200;
        }
        if !is_in_order(last, notify.cseq) {
            return 500;
        }
        subscription.remote_cseq = notify.cseq;
        if !notify.contact.is_empty() {
            subscription.remote_target.clone_from(&notify.contact);
            subscription.flow.clone_from(&notify.flow);
        }
        match notify.state {
            NotifyState::Over | NotifyState::Refused if is_over => return 200,
            NotifyState::Over => {
                self.lose_subscription(false);
                return 200;
            }
            NotifyState::Refused => {
                self.poll_instead();
                return 200;
            }
            NotifyState::Goes(left_s) => {
                let left_s = left_s.unwrap_or(u32::MAX);
                let known_s = subscription.expire_ms.saturating_sub(now_ms) / 1_000;
                subscription.lasts(u32::try_from(known_s).unwrap_or(u32::MAX).min(left_s), now_ms);
            }
        }
        if let Some(info) = &notify.info {
            self.failures = 0;
            self.take(info, now_ms);
        }
        200
    }

    /// What a document says. RFC 4235 4.3
    fn take(&mut self, info: &ToldDialogs, now_ms: u64) {
        let Some(subscription) = &mut self.subscription else { return };
        let is_next = subscription.version.is_some_and(|version| info.version == version.wrapping_add(1));
        let is_old = subscription.version.is_some_and(|version| info.version <= version);
        if is_old {
            return;
        }
        if !info.is_full && !is_next {
            // One is missing: all is told anew
            if self.ask.is_none() && !self.is_over() {
                self.renew(now_ms);
            }
            return;
        }
        subscription.version = Some(info.version);
        if info.is_full {
            subscription.dialogs.clear();
        }
        for ToldDialog { id, is_terminated } in
            info.dialogs.iter().filter(|dialog| dialog.id.len() <= LONGEST_ID)
        {
            subscription.dialogs.retain(|known| known != id);
            if !is_terminated && subscription.dialogs.len() < MOST_DIALOGS {
                subscription.dialogs.push(id.clone());
            }
        }
        self.said = if subscription.dialogs.is_empty() { Said::Free } else { Said::Busy }.into();
    }

    /// When the request under way is looked after.
    pub(super) fn ask_due_ms(&self, now_ms: u64) -> u64 {
        match &self.ask {
            Some(ask) => (now_ms + ASK_LOOK_MS).min(ask.since_ms + PATIENCE_MS).max(now_ms),
            None => u64::MAX,
        }
    }

    /// When the phone is asked again, while nothing comes of it.
    pub(super) fn asks_again_ms(&self) -> u64 {
        match (&self.subscription, self.state()) {
            _ if self.ask.is_some() => u64::MAX,
            _ if self.polls => self.poll_ms,
            (Some(subscription), _) => subscription.renew_ms.min(subscription.expire_ms),
            (None, State::Waiting) => 0,
            (None, _) => u64::MAX,
        }
    }
}

impl Subscription {
    /// It lasts so long from now on.
    fn lasts(&mut self, seconds: u32, now_ms: u64) {
        let lasts_ms = u64::from(seconds) * 1_000;
        self.expire_ms = now_ms + lasts_ms;
        self.renew_ms = now_ms + (lasts_ms - lasts_ms / 10).min(RENEWED_MS);
    }
}
