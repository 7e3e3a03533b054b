//! What applications ask.

mod absent;
mod accounts;
mod messages;
mod policy;
mod presence;
mod publish;
mod summary;
mod watchers;
