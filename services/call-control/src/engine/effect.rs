//! What a step wants done on the wire. The shell hands each effect to an edge, field by field.
//!
//! An effect is idempotent by construction: branch parameters are derived from the call id and the effect's number, tags and
//! CSeq numbers are in the effect itself, so an effect carried out twice is a retransmission.

use crate::engine::text;
use crate::engine::transfer::record::Tell;

/// A header field that has no field of its own.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Header {
    /// Name as on the wire.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Value in one line, without CR, LF or NUL.
    #[prost(string, tag = "2")]
    pub value: String,
}

impl Header {
    /// A header; characters that could end the line are dropped from the value.
    pub fn new(name: &str, value: impl AsRef<str>) -> Header {
        Header { name: text::one_line(name), value: text::one_line(value.as_ref()) }
    }
}

/// A message body and its type.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Body {
    /// Value of Content-Type.
    #[prost(string, tag = "1")]
    pub content_type: String,
    /// Value of Content-Disposition, empty for none.
    #[prost(string, tag = "2")]
    pub content_disposition: String,
    /// The octets.
    #[prost(bytes = "vec", tag = "3")]
    pub content: Vec<u8>,
}

impl Body {
    /// A session description.
    pub fn sdp(content: Vec<u8>) -> Body {
        Body { content_type: "application/sdp".into(), content_disposition: String::new(), content }
    }
}

/// One thing to do on one leg. Effects of one leg are carried out in the order in which they stand in the outbox, and those of several in
/// that of their numbers, unless an edge does not answer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Effect {
    /// Number within the call: 1, 2, 3, ...
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// The leg: "a", "b", ...; empty for what another call is told.
    #[prost(string, tag = "2")]
    pub leg_id: String,
    /// The edge that carries it. It is chosen before the commit and stays the same until the edge is lost or refuses, so that
    /// no effect is carried by two edges. Empty when the context named no edge: any edge.
    #[prost(string, tag = "3")]
    pub edge_id: String,
    /// Boot epoch of that edge, 0 when `edge_id` is empty.
    #[prost(uint64, tag = "4")]
    pub edge_epoch: u64,
    /// What to do.
    #[prost(oneof = "What", tags = "5, 6, 7, 8, 10, 11")]
    pub what: Option<What>,
    /// How many edges refused it.
    #[prost(uint32, tag = "9")]
    pub refusals: u32,
}

impl Effect {
    /// Whether it begins a leg.
    pub fn is_first_invite(&self) -> bool {
        matches!(&self.what, Some(What::Send(request)) if request.method == "INVITE" && request.to_tag.is_empty())
    }

    /// Whether only the named edge can carry this effect, because it refers to a transaction that lives there.
    pub fn is_bound_to_edge(&self) -> bool {
        matches!(self.what, Some(What::Cancel(_) | What::Respond(_) | What::Release(_)))
    }
}

/// The kinds of effect.
#[derive(Clone, PartialEq, prost::Oneof)]
#[expect(clippy::large_enum_variant, reason = "most effects are requests")]
pub enum What {
    /// Send a request.
    #[prost(message, tag = "5")]
    Send(SendRequest),
    /// Cancel an INVITE.
    #[prost(message, tag = "6")]
    Cancel(CancelInvite),
    /// Answer a request.
    #[prost(message, tag = "7")]
    Respond(SendResponse),
    /// Forget the leg.
    #[prost(message, tag = "8")]
    Release(ReleaseLeg),
    /// Tell another call something. No edge carries it, but whichever replica has the turn.
    #[prost(message, tag = "10")]
    Tell(Tell),
    /// Tell those who watch a conference who is in it. No edge carries it either.
    #[prost(message, tag = "11")]
    Roster(Roster),
}

