//! What handshakes are made with.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, NoClientAuth, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::files::{Chain, Read, TlsProblem};
use super::identity::{domain_identities, normal};
use super::verify::DomainVerifier;

/// What the files held, ready for use.
pub(crate) struct Live {
    read: Read,
    shown: Vec<Shown>,
    acceptor: Arc<ServerConfig>,
    /// By the domain of ours that we are; the empty name is that of the default.
    connectors: HashMap<Box<str>, Arc<ClientConfig>>,
    by_name: Arc<ByName>,
}

/// A certificate of ours that peers see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The domains it is shown for.
    pub domains: Vec<String>,
    /// When it ends.
    pub not_after: SystemTime,
}

/// What TLS has proved about a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Secured {
    /// The SIP domains of the peer's certificate; none when it showed no certificate. RFC 5922 7.4
    pub(crate) peer: Arc<[Box<str>]>,
    /// Which domain of ours the peer has seen.
    pub(crate) ours: Box<str>,
}

/// Chooses a certificate by the domain that a peer asks for. RFC 5922 7.8
#[derive(Debug)]
struct ByName {
    keys: HashMap<Box<str>, (Arc<CertifiedKey>, Box<str>)>,
    default: (Arc<CertifiedKey>, Box<str>),
}

impl ByName {
    fn of(&self, asked: Option<&str>) -> &(Arc<CertifiedKey>, Box<str>) {
        let asked = asked.and_then(normal);
        asked.and_then(|name| self.keys.get(name.as_str())).unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Who asks for a name that is not ours sees by our certificate that it is in the wrong place.
        Some(self.of(hello.server_name()).0.clone())
    }
}

impl Live {
    pub(super) fn of(read: Read) -> Result<Self, TlsProblem> {
        let provider = Arc::new(default_provider());
        let (by_name, shown) = by_name(&read, &provider)?;
        let by_name = Arc::new(by_name);
        let mut authorities = RootCertStore::empty();
        for authority in &read.authorities {
            let refused = |why: rustls::Error| TlsProblem::Refused {
                path: read.authorities_in.clone(),
                why: why.to_string(),
            };
            authorities.add(authority.clone()).map_err(refused)?;
        }
        let authorities = Arc::new(authorities);
        let acceptor = Arc::new(acceptor(by_name.clone(), &authorities, &provider)?);
        let mut connectors = HashMap::new();
        for chain in read.client.iter().chain(&read.certificates).rev() {
            let connector = Arc::new(connector(chain, &authorities, &provider)?);
            let names = domains(chain).into_iter().map(String::into_boxed_str);
            connectors.extend(names.chain(Some(Box::default())).map(|name| (name, connector.clone())));
        }
        Ok(Self { read, shown, acceptor, connectors, by_name })
    }

    pub(super) fn is_of(&self, read: &Read) -> bool {
        self.read == *read
    }

    pub(super) fn shown(&self) -> &[Shown] {
        &self.shown
    }

    pub(crate) fn acceptor(&self) -> Arc<ServerConfig> {
        self.acceptor.clone()
    }

    /// Who we are toward a server when we speak for this domain, and how.
    pub(crate) fn connector(&self, ours: &str) -> (Box<str>, Arc<ClientConfig>) {
        let named = normal(ours).and_then(|ours| Some((self.connectors.get(ours.as_str())?.clone(), ours)));
        match named {
            Some((connector, ours)) => (ours.into(), connector),
            None => (self.default_name(), self.connectors[""].clone()),
        }
    }

    /// Who we are to those that ask for nobody.
    pub(super) fn domain(&self) -> Box<str> {
        self.by_name.default.1.clone()
    }

    /// How another host of the tier is called, and whom it has to prove to be: what we are. `None` without a name.
    pub(crate) fn sibling(&self) -> Option<(Box<str>, Arc<ClientConfig>)> {
        let domain = self.domain();
        let connector = self.connectors.get(&domain).filter(|_| !domain.is_empty())?;
        Some((domain, connector.clone()))
    }

