//! A leg: one dialog (or several forks of one INVITE) between Carillon and a phone, as the record keeps it.

use crate::engine::call::Party;
use crate::engine::effect::{Body, Header, SendRequest};

/// One leg.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Leg {
    /// "a", "b", ... within the call.
    #[prost(string, tag = "1")]
    pub leg_id: String,
    /// Who was dialled.
    #[prost(message, required, tag = "2")]
    pub party: Party,
    /// The public state.
    #[prost(enumeration = "LegState", tag = "3")]
    pub state: i32,
    /// Call-ID; Carillon made it and so owns it (RFC 3261 14.1).
    #[prost(string, tag = "4")]
    pub sip_call_id: String,
    /// Our tag.
    #[prost(string, tag = "5")]
    pub local_tag: String,
    /// URI in From.
    #[prost(string, tag = "6")]
    pub from_uri: String,
    /// Display name in From.
    #[prost(string, tag = "7")]
    pub from_display: String,
    /// The last CSeq number used, over all forks.
    #[prost(uint32, tag = "8")]
    pub last_cseq: u32,
    /// The initial INVITE.
    #[prost(message, optional, tag = "9")]
    pub invite: Option<Invite>,
    /// The dialogs that the INVITE made, in the order of their first response.
    #[prost(message, repeated, tag = "10")]
    pub dialogs: Vec<Dialog>,
    /// Tag of the dialog that is the leg; empty before one was chosen.
    #[prost(string, tag = "11")]
    pub remote_tag: String,
    /// Requests of ours without a final response, the initial INVITE excepted.
    #[prost(message, repeated, tag = "12")]
    pub pending: Vec<Pending>,
    /// Requests of the peer that are not finished.
    #[prost(message, repeated, tag = "13")]
    pub served: Vec<Served>,
    /// A request that waits to be sent again after 491 or 500.
    #[prost(message, optional, tag = "14")]
    pub retry: Option<Pending>,
    /// Challenges met so far, by realm.
    #[prost(message, repeated, tag = "15")]
    pub challenges: Vec<Challenge>,
    /// The edge that carries the leg; empty when none does.
    #[prost(string, tag = "16")]
    pub edge_id: String,
    /// Boot epoch of that edge.
    #[prost(uint64, tag = "17")]
    pub edge_epoch: u64,
    /// Flow token of the last event.
    #[prost(string, tag = "18")]
    pub flow: String,
    /// The last status that decided about the leg; 0 before the first response.
    #[prost(uint32, tag = "19")]
    pub sip_status: u32,
    /// Its reason phrase.
    #[prost(string, tag = "20")]
    pub sip_reason: String,
    /// Types of call events already given for this leg, one bit each.
    #[prost(uint32, tag = "21")]
    pub given: u32,
    /// When the first 2xx to the INVITE came, in ms since 1970; 0 before.
    #[prost(uint64, tag = "22")]
    pub accepted_ms: u64,
    /// The edge was told to forget the leg.
    #[prost(bool, tag = "23")]
    pub released: bool,
    /// Reason header of the hang-up, for requests that must be repeated.
    #[prost(string, tag = "24")]
    pub end_reason: String,
}

/// Public state of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum LegState {
    /// Made, not dialled yet.
    Unspecified = 0,
    /// The INVITE is out.
    Dialing = 1,
    /// A provisional response other than 180 came.
    Progressing = 2,
    /// 180 came.
    Ringing = 3,
    /// A 2xx came.
    Answered = 4,
    /// On hold.
    Held = 5,
    /// It was cancelled and its last answer is awaited.
    Ending = 6,
    /// Over.
    Ended = 7,
}

/// The initial INVITE of a leg, in its current attempt.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Invite {
    /// Effect number of the current attempt.
    #[prost(uint64, tag = "1")]
    pub effect: u64,
    /// CSeq number of the current attempt.
    #[prost(uint32, tag = "2")]
    pub cseq: u32,
    /// Where the attempt is.
    #[prost(enumeration = "InvitePhase", tag = "3")]
    pub phase: i32,
    /// Request-URI of the current attempt.
    #[prost(string, tag = "4")]
    pub target: String,
    /// Targets of 3xx answers still to be tried, best first.
    #[prost(string, repeated, tag = "5")]
    pub targets: Vec<String>,
    /// Targets tried.
    #[prost(string, repeated, tag = "6")]
    pub tried: Vec<String>,
    /// What the INVITE offered; absent for an INVITE without SDP.
    #[prost(message, optional, tag = "7")]
    pub body: Option<Body>,
    /// Headers of every attempt, credentials excepted.
    #[prost(message, repeated, tag = "8")]
    pub headers: Vec<Header>,
    /// Statuses to which the INVITE was already adapted once (RFC 3261 8.1.3.5).
    #[prost(uint32, repeated, tag = "9")]
    pub adapted: Vec<u32>,
}

/// Where the initial INVITE is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum InvitePhase {
    /// Sent, nothing but 100 came.
    Calling = 0,
    /// A provisional response came.
    Proceeding = 1,
    /// CANCEL was asked for; the final response is awaited.
    Cancelling = 2,
    /// A 2xx came.
    Accepted = 3,
    /// A final response other than 2xx came, or none ever will.
    Failed = 4,
}

