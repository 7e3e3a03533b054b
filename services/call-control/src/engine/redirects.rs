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
        assert!(
            Redirects::Anywhere.allow("sip:carol@192.0.2.1:7")
                && !Redirects::Never.allow("sip:carol@example.com")
        );
    }
}
