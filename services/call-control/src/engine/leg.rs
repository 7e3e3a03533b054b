//! A leg: one dialog (or several forks of one INVITE) between Carillon and a phone, as the record keeps it.

use crate::engine::anchor::record::Incoming;
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
    /// Value of the Reason header of the hang-up, for requests that must be repeated; empty for none.
    #[prost(string, tag = "24")]
    pub end_reason: String,
    /// What the initial INVITE offered; every dialog that it makes begins with a copy.
    #[prost(message, optional, tag = "25")]
    pub history: Option<History>,
    /// The INVITE by which the leg's peer called; none when Carillon dialled.
    #[prost(message, optional, tag = "26")]
    pub incoming: Option<Incoming>,
    /// The call that has the leg for now or for good; absent when it is this one.
    #[prost(message, optional, tag = "27")]
    pub lent: Option<Loan>,
    /// The call from which the leg came; absent for legs of this call.
    #[prost(message, optional, tag = "28")]
    pub borrowed: Option<Loan>,
    /// Key presses that are being sent.
    #[prost(message, optional, tag = "29")]
    pub keys: Option<Keys>,
    /// It goes back to the call that lent it once it has answered what it was asked last.
    #[prost(bool, tag = "40")]
    pub returning: bool,
    /// The call that lent it has not been told yet whether it stays.
    #[prost(bool, tag = "41")]
    pub owed: bool,
    /// It is no party: its peer asked something of a conference by REFER outside of any dialog, and is told how that goes.
    #[prost(bool, tag = "42")]
    pub refers: bool,
    /// The call that has kept the leg which was lent to it: what counts the leg goes on counting it there.
    #[prost(message, optional, tag = "43")]
    pub kept: Option<Loan>,
    /// It is no party: its peer is a media server that a party listens to.
    #[prost(bool, tag = "44")]
    pub serves: bool,
    /// Whom it calls by name where the party was given by a number that is lent, which is shown to nobody (ALC-10); empty for the party.
    #[prost(string, tag = "45")]
    pub called_as: String,
    /// Carillon keeps its party on hold: the application wishes it.
    #[prost(bool, tag = "46")]
    pub held: bool,
    /// Its phone holds the other party.
    #[prost(bool, tag = "47")]
    pub holds: bool,
}

impl Leg {
    /// The URI in To of what it sends.
    pub fn called(&self) -> &str {
        if self.called_as.is_empty() { &self.party.uri } else { &self.called_as }
    }
}

/// Key presses, one INFO each.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Keys {
    /// By which whoever asked finds the answer to the last one.
    #[prost(string, tag = "1")]
    pub ticket: String,
    /// Those that were not sent yet.
    #[prost(string, tag = "2")]
    pub left: String,
    /// Length of each, in ms.
    #[prost(uint64, tag = "3")]
    pub duration_ms: u64,
}

/// A leg that one call has from another one.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Loan {
    /// The other call.
    #[prost(string, tag = "1")]
    pub call_id: String,
    /// The operation of the borrowing call that it is for.
    #[prost(uint64, tag = "2")]
    pub operation: u64,
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
    /// The edge that took the current attempt on; empty before one did.
    #[prost(string, tag = "10")]
    pub edge_id: String,
    /// Boot epoch of that edge.
    #[prost(uint64, tag = "11")]
    pub edge_epoch: u64,
    /// Proxy to go through, from a 305; empty for none.
    #[prost(string, tag = "12")]
    pub via: String,
    /// Credentials of the current attempt; the ACK repeats them (RFC 3261 22.1).
    #[prost(message, repeated, tag = "13")]
    pub credentials: Vec<Header>,
    /// Route set to go by, in sending order; empty for the way that the registrar knows.
    #[prost(string, repeated, tag = "14")]
    pub route: Vec<String>,
    /// Flow token by which the phone is reached; empty for none.
    #[prost(string, tag = "15")]
    pub flow: String,
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
    /// What we said in the session; absent before the first SDP was sent.
    #[prost(message, optional, tag = "9")]
    pub history: Option<History>,
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
    /// RSeq values that came in order after one that waits for its PRACK.
    #[prost(uint32, repeated, tag = "17")]
    pub deferred: Vec<u32>,
    /// Credentials of the INVITE that `unacked` is about; the ACK repeats them (RFC 3261 22.1).
    #[prost(message, repeated, tag = "18")]
    pub credentials: Vec<Header>,
    /// Reliable provisional responses that came before one that is still missing (RFC 3262 4).
    #[prost(message, repeated, tag = "19")]
    pub ahead: Vec<Ahead>,
    /// Agreed session interval in seconds (RFC 4028); 0 for none.
    #[prost(uint32, tag = "20")]
    pub session_interval: u32,
    /// The last ACK, to be sent again when its edge dies while the 2xx may still be repeated.
    #[prost(message, optional, tag = "21")]
    pub last_ack: Option<SendRequest>,
    /// When it was sent, in ms since 1970.
    #[prost(uint64, tag = "22")]
    pub last_ack_ms: u64,
    /// Flow token of the last event of this dialog: each fork of an INVITE has a way of its own.
    #[prost(string, tag = "23")]
    pub flow: String,
    /// The least session interval that the peer named in a 422, in seconds; 0 for none.
    #[prost(uint32, tag = "24")]
    pub min_se: u32,
    /// Info packages that the peer takes (RFC 6086).
    #[prost(string, repeated, tag = "25")]
    pub recv_info: Vec<String>,
    /// The peer's Contact says that a mixer is behind it (RFC 3840).
    #[prost(bool, tag = "40")]
    pub is_focus: bool,
}

