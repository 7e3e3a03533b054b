//! The document of a list: RLMI, and the documents of the members behind it (RFC 4662 5).

use std::collections::{HashMap, HashSet};

use cluster_api::presence::v1::ListMember;
use prost::Message as _;
use sip_body::multipart::{Related, build_related};
use sip_body::pidf::CONTENT_TYPE;
use sip_body::rlmi::{self, Instance, Resource};

use super::{Found, List, MAX_DEPTH, MOST_READ, Record};
use crate::elsewhere::State;
use crate::engine::{Access, Asking, Document, Standing, Topic as _};
use crate::repository::digest;
use crate::topics::fingerprint;

/// Octets of the documents of members in one notification; what has no room is told by the next one. One member has room always.
const ROOM: usize = 48 * 1024;

const ROOT_TYPE: &str = "application/rlmi+xml;charset=\"UTF-8\"";

/// What a watcher of a list knows.
#[derive(Clone, PartialEq, prost::Message)]
struct Told {
    /// Of the list itself: who is on it.
    #[prost(bytes = "vec", tag = "1")]
    list: Vec<u8>,
    /// Of the members, in their order.
    #[prost(message, repeated, tag = "2")]
    members: Vec<ToldMember>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ToldMember {
    #[prost(string, tag = "1")]
    id: String,
    /// Empty while it was not told.
    #[prost(bytes = "vec", tag = "2")]
    state: Vec<u8>,
}

/// A member as one watcher may see it.
struct Shown<'a> {
    member: &'a ListMember,
    id: String,
    state: &'static str,
    reason: &'a str,
    content: Content<'a>,
}

enum Content<'a> {
    /// Its state is not known.
    Unknown,
    /// There is nothing to show.
    Nothing,
    /// The document of a user.
    Document(Document),
    /// The members of a list.
    List(&'a Record, Vec<Shown<'a>>),
}

/// The notification of a list: all of it, or what the watcher does not know.
pub fn of(list: &List, root: &Record, asking: &Asking<'_>) -> Document {
    let shown = members(list, root, asking, &mut Walk { path: vec![list.uri.as_str()], left: MOST_READ });
    let known = asking.told.and_then(|told| Told::decode(told).ok());
    let itself = of_itself(root);
    // RFC 4662 5.1: who has gone from a list is told by its full state
    let known = known.filter(|known| known.list == itself);
    let is_full = known.is_none();
    let known: HashMap<String, Vec<u8>> =
        known.into_iter().flat_map(|known| known.members).map(|member| (member.id, member.state)).collect();
    let mut told = Told { list: itself, members: Vec::with_capacity(shown.len()) };
    let (mut left_out, mut named) = (HashSet::new(), Vec::new());
    let mut room = ROOM;
    for shown in &shown {
        let state = shown.fingerprint();
        let before = known.get(&shown.id).cloned().unwrap_or_default();
        let is_new = before != state;
        let size = shown.size();
        let fits = size == 0 || size <= room || room == ROOM;
        if is_new && fits {
            room = room.saturating_sub(size);
        } else if is_new {
            left_out.insert(shown.id.as_str());
        }
        if is_full || (is_new && fits) {
            named.push(shown);
        }
        let state = if is_new && !fits { before } else { state };
        told.members.push(ToldMember { id: shown.id.clone(), state });
    }
    let (content_type, body) = write((root, &named), asking.version, is_full, &left_out);
    Document { content_type, body, told: told.encode_to_vec() }
}

/// Who is on a list, and by which names.
fn of_itself(record: &Record) -> Vec<u8> {
    let mut text = record.list.display_name.clone();
    for member in &record.list.members {
        text.extend(["\n", &member.uri, "\n", &member.display_name]);
    }
    fingerprint(text.as_bytes())
}

/// A walk through lists within each other.
struct Walk<'a> {
    /// The lists from the root to where it is.
    path: Vec<&'a str>,
    /// Members that may still be shown: lists that share lists would make a large tree of few records.
    left: usize,
}

impl Walk<'_> {
    fn leads_through(&self, uri: &str) -> bool {
        self.path.contains(&uri)
    }
}

/// The members of the list where the walk is.
fn members<'a>(
    list: &'a List,
    record: &'a Record,
    asking: &Asking<'_>,
    walk: &mut Walk<'a>,
) -> Vec<Shown<'a>> {
    let mut all = Vec::with_capacity(record.list.members.len());
    for member in &record.list.members {
        let parts: Vec<&str> = walk.path.iter().copied().chain([member.uri.as_str()]).collect();
        let id = format!("m{:.16}", digest(&parts));
        let has_room = walk.left > 0;
        walk.left = walk.left.saturating_sub(1);
        let (state, reason, content) = match list.found.get(&member.uri) {
            _ if record.elsewhere.contains(&member.uri) => elsewhere(list, &member.uri, has_room),
            Some(_) | None if !has_room => ("", "", Content::Unknown),
            None => ("", "", Content::Unknown),
            Some(Found::List(inner)) if !inner.admits(asking.watcher) => {
                ("terminated", "rejected", Content::Nothing)
            }
            // RFC 4662 7: a list within itself ends there
            Some(Found::List(_)) if walk.leads_through(&member.uri) || walk.path.len() >= MAX_DEPTH => {
                ("terminated", "noresource", Content::Nothing)
            }
            Some(Found::List(inner)) => {
                walk.path.push(&member.uri);
                let inside = members(list, inner, asking, walk);
                walk.path.pop();
                ("active", "", Content::List(inner, inside))
            }
            // RFC 4662 5.5: as a SUBSCRIBE to it alone is answered, whatever its policy would be
            Some(Found::User(user)) if user.bindings.is_nobody => {
                ("terminated", "noresource", Content::Nothing)
            }
            // RFC 4662 7.1: by the right of the subscriber, of each member on its own
            Some(Found::User(user)) => match user.access(asking.watcher) {
                Access::Granted => {
                    let asking = Asking { standing: Standing::Active, told: None, ..*asking };
                    ("active", "", Content::Document(user.document(&asking)))
                }
                Access::Undecided => ("pending", "", Content::Nothing),
                Access::Refused => ("terminated", "rejected", Content::Nothing),
            },
        };
        all.push(Shown { member, id, state, reason, content });
    }
    all
}

