//! Bindings over gRPC: what is registered, and static contacts.

use std::{pin::Pin, time::Duration};

use cluster_api::convert::timestamp;
use cluster_api::registrar::v1::{
    AddBindingRequest, Binding, BindingEvent, EdgeLife, ListBindingsRequest, ListBindingsResponse,
    RemoveBindingRequest, RemoveBindingResponse, WatchBindingsRequest, binding_event::Type,
    bindings_server::Bindings,
};
use cluster_rpc::{Reason, Refusal};
use futures_util::Stream;
use sip_message::{Uri, is_token};
use store::StoreError;
use tonic::{Request, Response, Status};

use crate::{
    Registrar, Shared,
    accounts::{not_found, text},
    aors::{Change, note, time},
    config::Auth,
    listing::page_size,
    membership::is_living,
    record::{BindingRecord, NEVER_MS},
    refusal::{of_change, of_store},
    register::{
        gruu, itself,
        temporary::{self, GruuKey},
    },
};

const MAX_PARAMS: usize = 50;

/// Seconds that a static binding may be held: as many as an Expires can say (RFC 3261 20.19), so that every time that is told of one is a
/// valid `google.protobuf.Timestamp` also.
const LIFETIME: std::ops::RangeInclusive<u64> = 1..=u32::MAX as u64;

impl Shared {
    async fn list_bindings(&self, request: ListBindingsRequest) -> Result<ListBindingsResponse, Refusal> {
        let aor = self.served_aor(&request.aor, "aor")?;
        let size = page_size(request.page_size)?;
        let skip = match request.page_token.as_str() {
            "" => 0,
            token => token.parse::<usize>().map_err(|_| {
                Refusal::field(Reason::BadPageToken, "page_token", "the token of an earlier page")
            })?,
        };
        let (now_ms, key) = (self.aors.now_ms(), self.gruu_key().await.map_err(of_store)?);
        let is_open = self.domains.of_aor(&aor).is_some_and(|domain| domain.auth == Auth::None);
        let all = self.aors.read(&aor, |record| {
            let show = |binding: &BindingRecord| (binding.life.clone(), show(&aor, binding, &key));
            let mut all: Vec<(Option<EdgeLife>, Binding)> = record.live(now_ms).map(show).collect();
            all.sort_by_key(|(_, binding)| std::cmp::Reverse(binding.q_milli));
            (is_open || record.account.is_some() || !all.is_empty()).then_some(all)
        });
        let all = all.await.map_err(of_store)?.ok_or_else(|| not_found(&aor))?;
        let end = skip.saturating_add(size);
        let next_page_token = if end < all.len() { end.to_string() } else { String::new() };
        let shown: Vec<(Option<EdgeLife>, Binding)> = all.into_iter().skip(skip).take(size).collect();
        let bindings = self.with_living_edges(shown).await.map_err(of_store)?;
        Ok(ListBindingsResponse { bindings, next_page_token })
    }

    /// Names the edge of no connection that is gone with it. The binding stays: an edge without a lease may be cut off from us alone, with phones
    /// that are well (ADR 13).
    async fn with_living_edges(
        &self,
        shown: Vec<(Option<EdgeLife>, Binding)>,
    ) -> Result<Vec<Binding>, StoreError> {
        let living = match shown.iter().any(|(life, _)| life.is_some()) {
            true => self.living_members().await?,
            false => Vec::new(),
        };
        let of_living = |(life, binding): (Option<EdgeLife>, Binding)| {
            let edge = life.filter(|life| is_living(life, &living));
            Binding { edge_id: edge.map_or_else(String::new, |life| life.edge_id), ..binding }
        };
        Ok(shown.into_iter().map(of_living).collect())
    }

    /// What temporary GRUUs are sealed with.
    pub(crate) async fn gruu_key(&self) -> Result<GruuKey, StoreError> {
        Ok(self.secrets.load().await?.gruu_key.clone())
    }

