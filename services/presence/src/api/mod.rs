//! What applications ask.

mod accounts;
mod conferences;
mod lists;
mod messages;
mod policy;
mod presence;
mod publish;
mod summary;
mod watch;
mod watchers;
