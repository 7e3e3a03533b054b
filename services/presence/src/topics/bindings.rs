//! Where somebody is registered, as the registrar said last, and what happened to each contact.

use std::time::SystemTime;

use bytes::Bytes;
use cluster_api::registrar::v1::{Binding, binding_event::Type};
use prost::Message as _;
use store::StoreError;
use store_rpc::read_record;

use crate::engine::Package;
use crate::repository::millis;

/// The bindings of one address of record that somebody watches.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Bindings {
    /// Version of this schema.
    #[prost(uint32, tag = "1")]
    schema: u32,
    /// Highest q first; then those that went with the last change.
    #[prost(message, repeated, tag = "2")]
    pub contacts: Vec<Contact>,
    /// Whether the registrar says that nobody has this address of record.
    #[prost(bool, tag = "3")]
    pub is_nobody: bool,
}

const SCHEMA: u32 = 1;

/// One contact.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Contact {
    /// As it is, or was.
    #[prost(message, required, tag = "1")]
    pub binding: Binding,
    /// What happened last (RFC 3680 5.3).
    #[prost(string, tag = "2")]
    pub event: String,
    /// Whether it is gone.
    #[prost(bool, tag = "3")]
    pub is_gone: bool,
}

impl Bindings {
    /// Reads the record.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn read(value: Option<&Bytes>) -> Result<Bindings, StoreError> {
        let Some(value) = value else { return Ok(Bindings::default()) };
        read_record(value.clone(), SCHEMA, "bindings", |read: &Bindings| read.schema)
    }

    /// The record.
    pub fn write(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    /// What is bound.
    pub fn live(&self) -> impl Iterator<Item = &Binding> {
        self.contacts.iter().filter(|contact| !contact.is_gone).map(|contact| &contact.binding)
    }

    /// When the first contact lapses, as who watches knows it, in milliseconds since 1970.
    pub fn first_expiry_ms(&self) -> Option<u64> {
        self.live().filter_map(expiry_ms).min()
    }

    /// Whether one of these is gone although its time was not over.
    pub fn has_lost(&self, before: &Bindings, now_ms: u64) -> bool {
        let is_live = |id: &str| self.live().any(|binding| binding.binding_id == id);
        let is_early = |binding: &Binding| expiry_ms(binding).is_none_or(|end| end > now_ms);
        before.live().any(|binding| is_early(binding) && !is_live(&binding.binding_id))
    }

    /// What follows of the registrar's answer: what it lists, or that there is no such account.
    pub fn after(&self, package: Package, listed: Option<Vec<Binding>>, change: Option<Type>) -> Bindings {
        let is_nobody = listed.is_none();
        Bindings { is_nobody, ..self.next(package, listed.unwrap_or_default(), change) }
    }

    /// The same of an answer that came without a hint of what has changed: what has gone by then went because its time was over.
    pub fn seen(&self, package: Package, listed: Option<Vec<Binding>>, now_s: i64) -> Bindings {
        let is_listed = |id: &str| listed.iter().flatten().any(|binding| binding.binding_id == id);
        let ends = |binding: &Binding| binding.expire_time.as_ref().is_some_and(|end| end.seconds <= now_s);
        let mut gone = self.live().filter(|binding| !is_listed(&binding.binding_id)).peekable();
        let is_expired = gone.peek().is_some() && gone.all(ends);
        self.after(package, listed, is_expired.then_some(Type::Expired))
    }

    /// Whether both say the same.
    pub fn is_as(&self, other: &Bindings) -> bool {
        (&self.contacts, self.is_nobody) == (&other.contacts, other.is_nobody)
    }

    /// What follows when the registrar lists these, after a change of this kind.
    pub fn next(&self, package: Package, listed: Vec<Binding>, change: Option<Type>) -> Bindings {
        let is_reg = package == Package::Reg;
        let shown = |binding: Binding| if is_reg { binding } else { reachable(binding) };
        let known = |binding: &Binding| {
            self.contacts.iter().find(|c| !c.is_gone && c.binding.binding_id == binding.binding_id)
        };
        let contact = |binding: Binding| {
            let binding = shown(binding);
            let event = match known(&binding) {
                Some(before) if before.binding == binding => before.event.clone(),
                Some(_) if change == Some(Type::Shortened) => "shortened".to_owned(),
                Some(_) => "refreshed".to_owned(),
                None if binding.r#static => "created".to_owned(),
                None => "registered".to_owned(),
            };
            Contact { binding, event: if is_reg { event } else { String::new() }, is_gone: false }
        };
        let mut contacts: Vec<Contact> = listed.into_iter().map(contact).collect();
        if is_reg {
            let event = match change {
                Some(Type::Expired) => "expired",
                Some(Type::Deactivated) => "deactivated",
                Some(Type::FlowFailed) => "probation",
                _ => "unregistered",
            };
            let is_listed = |id: &str| contacts.iter().any(|contact| contact.binding.binding_id == id);
            let gone = self.contacts.iter().filter(|c| !c.is_gone && !is_listed(&c.binding.binding_id));
            let gone: Vec<Contact> =
                gone.map(|c| Contact { event: event.to_owned(), is_gone: true, ..c.clone() }).collect();
            if gone.is_empty() && contacts.iter().eq(self.contacts.iter().filter(|c| !c.is_gone)) {
                return self.clone();
            }
            contacts.extend(gone);
        }
        Bindings { schema: SCHEMA, contacts, is_nobody: false }
    }
}

