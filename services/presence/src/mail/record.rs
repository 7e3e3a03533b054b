//! The messages of one address of record, as a pure function of time and answers.
//!
//! | state | what happens | next |
//! |---|---|---|
//! | STORED | its turn, and its user is there | SENDING |
//! | SENDING | 2xx | DELIVERED |
//! | SENDING | nobody is there (404, 408, 410, 430, 480, 5xx), or no answer | STORED, until the next registration or a while later |
//! | SENDING | nobody has answered for the time of a lease: its replica may be dead | the same try, by whoever finds it |
//! | SENDING | 482: a copy of it is there | STORED, as if nobody were there |
//! | SENDING | another refusal | FAILED |
//! | STORED | its time is over | EXPIRED |

use bytes::Bytes;
use cluster_api::convert::timestamp;
use cluster_api::presence::v1::{InstantMessage, instant_message};
use cluster_api::sip::v1::Header;
use prost::Message as _;
use sip_message::Date;
use store::StoreError;
use store_rpc::read_record;

use crate::repository::time;

pub use instant_message::State;

/// Messages that wait for one user.
const MOST_WAITING: usize = 100;
/// Octets that they may have together.
const MOST_OCTETS: usize = 512 * 1024;
/// Messages whose end is remembered.
const MOST_OVER: usize = 50;
/// How long it is.
const OVER_MS: u64 = 24 * 3_600_000;
/// A message without an answer is taken for unsent after this time: the transaction of an edge (64*T1) and slack.
pub const PATIENCE_MS: u64 = 45_000;
/// The pause before another try when nobody registers; it doubles up to [`LONGEST_PAUSE_MS`].
const FIRST_PAUSE_MS: u64 = 60_000;
const LONGEST_PAUSE_MS: u64 = 3_600_000;

/// The messages of one address of record.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Mail {
    /// Version of this schema.
    #[prost(uint32, tag = "1")]
    schema: u32,
    /// Oldest first.
    #[prost(message, repeated, tag = "2")]
    pub messages: Vec<Message>,
    /// Nothing is tried before this time, unless the user registers.
    #[prost(uint64, tag = "3")]
    retry_ms: u64,
    /// Tries in a row that found nobody.
    #[prost(uint32, tag = "4")]
    misses: u32,
}

const SCHEMA: u32 = 1;

/// One message.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Message {
    /// Its id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// URI of who sent it.
    #[prost(string, tag = "2")]
    pub from: String,
    /// Name of who sent it, empty for none.
    #[prost(string, tag = "3")]
    pub from_display: String,
    /// Type of the content.
    #[prost(string, tag = "4")]
    pub content_type: String,
    /// The content.
    #[prost(bytes = "bytes", tag = "5")]
    pub body: Bytes,
    /// What became of it.
    #[prost(enumeration = "instant_message::State", tag = "6")]
    pub state: i32,
    /// Status of the latest answer.
    #[prost(uint32, tag = "7")]
    pub sip_status: u32,
    /// When it was taken, in milliseconds since 1970.
    #[prost(uint64, tag = "8")]
    pub create_ms: u64,
    /// When it is given up.
    #[prost(uint64, tag = "9")]
    pub expire_ms: u64,
    /// When the last try began, or it ended.
    #[prost(uint64, tag = "10")]
    pub at_ms: u64,
    /// Number of the last try.
    #[prost(uint32, tag = "11")]
    pub attempt: u32,
    /// Value of Date, as its sender gave it; empty for none, and when it was taken counts.
    #[prost(string, tag = "12")]
    pub date: String,
    /// What else its sender said that goes on to its reader.
    #[prost(message, repeated, tag = "13")]
    pub headers: Vec<Header>,
    /// Value of Content-Disposition, empty for none.
    #[prost(string, tag = "14")]
    pub disposition: String,
    /// Value of Expires, in seconds from Date; absent when its sender did not say.
    #[prost(uint32, optional, tag = "15")]
    pub expires_s: Option<u32>,
}

/// Too many wait for this user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

