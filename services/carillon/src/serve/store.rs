//! The store of a process: embedded, or Redis.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use ambient::{SystemClock, WallClock};
use anyhow::Context;
use lifecycle::{Health, Tasks};
use store::{LogLimits, MemoryStore, RedisOptions, RedisStore, Store};
use telemetry::Metrics;

use super::roles::Role;
use super::settings::Settings;

/// Opens the store that the settings name.
///
/// # Errors
/// A URL that cannot be used.
pub fn open(
    settings: &Settings,
    tasks: &Tasks,
    metrics: &Metrics,
    health: &Health,
) -> anyhow::Result<Arc<dyn Store>> {
    let url = &settings.redis.url;
    if url.is_empty() {
        let clock = SystemClock;
        return Ok(Arc::new(MemoryStore::with_log_limits(move || clock.now(), log_limits(settings))));
    }
    // The URL may hold a password, so the error does not repeat it.
    let redis = Arc::new(RedisStore::connect(url, options(settings)).context("--redis")?);
    let counted = Arc::downgrade(&redis);
    let help =
        "What happened on the connections to Redis: commits refused because too many wait, connections made";
    metrics.mirror("redis_total", help, "event", move || {
        let counters = counted.upgrade().map(|redis| redis.counters());
        counters
            .map_or_else(Vec::new, |c| vec![("queue_overflow", c.queue_overflows), ("connect", c.connects)])
    });
    let alive = health.component("redis", Instant::now(), None);
    let waiting = redis.clone();
    tasks.spawn_loop("redis-start", async move {
        if !waiting.is_ready() {
            tracing::warn!("waiting for Redis: nothing is ready until it answers");
        }
        waiting.wait_ready().await;
        alive.ready();
        tracing::info!("Redis is there");
    })?;
    Ok(redis)
}

/// How Redis is used.
pub fn options(settings: &Settings) -> RedisOptions {
    RedisOptions {
        wait_replicas: settings.redis.wait_replicas.set(),
        wait_timeout: settings.redis.wait_timeout,
        queue: settings.limits.redis_queue,
        logs: log_limits(settings),
        ..RedisOptions::default()
    }
}

/// How much history the logs keep.
pub fn log_limits(settings: &Settings) -> LogLimits {
    LogLimits {
        max_entries: settings.limits.history_events,
        max_octets: settings.limits.history_bytes,
        ..LogLimits::default()
    }
}

/// Whether services with a store run here while others run elsewhere: then the embedded store would not be theirs too.
pub fn is_apart(roles: &BTreeSet<Role>) -> bool {
    roles.len() < Role::ALL.len() && roles.iter().any(|r| r.has_store())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readiness_names_redis_while_it_is_away() {
        let (tasks, health) = (Tasks::new("test", 10), Health::new());
        let mut settings = Settings::default();
        open(&settings, &tasks, &Metrics::new(), &health).unwrap();
        assert_eq!(health.unready(), [], "the embedded store is always there");
        settings.redis.url = "redis://127.0.0.1:1".into();
        open(&settings, &tasks, &Metrics::new(), &health).unwrap();
        let unready: Vec<_> = health.unready().iter().map(|(name, why)| format!("{name}: {why}")).collect();
        assert_eq!(unready, ["redis: not ready yet"]);
    }
}