    async fn add_binding(&self, request: AddBindingRequest) -> Result<Binding, Refusal> {
        let aor = self.served_aor(&request.aor, "aor")?;
        let bad_uri = |expected: &str| Refusal::field(Reason::BadUri, "contact_uri", expected);
        let uri = Uri::parse(request.contact_uri.as_bytes()).map_err(|_| bad_uri("a URI"))?;
        if request.contact_uri.contains(['<', '>', '"', ' ']) {
            return Err(bad_uri("a URI"));
        }
        // REG-19
        if itself::is_itself(&uri, &aor) {
            return Err(bad_uri("a URI other than the address of record, which would lead back here"));
        }
        if itself::is_of_tier(&uri, &self.living_members().await.map_err(of_store)?) {
            return Err(bad_uri("a URI other than an address of an edge, which would lead back here"));
        }
        text(&request.display_name, "display_name")?;
        check_params(&request.params)?;
        if request.q_milli.is_some_and(|q| q > 1_000) {
            return Err(Refusal::field(Reason::BadField, "q_milli", "0 to 1000"));
        }
        let lifetime = match request.expires {
            None => None,
            Some(expires) => match Duration::try_from(expires) {
                Ok(lifetime) if LIFETIME.contains(&lifetime.as_secs()) => Some(lifetime),
                _ => {
                    return Err(Refusal::field(
                        Reason::BadField,
                        "expires",
                        "1 second to 4294967295 seconds",
                    ));
                }
            },
        };
        let may_be_bare = self.domains.of_aor(&aor).is_some_and(|domain| domain.auth == Auth::None);
        let key = self.gruu_key().await.map_err(of_store)?;
        let store = self.aors.store();
        let claimed = self.requests.claim(store, "AddBinding", &request.request_id, &request).await?;
        if let Some(earlier) = claimed.result(store, self.aors.partition_of(&aor)).await? {
            return Ok(earlier);
        }
        self.aors
            .change(&aor, |draft| {
                let account = draft.record.account.as_deref();
                if account.is_none() && !may_be_bare {
                    return Change::Keep(Err(not_found(&aor)));
                }
                let own = account.map(|account| account.max_bindings).filter(|&limit| limit != 0);
                let limit = usize::try_from(own.unwrap_or(self.policy.max_bindings)).unwrap_or(usize::MAX);
                let now_ms = draft.now_ms;
                let twin =
                    draft.record.live(now_ms).find(|known| is_same(&known.uri, &uri)).map(|known| known.id);
                if twin.is_none() && draft.record.live(now_ms).count() >= limit {
                    let message = format!("{aor} has its {limit} bindings");
                    return Change::Keep(Err(Refusal::new(Reason::TooManyBindings, message)));
                }
                let record = &mut *draft.record;
                let id = twin.unwrap_or(record.last_binding_id + 1);
                record.last_binding_id = record.last_binding_id.max(id);
                let lifetime_ms = lifetime.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
                let fixed = BindingRecord {
                    id,
                    uri: request.contact_uri.clone(),
                    display_name: request.display_name.clone(),
                    params: request.params.clone(),
                    q_milli: request.q_milli,
                    expires_ms: lifetime_ms
                        .map_or(NEVER_MS, |time| now_ms.saturating_add(time).min(NEVER_MS - 1)),
                    is_static: true,
                    ..BindingRecord::default()
                };
                let kind = match record.bindings.iter_mut().find(|known| known.id == id) {
                    Some(known) => {
                        let is_shorter = fixed.expires_ms < known.expires_ms;
                        *known = fixed.clone();
                        if is_shorter { Type::Shortened } else { Type::Refreshed }
                    }
                    None => {
                        record.bindings.push(fixed.clone());
                        Type::Registered
                    }
                };
                let shown = show(&aor, &fixed, &key);
                draft.ops.push(note(&aor, kind, &fixed));
                claimed.keep(&shown, &mut draft.ops);
                Change::Commit(Ok(shown))
            })
            .await
            .map_err(of_change)?
    }

    async fn remove_binding(&self, request: RemoveBindingRequest) -> Result<(), Refusal> {
        let aor = self.served_aor(&request.aor, "aor")?;
        let store = self.aors.store();
        let claimed = self.requests.claim(store, "RemoveBinding", &request.request_id, &request).await?;
        let partition = self.aors.partition_of(&aor);
        if claimed.result::<RemoveBindingResponse>(store, partition).await?.is_some() {
            return Ok(());
        }
        self.aors
            .change(&aor, |draft| {
                let is_meant = |binding: &BindingRecord| {
                    request.binding_id.is_empty() || binding.id.to_string() == request.binding_id
                };
                if !draft.record.live(draft.now_ms).any(is_meant) {
                    let message = format!("{aor} has no such binding");
                    return Change::Keep(Err(Refusal::new(Reason::BindingNotFound, message)));
                }
                for gone in draft.record.bindings.extract_if(.., |binding| is_meant(binding)) {
                    draft.ops.push(note(&aor, Type::Deactivated, &gone));
                }
                claimed.keep(&RemoveBindingResponse {}, &mut draft.ops);
                Change::Commit(Ok(()))
            })
            .await
            .map_err(of_change)?
    }
}