    /// Is the client of a connection another host of the tier? What is known of it then; it has no alias.
    pub(crate) fn as_sibling(&self, shown: Option<&[CertificateDer<'_>]>) -> Option<Secured> {
        let peer = identities(shown);
        let domain = self.domain();
        let is_it = !domain.is_empty() && peer.iter().any(|name| **name == *domain);
        is_it.then(|| Secured { peer, ours: Box::default() })
    }

    fn default_name(&self) -> Box<str> {
        let first = self.read.client.as_ref().and_then(|chain| domains(chain).into_iter().next());
        first.map_or_else(|| self.by_name.default.1.clone(), String::into_boxed_str)
    }

    /// What is known of the client of a connection that was accepted.
    pub(crate) fn client(&self, asked: Option<&str>, shown: Option<&[CertificateDer<'_>]>) -> Secured {
        Secured { peer: identities(shown), ours: self.by_name.of(asked).1.clone() }
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Live").field("shown", &self.shown).finish_non_exhaustive()
    }
}

/// The domains of the certificate that a peer has shown.
pub(crate) fn identities(shown: Option<&[CertificateDer<'_>]>) -> Arc<[Box<str>]> {
    let first = shown.and_then(<[_]>::first);
    let names = first.map(|certificate| domain_identities(certificate)).unwrap_or_default();
    names.into_iter().map(String::into_boxed_str).collect()
}

fn by_name(read: &Read, provider: &CryptoProvider) -> Result<(ByName, Vec<Shown>), TlsProblem> {
    let (mut keys, mut default, mut shown) = (HashMap::new(), None, Vec::new());
    for chain in &read.certificates {
        let key = Arc::new(certified(chain, provider)?);
        let names = domains(chain);
        let first: Box<str> = names.first().cloned().unwrap_or_default().into();
        for name in &names {
            keys.entry(name.clone().into_boxed_str()).or_insert_with(|| (key.clone(), name.clone().into()));
        }
        default.get_or_insert((key, first));
        shown.push(Shown { domains: names, not_after: not_after(chain)? });
    }
    let default = default.ok_or(TlsProblem::NoCertificate)?;
    Ok((ByName { keys, default }, shown))
}

fn certified(chain: &Chain, provider: &CryptoProvider) -> Result<CertifiedKey, TlsProblem> {
    let refused =
        |why: rustls::Error| TlsProblem::Refused { path: chain.files.key.clone(), why: why.to_string() };
    CertifiedKey::from_der(chain.certificates.clone(), chain.key.clone_key(), provider).map_err(refused)
}

fn domains(chain: &Chain) -> Vec<String> {
    match chain.files.domains.is_empty() {
        true => chain.certificates.first().map(|own| domain_identities(own)).unwrap_or_default(),
        false => chain.files.domains.iter().filter_map(|name| normal(name)).collect(),
    }
}

fn not_after(chain: &Chain) -> Result<SystemTime, TlsProblem> {
    let path = chain.files.certificate.clone();
    let parsed = chain.certificates.first().and_then(|own| X509Certificate::from_der(own).ok());
    let (_, certificate) =
        parsed.ok_or(TlsProblem::Refused { path, why: "the certificate cannot be read".to_owned() })?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or_default();
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

fn unusable(error: impl fmt::Display) -> TlsProblem {
    TlsProblem::Unusable(error.to_string())
}

fn acceptor(
    by_name: Arc<ByName>,
    authorities: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<ServerConfig, TlsProblem> {
    // A phone has no certificate; a neighbour that shows one is believed only if its authority is. RFC 5922 7.4
    let verifier = match authorities.is_empty() {
        true => Arc::new(NoClientAuth) as _,
        false => WebPkiClientVerifier::builder_with_provider(authorities.clone(), provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(unusable)?,
    };
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(by_name);
    // Nothing is kept for a peer that may never come back; a new life of the files begins with a new key.
    config.ticketer = Ticketer::new().map_err(unusable)?;
    config.send_tls13_tickets = 1;
    Ok(config)
}

fn connector(
    chain: &Chain,
    authorities: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<ClientConfig, TlsProblem> {
    let algorithms = provider.signature_verification_algorithms;
    let verifier = DomainVerifier { authorities: authorities.clone(), algorithms };
    ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(chain.certificates.clone(), chain.key.clone_key())
        .map_err(unusable)
}
