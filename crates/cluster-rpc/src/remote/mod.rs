//! Calls to the replicas of a service: found by list or by name, chosen by load, left alone when they fail.

mod address;
mod budget;
mod discovery;
mod gathered;
mod outlier;
mod replica;
mod replicas;

pub use address::{Address, BadAddress};
pub use discovery::{Names, SystemNames};
pub(crate) use replicas::Spoken;
pub use replicas::{CallKind, Replicas, Wiring};

use std::time::Duration;

use telemetry::Redacted;
use tonic::transport::ClientTlsConfig;

/// Settings of the calls to one service.
#[derive(Clone, Debug)]
pub struct Config {
    /// Longest time of one call, all attempts together. 2 s: a phone repeats a request after T1..T2 (RFC 3261 17.1.2.2), and a
    /// later answer helps nobody.
    pub deadline: Duration,
    /// Longest time of one attempt, so that a silent replica leaves time for another.
    pub attempt: Duration,
    /// Most attempts of a call that may be repeated.
    pub attempts: u32,
    /// Longest time for a connection to be made.
    pub connect: Duration,
    /// Time between two looks at DNS. Replicas that come up are found within it.
    pub refresh: Duration,
    /// HTTP/2 ping interval on a connection: a peer that vanished without a word is noticed after it and `ping_timeout`.
    pub ping_interval: Duration,
    /// Longest time for the answer to a ping.
    pub ping_timeout: Duration,
    /// Failures in a row after which a replica is left alone.
    pub eject_after: u32,
    /// How long it is left alone the first time; doubles each time in a row.
    pub eject_for: Duration,
    /// Longest time it is left alone.
    pub eject_at_most: Duration,
    /// TLS toward `https` addresses.
    pub tls: Option<ClientTlsConfig>,
    /// Bearer token for the other service, where it asks for one.
    pub token: Option<Redacted<String>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(2),
            attempt: Duration::from_millis(800),
            attempts: 3,
            connect: Duration::from_millis(500),
            refresh: Duration::from_secs(5),
            ping_interval: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(5),
            eject_after: 3,
            eject_for: Duration::from_secs(1),
            eject_at_most: Duration::from_secs(30),
            tls: None,
            token: None,
        }
    }
}
