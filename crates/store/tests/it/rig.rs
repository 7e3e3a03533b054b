//! A store under test together with a way to let its time pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use store::{LogLimits, MemoryStore, Partition, RedisOptions, RedisStore, Store};

use crate::server::Server;

/// How long the logs of a rig keep their entries.
pub const RETENTION: Duration = Duration::from_secs(3);

/// Log bounds small enough to reach in a test.
pub fn small_logs() -> LogLimits {
    LogLimits { retention: Duration::from_secs(3600), max_entries: 200, ..LogLimits::default() }
}

/// Logs that forget within the patience of a test.
pub fn short_logs() -> LogLimits {
    LogLimits { retention: RETENTION, max_entries: 10_000, ..LogLimits::default() }
}

/// A store and its time.
pub struct Rig {
    pub store: Arc<dyn Store>,
    pub partition: Partition,
    time: Time,
}

enum Time {
    Virtual(Arc<AtomicU64>),
    /// The server's own clock; the server lives as long as the rig.
    Real(Server),
}

impl Rig {
    /// The memory engine in virtual time.
    pub async fn memory() -> Rig {
        Rig::memory_with(small_logs()).await
    }

    /// The Redis engine on a server of its own, in real time.
    pub async fn redis() -> Rig {
        Rig::redis_with(small_logs()).await
    }

    /// As [`Rig::memory`], with other bounds on logs.
    pub async fn memory_with(logs: LogLimits) -> Rig {
        let millis = Arc::new(AtomicU64::new(1_700_000_000_000));
        let clock = Arc::clone(&millis);
        let store = MemoryStore::with_log_limits(
            move || UNIX_EPOCH + Duration::from_millis(clock.load(Ordering::Relaxed)),
            logs,
        );
        Rig { store: Arc::new(store), partition: Partition::new("things", 3), time: Time::Virtual(millis) }
    }

    /// As [`Rig::redis`], with other bounds on logs.
    pub async fn redis_with(logs: LogLimits) -> Rig {
        let server = Server::start(&[]).await;
        let options = RedisOptions { logs, ..RedisOptions::default() };
        let store = RedisStore::connect(&server.url(), options).expect("url");
        store.wait_ready().await;
        Rig { store: Arc::new(store), partition: Partition::new("things", 3), time: Time::Real(server) }
    }

    /// Lets at least this much store time pass.
    pub async fn pass(&self, time: Duration) {
        match &self.time {
            Time::Virtual(millis) => {
                millis.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
            }
            Time::Real(_) => {
                let until = self.store.now() + time;
                // The clock of a real server cannot be moved, and it calls nobody: its time is what must pass.
                while let Ok(rest) = until.duration_since(self.store.now()) {
                    tokio::time::sleep(rest.max(Duration::from_millis(1))).await;
                }
            }
        }
    }

    /// Sets the clock of the store back, as far as the log `events` can see: a server's clock cannot be set, so its last
    /// entry is made to lie ahead.
    pub async fn step_back(&self, time: Duration) {
        match &self.time {
            Time::Virtual(millis) => {
                millis.fetch_sub(time.as_millis() as u64, Ordering::Relaxed);
            }
            Time::Real(server) => {
                let ahead = self.store.now() + time;
                let millis = ahead.duration_since(UNIX_EPOCH).expect("after 1970").as_millis().to_string();
                let meta = format!("carillon:{{{}}}:m", self.partition);
                server.command(&["HSET", &meta, "t:events", &millis]).await.expect("hset");
            }
        }
    }

    pub async fn get(&self, name: &str) -> Option<(u64, String)> {
        let found = self.store.get(&self.partition.key(name)).await.expect("get");
        found.map(|found| (found.version, String::from_utf8(found.value.to_vec()).expect("text")))
    }
}