/// One dialog.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Dialog {
    /// The peer's tag.
    #[prost(string, tag = "1")]
    pub remote_tag: String,
    /// Early, confirmed or over.
    #[prost(enumeration = "DialogState", tag = "2")]
    pub state: i32,
    /// Route set in sending order.
    #[prost(string, repeated, tag = "3")]
    pub route: Vec<String>,
    /// The peer's Contact.
    #[prost(string, tag = "4")]
    pub remote_target: String,
    /// The highest CSeq number of the peer's requests; absent before the first.
    #[prost(uint32, optional, tag = "5")]
    pub remote_cseq: Option<u32>,
    /// Methods that the peer allows; empty while unknown.
    #[prost(string, repeated, tag = "6")]
    pub allow: Vec<String>,
    /// Body types that the peer accepts; empty while unknown.
    #[prost(string, repeated, tag = "7")]
    pub accept: Vec<String>,
    /// Extensions that the peer supports.
    #[prost(string, repeated, tag = "8")]
    pub supported: Vec<String>,
    /// The SDP that we sent last; the next one continues its o= line.
    #[prost(bytes = "vec", tag = "9")]
    pub local_sdp: Vec<u8>,
    /// The peer's SDP in force.
    #[prost(bytes = "vec", tag = "10")]
    pub remote_sdp: Vec<u8>,
    /// Whose offer is open.
    #[prost(enumeration = "OpenOffer", tag = "11")]
    pub open_offer: i32,
    /// CSeq number of a 2xx to an INVITE of ours that is not acknowledged yet; 0 for none.
    #[prost(uint32, tag = "12")]
    pub unacked: u32,
    /// RSeq of the last reliable provisional response taken; 0 for none.
    #[prost(uint32, tag = "13")]
    pub rseq: u32,
    /// The CSeq number of the INVITE to which that RSeq belongs.
    #[prost(uint32, tag = "14")]
    pub rseq_cseq: u32,
    /// That response waits for its PRACK.
    #[prost(bool, tag = "15")]
    pub unpracked: bool,
    /// Offer and answer were exchanged within the initial INVITE; SDP in its later responses is no offer.
    #[prost(bool, tag = "16")]
    pub agreed: bool,
}

/// State of a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum DialogState {
    /// Made by a provisional response.
    Early = 0,
    /// Made or confirmed by a 2xx.
    Confirmed = 1,
    /// BYE was sent or came.
    Ended = 2,
}

/// Whose offer is unanswered (RFC 3264 4: at most one).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum OpenOffer {
    /// No offer is open.
    None = 0,
    /// Ours.
    Ours = 1,
    /// The peer's.
    Theirs = 2,
}

/// A request of ours that has no final response yet, or waits to be sent again.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Pending {
    /// Effect number.
    #[prost(uint64, tag = "1")]
    pub effect: u64,
    /// Why it was sent.
    #[prost(enumeration = "Purpose", tag = "2")]
    pub purpose: i32,
    /// The request.
    #[prost(message, required, tag = "3")]
    pub request: SendRequest,
    /// For relayed requests: index of the leg from which it came.
    #[prost(uint32, tag = "4")]
    pub relay_leg: u32,
    /// For relayed requests: the server transaction to answer.
    #[prost(string, tag = "5")]
    pub relay_transaction: String,
    /// Statuses to which it was already adapted.
    #[prost(uint32, repeated, tag = "6")]
    pub adapted: Vec<u32>,
}

/// Why a request inside a dialog was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Purpose {
    /// Nobody waits for the answer.
    None = 0,
    /// It carries the other party's offer, whose 2xx waits for the answer.
    Connect = 1,
    /// It carries the other party's offer, whose reliable 18x waits for the answer.
    Ringback = 2,
    /// It carries the ringback tone alone.
    Tone = 3,
    /// It answers an offer in a reliable 1xx.
    Prack = 4,
    /// It refuses an offer in a reliable 1xx; CANCEL follows.
    PrackReject = 5,
    /// It ends the dialog.
    Bye = 6,
    /// It carries a request of the other party onward.
    Relay = 7,
    /// It carries INFO of the business application.
    Info = 8,
    /// It asks the peer for an offer.
    AskOffer = 9,
    /// It holds or resumes the leg.
    Hold = 10,
    /// It refreshes the session.
    Refresh = 11,
    /// It acknowledges a reliable 1xx, without a body.
    PrackPlain = 12,
}

/// A request of the peer that is not finished.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Served {
    /// Handle of the server transaction.
    #[prost(string, tag = "1")]
    pub transaction: String,
    /// Method.
    #[prost(string, tag = "2")]
    pub method: String,
    /// CSeq number.
    #[prost(uint32, tag = "3")]
    pub cseq: u32,
    /// Tag of the dialog.
    #[prost(string, tag = "4")]
    pub remote_tag: String,
    /// 2xx was sent and its ACK is awaited.
    #[prost(bool, tag = "5")]
    pub answered: bool,
    /// It carries an offer.
    #[prost(bool, tag = "6")]
    pub offer: bool,
}

/// A challenge met on a leg.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Challenge {
    /// Realm.
    #[prost(string, tag = "1")]
    pub realm: String,
    /// From a proxy (407) or from the peer (401).
    #[prost(bool, tag = "2")]
    pub proxy: bool,
    /// Value of the challenge header that was chosen.
    #[prost(string, tag = "3")]
    pub value: String,
    /// How often its nonce was used.
    #[prost(uint32, tag = "4")]
    pub uses: u32,
}
