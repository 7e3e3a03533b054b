//! What happens to a subscription of ours in another domain, and what follows. RFC 6665 4.1
//!
//! | what happens | what follows |
//! |---|---|
//! | a list's subscription wants it | SUBSCRIBE, unless there is one, or it was refused for good to the same ones |
//! | 2xx to SUBSCRIBE | a NOTIFY within 64*T1 (4.1.2.4), or it is `probation` |
//! | 423 | SUBSCRIBE with the time that is asked for, once |
//! | 401, 403, 407, 603, 607 | `rejected`, for good |
//! | 404, 410, 604, a package or type that is not known | `noresource`, for good |
//! | silence, another refusal | `probation`; SUBSCRIBE again, later and later, or when Retry-After says |
//! | NOTIFY `active`, `pending` | that is its state, and its document is shown |
//! | NOTIFY with the document of another entity | 400, and nothing is shown until there is one of its own (RFC 3863 4.1.1) |
//! | NOTIFY `terminated`: deactivated, timeout, none | SUBSCRIBE again at once; what is known stays shown |
//! | NOTIFY `terminated`: probation, giveup | the same later |
//! | NOTIFY `terminated`: rejected, noresource, invariant | that is its state, for good |
//! | its time is nearly over | SUBSCRIBE inside the dialog; after 481 a new one (4.1.2.2) |
//! | nobody wants it any more | SUBSCRIBE with Expires 0, and the record goes |
//!
//! One notifier is listened to: another one, of a fork, gets 481 and forgets us (RFC 3856 6.9).

use bytes::Bytes;
use sip_dialog::sequence::is_in_order;

use super::record::{Ask, AskKind, Dialog, Sought, State, Want};
use crate::engine::PATIENCE_MS;

/// How long a subscription is asked for, in seconds: the usual time of the package (RFC 3856 6.4).
const EXPIRES_S: u32 = 3_600;
/// The longest time that is asked for because the other domain takes no shorter one.
const LONGEST_EXPIRES_S: u32 = 86_400;
/// A want lasts so long unless it is said again: longer than any subscription to a list without a refresh.
pub const WANTED_MS: u64 = 2 * 3_600_000;
/// Subscriptions to lists that want the same for the same watcher; further ones see it too, and are not told of its changes.
const MOST_WANTS: usize = 64;
/// 64*T1: after it no first NOTIFY comes any more.
const NOTIFIED_MS: u64 = 32_000;
/// When an unanswered request is looked after: its replica may have died.
const ASK_LOOK_MS: u64 = 5_000;
/// The pause after the first failure; it doubles.
const FIRST_PAUSE_MS: u64 = 30_000;
const LONGEST_PAUSE_MS: u64 = 3_600_000;
/// What was refused for good is tried again for another subscription to a list, but not at once.
const REFUSED_MS: u64 = 60_000;
const NEVER: u64 = u64::MAX;
/// The answer to a document of somebody else.
const OF_ANOTHER: u32 = 400;
/// Route values of a dialog, and octets of all that it keeps of what the notifier says.
const MOST_ROUTES: usize = 32;
const MOST_KEPT: usize = 8_192;

/// What may happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened<'a> {
    /// This subscription to a list wants it.
    Wanted(&'a str),
    /// This one does not any more.
    Released(&'a str),
    /// Its time may have come.
    Look,
    /// The request of this number was answered.
    Answered(u32, &'a Answer),
    /// A NOTIFY came.
    Notified(&'a Notified),
}

/// The answer to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Status; 408 when nobody answered, 503 when there was no way.
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
    /// Min-Expires in seconds.
    pub min_expires_s: Option<u32>,
    /// Retry-After in seconds.
    pub retry_after_s: Option<u32>,
}

/// A NOTIFY, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notified {
    /// Call-ID.
    pub call_id: String,
    /// Our tag, in To.
    pub to_tag: String,
    /// The notifier's, in From.
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
    /// The presence document; `None` when it has none.
    pub document: Option<Told>,
}

/// A presence document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Address of record of whose presence it says it is; `None` when it names nobody.
    pub of: Option<String>,
    /// The document.
    pub document: Bytes,
}

/// What a NOTIFY says of its subscription (RFC 6665 4.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotifyState {
    /// It tells, for so many seconds when it says so.
    Active(Option<u32>),
    /// Nobody has decided about it.
    Pending(Option<u32>),
    /// It is over, for this reason, and may be asked for again after so many seconds when it says so.
    Terminated(String, Option<u32>),
}

/// What follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// There is a new request in the record, which is to be sent.
    pub asks: bool,
    /// Watchers see something else now.
    pub tells: bool,
    /// Nothing is left of it: the record goes.
    pub is_over: bool,
    /// The status of the answer to a NOTIFY.
    pub status: u32,
    /// Its document is of somebody else.
    pub is_of_another: bool,
}

