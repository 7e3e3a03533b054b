//! The call record: everything that the engine knows about one call. It is what the store keeps, as protobuf.
//!
//! The field numbers are the record's schema: add fields, never reuse a number.

use std::collections::HashMap;

use crate::engine::conference::record::Conference;
use crate::engine::effect::{Effect, Header};
use crate::engine::hold::record::Holding;
use crate::engine::leg::Leg;
use crate::engine::stage::Stage;

/// The newest schema version that this code reads (docs/adr/0007).
pub const SCHEMA: u32 = 2;
/// What a call begins with. Its record is of version [`SCHEMA`] from the first operation on that a replica without it would lose.
pub const PLAIN_SCHEMA: u32 = 1;

/// A call and all that must survive the replica that works on it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Call {
    /// Schema version of the record.
    #[prost(uint32, tag = "1")]
    pub schema: u32,
    /// Carillon's id of the call.
    #[prost(string, tag = "2")]
    pub call_id: String,
    /// How the two legs are brought together.
    #[prost(enumeration = "Flow", tag = "3")]
    pub flow: i32,
    /// The party that is rung first.
    #[prost(message, required, tag = "4")]
    pub from: Party,
    /// The party that is rung second.
    #[prost(message, required, tag = "5")]
    pub to: Party,
    /// Who Carillon says it is, and its timers and choices for this call.
    #[prost(message, required, tag = "6")]
    pub policy: Policy,
    /// Further headers for the INVITEs of both legs.
    #[prost(message, repeated, tag = "7")]
    pub headers: Vec<Header>,
    /// What the business application attached to the call.
    #[prost(map = "string, string", tag = "8")]
    pub metadata: HashMap<String, String>,
    /// Entropy of the call: tags, Call-IDs and random waits are derived from it. Never shown.
    #[prost(bytes = "vec", tag = "9")]
    pub seed: Vec<u8>,
    /// How many random values were drawn from the seed.
    #[prost(uint64, tag = "10")]
    pub draws: u64,
    /// The public state.
    #[prost(enumeration = "CallState", tag = "11")]
    pub state: i32,
    /// When the call was asked for, in ms since 1970.
    #[prost(uint64, tag = "12")]
    pub create_ms: u64,
    /// When both parties were connected; 0 before.
    #[prost(uint64, tag = "13")]
    pub answer_ms: u64,
    /// When the call ended; 0 before.
    #[prost(uint64, tag = "14")]
    pub end_ms: u64,
    /// The legs in the order in which they were made: "a", "b", ...
    #[prost(message, repeated, tag = "15")]
    pub legs: Vec<Leg>,
    /// Where in its flow the call is.
    #[prost(oneof = "Stage", tags = "30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 70, 71")]
    pub stage: Option<Stage>,
    /// How the call ended or is about to end; set once, by the first cause.
    #[prost(message, optional, tag = "16")]
    pub outcome: Option<Outcome>,
    /// Number of the last effect.
    #[prost(uint64, tag = "17")]
    pub last_effect: u64,
    /// Effects that no edge has taken on yet.
    #[prost(message, repeated, tag = "18")]
    pub outbox: Vec<Effect>,
    /// Last event number of each edge epoch.
    #[prost(message, repeated, tag = "19")]
    pub seen: Vec<Seen>,
    /// Running timers.
    #[prost(message, repeated, tag = "20")]
    pub timers: Vec<Timer>,
    /// Types of call events already given for the call itself, one bit each.
    #[prost(uint32, tag = "21")]
    pub given: u32,
    /// Whether the call is on hold: because the business application wishes it, or a phone.
    #[prost(bool, tag = "22")]
    pub held: bool,
    /// Edge epochs known to be over.
    #[prost(message, repeated, tag = "23")]
    pub lost: Vec<EdgeRef>,
    /// Where each m= line of leg b stands on leg a, -1 for nowhere; empty before the sessions were first matched.
    #[prost(sint32, repeated, tag = "24")]
    pub lines: Vec<i32>,
    /// Index of the first of the two legs that are connected with each other. It and `second` are 0 for legs a and b.
    #[prost(uint32, tag = "25")]
    pub first: u32,
    /// Index of the second one.
    #[prost(uint32, tag = "26")]
    pub second: u32,
    /// How many operations with several legs were begun.
    #[prost(uint64, tag = "27")]
    pub operations: u64,
    /// Answers to INFO of the application, the latest last.
    #[prost(message, repeated, tag = "28")]
    pub answers: Vec<Answer>,
    /// The callback of which it is an attempt; empty for none. A replica that loses it tells the callback later.
    #[prost(string, tag = "60")]
    pub callback_id: String,
    /// The conference whose focus the call is.
    #[prost(message, optional, tag = "72")]
    pub conference: Option<Conference>,
    /// Holds and resumes of the application that have not ended.
    #[prost(message, repeated, tag = "73")]
    pub holdings: Vec<Holding>,
}

