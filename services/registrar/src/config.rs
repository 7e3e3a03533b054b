//! Settings of the registrar.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sip_digest::Hash;

use crate::numbers::{NumberPoolConfig, NumberPoolError};
use crate::spending::{MOST_PATIENCE, SpendingConfig};

/// Settings of the registrar. Every default says where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The domains served; the first one is the home of telephone numbers without a domain.
    pub domains: Vec<DomainConfig>,
    /// Granted to a phone that asks for nothing: 3600 s (RFC 3261 10.2.1.1 leaves it to the registrar).
    pub default_expires: Duration,
    /// Shorter requests are answered 423: 60 s, a tenth of what a NAT binding of a TCP connection may live.
    pub min_expires: Duration,
    /// Longer requests are shortened: 7200 s.
    pub max_expires: Duration,
    /// Bindings of one address of record, where the account does not say: 10 (against amplification by forking).
    pub max_bindings: u32,
    /// Life of a nonce: 300 s, the longest that a captured request may be tried again elsewhere.
    pub nonce_lifetime: Duration,
    /// Algorithms offered, best first: SHA-256, and MD5 for old clients (RFC 8760 2.3).
    pub algorithms: Vec<Algorithm>,
    /// Accepts credentials without qop, which prove less (RFC 8760 2.6); only for old clients: off.
    pub danger_allow_no_qop: bool,
    /// How long a user without account is still known after the last binding went (480 instead of 404): 300 s.
    pub forget_after: Duration,
    /// Life of a membership lease: 2 s, so that work of a dead process is taken over within 3 s.
    pub membership_lease: Duration,
    /// How often expired bindings are looked for: 500 ms, so that they are gone within a second.
    pub expiry_interval: Duration,
    /// User parts that belong to call-control (callback, conference factory): none.
    pub call_control_users: Vec<String>,
    /// Call-control holds conferences: what is for `sip:conf-CALL@domain` is its to answer. Off.
    pub conferences: bool,
    /// Follow 3xx answers of own users' phones (RFC 3261 16.5): off, the caller sees them.
    pub recurse: bool,
    /// Addresses of record whose records are kept in memory, so that a change needs no read: 100 000, about 50 MB. An
    /// embedded store is never copied.
    pub cached_aors: usize,
    /// Push services, as phones name them in `pn-provider`: none, and nobody is pushed.
    pub push_providers: Vec<String>,
    /// Pushes that are carried out at once: 64, each a connection to the push service at most.
    pub pushes_at_once: usize,
    /// Numbers to lend (ALLOCATE): none.
    pub number_pools: Vec<NumberPoolConfig>,
    /// Pushes that wait: 1000; beyond it requests for phones that sleep are refused.
    pub pushes_queued: usize,
    /// The questions to the operator's service, where there is one.
    pub spending: SpendingConfig,
}

/// One served domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DomainConfig {
    /// Host part of its addresses of record.
    pub name: String,
    /// How its users prove who they are.
    pub auth: Auth,
    /// Realm of challenges; the name when absent.
    pub realm: Option<String>,
    /// Calls from and to all its users run through call-control.
    pub anchor: bool,
    /// How telephone numbers at home begin, as `+49`: its accounts call no others by trunks but those that they are allowed each. Absent, and
    /// they call all.
    pub home_prefix: Option<String>,
}

/// How users prove who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// By digest.
    #[default]
    Digest,
    /// Not at all: any user part may register and call.
    None,
}

/// An algorithm to offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Algorithm {
    /// SHA-512/256.
    #[serde(rename = "SHA-512-256")]
    Sha512T256,
    /// SHA-256.
    #[serde(rename = "SHA-256")]
    Sha256,
    /// MD5.
    #[serde(rename = "MD5")]
    Md5,
}

/// Settings that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A registrar without a domain refuses everything.
    #[error("no domain is served")]
    NoDomain,
    /// A name that cannot stand in a URI.
    #[error("{0:?} is not the host part of a SIP URI")]
    BadDomain(String),
    /// A name twice.
    #[error("domain {0:?} is listed twice")]
    DuplicateDomain(String),
    /// A realm with characters that cannot be quoted in a header.
    #[error("the realm of {0:?} holds control characters")]
    BadRealm(String),
    /// What is no beginning of numbers in global form.
    #[error("the home prefix of {0:?} is not a + and digits, as +49")]
    BadHomePrefix(String),
    /// Times that exclude each other.
    #[error("min_expires <= default_expires <= max_expires does not hold")]
    Expires,
    /// A challenge needs an algorithm.
    #[error("no algorithm is offered")]
    NoAlgorithm,
    /// Nonces must not live forever.
    #[error("nonce_lifetime must be 1 s to 300 s")]
    NonceLifetime,
    /// Who asks the registrar would not wait for the operator's service.
    #[error("the operator's service has to answer within {MOST_PATIENCE:?}")]
    Spending,
    /// Numbers that cannot be lent.
    #[error(transparent)]
    Numbers(#[from] NumberPoolError),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            domains: vec![DomainConfig { name: "localhost".to_owned(), ..DomainConfig::default() }],
            default_expires: Duration::from_secs(3_600),
            min_expires: Duration::from_secs(60),
            max_expires: Duration::from_secs(7_200),
            max_bindings: 10,
            nonce_lifetime: Duration::from_secs(300),
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            danger_allow_no_qop: false,
            forget_after: Duration::from_secs(300),
            membership_lease: Duration::from_secs(2),
            expiry_interval: Duration::from_millis(500),
            call_control_users: Vec::new(),
            conferences: false,
            recurse: false,
            cached_aors: 100_000,
            push_providers: Vec::new(),
            number_pools: Vec::new(),
            pushes_at_once: 64,
            pushes_queued: 1_000,
            spending: SpendingConfig::default(),
        }
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if !(self.min_expires <= self.default_expires && self.default_expires <= self.max_expires) {
            return Err(ConfigError::Expires);
        }
        if self.algorithms.is_empty() {
            return Err(ConfigError::NoAlgorithm);
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(300)).contains(&self.nonce_lifetime) {
            return Err(ConfigError::NonceLifetime);
        }
        if self.spending.timeout.is_zero() || self.spending.timeout > MOST_PATIENCE {
            return Err(ConfigError::Spending);
        }
        Ok(())
    }

    pub(crate) fn hashes(&self) -> Vec<Hash> {
        self.algorithms.iter().map(|&algorithm| algorithm.into()).collect()
    }
}

impl From<Algorithm> for Hash {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha512T256 => Self::Sha512T256,
            Algorithm::Sha256 => Self::Sha256,
            Algorithm::Md5 => Self::Md5,
        }
    }
}
