//! The domains served, and addresses of record in them.

use sip_message::{Scheme, Uri};

use crate::config::{Auth, ConfigError, DomainConfig};
use crate::trunks::is_number;

/// A served domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Domain {
    /// Host part, small letters.
    pub name: String,
    pub auth: Auth,
    pub realm: String,
    /// Whether calls from and to its users run through call-control.
    pub is_anchored: bool,
    /// How the numbers of its country or place begin; elsewhere its accounts do not call but where they are allowed to.
    pub home_prefix: Option<String>,
}

/// All served domains.
#[derive(Clone, Debug)]
pub(crate) struct Domains(Vec<Domain>);

impl Domains {
    pub(crate) fn new(configured: &[DomainConfig]) -> Result<Self, ConfigError> {
        let mut domains: Vec<Domain> = Vec::with_capacity(configured.len());
        for DomainConfig { name, auth, realm, anchor, home_prefix } in configured {
            let uri = format!("sip:x@{name}");
            let name = match Uri::parse(uri.as_bytes()) {
                Ok(parsed) if parsed.host == name => host_name(&parsed),
                _ => return Err(ConfigError::BadDomain(name.clone())),
            };
            let realm = realm.clone().unwrap_or_else(|| name.clone());
            if realm.is_empty() || realm.chars().any(char::is_control) {
                return Err(ConfigError::BadRealm(name));
            }
            if domains.iter().any(|domain| domain.name == name) {
                return Err(ConfigError::DuplicateDomain(name));
            }
            let is_global =
                |prefix: &String| prefix.len() > 1 && prefix.starts_with('+') && is_number(prefix);
            if !home_prefix.as_ref().is_none_or(is_global) {
                return Err(ConfigError::BadHomePrefix(name));
            }
            let home_prefix = home_prefix.clone();
            domains.push(Domain { name, auth: *auth, realm, is_anchored: *anchor, home_prefix });
        }
        if domains.is_empty() { Err(ConfigError::NoDomain) } else { Ok(Self(domains)) }
    }

    /// The domain of a sip or sips URI, if it is served.
    pub(crate) fn of(&self, uri: &Uri<'_>) -> Option<&Domain> {
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            return None;
        }
        let host = uri.host.strip_suffix('.').unwrap_or(uri.host);
        let is_equal = |domain: &&Domain| domain.name.eq_ignore_ascii_case(host);
        self.0.iter().find(is_equal).or_else(|| {
            // IPv6 addresses have several spellings
            uri.host_ip().and_then(|_| self.0.iter().find(|domain| domain.name == host_name(uri)))
        })
    }

    /// The domain that a request to this URI is for, if it is served. A `maddr` that names nobody of ours leads past us: the edge has taken away
    /// those that name us. RFC 3261 16.4, 16.5
    pub(crate) fn called(&self, uri: &Uri<'_>) -> Option<&Domain> {
        let domain = self.of(uri)?;
        let Some(maddr) = uri.param("maddr").filter(|maddr| !maddr.is_empty()) else { return Some(domain) };
        let at = ["sip:", maddr].concat();
        Uri::parse(at.as_bytes()).is_ok_and(|at| self.of(&at).is_some()).then_some(domain)
    }

    /// The domain and the user part of a URI that is written as nearly all are: in normal form already, with nothing behind it. With a user
    /// part it is an address of record. `None` says nothing.
    pub(crate) fn of_plain<'u>(&self, uri: &'u str) -> Option<(&Domain, Option<&'u str>)> {
        let rest = uri.strip_prefix("sip:")?;
        let (user, host) = match rest.split_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, rest),
        };
        let domain = self.0.iter().find(|domain| domain.name == host)?;
        user.is_none_or(is_normal).then_some((domain, user))
    }

    /// The domain of an address of record in normal form.
    pub(crate) fn of_aor(&self, aor: &str) -> Option<&Domain> {
        let host = aor.strip_prefix("sip:")?.rsplit('@').next()?;
        self.0.iter().find(|domain| domain.name == host)
    }

    /// The domain whose credentials have this realm.
    pub(crate) fn of_realm(&self, realm: &[u8]) -> Option<&Domain> {
        self.0.iter().find(|domain| domain.auth == Auth::Digest && domain.realm.as_bytes() == realm)
    }

    /// Where somebody proves to be a user who names no domain.
    pub(crate) fn first_with_accounts(&self) -> Option<&Domain> {
        self.0.iter().find(|domain| domain.auth == Auth::Digest)
    }

    /// The home of telephone numbers that name no domain.
    pub(crate) fn home(&self) -> &Domain {
        &self.0[0]
    }
}

impl Domain {
    /// The address of record of a user part as it stands in a URI.
    pub(crate) fn aor_of(&self, user: &str) -> Option<String> {
        if is_normal(user) {
            return Some(["sip:", user, "@", &self.name].concat());
        }
        let uri = format!("sip:{user}@{}", self.name);
        // a name with an @ or a colon in it must not name somebody else
        let is_whole = |uri: &Uri<'_>| uri.user == Some(user.as_bytes()) && uri.host == self.name;
        Uri::parse(uri.as_bytes()).ok().filter(is_whole)?.aor()
    }
}

/// Is it a user part that is in normal form in any case? What nearly all are called is.
fn is_normal(user: &str) -> bool {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    !user.is_empty() && user.bytes().all(is_plain)
}