/// The answer to something that the application had sent in a dialog.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Answer {
    /// By which whoever asked finds it.
    #[prost(string, tag = "1")]
    pub ticket: String,
    /// SIP status; 408 and 503 also stand for none.
    #[prost(uint32, tag = "2")]
    pub sip_status: u32,
    /// Its reason phrase.
    #[prost(string, tag = "3")]
    pub sip_reason: String,
}

/// Someone to be called.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Party {
    /// sip, sips or tel URI.
    #[prost(string, tag = "1")]
    pub uri: String,
    /// Name to show; may be empty.
    #[prost(string, tag = "2")]
    pub display_name: String,
    /// Further headers for the INVITE to this party.
    #[prost(message, repeated, tag = "3")]
    pub headers: Vec<Header>,
    /// Trunk to go out by; empty lets the registrar's plan decide.
    #[prost(string, tag = "4")]
    pub trunk: String,
    /// Who answers for it being called, where a phone asked for it by REFER; empty for what the application wants.
    #[prost(string, tag = "5")]
    pub referred_by: String,
}

/// The controller's identity, timers and choices for one call.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Policy {
    /// URI that Carillon shows in From.
    #[prost(string, tag = "1")]
    pub controller_uri: String,
    /// Name that Carillon shows in From before "on behalf of".
    #[prost(string, tag = "2")]
    pub controller_name: String,
    /// URI to show to both parties instead of the controller's; empty for none.
    #[prost(string, tag = "3")]
    pub caller_id: String,
    /// Host part of Call-IDs.
    #[prost(string, tag = "4")]
    pub host: String,
    /// How long a leg may ring, in ms.
    #[prost(uint64, tag = "5")]
    pub ring_timeout_ms: u64,
    /// Longest time a 2xx or a reliable 18x may wait for its ACK or PRACK, in ms.
    #[prost(uint64, tag = "6")]
    pub guard_ms: u64,
    /// Longest time the parties may be connected, in ms; 0 means no limit.
    #[prost(uint64, tag = "7")]
    pub max_duration_ms: u64,
    /// Begin with the offer of one inactive audio line instead of the offer without media lines.
    #[prost(bool, tag = "8")]
    pub inactive_first: bool,
    /// How many targets of 3xx answers may be tried in all, for each leg; 0 means that redirections are reported.
    #[prost(uint32, tag = "9")]
    pub max_redirects: u32,
    /// LAD-4 d: leave the first party silent and offer once more, without the tone, before giving up.
    #[prost(bool, tag = "10")]
    pub patient: bool,
    /// LAD-4 p: ring the second party as soon as the first has an early session.
    #[prost(bool, tag = "11")]
    pub parallel: bool,
    /// LAD-4 l: ask that the INVITE to the second party does not fork.
    #[prost(bool, tag = "12")]
    pub no_fork: bool,
    /// Country of the ringback tone, "none" for no tone; empty means that of North America.
    #[prost(string, tag = "13")]
    pub ringback_tone: String,
    /// T1 in ms; the waits that RFC 3261 derives from it follow.
    #[prost(uint64, tag = "14")]
    pub t1_ms: u64,
    /// Max-Forwards for new legs; 0 means 70. Set when the call was caused by another SIP request.
    #[prost(uint32, tag = "15")]
    pub max_forwards: u32,
    /// Session interval that Carillon asks for, in seconds (RFC 4028); 0 for none.
    #[prost(uint32, tag = "16")]
    pub session_expires_s: u32,
    /// Name that goes with `caller_id`; empty for none.
    #[prost(string, tag = "17")]
    pub caller_name: String,
    /// Carillon sends no reliable provisional responses, and refuses who requires them.
    #[prost(bool, tag = "18")]
    pub unreliable: bool,
    /// Callers that have no session timer are refused.
    #[prost(bool, tag = "19")]
    pub demands_timer: bool,
    /// Max-Breadth for new legs; 0 means the most that there is. Set when the call was caused by another SIP request.
    #[prost(uint32, tag = "20")]
    pub max_breadth: u32,
    /// Who takes the place of the first party that hangs up, once (LAD-5); none ends the call.
    #[prost(message, optional, tag = "30")]
    pub reconnect_to: Option<Party>,
}

/// How the legs are brought together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Flow {
    /// RINGBACK where the first party allows UPDATE, else IV.
    Auto = 0,
    /// RFC 3725 4.1, LAD-3.
    I = 1,
    /// RFC 3725 4.3, LAD-2.
    Iii = 2,
    /// RFC 3725 4.4, LAD-1.
    Iv = 3,
    /// Ringback by UPDATE and PRACK, LAD-4.
    Ringback = 4,
}

