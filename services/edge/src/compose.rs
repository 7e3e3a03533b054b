//! A request of Carillon as user agent. Via and Contact follow when it is known which way it leaves.

use cluster_api::edge::v1::SendRequest;
use cluster_api::sip::v1 as sip_api;
use sip_endpoint::Transport;
use sip_message::{BuildError, HeaderId, Message, Method, RequestBuilder, is_token, quote};

use crate::answer::is_framing;

/// User part of the Contact of subscriptions: requests for it go to presence.
pub(crate) const PRESENCE: &str = "carillon-presence";

/// Parameter of our Contact and Record-Route that holds the mark of the dialog.
pub(crate) const MARK: &str = "d";

/// Parameter of our Record-Route that holds the mark of the trunk on that side.
pub(crate) const TRUNK: &str = "k";

/// Parameter of our Record-Route that holds the mark of a dialog with a gateway.
pub(crate) const GATEWAY: &str = "g";

/// Parameter of the Route by which a request goes to the edge that has the flow: what it tells of its call was told.
pub(crate) const RELAYED: &str = "told";

/// Makes the request. Max-Forwards is one above what is asked for: sending it counts as a hop.
///
/// # Errors
/// When a part must not go into a message.
pub(crate) fn request(send: &SendRequest) -> Result<Message, BuildError> {
    let method = Method::from(send.method.as_str());
    let max_forwards = if send.max_forwards == 0 { 70 } else { send.max_forwards.min(255) };
    let mut request = RequestBuilder::new(method, &send.request_uri)?
        .header(HeaderId::MaxForwards, (max_forwards + 1).to_string())?;
    for route in &send.route {
        request = request.header(HeaderId::Route, route)?;
    }
    request = request
        .header(HeaderId::From, address(&send.from_display, &send.from_uri, &send.from_tag)?)?
        .header(HeaderId::To, address("", &send.to_uri, &send.to_tag)?)?
        .header(HeaderId::CallId, &send.sip_call_id)?
        .header(HeaderId::CSeq, format!("{} {}", send.cseq, send.method))?;
    for header in &send.headers {
        if !is_own(HeaderId::from_name(header.name.as_bytes())) {
            request = request.named(&header.name, &header.value)?;
        }
    }
    match &send.body {
        Some(body) => Ok(with_body(request, body)?.build()),
        None => Ok(request.build()),
    }
}

fn with_body(request: RequestBuilder, body: &sip_api::Body) -> Result<RequestBuilder, BuildError> {
    let request = match body.content_disposition.as_str() {
        "" => request,
        disposition => request.header(HeaderId::ContentDisposition, disposition)?,
    };
    // A Content-Type says nothing where there is no content, and an empty one is none (RFC 3261 20.15).
    if body.content.is_empty() && body.content_type.is_empty() {
        return Ok(request);
    }
    request.body(&body.content_type, body.content.clone())
}

/// A Contact value of ours: requests for this user reach us through any edge, which knows it by the mark of the dialog even when
/// the one that it names is gone.
pub(crate) fn own_contact(
    user: &str,
    transport: Transport,
    tls: TlsForm,
    sent_by: &str,
    mark: &str,
) -> String {
    let (scheme, param) = uri_form(transport, tls);
    format!("<{scheme}:{user}@{sent_by}{param};{MARK}={mark}>")
}

/// The Contact of a subscription. Requests to it reach presence through any edge, for as long as the subscription lives: it is a GRUU
/// (RFC 6665 4.5.1, RFC 5627 3.3).
pub(crate) fn presence_contact(transport: Transport, sent_by: &str, mark: &str) -> String {
    subscriber_contact(PRESENCE, transport, sent_by, mark)
}

/// The same for a subscription of ours with a phone, of this user.
pub(crate) fn subscriber_contact(user: &str, transport: Transport, sent_by: &str, mark: &str) -> String {
    let (scheme, param) = uri_form(transport, TlsForm::Scheme);
    format!("<{scheme}:{user}@{sent_by}{param};gr;{MARK}={mark}>")
}

/// A Contact value for a REGISTER of ours: this user, at this edge.
pub(crate) fn registered_contact(user: &str, transport: Transport, sent_by: &str) -> String {
    let (scheme, param) = uri_form(transport, TlsForm::Scheme);
    format!("<{scheme}:{user}@{sent_by}{param}>")
}

/// How a URI of ours says that TLS leads to it. RFC 3263 leaves no third one to who gives a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsForm {
    /// By `sips`: RFC 5630 3.1.3 makes no use of the other one. The rule for what belongs to `sips`.
    Scheme,
    /// By `transport=tls`, where the operator wants that for `sip`: for phones that send nothing to `sips`.
    Parameter,
}

