//! `Location.Route`: may the caller call, and where does the request go.

use cluster_api::registrar::v1::{
    Challenge, HandToCallControl, HandToPresence, LendNumber, Refuse, Relay, RouteRequest, RouteResponse,
    Trunk, route_response::Plan,
};
use futures_util::future;
use sip_message::{Scheme, Uri};

use crate::{
    Shared,
    answer::header,
    aors::{Change, ChangeError},
    auth::{Demand, Proof},
    call_slots::{Limited, Origin},
    config::Auth,
    domains::{Domain, user_aor},
    of_presence::{is_of_device, is_of_presence, service_plan},
    plan::{Asking, Callee, Device, Looking, callee_plan, refuse, unwanted},
    preferences::Preferences,
    register::temporary::{Opened, is_temporary},
    tolls::Tolls,
    trunks::{Number, Table, at_addresses, by_number, by_trunk, is_probe, is_unsound},
};

/// What the user part of the URI of a conference begins with; the id of its call follows.
pub(crate) const CONFERENCE: &str = "conf-";

/// What is known of the caller once the request may go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Caller {
    /// The address of record that was proved, empty when none was.
    identity: String,
    /// Whether the caller's calls run through call-control.
    is_anchored: bool,
    /// Whether requests may leave to other domains.
    may_leave: bool,
    /// Most calls that it may have at a time; 0 for any number.
    max_calls: u32,
    /// What it may call by trunks.
    tolls: Tolls,
    /// The trunk that the request comes in by, and the most calls that it may have.
    trunk: Option<(String, u32)>,
}

