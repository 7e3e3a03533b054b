//! Which forwarded requests tell something of a call, and what.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use sip_message::{Message, Method, Uri};
use sip_proxy::Arrived;

use crate::compose::RELAYED;
use crate::edge::Edge;

/// One side of a proxied call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Party {
    Caller,
    Callee,
}

impl Party {
    /// The name of its leg in the API.
    pub(crate) fn leg(self) -> &'static str {
        match self {
            Self::Caller => "a",
            Self::Callee => "b",
        }
    }
}

/// What a request that is being forwarded tells of its call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Carillon's id of the call.
    pub(crate) call_id: Arc<str>,
    pub(crate) what: What,
}

/// How the request concerns the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// It begins the call.
    Begins {
        /// Tags of the phones that were told to be called, each with a dialog of its own, and whether they ring (180).
        rang: Vec<(Box<str>, bool)>,
        /// It was answered, or cancelled by the caller or by an application.
        ended_by: Option<&'static str>,
    },
    /// It may move a side, or prolong the session.
    Refreshes(Party),
    /// It ends the call.
    Ends(Party),
}

/// Phones of one call that are told to ring: as many as are ended one by one when this edge dies.
const MOST_RINGING: usize = 8;

/// Whether a 18x tells more of its phone than was told: that there is one, or that it rings. RFC 3261 12.1
pub(super) fn is_first_of_phone(rang: &mut Vec<(Box<str>, bool)>, progress: &Message) -> bool {
    let rings = progress.status() == Some(180);
    let to = progress.to().ok();
    let tag = to.as_ref().and_then(|to| to.tag()).unwrap_or_default();
    if let Some((_, rang)) = rang.iter_mut().find(|(known, _)| **known == *tag) {
        return rings && !std::mem::replace(rang, true);
    }
    let has_room = rang.len() < MOST_RINGING;
    if has_room {
        rang.push((tag.into(), rings));
    }
    has_room
}

impl Seen {
    /// An INVITE outside a dialog that is being routed.
    pub(crate) fn begins(request: &Message) -> Option<Self> {
        if request.method() != Method::Invite {
            return None;
        }
        let tag = request.from().ok()?.tag()?;
        let call_id = call_id(request, tag)?;
        Some(Self { call_id, what: What::Begins { rang: Vec::new(), ended_by: None } })
    }
}

impl Edge {
    /// What a request inside a dialog tells, unless a sibling told it before.
    pub(crate) fn seen_in_dialog(&self, request: &Message, arrived: &Arrived) -> Option<Seen> {
        let method = request.method();
        if !matches!(method, Method::Invite | Method::Update | Method::Bye) {
            return None;
        }
        let (from, to) = (request.from().ok()?, request.to().ok()?);
        let (from, to) = (from.tag()?, to.tag()?);
        let mut party = None;
        for route in &arrived.own_routes {
            let Ok(uri) = Uri::parse(route) else { continue };
            if uri.has_param(RELAYED) {
                return None;
            }
            party = party.or_else(|| self.is_marked_by_sender(request, &uri).then_some(Party::Caller));
            party = party.or_else(|| self.is_marked_by_receiver(request, &uri).then_some(Party::Callee));
        }
        let party = party?;
        let began = match party {
            Party::Caller => from,
            Party::Callee => to,
        };
        let what = match method {
            Method::Bye => What::Ends(party),
            _ => What::Refreshes(party),
        };
        Some(Seen { call_id: call_id(request, began)?, what })
    }
}

/// Carillon's id of a proxied call: every edge finds the same one.
fn call_id(request: &Message, caller_tag: &str) -> Option<Arc<str>> {
    request.call_id().ok().map(|sip_call_id| call_id_of(sip_call_id, caller_tag))
}

/// The same of the dialog itself.
pub(super) fn call_id_of(sip_call_id: &[u8], caller_tag: &str) -> Arc<str> {
    let mut hash = Sha256::new();
    hash.update(sip_call_id);
    // Stands in no Call-ID.
    hash.update(b" ");
    hash.update(caller_tag);
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut name = [0; 35];
    name[..3].copy_from_slice(b"px-");
    for (digits, octet) in name[3..].chunks_exact_mut(2).zip(hash.finalize()) {
        digits[0] = DIGITS[usize::from(octet >> 4)];
        digits[1] = DIGITS[usize::from(octet & 15)];
    }
    Arc::from(str::from_utf8(&name).expect("digits are ASCII"))
}

#[cfg(test)]
mod tests {
    use sip_message::Limits;

    use super::*;

    fn request(method: &str, from: &str) -> Message {
        let text = format!(
            "{method} sip:b@example.com SIP/2.0\r\nFrom: <sip:a@example.com>{from}\r\nTo: <sip:b@example.com>\r\n\
             Call-ID: c1\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        );
        Message::parse(text.into_bytes().into(), &Limits::default()).unwrap()
    }

    #[test]
    fn an_invite_begins_a_call_whose_id_depends_on_call_id_and_tag() {
        let id = |from| Seen::begins(&request("INVITE", from)).map(|seen| seen.call_id);
        assert_eq!(id(";tag=1"), id(";tag=1"));
        assert_ne!(id(";tag=1"), id(";tag=2"));
        // Written down, because edges of different versions must find the same.
        assert_eq!(id(";tag=1").as_deref(), Some("px-6fe6a36eb5742f85e71012d2ddb8ef72"));
        assert_eq!(id(""), None, "without a tag there will be no dialog");
        assert_eq!(Seen::begins(&request("MESSAGE", ";tag=1")), None);
    }
}
