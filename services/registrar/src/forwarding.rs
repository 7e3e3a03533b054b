//! Forwarding rules of an account over gRPC: where calls go instead (RFC 5359 2.7 to 2.9).

use std::time::Duration;

use cluster_api::registrar::v1::{
    ForwardingRules, GetForwardingRequest, NoAnswer, SetForwardingRequest, forwarding_server::Forwarding,
};
use cluster_rpc::{Reason, Refusal};
use sip_message::{Scheme, Uri};
use tonic::{Request, Response, Status};

use crate::{
    Registrar, Shared,
    accounts::not_found,
    aors::Change,
    domains::user_aor,
    record::ForwardingRecord,
    refusal::{of_change, of_store},
};

/// How long it rings where a rule does not say.
const RING_TIME: Duration = Duration::from_secs(20);
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(600);
const MAX_URI: usize = 1_024;

impl Shared {
    async fn get_forwarding(&self, request: GetForwardingRequest) -> Result<ForwardingRules, Refusal> {
        let aor = self.served_aor(&request.aor, "aor")?;
        let rules = self
            .aors
            .read(&aor, |record| record.account.as_deref().map(|account| show(account.forwarding.as_ref())));
        rules.await.map_err(of_store)?.ok_or_else(|| not_found(&aor))
    }

    async fn set_forwarding(&self, request: SetForwardingRequest) -> Result<ForwardingRules, Refusal> {
        let aor = self.served_aor(&request.aor, "aor")?;
        let rules = request.rules.clone().unwrap_or_default();
        let fresh = self.read_rules(&aor, &rules)?;
        crate::accounts::text(&rules.etag, "rules.etag")?;
        let store = self.aors.store();
        let claimed = self.requests.claim(store, "SetForwarding", &request.request_id, &request).await?;
        if let Some(earlier) = claimed.result(store, self.aors.partition_of(&aor)).await? {
            return Ok(earlier);
        }
        self.aors
            .change(&aor, |draft| {
                let Some(account) = &mut draft.record.account else {
                    return Change::Keep(Err(not_found(&aor)));
                };
                let revision = account.forwarding.as_ref().map_or(0, |known| known.revision);
                if !rules.etag.is_empty() && rules.etag != revision.to_string() {
                    let message = format!("the rules are at {revision}, not at {}", rules.etag);
                    return Change::Keep(Err(Refusal::new(Reason::EtagMismatch, message)));
                }
                // kept when it is empty too: the revision of the next rules must not come again
                let fresh = ForwardingRecord { revision: revision + 1, ..fresh.clone() };
                let shown = show(Some(&fresh));
                account.forwarding = Some(fresh);
                claimed.keep(&shown, &mut draft.ops);
                Change::Commit(Ok(shown))
            })
            .await
            .map_err(of_change)?
    }

    fn read_rules(&self, aor: &str, rules: &ForwardingRules) -> Result<ForwardingRecord, Refusal> {
        let target = |uri: Option<&String>, field: &str| match uri {
            Some(uri) => self.check_target(aor, uri, field).map(|()| uri.clone()),
            None => Ok(String::new()),
        };
        let no_answer = rules.no_answer.as_ref();
        Ok(ForwardingRecord {
            unconditional: target(rules.unconditional.as_ref(), "rules.unconditional")?,
            busy: target(rules.busy.as_ref(), "rules.busy")?,
            no_answer: target(no_answer.map(|rule| &rule.target), "rules.no_answer.target")?,
            no_answer_ms: no_answer.map_or(Ok(0), ring_time)?,
            unreachable: target(rules.unreachable.as_ref(), "rules.unreachable")?,
            revision: 0,
        })
    }

    /// T19: what is stored goes into requests, so it is a URI and nothing but one.
    fn check_target(&self, aor: &str, uri: &str, field: &str) -> Result<(), Refusal> {
        let is_clean = uri.len() <= MAX_URI && !uri.contains(['<', '>', '"', ' ', '?']);
        let parsed = Uri::parse(uri.as_bytes()).ok().filter(|_| is_clean);
        let parsed = parsed.filter(|uri| match uri.scheme {
            // a domain of ours without a user is nobody
            Scheme::Sip | Scheme::Sips => uri.user.is_some() || self.domains.of(uri).is_none(),
            Scheme::Tel => true,
            Scheme::Other(_) => false,
        });
        let expected = "a sip, sips or tel URI of somebody, without headers";
        let parsed = parsed.ok_or_else(|| Refusal::field(Reason::BadUri, field, expected))?;
        let named = match parsed.scheme {
            Scheme::Tel => self.number_aor(&parsed, self.domains.of_aor(aor)),
            Scheme::Sip | Scheme::Sips | Scheme::Other(_) => user_aor(&parsed),
        };
        if named.as_deref() == Some(aor) {
            let message = format!("{uri} leads back to {aor}");
            return Err(Refusal::new(Reason::ForwardToSelf, message).violation(field, "somebody else"));
        }
        Ok(())
    }
}

fn ring_time(rule: &NoAnswer) -> Result<u64, Refusal> {
    let time = match rule.after {
        None => RING_TIME,
        Some(after) => Duration::try_from(after)
            .ok()
            .filter(|time| (SHORTEST..=LONGEST).contains(time))
            .ok_or_else(|| Refusal::field(Reason::BadField, "rules.no_answer.after", "1 s to 10 min"))?,
    };
    Ok(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

fn show(rules: Option<&ForwardingRecord>) -> ForwardingRules {
    let Some(rules) = rules else {
        return ForwardingRules { etag: "0".to_owned(), ..ForwardingRules::default() };
    };
    let target = |uri: &String| (!uri.is_empty()).then(|| uri.clone());
    let after = Duration::from_millis(rules.no_answer_ms).try_into().ok();
    ForwardingRules {
        unconditional: target(&rules.unconditional),
        busy: target(&rules.busy),
        no_answer: target(&rules.no_answer).map(|target| NoAnswer { target, after }),
        unreachable: target(&rules.unreachable),
        etag: rules.revision.to_string(),
    }
}

#[tonic::async_trait]
impl Forwarding for Registrar {
    async fn get_forwarding(
        &self,
        request: Request<GetForwardingRequest>,
    ) -> Result<Response<ForwardingRules>, Status> {
        Ok(Response::new(self.shared.get_forwarding(request.into_inner()).await?))
    }

    async fn set_forwarding(
        &self,
        request: Request<SetForwardingRequest>,
    ) -> Result<Response<ForwardingRules>, Status> {
        Ok(Response::new(self.shared.set_forwarding(request.into_inner()).await?))
    }
}
