//! The URI of a leg: `sip:cc.CALL.LEG@edge`; of one to the focus of a conference that of the conference, `sip:conf-CALL@edge;leg=LEG`, so
//! that whoever is in it sees whom to dial, to watch and to refer to (RFC 4579 4.2).

use std::sync::Arc;

use sip_endpoint::Transport;
use sip_message::Uri;

use crate::compose::{MARK, TlsForm, own_contact, uri_form};

/// User part of the URI of a conference, before the id of its call.
const CONFERENCE: &str = "conf-";
/// Parameter of that URI that names the leg.
const LEG: &str = "leg";

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
        let (call_id, leg_id) = match user.strip_prefix(CONFERENCE) {
            Some(call_id) => (call_id, uri.param(LEG)?),
            None => user.strip_prefix("cc.")?.rsplit_once('.')?,
        };
        (is_id(call_id) && is_id(leg_id)).then(|| Self { call_id: call_id.into(), leg_id: leg_id.into() })
    }

    /// The call that is the conference of this URI, with a leg in it or without.
    pub(crate) fn conference_of(uri: &Uri<'_>) -> Option<Arc<str>> {
        let call_id = std::str::from_utf8(uri.user?).ok()?.strip_prefix(CONFERENCE)?;
        is_id(call_id).then(|| call_id.into())
    }

    /// The Contact value that leads to this leg.
    pub(crate) fn contact(
        &self,
        transport: Transport,
        tls: TlsForm,
        sent_by: &str,
        mark: &str,
        is_focus: bool,
    ) -> String {
        let user = format!("cc.{}.{}", self.call_id, self.leg_id);
        let mut contact = own_contact(&user, transport, tls, sent_by, mark);
        if is_focus {
            contact.push_str(";isfocus");
        }
        contact
    }

    /// The Contact value of a focus that leads to this leg. RFC 4579 5.1
    pub(crate) fn focus_contact(
        &self,
        transport: Transport,
        tls: TlsForm,
        sent_by: &str,
        mark: &str,
    ) -> String {
        let (scheme, param) = uri_form(transport, tls);
        let Self { call_id, leg_id } = self;
        format!("<{scheme}:{CONFERENCE}{call_id}@{sent_by}{param};{LEG}={leg_id};{MARK}={mark}>;isfocus")
    }
}

/// Ids that stand in a user part without escapes.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_is_found_by_its_contact() {
        let address = Address { call_id: "0190-ab_c".into(), leg_id: "a".into() };
        let contact = address.contact(Transport::Tcp, TlsForm::Scheme, "edge.example.com:5060", "m", false);
        assert_eq!(contact, "<sip:cc.0190-ab_c.a@edge.example.com:5060;transport=tcp;d=m>");
        let uri = contact.trim_matches(['<', '>']).to_owned();
        assert_eq!(Address::of(&Uri::parse(uri.as_bytes()).unwrap()), Some(address));
    }

    /// CCL-14
    #[test]
    fn a_leg_with_a_mixer_behind_it_says_so() {
        let address = Address { call_id: "c".into(), leg_id: "a".into() };
        let contact = address.contact(Transport::Udp, TlsForm::Scheme, "edge.example.com", "m", true);
        assert_eq!(contact, "<sip:cc.c.a@edge.example.com;d=m>;isfocus");
    }

    /// CCL-17
    #[test]
    fn a_leg_to_a_focus_is_found_by_the_uri_of_its_conference() {
        let address = Address { call_id: "0190-ab_c".into(), leg_id: "a".into() };
        let contact = address.focus_contact(Transport::Tcp, TlsForm::Scheme, "edge.example.com:5060", "m");
        assert_eq!(contact, "<sip:conf-0190-ab_c@edge.example.com:5060;transport=tcp;leg=a;d=m>;isfocus");
        let uri = contact.trim_start_matches('<').trim_end_matches(">;isfocus");
        assert_eq!(Address::of(&Uri::parse(uri.as_bytes()).unwrap()), Some(address));
    }

    /// CCL-17
    #[test]
    fn a_conference_is_found_by_its_uri_and_by_the_contact_of_a_focus() {
        let of = |uri: &str| Address::conference_of(&Uri::parse(uri.as_bytes()).unwrap());
        for uri in ["sip:conf-in-1@example.com", "sip:conf-in-1@192.0.2.1;leg=a;d=m"] {
            assert_eq!(of(uri).as_deref(), Some("in-1"), "{uri}");
        }
        for uri in ["sip:conf-@h", "sip:conf-%20@h", "sip:bob@h", "sip:cc.c.a@h", "sip:h"] {
            assert_eq!(of(uri), None, "{uri}");
        }
    }

    #[test]
    fn other_users_are_no_legs() {
        for uri in ["sip:conf-x@h", "sip:conf-@h;leg=a", "sip:conf-x@h;leg=", "sip:conf-x@h;leg"] {
            assert_eq!(Address::of(&Uri::parse(uri.as_bytes()).unwrap()), None, "{uri}");
        }
        for uri in ["sip:bob@h", "sip:cc.x@h", "sip:cc..a@h", "sip:cc.x.@h", "sip:cc.%20.a@h", "sip:h"] {
            assert_eq!(Address::of(&Uri::parse(uri.as_bytes()).unwrap()), None, "{uri}");
        }
    }
}
