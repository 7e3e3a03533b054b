//! The life of a subscription (RFC 6665), as a pure function of its record.
//!
//! **Here:** the record ([`Subscription`]), what may happen to it ([`Event`]) and what follows ([`Step`]), and what a package has
//! to say for itself ([`Topic`], [`Package`]). Time is an argument. Nothing is sent here: a NOTIFY is part of the record, with its
//! number and its document, so that whoever sends it sends the same one.
//!
//! Start reading at `machine.rs`.

mod machine;
mod package;
mod subscription;
mod topic;

pub use machine::{Answer, Asked, Event, PATIENCE_MS, Rejected, Step, begin};
pub use package::{EVENT_LIST, Package, allow_events};
pub use subscription::{Dialog, Filter, Notify, SCHEMA, Standing, Subscription, usual_expires_s};
pub use topic::{Access, Asking, Document, Topic};