fn expiry_ms(binding: &Binding) -> Option<u64> {
    binding.expire_time.and_then(|end| SystemTime::try_from(end).ok()).map(millis)
}

/// What of a binding tells whether somebody can be reached: a refresh changes nothing of it.
fn reachable(binding: Binding) -> Binding {
    Binding {
        binding_id: binding.binding_id,
        aor: binding.aor,
        contact_uri: binding.contact_uri,
        q_milli: binding.q_milli,
        instance: binding.instance,
        pub_gruu: binding.pub_gruu,
        ..Binding::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(id: &str, cseq: u32) -> Binding {
        Binding { binding_id: id.to_owned(), cseq, ..Binding::default() }
    }

    fn events(bindings: &Bindings) -> Vec<(&str, &str, bool)> {
        bindings.contacts.iter().map(|c| (&*c.binding.binding_id, &*c.event, c.is_gone)).collect()
    }

    /// PKG-01: what happened to each contact.
    #[test]
    fn each_contact_has_its_event() {
        let none = Bindings::default();
        let one = none.next(Package::Reg, vec![binding("a", 1)], Some(Type::Registered));
        assert_eq!(events(&one), [("a", "registered", false)]);
        let two = one.next(Package::Reg, vec![binding("a", 2), binding("b", 1)], Some(Type::Refreshed));
        assert_eq!(events(&two), [("a", "refreshed", false), ("b", "registered", false)]);
        let less = two.next(Package::Reg, vec![binding("b", 1)], Some(Type::Expired));
        assert_eq!(events(&less), [("b", "registered", false), ("a", "expired", true)]);
        // heard of again: nothing new
        assert_eq!(less.next(Package::Reg, vec![binding("b", 1)], Some(Type::Expired)), less);
        let none = less.next(Package::Reg, Vec::new(), Some(Type::Deactivated));
        assert_eq!(events(&none), [("b", "deactivated", true)]);
    }

    /// PKG-01: what a SUBSCRIBE finds gone before the log says so has expired when its time is over, and its event is kept.
    #[test]
    fn what_is_found_gone_after_its_time_has_expired() {
        let end = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let bound = Binding { expire_time: end(100), ..binding("a", 1) };
        let one = Bindings::default().seen(Package::Reg, Some(vec![bound]), 50);
        assert_eq!(events(&one), [("a", "registered", false)]);
        let gone = one.seen(Package::Reg, Some(Vec::new()), 100);
        assert_eq!(events(&gone), [("a", "expired", true)]);
        assert!(
            gone.after(Package::Reg, Some(Vec::new()), Some(Type::Expired)).is_as(&gone),
            "the log comes later"
        );
        assert_eq!(events(&one.seen(Package::Reg, Some(Vec::new()), 99)), [("a", "unregistered", true)]);
        let nobody = one.seen(Package::Reg, None, 99);
        assert!(
            nobody.is_nobody
                && !nobody.is_as(&one)
                && !nobody.seen(Package::Reg, Some(Vec::new()), 99).is_nobody
        );
    }

    #[test]
    fn presence_does_not_change_with_a_refresh() {
        let one = Bindings::default().next(Package::Presence, vec![binding("a", 1)], None);
        assert_eq!(one.next(Package::Presence, vec![binding("a", 2)], Some(Type::Refreshed)), one);
        assert_eq!(one.next(Package::Presence, Vec::new(), Some(Type::Expired)).live().count(), 0);
    }
}
