//! Forwarding: a request with all its branches, from the targets of a plan to the responses that go back up.
//!
//! - `fork.rs`: one request and its response context; `branch.rs`: one of its branches on the wire.
//! - `plan.rs`, `target.rs`: where it may go; `next_hop.rs`, `size.rs`: the way to one target; `avoided.rs`: servers that failed;
//!   `silent.rs`: those that say nothing while others are left.
//! - `secure.rs`: what `sips` forbids, and for whom a connection is made; `off_limits.rs`: where nobody is led; `obstacle.rs`: what
//!   kept a request from a phone.
//! - `record_route.rs`, `diversion.rs`, `history.rs`, `credentials.rs`, `branch_name.rs`: what a copy gains or loses; `privacy.rs`: what of
//!   it is not for those outside.
//! - `answered.rs`: challenges of trunks, which the registrar answers; `seized.rs`: trunks whose calls are counted;
//!   `cleared.rs`: addresses of other domains that may be a trunk's;
//!   `ask_again.rs`: legs whose target the registrar could not look up.
//! - `asleep.rs`: phones that are pushed first; `moved.rs`: phones that came back by another flow;
//!   `unlisted.rs`: phones of an edge that has just begun.
//! - `lineage.rs`: how a request came to a target, whose it is and by which forwardings; `announce.rs`: what the caller hears of it.
//! - `upstream.rs`: who gets the responses; `ack_and_cancel.rs`: the two requests that are never answered, or at once;
//!   `astray_cancel.rs`: a CANCEL for an INVITE of another edge.
//! - `callers.rs`: callers whose connection ends while it rings; `lost_way.rs`: phones whose edge dies while they ring.

mod ack_and_cancel;
mod announce;
pub(crate) mod answered;
pub(crate) mod ask_again;
pub(crate) mod asleep;
pub(crate) mod astray_cancel;
pub(crate) mod avoided;
mod branch;
pub(crate) mod branch_name;
pub(crate) mod callers;
pub(crate) mod cleared;
pub(crate) mod credentials;
mod diversion;
pub(crate) mod fork;
pub(crate) mod history;
mod history_entry;
pub(crate) mod lineage;
mod lost_way;
pub(crate) mod moved;
pub(crate) mod next_hop;
pub(crate) mod obstacle;
pub(crate) mod off_limits;
pub(crate) mod plan;
mod privacy;
pub(crate) mod record_route;
pub(crate) mod secure;
pub(crate) mod seized;
mod silent;
mod size;
pub(crate) mod target;
mod unlisted;
pub(crate) mod upstream;
