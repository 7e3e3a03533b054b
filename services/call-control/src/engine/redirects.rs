//! Where the 3xx of a phone may lead a leg (LAD-1 a: "if policy allows"). Whoever registers can send one, so that by default it leads
//! to users of our own domains only: to whom the registrar's plan leads, and never to a host, a port or a number of the phone's choice.

use std::sync::Arc;

use sip_message::{Scheme, Uri};

/// The targets that are followed. Others are not tried; when none is left, the call ends with the 3xx.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Redirects {
    /// None: the 3xx is the outcome.
    #[default]
    Never,
    /// Users of these domains.
    Within(Arc<[String]>),
    /// Any that can be dialled.
    Anywhere,
}

impl Redirects {
    /// Users of these domains.
    pub fn within(domains: impl IntoIterator<Item = impl Into<String>>) -> Redirects {
        Redirects::Within(domains.into_iter().map(Into::into).collect())
    }

    /// Whether a REFER may lead here: where a 3xx may, and to a telephone number, which is looked up in the home of whoever refers (RFC 3966
    /// 3) as one in a domain of ours is. Whether he may call it, the registrar has said (T6).
    pub fn allow_referral(&self, uri: &str) -> bool {
        let is_number = || Uri::parse(uri.as_bytes()).is_ok_and(|uri| uri.scheme == Scheme::Tel);
        self.allow(uri) || (matches!(self, Redirects::Within(_)) && is_number())
    }

    /// Whether this target, or proxy of a 305, may be tried.
    pub fn allow(&self, uri: &str) -> bool {
        match self {
            Redirects::Never => false,
            Redirects::Within(domains) => {
                Uri::parse(uri.as_bytes()).is_ok_and(|uri| is_user_of(&uri, domains))
            }
            Redirects::Anywhere => true,
        }
    }
}

/// A user of a domain, by the domain's name alone: a port or maddr would lead past the registrar.
fn is_user_of(uri: &Uri<'_>, domains: &[String]) -> bool {
    matches!(uri.scheme, Scheme::Sip | Scheme::Sips)
        && uri.user.is_some()
        && uri.port.is_none()
        && !uri.has_param("maddr")
        && domains.iter().any(|domain| domain.eq_ignore_ascii_case(uri.host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_our_domains_users_are_reached_by_the_registrar_alone() {
        let own = Redirects::within(["example.com", "example.net"]);
        for good in ["sip:carol@example.com", "sips:carol@EXAMPLE.net", "sip:carol@example.com;transport=tcp"]
        {
            assert!(own.allow(good), "{good}");
        }
        for bad in [
            "sip:carol@192.0.2.1",
            "sip:carol@127.0.0.1:6379",
            "sip:carol@example.com:5061",
            "sip:carol@example.com;maddr=192.0.2.1",
            "sip:carol@evil.example.com",
            "sip:example.com",
            "tel:+19005551234",
            "http://example.com",
            "",
        ] {
            assert!(!own.allow(bad), "{bad}");
        }
        for (uri, expected) in [
            ("tel:+19005551234", true),
            ("sip:carol@example.com", true),
            ("sip:carol@192.0.2.1", false),
            ("mailto:carol@example.com", false),
        ] {
            assert_eq!(own.allow_referral(uri), expected, "{uri}");
        }
        assert!(!Redirects::Never.allow_referral("tel:+19005551234"));
        assert!(
            Redirects::Anywhere.allow("sip:carol@192.0.2.1:7")
                && !Redirects::Never.allow("sip:carol@example.com")
        );
    }
}