/// A reliable provisional response that waits for an earlier one.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Ahead {
    /// Its RSeq.
    #[prost(uint32, tag = "1")]
    pub rseq: u32,
    /// Its status.
    #[prost(uint32, tag = "2")]
    pub status: u32,
    /// Its session description; empty for none.
    #[prost(bytes = "vec", tag = "3")]
    pub sdp: Vec<u8>,
}

/// Carillon's side of the session in one dialog, as `sip-body` gives and takes it.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct History {
    /// Session id of the o= line.
    #[prost(uint64, tag = "1")]
    pub session_id: u64,
    /// Version of the last description sent.
    #[prost(uint64, tag = "2")]
    pub version: u64,
    /// End of the o= line.
    #[prost(string, tag = "3")]
    pub address: String,
    /// The last description sent.
    #[prost(bytes = "vec", tag = "4")]
    pub sent: Vec<u8>,
    /// The m= lines of the session.
    #[prost(bytes = "vec", repeated, tag = "5")]
    pub lines: Vec<Vec<u8>>,
    /// Whether an offer is not answered yet.
    #[prost(bool, tag = "6")]
    pub is_offering: bool,
    /// The m= lines of that offer.
    #[prost(bytes = "vec", repeated, tag = "7")]
    pub offered: Vec<Vec<u8>>,
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
    /// The edge that took it on; empty before one did.
    #[prost(string, tag = "7")]
    pub edge_id: String,
    /// Boot epoch of that edge.
    #[prost(uint64, tag = "8")]
    pub edge_epoch: u64,
    /// For a fitted offer: where each m= line of the other party's offer went, -1 for nowhere.
    #[prost(sint32, repeated, tag = "9")]
    pub lines: Vec<i32>,
    /// For a fitted offer: the other party's offer. It is fitted when the request is sent, not while it waits.
    #[prost(bytes = "vec", tag = "10")]
    pub offer: Vec<u8>,
    /// The fitted offer goes together with the ringback tone.
    #[prost(bool, tag = "12")]
    pub tone: bool,
    /// Credentials that went with it; an ACK repeats them (RFC 3261 22.1).
    #[prost(message, repeated, tag = "11")]
    pub credentials: Vec<Header>,
    /// The application wished it for one leg, not for the call.
    #[prost(bool, tag = "13")]
    pub of_leg: bool,
    /// By which whoever asked for it finds its answer; empty for nobody.
    #[prost(string, tag = "14")]
    pub ticket: String,
    /// It was cancelled: its answer has taken too long.
    #[prost(bool, tag = "16")]
    pub given_up: bool,
    /// When it was sent first, in ms since 1970: what the peer puts off is not repeated for ever.
    #[prost(uint64, tag = "15")]
    pub first_ms: u64,
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
    // 5 was in use before the first release
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
    /// It acknowledges a reliable 1xx, and nobody waits for the answer.
    PrackPlain = 12,
    /// It asks a connected leg for the offer that connects it anew with the other one.
    Resume = 13,
    /// It carries the offer of a party that is to be connected with this one for the first time.
    Move = 14,
    /// It asks for the offer that is to connect the leg with another party.
    MoveAsk = 15,
    /// REFER: it asks the peer to call somebody itself.
    Refer = 16,
    /// It tells the peer how far what it asked for by REFER is.
    Notify = 17,
    /// It holds or resumes one leg alone.
    HoldLeg = 18,
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
    /// The edge that holds it.
    #[prost(string, tag = "7")]
    pub edge_id: String,
    /// Boot epoch of that edge.
    #[prost(uint64, tag = "8")]
    pub edge_epoch: u64,
    /// When our 2xx carried the other party's offer: that offer.
    #[prost(bytes = "vec", tag = "9")]
    pub relayed_offer: Vec<u8>,
    /// And where each of its m= lines went, -1 for nowhere.
    #[prost(sint32, repeated, tag = "10")]
    pub lines: Vec<i32>,
    /// It is the INVITE that made the leg.
    #[prost(bool, tag = "11")]
    pub initial: bool,
    /// Our tag, when the request came outside the dialogs of the leg; else empty.
    #[prost(string, tag = "12")]
    pub to_tag: String,
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
