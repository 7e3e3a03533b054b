//! Which transaction a message belongs to. RFC 3261 17.1.3 and 17.2.3
//!
//! An identity is a short text that two messages share exactly when they belong together, apart from the method, which
//! is compared on its own. It is written into a buffer that is used again and again, and copied only into a transaction
//! that is new.

use sip_message::{HeaderError, HeaderId, Message, SentBy, has_cookie};
use smallvec::SmallVec;

/// Identity as kept in a transaction; nearly all fit without the heap.
pub(crate) type Identity = SmallVec<[u8; 64]>;

/// Starts an identity of the old kind. No branch begins with it.
const OLD: u8 = 0;
/// Stands between parts: no header value holds it.
const GAP: u8 = 0;

/// Which parts of an old-style request identify its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// INVITE, its ACK and its CANCEL: not the To tag, which the ACK has and the INVITE has not.
    Invite,
    /// Everything else.
    Other,
}

/// Writes the identity of a request toward a server transaction.
pub(crate) fn of_request(text: &mut Vec<u8>, request: &Message, family: Family) -> Result<(), HeaderError> {
    text.clear();
    if let Some(sent_by) = request.top_sent_by().filter(|sent_by| has_cookie(sent_by.branch)) {
        write(text, sent_by);
        return Ok(());
    }
    let via = request.top_via()?;
    match via.branch {
        Some(branch) if via.has_cookie() => {
            write(text, SentBy { host: via.host, port: via.port, branch });
        }
        // A client of RFC 2543: Request-URI, From tag, Call-ID, CSeq number, top Via, and mostly the To tag.
        Some(_) | None => {
            text.push(OLD);
            text.extend_from_slice(request.request_uri().unwrap_or_default());
            text.push(GAP);
            text.extend_from_slice(request.from()?.tag().unwrap_or_default().as_bytes());
            text.push(GAP);
            text.extend_from_slice(request.call_id()?);
            text.push(GAP);
            text.extend_from_slice(&request.cseq()?.number.to_be_bytes());
            text.extend_from_slice(request.values(HeaderId::Via).next().unwrap_or_default());
            if family == Family::Other {
                text.push(GAP);
                text.extend_from_slice(request.to()?.tag().unwrap_or_default().as_bytes());
            }
        }
    }
    Ok(())
}

/// RFC 3261 17.2.3: branch and sent-by; hosts compare without case.
fn write(text: &mut Vec<u8>, SentBy { host, port, branch }: SentBy<'_>) {
    text.extend_from_slice(branch.as_bytes());
    text.push(GAP);
    text.extend_from_slice(host.as_bytes());
    let end = text.len();
    text[end - host.len()..].make_ascii_lowercase();
    text.extend_from_slice(&port.unwrap_or(0).to_be_bytes());
}

/// Whether an identity is of the old kind, so that an ACK has to prove itself by its To tag.
pub(crate) fn is_old(identity: &[u8]) -> bool {
    identity.first() == Some(&OLD)
}

/// The identity of a client transaction: the branch that we made. RFC 3261 17.1.3
pub(crate) fn of_response(response: &Message) -> Option<&[u8]> {
    response.top_branch().map(str::as_bytes)
}

/// Method and branch of a request of which only the beginning came back, as in an ICMP error.
pub(crate) fn of_fragment(head: &[u8]) -> Option<(&str, &[u8])> {
    let line_end = memchr(head, b'\n')?;
    let (first, mut rest) = head.split_at(line_end + 1);
    let method = std::str::from_utf8(&first[..memchr(first, b' ')?]).ok()?;
    loop {
        let end = memchr(rest, b'\n').unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        let name = line.split(|byte| *byte == b':').next()?.trim_ascii();
        if name.eq_ignore_ascii_case(b"via") || name.eq_ignore_ascii_case(b"v") {
            const BRANCH: &[u8] = b";branch=";
            let at = line.windows(BRANCH.len()).position(|window| window.eq_ignore_ascii_case(BRANCH))?;
            let value = &line[at + BRANCH.len()..];
            // Without an end in sight it may be cut off.
            let end = value.iter().position(|byte| matches!(byte, b';' | b',' | b' ' | b'\r'))?;
            return Some((method, &value[..end]));
        }
        rest = after.get(1..)?;
    }
}

fn memchr(haystack: &[u8], needle: u8) -> Option<usize> {
    haystack.iter().position(|byte| *byte == needle)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sip_message::Limits;

    use super::*;

    /// TXN-10
    #[test]
    fn the_same_branch_from_two_senders_makes_two_identities() {
        let one = identity("SIP/2.0/UDP a.example;branch=z9hG4bK1", "", Family::Other);
        let other_host = identity("SIP/2.0/UDP b.example;branch=z9hG4bK1", "", Family::Other);
        let other_port = identity("SIP/2.0/UDP a.example:5070;branch=z9hG4bK1", "", Family::Other);
        let same =
            identity("SIP/2.0/UDP A.EXAMPLE;branch=z9hG4bK1;received=192.0.2.1", ";tag=x", Family::Other);
        assert_ne!(one, other_host);
        assert_ne!(one, other_port);
        assert_eq!(one, same);
        // However it is written, it is the same.
        let port = identity("SIP/2.0/UDP [2001:db8::A]:5070;branch=z9hG4bK1", "", Family::Other);
        for odd in [
            "SIP / 2.0 / UDP  [2001:db8::a] : 5070 ;x;branch=z9hG4bK1",
            "sip/2.0/udp [2001:DB8::a]:05070;Branch = z9hG4bK1",
        ] {
            assert_eq!(port, identity(odd, "", Family::Other), "{odd}");
        }
    }

    /// TXN-11
    #[test]
    fn without_the_cookie_the_whole_via_and_the_tags_count() {
        for via in ["SIP/2.0/UDP a", "SIP/2.0/UDP a;branch=1", "SIP/2.0/UDP a;branch=z9hG4bK"] {
            let request = identity(via, "", Family::Other);
            assert!(is_old(&request));
            assert_ne!(request, identity(via, ";tag=x", Family::Other));
            assert_eq!(identity(via, "", Family::Invite), identity(via, ";tag=x", Family::Invite));
            assert_ne!(request, identity("SIP/2.0/UDP a;branch=2", "", Family::Other));
        }
    }

    #[test]
    fn a_returned_fragment_names_its_transaction_or_nothing() {
        let head =
            b"BYE sip:b SIP/2.0\r\nMax-Forwards: 1\r\nv : SIP/2.0/UDP a;rport;Branch=z9hG4bK7;x=1\r\nTo: <si";
        assert_eq!(of_fragment(head), Some(("BYE", &b"z9hG4bK7"[..])));
        for cut in 0..head.len() {
            let found = of_fragment(&head[..cut]);
            assert!(found.is_none() || found == Some(("BYE", &b"z9hG4bK7"[..])), "cut at {cut}: {found:?}");
        }
    }

    fn identity(via: &str, to_tag: &str, family: Family) -> Vec<u8> {
        let text = format!(
            "BYE sip:b SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a>;tag=f\r\nTo: <sip:b>{to_tag}\r\nCall-ID: c\r\n\
             CSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
        );
        let message = Message::parse(Bytes::from(text), &Limits::default()).unwrap();
        let mut identity = Vec::new();
        of_request(&mut identity, &message, family).unwrap();
        identity
    }
}
