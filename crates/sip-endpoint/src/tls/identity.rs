//! Which SIP domains a certificate stands for. RFC 5922 7.1, 7.2
//!
//! | in the certificate | identities |
//! |---|---|
//! | URI entries `sip:HOST` without a user in subjectAltName | those hosts, and nothing else |
//! | no such URI, but DNS entries in subjectAltName | those names |
//! | subjectAltName without either (only addresses, only users) | none |
//! | no subjectAltName at all | the common name of the subject |
//!
//! Names compare whole and without case; a wildcard is a name that no domain has.

use sip_message::{Scheme, Uri, host_ip};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Names of one certificate that are looked at. One with more is a provider's for all its customers.
const MOST: usize = 64;

/// The SIP domains of a certificate in DER, in lower case; none when it cannot be read.
pub fn domain_identities(certificate: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    match certificate.subject_alternative_name() {
        Ok(Some(names)) => of_names(&names.value.general_names),
        Ok(None) => {
            let common = certificate.subject().iter_common_name().next();
            common.and_then(|name| name.as_str().ok()).and_then(normal).into_iter().collect()
        }
        Err(_) => Vec::new(),
    }
}

/// Is this domain one of these identities?
pub fn is_identity(identities: &[impl AsRef<str>], domain: &str) -> bool {
    normal(domain).is_some_and(|domain| identities.iter().any(|identity| identity.as_ref() == domain))
}

fn of_names(names: &[GeneralName<'_>]) -> Vec<String> {
    let uris: Vec<String> = names.iter().filter_map(of_uri).take(MOST).collect();
    if !uris.is_empty() {
        return uris;
    }
    let dns = names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => normal(name),
        _ => None,
    });
    dns.take(MOST).collect()
}

fn of_uri(name: &GeneralName<'_>) -> Option<String> {
    let GeneralName::URI(uri) = name else { return None };
    let uri = Uri::parse(uri.as_bytes()).ok()?;
    // A user's certificate says nothing about the domain.
    if uri.scheme != Scheme::Sip || uri.user.is_some() { None } else { normal(uri.host) }
}

/// A domain name in the form in which names compare; `None` for a number, a wildcard and what is no name.
pub(crate) fn normal(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let is_name = !name.is_empty() && name.bytes().all(letters) && host_ip(name).is_none();
    is_name.then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    fn dns(text: &str) -> SanType {
        SanType::DnsName(text.try_into().unwrap())
    }

    fn identities(common_name: &str, names: Vec<SanType>) -> Vec<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names = names;
        let key = KeyPair::generate().unwrap();
        domain_identities(params.self_signed(&key).unwrap().der())
    }

    /// SEC-01
    #[test]
    fn identities_come_from_the_names_that_the_rule_allows() {
        let ip = SanType::IpAddress("192.0.2.1".parse().unwrap());
        let cases: [(&str, Vec<SanType>, &[&str]); 12] = [
            ("uri", vec![uri("sip:Example.com")], &["example.com"]),
            ("uri before dns", vec![dns("host.example.net"), uri("sip:example.com")], &["example.com"]),
            ("uris", vec![uri("sip:a.example"), uri("sip:b.example")], &["a.example", "b.example"]),
            ("dns", vec![dns("Example.com"), dns("example.org")], &["example.com", "example.org"]),
            ("a user is no domain", vec![uri("sip:alice@example.com")], &[]),
            (
                "a user beside a dns name",
                vec![uri("sip:alice@example.com"), dns("example.com")],
                &["example.com"],
            ),
            ("other schemes", vec![uri("sips:example.com"), uri("https://example.com")], &[]),
            ("wildcard", vec![dns("*.example.com")], &[]),
            ("address", vec![ip.clone()], &[]),
            ("address as uri", vec![uri("sip:192.0.2.1")], &[]),
            ("cn.example", vec![], &["cn.example"]),
            ("no cn beside names", vec![ip, uri("https://example.com")], &[]),
        ];
        for (name, names, expected) in cases {
            assert_eq!(identities(name, names), expected, "{name}");
        }
        assert_eq!(identities("*.example.com", vec![]), [""; 0]);
        assert_eq!(domain_identities(b"no certificate"), [""; 0]);
    }

    /// SEC-01
    #[test]
    fn names_match_whole_and_without_case() {
        let certificate = ["example.com".to_owned()];
        for good in ["example.com", "EXAMPLE.COM", "example.com."] {
            assert!(is_identity(&certificate, good), "{good}");
        }
        for bad in ["sip.example.com", "example.co", "ample.com", "com", "", "*.com", "192.0.2.1"] {
            assert!(!is_identity(&certificate, bad), "{bad}");
        }
    }
}