impl Shared {
    /// Decides about one request outside a dialog.
    pub(crate) async fn answer_route(&self, request: RouteRequest) -> RouteResponse {
        let response = self.try_route(&request).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "a request was not routed");
            // RFC 3261 21.5.4: the store is our own trouble, and it passes
            let seconds = 1 + self.authority.entropy.below(10);
            let headers = vec![header("Retry-After", seconds.to_string())];
            let refusal = Refuse { status: 503, headers, ..Refuse::default() };
            RouteResponse { plan: Some(Plan::Refuse(refusal)), ..RouteResponse::default() }
        });
        self.meters.routed(response.plan.as_ref());
        response
    }

    async fn try_route(&self, request: &RouteRequest) -> Result<RouteResponse, ChangeError> {
        let trunks = self.trunks.table().await?;
        if request.internal && !request.addresses.is_empty() {
            let plan = Some(at_addresses(&request.addresses, &trunks));
            return Ok(RouteResponse { plan, ..RouteResponse::default() });
        }
        let trunk_addresses = trunks.has_addresses();
        let response = self.decide_for_callee(request, &trunks).await?;
        Ok(RouteResponse { trunk_addresses, ..response })
    }

    async fn decide_for_callee(
        &self,
        request: &RouteRequest,
        trunks: &Table,
    ) -> Result<RouteResponse, ChangeError> {
        // The contact that is registered at a trunk stands for one of our users.
        match self.registered_callee(trunks, &request.request_uri) {
            Some(callee) => {
                let asked = RouteRequest { request_uri: callee, ..request.clone() };
                self.decide(&asked, trunks, trunks.registered(&request.request_uri)).await
            }
            None => self.decide(request, trunks, None).await,
        }
    }

    async fn decide(
        &self,
        request: &RouteRequest,
        trunks: &Table,
        registered_at: Option<&Trunk>,
    ) -> Result<RouteResponse, ChangeError> {
        let stop = |plan| Ok(RouteResponse { plan: Some(plan), ..RouteResponse::default() });
        let Ok(target) = Uri::parse(request.request_uri.as_bytes()) else {
            return stop(refuse(400, "Bad Request-URI"));
        };
        if matches!(target.scheme, Scheme::Other(_)) {
            return stop(refuse(416, ""));
        }
        let is_here = target.scheme == Scheme::Tel || self.domains.called(&target).is_some();
        if is_here && is_unsound(&target) {
            return stop(refuse(400, "Bad Phone Context"));
        }
        if is_here && self.is_elsewhere(&target) {
            return stop(refuse(404, "Foreign Phone Context"));
        }
        let callee_aor = match self.behind_temporary(&target).await? {
            Some((aor, life)) => Some((aor, Some(life))),
            None => self.callee_aor(&target, request).map(|aor| (aor, None)),
        };
        let preferences = Preferences::of(request);
        // a call that we were asked for by gRPC is wanted; one that was forwarded here is still its caller's
        let is_ours = request.in_dialog || (request.internal && request.forwards == 0);
        let caller_aor = (!is_ours).then(|| {
            let from = Uri::parse(request.from_uri.as_bytes()).ok();
            from.as_ref().and_then(user_aor).unwrap_or_default()
        });
        let is_secure = target.is_secure() || request.secure;
        // both need the store at most once, so they go together
        let callee = async {
            match &callee_aor {
                Some(aor) => self
                    .read_callee(aor, (&target, is_secure), &preferences, caller_aor.as_deref())
                    .await
                    .map(Some),
                None => Ok(None),
            }
        };
        let (caller, callee) =
            future::join(self.admit(request, &target, trunks, registered_at), callee).await;
        let caller = match caller? {
            Ok(caller) => caller,
            Err(refusal) => return stop(refusal),
        };
        let callee = callee?;
        if request.to_leg {
            // Who it is was all there was to ask: what may be done to a call of its own, call-control knows
            let plan = Some(Plan::CallControl(HandToCallControl::default()));
            return Ok(RouteResponse { plan, identity: caller.identity, ..RouteResponse::default() });
        }
        let calling = match &caller.trunk {
            Some((name, most)) => Origin::Trunk(Limited { name, most: *most }),
            None => Origin::Account(Limited { name: &caller.identity, most: caller.max_calls }),
        };
        let from_trunk = caller.trunk.is_some();
        // who proved to be a user behind the same address is none
        let source = request.source.as_ref().filter(|_| !request.internal && caller.identity.is_empty());
        let trunk = source.map_or("", |source| trunks.challenger_at(&source.address)).to_owned();
        if let Some(plan) = self.plan_for_lent(request, &target).await? {
            let (plan, call_id) = self.within_limits(request, plan, calling, None).await?;
            let identity = caller.identity;
            let plan = Some(plan);
            return Ok(RouteResponse {
                plan,
                identity,
                call_id,
                from_trunk,
                trunk,
                ..RouteResponse::default()
            });
        }
        let at_gateway = caller.may_leave.then(|| self.plan_at_gateway(request, &target, trunks)).flatten();
        // Within a dialog the other side's Contact is called, which no trunk is asked for: whoever has the mark of a dialog would call any
        // number by it, past all rules (T6).
        let number = Number::of(&target).filter(|_| !request.in_dialog);
        let mut plan = match &callee {
            _ if at_gateway.is_some() => at_gateway.unwrap_or(Plan::Relay(Relay {})),
            // whether one peer answers is asked of that one
            _ if is_probe(request) => Plan::Relay(Relay {}),
            // RFC 3261 16.5 leaves it to us: who names a trunk wants that one, also where the name is a user's
            _ if request.internal && !request.trunk.is_empty() => by_trunk(request, &target, trunks),
            // a number that nobody here has; what presence may know of is none, whoever asks
            Some(callee)
                if !callee.is_known
                    && caller.may_leave
                    && !self.is_service(&target)
                    && number.is_some()
                    && !is_of_presence(request) =>
            {
                number
                    .as_ref()
                    .map_or_else(|| refuse(404, ""), |number| by_number(request, &target, number, trunks))
            }
            Some(callee) => {
                let recurse = self.config.recurse && !preferences.disposition.no_recurse;
                self.plan_for_own(request, &target, callee, caller.is_anchored, recurse)
            }
            None => match self.domains.called(&target) {
                Some(_) => self.plan_for_domain(request),
                None if caller.may_leave && target.scheme != Scheme::Tel => {
                    let by_trunk =
                        || trunks.to_domain(target.host, &request.request_uri, &request.sip_call_id);
                    let fork = (!request.in_dialog).then(by_trunk).flatten();
                    fork.map_or(Plan::Relay(Relay {}), Plan::Fork)
                }
                None if target.scheme == Scheme::Tel => refuse(404, ""),
                // T6: no open relay
                None => refuse(403, "Relaying Denied"),
            },
        };
        self.mark_targets(&mut plan, trunks);
        let plan = self.within_tolls(request, &target, plan, &caller.identity, &caller.tolls).await?;
        // An anchored account's calls to elsewhere; those to our users were told apart before
        let leaves = matches!(plan, Plan::Fork(_) | Plan::Relay(_));
        let is_handed = leaves && caller.is_anchored && is_new_call(request);
        let plan = if is_handed { Plan::CallControl(HandToCallControl::default()) } else { plan };
        let called = callee_aor.as_ref().zip(callee.as_ref()).map(|((aor, _), callee)| (&**aor, callee));
        let (mut plan, call_id) = self.within_limits(request, plan, calling, called).await?;
        self.charged(request, &mut plan, &caller.identity);
        let (plan, identity) = (Some(plan), caller.identity);
        Ok(RouteResponse { plan, identity, call_id, from_trunk, trunk, ..RouteResponse::default() })
    }

    /// Whether the sender may send this at all, and as whom.
    async fn admit(
        &self,
        request: &RouteRequest,
        target: &Uri<'_>,
        trunks: &Table,
        registered_at: Option<&Trunk>,
    ) -> Result<Result<Caller, Plan>, ChangeError> {
        let free = |identity: String, may_leave| Caller { identity, may_leave, ..Caller::default() };
        if request.internal && !request.on_behalf_of.is_empty() {
            return self.admit_for(&request.on_behalf_of).await;
        }
        if request.internal {
            return Ok(Ok(free(String::new(), true)));
        }
        let from = Uri::parse(request.from_uri.as_bytes());
        let acts_as_user = match &from {
            Ok(from) => self.acts_as_user(request, from, target).await?,
            Err(_) => false,
        };
        if !acts_as_user && request.source.as_ref().is_some_and(|source| source.trusted) {
            return Ok(Ok(free(String::new(), true)));
        }
        let Ok(from) = from else {
            return Ok(Err(refuse(400, "Bad From")));
        };
        // PXY-27: a trunk reaches our users, and nobody else by way of us
        let address = request.source.as_ref().map_or("", |source| &source.address);
        let is_to_contact = registered_at.is_some();
        let is_of_trunk = !acts_as_user
            && (is_to_contact
                || (trunks.is_peer(address) && !self.is_user_behind(request, &from, target).await?));
        if is_of_trunk {
            let trunk = match is_to_contact {
                true => registered_at,
                false => trunks.of_peer(address, from.host),
            };
            let trunk = trunk.map(|trunk| (trunk.trunk_id.clone(), trunk.max_calls));
            return Ok(Ok(Caller { trunk, ..Caller::default() }));
        }
        // who is not ours proves to be somebody of the domain that is called, or is let in by its policy
        let asked = self.domains.of(&from).or_else(|| self.domains.called(target));
        let Some(domain) = asked.or_else(|| self.domain_of_nameless(request, &from)) else {
            return Ok(Err(refuse(403, "Relaying Denied")));
        };
        if domain.auth == Auth::None {
            let is_anchored = domain.is_anchored && self.domains.of(&from) == Some(domain);
            return Ok(Ok(Caller { is_anchored, ..Caller::default() }));
        }
        self.prove_caller(request, target, domain, user_aor(&from)).await
    }

    /// Who shows no name proves to be a user by digest, whomever he calls: in the domain whose credentials he brings, or in the first one.
    /// RFC 3323 4.1.1.3
    fn domain_of_nameless(&self, request: &RouteRequest, from: &Uri<'_>) -> Option<&Domain> {
        let host = from.host.strip_suffix('.').unwrap_or(from.host);
        if !host.eq_ignore_ascii_case("anonymous.invalid") {
            return None;
        }
        let values = request.authorization.iter().chain(&request.proxy_authorization);
        let mut realms = values.filter_map(|value| sip_digest::realm(value.as_bytes()));
        let proved = realms.find_map(|realm| self.domains.of_realm(&realm));
        proved.or_else(|| self.domains.first_with_accounts())
    }

    /// What a service of ours sends in the name of a user, goes where that one's requests may: no way out opens beside it.
    async fn admit_for(&self, user: &str) -> Result<Result<Caller, Plan>, ChangeError> {
        let Some(domain) = self.domains.of_aor(user) else { return Ok(Err(refuse(403, "Not Your Address"))) };
        let account = self.aors.read(user, |record| record.account.clone()).await?;
        let identity = user.to_owned();
        Ok(match account {
            // Whoever need not prove to be one does not leave.
            _ if domain.auth == Auth::None => Ok(Caller { identity, ..Caller::default() }),
            Some(account) if !account.disabled => {
                let (max_calls, tolls) = (account.max_calls, Tolls::of(&account));
                Ok(Caller { identity, may_leave: true, max_calls, tolls, ..Caller::default() })
            }
            Some(_) | None => Err(refuse(403, "Not Your Address")),
        })
    }

    async fn prove_caller(
        &self,
        request: &RouteRequest,
        target: &Uri<'_>,
        domain: &Domain,
        from_aor: Option<String>,
    ) -> Result<Result<Caller, Plan>, ChangeError> {
        let key = &self.secrets.load().await?.nonce_key;
        let now_ms = self.aors.now_ms();
        let challenge = |is_stale| {
            let challenges = self.authority.challenges(key, domain, is_stale, now_ms);
            Err(Plan::Challenge(Challenge { challenges, of_server: self.is_answered_here(request, target) }))
        };
        let demand = Demand {
            domain,
            method: &request.method,
            request_uri: &request.request_uri,
            body: &request.body,
            call_id: &request.sip_call_id,
            cseq: request.cseq,
            source: request.source.as_ref(),
        };
        let both;
        let values = match request.authorization.is_empty() {
            true => &request.proxy_authorization,
            false => {
                both = [&*request.authorization, &*request.proxy_authorization].concat();
                &both
            }
        };
        let Some(claim) = self.authority.read(key, &self.domains, demand, values, now_ms) else {
            return Ok(challenge(false));
        };
        self.aors
            .change(&claim.aor, |draft| {
                let window = match self.authority.prove(&claim, demand, draft.record, draft.now_ms) {
                    Proof::Accepted(window) => window,
                    Proof::Stale => return Change::Keep(challenge(true)),
                    Proof::Refused => return Change::Keep(challenge(false)),
                };
                let account = draft.record.account.clone().unwrap_or_default();
                let is_own_name = from_aor.as_deref().is_some_and(|from| {
                    from == claim.aor || account.allowed_from.iter().any(|allowed| allowed == from)
                });
                draft.record.set_replay_window(window);
                // AUT-12
                Change::Commit(if account.disabled || !is_own_name {
                    Err(refuse(403, "Not Your Address"))
                } else {
                    let is_anchored = account.anchor || self.is_anchored_by_domain(&claim.aor);
                    let (identity, max_calls) = (claim.aor.clone(), account.max_calls);
                    let tolls = Tolls::of(&account);
                    Ok(Caller { identity, is_anchored, may_leave: true, max_calls, tolls, trunk: None })
                })
            })
            .await
    }

    /// Whose registration a temporary GRUU names; `None` for what is none, or was not given out here.
    async fn behind_temporary(&self, target: &Uri<'_>) -> Result<Option<(String, u64)>, ChangeError> {
        let Some((user, domain)) =
            target.user.zip(self.domains.called(target)).filter(|_| is_temporary(target))
        else {
            return Ok(None);
        };
        let key = &self.secrets.load().await?.gruu_key;
        let named = key.open(user, &domain.name);
        Ok(named.map(|Opened { user, life }| (["sip:", &user, "@", &domain.name].concat(), life)))
    }

    /// The own user that is called, if the target names one.
    fn callee_aor(&self, target: &Uri<'_>, request: &RouteRequest) -> Option<String> {
        if target.scheme == Scheme::Tel {
            return self.number_aor(target, self.home_of_caller(request));
        }
        self.domains.called(target)?;
        user_aor(target)
    }

    /// The domain in which a number is dialled: that of who calls, or on whose word Carillon does.
    fn home_of_caller(&self, request: &RouteRequest) -> Option<&Domain> {
        let callers = [&request.from_uri, &request.referred_by, &request.led_by];
        callers.into_iter().find_map(|uri| self.domains.of(&Uri::parse(uri.as_bytes()).ok()?))
    }

    /// Whether it is a number in local form of a place that is not ours: there it is another one than here. RFC 3966 5.1.5
    fn is_elsewhere(&self, target: &Uri<'_>) -> bool {
        let number = Number::of(target);
        let place = number.as_ref().and_then(Number::context).filter(|place| !place.starts_with('+'));
        place.is_some_and(|place| {
            let domain = ["sip:", place].concat();
            Uri::parse(domain.as_bytes()).ok().is_none_or(|uri| self.domains.of(&uri).is_none())
        })
    }

    /// The user whose number it is: in the domain of who names it, or in the first one.
    pub(crate) fn number_aor(&self, number: &Uri<'_>, domain: Option<&Domain>) -> Option<String> {
        let number = number.aor()?;
        let number = number.strip_prefix("tel:")?.split(';').next()?;
        domain.unwrap_or_else(|| self.domains.home()).aor_of(number)
    }

    async fn read_callee(
        &self,
        (aor, life): &(String, Option<u64>),
        (target, is_secure): (&Uri<'_>, bool),
        preferences: &Preferences,
        caller: Option<&str>,
    ) -> Result<Callee, ChangeError> {
        let now_ms = self.aors.now_ms();
        let instance = target.param("gr").filter(|value| !value.is_empty());
        let device = life.map(Device::Life).or(instance.map(Device::Instance));
        let looking = Looking { is_secure, device, preferences, caller };
        let mut callee = self.aors.read(aor, |record| Callee::reached(record, aor, looking, now_ms)).await?;
        callee.is_anchored |= self.is_anchored_by_domain(aor);
        Ok(callee)
    }

    fn is_anchored_by_domain(&self, aor: &str) -> bool {
        self.domains.of_aor(aor).is_some_and(|domain| domain.is_anchored)
    }

    fn plan_for_own(
        &self,
        request: &RouteRequest,
        target: &Uri<'_>,
        callee: &Callee,
        is_anchored: bool,
        recurse: bool,
    ) -> Plan {
        if !callee.is_known && is_of_presence(request) {
            // A conference is nobody's account, and neither is a list; presence knows which there are.
            return Plan::Presence(HandToPresence { nobody: true });
        }
        if self.is_service(target) {
            return Plan::CallControl(HandToCallControl::default());
        }
        if !callee.is_known
            && let Some(conference) = self.conference_asked(request, target)
        {
            return Plan::CallControl(HandToCallControl { conference, ..HandToCallControl::default() });
        }
        if !callee.is_known {
            return refuse(404, "");
        }
        if let Some(plan) = service_plan(request).filter(|_| !is_of_device(request, target)) {
            return plan;
        }
        if callee.is_caller_refused {
            return unwanted(callee);
        }
        // who is only told contacts is told them by us, before anybody is called
        let is_taken = !callee.is_disabled && !callee.is_redirecting;
        if is_new_call(request) && is_taken && (is_anchored || callee.is_anchored) {
            return Plan::CallControl(HandToCallControl::default());
        }
        let is_new = !request.internal && !request.in_dialog;
        if request.method == "MESSAGE" && is_new && callee.is_away() {
            // RFC 3428 7: it is kept until its user comes
            return Plan::Presence(HandToPresence { nobody: false });
        }
        let is_call = request.method == "INVITE" && !request.in_dialog;
        callee_plan(callee, Asking { is_call, forwards: request.forwards, recurse })
    }

    /// Whether it is no user's name but a service's of call-control.
    fn is_service(&self, target: &Uri<'_>) -> bool {
        let user = target.user.unwrap_or_default();
        self.config.call_control_users.iter().any(|service| service.as_bytes() == user)
    }

    /// The call that is the conference of this URI, when somebody wants something of it. RFC 4579 4.2, 5.2, 5.5
    fn conference_asked(&self, request: &RouteRequest, target: &Uri<'_>) -> Option<String> {
        let is_asked = matches!(request.method.as_str(), "INVITE" | "OPTIONS" | "REFER");
        let is_new = !request.internal && !request.in_dialog;
        let user = std::str::from_utf8(target.user?).ok()?;
        let call_id = user.strip_prefix(CONFERENCE).filter(|call_id| !call_id.is_empty())?;
        (self.config.conferences && is_asked && is_new).then(|| call_id.to_owned())
    }

    /// A request to the domain itself, without a user.
    fn plan_for_domain(&self, request: &RouteRequest) -> Plan {
        match request.method.as_str() {
            "ALLOCATE" if self.numbers.is_gateway() => Plan::Lend(LendNumber {}),
            // ALC-01
            "ALLOCATE" => refuse(501, "No Numbers Are Lent Here"),
            _ => service_plan(request).unwrap_or_else(|| refuse(404, "")),
        }
    }
}

/// Whether a call of somebody else begins: Carillon's own legs were decided about when the call was.
fn is_new_call(request: &RouteRequest) -> bool {
    request.method == "INVITE" && !request.internal && !request.in_dialog
}
