//! The record of a callback: everything that is known about one. The field numbers are the schema: add fields, never reuse a number.

use crate::engine::call::{Outcome, Party};

/// The newest schema version that this code reads (docs/adr/0007).
pub const SCHEMA: u32 = 1;

/// A call that is to be made when a party is free.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Callback {
    /// Schema version of the record.
    #[prost(uint32, tag = "1")]
    pub schema: u32,
    /// Its id.
    #[prost(string, tag = "2")]
    pub callback_id: String,
    /// Who asked, and is rung first.
    #[prost(message, required, tag = "3")]
    pub from: Party,
    /// Who is to be reached.
    #[prost(message, required, tag = "4")]
    pub to: Party,
    /// How far it is.
    #[prost(enumeration = "State", tag = "5")]
    pub state: i32,
    /// When it was asked for, in ms since 1970; the same for all times.
    #[prost(uint64, tag = "6")]
    pub create_ms: u64,
    /// No attempt before this; 0 for none.
    #[prost(uint64, tag = "7")]
    pub not_before_ms: u64,
    /// No attempt after this.
    #[prost(uint64, tag = "8")]
    pub expire_ms: u64,
    /// Attempts that are left.
    #[prost(uint32, tag = "9")]
    pub attempts_left: u32,
    /// Attempts that were made.
    #[prost(uint32, tag = "10")]
    pub attempts: u32,
    /// The latest attempt; empty before the first.
    #[prost(string, tag = "11")]
    pub call_id: String,
    /// How the latest attempt ended.
    #[prost(message, optional, tag = "12")]
    pub outcome: Option<Outcome>,
    /// When it ended; 0 before.
    #[prost(uint64, tag = "13")]
    pub end_ms: u64,
    /// Whose phone is asked whether it is free.
    #[prost(enumeration = "Awaited", tag = "14")]
    pub waits_for: i32,
    /// No further attempt before this.
    #[prost(uint64, tag = "15")]
    pub ready_ms: u64,
    /// It is asked by OPTIONS, because it takes no subscription.
    #[prost(bool, tag = "16")]
    pub polls: bool,
    /// The subscription to its dialogs.
    #[prost(message, optional, tag = "17")]
    pub subscription: Option<Subscription>,
    /// How many subscriptions were asked for.
    #[prost(uint32, tag = "18")]
    pub subscriptions: u32,
    /// The request under way.
    #[prost(message, optional, tag = "19")]
    pub ask: Option<Ask>,
    /// Number of the latest request.
    #[prost(uint32, tag = "20")]
    pub asked: u32,
    /// Subscriptions in a row of which nothing came.
    #[prost(uint32, tag = "21")]
    pub failures: u32,
    /// What the phone said last.
    #[prost(enumeration = "Said", tag = "22")]
    pub said: i32,
    /// When the phone may be asked by OPTIONS again.
    #[prost(uint64, tag = "23")]
    pub poll_ms: u64,
    /// When to look again.
    #[prost(uint64, tag = "24")]
    pub due_ms: u64,
    /// Entropy: what its calls and requests are named by comes from it. Never shown.
    #[prost(bytes = "vec", tag = "25")]
    pub seed: Vec<u8>,
}

/// How far a callback is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum State {
    /// Never stored.
    Unspecified = 0,
    /// For its time, or for a party to be free.
    Waiting = 1,
    /// An attempt is under way.
    Calling = 2,
    /// The two talk.
    Done = 3,
    /// Time or attempts are used up.
    Expired = 4,
    /// Given up, or refused by a party.
    Cancelled = 5,
}

impl State {
    /// As applications see it.
    pub fn name(self) -> &'static str {
        match self {
            State::Unspecified => "STATE_UNSPECIFIED",
            State::Waiting => "WAITING",
            State::Calling => "CALLING",
            State::Done => "DONE",
            State::Expired => "EXPIRED",
            State::Cancelled => "CANCELLED",
        }
    }
}

/// Whose phone is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Awaited {
    /// That of who is to be reached.
    To = 0,
    /// That of who asked by calling in, and may not have hung up yet.
    From = 1,
}

/// What the phone said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Said {
    /// Nothing that counts.
    Nothing = 0,
    /// It is in a dialog.
    Busy = 1,
    /// It is in none.
    Free = 2,
}

/// A subscription of ours to the dialogs of a phone (RFC 4235, RFC 6665).
#[derive(Clone, PartialEq, prost::Message)]
pub struct Subscription {
    /// Which of the callback's subscriptions it is: 1, 2, ...
    #[prost(uint32, tag = "1")]
    pub number: u32,
    /// The notifier's tag; empty until it has said something.
    #[prost(string, tag = "2")]
    pub remote_tag: String,
    /// Where the notifier is.
    #[prost(string, tag = "3")]
    pub remote_target: String,
    /// The route set, in the order in which requests of ours travel.
    #[prost(string, repeated, tag = "4")]
    pub route: Vec<String>,
    /// Flow token by which the notifier is reached.
    #[prost(string, tag = "5")]
    pub flow: String,
    /// CSeq of our latest request.
    #[prost(uint32, tag = "6")]
    pub local_cseq: u32,
    /// CSeq of the latest NOTIFY; 0 before the first.
    #[prost(uint32, tag = "7")]
    pub remote_cseq: u32,
    /// When it ends unless it is renewed.
    #[prost(uint64, tag = "8")]
    pub expire_ms: u64,
    /// When it is to be renewed, or a first NOTIFY must have come.
    #[prost(uint64, tag = "9")]
    pub renew_ms: u64,
    /// Version of the latest document.
    #[prost(uint32, optional, tag = "10")]
    pub version: Option<u32>,
    /// Ids of the dialogs that are not over.
    #[prost(string, repeated, tag = "11")]
    pub dialogs: Vec<String>,
}

/// A request under way.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Ask {
    /// Its number within the callback.
    #[prost(uint32, tag = "1")]
    pub number: u32,
    /// What it is.
    #[prost(enumeration = "AskKind", tag = "2")]
    pub kind: i32,
    /// When it was made.
    #[prost(uint64, tag = "3")]
    pub since_ms: u64,
}

/// Requests that a callback sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum AskKind {
    /// Never stored.
    Unspecified = 0,
    /// SUBSCRIBE outside a dialog.
    Subscribe = 1,
    /// SUBSCRIBE inside the dialog.
    Renew = 2,
    /// SUBSCRIBE with Expires 0.
    Unsubscribe = 3,
    /// OPTIONS.
    Options = 4,
}

impl Callback {
    /// Whether it has its one terminal state.
    pub fn is_over(&self) -> bool {
        match self.state() {
            State::Done | State::Expired | State::Cancelled => true,
            State::Unspecified | State::Waiting | State::Calling => false,
        }
    }

    /// The party whose phone is asked.
    pub fn party_asked(&self) -> &Party {
        match self.waits_for() {
            Awaited::To => &self.to,
            Awaited::From => &self.from,
        }
    }
}
