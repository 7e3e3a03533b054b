//! How many replicas must have a commit before it is acknowledged.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use ::redis::{Cmd, Value};

use super::target::Target;

/// The number, as it was set or as it was found.
///
/// Who says nothing gets 1 where Redis has replicas. Behind Sentinels and in a cluster that is what they are for. A
/// server that stands by itself is asked; once it has shown a replica the number stays 1, because a primary that is cut off
/// from its replicas looks exactly like one that has none, and what it alone acknowledges is lost with it.
pub(super) struct WantedReplicas {
    wanted: AtomicU32,
    is_asked: bool,
    /// Whether it was said that the server does not answer.
    is_refused: AtomicBool,
}

impl WantedReplicas {
    pub(super) fn new(set: Option<u32>, target: &Target) -> WantedReplicas {
        let is_asked = set.is_none() && matches!(target, Target::Single(_));
        let wanted = set.unwrap_or(if is_asked { 0 } else { 1 });
        WantedReplicas { wanted: AtomicU32::new(wanted), is_asked, is_refused: AtomicBool::new(false) }
    }

    pub(super) fn get(&self) -> u32 {
        self.wanted.load(Ordering::Relaxed)
    }

    /// What to ask the server, as long as its answer matters.
    pub(super) fn question(&self) -> Option<Cmd> {
        (self.is_asked && self.get() == 0).then(|| {
            let mut info = Cmd::new();
            info.arg("INFO").arg("replication");
            info
        })
    }

    /// Its answer. A replica that still loads the data does not count: commits would fail until it is in step.
    pub(super) fn hear(&self, answer: &Value) {
        let has_replica = match answer {
            Value::BulkString(text) => String::from_utf8_lossy(text).contains("state=online"),
            Value::VerbatimString { text, .. } => text.contains("state=online"),
            other => {
                if !self.is_refused.swap(true, Ordering::Relaxed) {
                    tracing::warn!(answer = ?other, "Redis does not tell its replicas: set redis.wait_replicas");
                }
                return;
            }
        };
        if has_replica && self.wanted.swap(1, Ordering::Relaxed) == 0 {
            tracing::info!(
                "Redis has replicas: from now on one of them must have a commit before it is acknowledged"
            );
        }
    }
}
