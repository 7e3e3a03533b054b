//! Credentials for our own realm stop here: whoever is further on could try to break or replay them.

use sip_message::{Edit, HeaderId, Message};

/// Takes the Proxy-Authorization of our realms off the copy that goes on; those of other realms are for proxies further on.
/// RFC 3261 22.3, AUT-11
pub(crate) fn consume(edit: &mut Edit<'_>, request: &Message, realms: &[String]) {
    if request.has(HeaderId::ProxyAuthorization) {
        edit.retain(HeaderId::ProxyAuthorization, |value| {
            let realm = sip_digest::realm(value);
            !realms.iter().any(|ours| realm.as_deref() == Some(ours.as_bytes()))
        });
    }
}
