//! The resolver of a process: [`Dns`] by the library hickory, with bounds of our own around it.
//!
//! | what | bound | at the bound |
//! |---|---|---|
//! | one question | `timeout` for each of `attempts` | [`DnsError::TimedOut`] |
//! | questions in flight | `lookups` | [`DnsError::Busy`] at once: nobody queues behind a silent domain |
//! | questions about one domain | a tenth of them | the same: its own calls fail, and nobody else's |
//! | answers kept | `cache` | the least used makes room |
//! | that a name is absent | `negative_ttl`, or what the zone says if that is shorter | it is asked again |
//!
//! Nothing is held while a question waits, and every answer is waited for in the driver loop as other work is.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig as Servers,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Answered, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use telemetry::{Counters, Gauge, Metrics};
use tokio::sync::Semaphore;

use crate::dns::{Answer, Dns, DnsError, Naptr, Srv};
use crate::domain_shares::DomainShares;

/// Which name servers are asked, and how patiently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolverConfig {
    /// Name servers, in any order. Default none, which means those of the system (`/etc/resolv.conf`, read once).
    pub servers: Vec<SocketAddr>,
    /// How long one attempt may take. Default 1 s: a resolver of the same site answers from its memory in milliseconds, and a caller
    /// hears nothing meanwhile.
    pub timeout: Duration,
    /// How often a question is asked. Default 2, since a datagram may be lost.
    pub attempts: usize,
    /// Longest time that the absence of a name is believed. Default 30 s: a server that was just entered is found soon.
    pub negative_ttl: Duration,
    /// Answers that are kept as long as they are valid. Default 10,000: some thousand domains.
    pub cache: usize,
    /// Questions in flight, a tenth of them about one domain. Default 1,000: with all of them silent, 500 a second.
    pub lookups: usize,
}

impl Default for ResolverConfig {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout: Duration::from_secs(1),
            attempts: 2,
            negative_ttl: Duration::from_secs(30),
            cache: 10_000,
            lookups: 1_000,
        }
    }
}

/// The resolver of a process.
pub struct Resolver {
    hickory: TokioResolver,
    room: Semaphore,
    shares: DomainShares,
    patience: Duration,
    lookups: Counters,
    in_flight: Gauge,
}

/// The name servers of the system are not known, and no others are named.
#[derive(Debug, thiserror::Error)]
#[error("the name servers cannot be used: {0}")]
pub struct ResolverError(NetError);

impl Resolver {
    /// A resolver. It asks nothing yet.
    ///
    /// # Errors
    /// When the library takes none of the servers.
    pub fn new(config: &ResolverConfig, metrics: &Metrics) -> Result<Self, ResolverError> {
        let provider = TokioRuntimeProvider::default();
        let mut builder = match config.servers.as_slice() {
            [] => TokioResolver::builder_tokio().unwrap_or_else(|error| {
                tracing::warn!(%error, "the name servers of the system are not known: no name outside /etc/hosts is found");
                TokioResolver::builder_with_config(Servers::from_parts(None, Vec::new(), Vec::new()), provider)
            }),
            named => {
                let servers = named.iter().copied().map(name_server).collect();
                TokioResolver::builder_with_config(Servers::from_parts(None, Vec::new(), servers), provider)
            }
        };
        let options = builder.options_mut();
        options.timeout = config.timeout;
        // What the library counts are repetitions.
        options.attempts = config.attempts.saturating_sub(1);
        options.cache_size = config.cache as u64;
        options.negative_max_ttl = Some(config.negative_ttl);
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.use_hosts_file = ResolveHosts::Always;
        // A domain is taken as it stands before it is looked for among the system's own: it is somebody else's.
        options.ndots = 1;
        options.max_active_requests = config.lookups;
        let attempts = u32::try_from(config.attempts.max(1)).unwrap_or(u32::MAX);
        Ok(Self {
            hickory: builder.build().map_err(ResolverError)?,
            room: Semaphore::new(config.lookups.min(Semaphore::MAX_PERMITS)),
            shares: DomainShares::of(config.lookups),
            patience: config.timeout.saturating_mul(attempts),
            lookups: metrics.counters(
                "dns_lookups_total",
                "Questions to DNS, by kind of record and outcome",
                &["kind", "outcome"],
            ),
            in_flight: metrics.gauge("dns_lookups_in_flight", "Questions to DNS that wait for their answer"),
        })
    }

