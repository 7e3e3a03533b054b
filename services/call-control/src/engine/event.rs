//! What can happen to a call: the input of [`step`](super::step).

use sip_message::NameAddr;

use crate::engine::call::Party;
use crate::engine::conference::Mixer;
use crate::engine::effect::{Body, Header};
use crate::engine::time::Moment;
use crate::engine::transfer::record::Word;

/// One input of the engine.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "an event lives for one step; most are leg events")]
pub enum Event {
    /// An edge saw something on a leg.
    Leg(EdgeEvent),
    /// An edge took an effect on.
    Carried(Carried),
    /// The edge surely did not take the effect on: it refused, or was never reached. The effect goes to another edge of the
    /// context; when there is none, the request has failed.
    NotCarried {
        /// The effect's number.
        effect: u64,
    },
    /// For some time there was no edge at all that could take the INVITE of this effect on; whether one that is gone has it may be
    /// unknown.
    NoEdge {
        /// The effect's number.
        effect: u64,
    },
    /// The due time of the call came.
    Due,
    /// A boot epoch of an edge is over: it died, or came back without its memory.
    EdgeLost {
        /// The edge.
        edge_id: String,
        /// The epoch that ended.
        edge_epoch: u64,
    },
    /// A wish of the business application.
    Command(Command),
    /// Another call says something. It may say it several times.
    Told {
        /// That call.
        from: String,
        /// The operation, by its number in the call that borrows.
        operation: u64,
        /// What it says.
        word: Word,
    },
}

/// A leg event with its origin, which makes duplicates recognisable.
#[derive(Clone, Debug, PartialEq)]
pub struct EdgeEvent {
    /// The edge that saw it.
    pub edge_id: String,
    /// Its boot epoch.
    pub edge_epoch: u64,
    /// 1, 2, 3, ... per call and edge epoch.
    pub number: u64,
    /// The leg.
    pub leg_id: String,
    /// When the edge saw it.
    pub time: Moment,
    /// Flow token on which it came; empty when none.
    pub flow: String,
    /// What happened.
    pub what: LegEvent,
}

/// An edge's word that it took an effect on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The effect's number.
    pub effect: u64,
    /// The edge.
    pub edge_id: String,
    /// Its boot epoch.
    pub edge_epoch: u64,
}

/// One thing that happened on a leg.
#[derive(Clone, Debug, PartialEq)]
pub enum LegEvent {
    /// A response to a request of ours, 100 excepted.
    Response(ResponseReceived),
    /// A request of the peer inside the leg's dialog.
    Request(RequestReceived),
    /// A request of ours ended without a response.
    Failed(RequestFailed),
    /// ACK for a 2xx of ours.
    Ack {
        /// Handle of the INVITE's server transaction.
        transaction: String,
        /// CSeq number.
        cseq: u32,
        /// Body when there is one.
        body: Option<Body>,
    },
    /// No ACK for a 2xx of ours within 64*T1.
    AckMissing {
        /// Handle of the INVITE's server transaction.
        transaction: String,
    },
    /// The peer cancelled a request that is not answered yet; the edge answered the CANCEL 200.
    Cancel {
        /// Handle of the INVITE's server transaction.
        transaction: String,
        /// Values of Reason.
        reason: Vec<String>,
    },
    /// An INVITE outside a dialog that is Carillon's to answer: the first event of its call.
    Incoming(Box<CallReceived>),
    /// No PRACK for a reliable provisional response of ours within 64*T1.
    PrackMissing {
        /// Handle of the INVITE's server transaction.
        transaction: String,
        /// RSeq of the response.
        rseq: u32,
    },
}

