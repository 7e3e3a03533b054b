//! What can be set about the Redis engine.

use std::time::Duration;

use crate::LogLimits;

/// Settings of the Redis engine.
#[derive(Clone)]
pub struct RedisOptions {
    /// Replicas that must confirm a commit before it is acknowledged. Default `None`: 1 behind Sentinels, in a cluster, and
    /// where the server has shown a replica; 0 where it has not.
    pub wait_replicas: Option<u32>,
    /// How long they have. Default 100 ms.
    pub wait_timeout: Duration,
    /// How long an answer of the server may take. Default 500 ms: no wait on the store is longer.
    pub response_timeout: Duration,
    /// How long one attempt to connect may take. Default 500 ms.
    pub connect_timeout: Duration,
    /// Longest pause between attempts to connect; pauses begin at 20 ms and double. Default 500 ms, so that the service
    /// is back within a second of the server.
    pub reconnect_pause: Duration,
    /// Connections that carry commits; each partition stays on one. Default 2.
    pub lanes: usize,
    /// Commits that may wait in front of each of these connections; more are refused. Default 2048.
    pub queue: usize,
    /// Bounds on logs.
    pub logs: LogLimits,
    /// PEM of the certificate authorities to trust for `rediss://`; `None`: those of the system.
    pub tls_ca: Option<Vec<u8>>,
    /// PEM of our certificate and key for `rediss://`, when the server asks for one.
    pub tls_identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Default for RedisOptions {
    fn default() -> RedisOptions {
        RedisOptions {
            wait_replicas: None,
            wait_timeout: Duration::from_millis(100),
            response_timeout: Duration::from_millis(500),
            connect_timeout: Duration::from_millis(500),
            reconnect_pause: Duration::from_millis(500),
            lanes: 2,
            queue: 2048,
            logs: LogLimits::default(),
            tls_ca: None,
            tls_identity: None,
        }
    }
}

impl std::fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisOptions")
            .field("wait_replicas", &self.wait_replicas)
            .field("wait_timeout", &self.wait_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("lanes", &self.lanes)
            .field("queue", &self.queue)
            .field("logs", &self.logs)
            .finish_non_exhaustive()
    }
}