/// What somebody begins to seek.
pub fn begin(id: String, watcher: &str, member: &str, secret: String) -> Sought {
    let (watcher, member) = (watcher.to_owned(), member.to_owned());
    Sought { id, watcher, member, secret, expires_s: EXPIRES_S, ..Sought::default() }
}

impl Sought {
    /// Applies what happened.
    pub fn step(&mut self, happened: &Happened<'_>, now_ms: u64) -> Step {
        let asked = self.asked;
        let shown = (self.state, self.reason.clone(), self.document.clone());
        let status = match happened {
            Happened::Wanted(subscription) => {
                self.want(subscription, now_ms);
                0
            }
            Happened::Released(subscription) => {
                self.wants.retain(|want| want.subscription != *subscription);
                0
            }
            Happened::Look => 0,
            Happened::Answered(number, answer) => {
                self.answered(*number, answer, now_ms);
                0
            }
            Happened::Notified(notified) => self.notified(notified, now_ms),
        };
        self.wants.retain(|want| want.until_ms > now_ms);
        let is_over = self.go_on(now_ms);
        let tells = shown != (self.state, self.reason.clone(), self.document.clone());
        let tells = tells && !self.wants.is_empty();
        Step { asks: self.asked != asked, tells, is_over, status, is_of_another: status == OF_ANOTHER }
    }

    /// When to look again.
    pub fn due_ms(&self, now_ms: u64) -> u64 {
        if let Some(ask) = &self.ask {
            return (now_ms + ASK_LOOK_MS).min(ask.since_ms + PATIENCE_MS);
        }
        let unwanted = self.wants.iter().map(|want| want.until_ms).min().unwrap_or(now_ms);
        let next = self.dialog.as_ref().map_or(self.retry_ms, |dialog| dialog.renew_ms.min(dialog.expire_ms));
        unwanted.min(next).max(now_ms)
    }

    fn want(&mut self, subscription: &str, now_ms: u64) {
        let until_ms = now_ms + WANTED_MS;
        if let Some(known) = self.wants.iter_mut().find(|want| want.subscription == subscription) {
            known.until_ms = until_ms;
            return;
        }
        if self.wants.len() < MOST_WANTS {
            self.wants.push(Want { subscription: subscription.to_owned(), until_ms });
        }
        if self.retry_ms == NEVER && now_ms >= self.end_ms + REFUSED_MS {
            self.retry_ms = now_ms;
        }
    }

    /// Asks for what is due; returns whether nothing is left to do.
    fn go_on(&mut self, now_ms: u64) -> bool {
        if let Some(ask) = &self.ask {
            if now_ms < ask.since_ms + PATIENCE_MS {
                return false;
            }
            let (number, silence) = (ask.number, Answer { status: 408, ..Answer::default() });
            self.answered(number, &silence, now_ms);
        }
        if self.wants.is_empty() {
            let ends = |dialog: &Dialog| !dialog.remote_target.is_empty() && now_ms < dialog.expire_ms;
            if !self.dialog.as_ref().is_some_and(ends) {
                return true;
            }
            self.ask(AskKind::Unsubscribe, now_ms);
            return false;
        }
        match &self.dialog {
            None if now_ms >= self.retry_ms => self.subscribe(now_ms),
            None => {}
            Some(dialog) if dialog.remote_cseq.is_none() && now_ms >= dialog.renew_ms => {
                self.lose(now_ms);
                self.fail("probation", None, now_ms);
            }
            // It was not refreshed in time, whatever the reason: what was known is known no more.
            Some(dialog) if now_ms >= dialog.expire_ms => {
                self.lose(now_ms);
                self.fail("probation", Some(0), now_ms);
                self.subscribe(now_ms);
            }
            Some(dialog) if now_ms >= dialog.renew_ms => self.ask(AskKind::Renew, now_ms),
            Some(_) => {}
        }
        false
    }

    fn subscribe(&mut self, now_ms: u64) {
        self.subscriptions += 1;
        self.dialog = Some(Dialog {
            tag: format!("{}.{}.{:x}", self.id, self.secret, self.subscriptions),
            expire_ms: now_ms + u64::from(self.expires_s) * 1_000,
            renew_ms: now_ms + PATIENCE_MS + NOTIFIED_MS,
            ..Dialog::default()
        });
        self.ask(AskKind::Subscribe, now_ms);
    }

    fn ask(&mut self, kind: AskKind, now_ms: u64) {
        let Some(dialog) = &mut self.dialog else { return };
        dialog.local_cseq += 1;
        self.asked += 1;
        self.ask = Some(Ask { number: self.asked, kind: kind.into(), since_ms: now_ms });
    }

