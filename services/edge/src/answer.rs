//! Answers that the edge gives itself.

use std::hash::{DefaultHasher, Hasher};

use bytes::Bytes;
use cluster_api::sip::v1 as api;
use sip_message::{BuildError, HeaderId, Message, ResponseBuilder};

/// Methods the edge answers when it is addressed itself; as a proxy it forwards any.
pub(crate) const ALLOW: &str = "OPTIONS, REGISTER";
/// Body types it reads.
pub(crate) const ACCEPT: &str = "application/sdp";
/// Extensions of this tier: what is registered here, and what calls that end here do.
pub(crate) const SUPPORTED: &str = "path, gruu, outbound, 100rel, timer";

/// Makes the To tags of our own answers: the same for every repetition of a request, and not to be guessed by others.
// RFC 3261 8.2.6.2, 19.3
#[derive(Clone, Copy)]
pub(crate) struct LocalTags {
    secret: u64,
}

impl LocalTags {
    pub(crate) fn new(secret: u64) -> Self {
        Self { secret }
    }

    /// The tag for the answer to a request.
    pub(crate) fn tag(self, request: &Message) -> String {
        let from_tag = request.checked_party(HeaderId::From).and_then(|from| from.tag());
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        self.tag_of(request.call_id().unwrap_or_default(), from_tag, number)
    }

    /// The same for one whose fields have been read: Call-ID, tag of From, number of CSeq.
    pub(crate) fn tag_of(self, call_id: &[u8], from_tag: Option<&str>, number: u32) -> String {
        let from_tag_length = from_tag.map_or(0, |tag| 1 + tag.len() as u64);
        // Two lengths tell where each text ends. Each part that is handed over costs as much as a dozen octets.
        let mut begin = [0; 24];
        for (place, figure) in [self.secret, from_tag_length << 32 | u64::from(number), call_id.len() as u64]
            .into_iter()
            .enumerate()
        {
            begin[8 * place..][..8].copy_from_slice(&figure.to_le_bytes());
        }
        let mut hasher = DefaultHasher::new();
        for part in [&begin, call_id, from_tag.unwrap_or_default().as_bytes()] {
            hasher.write(part);
        }
        let hash = hasher.finish();
        let mut tag = String::with_capacity(17);
        tag.push('e');
        tag.extend(std::str::from_utf8(&hexadecimal(hash)));
        tag
    }

    /// Does this ACK belong to an answer that we gave and forgot? Its To tag says so.
    pub(crate) fn gave(self, ack: &Message) -> bool {
        ack.to().ok().and_then(|to| to.tag()).is_some_and(|tag| tag == self.tag(ack))
    }

    /// A response of ours.
    ///
    /// # Errors
    /// When a reason or header is not fit for a message; they come from other services.
    pub(crate) fn answer<'h>(
        self,
        request: &Message,
        status: u16,
        reason: &str,
        headers: impl IntoIterator<Item = (&'h str, &'h str)>,
    ) -> Result<Message, BuildError> {
        let mut response = self.begin(request, status, reason)?;
        for (name, value) in headers {
            response = response.named(name, value)?;
        }
        Ok(response.build())
    }

    /// A response of ours, to be completed.
    ///
    /// # Errors
    /// When the reason is not fit for a message.
    pub(crate) fn begin<'r>(
        self,
        request: &'r Message,
        status: u16,
        reason: &str,
    ) -> Result<ResponseBuilder<'r>, BuildError> {
        begin(request, status, reason, &self.tag(request))
    }
}

/// All sixteen digits of a number.
fn hexadecimal(number: u64) -> [u8; 16] {
    std::array::from_fn(|place| b"0123456789abcdef"[(number >> (60 - 4 * place) & 15) as usize])
}

/// A response of ours with this tag in To, to be completed.
///
/// # Errors
/// When the reason is not fit for a message.
pub(crate) fn begin<'r>(
    request: &'r Message,
    status: u16,
    reason: &str,
    tag: &str,
) -> Result<ResponseBuilder<'r>, BuildError> {
    let response = ResponseBuilder::to(request, status).to_tag(tag)?;
    if reason.is_empty() { Ok(response) } else { response.reason(reason) }
}

/// Header fields from another service as pairs; those that only the edge writes are left out.
pub(crate) fn pairs(headers: &[api::Header]) -> impl Iterator<Item = (&str, &str)> {
    headers
        .iter()
        .filter(|header| !is_framing(HeaderId::from_name(header.name.as_bytes())))
        .map(|header| (header.name.as_str(), header.value.as_str()))
}

/// All challenges of several responses in their order, each with its header.
pub(crate) fn challenges(responses: &[Message]) -> impl Iterator<Item = (HeaderId, Bytes)> {
    responses.iter().flat_map(|response| {
        [HeaderId::WwwAuthenticate, HeaderId::ProxyAuthenticate].into_iter().flat_map(move |id| {
            response.all(id).map(move |value| {
                // A fold inside a challenge is white space.
                let line = value.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte });
                (id, line.collect::<Bytes>())
            })
        })
    })
}

/// Headers that identify or frame a message, which nobody but the edge sets.
pub(crate) fn is_framing(id: HeaderId) -> bool {
    matches!(
        id,
        HeaderId::Via
            | HeaderId::From
            | HeaderId::To
            | HeaderId::CallId
            | HeaderId::CSeq
            | HeaderId::ContentLength
            | HeaderId::RecordRoute
            | HeaderId::MaxForwards
    )
}

#[cfg(test)]
mod tests {
    use sip_message::Limits;

    use super::*;

    fn request(method: &str, to_tag: &str, number: u32) -> Message {
        let text = format!(
            "{method} sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
             To: <sip:b@h>{to_tag}\r\nCall-ID: 1\r\nCSeq: {number} {method}\r\nContent-Length: 0\r\n\r\n"
        );
        Message::parse(text.into_bytes().into(), &Limits::default()).unwrap()
    }

    /// MSG-13
    #[test]
    fn a_repeated_request_gets_the_same_tag_and_its_ack_is_recognised() {
        let tags = LocalTags::new(7);
        let tag = tags.tag(&request("INVITE", "", 1));
        assert_eq!(tag, tags.tag(&request("INVITE", "", 1)));
        assert_ne!(tag, tags.tag(&request("INVITE", "", 2)));
        assert_eq!((tag.len(), tag.starts_with('e')), (17, true));
        let parts = [(&b"ab"[..], Some("c")), (b"a", Some("bc")), (b"abc", Some("")), (b"abc", None)];
        let of_parts = parts.map(|(call_id, from_tag)| tags.tag_of(call_id, from_tag, 1));
        assert_eq!(of_parts.iter().collect::<std::collections::HashSet<_>>().len(), parts.len());
        assert!(tags.gave(&request("ACK", &format!(";tag={tag}"), 1)));
        assert!(!tags.gave(&request("ACK", ";tag=other", 1)));
        assert!(!LocalTags::new(8).gave(&request("ACK", &format!(";tag={tag}"), 1)));
    }

    #[test]
    fn a_header_of_another_service_cannot_break_the_message() {
        let tags = LocalTags::new(7);
        let injected = tags.answer(&request("INVITE", "", 1), 404, "", [("Warning", "x\r\nVia: evil")]);
        assert!(injected.is_err());
        let headers = [("Via", "x"), ("v", "x"), ("Warning", "y")]
            .map(|(name, value)| api::Header { name: name.into(), value: value.into() });
        assert_eq!(pairs(&headers).collect::<Vec<_>>(), [("Warning", "y")]);
    }
}
