//! What a phone says of its push service, in the parameters of its Contact URI. RFC 8599 4.1, 8.3
//!
//! They are for REGISTER alone: bindings are stored without them, so that no request, redirection or list shows them to anybody. The
//! answer to a REGISTER names each contact as it was registered.

use std::borrow::Cow;

use cluster_api::registrar::v1::RegisterContact;
use sip_message::{Scheme, Uri, percent_decode};

use crate::record::PushRecord;

/// The contacts of a REGISTER without those parameters, and what they said.
pub(crate) struct TakenOut<'a> {
    pub contacts: Cow<'a, [RegisterContact]>,
    /// By the URI without the parameters.
    pub pushes: Vec<(String, PushRecord)>,
}

/// Takes the parameters out. Nearly no contact has any.
pub(crate) fn take_out(contacts: &[RegisterContact]) -> TakenOut<'_> {
    let mut taken = TakenOut { contacts: Cow::Borrowed(contacts), pushes: Vec::new() };
    for (at, contact) in contacts.iter().enumerate() {
        if let Some((uri, push)) = split(&contact.uri) {
            taken.contacts.to_mut()[at].uri.clone_from(&uri);
            taken.pushes.push((uri, push));
        }
    }
    taken
}

/// The URI without the parameters, and what they say; `None` when there are none.
fn split(raw: &str) -> Option<(String, PushRecord)> {
    let begins = |(at, _): (usize, &str)| {
        raw.as_bytes().get(at + 1..at + 4).is_some_and(|start| start.eq_ignore_ascii_case(b"pn-"))
    };
    if !raw.match_indices(';').any(begins) {
        return None;
    }
    let is_ours = |name: &str| name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("pn-"));
    let uri =
        Uri::parse(raw.as_bytes()).ok().filter(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips))?;
    if !uri.params.iter().any(|param| is_ours(param.name)) {
        return None;
    }
    let said = |name: &str| {
        let value = percent_decode(uri.param(name).unwrap_or_default().as_bytes());
        String::from_utf8_lossy(&value).into_owned()
    };
    let tail = uri.headers.map_or(0, |headers| headers.len() + 1) + uri.params.raw().len();
    let head = raw.get(..raw.len().checked_sub(tail)?)?.trim_end_matches(';');
    let mut bare = head.to_owned();
    for param in uri.params.iter().filter(|param| !is_ours(param.name)) {
        bare.extend([";", param.name]);
        if let Some(value) = param.value {
            bare.extend(["=", std::str::from_utf8(value).ok()?]);
        }
    }
    if let Some(headers) = uri.headers {
        bare.extend(["?", std::str::from_utf8(headers).ok()?]);
    }
    let push = PushRecord {
        provider: said("pn-provider"),
        prid: said("pn-prid"),
        param: said("pn-param"),
        registered: raw.to_owned(),
        awake_until_ms: 0,
    };
    Some((bare, push))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PSH-01: nothing of it is left in the URI, wherever it stood; everything else is.
    #[test]
    fn the_parameters_leave_the_uri() {
        for (raw, bare, said) in [
            (
                "sip:b@h:5070;pn-provider=acme;pn-param=app;pn-prid=ab%3Dc",
                "sip:b@h:5070",
                ["acme", "ab=c", "app"],
            ),
            (
                "sip:b@h;PN-Prid=x;transport=tcp;pn-provider=acme?a=b",
                "sip:b@h;transport=tcp?a=b",
                ["acme", "x", ""],
            ),
            ("sips:h;ob;pn-provider", "sips:h;ob", ["", "", ""]),
            ("sip:b;pn-prid=no@h;pn-provider=p;x=a=b", "sip:b;pn-prid=no@h;x=a=b", ["p", "", ""]),
        ] {
            let (uri, push) = split(raw).unwrap();
            assert_eq!(uri, bare);
            assert_eq!([&*push.provider, &push.prid, &push.param], said, "{raw}");
            assert_eq!(push.registered, raw);
            assert!(Uri::parse(uri.as_bytes()).is_ok() && split(&uri).is_none());
        }
        for none in ["sip:pn-b@h;pnx=1", "mailto:b;pn-prid=1@h", "tel:+1;pn-prid=x", "no uri"] {
            assert_eq!(split(none), None, "{none}");
        }
    }

    /// PSH-01
    #[test]
    fn contacts_without_them_are_not_copied() {
        let plain = [RegisterContact { uri: "sip:a@h".into(), ..RegisterContact::default() }];
        assert!(matches!(take_out(&plain).contacts, Cow::Borrowed(_)));
    }
}
