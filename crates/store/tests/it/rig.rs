//! A store under test together with a way to let its time pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use store::{LogLimits, MemoryStore, Partition, RedisOptions, RedisStore, Store};

use crate::server::Server;

/// Log bounds small enough to reach in a test.
pub fn small_logs() -> LogLimits {
    LogLimits { retention: Duration::from_secs(3600), max_entries: 200, ..LogLimits::default() }
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
    Real(#[allow(dead_code)] Server),
}

impl Rig {
    /// The memory engine in virtual time.
    pub async fn memory() -> Rig {
        let millis = Arc::new(AtomicU64::new(1_700_000_000_000));
        let clock = Arc::clone(&millis);
        let store = MemoryStore::with_log_limits(
            move || UNIX_EPOCH + Duration::from_millis(clock.load(Ordering::Relaxed)),
            small_logs(),
        );
        Rig { store: Arc::new(store), partition: Partition::new("things", 3), time: Time::Virtual(millis) }
    }

    /// The Redis engine on a server of its own, in real time.
    pub async fn redis() -> Rig {
        let server = Server::start(&[]).await;
        let options = RedisOptions { logs: small_logs(), ..RedisOptions::default() };
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
                while let Ok(rest) = until.duration_since(self.store.now()) {
                    tokio::time::sleep(rest.max(Duration::from_millis(1))).await;
                }
            }
        }
    }

    pub async fn get(&self, name: &str) -> Option<(u64, String)> {
        let found = self.store.get(&self.partition.key(name)).await.expect("get");
        found.map(|found| (found.version, String::from_utf8(found.value.to_vec()).expect("text")))
    }
}
