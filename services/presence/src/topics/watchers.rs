//! `presence.winfo`: who watches somebody's presence (RFC 3857).

use bytes::Bytes;
use cluster_api::presence::v1::watcher_policy::Action;
use prost::Message as _;
use sip_body::watcherinfo::{CONTENT_TYPE, Watcher, WatcherInfo};
use store::StoreError;

use super::{Policy, Waiting};
use crate::engine::{Access, Asking, Document, Package, Standing, Subscription, Topic};
use crate::repository::corrupt;

/// What the index of watchers says of one of them.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Line {
    /// Address of record of the watcher.
    #[prost(string, tag = "1")]
    watcher: String,
    /// Its name.
    #[prost(string, tag = "2")]
    display: String,
    /// `pending`, `active`, `waiting` or `terminated`.
    #[prost(string, tag = "3")]
    status: String,
    /// What brought it there (RFC 3857 4.7.1).
    #[prost(string, tag = "4")]
    event: String,
}

impl Line {
    /// The line of a subscription.
    pub fn of(subscription: &Subscription) -> Line {
        let (status, event) = match (subscription.ended.as_str(), subscription.standing()) {
            ("", Standing::Pending) => ("pending", "subscribe"),
            ("", Standing::Active | Standing::Unspecified) if subscription.was_approved => {
                ("active", "approved")
            }
            ("", Standing::Active | Standing::Unspecified) => ("active", "subscribe"),
            // RFC 3857 4.7.1: nobody had decided when its time was over
            ("timeout", Standing::Pending) => ("waiting", "timeout"),
            (reason @ ("rejected" | "noresource" | "giveup" | "deactivated" | "probation"), _) => {
                ("terminated", reason)
            }
            (_, _) => ("terminated", "timeout"),
        };
        Line {
            watcher: subscription.watcher.clone(),
            display: subscription.display.clone(),
            status: status.to_owned(),
            event: event.to_owned(),
        }
    }

    /// Whether its time was over before anybody had decided.
    pub fn is_waiting(&self) -> bool {
        self.status == "waiting"
    }

    /// Reads an entry of the index.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn read(value: Bytes) -> Result<Line, StoreError> {
        Line::decode(value).map_err(corrupt)
    }
}

/// Who watches somebody.
pub struct Watchers {
    /// Address of record that is watched.
    pub aor: String,
    /// The watchers by id.
    pub lines: Vec<(String, Line)>,
    /// Who has gone without a decision.
    pub waiting: Waiting,
    /// Who may know of them.
    pub policy: Policy,
}

/// What a subscription was told of each watcher.
#[derive(Clone, PartialEq, prost::Message)]
struct Told {
    #[prost(message, repeated, tag = "1")]
    watchers: Vec<ToldOf>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ToldOf {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    status: String,
    #[prost(string, tag = "3")]
    event: String,
    #[prost(string, tag = "4")]
    watcher: String,
}

impl Topic for Watchers {
    fn access(&self, watcher: &str) -> Access {
        let is_blocked = !self.policy.is_owner(watcher) && self.policy.action(watcher) == Action::Block;
        if is_blocked { Access::Refused } else { Access::Granted }
    }

