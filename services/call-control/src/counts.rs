//! What the service counts.

use telemetry::{Counter, Counters, Metrics};

/// Counters, bound once.
pub struct Counts {
    /// Calls made by Dial.
    pub calls: Counter,
    /// Commits that another replica forestalled and that were tried again.
    pub conflicts: Counter,
    /// Effects by what became of them: carried, not_carried, no_edge, unwanted, unknown.
    pub effects: Counters,
    /// Tries to hand an effect to an edge that failed.
    pub carry_failures: Counter,
    /// Work taken over from a replica that did not finish it in time, by kind: timer, effects, forget, lost_edge, callback.
    pub due: Counters,
    /// Callbacks by how they ended: DONE, EXPIRED, CANCELLED; and those refused, by the bound.
    pub callbacks: Counters,
    /// Streams of events ended by us, by reason: slow, too_old.
    pub watches_ended: Counters,
    /// Edges declared lost.
    pub edges_lost: Counter,
}

impl Counts {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Counts {
        let name = |what: &str| format!("call_control_{what}_total");
        Counts {
            calls: metrics.counter(&name("calls"), "Calls made by Dial"),
            conflicts: metrics.counter(&name("conflicts"), "Commits that another replica forestalled"),
            effects: metrics.counters(&name("effects"), "Effects by what became of them", &["outcome"]),
            carry_failures: metrics
                .counter(&name("carry_failures"), "Failed tries to hand an effect to an edge"),
            due: metrics.counters(&name("due"), "Due entries claimed, by kind", &["kind"]),
            callbacks: metrics.counters(
                &name("callbacks"),
                "Callbacks by how they ended: DONE, EXPIRED, CANCELLED, or the bound that refused them",
                &["outcome"],
            ),
            watches_ended: metrics.counters(&name("watches_ended"), "Event streams ended by us", &["reason"]),
            edges_lost: metrics.counter(&name("edges_lost"), "Edges declared lost"),
        }
    }
}
