//! The URI of a leg: `sip:cc.CALL.LEG@edge`.

use std::sync::Arc;

use sip_endpoint::Transport;
use sip_message::Uri;

use crate::compose::{TlsForm, own_contact};

/// Which leg of which call a URI names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) call_id: Arc<str>,
    pub(crate) leg_id: Arc<str>,
}

impl Address {
    /// Reads the user part.
    pub(crate) fn of(uri: &Uri<'_>) -> Option<Self> {
        let user = std::str::from_utf8(uri.user?).ok()?;
        let (call_id, leg_id) = user.strip_prefix("cc.")?.rsplit_once('.')?;
        (is_id(call_id) && is_id(leg_id)).then(|| Self { call_id: call_id.into(), leg_id: leg_id.into() })
    }

    /// The Contact value that leads to this leg.
    pub(crate) fn contact(&self, transport: Transport, tls: TlsForm, sent_by: &str, mark: &str) -> String {
        own_contact(&format!("cc.{}.{}", self.call_id, self.leg_id), transport, tls, sent_by, mark)
    }
}

/// Ids that stand in a user part without escapes.
pub(super) fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_is_found_by_its_contact() {
        let address = Address { call_id: "0190-ab_c".into(), leg_id: "a".into() };
        let contact = address.contact(Transport::Tcp, TlsForm::Scheme, "edge.example.com:5060", "m");
        assert_eq!(contact, "<sip:cc.0190-ab_c.a@edge.example.com:5060;transport=tcp;d=m>");
        let uri = contact.trim_matches(['<', '>']).to_owned();
        assert_eq!(Address::of(&Uri::parse(uri.as_bytes()).unwrap()), Some(address));
    }

    #[test]
    fn other_users_are_no_legs() {
        for uri in ["sip:bob@h", "sip:cc.x@h", "sip:cc..a@h", "sip:cc.x.@h", "sip:cc.%20.a@h", "sip:h"] {
            assert_eq!(Address::of(&Uri::parse(uri.as_bytes()).unwrap()), None, "{uri}");
        }
    }
}
