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