    fn answered(&mut self, number: u32, answer: &Answer, now_ms: u64) {
        let Some(ask) = self.ask.take_if(|ask| ask.number == number) else { return };
        match (ask.kind(), answer.status) {
            (AskKind::Subscribe | AskKind::Renew, 200..=299) => self.subscribed(answer, now_ms),
            (AskKind::Subscribe, 423) => {
                let least_s = answer.min_expires_s.unwrap_or(0).min(LONGEST_EXPIRES_S);
                self.lose(now_ms);
                if least_s > self.expires_s {
                    self.expires_s = least_s;
                    self.retry_ms = now_ms;
                } else {
                    self.fail("probation", None, now_ms);
                }
            }
            (AskKind::Subscribe, status) => {
                self.lose(now_ms);
                match lasting(status) {
                    Some(reason) => self.refused(reason, now_ms),
                    None => self.fail("probation", answer.retry_after_s, now_ms),
                }
            }
            // RFC 6665 4.1.2.2: it is not known there any more
            (AskKind::Renew, 404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 604) => {
                self.lose(now_ms);
                self.retry_ms = now_ms;
            }
            // RFC 6665 4.1.2.2: it goes on until its time is over
            (AskKind::Renew, _) => {
                let pause = pause_ms(0).max(u64::from(answer.retry_after_s.unwrap_or(0)) * 1_000);
                if let Some(dialog) = &mut self.dialog {
                    dialog.renew_ms = now_ms + pause;
                }
            }
            (AskKind::Unsubscribe | AskKind::Unspecified, _) => {
                self.lose(now_ms);
                // Somebody may have come to want it meanwhile.
                self.retry_ms = now_ms;
            }
        }
    }

    fn subscribed(&mut self, answer: &Answer, now_ms: u64) {
        let asked_s = self.expires_s;
        let Some(dialog) = &mut self.dialog else { return };
        let is_new = dialog.remote_tag.is_empty();
        if is_new && answer.kept() <= MOST_KEPT {
            dialog.remote_tag.clone_from(&answer.to_tag);
            dialog.route = answer.route.iter().take(MOST_ROUTES).cloned().collect();
        }
        if dialog.remote_tag == answer.to_tag && !answer.contact.is_empty() && answer.kept() <= MOST_KEPT {
            dialog.remote_target.clone_from(&answer.contact);
            dialog.flow.clone_from(&answer.flow);
        }
        // RFC 6665 3.1.1: never more than was asked for
        dialog.lasts(answer.expires_s.unwrap_or(asked_s).min(asked_s), now_ms);
        if dialog.remote_cseq.is_none() {
            dialog.renew_ms = now_ms + NOTIFIED_MS;
        }
    }

    /// Whether a dialog of this name is the one that runs. The tag of the notifier is known only once it has said something (RFC 6665 4.4.1).
    pub fn is_dialog(&self, call_id: &str, tag: &str) -> bool {
        self.dialog.as_ref().is_some_and(|dialog| dialog.tag == tag && self.call_id(dialog) == call_id)
    }

    /// The Call-ID of a dialog that this one began.
    pub fn call_id(&self, dialog: &Dialog) -> String {
        let host = self.watcher.rsplit_once('@').map_or("", |(_, host)| host);
        format!("{}@{host}", crate::repository::digest(&["elsewhere", &dialog.tag]))
    }

