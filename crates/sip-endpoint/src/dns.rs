//! The questions we ask of DNS, behind a trait: what answers them is the operator's resolver, or a table of a test.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

/// The questions we ask of DNS.
///
/// A DNS that knows addresses alone, such as the host table of the system, leaves the other two as they are.
pub trait Dns: Send + Sync + 'static {
    /// The addresses of a host (A and AAAA), in the order in which to try them.
    fn addresses<'a>(&'a self, host: &'a str) -> Answer<'a, Vec<IpAddr>>;

    /// The SRV records of a name, in any order. RFC 2782
    fn services<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<Srv>> {
        let _ = name;
        Box::pin(std::future::ready(Err(DnsError::NoSuchHost)))
    }

    /// The NAPTR records of a domain, in any order. RFC 3403
    fn pointers<'a>(&'a self, domain: &'a str) -> Answer<'a, Vec<Naptr>> {
        let _ = domain;
        Box::pin(std::future::ready(Err(DnsError::NoSuchHost)))
    }
}

/// An answer to come.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, DnsError>> + Send + 'a>>;

/// A server that a domain names for a service. RFC 2782
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srv {
    /// The lowest number is tried first.
    pub priority: u16,
    /// Share among records of one priority.
    pub weight: u16,
    /// Where the server listens.
    pub port: u16,
    /// Its name without final dot; empty when the domain says that it does not offer the service.
    pub host: String,
}

/// What a domain says of the transports it is reached by. RFC 3403, 3263 4.1
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Naptr {
    /// The lowest number counts, and no other of those that we understand.
    pub order: u16,
    /// Within one order the lowest number is tried first.
    pub preference: u16,
    /// `s`: an SRV name follows.
    pub flags: String,
    /// Such as `SIP+D2U`.
    pub services: String,
    /// A rewriting rule, which SIP does not use for this.
    pub regexp: String,
    /// The SRV name, without final dot.
    pub replacement: String,
}

/// Why it is not known where a name leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// There is no such name, or it has no record of the kind.
    #[error("no such host")]
    NoSuchHost,
    /// The name servers answered that they cannot say, or answered what cannot be read.
    #[error("name servers failed")]
    Unavailable,
    /// The name servers gave no answer in time.
    #[error("name servers are silent")]
    TimedOut,
    /// Too many questions were open already.
    #[error("too many questions to name servers")]
    Busy,
    /// The name is reached by transports alone that are not ours.
    #[error("no transport in common")]
    NoTransport,
}

impl DnsError {
    /// The name under which it is counted.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoSuchHost => "none",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timeout",
            Self::Busy => "busy",
            Self::NoTransport => "no_transport",
        }
    }

    /// Whether the name servers can be asked something else at once: who is silent now will be silent again.
    pub(crate) fn leaves_a_choice(self) -> bool {
        match self {
            Self::NoSuchHost | Self::Unavailable => true,
            Self::TimedOut | Self::Busy | Self::NoTransport => false,
        }
    }
}

/// The resolver library of the operating system, which knows addresses alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDns;

impl Dns for SystemDns {
    fn addresses<'a>(&'a self, host: &'a str) -> Answer<'a, Vec<IpAddr>> {
        Box::pin(async move {
            match tokio::net::lookup_host((host, 0)).await {
                Ok(found) => Ok(found.map(|address| address.ip()).collect()),
                // getaddrinfo does not tell a missing name from a failing server in a portable way.
                Err(_) => Err(DnsError::NoSuchHost),
            }
        })
    }
}
