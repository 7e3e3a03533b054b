//! Who may take the place of a party, or join it (RFC 3891 3, RFC 3911 4): the same user at another phone, whom a party of the call has
//! referred, and whom the operator lets. A refusal says nothing of the call.

use std::sync::Arc;

use sip_message::Uri;

use crate::engine::claim::record::Claim;

/// Whom the operator lets take or join any call: addresses of record, and `sip:*@domain` for all users of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Takers(Arc<[String]>);

impl Takers {
    /// These; `None` when one of them is no address of record of a user or of all users of a domain.
    pub fn new<T: AsRef<str>>(patterns: impl IntoIterator<Item = T>) -> Option<Takers> {
        patterns.into_iter().map(|pattern| read(pattern.as_ref())).collect::<Option<_>>().map(Takers)
    }

    /// Whether this user is one of them.
    pub fn list(&self, aor: &str) -> bool {
        let domain = aor.rsplit_once('@').map(|(_, domain)| domain);
        self.0.iter().any(|pattern| match pattern.strip_prefix("sip:*@") {
            Some(wanted) => domain == Some(wanted),
            None => pattern == aor,
        })
    }
}

fn read(pattern: &str) -> Option<String> {
    let uri = Uri::parse(pattern.as_bytes()).ok().filter(|uri| uri.user.is_some())?;
    match pattern.strip_prefix("sip:*@") {
        Some(domain) if domain.eq_ignore_ascii_case(uri.host) => {
            Some(format!("sip:*@{}", domain.to_ascii_lowercase()))
        }
        Some(_) => None,
        None => uri.aor(),
    }
}

impl Claim {
    /// Whether a party of a call, and the one it talks to, have to bear it.
    pub fn is_authorised(&self, party: &str, far: &str) -> bool {
        let (party, far) = (address_of_record(party), address_of_record(far));
        let is_known = !self.identity.is_empty();
        let is_referred = is_known && [&party, &far].contains(&&self.referred_by);
        self.is_listed || (is_known && self.identity == party) || is_referred
    }
}

/// The address of record of a URI; what is none stays as it is.
pub fn address_of_record(uri: &str) -> String {
    Uri::parse(uri.as_bytes()).ok().and_then(|uri| uri.aor()).unwrap_or_else(|| uri.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CCL-11
    #[test]
    fn users_and_whole_domains_are_listed() {
        let takers = Takers::new(["sip:desk@Example.com", "sip:*@ops.example.com"]).expect("patterns");
        assert!(takers.list("sip:desk@example.com") && takers.list("sip:x@ops.example.com"));
        assert!(!takers.list("sip:bob@example.com") && !takers.list("") && !takers.list("sip:x@evil.com"));
        assert!(!Takers::default().list("sip:desk@example.com"));
        for bad in ["", "desk", "sip:example.com", "sip:*@", "sip:*@a:5060", "mailto:x@y"] {
            assert_eq!(Takers::new([bad]), None, "{bad}");
        }
    }

    /// CCL-11: nobody is believed who proved nothing.
    #[test]
    fn a_reference_counts_from_somebody_who_is_known() {
        let claim = |identity: &str, referred_by: &str| Claim {
            identity: identity.into(),
            referred_by: referred_by.into(),
            ..Claim::default()
        };
        let may = |claim: Claim| claim.is_authorised("sip:bob@d;transport=tcp", "sip:alice@d");
        assert!(may(claim("sip:bob@d", "")));
        assert!(may(claim("sip:carol@d", "sip:bob@d")) && may(claim("sip:carol@d", "sip:alice@d")));
        assert!(!may(claim("sip:carol@d", "")) && !may(claim("sip:carol@d", "sip:mallory@d")));
        assert!(!may(claim("", "sip:bob@d")) && !may(claim("", "")));
        assert!(!may(claim("sip:alice@d", "")), "the far party is not the one replaced");
        assert!(may(Claim { is_listed: true, ..Claim::default() }));
    }
}
