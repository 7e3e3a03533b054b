//! The requests that the transaction layer writes itself: ACK for a final response other than 2xx, and CANCEL.
//!
//! Each copies header values from a message that was parsed. A folded value is written on one line, so that whatever is
//! read here leaves in the simplest form.

use bytes::Bytes;
use sip_message::{HeaderId, Limits, Message, ParseError, is_token};

/// A header that the new message needs is not in the old one, or the result cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The header is missing or unreadable.
    #[error("no readable {0}")]
    Missing(HeaderId),
    /// An extra header whose name is no token, or that only the transaction layer may write.
    #[error("{0:?} cannot be added to a CANCEL")]
    Extra(String),
    /// The message would be no message: an extra header made it too large.
    #[error(transparent)]
    Unreadable(#[from] ParseError),
}

/// RFC 3261 17.1.1.3: same Request-URI, Call-ID, From, Route and single Via as the INVITE, To of the response.
pub(crate) fn ack(invite: &Message, response: &Message) -> Result<Message, BuildError> {
    let mut text = request_like("ACK", invite, response)?;
    text.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    Ok(Message::parse(Bytes::from(text), &Limits::OWN)?)
}

/// RFC 3261 9.1: same Request-URI, Call-ID, To, From, Route and single Via as the INVITE.
///
/// `extra` are further headers, such as Reason. A line end in them is turned into a space.
pub(crate) fn cancel(invite: &Message, extra: &[(&str, &[u8])]) -> Result<Message, BuildError> {
    let mut text = request_like("CANCEL", invite, invite)?;
    for (name, value) in extra {
        if !may_be_added(name) {
            return Err(BuildError::Extra((*name).to_owned()));
        }
        line(&mut text, name, value);
    }
    text.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    Ok(Message::parse(Bytes::from(text), &Limits::OWN)?)
}

/// RFC 3261 9.1: a CANCEL belongs to its INVITE by these headers, and demands nothing.
fn may_be_added(name: &str) -> bool {
    let theirs = !matches!(
        HeaderId::from_name(name.as_bytes()),
        HeaderId::Via
            | HeaderId::Route
            | HeaderId::RecordRoute
            | HeaderId::From
            | HeaderId::To
            | HeaderId::CallId
            | HeaderId::CSeq
            | HeaderId::MaxForwards
            | HeaderId::Require
            | HeaderId::ProxyRequire
            | HeaderId::ContentLength
            | HeaderId::TransferEncoding
    );
    theirs && is_token(name.as_bytes())
}

/// What ACK and CANCEL have in common.
fn request_like(method: &str, invite: &Message, to: &Message) -> Result<Vec<u8>, BuildError> {
    let mut text = Vec::with_capacity(512);
    text.extend_from_slice(method.as_bytes());
    text.push(b' ');
    text.extend_from_slice(invite.request_uri().ok_or(BuildError::Missing(HeaderId::Via))?);
    text.extend_from_slice(b" SIP/2.0\r\n");
    let via = invite.values(HeaderId::Via).next().ok_or(BuildError::Missing(HeaderId::Via))?;
    line(&mut text, "Via", via);
    line(&mut text, "Max-Forwards", b"70");
    for route in invite.all(HeaderId::Route) {
        line(&mut text, "Route", route);
    }
    line(&mut text, "From", first(invite, HeaderId::From)?);
    line(&mut text, "To", first(to, HeaderId::To)?);
    line(&mut text, "Call-ID", first(invite, HeaderId::CallId)?);
    let cseq = invite.cseq().map_err(|_| BuildError::Missing(HeaderId::CSeq))?;
    line(&mut text, "CSeq", format!("{} {method}", cseq.number).as_bytes());
    // RFC 3841 5: what chose the way of the INVITE chooses theirs
    for id in [HeaderId::AcceptContact, HeaderId::RejectContact, HeaderId::RequestDisposition] {
        for value in invite.all(id) {
            line(&mut text, id.as_str(), value);
        }
    }
    Ok(text)
}

fn first(message: &Message, id: HeaderId) -> Result<&[u8], BuildError> {
    message.first(id).ok_or(BuildError::Missing(id))
}

