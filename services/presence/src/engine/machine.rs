//! What happens to a subscription, and what follows. RFC 6665 4.2
//!
//! | what happens | while it lives | after its end |
//! |---|---|---|
//! | SUBSCRIBE | new time, everything is told at once (4.2.1.2, 5.3.2) | not asked: 481 |
//! | SUBSCRIBE with Expires 0 | ends, everything is told once more | not asked: 481 |
//! | a look | what changed is told when the package allows; its time may be over | gone when nobody answers |
//! | 2xx to the NOTIFY | what is owed is told | gone |
//! | a refusal that says never (4.2.2), or silence | gone | gone |
//! | another refusal | everything is told again, later and later; gone after five | gone |
//!
//! One NOTIFY is under way at a time, except after a SUBSCRIBE, which is answered at once: the answer to the older one then counts
//! no more.

use super::topic::{Access, Asking, Topic};
use super::{Dialog, Filter, Notify, Package, SCHEMA, Standing, Subscription, usual_expires_s};

/// A NOTIFY without an answer is given up after this time: the transaction of an edge (64*T1) and slack.
pub const PATIENCE_MS: u64 = 45_000;
/// NOTIFYs in a row that may fail.
const MOST_FAILURES: u32 = 5;
/// The pause after the first of them; it doubles.
const FIRST_PAUSE_MS: u64 = 2_000;

/// What a SUBSCRIBE asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// CSeq.
    pub cseq: u32,
    /// URI of Contact.
    pub contact: String,
    /// Flow token of the sender; empty when its Contact leads there.
    pub flow: String,
    /// Seconds; `None` when it does not say.
    pub expires_s: Option<u32>,
}

/// What may happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A SUBSCRIBE in the dialog.
    Subscribe(&'a Asked),
    /// Its topic may have changed, or its time may have come.
    Look,
    /// The NOTIFY of this number was answered.
    Answered(u32, Answer),
    /// There is no such resource any more.
    NoResource,
}

/// The answer to a NOTIFY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status; 408 when nobody answered.
    pub status: u32,
    /// Retry-After in seconds.
    pub retry_after_s: Option<u32>,
}

/// What follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// There is a new NOTIFY in the record, which is to be sent.
    pub sends: bool,
    /// Nothing can happen any more: the record goes.
    pub is_over: bool,
}

/// Nobody may watch this who asks like that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected;

/// The subscription that an accepted SUBSCRIBE makes, with its first NOTIFY.
///
/// # Errors
/// When the watcher may not watch.
pub fn begin(
    (id, package, resource): (String, Package, String),
    (watcher, display): (String, String),
    (event_id, filter): (Option<String>, Option<Filter>),
    dialog: Dialog,
    asked: &Asked,
    topic: &dyn Topic,
    now_ms: u64,
) -> Result<Subscription, Rejected> {
    let mut begun = Subscription {
        schema: SCHEMA,
        id,
        package: package.name().to_owned(),
        resource,
        event_id,
        filter,
        dialog,
        watcher,
        display,
        create_ms: now_ms,
        ..Subscription::default()
    };
    if begun.admit(topic).is_err() {
        return Err(Rejected);
    }
    begun.renew(asked, package, now_ms);
    begun.tell_all(topic, now_ms);
    Ok(begun)
}

impl Subscription {
    /// Applies what happened.
    pub fn step(&mut self, event: &Event<'_>, topic: &dyn Topic, now_ms: u64) -> Step {
        let before = self.dialog.local_cseq;
        match event {
            Event::Subscribe(asked) => self.subscribed(asked, topic, now_ms),
            Event::Look => self.look(topic, now_ms),
            Event::Answered(number, answer) => {
                if self.notify.as_ref().is_some_and(|notify| notify.number == *number)
                    && self.answered(*answer, now_ms)
                {
                    return Step { is_over: true, sends: false };
                }
                self.look(topic, now_ms);
            }
            Event::NoResource if !self.is_ended() => self.end("noresource", now_ms),
            Event::NoResource => {}
        }
        Step { sends: self.dialog.local_cseq != before, is_over: self.is_ended() && self.notify.is_none() }
    }

    /// Takes that its NOTIFY was accepted, when nothing follows from that, and returns whether it did: what its topic says need not be
    /// known then, because whatever changes there is looked at when it changes.
    pub fn settle(&mut self, event: &Event<'_>, now_ms: u64) -> bool {
        let Event::Answered(number, Answer { status: 200..=299, .. }) = event else { return false };
        let is_it = self.notify.as_ref().is_some_and(|notify| notify.number == *number);
        let has_more = self.is_ended() || self.owes || self.is_unsure || now_ms >= self.expire_ms;
        if !is_it || has_more {
            return false;
        }
        (self.notify, self.failures, self.retry_ms) = (None, 0, 0);
        true
    }

    /// When to look again.
    pub fn due_ms(&self) -> u64 {
        let patience = self.notify.as_ref().map(|notify| notify.since_ms + PATIENCE_MS);
        match (patience, self.is_ended()) {
            (Some(patience), true) => patience,
            (Some(patience), false) => patience.min(self.expire_ms),
            (None, false) if self.owes => self.ready_ms().min(self.expire_ms),
            (None, _) => self.expire_ms,
        }
    }

    fn subscribed(&mut self, asked: &Asked, topic: &dyn Topic, now_ms: u64) {
        let Some(package) = self.package().filter(|_| !self.is_ended()) else { return };
        // RFC 6665 4.4.1: a SUBSCRIBE refreshes the target
        self.dialog.remote_cseq = asked.cseq;
        if !asked.contact.is_empty() {
            self.dialog.remote_target.clone_from(&asked.contact);
            self.dialog.flow.clone_from(&asked.flow);
        }
        (self.failures, self.retry_ms) = (0, 0);
        self.renew(asked, package, now_ms);
        if !topic.is_there() {
            return self.end("noresource", now_ms);
        }
        match self.admit(topic) {
            Ok(_) => self.tell_all(topic, now_ms),
            Err(Rejected) => self.end("rejected", now_ms),
        }
    }

