//! `presence`: who can be reached, composed of registrations and publications (RFC 3856 6.11).

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use cluster_api::convert::timestamp;
use cluster_api::presence::v1::{Basic, PresenceState, PresenceTuple, watcher_policy::Action};
use cluster_api::registrar::v1::Binding;
use sip_body::pidf::{CONTENT_TYPE, Part, Pidf, Tuple};

use super::{Bindings, Policy, Publications};
use crate::engine::{Access, Asking, Document, Standing, Topic};
use crate::repository::{digest, time};

/// Somebody whose presence is watched.
#[derive(Clone, Debug, Default)]
pub struct Presentity {
    /// Address of record.
    pub aor: String,
    /// What was published.
    pub publications: Publications,
    /// Where it is registered.
    pub bindings: Bindings,
    /// Who may know.
    pub policy: Policy,
    /// All of it as it is told: made once for however many watch.
    pub whole: Whole,
}

/// A document and what tells it apart, once it is made.
pub type Whole = Arc<OnceLock<(Vec<u8>, Vec<u8>)>>;

impl Presentity {
    /// The whole presence.
    pub fn composed(&self) -> Pidf {
        let mut parts: Vec<Part> = self.bindings.live().map(|b| self.registered(b)).collect();
        let mut ids: HashSet<String> = parts.iter().filter_map(id).map(str::to_owned).collect();
        for publication in &self.publications.all {
            // What is kept was read before.
            let Ok(document) = Pidf::parse(&publication.document) else { continue };
            for mut part in document.parts {
                if let Part::Tuple(tuple) = &mut part
                    && !ids.insert(tuple.id.clone())
                {
                    // RFC 3863 4.1.2: unique in a document. The key makes it the same every time.
                    tuple.id = format!("{}.{:.8}", tuple.id, publication.key);
                    ids.insert(tuple.id.clone());
                }
                parts.push(part);
            }
        }
        if ids.is_empty() {
            parts.push(closed());
        }
        Pidf { entity: self.aor.clone(), parts }
    }

    /// A device, by an address that leads to it and tells nobody where it is.
    fn registered(&self, binding: &Binding) -> Part {
        let contact = if binding.pub_gruu.is_empty() { &self.aor } else { &binding.pub_gruu };
        let tuple = Tuple {
            id: format!("r{:.12}", digest(&["tuple", &binding.contact_uri, &binding.instance])),
            is_open: Some(true),
            contact: contact.clone(),
            priority_milli: u16::try_from(binding.q_milli).ok(),
            ..Tuple::default()
        };
        Part::Tuple(tuple.made())
    }

    /// The presence as applications see it.
    pub fn state(&self) -> PresenceState {
        let composed = self.composed();
        let mut tuples = Vec::new();
        let mut note = String::new();
        for part in &composed.parts {
            match part {
                Part::Tuple(tuple) => tuples.push(PresenceTuple {
                    tuple_id: tuple.id.clone(),
                    basic: basic(tuple.is_open).into(),
                    contact: tuple.contact.clone(),
                    priority_milli: tuple.priority_milli.unwrap_or_default().into(),
                    note: tuple.note.clone(),
                    time: None,
                }),
                Part::Note { text, .. } if note.is_empty() => note.clone_from(text),
                Part::Note { .. } | Part::Other(_) => {}
            }
        }
        let is_open = tuples.iter().any(|tuple| tuple.basic() == Basic::Open);
        let changed = self.publications.all.iter().map(|publication| publication.since_ms).max();
        PresenceState {
            aor: self.aor.clone(),
            basic: basic(Some(is_open)).into(),
            note,
            tuples,
            pidf: composed.to_xml().into(),
            update_time: changed.map(|ms| timestamp(time(ms))),
        }
    }
}

impl Topic for Presentity {
    fn access(&self, watcher: &str) -> Access {
        if self.policy.is_owner(watcher) {
            return Access::Granted;
        }
        match self.policy.action(watcher) {
            Action::Allow | Action::PoliteBlock => Access::Granted,
            Action::Block => Access::Refused,
            Action::Confirm | Action::Unspecified => Access::Undecided,
        }
    }

    fn document(&self, asking: &Asking<'_>) -> Document {
        let is_blocked = !self.policy.is_owner(asking.watcher)
            && self.policy.action(asking.watcher) == Action::PoliteBlock;
        let (body, told) = match asking.standing {
            // RFC 3856 6.6.3: nothing that tells anything
            Standing::Pending => written(&Pidf { entity: self.aor.clone(), parts: Vec::new() }),
            Standing::Active | Standing::Unspecified if is_blocked => {
                written(&Pidf { entity: self.aor.clone(), parts: vec![closed()] })
            }
            Standing::Active | Standing::Unspecified => {
                self.whole.get_or_init(|| written(&self.composed())).clone()
            }
        };
        Document { content_type: CONTENT_TYPE.to_owned(), body, told }
    }
}

/// A document, and what tells it apart.
fn written(shown: &Pidf) -> (Vec<u8>, Vec<u8>) {
    let body = shown.to_xml().into_bytes();
    let told = super::fingerprint(&body);
    (body, told)
}

/// Nobody is there.
fn closed() -> Part {
    let tuple = Tuple { id: "none".to_owned(), is_open: Some(false), ..Tuple::default() };
    Part::Tuple(tuple.made())
}

fn id(part: &Part) -> Option<&str> {
    match part {
        Part::Tuple(tuple) => Some(&tuple.id),
        Part::Note { .. } | Part::Other(_) => None,
    }
}

fn basic(is_open: Option<bool>) -> Basic {
    match is_open {
        Some(true) => Basic::Open,
        Some(false) => Basic::Closed,
        None => Basic::Unspecified,
    }
}
