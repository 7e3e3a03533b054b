//! What the store holds, read directly: no effect goes out that is not kept.

use std::sync::Arc;

use call_control::{Known, Loaded, Repository};
use cluster_api::callcontrol::v1 as cc;
use cluster_api::edge::v1::CarryRequest;
use parking_lot::Mutex;
use store::MemoryStore;

use crate::cluster::call_control_config;
use crate::trace::Trace;

/// Events of one partition that are read at most.
const MOST: usize = 10_000;

/// The records of the cluster. Clones are the same.
#[derive(Clone)]
pub struct Records {
    repository: Arc<Repository>,
    unkept: Arc<Mutex<Vec<String>>>,
    trace: Trace,
}

impl Records {
    /// The records in this store.
    pub fn new(memory: Arc<MemoryStore>, trace: Trace) -> Self {
        let repository = Arc::new(Repository::new(memory, &call_control_config()));
        Self { repository, unkept: Arc::default(), trace }
    }

    /// An effect is on its way to an edge: its call must be kept, and the effect with it.
    pub async fn see_effect(&self, request: &CarryRequest) {
        let kept = match self.repository.load(&request.call_id).await {
            Ok(Some(Loaded { known: Known::Live(call), .. })) => request.effect <= call.last_effect,
            Ok(Some(Loaded { known: Known::Over(_), .. })) => true,
            _ => false,
        };
        if !kept {
            let what = format!("effect {} of {} {}", request.effect, request.call_id, request.leg_id);
            self.trace.note(format_args!("{what} goes out and is not kept"));
            self.unkept.lock().push(what);
        }
    }

    /// Effects that went out and were not kept.
    pub fn unkept(&self) -> Vec<String> {
        self.unkept.lock().clone()
    }

    /// All events of calls that are kept, partition by partition in order.
    ///
    /// # Panics
    /// When memory does not answer or holds what is no event.
    pub async fn events(&self) -> Vec<cc::CallEvent> {
        let mut events = Vec::new();
        for partition in self.repository.partitions() {
            let entries = self.repository.store().log_read(partition, call_control::EVENTS, None, MOST);
            for entry in entries.await.expect("memory answers") {
                let read = call_control::read_events(entry).expect("events");
                events.extend(read.into_iter().map(|(_, event)| event));
            }
        }
        events
    }
}