/// Public state of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum CallState {
    /// Never stored.
    Unspecified = 0,
    /// An INVITE is out, nothing is known yet.
    Dialing = 1,
    /// The phone being dialled rings.
    Ringing = 2,
    /// The call goes on without ringing: progress, or the first party waits for the second.
    Progressing = 3,
    /// The parties are connected.
    Answered = 4,
    /// Connected and on hold.
    Held = 5,
    /// The legs are being ended.
    Ending = 6,
    /// Over.
    Ended = 7,
}

impl CallState {
    /// As applications see it.
    pub fn name(self) -> &'static str {
        match self {
            CallState::Unspecified => "STATE_UNSPECIFIED",
            CallState::Dialing => "DIALING",
            CallState::Ringing => "RINGING",
            CallState::Progressing => "PROGRESSING",
            CallState::Answered => "ANSWERED",
            CallState::Held => "HELD",
            CallState::Ending => "ENDING",
            CallState::Ended => "ENDED",
        }
    }
}

/// How a call ended.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Outcome {
    /// The class.
    #[prost(enumeration = "OutcomeKind", tag = "1")]
    pub kind: i32,
    /// SIP status that decided it; 200 when a connected call was ended.
    #[prost(uint32, tag = "2")]
    pub sip_status: u32,
    /// Reason phrase or text of the Reason header.
    #[prost(string, tag = "3")]
    pub sip_reason: String,
    /// Who ended it: a leg's id, "api" or "carillon".
    #[prost(string, tag = "4")]
    pub ended_by: String,
}

/// Class of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum OutcomeKind {
    /// Never stored.
    Unspecified = 0,
    /// The parties were connected.
    Completed = 1,
    /// A party was busy.
    Busy = 2,
    /// A party did not answer.
    NoAnswer = 3,
    /// A party refused.
    Rejected = 4,
    /// A party could not be reached.
    Unreachable = 5,
    /// Ended by the application or by the first party before the second answered.
    Cancelled = 6,
    /// Anything else.
    Failed = 7,
}

/// The last event number taken from one life of an edge.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Seen {
    /// The edge.
    #[prost(string, tag = "1")]
    pub edge_id: String,
    /// Its boot epoch.
    #[prost(uint64, tag = "2")]
    pub edge_epoch: u64,
    /// The last number taken.
    #[prost(uint64, tag = "3")]
    pub number: u64,
}

/// One life of an edge.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct EdgeRef {
    /// The edge.
    #[prost(string, tag = "1")]
    pub edge_id: String,
    /// Its boot epoch.
    #[prost(uint64, tag = "2")]
    pub edge_epoch: u64,
}

/// A running timer.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Timer {
    /// Which.
    #[prost(enumeration = "TimerKind", tag = "1")]
    pub kind: i32,
    /// Index of the leg it belongs to; 0 for timers of the call.
    #[prost(uint32, tag = "2")]
    pub leg: u32,
    /// When it fires, in ms since 1970.
    #[prost(uint64, tag = "3")]
    pub at_ms: u64,
}

/// The engine's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum TimerKind {
    /// Never stored.
    Unspecified = 0,
    /// RING: the leg was dialled and nobody answered.
    Ring = 1,
    /// GUARD: a 2xx or reliable 18x has waited too long for its ACK or PRACK.
    Guard = 2,
    /// A request refused with 491 or 500 is due again.
    Retry = 3,
    /// The parties were connected for as long as allowed.
    MaxDuration = 4,
    /// Neither a final response nor a failure came for a request that ends the leg.
    Closing = 5,
    /// The time in which a 2xx of another fork may come is over.
    Accepted = 6,
    /// The session is to be refreshed (RFC 4028).
    Refresh = 7,
    /// The session was not refreshed (RFC 4028).
    Expiry = 8,
    /// A caller has heard nothing new for a while (RFC 3261 13.3.1.1).
    Repeat = 9,
    /// A caller does not want to wait any longer (RFC 3261 13.3.1).
    Expires = 10,
    /// Another call, or a phone that was asked to call somebody itself, has taken too long.
    Operation = 11,
    /// The final response to an INVITE in a dialog has not come.
    Answer = 12,
}

/// What the business application asked for: the input of [`create`](super::create).
#[derive(Clone, Debug, PartialEq)]
pub struct NewCall {
    /// Carillon's id of the call, fresh.
    pub call_id: String,
    /// How the legs are brought together.
    pub flow: Flow,
    /// The party rung first.
    pub from: Party,
    /// The party rung second.
    pub to: Party,
    /// Identity, timers and choices.
    pub policy: Policy,
    /// Further headers for both INVITEs.
    pub headers: Vec<Header>,
    /// What the application attached.
    pub metadata: HashMap<String, String>,
    /// Fresh entropy, at least 16 octets.
    pub seed: Vec<u8>,
    /// The callback of which it is an attempt; empty for none.
    pub callback_id: String,
}
