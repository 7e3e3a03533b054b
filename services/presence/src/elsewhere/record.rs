//! The record of a member of another domain that a watcher seeks. A field number is never used twice (docs/adr/0007).

use bytes::Bytes;
use prost::Message as _;
use store::StoreError;

use crate::repository::corrupt;

/// The version of the record that this code writes.
const SCHEMA: u32 = 1;

/// Somebody of another domain, as that domain shows it to one watcher.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Sought {
    /// Version of this schema.
    #[prost(uint32, tag = "1")]
    pub schema: u32,
    /// Its id: that of this watcher and this member.
    #[prost(string, tag = "2")]
    pub id: String,
    /// Address of record of who seeks it.
    #[prost(string, tag = "3")]
    pub watcher: String,
    /// URI of the member.
    #[prost(string, tag = "4")]
    pub member: String,
    /// What nobody outside can guess, from which the tags and Call-IDs are made.
    #[prost(string, tag = "5")]
    pub secret: String,
    /// What is known of it.
    #[prost(enumeration = "State", tag = "6")]
    pub state: i32,
    /// Why it is over (RFC 6665 4.1.3); empty unless it is.
    #[prost(string, tag = "7")]
    pub reason: String,
    /// Its presence document, in the form that is written here; empty while there is none.
    #[prost(bytes = "bytes", tag = "8")]
    pub document: Bytes,
    /// The subscriptions to lists that want it.
    #[prost(message, repeated, tag = "9")]
    pub wants: Vec<Want>,
    /// The subscription with its domain.
    #[prost(message, optional, tag = "10")]
    pub dialog: Option<Dialog>,
    /// The request that has no answer yet.
    #[prost(message, optional, tag = "11")]
    pub ask: Option<Ask>,
    /// Requests so far.
    #[prost(uint32, tag = "12")]
    pub asked: u32,
    /// Subscriptions so far.
    #[prost(uint32, tag = "13")]
    pub subscriptions: u32,
    /// Those in a row of which nothing came.
    #[prost(uint32, tag = "14")]
    pub failures: u32,
    /// It is asked for anew at this time, when there is no dialog; the largest number is never.
    #[prost(uint64, tag = "15")]
    pub retry_ms: u64,
    /// For how long it is asked for, in seconds.
    #[prost(uint32, tag = "16")]
    pub expires_s: u32,
    /// When the last subscription ended.
    #[prost(uint64, tag = "17")]
    pub end_ms: u64,
}

/// A subscription to a list that wants it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Want {
    /// Its id.
    #[prost(string, tag = "1")]
    pub subscription: String,
    /// Until then, unless it says so again.
    #[prost(uint64, tag = "2")]
    pub until_ms: u64,
}

/// Our side of the dialog with the other domain.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Dialog {
    /// Our tag.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// CSeq of our last SUBSCRIBE.
    #[prost(uint32, tag = "2")]
    pub local_cseq: u32,
    /// The notifier's tag; empty before it has said anything.
    #[prost(string, tag = "3")]
    pub remote_tag: String,
    /// Its Contact.
    #[prost(string, tag = "4")]
    pub remote_target: String,
    /// The route set, in the order in which our requests travel.
    #[prost(string, repeated, tag = "5")]
    pub route: Vec<String>,
    /// Flow token by which it is reached; empty when its Contact leads there.
    #[prost(string, tag = "6")]
    pub flow: String,
    /// CSeq of its last NOTIFY; absent before the first.
    #[prost(uint32, optional, tag = "7")]
    pub remote_cseq: Option<u32>,
    /// When it lapses.
    #[prost(uint64, tag = "8")]
    pub expire_ms: u64,
    /// When it is refreshed, or given up because no NOTIFY has come.
    #[prost(uint64, tag = "9")]
    pub renew_ms: u64,
}

/// A request under way.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Ask {
    /// Its number.
    #[prost(uint32, tag = "1")]
    pub number: u32,
    /// What it asks.
    #[prost(enumeration = "AskKind", tag = "2")]
    pub kind: i32,
    /// When it was made.
    #[prost(uint64, tag = "3")]
    pub since_ms: u64,
}

/// What a request asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum AskKind {
    /// Not said.
    Unspecified = 0,
    /// A subscription.
    Subscribe = 1,
    /// More time for it.
    Renew = 2,
    /// Its end.
    Unsubscribe = 3,
}

/// What is known of somebody of another domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum State {
    /// Nothing yet.
    Unknown = 0,
    /// Nobody there has decided about the watcher.
    Pending = 1,
    /// Its presence.
    Active = 2,
    /// That it is not to be had, and why.
    Terminated = 3,
}

impl Sought {
    /// Reads the record.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn read(value: &Bytes) -> Result<Sought, StoreError> {
        let record = Sought::decode(value.clone()).map_err(corrupt)?;
        match record.schema {
            1..=SCHEMA => Ok(record),
            later => Err(corrupt(format!("a member of another domain of schema {later}"))),
        }
    }

    /// What is kept.
    pub fn write(&self) -> Vec<u8> {
        Sought { schema: SCHEMA, ..self.clone() }.encode_to_vec()
    }

    /// Whether a subscription to a list wants it at this time, and for a while.
    pub fn is_wanted_by(&self, subscription: &str, until_ms: u64) -> bool {
        self.wants.iter().any(|want| want.subscription == subscription && want.until_ms >= until_ms)
    }
}
