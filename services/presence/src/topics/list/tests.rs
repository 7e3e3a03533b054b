use bytes::Bytes;
use cluster_api::presence::v1::watcher_policy::{Action, Rule};
use cluster_api::presence::v1::{ListMember, ResourceList, WatcherPolicy};
use sip_body::multipart::{Content, Entity};
use sip_body::xml::{Step, Walk, attribute};

use super::*;
use crate::engine::Standing;
use crate::topics::{Policy, Publications, presentity};

/// What a reader of RLMI finds: whether it is full, the version, and for each member its state, reason and part.
struct Read {
    version: String,
    is_full: String,
    members: Vec<(String, String, String, String)>,
    parts: Entity,
}

impl Read {
    fn of(document: &Document) -> Read {
        let body = Bytes::from(document.body.clone());
        let content_type = document.content_type.as_bytes();
        Read::of_entity(Entity::parse(Some(content_type), None, &body).expect("a multipart"))
    }

    fn of_entity(parts: Entity) -> Read {
        assert_eq!(
            (parts.content_type.main.as_str(), parts.content_type.sub.as_str()),
            ("multipart", "related")
        );
        assert_eq!(parts.content_type.params.get("type"), Some("application/rlmi+xml"));
        let start = parts.content_type.params.get("start").unwrap_or_default();
        let Content::Parts(all) = &parts.content else { panic!("no parts") };
        assert_eq!(start, format!("<{}>", all[0].content_id), "the root comes first");
        let Content::Single(root) = &all[0].content else { panic!("the root is one thing") };
        let (_, mut walk) = Walk::begin(root, "urn:ietf:params:xml:ns:rlmi").expect("XML");
        let (mut version, mut is_full, mut members) = (String::new(), String::new(), Vec::new());
        while let Some(step) = walk.step().expect("well-formed") {
            let Step::Start { tag, is_known, .. } = step else { continue };
            assert!(is_known);
            let read = |name| attribute(&tag, name).expect("an attribute").unwrap_or_default();
            match tag.local_name().as_ref() {
                "list" => (version, is_full) = (read("version"), read("fullState")),
                "resource" => members.push((read("uri"), String::new(), String::new(), String::new())),
                "instance" => {
                    let member = members.last_mut().expect("an instance is of a member");
                    (member.1, member.2, member.3) = (read("state"), read("reason"), read("cid"));
                    assert!(!read("id").is_empty());
                }
                _ => {}
            }
        }
        Read { version, is_full, members, parts }
    }

    fn states(&self) -> Vec<(&str, &str, &str)> {
        self.members
            .iter()
            .map(|(uri, state, reason, _)| (uri.as_str(), state.as_str(), reason.as_str()))
            .collect()
    }

    /// The top-level part that the instance of a member names.
    fn part(&self, uri: &str) -> &Entity {
        let (_, _, _, cid) = self.members.iter().find(|(known, ..)| known == uri).expect("a member");
        let Content::Parts(all) = &self.parts.content else { panic!("no parts") };
        all.iter().find(|part| part.content_id == *cid).unwrap_or_else(|| panic!("no part of {uri}: {cid:?}"))
    }
}

fn record(uri: &str, members: &[&str]) -> Record {
    let member = |uri: &&str| ListMember { uri: (*uri).to_owned(), display_name: String::new() };
    let members = members.iter().map(member).collect();
    let list = ResourceList { list_uri: uri.to_owned(), members, ..ResourceList::default() };
    Record::next(None, Some((list, vec!["sip:far@away".to_owned()])), 1)
}

fn user(aor: &str, action: Action, note: &str) -> Found {
    let rules = vec![Rule { watcher: "sip:w@d".to_owned(), action: action.into() }];
    let set = WatcherPolicy { rules, ..WatcherPolicy::default() };
    let policy = Policy::read(aor, Some(&Bytes::from(Policy::write(&set)))).expect("a policy");
    let mut user = presentity(aor, policy, None, None).expect("a presentity");
    user.publications = noted(aor, note);
    Found::User(user)
}

fn noted(aor: &str, note: &str) -> Publications {
    let document = format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{aor}\"><tuple id=\"t\"><status>\
         <basic>open</basic></status><note>{note}</note></tuple></presence>"
    );
    let mut publications = Publications::default();
    let asked = crate::topics::publications::Publishing {
        if_match: None,
        document: Some(document.into()),
        expires_s: 3_600,
        etag: "e".to_owned(),
    };
    publications.publish(asked, 1_000).expect("it is published");
    publications
}

fn list(found: Vec<(&str, Found)>) -> List {
    let found = found.into_iter().map(|(uri, found)| (uri.to_owned(), found)).collect();
    List { uri: "sip:team@d".to_owned(), found, sought: None }
}

fn asking(version: u32, told: Option<&[u8]>) -> Asking<'_> {
    Asking { watcher: "sip:w@d", standing: Standing::Active, version, filter: None, told }
}

