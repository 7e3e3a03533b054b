//! Who may watch whom, as the owner's application says it.

use cluster_api::presence::v1::watcher_policy::{Action, Rule};
use cluster_api::presence::v1::{GetWatcherPolicyRequest, SetWatcherPolicyRequest, WatcherPolicy};
use cluster_rpc::{Reason, Refusal};
use prost::Message as _;
use store::{Batch, StoreError};
use tonic::{Response, Status};

use crate::Presence;
use crate::engine::Package;
use crate::intake::user_aor;
use crate::refusal::of_store;
use crate::repository::digest;
use crate::runner::Origin;
use crate::topics::{Policy, policy_record};

/// Rules of one address of record.
const MOST_RULES: usize = 500;

impl Presence {
    pub(super) async fn set_policy(
        &self,
        request: SetWatcherPolicyRequest,
    ) -> Result<Response<WatcherPolicy>, Status> {
        let Some(policy) = &request.policy else {
            return Err(Refusal::field(Reason::BadField, "policy", "a policy").into());
        };
        let rules = check(policy)?;
        let aor = self.account("policy.aor", &policy.aor).await?;
        let repository = &self.runner.repository;
        let store = &**repository.store();
        let used = self.requests.claim(store, "SetWatcherPolicy", &request.request_id, &request).await?;
        let (name, partition) = (policy_record(&aor), repository.partition(&aor));
        for _ in 0..self.runner.config.commit_attempts {
            if let Some(done) = used.result(store, partition).await? {
                return Ok(Response::new(done));
            }
            let (value, expect) = repository.record(&aor, &name).await.map_err(of_store)?;
            let before = Policy::read(&aor, value.as_ref()).map_err(of_store)?.set;
            if !policy.etag.is_empty() && policy.etag != before.etag {
                let text = "the policy has changed since it was read; read it again";
                return Err(Refusal::new(Reason::EtagMismatch, text).into());
            }
            let mut set = WatcherPolicy { aor: aor.clone(), rules: rules.clone(), ..policy.clone() };
            set.etag = digest(&["policy", &before.etag, &format!("{:?}", set.encode_to_vec())]);
            let mut batch = Batch::new(partition);
            batch.put(&name, Policy::write(&set), expect);
            used.keep(&set, &mut batch.ops);
            match repository.commit_telling(batch, &aor, &Package::ALL).await {
                Ok(outcome) => {
                    for package in Package::ALL {
                        self.runner.fan_out(package, &aor, Origin::Commit(name.clone(), outcome.version));
                    }
                    return Ok(Response::new(set));
                }
                Err(StoreError::Conflict) => self.runner.counts.conflicts.inc(),
                Err(error) => return Err(of_store(error)),
            }
        }
        Err(of_store(StoreError::Conflict))
    }

    pub(super) async fn policy(
        &self,
        request: GetWatcherPolicyRequest,
    ) -> Result<Response<WatcherPolicy>, Status> {
        let aor = self.account("aor", &request.aor).await?;
        let repository = &self.runner.repository;
        let (value, _) = repository.record(&aor, &policy_record(&aor)).await.map_err(of_store)?;
        let policy = Policy::read(&aor, value.as_ref()).map_err(of_store)?;
        Ok(Response::new(WatcherPolicy { aor, ..policy.set }))
    }
}

/// The rules with their watchers in normal form.
fn check(policy: &WatcherPolicy) -> Result<Vec<Rule>, Status> {
    if policy.rules.len() > MOST_RULES {
        let expected = format!("at most {MOST_RULES} rules");
        return Err(Refusal::field(Reason::TooManyMembers, "policy.rules", expected).into());
    }
    let action = |field: String, action: i32| match Action::try_from(action) {
        Ok(_) => Ok(()),
        Err(_) => Err(Refusal::field(Reason::BadField, field, "ALLOW, CONFIRM, POLITE_BLOCK or BLOCK")),
    };
    action("policy.default_action".to_owned(), policy.default_action)?;
    let mut rules = Vec::with_capacity(policy.rules.len());
    for (index, rule) in policy.rules.iter().enumerate() {
        let field = |name: &str| format!("policy.rules[{index}].{name}");
        action(field("action"), rule.action)?;
        let domain = rule.watcher.strip_prefix("*@").and_then(|domain| {
            let somebody = user_aor(&format!("sip:x@{domain}"))?;
            Some(format!("*{}", somebody.strip_prefix("sip:x")?))
        });
        let Some(watcher) = domain.or_else(|| user_aor(&rule.watcher)) else {
            let expected = "an address of record, or *@ and a domain";
            return Err(Refusal::field(Reason::BadAor, field("watcher"), expected).into());
        };
        rules.push(Rule { watcher, action: rule.action });
    }
    Ok(rules)
}
