//! Names inside a partition.

use crate::edges::EdgeLife;

/// The queue of due work.
pub const DUE: &str = "due";
/// The log of call events.
pub const EVENTS: &str = "events";
pub(super) const LIVE: &str = "live";
pub(super) const ENDED: &str = "ended";
pub(super) const EDGES: &str = "edges";
pub(super) const CALLBACKS: &str = "callbacks";

/// What a due entry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DueWork<'a> {
    /// The engine's timer of this call.
    Timer(&'a str),
    /// Effects of this call that no edge has taken on.
    Effects(&'a str),
    /// The ended call at this position is to be dropped from its index.
    Forget(&'a str),
    /// Several ended calls are to be dropped from the index: the payload says which.
    ForgetAll,
    /// This callback is to be looked at.
    Callback(&'a str),
    /// The calls on this edge are to be told that it is lost.
    LostEdge(EdgeLife),
}

impl DueWork<'_> {
    /// Reads the id of a due entry; `None` for one that this version does not know.
    pub fn parse(id: &str) -> Option<DueWork<'_>> {
        let (kind, rest) = id.split_once('/')?;
        match kind {
            "t" => Some(DueWork::Timer(rest)),
            "o" => Some(DueWork::Effects(rest)),
            "x" => Some(DueWork::Forget(rest)),
            "y" => Some(DueWork::ForgetAll),
            "b" => Some(DueWork::Callback(rest)),
            "l" => parse_edge(rest).map(DueWork::LostEdge),
            _ => None,
        }
    }
}

pub(super) fn call(call_id: &str) -> String {
    format!("c/{call_id}")
}

pub(super) fn dialog(dialog: &str) -> String {
    format!("d/{dialog}")
}

pub(super) fn request(request_id: &str) -> String {
    format!("r/{request_id}")
}

pub(super) fn due_timer(call_id: &str) -> String {
    format!("t/{call_id}")
}

pub(super) fn due_effects(call_id: &str) -> String {
    format!("o/{call_id}")
}

pub(super) fn due_forget(position: &str) -> String {
    format!("x/{position}")
}

/// Named after the first of them.
pub(super) fn due_forget_all(position: &str) -> String {
    format!("y/{position}")
}

pub(super) fn callback(id: &str) -> String {
    format!("b/{id}")
}

/// How many callbacks a user has; in the partition, for no user.
pub(super) fn callbacks_of(user: &str) -> String {
    format!("k/{user}")
}

/// The callback that calls a party now.
pub(super) fn called_back(party: &str) -> String {
    format!("w/{party}")
}

pub(super) fn due_callback(id: &str) -> String {
    format!("b/{id}")
}

pub(super) fn due_lost(edge: &EdgeLife) -> String {
    format!("l/{}", self::edge(edge))
}

pub(super) fn lost(edge: &EdgeLife) -> String {
    format!("lost/{}", self::edge(edge))
}

pub(super) fn calls_of(edge: &EdgeLife) -> String {
    format!("edge/{}", self::edge(edge))
}

pub(super) fn edge(edge: &EdgeLife) -> String {
    format!("{}/{}", edge.id, edge.epoch)
}

pub(super) fn parse_edge(text: &str) -> Option<EdgeLife> {
    let (id, epoch) = text.rsplit_once('/')?;
    Some(EdgeLife { id: id.to_owned(), epoch: epoch.parse().ok()? })
}

/// A call id of ours: 32 hexadecimal digits, then the number of its partition.
pub(super) fn own_id(unique: &str, partition: usize) -> String {
    format!("{unique}-{partition:x}")
}

pub(super) fn is_own_id(call_id: &str) -> bool {
    call_id.split_once('-').is_some_and(|(unique, _)| {
        unique.len() == 32 && unique.bytes().all(|octet| octet.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_ids_are_read_as_they_were_written() {
        let edge = EdgeLife { id: "edge/with/slashes".into(), epoch: 17 };
        assert_eq!(DueWork::parse(&due_timer("c-1")), Some(DueWork::Timer("c-1")));
        assert_eq!(DueWork::parse(&due_effects("c-1")), Some(DueWork::Effects("c-1")));
        assert_eq!(DueWork::parse(&due_forget("0f/c-1")), Some(DueWork::Forget("0f/c-1")));
        assert_eq!(DueWork::parse(&due_callback("c-1")), Some(DueWork::Callback("c-1")));
        assert_eq!(DueWork::parse(&due_forget_all("0f/c-1")), Some(DueWork::ForgetAll));
        assert_eq!(DueWork::parse(&due_lost(&edge)), Some(DueWork::LostEdge(edge)));
        assert_eq!(DueWork::parse("z/of a later version"), None);
    }
}