/// A request outside of any dialog that Carillon answers: an INVITE that begins a call, or whatever the URI of a conference takes. The
/// edge holds the server transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallReceived {
    /// Method; empty for INVITE.
    pub method: String,
    /// Handle for responses.
    pub transaction: String,
    /// Request-URI.
    pub request_uri: String,
    /// URI of From.
    pub from_uri: String,
    /// Display name of From, unquoted; empty for none.
    pub from_display: String,
    /// Tag of From: the peer's.
    pub from_tag: String,
    /// URI of To.
    pub to_uri: String,
    /// Display name of To.
    pub to_display: String,
    /// Call-ID.
    pub sip_call_id: String,
    /// CSeq number.
    pub cseq: u32,
    /// URI of Contact.
    pub contact: String,
    /// Record-Route values, top first.
    pub record_route: Vec<String>,
    /// Max-Forwards as received.
    pub max_forwards: u32,
    /// Max-Breadth that is left; 0 for the most that there is.
    pub max_breadth: u32,
    /// It came from a neighbour whose word about the caller counts.
    pub is_trusted: bool,
    /// Address of record that was authenticated; empty for none.
    pub identity: String,
    /// Option tags of Require.
    pub require: Vec<String>,
    /// Option tags of Supported.
    pub supported: Vec<String>,
    /// Methods of Allow.
    pub allow: Vec<String>,
    /// Other headers, Accept among them, in order.
    pub headers: Vec<Header>,
    /// Body when there is one.
    pub body: Option<Body>,
}

impl CallReceived {
    /// Whether it is for the service of this user part; nobody's, when that is empty.
    pub fn is_for(&self, service: &str) -> bool {
        let uri = sip_message::Uri::parse(self.request_uri.as_bytes()).ok();
        !service.is_empty() && uri.and_then(|uri| uri.user) == Some(service.as_bytes())
    }
}

/// A response to a request of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseReceived {
    /// Effect number of the request it answers.
    pub effect: u64,
    /// Status, 101..699.
    pub status: u32,
    /// Reason phrase as received.
    pub reason: String,
    /// CSeq method.
    pub method: String,
    /// CSeq number.
    pub cseq: u32,
    /// Tag of To.
    pub to_tag: String,
    /// URI of the first Contact, empty when none.
    pub contact: String,
    /// All Contact values in order, for 3xx.
    pub contacts: Vec<String>,
    /// Record-Route values, top first.
    pub record_route: Vec<String>,
    /// RSeq when present.
    pub rseq: Option<u32>,
    /// Option tags of Require.
    pub require: Vec<String>,
    /// Option tags of Supported.
    pub supported: Vec<String>,
    /// Methods of Allow; empty when the header is absent.
    pub allow: Vec<String>,
    /// Types of Accept; empty when the header is absent.
    pub accept: Vec<String>,
    /// Values of WWW-Authenticate (401) or Proxy-Authenticate (407).
    pub challenges: Vec<String>,
    /// Retry-After in seconds.
    pub retry_after: Option<u32>,
    /// Other headers the engine may want, in order.
    pub headers: Vec<Header>,
    /// Body when there is one.
    pub body: Option<Body>,
    /// It was never sent: the number is lent, and this is who is called instead; empty otherwise.
    pub callee: String,
}

impl ResponseReceived {
    /// Whether its Contact says that a mixer is behind it.
    pub fn is_focus(&self) -> bool {
        let first = self.contacts.first().and_then(|value| NameAddr::parse(value.as_bytes()).ok());
        first.is_some_and(|contact| contact.params.has("isfocus"))
    }

    /// Its reason phrase; a peer may leave that empty (RFC 3261 25.1), and then it is the standard one of the status.
    pub fn phrase(&self) -> &str {
        match self.reason.as_str() {
            "" => standard_phrase(self.status),
            told => told,
        }
    }
}

/// What a status is called when nobody says it.
pub fn standard_phrase(status: u32) -> &'static str {
    u16::try_from(status).map_or("", sip_message::standard_reason)
}

