//! `reg`: where somebody is registered (RFC 3680).

use std::time::SystemTime;

use cluster_api::registrar::v1::Binding;
use sip_body::reginfo::{CONTENT_TYPE, Contact, RegInfo};

use super::{Bindings, Policy};
use crate::engine::{Access, Asking, Document, Topic};
use crate::repository::digest;

/// The registration of one address of record.
pub struct Registration {
    /// Address of record.
    pub aor: String,
    /// Its contacts.
    pub bindings: Bindings,
    /// Who may know.
    pub policy: Policy,
    /// When it was read, in seconds since 1970.
    pub now_s: i64,
}

impl Topic for Registration {
    /// Its owner, and whom the owner's policy names: it tells where phones are.
    fn access(&self, watcher: &str) -> Access {
        if self.policy.allows(watcher) { Access::Granted } else { Access::Refused }
    }

    fn document(&self, asking: &Asking<'_>) -> Document {
        let is_owner = self.policy.is_owner(asking.watcher);
        let contacts = self.bindings.contacts.iter().map(|contact| self.contact(contact, is_owner)).collect();
        let id = format!("r{:.12}", digest(&["registration", &self.aor]));
        let info = |version, contacts| RegInfo { version, aor: &self.aor, id: &id, contacts }.to_xml();
        let body = info(asking.version, contacts);
        // The time that is left passes without anything having changed.
        let told = super::fingerprint(&prost::Message::encode_to_vec(&self.bindings));
        Document { content_type: CONTENT_TYPE.to_owned(), body: body.into_bytes(), told }
    }
}

impl Registration {
    fn contact<'a>(&self, contact: &'a super::bindings::Contact, is_owner: bool) -> Contact<'a> {
        let binding: &Binding = &contact.binding;
        let left = |end: &prost_types::Timestamp| u64::try_from(end.seconds - self.now_s).unwrap_or(0);
        let expires_s = match contact.is_gone {
            true => Some(0),
            false => binding.expire_time.as_ref().map(left),
        };
        let params = binding.params.iter().map(|param| param.split_once('=').unwrap_or((param, "")));
        Contact {
            id: format!("c{:.12}", digest(&["contact", &binding.binding_id])),
            uri: &binding.contact_uri,
            display_name: &binding.display_name,
            is_active: !contact.is_gone,
            event: &contact.event,
            expires_s,
            q_milli: binding.q_milli,
            register: (!binding.r#static).then_some((binding.sip_call_id.as_str(), binding.cseq)),
            params: params.collect(),
            pub_gruu: &binding.pub_gruu,
            // whoever else knew it would know whose it is. RFC 5628 5, 9
            temp_gruu: (is_owner && !contact.is_gone && !binding.temp_gruu.is_empty())
                .then_some((&binding.temp_gruu, binding.temp_gruu_first_cseq)),
        }
    }
}

/// Seconds since 1970.
pub fn seconds(time: SystemTime) -> i64 {
    prost_types::Timestamp::from(time).seconds
}

#[cfg(test)]
mod tests {
    use cluster_api::presence::v1::{WatcherPolicy, watcher_policy::Action};
    use cluster_api::registrar::v1::binding_event::Type;

    use super::*;
    use crate::engine::{Package, Standing};

    /// PKG-02: a temporary name of a device is told its owner alone, and the public one to whoever may watch.
    #[test]
    fn only_the_owner_learns_temporary_names() {
        let bound = Binding {
            binding_id: "1".into(),
            pub_gruu: "sip:alice@d;gr=1".into(),
            temp_gruu: "sip:tgruu.x@d;gr".into(),
            temp_gruu_first_cseq: 7,
            ..Binding::default()
        };
        let set = WatcherPolicy { default_action: Action::Allow.into(), ..WatcherPolicy::default() };
        let none = Bindings::default();
        let bindings = none.next(Package::Reg, vec![bound], Some(Type::Registered));
        let told = |bindings: &Bindings, watcher: &str| {
            let policy = Policy::read("sip:alice@d", Some(&Policy::write(&set).into())).unwrap();
            let bindings = bindings.clone();
            let topic = Registration { aor: "sip:alice@d".into(), bindings, policy, now_s: 0 };
            assert_eq!(topic.access(watcher), Access::Granted);
            let asking = Asking { watcher, standing: Standing::Active, version: 0, filter: None, told: None };
            String::from_utf8(topic.document(&asking).body).unwrap()
        };
        let temporary = "<gr:temp-gruu uri=\"sip:tgruu.x@d;gr\" first-cseq=\"7\"/>";
        let (owner, friend) = (told(&bindings, "sip:alice@d"), told(&bindings, "sip:bob@d"));
        assert!(owner.contains(temporary) && owner.contains("gr:pub-gruu"), "{owner}");
        assert!(!friend.contains("tgruu") && friend.contains("gr:pub-gruu"), "{friend}");
        let gone = bindings.next(Package::Reg, Vec::new(), Some(Type::Expired));
        assert!(!told(&gone, "sip:alice@d").contains("tgruu"), "it ended with its registration");
    }
}
