//! Which replicas there are: the list as written, and what DNS says about the names in it.

use std::{io, net::SocketAddr};

use async_trait::async_trait;

use super::address::Address;

/// Looks names up.
#[async_trait]
pub trait Names: Send + Sync + 'static {
    /// Every address behind a name.
    ///
    /// # Errors
    /// When the name is unknown or nobody answers.
    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The resolver of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemNames;

#[async_trait]
impl Names for SystemNames {
    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// The URLs of all replicas, sorted. A name that cannot be looked up keeps what `before` says about it: an outage of DNS takes
/// no replica away.
pub(super) async fn urls(
    addresses: &[Address],
    names: &dyn Names,
    secure: bool,
    before: &[Found],
) -> Vec<Found> {
    let mut found = Vec::with_capacity(addresses.len());
    for address in addresses {
        let urls = match address {
            Address::Url(url) => vec![url.clone()],
            Address::Name { host, port } => match names.lookup(host, *port).await {
                Ok(replicas) if !replicas.is_empty() => {
                    let scheme = if secure { "https" } else { "http" };
                    let mut urls: Vec<_> = replicas.iter().map(|at| format!("{scheme}://{at}")).collect();
                    urls.sort();
                    urls.dedup();
                    urls
                }
                outcome => {
                    tracing::warn!(name = %address, error = ?outcome.err(), "no replica found by name: the known ones are kept");
                    before
                        .iter()
                        .find(|found| found.address == *address)
                        .map(|found| found.urls.clone())
                        .unwrap_or_default()
                }
            },
        };
        found.push(Found { address: address.clone(), urls });
    }
    found
}

/// What one address stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// As written.
    pub(super) address: Address,
    /// The replicas.
    pub(super) urls: Vec<String>,
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[tokio::test]
    async fn a_name_stands_for_every_address_behind_it_and_a_url_for_itself() {
        let names = Zone::new(Some(vec!["10.0.0.2:1", "10.0.0.1:1", "10.0.0.2:1"]));
        let addresses = [name(), Address::Url("http://fixed:1".into())];
        let found = urls(&addresses, &names, false, &[]).await;
        assert_eq!(found[0].urls, ["http://10.0.0.1:1", "http://10.0.0.2:1"]);
        assert_eq!(found[1].urls, ["http://fixed:1"]);
    }

    /// F17: DNS outage.
    #[tokio::test]
    async fn an_outage_of_dns_takes_no_replica_away() {
        let names = Zone::new(Some(vec!["10.0.0.1:1"]));
        let before = urls(&[name()], &names, false, &[]).await;
        names.set(None);
        assert_eq!(urls(&[name()], &names, false, &before).await, before);
        names.set(Some(vec![]));
        assert_eq!(urls(&[name()], &names, false, &before).await, before);
    }

    fn name() -> Address {
        Address::Name { host: "registrar".into(), port: 1 }
    }

    struct Zone(Mutex<Option<Vec<&'static str>>>);

    impl Zone {
        fn new(addresses: Option<Vec<&'static str>>) -> Self {
            Self(Mutex::new(addresses))
        }

        fn set(&self, addresses: Option<Vec<&'static str>>) {
            *self.0.lock() = addresses;
        }
    }

    #[async_trait]
    impl Names for Zone {
        async fn lookup(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
            let addresses = self.0.lock().clone().ok_or(io::ErrorKind::TimedOut)?;
            Ok(addresses.iter().map(|address| address.parse().expect("an address")).collect())
        }
    }
}