/// An address of record of a user, from a URI as received: `None` unless it is a sip or sips URI with a user part.
pub(crate) fn user_aor(uri: &Uri<'_>) -> Option<String> {
    matches!(uri.scheme, Scheme::Sip | Scheme::Sips).then_some(())?;
    uri.user?;
    uri.aor()
}

/// User part of an address of record in normal form.
pub(crate) fn user_part(aor: &str) -> &str {
    aor.strip_prefix("sip:").and_then(|rest| rest.rsplit_once('@')).map_or("", |(user, _)| user)
}

fn host_name(uri: &Uri<'_>) -> String {
    match uri.host_ip() {
        Some(std::net::IpAddr::V6(address)) => format!("[{address}]"),
        _ => uri.host.strip_suffix('.').unwrap_or(uri.host).to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains(names: &[&str]) -> Result<Domains, ConfigError> {
        let configured: Vec<DomainConfig> = names
            .iter()
            .map(|&name| DomainConfig { name: name.to_owned(), ..DomainConfig::default() })
            .collect();
        Domains::new(&configured)
    }

    #[test]
    fn domains_are_found_in_any_spelling() {
        let domains = domains(&["Example.COM", "[2001:DB8::1]"]).unwrap();
        let find =
            |uri: &str| domains.of(&Uri::parse(uri.as_bytes()).unwrap()).map(|domain| domain.name.clone());
        assert_eq!(find("sips:bob@EXAMPLE.com.:5061").as_deref(), Some("example.com"));
        assert_eq!(find("sip:[2001:db8:0::1]").as_deref(), Some("[2001:db8::1]"));
        assert_eq!(find("sip:bob@other.com"), None);
        assert_eq!(find("tel:+1"), None);
    }

    /// PXY-09
    #[test]
    fn a_maddr_of_somebody_else_leads_past_the_domain() {
        let domains = domains(&["example.com", "[2001:db8::1]"]).unwrap();
        let is_called = |uri: &str| domains.called(&Uri::parse(uri.as_bytes()).unwrap()).is_some();
        for ours in
            ["sip:bob@example.com", "sip:bob@example.com;maddr=EXAMPLE.com", "sips:bob@example.com;maddr"]
        {
            assert!(is_called(ours), "{ours}");
        }
        assert!(is_called("sip:bob@example.com;maddr=[2001:DB8:0::1]"));
        for elsewhere in ["sip:bob@example.com;maddr=203.0.113.1", "sip:bob@other.com;maddr=example.com"] {
            assert!(!is_called(elsewhere), "{elsewhere}");
        }
    }

    /// REG-03: what is taken for an address of record unread is what reading it gives.
    #[test]
    fn a_plain_uri_is_its_own_normal_form() {
        let domains = domains(&["example.com", "[2001:DB8::1]"]).unwrap();
        for plain in ["sip:bob@example.com", "sip:B.o-b_7@[2001:db8::1]"] {
            let uri = Uri::parse(plain.as_bytes()).unwrap();
            let (domain, user) = domains.of_plain(plain).unwrap();
            assert_eq!((Some(domain), uri.aor().as_deref()), (domains.of(&uri), Some(plain)));
            assert_eq!(user.map(str::as_bytes), uri.user);
        }
        let (domain, user) = domains.of_plain("sip:example.com").unwrap();
        assert_eq!((&*domain.name, user), ("example.com", None));
        for odd in [
            "sips:bob@example.com",
            "SIP:bob@example.com",
            "sip:bob@Example.com",
            "sip:bob@example.com.",
            "sip:bob@example.com:5060",
            "sip:bob@example.com;x",
            "sip:bob@example.com?a=b",
            "sip:b%6fb@example.com",
            "sip:bob:pw@example.com",
            "sip:@example.com",
            "sip:a@b@example.com",
            "sip:bob@example.org",
            "bob@example.com",
        ] {
            assert_eq!(domains.of_plain(odd), None, "{odd}");
        }
    }

    #[test]
    fn unusable_domains_are_refused() {
        assert_eq!(domains(&[]).unwrap_err(), ConfigError::NoDomain);
        assert_eq!(domains(&["a b"]).unwrap_err(), ConfigError::BadDomain("a b".to_owned()));
        assert_eq!(domains(&["a:5060"]).unwrap_err(), ConfigError::BadDomain("a:5060".to_owned()));
        for bad in ["49", "+", "+4x", ""] {
            let home_prefix = Some(bad.to_owned());
            let configured = [DomainConfig { name: "a".to_owned(), home_prefix, ..DomainConfig::default() }];
            assert_eq!(Domains::new(&configured).unwrap_err(), ConfigError::BadHomePrefix("a".to_owned()));
        }
        assert_eq!(domains(&["a", "A"]).unwrap_err(), ConfigError::DuplicateDomain("a".to_owned()));
    }

    /// REG-03: a name that a client authenticates with is a user part, and cannot be more.
    #[test]
    fn a_user_part_gives_an_address_of_record() {
        let domains = domains(&["d"]).unwrap();
        assert_eq!(domains.home().aor_of("%62ob").as_deref(), Some("sip:bob@d"));
        for odd in ["", "a@b@c", "a b", "a:b", "a\r\nb", "x@evil;y="] {
            assert_eq!(domains.home().aor_of(odd), None, "{odd}");
        }
        assert_eq!(user_part("sip:bob@d"), "bob");
    }
}