/// A request of Carillon as user agent. The edge adds Via, Max-Forwards, Contact and Content-Length.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct SendRequest {
    /// Method. ACK means the ACK for a 2xx, which the edge keeps and repeats.
    #[prost(string, tag = "1")]
    pub method: String,
    /// The dialled URI, or the remote target of the dialog.
    #[prost(string, tag = "2")]
    pub request_uri: String,
    /// Route set in sending order.
    #[prost(string, repeated, tag = "3")]
    pub route: Vec<String>,
    /// URI in From.
    #[prost(string, tag = "4")]
    pub from_uri: String,
    /// Display name in From, unquoted; empty for none.
    #[prost(string, tag = "5")]
    pub from_display: String,
    /// Tag in From.
    #[prost(string, tag = "6")]
    pub from_tag: String,
    /// URI in To.
    #[prost(string, tag = "7")]
    pub to_uri: String,
    /// Tag in To; empty outside a dialog.
    #[prost(string, tag = "8")]
    pub to_tag: String,
    /// Call-ID.
    #[prost(string, tag = "9")]
    pub sip_call_id: String,
    /// CSeq number.
    #[prost(uint32, tag = "10")]
    pub cseq: u32,
    /// Further headers in order.
    #[prost(message, repeated, tag = "11")]
    pub headers: Vec<Header>,
    /// Body; absent means Content-Length: 0.
    #[prost(message, optional, tag = "12")]
    pub body: Option<Body>,
    /// Flow token on which the dialog lives; empty before the first event.
    #[prost(string, tag = "13")]
    pub flow: String,
    /// Trunk to go out by; empty lets the registrar's plan decide.
    #[prost(string, tag = "14")]
    pub trunk: String,
    /// Max-Forwards to send; 0 means 70.
    #[prost(uint32, tag = "15")]
    pub max_forwards: u32,
    /// INVITE outside a dialog: the edge itself cancels after this many milliseconds; 0 means never.
    #[prost(uint64, tag = "16")]
    pub ring_limit_ms: u64,
    /// Max-Breadth to send; 0 means the most that there is.
    #[prost(uint32, tag = "17")]
    pub max_breadth: u32,
    /// The Contact says that a mixer is behind it.
    #[prost(bool, tag = "18")]
    pub is_focus: bool,
    /// The Contact is that of a focus.
    #[prost(bool, tag = "19")]
    pub in_conference: bool,
    /// The party on whose word it is sent, by REFER or 3xx; empty for the application's own.
    #[prost(string, tag = "20")]
    pub referred_by: String,
}

/// Cancel of an INVITE; the edge holds it back until a provisional response came (RFC 3261 9.1).
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct CancelInvite {
    /// Effect number of the INVITE.
    #[prost(uint64, tag = "1")]
    pub invite_effect: u64,
    /// Further headers, for example Reason.
    #[prost(message, repeated, tag = "2")]
    pub headers: Vec<Header>,
}

/// Response to a request that came in on a leg.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct SendResponse {
    /// Handle of the server transaction, from the event.
    #[prost(string, tag = "1")]
    pub transaction: String,
    /// Status, 101..699.
    #[prost(uint32, tag = "2")]
    pub status: u32,
    /// Reason phrase; empty means the standard one.
    #[prost(string, tag = "3")]
    pub reason: String,
    /// Tag to put into To when the request had none.
    #[prost(string, tag = "4")]
    pub to_tag: String,
    /// Further headers in order.
    #[prost(message, repeated, tag = "5")]
    pub headers: Vec<Header>,
    /// Body.
    #[prost(message, optional, tag = "6")]
    pub body: Option<Body>,
    /// The Contact says that a mixer is behind it.
    #[prost(bool, tag = "7")]
    pub is_focus: bool,
    /// The Contact is that of a focus.
    #[prost(bool, tag = "8")]
    pub in_conference: bool,
}

/// Who is in a conference.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Roster {
    /// URI of the conference.
    #[prost(string, tag = "1")]
    pub uri: String,
    /// Grows with each change.
    #[prost(uint64, tag = "2")]
    pub version: u64,
    /// Everybody who is in, or was asked to come.
    #[prost(message, repeated, tag = "3")]
    pub entries: Vec<RosterEntry>,
    /// It is over.
    #[prost(bool, tag = "4")]
    pub is_over: bool,
}

/// Somebody in a conference.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct RosterEntry {
    /// Who it is.
    #[prost(string, tag = "1")]
    pub uri: String,
    /// Name to show; empty for none.
    #[prost(string, tag = "2")]
    pub display_name: String,
    /// Contact of its phone; empty while unknown.
    #[prost(string, tag = "3")]
    pub endpoint: String,
    /// It is in.
    #[prost(bool, tag = "4")]
    pub is_in: bool,
    /// It is in, and on hold.
    #[prost(bool, tag = "5")]
    pub is_held: bool,
    /// It was called, and rings.
    #[prost(bool, tag = "6")]
    pub is_ringing: bool,
    /// It called the conference, or the call that became one.
    #[prost(bool, tag = "7")]
    pub has_called: bool,
    /// When it came in, in ms since 1970; 0 before.
    #[prost(uint64, tag = "8")]
    pub joined_ms: u64,
    /// Call-ID of its dialog.
    #[prost(string, tag = "9")]
    pub sip_call_id: String,
    /// Our tag in it.
    #[prost(string, tag = "10")]
    pub local_tag: String,
    /// Its tag.
    #[prost(string, tag = "11")]
    pub remote_tag: String,
}

/// Nothing more will be asked for this leg.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct ReleaseLeg {}
