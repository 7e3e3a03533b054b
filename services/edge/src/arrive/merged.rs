//! One request that comes by two ways, because a proxy further back forked it, begins one call and not two. RFC 3261 8.2.2.2
//!
//! Only where the request ends here: a proxy passes both on. What reaches two edges of the tier is not recognised.

use hashbrown::HashMap;
use sip_endpoint::ServerKey;
use sip_message::Message;

/// The requests that began a call here, while their transactions live: no more than there are transactions.
#[derive(Debug, Default)]
pub(crate) struct Begun {
    by_origin: HashMap<Origin, ServerKey>,
    by_key: HashMap<ServerKey, Origin>,
}

/// From tag, Call-ID and CSeq number: what the two have in common, and no other request has.
type Origin = (Box<str>, Box<[u8]>, u32);

impl Begun {
    /// Enters a request; `false` when it is here already as another transaction. UAC-07
    pub(crate) fn enter(&mut self, key: ServerKey, request: &Message) -> bool {
        let Some(origin) = origin(request) else { return true };
        if self.by_origin.get(&origin).is_some_and(|first| *first != key) {
            return false;
        }
        self.by_origin.insert(origin.clone(), key);
        self.by_key.insert(key, origin);
        true
    }

    /// The transaction is over.
    pub(crate) fn forget(&mut self, key: ServerKey) {
        if let Some(origin) = self.by_key.remove(&key) {
            self.by_origin.remove(&origin);
        }
    }
}

/// `None` inside a dialog, where CSeq tells requests apart.
fn origin(request: &Message) -> Option<Origin> {
    if request.to().ok()?.tag().is_some() {
        return None;
    }
    let tag = request.from().ok()?.tag().unwrap_or_default().into();
    Some((tag, request.call_id().ok()?.into(), request.cseq().ok()?.number))
}

#[cfg(test)]
mod tests {
    use sip_message::Limits;

    use super::*;

    fn request(from_tag: &str, to_tag: &str, call_id: &str, cseq: u32) -> Message {
        let text = format!(
            "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag={from_tag}\r\n\
             To: <sip:b@h>{to_tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} INVITE\r\nContent-Length: 0\r\n\r\n"
        );
        Message::parse(text.into(), &Limits::default()).unwrap()
    }

    fn key(number: u64) -> ServerKey {
        format!("s0-0-{number:x}").parse().unwrap()
    }

    /// UAC-07
    #[test]
    fn from_tag_call_id_and_cseq_tell_requests_apart() {
        let mut begun = Begun::default();
        assert!(begun.enter(key(1), &request("a", "", "c", 1)));
        assert!(begun.enter(key(1), &request("a", "", "c", 1)), "the same transaction");
        assert!(!begun.enter(key(2), &request("a", "", "c", 1)), "another way");
        assert!(begun.enter(key(3), &request("b", "", "c", 1)));
        assert!(begun.enter(key(4), &request("a", "", "d", 1)));
        assert!(begun.enter(key(5), &request("a", "", "c", 2)));
        assert!(begun.enter(key(6), &request("a", ";tag=z", "c", 1)), "in a dialog CSeq tells");
    }

    /// UAC-07: nothing is kept of a transaction that is over, nor of one that was refused.
    #[test]
    fn what_is_over_is_forgotten_and_may_begin_again() {
        let mut begun = Begun::default();
        for round in 0..3 {
            let (first, second) = (key(2 * round), key(2 * round + 1));
            assert!(begun.enter(first, &request("a", "", "c", 1)));
            assert!(!begun.enter(second, &request("a", "", "c", 1)));
            begun.forget(second);
            assert!(!begun.enter(second, &request("a", "", "c", 1)), "the first one is still there");
            begun.forget(first);
            assert_eq!((begun.by_origin.len(), begun.by_key.len()), (0, 0));
        }
    }
}
