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
        let known = before.iter().find(|found| found.address == *address);
        let earlier = known.map_or(0, |found| found.misses);
        let mut misses = 0;
        let urls = match address {
            Address::Url(url) => vec![url.clone()],
            Address::Name { host, port } => match names.lookup(host, *port).await {
                Ok(replicas) if !replicas.is_empty() => {
                    if earlier > 0 {
                        tracing::info!(name = %address, "replicas are found by name again");
                    }
                    let scheme = if secure { "https" } else { "http" };
                    let mut urls: Vec<_> = replicas.iter().map(|at| format!("{scheme}://{at}")).collect();
                    urls.sort();
                    urls.dedup();
                    urls
                }
                outcome => {
                    misses = earlier.saturating_add(1);
                    if is_said(misses) {
                        tracing::warn!(name = %address, error = ?outcome.err(), "no replica found by name: the known ones are kept");
                    }
                    known.map(|found| found.urls.clone()).unwrap_or_default()
                }
            },
        };
        found.push(Found { address: address.clone(), urls, misses });
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
    /// How often in a row it was looked up in vain.
    pub(super) misses: u32,
}

/// Whether a lookup in vain is worth a line: the first one, and then after one, two, four … minutes of the usual pause (5 s).
fn is_said(misses: u32) -> bool {
    const A_MINUTE: u32 = 12;
    misses == 1 || misses.is_multiple_of(A_MINUTE) && (misses / A_MINUTE).is_power_of_two()
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
        let during = urls(&[name()], &names, false, &before).await;
        assert_eq!((&during[0].urls, during[0].misses), (&before[0].urls, 1));
        names.set(Some(vec![]));
        let later = urls(&[name()], &names, false, &during).await;
        assert_eq!((&later[0].urls, later[0].misses), (&before[0].urls, 2));
        names.set(Some(vec!["10.0.0.1:1"]));
        assert_eq!(urls(&[name()], &names, false, &later).await, before);
    }

    #[test]
    fn an_outage_of_dns_is_said_more_and_more_rarely() {
        let said: Vec<u32> = (1..500).filter(|misses| is_said(*misses)).collect();
        assert_eq!(said, [1, 12, 24, 48, 96, 192, 384]);
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
