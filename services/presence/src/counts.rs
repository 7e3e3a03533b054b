//! What the service counts.

use telemetry::{Counter, Counters, Metrics};

/// Counters, bound once.
pub struct Counts {
    /// Requests of phones by method and status.
    pub answers: Counters,
    /// NOTIFYs by how they ended: accepted, refused, silent, unsent.
    pub notifies: Counters,
    /// Subscriptions that began and ended, by package.
    pub subscriptions: Counters,
    /// Commits that others forestalled and that were tried again.
    pub conflicts: Counter,
    /// Due entries claimed, by kind.
    pub due: Counters,
    /// SUBSCRIBEs to members of lists in other domains, by how they ended.
    pub members_asked: Counters,
    /// NOTIFYs of them, by the status of the answer.
    pub members_told: Counters,
    /// What was refused at a limit, by limit.
    pub limits: Counters,
}

impl Counts {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Counts {
        let name = |what: &str| format!("presence_{what}_total");
        Counts {
            answers: metrics.counters(&name("answers"), "Answers to phones", &["method", "status"]),
            notifies: metrics.counters(&name("notifies"), "NOTIFYs by how they ended", &["outcome"]),
            subscriptions: metrics.counters(
                &name("subscriptions"),
                "Subscriptions that began and ended",
                &["package", "what"],
            ),
            conflicts: metrics.counter(&name("conflicts"), "Commits that others forestalled"),
            due: metrics.counters(&name("due"), "Due entries claimed, by kind", &["kind"]),
            members_asked: metrics.counters(
                &name("members_asked"),
                "SUBSCRIBEs to members of lists in other domains, by how they ended",
                &["outcome"],
            ),
            members_told: metrics.counters(
                &name("members_told"),
                "NOTIFYs of members of lists in other domains, by the answer",
                &["status"],
            ),
            limits: metrics.counters(&name("limits"), "What was refused at a limit", &["limit"]),
        }
    }
}
