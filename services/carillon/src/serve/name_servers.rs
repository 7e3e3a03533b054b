//! Keys of `dns`: who is asked where other domains are, and how patiently.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sip_endpoint::ResolverConfig;

use super::settings::Settings;

/// Keys of name resolution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// Name servers, each ADDRESS or ADDRESS:PORT; empty means those of the system, as they are when the process starts.
    pub servers: Vec<String>,
    /// How long one attempt may take.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// How often a question is asked.
    pub attempts: usize,
    /// Longest time that the absence of a name is believed; 0s asks each time.
    #[serde(with = "humantime_serde")]
    pub negative_ttl: Duration,
}

// Every default is that of the owner of the value, so that there is one.
impl Default for Dns {
    fn default() -> Self {
        let ResolverConfig { timeout, attempts, negative_ttl, .. } = ResolverConfig::default();
        Self { servers: Vec::new(), timeout, attempts, negative_ttl }
    }
}

/// What the resolver is given.
///
/// # Errors
/// A server that is no address.
pub fn resolver(settings: &Settings) -> Result<ResolverConfig, String> {
    let Dns { servers, timeout, attempts, negative_ttl } = &settings.dns;
    Ok(ResolverConfig {
        servers: servers.iter().map(|text| server(text)).collect::<Result<_, _>>()?,
        timeout: *timeout,
        attempts: *attempts,
        negative_ttl: *negative_ttl,
        cache: settings.limits.dns_answers,
        lookups: settings.limits.dns_lookups,
    })
}

fn server(text: &str) -> Result<SocketAddr, String> {
    const PORT: u16 = 53;
    let alone = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
    text.parse().or_else(|_| alone()).map_err(|_| {
        format!("expected ADDRESS or ADDRESS:PORT, found {text:?}: a name would have to be resolved first")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_address_with_the_port_of_dns_unless_it_says_another() {
        let read = |text: &str| server(text).map(|address| address.to_string());
        for (text, expected) in [
            ("192.0.2.53", "192.0.2.53:53"),
            ("192.0.2.53:5353", "192.0.2.53:5353"),
            ("2001:db8::53", "[2001:db8::53]:53"),
            ("[2001:db8::53]:5353", "[2001:db8::53]:5353"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected));
        }
        for bad in ["ns.example", "", "192.0.2.53:x", "udp://192.0.2.53"] {
            assert!(server(bad).is_err(), "{bad}");
        }
    }
}
