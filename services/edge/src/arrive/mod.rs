//! What a request that arrives is, and who handles it.
//!
//! - `admission.rs`: is it taken, and which of the others is it for?
//! - `register.rs`, `options.rs`, `presence.rs`, `notified.rs`, `allocate.rs`: what ends in this tier.
//! - `out_of_dialog.rs`: what the registrar decides on; `along_route.rs`: what follows a route of ours without a question.
//! - `unread.rs`: messages that their phones do not answer.
//! - `registered.rs`, `flow_end.rs`: what was registered over a connection, and the registrar is told when it ends.
//! - `early.rs`: what comes before the edge knows the cluster.
//! - `proved.rs`: neighbours that are trusted for their certificate.
//! - `asserted.rs`: who somebody is said to be beside From.
//! - `amplify.rs`: how long an answer may be. `scanners.rs`: who gets none; `sources.rs`: who has had too many.
//! - `toward_gateway.rs`: what is led within a dialog to the gateway of a trunk.
//! - `let_in.rs`: does it belong to a dialog that this tier let in? `merged.rs`: what came before by another way.

mod admission;
pub(crate) mod allocate;
pub(crate) mod along_route;
mod amplify;
pub(crate) mod asserted;
pub(crate) mod early;
pub(crate) mod flow_end;
mod let_in;
pub(crate) mod merged;
pub(crate) mod notified;
pub(crate) mod options;
pub(crate) mod out_of_dialog;
pub(crate) mod presence;
pub(crate) mod proved;
pub(crate) mod register;
pub(crate) mod registered;
pub(crate) mod scanners;
pub(crate) mod sources;
mod toward_gateway;
pub(crate) mod unread;
