//! From bytes to a message that the transactions may see: grammar, mandatory headers, where it came from, where its
//! responses go.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;

use bytes::Bytes;
use sip_message::{
    HeaderError, HeaderId, Limits, Message, ParseError, ParseErrorKind, ResponseBuilder, Rport, Via, Warning,
    host_ip,
};

use crate::counters::{Counter, Counters};
use crate::flow::FlowView;
use crate::hop::{Arrival, FlowId, Hop, Transport};
use crate::names::Names;

/// How many times as long as a request by datagrams its refusal may be.
const AMPLIFIED: usize = 3;

/// How bytes reached us.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) flow: Hop,
    pub(crate) source: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) transport: Transport,
}

/// What becomes of a message.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "lives on the stack for one call, and nearly always holds the message"
)]
pub(crate) enum Verdict {
    /// The transactions see it.
    Take(Message, Arrival),
    /// It is refused with this response.
    Answer(Bytes, Hop),
    /// It is dropped.
    Drop,
}

/// Judges a message that could be parsed.
pub(crate) fn admit(
    message: Message,
    way: Way,
    names: &Names,
    tags: &RandomState,
    counters: &Counters,
) -> Verdict {
    let essentials = match message.essentials() {
        Ok(essentials) => essentials,
        Err(error) => {
            counters.malformed_mandatory.one_more();
            return refuse(&message, 400, Some(error.into()), way, tags, counters);
        }
    };
    if !message.is_request() {
        if !names.wrote(&essentials.via) {
            // RFC 3261 18.1.2
            counters.foreign_responses.one_more();
            return Verdict::Drop;
        }
        let arrival = way.arrival(way.flow);
        return Verdict::Take(message, arrival);
    }
    let via = essentials.via;
    let arrival = way.arrival(reply_hop(&via, way));
    if via.rport != Rport::Requested && host_ip(via.host) == Some(way.source.ip()) {
        return Verdict::Take(message, arrival);
    }
    // RFC 3261 18.2.1, RFC 3581 4
    match message.edit().mark_received(way.source.ip(), way.source.port()).finish() {
        Ok(marked) => Verdict::Take(marked, arrival),
        Err(_) => {
            // Only a head at the very limit of its size can have no room for it.
            counters.malformed_too_large.one_more();
            refuse(&message, 513, None, way, tags, counters)
        }
    }
}

/// Judges bytes that could not be parsed.
pub(crate) fn refuse_unparsed(
    bytes: Bytes,
    error: ParseError,
    way: Way,
    limits: &Limits,
    tags: &RandomState,
    counters: &Counters,
) -> Verdict {
    let (counter, status) = meaning(error.kind, counters);
    counter.one_more();
    match Message::salvage(bytes, limits) {
        Some(message) => refuse(&message, status, Some(error.into()), way, tags, counters),
        None => {
            counters.malformed_unanswered.one_more();
            Verdict::Drop
        }
    }
}

/// The table that turns a fault of the grammar into an answer. RFC 3261 21.4.1, 21.4.11, 21.4.12, 21.5.6, 21.5.7
fn meaning(kind: ParseErrorKind, counters: &Counters) -> (&Counter, u16) {
    match kind {
        ParseErrorKind::Empty | ParseErrorKind::StartLine => (&counters.malformed_start_line, 400),
        ParseErrorKind::Tls => (&counters.tls_at_plain_ports, 400),
        ParseErrorKind::Version => (&counters.malformed_version, 505),
        ParseErrorKind::RequestUri => (&counters.malformed_start_line, 400),
        ParseErrorKind::RequestUriTooLong => (&counters.malformed_too_large, 414),
        ParseErrorKind::HeaderLine | ParseErrorKind::UnfinishedHead => (&counters.malformed_headers, 400),
        ParseErrorKind::ContentLength | ParseErrorKind::MissingContentLength | ParseErrorKind::ShortBody => {
            (&counters.malformed_length, 400)
        }
        ParseErrorKind::TooMany | ParseErrorKind::LineTooLong => (&counters.malformed_too_large, 400),
        ParseErrorKind::TooLarge => (&counters.malformed_too_large, 513),
    }
}

/// Whether it broke a limit, and not the grammar.
pub(crate) fn is_excess(kind: ParseErrorKind) -> bool {
    match kind {
        ParseErrorKind::TooMany
        | ParseErrorKind::LineTooLong
        | ParseErrorKind::TooLarge
        | ParseErrorKind::RequestUriTooLong => true,
        ParseErrorKind::Empty
        | ParseErrorKind::StartLine
        | ParseErrorKind::Tls
        | ParseErrorKind::Version
        | ParseErrorKind::RequestUri
        | ParseErrorKind::HeaderLine
        | ParseErrorKind::UnfinishedHead
        | ParseErrorKind::ContentLength
        | ParseErrorKind::MissingContentLength
        | ParseErrorKind::ShortBody => false,
    }
}

