//! What the record keeps about the INVITE by which a leg's peer called.

use crate::engine::effect::Header;

/// The INVITE of a caller; an edge holds its server transaction.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Incoming {
    /// Handle of the server transaction.
    #[prost(string, tag = "1")]
    pub transaction: String,
    /// Its CSeq number.
    #[prost(uint32, tag = "2")]
    pub cseq: u32,
    /// How far our answer is.
    #[prost(enumeration = "CallerPhase", tag = "3")]
    pub phase: i32,
    /// The caller takes reliable provisional responses (RFC 3262 3).
    #[prost(bool, tag = "4")]
    pub takes_reliable: bool,
    /// RSeq of the last reliable provisional response; 0 before the first.
    #[prost(uint32, tag = "5")]
    pub rseq: u32,
    /// The reliable provisional response that waits for its PRACK.
    #[prost(message, optional, tag = "6")]
    pub unpracked: Option<Said>,
    /// Provisional responses that wait for that PRACK too.
    #[prost(message, repeated, tag = "7")]
    pub waiting: Vec<Said>,
    /// The 2xx that waits for it (RFC 3262 5).
    #[prost(message, optional, tag = "8")]
    pub held: Option<Said>,
    /// The last provisional response, to be said again when nothing new happens.
    #[prost(message, optional, tag = "9")]
    pub last: Option<Said>,
    /// The leg is to end once the ACK for our 2xx has come (RFC 3261 15).
    #[prost(bool, tag = "10")]
    pub bye_waits: bool,
    /// Value of Session-Expires for our 2xx; empty for no session timer.
    #[prost(string, tag = "11")]
    pub session_expires: String,
    /// How many other forks than the one shown before have taken its place.
    #[prost(uint32, tag = "12")]
    pub turns: u32,
    /// It takes them only reliably: it has 100rel in Require.
    #[prost(bool, tag = "13")]
    pub demands_reliable: bool,
    /// The address of record that the caller proved to be; empty when it proved none.
    #[prost(string, tag = "14")]
    pub identity: String,
    /// It came from a neighbour that is trusted.
    #[prost(bool, tag = "15")]
    pub is_trusted: bool,
}

/// How far the answer to a caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum CallerPhase {
    /// No final response was sent.
    Open = 0,
    /// A 2xx was sent.
    Answered = 1,
    /// Another final response was sent, or there is nobody any more to send one to.
    Refused = 2,
}

/// A response to the caller, as far as it is not the same for all.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Said {
    /// Status.
    #[prost(uint32, tag = "1")]
    pub status: u32,
    /// Headers that came from the other party.
    #[prost(message, repeated, tag = "2")]
    pub headers: Vec<Header>,
    /// Session description; empty for none.
    #[prost(bytes = "vec", tag = "3")]
    pub sdp: Vec<u8>,
    /// The description is the other party's offer, and what comes back is the answer: that offer as it came.
    #[prost(bytes = "vec", tag = "4")]
    pub offer: Vec<u8>,
    /// Where each m= line of that offer went, -1 for nowhere.
    #[prost(sint32, repeated, tag = "5")]
    pub lines: Vec<i32>,
    /// The description is one that may still change: said reliably, it would be the answer.
    #[prost(bool, tag = "6")]
    pub preview: bool,
}