    fn document(&self, asking: &Asking<'_>) -> Document {
        // RFC 3857 4.6: the owner sees everybody, and everybody himself
        let is_owner = self.policy.is_owner(asking.watcher);
        let before = asking.told.and_then(|told| Told::decode(told).ok());
        let known = |id: &str| before.iter().flat_map(|told| &told.watchers).find(|known| known.id == id);
        let is_known_waiting = |id: &str| known(id).is_some_and(|known| known.status == "waiting");
        let waiting: Vec<(String, Line)> = self.waiting(is_known_waiting).collect();
        let all = self.lines.iter().chain(&waiting);
        let seen: Vec<&(String, Line)> =
            all.filter(|(_, line)| is_owner || line.watcher == asking.watcher).collect();
        let is_new = |(id, line): &&&(String, Line)| {
            known(id).is_none_or(|known| (&known.status, &known.event) != (&line.status, &line.event))
        };
        let mut watchers: Vec<Watcher<'_>> =
            seen.iter().filter(is_new).map(|(id, line)| show(id, line)).collect();
        // One that is not listed any more has ended meanwhile.
        let gone = before
            .iter()
            .flat_map(|told| &told.watchers)
            .filter(|known| known.status != "terminated" && !seen.iter().any(|(id, _)| *id == known.id));
        watchers.extend(gone.map(|known| Watcher {
            id: &known.id,
            uri: &known.watcher,
            display_name: "",
            status: "terminated",
            event: if known.status == "waiting" { "giveup" } else { "timeout" },
        }));
        let told = Told {
            watchers: seen
                .iter()
                .map(|(id, line)| ToldOf {
                    id: id.clone(),
                    status: line.status.clone(),
                    event: line.event.clone(),
                    watcher: line.watcher.clone(),
                })
                .collect(),
        };
        let info = WatcherInfo {
            version: asking.version,
            is_full: before.is_none(),
            resource: &self.aor,
            package: Package::Presence.name(),
            watchers,
        };
        Document {
            content_type: CONTENT_TYPE.to_owned(),
            body: info.to_xml().into_bytes(),
            told: told.encode_to_vec(),
        }
    }
}

impl Watchers {
    /// Those who wait, as lines. One whom a decision was made about is shown once more, to whoever knows it as one who waits; one who has come
    /// again is shown as what it is now.
    fn waiting(&self, is_known: impl Fn(&str) -> bool) -> impl Iterator<Item = (String, Line)> {
        self.waiting.all.iter().filter_map(move |waiter| {
            let is_here = |(id, line): &(String, Line)| {
                *id == waiter.id
                    || line.watcher == waiter.watcher && matches!(&*line.status, "pending" | "active")
            };
            let (status, event) = match self.policy.action(&waiter.watcher) {
                _ if self.lines.iter().any(is_here) => return None,
                Action::Confirm | Action::Unspecified => ("waiting", "timeout"),
                _ if !is_known(&waiter.id) => return None,
                Action::Allow | Action::PoliteBlock => ("terminated", "approved"),
                Action::Block => ("terminated", "rejected"),
            };
            let (watcher, display) = (waiter.watcher.clone(), waiter.display.clone());
            let line = Line { watcher, display, status: status.to_owned(), event: event.to_owned() };
            Some((waiter.id.clone(), line))
        })
    }
}

fn show<'a>(id: &'a str, line: &'a Line) -> Watcher<'a> {
    Watcher { id, uri: &line.watcher, display_name: &line.display, status: &line.status, event: &line.event }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watchers(lines: &[(&str, &str, &str)]) -> Watchers {
        let line = |(id, status, event): &(&str, &str, &str)| {
            let watcher = format!("sip:{id}@d");
            let (status, event) = ((*status).to_owned(), (*event).to_owned());
            ((*id).to_owned(), Line { watcher, display: String::new(), status, event })
        };
        let policy = Policy::read("sip:alice@d", None).unwrap();
        let lines = lines.iter().map(line).collect();
        Watchers { aor: "sip:alice@d".to_owned(), lines, waiting: Waiting::default(), policy }
    }

    fn asking<'a>(watcher: &'a str, told: Option<&'a [u8]>) -> Asking<'a> {
        Asking { watcher, standing: Standing::Active, version: 0, filter: None, told }
    }

    /// WIN-01: everybody first, then those that changed, those that went among them.
    #[test]
    fn the_owner_sees_everybody_and_then_what_changes() {
        let one = watchers(&[("bob", "pending", "subscribe"), ("carol", "active", "subscribe")]);
        let full = one.document(&asking("sip:alice@d", None));
        let text = String::from_utf8(full.body).unwrap();
        assert!(
            text.contains("state=\"full\"") && text.contains("sip:bob@d") && text.contains("sip:carol@d")
        );
        assert_eq!(one.document(&asking("sip:alice@d", Some(&full.told))).told, full.told);
        let two = watchers(&[("bob", "active", "approved")]);
        let partial = two.document(&asking("sip:alice@d", Some(&full.told)));
        let text = String::from_utf8(partial.body).unwrap();
        assert!(
            text.contains("state=\"partial\"") && text.contains("event=\"approved\" status=\"active\""),
            "{text}"
        );
        assert!(text.contains("id=\"carol\" event=\"timeout\" status=\"terminated\""), "{text}");
        assert_ne!(partial.told, full.told);
    }

    /// WIN-01: who went undecided waits; the decision is told to whoever knows that it waits, and so is that it has come again, or is given up.
    #[test]
    fn who_went_before_a_decision_waits_for_it() {
        let mut one = watchers(&[("carol", "active", "subscribe")]);
        let ended = Subscription { id: "x".into(), watcher: "sip:bob@d".into(), ..Subscription::default() };
        one.waiting.add(&ended, 1);
        let full = one.document(&asking("sip:alice@d", None));
        let text = |document: &Document| String::from_utf8(document.body.clone()).unwrap();
        let waits = "id=\"x\" event=\"timeout\" status=\"waiting\">sip:bob@d<";
        assert!(text(&full).contains(waits), "{}", text(&full));
        assert!(text(&one.document(&asking("sip:bob@d", None))).contains(waits));
        assert!(!text(&one.document(&asking("sip:carol@d", None))).contains("bob"));
        for (action, event) in
            [(Action::Allow, "approved"), (Action::PoliteBlock, "approved"), (Action::Block, "rejected")]
        {
            let mut decided = watchers(&[]);
            decided.waiting.clone_from(&one.waiting);
            decided.policy.set.default_action = action.into();
            let told = decided.document(&asking("sip:alice@d", Some(&full.told)));
            let shown = format!("id=\"x\" event=\"{event}\" status=\"terminated\"");
            assert!(text(&told).contains(&shown), "{}", text(&told));
            let again = decided.document(&asking("sip:alice@d", Some(&told.told)));
            assert!(!text(&again).contains("\"x\""), "once is enough: {}", text(&again));
            assert!(!text(&decided.document(&asking("sip:alice@d", None))).contains("\"x\""));
        }
        let mut back = watchers(&[("bob", "pending", "subscribe")]);
        back.waiting.clone_from(&one.waiting);
        for later in [back, watchers(&[])] {
            let told = text(&later.document(&asking("sip:alice@d", Some(&full.told))));
            assert!(told.contains("id=\"x\" event=\"giveup\" status=\"terminated\""), "{told}");
        }
    }

    /// WIN-02: a watcher sees itself alone.
    #[test]
    fn a_watcher_sees_itself_alone() {
        let both = watchers(&[("bob", "pending", "subscribe"), ("carol", "active", "subscribe")]);
        let text = String::from_utf8(both.document(&asking("sip:bob@d", None)).body).unwrap();
        assert!(text.contains("sip:bob@d") && !text.contains("sip:carol@d"), "{text}");
    }
}