fn line(text: &mut Vec<u8>, name: &str, value: &[u8]) {
    text.extend_from_slice(name.as_bytes());
    text.extend_from_slice(b": ");
    text.extend(value.iter().map(|byte| if matches!(byte, b'\r' | b'\n' | 0) { b' ' } else { *byte }));
    text.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &[u8] = b"INVITE sip:bob@192.0.2.9:5062 SIP/2.0\r\n\
        Via: SIP/2.0/UDP edge:5060;branch=z9hG4bKours, SIP/2.0/UDP alice;branch=z9hG4bKtheirs\r\n\
        Via: SIP/2.0/UDP third;branch=z9hG4bKthird\r\nRoute: <sip:a;lr>, <sip:b;lr>\r\nRoute: <sip:c;lr>\r\n\
        Max-Forwards: 3\r\nf: Alice\r\n <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\n\
        Call-ID: call\r\nCSeq: 7 INVITE\r\nTimestamp: 54\r\nSubject: no\r\nContent-Length: 3\r\n\r\nv=0";
    const BUSY: &[u8] = b"SIP/2.0 486 Busy Here\r\nVia: SIP/2.0/UDP edge:5060;branch=z9hG4bKours\r\n\
        From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>;tag=far\r\nCall-ID: call\r\n\
        CSeq: 7 INVITE\r\nContent-Length: 0\r\n\r\n";

    /// TXN-02
    #[test]
    fn the_ack_has_one_via_the_route_of_the_invite_and_the_to_of_the_response() {
        let ack = ack(&message(INVITE), &message(BUSY)).unwrap();
        let expected = "ACK sip:bob@192.0.2.9:5062 SIP/2.0\r\n\
            Via: SIP/2.0/UDP edge:5060;branch=z9hG4bKours\r\nMax-Forwards: 70\r\n\
            Route: <sip:a;lr>, <sip:b;lr>\r\nRoute: <sip:c;lr>\r\n\
            From: Alice   <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>;tag=far\r\n\
            Call-ID: call\r\nCSeq: 7 ACK\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(ack.bytes()), expected);
    }

    #[test]
    fn the_cancel_is_that_of_the_invite_and_carries_the_reason() {
        let cancel = cancel(
            &message(INVITE),
            &[("Reason", b"SIP;cause=200;text=\"Call completed elsewhere\"\r\nX: y")],
        )
        .unwrap();
        let expected = "CANCEL sip:bob@192.0.2.9:5062 SIP/2.0\r\n\
            Via: SIP/2.0/UDP edge:5060;branch=z9hG4bKours\r\nMax-Forwards: 70\r\n\
            Route: <sip:a;lr>, <sip:b;lr>\r\nRoute: <sip:c;lr>\r\n\
            From: Alice   <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\n\
            Call-ID: call\r\nCSeq: 7 CANCEL\r\n\
            Reason: SIP;cause=200;text=\"Call completed elsewhere\"  X: y\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(cancel.bytes()), expected);
    }

    /// CAP-05
    #[test]
    fn preferences_go_along_unchanged() {
        let text = String::from_utf8_lossy(INVITE).replace(
            "Subject: no\r\n",
            "a: *;video;require\r\nReject-Contact: *;automata\r\nRequest-Disposition: no-fork\r\n",
        );
        let invite = Message::parse(text.into_bytes().into(), &Limits::default()).unwrap();
        for request in [cancel(&invite, &[]).unwrap(), ack(&invite, &message(BUSY)).unwrap()] {
            for id in [HeaderId::AcceptContact, HeaderId::RejectContact, HeaderId::RequestDisposition] {
                assert!(request.all(id).eq(invite.all(id)), "{}", id.as_str());
            }
        }
    }

    #[test]
    fn no_extra_header_can_make_a_cancel_into_something_else() {
        for name in ["Via", "v", "CSEQ", "Require", "X:y\r\nRoute", "", "X Y", "Content-Length"] {
            let refused = cancel(&message(INVITE), &[(name, b"1")]);
            assert_eq!(refused, Err(BuildError::Extra(name.to_owned())));
        }
    }

    fn message(bytes: &'static [u8]) -> Message {
        Message::parse(Bytes::from_static(bytes), &Limits::default()).unwrap()
    }
}