/// A member of another domain, as that domain shows it to the watcher.
fn elsewhere<'a>(list: &'a List, uri: &str, has_room: bool) -> (&'static str, &'a str, Content<'a>) {
    let Some(sought) = &list.sought else { return ("terminated", "noresource", Content::Nothing) };
    let Some(sought) = sought.get(uri).filter(|_| has_room) else { return ("", "", Content::Unknown) };
    match sought.state() {
        State::Unknown => ("", "", Content::Unknown),
        State::Pending => ("pending", "", Content::Nothing),
        State::Terminated => ("terminated", &sought.reason, Content::Nothing),
        State::Active if sought.document.is_empty() => ("active", "", Content::Nothing),
        State::Active => {
            let (content_type, body) = (CONTENT_TYPE.to_owned(), sought.document.to_vec());
            let told = fingerprint(&body);
            ("active", "", Content::Document(Document { content_type, body, told }))
        }
    }
}

impl Shown<'_> {
    /// What tells its states apart.
    fn fingerprint(&self) -> Vec<u8> {
        let mut text = format!("{}\n{}\n", self.state, self.reason).into_bytes();
        match &self.content {
            Content::Unknown | Content::Nothing => {}
            Content::Document(document) => text.extend(&document.told),
            Content::List(record, inside) => {
                text.extend(of_itself(record));
                inside.iter().for_each(|shown| text.extend(shown.fingerprint()));
            }
        }
        let mut print = fingerprint(&text);
        // It is kept for every member of every subscription.
        print.truncate(12);
        print
    }

    /// Octets of its documents.
    fn size(&self) -> usize {
        match &self.content {
            Content::Unknown | Content::Nothing => 0,
            Content::Document(document) => document.body.len(),
            Content::List(_, inside) => inside.iter().map(Shown::size).sum::<usize>() + 256 * inside.len(),
        }
    }
}

/// A list and its members as a body. The version of a list within a list is that of the whole: each of its documents says everything.
fn write(
    (record, named): (&Record, &[&Shown<'_>]),
    version: u32,
    is_full: bool,
    left_out: &HashSet<&str>,
) -> (String, Vec<u8>) {
    let uri = record.list.list_uri.as_str();
    let host = uri.rsplit_once('@').map_or("", |(_, host)| host);
    let host: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')).collect();
    let cid = |id: &str| format!("{id}.{version}@{host}");
    let mut parts: Vec<(String, String, Vec<u8>)> = Vec::new();
    let mut cids: Vec<String> = Vec::with_capacity(named.len());
    for shown in named {
        let part = match &shown.content {
            _ if left_out.contains(shown.id.as_str()) => None,
            Content::Unknown | Content::Nothing => None,
            Content::Document(document) => Some((document.content_type.clone(), document.body.clone())),
            Content::List(record, inside) => {
                let inside: Vec<&Shown<'_>> = inside.iter().collect();
                Some(write((record, &inside), version, true, left_out))
            }
        };
        cids.push(part.as_ref().map_or(String::new(), |_| cid(&shown.id)));
        parts.extend(part.map(|(content_type, body)| (content_type, cid(&shown.id), body)));
    }
    let resources = named.iter().zip(&cids).map(|(shown, cid)| {
        let is_known = !matches!(shown.content, Content::Unknown) && !left_out.contains(shown.id.as_str());
        let instance = Instance { id: &shown.id, state: shown.state, reason: shown.reason, cid };
        Resource {
            uri: &shown.member.uri,
            name: &shown.member.display_name,
            instance: is_known.then_some(instance),
        }
    });
    let root =
        rlmi::List { uri, name: &record.list.display_name, version, is_full, resources: resources.collect() };
    let root = root.to_xml();
    let root_id = cid(&format!("l{:.16}", digest(&[uri])));
    let mut related = vec![Related { content_type: ROOT_TYPE, content_id: &root_id, body: root.as_bytes() }];
    related.extend(parts.iter().map(|(content_type, content_id, body)| Related {
        content_type,
        content_id,
        body,
    }));
    let (content_type, body) = build_related(rlmi::CONTENT_TYPE, &related);
    (content_type, body.to_vec())
}