    /// Takes a NOTIFY; the status of its answer.
    fn notified(&mut self, notified: &Notified, now_ms: u64) -> u32 {
        // RFC 6665 4.1.3: what matches no subscription
        let is_ours = self.is_dialog(&notified.call_id, &notified.to_tag);
        let Some(dialog) = self.dialog.as_mut().filter(|_| is_ours) else {
            return 481;
        };
        let kept = notified.route.iter().map(String::len).sum::<usize>()
            + notified.contact.len()
            + notified.from_tag.len();
        if kept > MOST_KEPT {
            return 513;
        }
        if dialog.remote_tag.is_empty() {
            // RFC 6665 4.4.1: it may come before the answer to the SUBSCRIBE
            dialog.remote_tag.clone_from(&notified.from_tag);
            dialog.route = notified.route.iter().take(MOST_ROUTES).cloned().collect();
        } else if dialog.remote_tag != notified.from_tag {
            return 481;
        }
        if dialog.remote_cseq == Some(notified.cseq) {
            return 200;
        }
        if !is_in_order(dialog.remote_cseq, notified.cseq) {
            return 500;
        }
        let is_first = dialog.remote_cseq.is_none();
        dialog.remote_cseq = Some(notified.cseq);
        if !notified.contact.is_empty() {
            dialog.remote_target.clone_from(&notified.contact);
            dialog.flow.clone_from(&notified.flow);
        }
        let lasts = |dialog: &mut Dialog, left_s: Option<u32>| {
            let known_s = dialog.expire_ms.saturating_sub(now_ms).div_ceil(1_000);
            let known_s = u32::try_from(known_s).unwrap_or(u32::MAX);
            // RFC 6665 4.1.3: a NOTIFY may make it shorter, and never longer
            if is_first || left_s.is_some_and(|left_s| left_s < known_s) {
                dialog.lasts(left_s.unwrap_or(known_s).min(known_s), now_ms);
            }
        };
        let is_of_another = notified.document.as_ref().is_some_and(|told| !told.is_of(&self.member));
        match &notified.state {
            // A domain speaks for its own: what it says of others is shown to nobody, and what was known holds no more.
            NotifyState::Active(left_s) if is_of_another => {
                lasts(dialog, *left_s);
                self.show(State::Pending, "");
                self.document = Bytes::new();
                return OF_ANOTHER;
            }
            NotifyState::Active(left_s) => {
                lasts(dialog, *left_s);
                self.failures = 0;
                self.show(State::Active, "");
                if let Some(told) = &notified.document {
                    self.document.clone_from(&told.document);
                }
            }
            NotifyState::Pending(left_s) => {
                lasts(dialog, *left_s);
                self.failures = 0;
                self.show(State::Pending, "");
                self.document = Bytes::new();
            }
            NotifyState::Terminated(reason, retry_after_s) => {
                // The last word to an end of ours changes nothing that anybody sees.
                let is_ours = self.ask.as_ref().is_some_and(|ask| ask.kind() == AskKind::Unsubscribe);
                self.ask = None;
                self.lose(now_ms);
                match reason.as_str() {
                    _ if is_ours => self.retry_ms = now_ms,
                    "rejected" => self.refused("rejected", now_ms),
                    "noresource" | "invariant" => self.refused("noresource", now_ms),
                    "probation" | "giveup" => self.fail("probation", *retry_after_s, now_ms),
                    // RFC 6665 4.1.3: it is asked for anew at once; one that ends again and again is not
                    _ => {
                        let again = retry_after_s.map_or(0, |seconds| u64::from(seconds) * 1_000);
                        let pause = if self.failures == 0 { 0 } else { pause_ms(self.failures - 1) };
                        self.retry_ms = now_ms + again.max(pause);
                        self.failures += 1;
                    }
                }
            }
        }
        200
    }

    fn show(&mut self, state: State, reason: &str) {
        self.set_state(state);
        reason.clone_into(&mut self.reason);
    }

    /// There is no subscription any more.
    fn lose(&mut self, now_ms: u64) {
        (self.dialog, self.end_ms, self.retry_ms) = (None, now_ms, NEVER);
    }

    /// Nothing more is asked for those who want it now.
    fn refused(&mut self, reason: &str, now_ms: u64) {
        self.show(State::Terminated, reason);
        (self.document, self.retry_ms, self.end_ms) = (Bytes::new(), NEVER, now_ms);
    }

    /// It is asked for again later.
    fn fail(&mut self, reason: &str, retry_after_s: Option<u32>, now_ms: u64) {
        self.show(State::Terminated, reason);
        self.document = Bytes::new();
        let asked_ms = u64::from(retry_after_s.unwrap_or(0)) * 1_000;
        self.retry_ms = now_ms + pause_ms(self.failures).max(asked_ms.min(LONGEST_PAUSE_MS));
        self.failures += 1;
    }
}

impl Told {
    /// Whether it is of this one, by a secure name or not.
    fn is_of(&self, member: &str) -> bool {
        let address = |uri: &str| uri.split_once(':').map(|(_, address)| address.to_owned());
        self.of.as_deref().is_some_and(|of| address(of) == address(member))
    }
}

impl Dialog {
    /// It lasts so long from now on, and is refreshed when nine tenths of that are over.
    fn lasts(&mut self, seconds: u32, now_ms: u64) {
        let lasts_ms = u64::from(seconds) * 1_000;
        self.expire_ms = now_ms + lasts_ms;
        self.renew_ms = now_ms + lasts_ms - lasts_ms / 10;
    }
}

impl Answer {
    fn kept(&self) -> usize {
        self.route.iter().map(String::len).sum::<usize>() + self.contact.len() + self.to_tag.len()
    }
}

/// What a refusal says that will not be different the next time.
fn lasting(status: u32) -> Option<&'static str> {
    match status {
        401 | 403 | 407 | 603 | 607 => Some("rejected"),
        404 | 405 | 406 | 410 | 415 | 416 | 420 | 421 | 484 | 485 | 489 | 501 | 604 => Some("noresource"),
        _ => None,
    }
}

fn pause_ms(failures: u32) -> u64 {
    (FIRST_PAUSE_MS << failures.min(8)).min(LONGEST_PAUSE_MS)
}

#[cfg(test)]
mod tests;
