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
        let contacts = self.bindings.contacts.iter().map(|contact| self.contact(contact)).collect();
        let id = format!("r{:.12}", digest(&["registration", &self.aor]));
        let info = |version, contacts| RegInfo { version, aor: &self.aor, id: &id, contacts }.to_xml();
        let body = info(asking.version, contacts);
        // The time that is left passes without anything having changed.
        let told = super::fingerprint(&prost::Message::encode_to_vec(&self.bindings));
        Document { content_type: CONTENT_TYPE.to_owned(), body: body.into_bytes(), told }
    }
}

impl Registration {
    fn contact<'a>(&self, contact: &'a super::bindings::Contact) -> Contact<'a> {
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
        }
    }
}

/// Seconds since 1970.
pub fn seconds(time: SystemTime) -> i64 {
    prost_types::Timestamp::from(time).seconds
}
