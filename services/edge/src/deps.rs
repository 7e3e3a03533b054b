//! What an edge needs from others.

use std::sync::Arc;

use ambient::{Entropy, WallClock};
use cluster_rpc::membership::{LookAgain, View};
use cluster_rpc::{IntakeLink, LegEventsLink, LocationLink, ProxiedCallsLink};
use lifecycle::{Drain, Tasks};
use sip_endpoint::Dns;
use telemetry::Metrics;
use tokio::sync::watch;

/// What an edge needs from others.
#[derive(Clone)]
pub struct Deps {
    /// The registrar.
    pub location: LocationLink,
    /// Call-control.
    pub leg_events: LegEventsLink,
    /// Call-control, for what it does not steer.
    pub proxied_calls: ProxiedCallsLink,
    /// Presence.
    pub intake: IntakeLink,
    /// Who is alive, and the key of the flow tokens.
    pub members: watch::Receiver<View>,
    /// The same as it is now.
    pub look_again: LookAgain,
    /// Name service.
    pub dns: Arc<dyn Dns>,
    /// Time of day, for leg events.
    pub clock: Arc<dyn WallClock>,
    /// Randomness, for branches and tags.
    pub entropy: Arc<dyn Entropy>,
    /// Where to count.
    pub metrics: Metrics,
    /// Whether this edge takes nothing new.
    pub drain: Drain,
    /// The set in which connections become tasks.
    pub tasks: Tasks,
}
