//! `Location.Register`: the checks of RFC 3261 10.3 in their order, then one change of one record.

use std::borrow::Cow;

use cluster_api::registrar::v1::{RegisterRequest, RegisterResponse};
use cluster_api::sip::v1::Source;
use sip_digest::{NonceKey, ReplayWindow};
use sip_message::{Scheme, Uri};

use crate::{
    Shared,
    answer::{accepted, bare, challenged, failed, header, is_full, refused, unsupported},
    aors::{Change, ChangeError, Draft, note},
    auth::{Claim, Demand, Proof},
    config::Auth,
    domains::{Domain, user_aor},
    moved,
    push::params::{self, TakenOut},
    record::AccountRecord,
    register::{
        Asked, Policy,
        outbound::{Outbound, outbound},
        plan,
        temporary::Gruus,
    },
};

/// Option tags that a REGISTER may require.
const SUPPORTED: [&str; 3] = ["path", "outbound", "gruu"];

impl Shared {
    /// Answers one REGISTER. The answer may be sent: every change in it is committed.
    pub(crate) async fn answer_register(&self, request: RegisterRequest) -> RegisterResponse {
        let mut response = self.register_or_make_room(&request).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "a REGISTER was not carried out");
            failed(&error, 1 + self.authority.entropy.below(10))
        });
        if response.status == 200 {
            let said = params::take_out(&request.contacts).pushes;
            let caps = self.pushes.capabilities(&said).into_iter();
            response.headers.extend(caps.map(|value| header("Feature-Caps", value)));
        }
        self.meters.answered(response.status);
        response
    }

    /// Who may have no further contact may be at another edge now because the one of before is gone, and nothing told us of its connections.
    async fn register_or_make_room(
        &self,
        request: &RegisterRequest,
    ) -> Result<RegisterResponse, ChangeError> {
        let response = self.try_register(request).await?;
        if !is_full(&response) {
            return Ok(response);
        }
        // In a box, as all that is seldom done: who registers is not made to carry the room for it.
        let again = async {
            match self.make_room(&request.to_uri).await? {
                true => self.try_register(request).await,
                false => Ok(response),
            }
        };
        Box::pin(again).await
    }

    async fn try_register(&self, request: &RegisterRequest) -> Result<RegisterResponse, ChangeError> {
        // RFC 3261 10.3 step 1
        let (domain, is_secure) = match self.domains.of_plain(&request.request_uri) {
            Some((domain, None)) => (domain, false),
            Some(_) | None => match self.asked_domain(&request.request_uri) {
                Ok(asked) => asked,
                Err(refused) => return Ok(refused),
            },
        };
        let (to_aor, to_domain) = match self.domains.of_plain(&request.to_uri) {
            Some((domain, Some(_))) => (Cow::Borrowed(&*request.to_uri), Some(domain)),
            Some(_) | None => {
                let Some(aor) = address_of(&request.to_uri) else { return Ok(bare(400, "Bad To")) };
                let domain = self.domains.of_aor(&aor);
                (Cow::Owned(aor), domain)
            }
        };
        // step 5: a domain that is served, but not the one that is asked
        if !to_domain.is_some_and(|to_domain| std::ptr::eq(to_domain, domain)) {
            return Ok(bare(404, "Address Not In This Domain"));
        }
        // step 2
        let unknown: Vec<&str> =
            request.require.iter().map(String::as_str).filter(|tag| !SUPPORTED.contains(tag)).collect();
        if !unknown.is_empty() {
            return Ok(unsupported(&unknown));
        }
        // RFC 3327 5.3
        if !request.path.is_empty() && !request.supported.iter().any(|tag| tag == "path") {
            return Ok(unsupported(&["path"]));
        }
        let received = request.source.as_ref().and_then(Source::received).unwrap_or_default();
        // Nearly always both are written alike.
        let is_own = request.from_uri == request.to_uri;
        let other = if is_own { None } else { address_of(&request.from_uri) };
        let from_aor = if is_own { Some(&*to_aor) } else { other.as_deref() };
        // who requires it supports it
        let supports =
            |option: &str| request.supported.iter().chain(&request.require).any(|tag| tag == option);
        let is_first_party = from_aor == Some(&*to_aor);
        let TakenOut { contacts, pushes } = params::take_out(&request.contacts);
        if pushes.iter().any(|(_, said)| self.pushes.refuses(said)) {
            return Ok(bare(555, "Push Notification Service Not Supported"));
        }
        let outbound = match outbound(&contacts, supports("outbound"), &request.path, is_first_party) {
            Outbound::Applied => true,
            Outbound::Ignored => false,
            Outbound::NoFirstHop => return Ok(bare(439, "")),
            Outbound::SeveralContacts => return Ok(bare(400, "Several Contacts On One Flow")),
        };
        let asked = Asked {
            aor: &to_aor,
            contacts: &contacts,
            pushes: &pushes,
            star: request.star,
            expires: request.expires,
            call_id: &request.sip_call_id,
            cseq: request.cseq,
            is_secure,
            path: &request.path,
            received: &received,
            flow: &request.flow,
            life: request.life.as_ref(),
            user_agent: &request.user_agent,
            outbound,
            gruus: if supports("gruu") { Some(Box::pin(self.gruus()).await?) } else { None },
        };
        // step 3
        if request.source.as_ref().is_some_and(|source| source.trusted) {
            return Box::pin(self.register_trusted(domain, asked)).await;
        }
        if domain.auth == Auth::None {
            return self.register_unproved(asked, from_aor).await;
        }
        let demand = Demand {
            domain,
            method: "REGISTER",
            request_uri: &request.request_uri,
            body: &request.body,
            call_id: &request.sip_call_id,
            cseq: request.cseq,
            source: request.source.as_ref(),
        };
        let (key, now_ms) = (&self.secrets.load().await?.nonce_key, self.aors.now_ms());
        let claim = self.authority.read(key, &self.domains, demand, &request.authorization, now_ms);
        match claim {
            None => Ok(challenged(self.authority.challenges(key, domain, false, now_ms))),
            Some(claim) if claim.aor == to_aor => {
                self.register_own(key, &claim, demand, asked, from_aor).await
            }
            Some(claim) => Box::pin(self.register_for_another(key, &claim, demand, asked, from_aor)).await,
        }
    }

    /// The domain that a Request-URI asks, and whether by sips.
    fn asked_domain(&self, request_uri: &str) -> Result<(&Domain, bool), RegisterResponse> {
        let uri = Uri::parse(request_uri.as_bytes()).map_err(|_| bare(400, "Bad Request-URI"))?;
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            return Err(bare(416, ""));
        }
        if uri.user.is_some() {
            return Err(bare(400, "Request-URI Names A User"));
        }
        let domain = self.domains.of(&uri).ok_or_else(|| bare(404, "Domain Not Served"))?;
        Ok((domain, uri.scheme == Scheme::Sips))
    }

    async fn gruus(&self) -> Result<Gruus<'_>, ChangeError> {
        let key = &self.secrets.load().await?.gruu_key;
        let mut nonce = [0; 12];
        self.authority.entropy.fill(&mut nonce);
        Ok(Gruus { key, nonce, fresh: self.authority.entropy.number() })
    }

    /// A peer that is not challenged may register for everybody who exists.
    async fn register_trusted(
        &self,
        domain: &Domain,
        asked: Asked<'_>,
    ) -> Result<RegisterResponse, ChangeError> {
        let change = self.aors.change(asked.aor, |draft| {
            if domain.auth == Auth::Digest && draft.record.account.is_none() {
                return Change::Keep(bare(404, ""));
            }
            self.apply(draft, asked, None)
        });
        change.await
    }

    /// In a domain without authentication From says who asks, and only the user may.
    async fn register_unproved(
        &self,
        asked: Asked<'_>,
        from_aor: Option<&str>,
    ) -> Result<RegisterResponse, ChangeError> {
        let Some(from) = from_aor else { return Ok(bare(400, "Bad From")) };
        let change = self.aors.change(asked.aor, |draft| {
            if from != asked.aor && !may_register(draft.record.account.as_deref(), from) {
                return Change::Keep(bare(403, "Not Your Address"));
            }
            self.apply(draft, asked, None)
        });
        change.await
    }

    /// The usual case: proof, nonce and bindings are one record and one commit.
    async fn register_own(
        &self,
        key: &NonceKey,
        claim: &Claim<'_>,
        demand: Demand<'_>,
        asked: Asked<'_>,
        from_aor: Option<&str>,
    ) -> Result<RegisterResponse, ChangeError> {
        let change = self.aors.change(asked.aor, |draft| {
            let window = match self.authority.prove(claim, demand, draft.record, draft.now_ms) {
                Proof::Accepted(window) => window,
                Proof::Stale => return Change::Keep(self.challenge_again(key, demand, true, draft.now_ms)),
                Proof::Refused => {
                    return Change::Keep(self.challenge_again(key, demand, false, draft.now_ms));
                }
            };
            let account = draft.record.account.as_deref();
            if !from_aor.is_some_and(|from| from == asked.aor || may_name(account, from)) {
                return Change::Keep(bare(403, "Not Your Address"));
            }
            self.apply(draft, asked, Some(window))
        });
        change.await
    }

    fn challenge_again(
        &self,
        key: &NonceKey,
        demand: Demand<'_>,
        is_stale: bool,
        now_ms: u64,
    ) -> RegisterResponse {
        challenged(self.authority.challenges(key, demand.domain, is_stale, now_ms))
    }

    /// Third-party registration: who asks proves it in their own record, the right is in the other one.
    async fn register_for_another(
        &self,
        key: &NonceKey,
        claim: &Claim<'_>,
        demand: Demand<'_>,
        asked: Asked<'_>,
        from_aor: Option<&str>,
    ) -> Result<RegisterResponse, ChangeError> {
        let refusal = self
            .aors
            .change(&claim.aor, |draft| {
                let challenge = |is_stale| Some(self.challenge_again(key, demand, is_stale, draft.now_ms));
                let window = match self.authority.prove(claim, demand, draft.record, draft.now_ms) {
                    Proof::Accepted(window) => window,
                    Proof::Stale => return Change::Keep(challenge(true)),
                    Proof::Refused => return Change::Keep(challenge(false)),
                };
                let account = draft.record.account.as_deref();
                let is_disabled = account.is_some_and(|account| account.disabled);
                let may_say_from = from_aor
                    .is_some_and(|from| from == claim.aor || from == asked.aor || may_name(account, from));
                // the nonce count is used up either way
                draft.record.set_replay_window(window);
                Change::Commit((is_disabled || !may_say_from).then(|| bare(403, "Not Your Address")))
            })
            .await?;
        if let Some(refusal) = refusal {
            return Ok(refusal);
        }
        self.aors
            .change(asked.aor, |draft| {
                if !may_register(draft.record.account.as_deref(), &claim.aor) {
                    return Change::Keep(bare(403, "Not Your Address"));
                }
                self.apply(draft, asked, None)
            })
            .await
    }

    /// Steps 6 to 8 of RFC 3261 10.3. With `window` the used nonce is committed too.
    fn apply(
        &self,
        draft: &mut Draft<'_>,
        asked: Asked<'_>,
        window: Option<ReplayWindow>,
    ) -> Change<RegisterResponse> {
        let account = draft.record.account.as_deref();
        if account.is_some_and(|account| account.disabled) {
            return Change::Keep(bare(403, "Account Disabled"));
        }
        let own_limit = account.map(|account| account.max_bindings).filter(|&limit| limit != 0);
        let policy = Policy { max_bindings: own_limit.unwrap_or(self.policy.max_bindings), ..self.policy };
        let now_ms = draft.now_ms;
        let plan = match plan(draft.record, asked, now_ms, policy) {
            Ok(plan) => plan,
            Err(refusal) => return Change::Keep(refused(&refusal)),
        };
        if let Some(window) = window {
            draft.record.set_replay_window(window);
        } else if plan.is_query() {
            return Change::Keep(accepted(draft.record, asked, now_ms));
        }
        let Draft { aor, record, ops, .. } = draft;
        if !plan.is_query() {
            ops.extend(plan.replaced(record).filter_map(|left| moved::remember(aor, left, &left.flow)));
            plan.apply(record, now_ms, |kind, binding| ops.push(note(aor, kind, binding)));
        }
        Change::Commit(accepted(draft.record, asked, now_ms))
    }
}

/// Whether `account` may put `from` into From besides its own address.
fn may_name(account: Option<&AccountRecord>, from: &str) -> bool {
    account.is_some_and(|account| account.allowed_from.iter().any(|allowed| allowed == from))
}

/// Whether `who` may register contacts for `account`. REG-18
fn may_register(account: Option<&AccountRecord>, who: &str) -> bool {
    account.is_some_and(|account| account.registrars.iter().any(|allowed| allowed == who))
}

/// The address of record that a From or To names.
pub(crate) fn address_of(uri: &str) -> Option<String> {
    user_aor(&Uri::parse(uri.as_bytes()).ok()?)
}
