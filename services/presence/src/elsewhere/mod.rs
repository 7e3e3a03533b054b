//! Members of lists in other domains: their presence is subscribed to there, for each watcher on its own (RFC 4662 4.5).
//!
//! A watcher of a list sees a member of another domain as that domain lets this watcher see it: Carillon subscribes in the watcher's
//! name, and nobody else is shown what comes of it (RFC 4662 7.1). Whether the watcher may reach that domain at all, the registrar decides
//! as it does for the watcher's own requests, so that a list opens no way out. A [`Sought`] is a record like a subscription, in the
//! partition of its watcher: any replica refreshes it, and any replica takes its NOTIFYs, from whichever edge they come.
//!
//! It lives for as long as a subscription to a list wants it, and a while longer when its end was told to nobody.
//!
//! Start reading at `machine.rs`.

mod machine;
mod notified;
mod record;
mod run;
mod send;

pub use self::machine::{Answer, Happened, Notified, NotifyState, Step, Told, WANTED_MS, begin};
pub use self::record::{Ask, AskKind, Sought, State};

/// The record of what is sought by this id.
pub fn record_name(id: &str) -> String {
    format!("e/{id}")
}

/// What somebody seeks: an index.
pub fn sought_by(watcher: &str) -> String {
    format!("E/{watcher}")
}

/// The due entry of what is sought.
pub fn due_name(id: &str) -> String {
    format!("e/{id}")
}

/// The due entry of a change that those who seek it were not all told of.
pub fn due_told(id: &str) -> String {
    format!("v/{id}")
}