impl Mail {
    /// Reads the record.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn read(value: Option<&Bytes>) -> Result<Mail, StoreError> {
        let Some(value) = value else { return Ok(Mail::default()) };
        read_record(value.clone(), SCHEMA, "mail", |read: &Mail| read.schema)
    }

    /// The record; `None` when there are no messages.
    pub fn write(&self) -> Option<Vec<u8>> {
        (!self.messages.is_empty()).then(|| Mail { schema: SCHEMA, ..self.clone() }.encode_to_vec())
    }

    /// Takes a message; one that is known is taken again.
    ///
    /// # Errors
    /// When too many wait.
    pub fn add(&mut self, new: Message) -> Result<(), NoRoom> {
        if self.find(&new.id).is_some() {
            return Ok(());
        }
        let waiting = || self.messages.iter().filter(|message| !message.is_over());
        let octets = waiting().map(Message::octets).sum::<usize>() + new.octets();
        if waiting().count() >= MOST_WAITING || octets > MOST_OCTETS {
            return Err(NoRoom);
        }
        self.messages.push(Message { state: State::Stored.into(), ..new });
        Ok(())
    }

    /// A message by its id.
    pub fn find(&self, id: &str) -> Option<&Message> {
        self.messages.iter().find(|message| message.id == id)
    }

    /// The user has registered: what waits may be tried again.
    pub fn registered(&mut self) {
        (self.retry_ms, self.misses) = (0, 0);
    }

    /// The next message to send, when none is under way; one that is under way for so long that its replica may be dead goes on.
    pub fn begin(&mut self, now_ms: u64, lease_ms: u64) -> Option<Message> {
        if let Some(sending) = self.sending() {
            let is_left = now_ms >= sending.at_ms + lease_ms && now_ms < sending.expire_ms;
            return is_left.then(|| sending.clone());
        }
        if now_ms < self.retry_ms {
            return None;
        }
        let next = self.messages.iter_mut().find(|message| message.state() == State::Stored)?;
        next.set_state(State::Sending);
        (next.at_ms, next.attempt) = (now_ms, next.attempt + 1);
        Some(next.clone())
    }

    /// The message that is under way.
    pub fn sending(&self) -> Option<&Message> {
        self.messages.iter().find(|message| message.state() == State::Sending)
    }

    /// A try was answered.
    pub fn answered(&mut self, id: &str, attempt: u32, status: u32, now_ms: u64) {
        let sent = |message: &&mut Message| {
            message.id == id && message.attempt == attempt && message.state() == State::Sending
        };
        let Some(message) = self.messages.iter_mut().find(sent) else { return };
        (message.sip_status, message.at_ms) = (status, now_ms);
        match status {
            200..=299 => {
                message.set_state(State::Delivered);
                self.registered();
            }
            404 | 408 | 410 | 430 | 480 | 482 | 500..=599 => {
                message.set_state(State::Stored);
                self.missed(now_ms);
            }
            _ => message.set_state(State::Failed),
        }
    }

    /// Ends what has lapsed, and forgets what has long been over.
    pub fn lapse(&mut self, now_ms: u64) {
        for message in &mut self.messages {
            if message.state() == State::Sending && now_ms >= message.at_ms + PATIENCE_MS {
                message.set_state(State::Stored);
            }
            if message.state() == State::Stored && now_ms >= message.expire_ms {
                message.set_state(State::Expired);
                message.at_ms = now_ms;
            }
        }
        let mut surplus = self.messages.iter().filter(|m| m.is_over()).count().saturating_sub(MOST_OVER);
        self.messages.retain(|message| {
            let goes = message.is_over() && (surplus > 0 || now_ms >= message.at_ms + OVER_MS);
            surplus -= usize::from(goes && surplus > 0);
            !goes
        });
    }

    /// When to look again; `None` when nothing is left. `lease_ms`: how long one that is under way is left to its replica.
    pub fn due_ms(&self, lease_ms: u64) -> Option<u64> {
        let is_busy = self.sending().is_some();
        let one = |message: &Message| match message.state() {
            State::Sending => message.at_ms + lease_ms,
            State::Stored if is_busy => message.expire_ms,
            State::Stored => message.expire_ms.min(self.retry_ms.max(message.create_ms)),
            State::Delivered | State::Failed | State::Expired | State::Unspecified => message.at_ms + OVER_MS,
        };
        self.messages.iter().map(one).min()
    }

    fn missed(&mut self, now_ms: u64) {
        let pause = (FIRST_PAUSE_MS << self.misses.min(6)).min(LONGEST_PAUSE_MS);
        (self.retry_ms, self.misses) = (now_ms + pause, self.misses + 1);
    }
}

impl Message {
    /// Value of Date: when its sender says to have sent it, else when it was taken.
    pub fn date(&self) -> String {
        if !self.date.is_empty() {
            return self.date.clone();
        }
        Date { unix_seconds: i64::try_from(self.create_ms / 1_000).unwrap_or(i64::MAX) }.to_string()
    }

    /// What its sender filled of the room of its reader.
    fn octets(&self) -> usize {
        let headers = self.headers.iter().map(|header| header.name.len() + header.value.len());
        self.body.len() + self.disposition.len() + headers.sum::<usize>()
    }

    /// Whether nothing more happens to it.
    pub fn is_over(&self) -> bool {
        !matches!(self.state(), State::Stored | State::Sending)
    }

