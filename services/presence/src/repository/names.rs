//! Names inside a partition. All that concerns one resource lives in the partition of its address of record.

use crate::engine::Package;

/// The queue of due work.
pub const DUE: &str = "due";
/// Whose calls are watched: an index of each partition.
pub const WATCHED: &str = "watched/dialog";

/// What a due entry asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueWork<'a> {
    /// The time of this subscription.
    Timer(&'a str),
    /// The NOTIFY of this subscription, which nobody may be sending.
    Notify(&'a str),
    /// A watcher that has gone is not listed any more.
    Forget(&'a str),
    /// The messages of this user.
    Mail(&'a str),
    /// A publication of this resource lapses.
    Publications(&'a str),
    /// The time is nearly over that the watchers of the registration of this user know of a contact: it may have been refreshed.
    Bindings(&'a str),
    /// Somebody has begun to watch the calls of this user: they may not be known yet, or the watcher may not have come.
    Dialogs(&'a str),
    /// Those who are on this list, or were, are not all told so.
    List(&'a str),
    /// A member of this list has changed, and its watchers have not all been told.
    Member(&'a str),
    /// A member of another domain that somebody seeks (`elsewhere`).
    Sought(&'a str),
    /// Those who seek this one have not all been told.
    SoughtTold(&'a str),
    /// Somebody has waited for the decision of this user for too long.
    Waiting(&'a str),
    /// The account of this address of record was deleted: its watchers have not all been told.
    Gone(&'a str),
    /// The watchers of this resource in this package have not all been told.
    FanOut(Package, &'a str),
}

impl DueWork<'_> {
    /// Reads the id of a due entry; `None` for one that this version does not know.
    pub fn parse(id: &str) -> Option<DueWork<'_>> {
        let (kind, rest) = id.split_once('/')?;
        match kind {
            "t" => Some(DueWork::Timer(rest)),
            "n" => Some(DueWork::Notify(rest)),
            "x" => Some(DueWork::Forget(rest)),
            "d" => Some(DueWork::Mail(rest)),
            "p" => Some(DueWork::Publications(rest)),
            "b" => Some(DueWork::Bindings(rest)),
            "g" => Some(DueWork::Dialogs(rest)),
            "l" => Some(DueWork::List(rest)),
            "m" => Some(DueWork::Member(rest)),
            "e" => Some(DueWork::Sought(rest)),
            "v" => Some(DueWork::SoughtTold(rest)),
            "q" => Some(DueWork::Waiting(rest)),
            "z" => Some(DueWork::Gone(rest)),
            "f" => {
                let (package, resource) = rest.split_once('/')?;
                Some(DueWork::FanOut(Package::named(package)?, resource))
            }
            _ => None,
        }
    }
}

pub(super) fn subscription(id: &str) -> String {
    format!("s/{id}")
}

/// How many watch.
pub fn head(package: Package, resource: &str) -> String {
    format!("h/{}/{resource}", package.name())
}

/// Who watches: an index.
pub fn watchers(package: Package, resource: &str) -> String {
    format!("w/{}/{resource}", package.name())
}

/// What is watched.
pub fn state(package: Package, resource: &str) -> String {
    format!("r/{}/{resource}", package.name())
}

/// Where somebody is registered, for as long as somebody watches.
pub fn bindings(package: Package, resource: &str) -> String {
    format!("b/{}/{resource}", package.name())
}

/// The due entry of the publications of somebody.
pub fn due_publications(resource: &str) -> String {
    format!("p/{resource}")
}

/// The due entry of the contacts of a registration that is watched.
pub fn due_bindings(resource: &str) -> String {
    format!("b/{resource}")
}

/// The due entry of calls that somebody has begun to watch.
pub fn due_dialogs(resource: &str) -> String {
    format!("g/{resource}")
}

pub(super) fn due_timer(id: &str) -> String {
    format!("t/{id}")
}

/// The due entry of a watcher that has gone.
pub(super) fn due_forget(id: &str) -> String {
    format!("x/{id}")
}

pub(super) fn due_notify(id: &str) -> String {
    format!("n/{id}")
}

/// The due entry of those who wait for a decision.
pub fn due_waiting(resource: &str) -> String {
    format!("q/{resource}")
}

/// The due entry of an account that was deleted.
pub fn due_gone(aor: &str) -> String {
    format!("z/{aor}")
}

/// The lists of a partition: an index.
pub const LISTS: &str = "lists";

/// A list.
pub fn list(uri: &str) -> String {
    format!("l/{uri}")
}

/// The lists that somebody is on, beside the records of that one.
pub fn listed(resource: &str) -> String {
    format!("o/{resource}")
}

/// A new version of it says that a member of the list has changed.
pub fn list_marker(uri: &str) -> String {
    format!("lm/{uri}")
}

/// The due entry of a list that has changed.
pub fn due_list(uri: &str) -> String {
    format!("l/{uri}")
}

/// The due entry of a list of which a member has changed.
pub fn due_member(uri: &str) -> String {
    format!("m/{uri}")
}

/// The due entry of a fan-out.
pub fn due_fan_out(package: Package, resource: &str) -> String {
    format!("f/{}/{resource}", package.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_ids_are_read_as_they_were_written() {
        assert_eq!(DueWork::parse(&due_timer("ab-1")), Some(DueWork::Timer("ab-1")));
        assert_eq!(DueWork::parse(&due_notify("ab-1")), Some(DueWork::Notify("ab-1")));
        assert_eq!(DueWork::parse(&due_bindings("sip:a@d")), Some(DueWork::Bindings("sip:a@d")));
        assert_eq!(DueWork::parse(&due_dialogs("sip:a@d")), Some(DueWork::Dialogs("sip:a@d")));
        assert_eq!(DueWork::parse(&due_list("sip:a@d")), Some(DueWork::List("sip:a@d")));
        assert_eq!(DueWork::parse(&due_member("sip:a@d")), Some(DueWork::Member("sip:a@d")));
        assert_eq!(DueWork::parse(&due_waiting("sip:a@d")), Some(DueWork::Waiting("sip:a@d")));
        assert_eq!(DueWork::parse(&due_gone("sip:a@d")), Some(DueWork::Gone("sip:a@d")));
        let package = Package::MessageSummary;
        let fan_out = due_fan_out(package, "sip:a/b@d");
        assert_eq!(DueWork::parse(&fan_out), Some(DueWork::FanOut(package, "sip:a/b@d")));
        for unknown in ["\u{e9}/of a later version", "f/later/sip:a@d", "x"] {
            assert_eq!(DueWork::parse(unknown), None);
        }
    }
}