/// The scheme of a URI that is reached by this transport, and the parameter that says so.
pub(crate) fn uri_form(transport: Transport, tls: TlsForm) -> (&'static str, &'static str) {
    match (transport, tls) {
        (Transport::Udp, _) => ("sip", ""),
        (Transport::Tcp, _) => ("sip", ";transport=tcp"),
        (Transport::Tls, TlsForm::Scheme) => ("sips", ""),
        (Transport::Tls, TlsForm::Parameter) => ("sip", ";transport=tls"),
        (Transport::Ws, _) => ("sip", ";transport=ws"),
        (Transport::Wss, _) => ("sips", ";transport=ws"),
    }
}

/// A value for From or To.
fn address(display: &str, uri: &str, tag: &str) -> Result<String, BuildError> {
    if uri.contains(['<', '>', '"', ' ']) {
        return Err(BuildError::Value { name: "address".to_owned(), offset: 0 });
    }
    let mut value = String::with_capacity(uri.len() + display.len() + tag.len() + 16);
    if !display.is_empty() {
        value.push_str(&String::from_utf8_lossy(&quote(display.as_bytes())));
        value.push(' ');
    }
    value.push('<');
    value.push_str(uri);
    value.push('>');
    if !tag.is_empty() {
        if !is_token(tag.as_bytes()) {
            return Err(BuildError::Value { name: "tag".to_owned(), offset: 0 });
        }
        value.push_str(";tag=");
        value.push_str(tag);
    }
    Ok(value)
}

/// Headers that this edge writes, or that have a field of their own.
fn is_own(id: HeaderId) -> bool {
    is_framing(id)
        || matches!(
            id,
            HeaderId::Contact | HeaderId::Route | HeaderId::ContentType | HeaderId::ContentDisposition
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> SendRequest {
        SendRequest {
            method: "INVITE".into(),
            request_uri: "sip:bob@example.com".into(),
            from_uri: "sip:carillon@example.com".into(),
            from_display: "Alice \"A\"".into(),
            from_tag: "f1".into(),
            to_uri: "sip:bob@example.com".into(),
            sip_call_id: "c1".into(),
            cseq: 4,
            ..SendRequest::default()
        }
    }

    fn header(name: &str, value: &str) -> sip_api::Header {
        sip_api::Header { name: name.into(), value: value.into() }
    }

    /// IMI-02: a kept message that had none.
    #[test]
    fn no_content_has_no_content_type() {
        let send = SendRequest { body: Some(sip_api::Body::default()), ..sample() };
        let request = request(&send).unwrap();
        assert!(!request.has(HeaderId::ContentType), "{}", String::from_utf8_lossy(request.bytes()));
    }

    #[test]
    fn every_field_is_in_its_place() {
        let mut send = sample();
        send.route = vec!["<sip:p1;lr>".into(), "<sip:p2;lr>".into()];
        send.headers =
            vec![header("Allow", "INVITE, ACK"), header("Contact", "<sip:evil@h>"), header("v", "evil")];
        send.body = Some(sip_api::Body {
            content_type: "application/sdp".into(),
            content_disposition: "session".into(),
            content: b"v=0\r\n".to_vec().into(),
        });
        let request = request(&send).unwrap();
        assert_eq!(
            String::from_utf8_lossy(request.bytes()),
            "INVITE sip:bob@example.com SIP/2.0\r\n\
             Max-Forwards: 71\r\n\
             Route: <sip:p1;lr>\r\n\
             Route: <sip:p2;lr>\r\n\
             From: \"Alice \\\"A\\\"\" <sip:carillon@example.com>;tag=f1\r\n\
             To: <sip:bob@example.com>\r\n\
             Call-ID: c1\r\n\
             CSeq: 4 INVITE\r\n\
             Allow: INVITE, ACK\r\n\
             Content-Disposition: session\r\n\
             Content-Type: application/sdp\r\n\
             Content-Length: 5\r\n\r\nv=0\r\n"
        );
    }

    #[test]
    fn no_field_can_break_out_of_its_line() {
        let evil = "x\r\nVia: evil";
        let attempts: [fn(&mut SendRequest, &str); 8] = [
            |send, evil| send.method = evil.into(),
            |send, evil| send.request_uri = evil.into(),
            |send, evil| send.from_uri = evil.into(),
            |send, evil| send.from_tag = evil.into(),
            |send, evil| send.sip_call_id = evil.into(),
            |send, evil| send.route = vec![evil.into()],
            |send, evil| send.headers = vec![header("Subject", evil)],
            |send, evil| send.headers = vec![header(evil, "x")],
        ];
        for (index, attempt) in attempts.into_iter().enumerate() {
            let mut send = sample();
            attempt(&mut send, evil);
            assert!(request(&send).is_err(), "{index}");
        }
        let mut send = sample();
        send.from_display = evil.into();
        let harmless = request(&send).unwrap();
        assert_eq!(harmless.fields().count(), request(&sample()).unwrap().fields().count());
        let mut send = sample();
        send.to_uri = "sip:b@h>;tag=x, <sip:c@h".into();
        assert!(request(&send).is_err());
    }
}