    /// As applications see it.
    pub fn public(&self, aor: &str) -> InstantMessage {
        InstantMessage {
            message_id: self.id.clone(),
            from: self.from.clone(),
            to: aor.to_owned(),
            content_type: self.content_type.clone(),
            body: self.body.clone(),
            state: self.state,
            sip_status: self.sip_status,
            create_time: Some(timestamp(time(self.create_ms))),
            expire_time: Some(timestamp(time(self.expire_ms))),
            deliver_time: (self.state() == State::Delivered).then(|| timestamp(time(self.at_ms))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;
    const LEASE: u64 = 3_000;

    fn message(id: &str) -> Message {
        Message { id: id.to_owned(), expire_ms: 60 * MINUTE, ..Message::default() }
    }

    fn mail(ids: &[&str]) -> Mail {
        let mut mail = Mail::default();
        for id in ids {
            mail.add(message(id)).unwrap();
        }
        mail
    }

    fn state(mail: &Mail, id: &str) -> State {
        mail.find(id).map_or(State::Unspecified, Message::state)
    }

    /// IMI-03: the next one waits for the final answer of the one before.
    #[test]
    fn messages_go_out_one_after_the_other() {
        let mut mail = mail(&["a", "b"]);
        assert_eq!(mail.begin(0, LEASE).map(|m| m.id), Some("a".to_owned()));
        assert_eq!(mail.begin(0, LEASE), None);
        mail.answered("a", 1, 200, 10);
        assert_eq!(
            (state(&mail, "a"), mail.begin(10, LEASE).map(|m| m.id)),
            (State::Delivered, Some("b".to_owned()))
        );
        mail.answered("b", 1, 603, 20);
        assert_eq!((state(&mail, "b"), mail.begin(20, LEASE)), (State::Failed, None));
    }

    /// IMI-02: nobody is there: it waits for a registration, or a while.
    #[test]
    fn a_message_waits_for_its_user() {
        let mut mail = mail(&["a", "a"]);
        assert_eq!(mail.messages.len(), 1);
        mail.begin(0, LEASE);
        mail.answered("a", 1, 480, 10);
        assert_eq!(
            (state(&mail, "a"), mail.begin(20, LEASE), mail.due_ms(LEASE)),
            (State::Stored, None, Some(MINUTE + 10))
        );
        mail.answered("a", 1, 200, 20);
        assert_eq!(state(&mail, "a"), State::Stored, "an answer that is too late counts no more");
        mail.registered();
        assert_eq!(mail.begin(30, LEASE).map(|m| m.attempt), Some(2));
        mail.answered("a", 2, 503, 40);
        assert_eq!(mail.due_ms(LEASE), Some(MINUTE + 40));
        assert!(mail.begin(MINUTE + 40, LEASE).is_some());
    }

    /// IMI-02: one that has expired is not delivered any more, and is forgotten a day later.
    #[test]
    fn a_message_whose_time_is_over_is_not_sent() {
        let mut mail = mail(&["a"]);
        mail.lapse(60 * MINUTE);
        assert_eq!((state(&mail, "a"), mail.begin(60 * MINUTE, LEASE)), (State::Expired, None));
        mail.lapse(60 * MINUTE + OVER_MS);
        assert_eq!((mail.messages.len(), mail.due_ms(LEASE), mail.write()), (0, None, None));
    }

    /// A replica died with it: the same try goes on, until nobody can have it any more.
    #[test]
    fn a_message_without_an_answer_is_sent_again() {
        let mut mail = mail(&["a"]);
        mail.begin(0, LEASE);
        assert_eq!((mail.due_ms(LEASE), mail.begin(LEASE - 1, LEASE)), (Some(LEASE), None));
        assert_eq!(mail.begin(LEASE, LEASE).map(|m| m.attempt), Some(1));
        mail.lapse(PATIENCE_MS);
        assert_eq!(mail.begin(PATIENCE_MS, LEASE).map(|m| m.attempt), Some(2));
    }

    /// IMI-02: nobody sends again what expired on its way.
    #[test]
    fn what_expires_under_way_is_not_gone_on_with() {
        let mut mail = Mail::default();
        mail.add(Message { expire_ms: LEASE, ..message("a") }).unwrap();
        mail.begin(0, LEASE);
        assert_eq!(mail.begin(LEASE, LEASE), None);
        mail.lapse(PATIENCE_MS);
        assert_eq!(state(&mail, "a"), State::Expired);
    }

    /// A phone that has a copy of it, and says so, is asked again later under the next number.
    #[test]
    fn a_merged_message_is_not_lost() {
        let mut mail = mail(&["a"]);
        mail.begin(0, LEASE);
        mail.answered("a", 1, 482, 10);
        assert_eq!((state(&mail, "a"), mail.begin(10, LEASE)), (State::Stored, None));
    }

    /// IMI-02: a message has a date, also one that an earlier version kept.
    #[test]
    fn a_message_without_a_date_has_that_of_its_coming() {
        let kept = Message { create_ms: 1_289_690_940_999, ..message("a") };
        assert_eq!(kept.date(), "Sat, 13 Nov 2010 23:29:00 GMT");
        assert_eq!(Message { date: "then".into(), ..kept }.date(), "then");
    }

    #[test]
    fn there_are_so_many_and_no_more() {
        let mut full = mail(&[]);
        for number in 0..MOST_WAITING {
            full.add(message(&number.to_string())).unwrap();
        }
        assert_eq!(full.add(message("x")), Err(NoRoom));
        let mut large = mail(&[]);
        let body = Bytes::from(vec![0; MOST_OCTETS + 1]);
        assert_eq!(large.add(Message { body, ..message("x") }), Err(NoRoom));
    }
}