/// Answers a request that cannot be processed, if it says where to and is not an ACK. Responses are dropped.
/// RFC 3261 8.2.7, 18.3
fn refuse(
    message: &Message,
    status: u16,
    fault: Option<Fault>,
    way: Way,
    tags: &RandomState,
    counters: &Counters,
) -> Verdict {
    if !message.is_request() || message.method_str() == "ACK" {
        counters.malformed_unanswered.one_more();
        return Verdict::Drop;
    }
    // MSG-10: without Via there is no way, and without the others nobody could tell what the answer belongs to. They are
    // copied as they stand: what they say wrong is the sender's own, by which it finds its request again.
    let identity =
        [HeaderId::From, HeaderId::To, HeaderId::CallId, HeaderId::CSeq].map(|id| message.first(id));
    let via = message.top_via().or_else(|_| message.salvaged_via());
    let (Ok(via), [Some(from), Some(_), Some(call_id), Some(_)]) = (via, identity) else {
        counters.malformed_unanswered.one_more();
        return Verdict::Drop;
    };
    let hop = reply_hop(&via, way);
    // MSG-13: a tag that is the same for each repetition of the request, because nothing is remembered of it.
    let tag = format!("{:016x}", tags.hash_one((via.branch, from, call_id)));
    let answer = |response: ResponseBuilder<'_>| {
        let response = match response.clone().to_tag(&tag) {
            Ok(tagged) => tagged.build(),
            Err(_) => response.build(),
        };
        let marked = response.edit().mark_received(way.source.ip(), way.source.port()).finish();
        marked.unwrap_or(response).bytes().clone()
    };
    // Whose address it came from nobody knows: the answer is as much longer as that allows, and what is no phone's request gets none.
    let most = match hop {
        Hop::Udp { .. } => AMPLIFIED * message.bytes().len(),
        Hop::Flow(_) => usize::MAX,
    };
    let plain = ResponseBuilder::to(message, status);
    let answers = [explained(plain.clone(), fault), plain].map(answer);
    match answers.into_iter().find(|answer| answer.len() <= most) {
        Some(answer) => {
            counters.malformed_answered.one_more();
            Verdict::Answer(answer, hop)
        }
        None => {
            counters.malformed_unanswered.one_more();
            Verdict::Drop
        }
    }
}

/// The answer with what was wrong, for the person who looks at it: RFC 3261 21.4.1 wants the syntax problem in the reason phrase, 20.43 has
/// a warning for texts. Both are ours, word for word.
fn explained(response: ResponseBuilder<'_>, fault: Option<Fault>) -> ResponseBuilder<'_> {
    let Some(fault) = fault else { return response };
    let warning = Warning::print(399, "carillon", &fault.to_string());
    let response = match response.clone().header(HeaderId::Warning, warning) {
        Ok(warned) => warned,
        Err(_) => response,
    };
    match fault.reason().map(|reason| response.clone().reason(&reason)) {
        Some(Ok(explained)) => explained,
        Some(Err(_)) | None => response,
    }
}

/// What is wrong with a request.
#[derive(Debug, thiserror::Error)]
enum Fault {
    /// It is no message.
    #[error(transparent)]
    Message(#[from] ParseError),
    /// A header that it needs is not as it has to be.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

impl Fault {
    fn reason(&self) -> Option<String> {
        match self {
            Self::Message(error) => reason(error),
            Self::Header(error) => Some(error.reason()),
        }
    }
}

fn reason(error: &ParseError) -> Option<String> {
    match error.kind {
        ParseErrorKind::TooMany => {
            error.expected.strip_prefix("fewer ").map(|what| format!("Too Many {what}"))
        }
        ParseErrorKind::LineTooLong => Some("Header Line Too Long".to_owned()),
        ParseErrorKind::ContentLength | ParseErrorKind::ShortBody => Some("Bad Content-Length".to_owned()),
        ParseErrorKind::MissingContentLength => Some("Missing Content-Length".to_owned()),
        ParseErrorKind::HeaderLine => Some("Bad Header Line".to_owned()),
        ParseErrorKind::UnfinishedHead => Some("Unfinished Header Lines".to_owned()),
        ParseErrorKind::RequestUri => Some("Bad Request-URI".to_owned()),
        // Their statuses say it, or there is nothing to be said.
        ParseErrorKind::Empty
        | ParseErrorKind::StartLine
        | ParseErrorKind::Tls
        | ParseErrorKind::Version
        | ParseErrorKind::RequestUriTooLong
        | ParseErrorKind::TooLarge => None,
    }
}

/// RFC 3261 18.2.2 with RFC 3581 4.
fn reply_hop(via: &Via<'_>, way: Way) -> Hop {
    match way.flow {
        Hop::Flow(_) => way.flow,
        Hop::Udp { socket, .. } => {
            if let Some(ip) = via.maddr.and_then(host_ip) {
                return Hop::Udp { socket, peer: SocketAddr::new(ip, via.port_or_default()) };
            }
            match via.rport {
                Rport::Requested | Rport::Port(_) => way.flow,
                Rport::Absent => {
                    Hop::Udp { socket, peer: SocketAddr::new(way.source.ip(), via.port_or_default()) }
                }
            }
        }
    }
}

impl Way {
    /// Along a connection.
    pub(crate) fn along(flow: FlowId, view: FlowView) -> Self {
        Self { flow: Hop::Flow(flow), source: view.peer, local: view.local, transport: view.transport }
    }

    fn arrival(&self, hop: Hop) -> Arrival {
        let Self { flow, source, local, transport } = *self;
        Arrival { hop, flow, source, local, transport }
    }
}
