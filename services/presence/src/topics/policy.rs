//! Who may watch whom (RFC 5025 3.2.1).

use bytes::Bytes;
use cluster_api::presence::v1::{WatcherPolicy, watcher_policy::Action};
use prost::Message as _;
use store::StoreError;
use store_rpc::read_record;

/// Name of the record of a policy.
pub fn policy_record(resource: &str) -> String {
    format!("y/{resource}")
}

#[derive(Clone, PartialEq, prost::Message)]
struct Record {
    /// Version of this schema.
    #[prost(uint32, tag = "1")]
    schema: u32,
    #[prost(message, optional, tag = "2")]
    policy: Option<WatcherPolicy>,
}

const SCHEMA: u32 = 1;

/// The policy of one address of record.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    owner: String,
    /// As the application set it.
    pub set: WatcherPolicy,
}

impl Policy {
    /// Reads the record.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn read(owner: &str, value: Option<&Bytes>) -> Result<Policy, StoreError> {
        let owner = owner.to_owned();
        let Some(value) = value else { return Ok(Policy { owner, set: WatcherPolicy::default() }) };
        let record = read_record(value.clone(), SCHEMA, "a policy", |read: &Record| read.schema)?;
        Ok(Policy { owner, set: record.policy.unwrap_or_default() })
    }

    /// The record of a policy.
    pub fn write(set: &WatcherPolicy) -> Vec<u8> {
        Record { schema: SCHEMA, policy: Some(set.clone()) }.encode_to_vec()
    }

    /// Whether this is whose policy it is.
    pub fn is_owner(&self, watcher: &str) -> bool {
        watcher == self.owner
    }

    /// What a rule says of this watcher, or the default that was set: an exact address wins over a domain.
    pub fn action(&self, watcher: &str) -> Action {
        let domain = watcher.rsplit_once('@').map(|(_, domain)| domain);
        let of_domain = |rule: &str| rule.strip_prefix("*@").is_some_and(|named| Some(named) == domain);
        let rules = &self.set.rules;
        let found = rules.iter().find(|rule| rule.watcher == watcher);
        let found = found.or_else(|| rules.iter().find(|rule| of_domain(&rule.watcher)));
        found
            .map(|rule| rule.action())
            .filter(|action| *action != Action::Unspecified)
            .unwrap_or(self.set.default_action())
    }

    /// Whether the watcher is the owner, or somebody whom the owner lets see everything.
    pub fn allows(&self, watcher: &str) -> bool {
        self.is_owner(watcher) || self.action(watcher) == Action::Allow
    }
}

#[cfg(test)]
mod tests {
    use cluster_api::presence::v1::watcher_policy::Rule;

    use super::*;

    #[test]
    fn an_exact_address_wins_over_a_domain_and_a_domain_over_the_default() {
        let rule =
            |watcher: &str, action: Action| Rule { watcher: watcher.to_owned(), action: action.into() };
        let set = WatcherPolicy {
            default_action: Action::Block.into(),
            rules: vec![rule("*@d", Action::Confirm), rule("sip:bob@d", Action::Allow)],
            ..WatcherPolicy::default()
        };
        let value = Bytes::from(Policy::write(&set));
        let policy = Policy::read("sip:alice@d", Some(&value)).unwrap();
        for (watcher, action) in [
            ("sip:bob@d", Action::Allow),
            ("sip:carol@d", Action::Confirm),
            ("sip:carol@elsewhere", Action::Block),
        ] {
            assert_eq!(policy.action(watcher), action, "{watcher}");
        }
        assert!(policy.allows("sip:alice@d") && policy.allows("sip:bob@d") && !policy.allows("sip:carol@d"));
    }
}