/// RLS-02, RLS-03: everything first, then who changed, then everything again; a part is named by its Content-ID.
#[test]
fn all_members_are_told_first_and_then_those_that_changed() {
    let names = ["sip:a@d", "sip:b@d", "sip:c@d", "sip:e@d", "sip:far@away"];
    let with = |note: &str| {
        list(vec![
            ("sip:team@d", Found::List(record("sip:team@d", &names))),
            ("sip:a@d", user("sip:a@d", Action::Allow, note)),
            ("sip:b@d", user("sip:b@d", Action::Confirm, "secret")),
            ("sip:c@d", user("sip:c@d", Action::Block, "secret")),
            ("sip:e@d", user("sip:e@d", Action::PoliteBlock, "secret")),
        ])
    };
    let first = with("one").document(&asking(0, None));
    let read = Read::of(&first);
    assert_eq!((read.version.as_str(), read.is_full.as_str()), ("0", "true"));
    assert_eq!(
        read.states(),
        [
            ("sip:a@d", "active", ""),
            ("sip:b@d", "pending", ""),
            ("sip:c@d", "terminated", "rejected"),
            ("sip:e@d", "active", ""),
            ("sip:far@away", "terminated", "noresource"),
        ]
    );
    let Content::Single(body) = &read.part("sip:a@d").content else { panic!("a document") };
    assert!(String::from_utf8_lossy(body).contains("<note>one<"));
    assert!(!String::from_utf8_lossy(&first.body).contains("secret"));

    assert_eq!(with("one").document(&asking(1, Some(&first.told))).told, first.told, "nothing has changed");
    let second = with("two").document(&asking(1, Some(&first.told)));
    let read = Read::of(&second);
    assert_eq!((read.version.as_str(), read.is_full.as_str()), ("1", "false"));
    assert_eq!(read.states(), [("sip:a@d", "active", "")]);
    let Content::Single(body) = &read.part("sip:a@d").content else { panic!("a document") };
    assert!(String::from_utf8_lossy(body).contains("<note>two<"));

    let mut smaller = with("two");
    smaller.found.insert("sip:team@d".to_owned(), Found::List(record("sip:team@d", &names[..2])));
    let read = Read::of(&smaller.document(&asking(2, Some(&second.told))));
    assert_eq!((read.version.as_str(), read.is_full.as_str(), read.members.len()), ("2", "true", 2));
}

/// RLS-04: a list within a list is a multipart within the multipart, and a loop ends where it closes.
#[test]
fn a_list_within_a_list_is_a_multipart_of_its_own_and_loops_are_cut() {
    let with = |note: &str| {
        let mut private = record("sip:private@d", &["sip:a@d"]);
        private.list.owner = "sip:boss@d".to_owned();
        list(vec![
            ("sip:team@d", Found::List(record("sip:team@d", &["sip:inner@d", "sip:private@d"]))),
            ("sip:inner@d", Found::List(record("sip:inner@d", &["sip:a@d", "sip:team@d"]))),
            ("sip:private@d", Found::List(private)),
            ("sip:a@d", user("sip:a@d", Action::Allow, note)),
        ])
    };
    let first = with("one").document(&asking(0, None));
    let read = Read::of(&first);
    assert_eq!(read.states(), [("sip:inner@d", "active", ""), ("sip:private@d", "terminated", "rejected")]);
    let inner = Read::of_entity(read.part("sip:inner@d").clone());
    assert_eq!(inner.is_full, "true");
    assert_eq!(inner.states(), [("sip:a@d", "active", ""), ("sip:team@d", "terminated", "noresource")]);
    let Content::Single(body) = &inner.part("sip:a@d").content else { panic!("a document") };
    assert!(String::from_utf8_lossy(body).contains("<note>one<"));

    let read = Read::of(&with("two").document(&asking(1, Some(&first.told))));
    assert_eq!(
        (read.is_full.as_str(), read.states().len()),
        ("false", 1),
        "a change deep inside is one of its list"
    );
    let inner = Read::of_entity(read.part("sip:inner@d").clone());
    let Content::Single(body) = &inner.part("sip:a@d").content else { panic!("a document") };
    assert!(String::from_utf8_lossy(body).contains("<note>two<"));
}

/// What does not fit in one notification is told by the next ones, and everybody is listed in the first.
#[test]
fn what_has_no_room_is_told_by_the_next_notifications() {
    let note = "x".repeat(20_000);
    let names: Vec<String> = (0..5).map(|number| format!("sip:u{number}@d")).collect();
    let uris: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut found = vec![("sip:team@d", Found::List(record("sip:team@d", &uris)))];
    found.extend(uris.iter().map(|uri| (*uri, user(uri, Action::Allow, &note))));
    let list = list(found);
    let (mut told, mut shown) = (None::<Vec<u8>>, Vec::new());
    for version in 0.. {
        let document = list.document(&asking(version, told.as_deref()));
        if told.as_ref() == Some(&document.told) {
            break;
        }
        let read = Read::of(&document);
        assert_eq!(read.members.len(), if version == 0 { 5 } else { read.states().len() });
        assert!(document.body.len() < 64 * 1024, "{}", document.body.len());
        shown.extend(read.members.into_iter().filter(|member| !member.3.is_empty()).map(|member| member.0));
        told = Some(document.told);
    }
    assert_eq!(shown, names, "each of them once");
}

/// Lists that hold each other make no tree that grows beyond its bound.
#[test]
fn lists_that_share_lists_make_no_large_tree() {
    let names: Vec<String> = (0..100).map(|number| format!("sip:l{number}@d")).collect();
    let uris: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut found = vec![("sip:team@d", Found::List(record("sip:team@d", &uris)))];
    found.extend(uris.iter().map(|uri| (*uri, Found::List(record(uri, &uris)))));
    let document = list(found).document(&asking(0, None));
    assert!(document.body.len() < 2_000_000, "{}", document.body.len());
}