/// A request inside a leg's dialog. The edge holds the server transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestReceived {
    /// Handle for the response; empty for ACK.
    pub transaction: String,
    /// Method.
    pub method: String,
    /// CSeq number.
    pub cseq: u32,
    /// Call-ID.
    pub sip_call_id: String,
    /// Tag of From: the peer's.
    pub from_tag: String,
    /// Tag of To: ours.
    pub to_tag: String,
    /// URI of Contact, empty when none.
    pub contact: String,
    /// RAck, as "rseq cseq method".
    pub rack: Option<String>,
    /// Option tags of Require.
    pub require: Vec<String>,
    /// Option tags of Supported.
    pub supported: Vec<String>,
    /// Methods of Allow.
    pub allow: Vec<String>,
    /// Other headers the engine may want, in order.
    pub headers: Vec<Header>,
    /// Body when there is one.
    pub body: Option<Body>,
    /// The Contact says that a mixer is behind it.
    pub is_focus: bool,
    /// URI of From.
    pub from_uri: String,
    /// URI of To.
    pub to_uri: String,
    /// Record-Route values, top first.
    pub record_route: Vec<String>,
    /// Outside the dialog: address of record that was authenticated; empty for none.
    pub identity: String,
    /// It came from a neighbour whose word about the sender counts.
    pub is_trusted: bool,
    /// A REFER to a number that its sender may not call (T6).
    pub is_denied: bool,
    /// A REFER with Replaces: the call whose leg has that dialog, with the same user's phone; empty for none, or while it is not known.
    pub replaces_in: String,
}

/// A request of ours got no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestFailed {
    /// Effect number of the request.
    pub effect: u64,
    /// CSeq method.
    pub method: String,
    /// Why.
    pub cause: FailureCause,
}

/// Why a request got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureCause {
    /// Timer B or F fired: counts as 408 (RFC 3261 8.1.3.1).
    Timeout,
    /// No way to the peer: counts as 503.
    Transport,
}

impl FailureCause {
    /// The status as which the failure counts.
    pub fn status(self) -> u32 {
        match self {
            FailureCause::Timeout => 408,
            FailureCause::Transport => 503,
        }
    }
}

/// A wish of the business application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// End the call.
    Hangup {
        /// Free text for the Reason header; empty for none.
        reason: String,
    },
    /// Put the parties on hold: both legs become inactive, or the one that is named.
    Hold {
        /// The leg; `None` for both.
        leg_id: Option<String>,
        /// URI of the media server that they listen to meanwhile; empty for none.
        music: String,
    },
    /// Take the parties off hold.
    Unhold {
        /// The leg; `None` for both.
        leg_id: Option<String>,
    },
    /// Connect the party of a leg with another one, and let the present one go when that has succeeded.
    Transfer {
        /// The leg whose party stays.
        leg_id: String,
        /// Where it is led.
        target: Target,
        /// How.
        method: Method,
    },
    /// Let a party listen to a media server, and connect it with the other one again when that is over.
    Play {
        /// The leg to the party.
        leg_id: String,
        /// URI that is called.
        uri: String,
        /// How long it is to last at most, in ms; 0 for as long as the server likes.
        limit_ms: u64,
    },
    /// Bring a third party in.
    Join {
        /// Who comes.
        party: Party,
        /// Where the media are mixed.
        mixer: Mixer,
    },
    /// Send INFO in a leg's dialog.
    SendInfo {
        /// The leg.
        leg_id: String,
        /// Type and content.
        body: Option<Body>,
        /// Info-Package; empty for none.
        package: String,
        /// By which whoever asks finds the answer.
        ticket: String,
    },
    /// Send key presses in a leg's dialog.
    SendKeys {
        /// The leg.
        leg_id: String,
        /// Which, in order.
        digits: String,
        /// Length of each, in ms.
        duration_ms: u64,
        /// By which whoever asks finds the answer to the last one.
        ticket: String,
    },
}

/// Where a party is led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To this party, which is dialled.
    Party(Party),
    /// To the party of this leg of another call.
    Leg {
        /// The other call.
        call_id: String,
        /// Its leg.
        leg_id: String,
    },
    /// To this party by REFER with Replaces, in the place of whoever it talks to in another call.
    Replacing {
        /// Its phone's URI, with Replaces.
        party: Party,
        /// The other call.
        call_id: String,
    },
    /// To the far party of another call, in which whoever lets it go here takes part too.
    Call(String),
}

/// How a party is led elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By REFER where its phone allows that, else by Carillon.
    Auto,
    /// Its phone is asked by REFER to call the target itself.
    Refer,
    /// Carillon calls the target and sends the phone a re-INVITE.
    Reinvite,
}