/// A binding as the API shows it.
pub(crate) fn show(aor: &str, binding: &BindingRecord, key: &GruuKey) -> Binding {
    let (temp_gruu, temp_gruu_first_cseq) = temporary::latest(aor, binding, key).unwrap_or_default();
    Binding {
        binding_id: binding.id.to_string(),
        aor: aor.to_owned(),
        contact_uri: binding.uri.clone(),
        display_name: binding.display_name.clone(),
        params: binding.params.clone(),
        q_milli: binding.q(),
        expire_time: (binding.expires_ms != NEVER_MS).then(|| timestamp(time(binding.expires_ms))),
        sip_call_id: binding.call_id.clone(),
        cseq: binding.cseq,
        path: binding.path.clone(),
        received: binding.received.clone(),
        // only lists are made with a look at who is there
        edge_id: String::new(),
        user_agent: binding.user_agent.clone(),
        instance: binding.instance().to_owned(),
        reg_id: binding.reg_id,
        pub_gruu: gruu::public(aor, binding).unwrap_or_default(),
        r#static: binding.is_static,
        temp_gruu,
        temp_gruu_first_cseq,
    }
}

fn is_same(known: &str, uri: &Uri<'_>) -> bool {
    Uri::parse(known.as_bytes()).is_ok_and(|known| known.equivalent(uri))
}

/// T19: a parameter stays a parameter.
fn check_params(params: &[String]) -> Result<(), Refusal> {
    let is_clean = |param: &String| {
        let (name, value) = param.split_once('=').unwrap_or((param, "x"));
        let is_quoted = value.len() >= 2
            && value.starts_with('"')
            && value.ends_with('"')
            && !value[1..value.len() - 1].contains(['"', '\\'])
            && !value.chars().any(char::is_control);
        is_token(name.as_bytes()) && (is_token(value.as_bytes()) || is_quoted)
    };
    let is_taken = |param: &&String| {
        let name = param.split('=').next().unwrap_or_default();
        name.eq_ignore_ascii_case("expires") || name.eq_ignore_ascii_case("q")
    };
    match params.iter().position(|param| !is_clean(param) || is_taken(&param)) {
        _ if params.len() > MAX_PARAMS => Err(Refusal::field(Reason::BadField, "params", "at most 50")),
        Some(index) => {
            let expected = "name, name=token or name=\"text\"; not expires or q";
            Err(Refusal::field(Reason::BadField, format!("params[{index}]"), expected))
        }
        None => Ok(()),
    }
}

#[tonic::async_trait]
impl Bindings for Registrar {
    type WatchBindingsStream = Pin<Box<dyn Stream<Item = Result<BindingEvent, Status>> + Send>>;

    async fn list_bindings(
        &self,
        request: Request<ListBindingsRequest>,
    ) -> Result<Response<ListBindingsResponse>, Status> {
        Ok(Response::new(self.shared.list_bindings(request.into_inner()).await?))
    }

    async fn add_binding(&self, request: Request<AddBindingRequest>) -> Result<Response<Binding>, Status> {
        Ok(Response::new(self.shared.add_binding(request.into_inner()).await?))
    }

    async fn remove_binding(
        &self,
        request: Request<RemoveBindingRequest>,
    ) -> Result<Response<RemoveBindingResponse>, Status> {
        self.shared.remove_binding(request.into_inner()).await?;
        Ok(Response::new(RemoveBindingResponse {}))
    }

    async fn watch_bindings(
        &self,
        request: Request<WatchBindingsRequest>,
    ) -> Result<Response<Self::WatchBindingsStream>, Status> {
        let watch = self.shared.clone().watch_bindings(request.into_inner()).await?;
        Ok(Response::new(watch))
    }
}
