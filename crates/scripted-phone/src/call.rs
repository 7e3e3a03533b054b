//! The one call the phone has.

use std::time::Instant;

use sip_message::{HeaderId, Message, Uri};

use crate::sdp::Description;

/// Where the call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Incoming, not answered; `held_back` when the answer waits for a PRACK (RFC 3262 3).
    Ringing { held_back: bool },
    /// 200 sent, ACK awaited.
    Answered,
    /// Outgoing, no final response yet.
    Calling,
    /// Up.
    Connected,
    /// BYE sent, or CANCEL sent: waits for the end.
    Ending,
}

/// What tells a dialog from others, as one of its two sides knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialog {
    /// Its Call-ID.
    pub call_id: String,
    /// The tag of that side.
    pub local_tag: String,
    /// The tag of the other one.
    pub remote_tag: String,
}

/// A dialog and the INVITE that made it.
#[derive(Debug, Clone)]
pub struct Call {
    pub stage: Stage,
    pub call_id: String,
    pub local_uri: String,
    pub local_tag: String,
    pub remote_uri: String,
    pub remote_tag: String,
    pub remote_target: String,
    pub route: Vec<String>,
    pub cseq: u32,
    /// The INVITE that is being answered or was sent last.
    pub invite: Message,
    /// Status of the last reliable provisional response that waits for PRACK, its RSeq, and the one sent last.
    pub rseq: u32,
    pub awaits_prack: bool,
    /// An offer of ours was answered, or an answer of ours sent: the 200 carries no SDP.
    pub settled: bool,
    pub sdp: Description,
    pub answer_at: Option<Instant>,
    pub hangup_at: Option<Instant>,
    /// Whether credentials were tried for the INVITE.
    pub authorised: bool,
    /// Headers that our INVITE has besides.
    pub says: Vec<(HeaderId, String)>,
    /// Whether a re-INVITE of ours waits for its answer.
    pub changing: bool,
}

impl Call {
    /// Whether an in-dialog message belongs here.
    pub fn matches(&self, message: &Message) -> bool {
        let tag = |name: Result<sip_message::NameAddr<'_>, _>| {
            name.ok().and_then(|n| n.tag().map(text)).unwrap_or_default()
        };
        message.call_id().is_ok_and(|id| id == self.call_id.as_bytes())
            && tag(message.to()) == self.local_tag
            && (self.remote_tag.is_empty() || tag(message.from()) == self.remote_tag)
    }

    /// Takes the remote target from a message of the peer.
    pub fn refresh_target(&mut self, message: &Message) {
        if let Some(uri) = contact(message) {
            self.remote_target = uri;
        }
    }
}

/// URI of the first Contact.
pub fn contact(message: &Message) -> Option<String> {
    let value = message.first(HeaderId::Contact)?;
    Some(text(sip_message::NameAddr::parse(value).ok()?.uri))
}

/// Record-Route as a route set: in order for a callee, reversed for a caller (RFC 3261 12.1).
pub fn route_set(message: &Message, caller: bool) -> Vec<String> {
    let mut routes: Vec<String> = message.values(HeaderId::RecordRoute).map(text).collect();
    if caller {
        routes.reverse();
    }
    routes
}

/// The numeric address in a URI or a Route value, with port 5060 when it has none.
pub fn address(value: &str) -> Option<std::net::SocketAddr> {
    let inner = value.split_once('<').map_or(value, |(_, rest)| rest.split('>').next().unwrap_or(rest));
    let uri = Uri::parse(inner.as_bytes()).ok()?;
    Some(std::net::SocketAddr::new(uri.host_ip()?, uri.port.unwrap_or(5060)))
}

/// Octets as text, for a phone that only shows and compares them.
pub fn text(octets: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(octets.as_ref()).into_owned()
}