    /// Takes the time that is asked for, as far as it is given.
    fn renew(&mut self, asked: &Asked, package: Package, now_ms: u64) {
        let most = usual_expires_s(package, self.filter.as_ref());
        self.granted_s = asked.expires_s.unwrap_or(most).min(most);
        self.expire_ms = now_ms + u64::from(self.granted_s) * 1_000;
        if self.granted_s == 0 {
            "timeout".clone_into(&mut self.ended);
        }
    }

    /// Whether the watcher may watch, and how it stands.
    fn admit(&mut self, topic: &dyn Topic) -> Result<bool, Rejected> {
        let standing = match topic.access(&self.watcher) {
            Access::Granted => Standing::Active,
            Access::Undecided => Standing::Pending,
            Access::Refused => return Err(Rejected),
        };
        let is_new = self.standing() != standing;
        self.was_approved |= (self.standing(), standing) == (Standing::Pending, Standing::Active);
        self.set_standing(standing);
        Ok(is_new)
    }

    fn look(&mut self, topic: &dyn Topic, now_ms: u64) {
        if let Some(notify) = &self.notify
            && now_ms >= notify.since_ms + PATIENCE_MS
        {
            // RFC 6665 4.2.2: who is silent is not told any more
            self.notify = None;
            if !self.is_ended() {
                "timeout".clone_into(&mut self.ended);
            }
        }
        if self.is_ended() {
            return;
        }
        if !topic.is_there() {
            return self.end("noresource", now_ms);
        }
        if now_ms >= self.expire_ms {
            // RFC 6665 4.2.1.4
            "timeout".clone_into(&mut self.ended);
            return self.tell_all(topic, now_ms);
        }
        match self.admit(topic) {
            Err(Rejected) => self.end("rejected", now_ms),
            // RFC 3856 6.7: a decision is told at once, with all that may be seen now
            Ok(true) => self.tell_all(topic, now_ms),
            Ok(false) => self.tell_change(topic, now_ms),
        }
    }

    fn tell_change(&mut self, topic: &dyn Topic, now_ms: u64) {
        let told = std::mem::take(&mut self.told);
        let document = topic.document(&self.asking((!self.is_unsure).then_some(&told)));
        if document.told == told && !self.is_unsure {
            (self.told, self.owes) = (told, false);
        } else if self.notify.is_some() || now_ms < self.ready_ms() {
            (self.told, self.owes) = (told, true);
        } else {
            self.notify(document, now_ms);
        }
    }

    /// The earliest time of a NOTIFY that nobody asked for.
    fn ready_ms(&self) -> u64 {
        let interval = self.package().map_or(0, Package::interval_ms);
        (self.last_ms + interval).max(self.retry_ms)
    }

    fn tell_all(&mut self, topic: &dyn Topic, now_ms: u64) {
        let document = topic.document(&self.asking(None));
        self.notify(document, now_ms);
    }

    fn asking<'a>(&'a self, told: Option<&'a Vec<u8>>) -> Asking<'a> {
        Asking {
            watcher: &self.watcher,
            standing: self.standing(),
            version: self.next_version,
            filter: self.filter.as_ref(),
            told: told.map(Vec::as_slice),
        }
    }

    fn notify(&mut self, document: super::Document, now_ms: u64) {
        self.next_version = self.next_version.wrapping_add(1);
        self.told = document.told;
        self.send(document.content_type, document.body, now_ms);
    }

    /// Ends without saying more about the resource.
    fn end(&mut self, reason: &str, now_ms: u64) {
        reason.clone_into(&mut self.ended);
        self.send(String::new(), Vec::new(), now_ms);
    }

    fn send(&mut self, content_type: String, body: Vec<u8>, now_ms: u64) {
        self.dialog.local_cseq += 1;
        (self.owes, self.is_unsure, self.last_ms) = (false, false, now_ms);
        self.notify = Some(Notify {
            number: self.dialog.local_cseq,
            state: self.state(now_ms),
            content_type,
            body,
            since_ms: now_ms,
        });
    }

    /// Value of Subscription-State. RFC 6665 4.1.3
    fn state(&self, now_ms: u64) -> String {
        let left_s = self.expire_ms.saturating_sub(now_ms).div_ceil(1_000);
        match (self.ended.as_str(), self.standing()) {
            ("", Standing::Pending) => format!("pending;expires={left_s}"),
            ("", Standing::Active | Standing::Unspecified) => format!("active;expires={left_s}"),
            (reason, _) => format!("terminated;reason={reason}"),
        }
    }

    /// The NOTIFY under way was answered; returns whether that was the end of the subscription.
    fn answered(&mut self, answer: Answer, now_ms: u64) -> bool {
        self.notify = None;
        match answer.status {
            _ if self.is_ended() => true,
            200..=299 => {
                (self.failures, self.retry_ms) = (0, 0);
                false
            }
            // RFC 6665 4.2.2
            404 | 405 | 408 | 410 | 416 | 480..=485 | 489 | 501 | 604 => true,
            _ => {
                self.failures += 1;
                let pause = FIRST_PAUSE_MS << self.failures.min(8);
                let asked = u64::from(answer.retry_after_s.unwrap_or(0)) * 1_000;
                self.retry_ms = now_ms + pause.max(asked);
                (self.owes, self.is_unsure) = (true, true);
                self.failures >= MOST_FAILURES
            }
        }
    }
}

#[cfg(test)]
mod tests;
