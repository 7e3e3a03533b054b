//! Calls between phones that edges merely proxy: kept so that the list of calls and the event stream are complete, and ended on
//! request. Nothing else steers them from here.
//!
//! - `call.rs`: the record; `fold.rs`: what reports make of it; pure.
//! - `story.rs`: what a commit tells of a call, as the log keeps it; pure.
//! - `reports.rs`: the reports of edges; `check.rs`: which calls go on, for who counts them; `overdue.rs`: whose time is over.
//! - `dialog.rs`: what is known of the dialog between the two phones, and the requests that end it; pure.
//! - `end.rs`: ending: asked for, by time, with its edge.

pub(crate) mod call;
mod check;
mod dialog;
mod end;
mod fold;
mod overdue;
mod reports;
pub(crate) mod story;

pub use reports::Reports;
