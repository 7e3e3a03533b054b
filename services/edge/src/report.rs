//! What another service is told of a message: the fields it decides on, never the text.

use cluster_api::callcontrol::v1::{RequestReceived, ResponseReceived};
use cluster_api::sip::v1::{Body, Header};
use sip_message::{HeaderId, Message, NameAddr, standard_reason};

use crate::answer::{challenges, is_framing};

/// A response of the peer. `others` are responses of other branches whose challenges go along.
pub(crate) fn response(effect: u64, response: &Message, others: &[Message]) -> ResponseReceived {
    let cseq = response.cseq().ok();
    let own = challenges(std::slice::from_ref(response));
    ResponseReceived {
        effect,
        status: response.status().unwrap_or(500).into(),
        reason: text(response.reason()),
        method: response.method_str().to_owned(),
        cseq: cseq.map_or(0, |cseq| cseq.number),
        to_tag: tag(response.to()),
        contact: contact(response),
        contacts: texts(response, HeaderId::Contact),
        record_route: texts(response, HeaderId::RecordRoute),
        rseq: response.rseq().ok().flatten(),
        require: tags(response, HeaderId::Require),
        supported: tags(response, HeaderId::Supported),
        allow: tags(response, HeaderId::Allow),
        accept: texts(response, HeaderId::Accept),
        challenges: own.chain(challenges(others)).map(|(_, value)| text(&value)).collect(),
        retry_after: response.retry_after().ok().flatten().map(|after| after.seconds),
        headers: headers(response),
        body: body(response),
        callee: String::new(),
    }
}

/// A final response that no peer sent: the answer to a request that was never put on the wire.
pub(crate) fn local_response(effect: u64, status: u16, request: &Message) -> ResponseReceived {
    ResponseReceived {
        effect,
        status: status.into(),
        reason: standard_reason(status).to_owned(),
        method: request.method_str().to_owned(),
        cseq: request.cseq().map_or(0, |cseq| cseq.number),
        ..ResponseReceived::default()
    }
}

/// A request of the peer.
pub(crate) fn request(transaction: String, request: &Message) -> RequestReceived {
    RequestReceived {
        transaction,
        method: request.method_str().to_owned(),
        cseq: request.cseq().map_or(0, |cseq| cseq.number),
        sip_call_id: request.call_id().map_or(String::new(), text),
        from_tag: tag(request.from()),
        to_tag: tag(request.to()),
        contact: contact(request),
        rack: request.first(HeaderId::RAck).map_or(String::new(), text),
        require: tags(request, HeaderId::Require),
        supported: tags(request, HeaderId::Supported),
        allow: tags(request, HeaderId::Allow),
        headers: headers(request),
        body: body(request),
        is_focus: is_focus(request),
        from_uri: request.from().map_or(String::new(), |from| text(from.uri)),
        to_uri: request.to().map_or(String::new(), |to| text(to.uri)),
        record_route: texts(request, HeaderId::RecordRoute),
        identity: String::new(),
        is_trusted: false,
    }
}

/// The body of a message, if it has one.
pub(crate) fn body(message: &Message) -> Option<Body> {
    (!message.body().is_empty()).then(|| Body {
        content_type: message.first(HeaderId::ContentType).map_or(String::new(), text),
        content_disposition: message.first(HeaderId::ContentDisposition).map_or(String::new(), text),
        content: message.body_bytes(),
    })
}

/// Values of a header, each in one line.
pub(crate) fn texts(message: &Message, id: HeaderId) -> Vec<String> {
    message.values(id).map(text).collect()
}

/// All headers but those that frame the message or have a field in any report.
pub(crate) fn all_headers(message: &Message) -> Vec<Header> {
    let kept = message.fields().filter(|field| {
        !is_framing(field.id)
            && !matches!(
                field.id,
                HeaderId::Contact
                    | HeaderId::WwwAuthenticate
                    | HeaderId::ProxyAuthenticate
                    | HeaderId::ContentType
            )
    });
    kept.map(|field| Header { name: text(field.name), value: text(field.value) }).collect()
}

fn headers(message: &Message) -> Vec<Header> {
    let named = message.fields().filter(|field| !has_field(field.id));
    named.map(|field| Header { name: text(field.name), value: text(field.value) }).collect()
}

/// Headers that an event says in a field of its own, or that concern neighbours only.
fn has_field(id: HeaderId) -> bool {
    is_framing(id)
        || matches!(
            id,
            HeaderId::Contact
                | HeaderId::Route
                | HeaderId::RSeq
                | HeaderId::RAck
                | HeaderId::Require
                | HeaderId::Supported
                | HeaderId::Allow
                | HeaderId::Accept
                | HeaderId::WwwAuthenticate
                | HeaderId::ProxyAuthenticate
                | HeaderId::RetryAfter
                | HeaderId::ContentType
                | HeaderId::ContentDisposition
                | HeaderId::MaxBreadth
        )
}

/// One line of text; folds become spaces, and octets that are no UTF-8 are replaced.
pub(crate) fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if memchr::memchr2(b'\r', b'\n', bytes).is_none() => text.to_owned(),
        _ => String::from_utf8_lossy(bytes).replace(['\r', '\n'], " "),
    }
}

fn tag<E>(address: Result<NameAddr<'_>, E>) -> String {
    address.ok().and_then(|address| address.tag()).unwrap_or_default().to_owned()
}

fn tags(message: &Message, id: HeaderId) -> Vec<String> {
    message.option_tags(id).map(str::to_owned).collect()
}

/// Whether a mixer is behind the sender. RFC 3840
fn is_focus(message: &Message) -> bool {
    let first = message.contacts().next().and_then(Result::ok);
    first.is_some_and(|contact| contact.params.has("isfocus"))
}

/// The URI of the first Contact; empty when there is none that can be read.
pub(crate) fn contact(message: &Message) -> String {
    message.contacts().next().and_then(Result::ok).map_or(String::new(), |contact| text(contact.uri))
}

#[cfg(test)]
mod tests {
    use sip_message::Limits;

    use super::*;

    #[test]
    fn a_response_is_reported_with_everything_the_engine_may_want() {
        let message = "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\
            Record-Route: <sip:p2;lr>, <sip:p1;lr>\r\nFrom: <sip:a@h>;tag=f\r\nTo: <sip:b@h>;tag=t\r\nCall-ID: c\r\n\
            CSeq: 3 INVITE\r\nm: <sip:b@192.0.2.1>\r\nRequire: 100rel\r\nRSeq: 7\r\nAllow: INVITE, UPDATE\r\n\
            Retry-After: 5 (soon)\r\nWarning: 399 h \"folded\r\n text\"\r\nc: application/sdp\r\nl: 3\r\n\r\nv=0";
        let message = Message::parse(message.as_bytes().to_vec().into(), &Limits::default()).unwrap();
        let report = response(9, &message, &[]);
        assert_eq!((report.effect, report.status, report.cseq), (9, 180, 3));
        assert_eq!((report.to_tag.as_str(), report.contact.as_str()), ("t", "sip:b@192.0.2.1"));
        assert_eq!(report.record_route, ["<sip:p2;lr>", "<sip:p1;lr>"]);
        assert_eq!((report.rseq, report.retry_after), (Some(7), Some(5)));
        assert_eq!(report.allow, ["INVITE", "UPDATE"]);
        assert_eq!(
            report.headers,
            [Header { name: "Warning".into(), value: "399 h \"folded   text\"".into() }]
        );
        assert_eq!(report.body.unwrap().content_type, "application/sdp");
    }
}