    /// Asks within the bounds, and counts.
    async fn ask<T>(
        &self,
        kind: &str,
        name: &str,
        question: impl Future<Output = Result<Vec<T>, NetError>>,
    ) -> Result<Vec<T>, DnsError> {
        let answer = match (self.shares.take(name), self.room.try_acquire()) {
            (None, _) => {
                self.lookups.with_label_values(&[kind, "busy_domain"]).inc();
                return Err(DnsError::Busy);
            }
            (_, Err(_)) => Err(DnsError::Busy),
            (Some(_place), Ok(_room)) => {
                let _counted = InFlight::of(&self.in_flight);
                match tokio::time::timeout(self.patience, question).await {
                    Ok(Ok(records)) if records.is_empty() => Err(DnsError::NoSuchHost),
                    Ok(answer) => answer.map_err(|error| meaning(&error)),
                    Err(_) => Err(DnsError::TimedOut),
                }
            }
        };
        let outcome = answer.as_ref().map_or_else(|error| error.label(), |_| "found");
        self.lookups.with_label_values(&[kind, outcome]).inc();
        answer
    }

    /// The records of one type. The name is taken as it stands: domains of others are not looked for among the system's own.
    async fn records<T>(
        &self,
        name: &str,
        kind: RecordType,
        read: impl Fn(&RData) -> Option<T>,
    ) -> Result<Vec<T>, NetError> {
        let mut name = Name::from_ascii(name).map_err(NetError::from)?;
        name.set_fqdn(true);
        let found = self.hickory.lookup(name, kind).await?;
        Ok(found.answers().iter().filter_map(|record| read(&record.data)).collect())
    }
}

impl Dns for Resolver {
    fn addresses<'a>(&'a self, host: &'a str) -> Answer<'a, Vec<IpAddr>> {
        Box::pin(self.ask("a", host, async move {
            let name = Name::from_ascii(host).map_err(NetError::from)?;
            let found = self.hickory.lookup_ip(name).await?;
            let mut addresses: Vec<IpAddr> = found.iter().collect();
            // Which of both answers came first is chance. Stable: within a family the server's order stays.
            addresses.sort_by_key(IpAddr::is_ipv6);
            Ok(addresses)
        }))
    }

    fn services<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<Srv>> {
        let read = |data: &RData| match data {
            RData::SRV(srv) => Some(Srv {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                host: text(&srv.target),
            }),
            _ => None,
        };
        Box::pin(self.ask("srv", name, self.records(name, RecordType::SRV, read)))
    }

    fn pointers<'a>(&'a self, domain: &'a str) -> Answer<'a, Vec<Naptr>> {
        let words = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let read = move |data: &RData| match data {
            RData::NAPTR(naptr) => Some(Naptr {
                order: naptr.order,
                preference: naptr.preference,
                flags: words(&naptr.flags),
                services: words(&naptr.services),
                regexp: words(&naptr.regexp),
                replacement: text(&naptr.replacement),
            }),
            _ => None,
        };
        Box::pin(self.ask("naptr", domain, self.records(domain, RecordType::NAPTR, read)))
    }
}

/// Counted for as long as it lives, also when the work is dropped.
struct InFlight<'a>(&'a Gauge);

impl<'a> InFlight<'a> {
    fn of(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// UDP, and TCP for what is truncated.
fn name_server(address: SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        let ConnectionConfig { port, .. } = connection;
        *port = address.port();
    }
    server
}

/// A name without its final dot; empty for the root.
fn text(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_owned()
}

fn meaning(error: &NetError) -> DnsError {
    match error {
        NetError::Timeout => DnsError::TimedOut,
        NetError::Busy => DnsError::Busy,
        NetError::Dns(Answered::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => DnsError::NoSuchHost,
            _ => DnsError::Unavailable,
        },
        // No name that DNS could know.
        NetError::Proto(_) => DnsError::NoSuchHost,
        _ => DnsError::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    /// T29: names below one silent domain, however many, leave room for another domain.
    #[tokio::test]
    async fn one_domain_does_not_use_up_the_questions_of_all() {
        let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let config = ResolverConfig {
            servers: vec![silent.local_addr().unwrap()],
            timeout: Duration::from_millis(20),
            attempts: 1,
            lookups: 20,
            ..ResolverConfig::default()
        };
        let resolver = Resolver::new(&config, &Metrics::new()).unwrap();
        // Each takes its place when it is asked for the first time, in this order.
        let names = ["a.evil.test", "b.evil.test", "c.evil.test", "good.test"];
        let answers = join_all(names.map(|name| resolver.addresses(name))).await;
        let busy: Vec<_> = answers.into_iter().map(|answer| answer == Err(DnsError::Busy)).collect();
        assert_eq!(busy, [false, false, true, false]);
    }
}
