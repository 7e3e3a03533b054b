//! How long an answer may be that goes by datagrams: who writes somebody else's address as his own makes us write there.
//!
//! | an answer of ours by datagrams                          | is sent                                     |
//! |---------------------------------------------------------|---------------------------------------------|
//! | at most three times as long as the request              | as it is                                    |
//! | as short when it says only what it has to               | so: no explanation, one challenge of several |
//! | longer                                                  | not at all; a request as small is no phone's |
//!
//! And once: the refusal of an INVITE that nobody has proved to have sent is not repeated until its ACK (RFC 3261 17.2.1), but given again
//! to every repetition of the INVITE, as a stateless server does (8.2.7, 26.3.2.4).

use sip_endpoint::{Hop, Key, ServerKey};
use sip_message::{BuildError, HeaderId, Message, Method};

use crate::edge::{Cx, Edge};

/// How many times as long as a request its answer may be.
const MOST: usize = 3;

impl Edge {
    /// Octets of an answer to this request.
    pub(crate) fn room(cx: &Cx<'_>, key: ServerKey, request: &Message) -> usize {
        cx.hop_of(Key::Server(key)).map_or(usize::MAX, |hop| Self::room_by(hop, request))
    }

    /// The same by this way.
    pub(crate) fn room_by(hop: Hop, request: &Message) -> usize {
        match hop {
            Hop::Udp { .. } => MOST * octets_sent(request),
            // It is the peer that has the connection.
            Hop::Flow(_) => usize::MAX,
        }
    }

    /// An answer of ours, as long as it may be; `None` when there is no room for one.
    ///
    /// # Errors
    /// When a reason or header is not fit for a message.
    pub(crate) fn answer_within(
        &self,
        room: usize,
        request: &Message,
        (status, reason): (u16, &str),
        headers: &[(&str, &str)],
    ) -> Result<Option<Message>, BuildError> {
        let fits = |answer: &Message| answer.bytes().len() <= room;
        let full = self.tags.answer(request, status, reason, headers.iter().copied())?;
        if fits(&full) {
            return Ok(Some(full));
        }
        Ok(Some(self.tags.answer(request, status, "", needed(headers))?).filter(fits))
    }

    /// Nobody is answered.
    pub(crate) fn stay_silent(&mut self, cx: &mut Cx<'_>, key: ServerKey) {
        self.ignore(cx, key, "amplifying");
    }

    /// Is the answer to this request given once, because its sender has shown nothing?
    pub(crate) fn is_answered_once(cx: &Cx<'_>, key: ServerKey, request: &Message) -> bool {
        let by_datagrams = matches!(cx.hop_of(Key::Server(key)), Some(Hop::Udp { .. }));
        let begins = request.to().is_ok_and(|to| to.tag().is_none());
        by_datagrams && begins && request.method() == Method::Invite
    }
}

/// Octets of a request as it was sent, or fewer: it was marked with where it came from (RFC 3261 18.2.1, RFC 3581 4), by which its Via got its
/// full name, and got a Content-Length if it had none.
fn octets_sent(request: &Message) -> usize {
    let Ok(via) = request.top_via() else { return 0 };
    let value = |name: &str| {
        let mut params = via.params.iter().filter(|param| param.name.eq_ignore_ascii_case(name));
        params.find_map(|param| param.value).map_or(0, <[u8]>::len)
    };
    let marks = ";received=".len() + value("received") + "=".len() + value("rport");
    let names = "Via: ".len() - "v:".len() + "Content-Length: 0\r\n".len();
    request.bytes().len().saturating_sub(marks + names)
}

/// What an answer is wrong without: the first challenge of each kind, and what the standard says it MUST have.
fn needed<'h>(headers: &'h [(&'h str, &'h str)]) -> impl Iterator<Item = (&'h str, &'h str)> {
    let mut challenged = false;
    headers.iter().copied().filter(move |(name, _)| match HeaderId::from_name(name.as_bytes()) {
        HeaderId::Allow | HeaderId::Unsupported | HeaderId::MinExpires | HeaderId::Contact => true,
        HeaderId::WwwAuthenticate | HeaderId::ProxyAuthenticate => !std::mem::replace(&mut challenged, true),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use sip_message::Limits;

    use super::*;

    /// T7: what was added on the way in counts for nobody.
    #[test]
    fn a_request_is_no_longer_than_it_was_sent() {
        for (via, end) in [
            ("v:SIP/2.0/UDP h;rport", ""),
            ("v:SIP/2.0/UDP h", ""),
            ("v:SIP/2.0/UDP h;branch=z9hG4bK1;rport", "l:0\r\n"),
            ("Via: SIP/2.0/UDP h;branch=z9hG4bK1", "Content-Length: 0\r\n"),
        ] {
            let text = format!(
                "OPTIONS sip:b SIP/2.0\r\n{via}\r\nf:a:\r\nt:a:\r\ni:1\r\nCSeq:1 OPTIONS\r\n{end}\r\n"
            );
            let sent = Message::parse(text.clone().into_bytes().into(), &Limits::default()).unwrap();
            for from in ["192.0.2.1", "2001:db8::1"] {
                let marked = sent.edit().mark_received(from.parse().unwrap(), 5061).finish().unwrap();
                let octets = octets_sent(&marked);
                assert!(
                    octets <= text.len() && octets + 40 > text.len(),
                    "{octets} of {}: {text}",
                    text.len()
                );
            }
        }
    }

    #[test]
    fn what_is_needed_is_left_and_one_challenge() {
        let headers =
            [("Warning", "w"), ("Allow", "a"), ("WWW-Authenticate", "1"), ("WWW-Authenticate", "2")];
        assert_eq!(needed(&headers).collect::<Vec<_>>(), [headers[1], headers[2]]);
    }
}
