//! Trunks: peers and gateways that calls go out to and come in from.
//!
//! **Here:** the Trunks API ([`fields`] says what a trunk may be), the record of all of them ([`stored`]), the table that routing asks
//! ([`table`]), what is a telephone number ([`number`]), what leads to a gateway ([`gateway`]), and the order among equals ([`draw`]); what is done for them by time ([`work`]):
//! our registrations there ([`registering`], [`conversing`], [`reply`], [`moving`]) and OPTIONS to their peers ([`probe`]), and how both
//! stand ([`standing`]); what their challenges are answered with ([`secret`], [`challenge`]); and what they change in routing ([`routed`]).
//! How many calls a trunk carries is counted in `call_slots`.

mod challenge;
mod conversing;
mod draw;
mod fields;
mod gateway;
mod moving;
mod nonces;
mod number;
mod probe;
mod registering;
mod reply;
mod routed;
mod secret;
mod standing;
mod stored;
mod table;
mod work;

use cluster_api::convert::timestamp;
use cluster_api::registrar::v1::{
    CreateTrunkRequest, DeleteTrunkRequest, DeleteTrunkResponse, GetTrunkRequest, ListTrunksRequest,
    ListTrunksResponse, Trunk, TrunkPeer, UpdateTrunkRequest, trunks_server::Trunks as TrunksApi,
};
use cluster_rpc::{Reason, Refusal};
use tonic::{Request, Response, Status};

use crate::{
    Registrar, Shared,
    listing::page_size,
    refusal::{of_change, of_store},
};

pub(crate) use gateway::at_addresses;
pub(crate) use number::{Number, is_number, is_prefix, is_unsound, judged, number_of};
pub(crate) use routed::{by_number, by_trunk, is_probe};
pub(crate) use stored::{Draft, Trunks};
pub(crate) use table::Table;

use secret::Secret;
use standing::Standings;

/// Every replica has all of them in memory.
const MOST_TRUNKS: usize = 500;
/// What the token of a page begins with; the last trunk of the page before follows. No name has a colon.
const AFTER: &str = "after:";

impl Shared {
    async fn create_trunk(&self, request: CreateTrunkRequest) -> Result<Trunk, Refusal> {
        let given = request.trunk.clone().unwrap_or_default();
        let trunk_id = fields::name(&given.trunk_id, "trunk.trunk_id")?;
        let fresh = Trunk { trunk_id, ..Trunk::default() };
        let fresh = fields::with_fields(self, fresh, &given, |_| true)?;
        self.refuse_ourselves(&fresh.peers).await?;
        let (store, partition) = (self.aors.store(), self.trunks.partition());
        let claimed = self.requests.claim(store, "CreateTrunk", &request.request_id, &request).await?;
        if let Some(earlier) = claimed.result(store, partition).await? {
            return Ok(earlier);
        }
        let now = timestamp(store.now());
        let (at, token) = (store.now(), self.contact_user());
        let change = |Draft { trunks, secrets, revision, ops }: Draft<'_>| {
            if trunks.iter().any(|known| known.trunk_id == fresh.trunk_id) {
                let message = format!("there is a trunk {}", fresh.trunk_id);
                return Err(Refusal::new(Reason::TrunkExists, message));
            }
            if trunks.len() >= MOST_TRUNKS {
                let expected = format!("at most {MOST_TRUNKS} trunks in all");
                return Err(Refusal::field(Reason::BadField, "trunk", expected));
            }
            let (create_time, update_time) = (Some(now), Some(now));
            let mut made = Trunk { create_time, update_time, etag: revision.to_string(), ..fresh.clone() };
            let mut secret = Secret { contact: token.clone(), ..Secret::default() };
            secret.seal(&mut made)?;
            secrets.push(secret);
            trunks.push(made.clone());
            work::plan(None, Some(&made), at, ops);
            let shown = Standings::default().show(made);
            claimed.keep(&shown, ops);
            Ok(shown)
        };
        self.trunks.change(change).await.map_err(of_change)?
    }

    async fn update_trunk(&self, request: UpdateTrunkRequest) -> Result<Trunk, Refusal> {
        let given = request.trunk.clone().unwrap_or_default();
        let mask = request.update_mask.as_ref().map(|mask| mask.paths.clone());
        let is_known = |path: &str| fields::FIELDS.contains(&path) || path == "trunk_id";
        if let Some(unknown) = mask.iter().flatten().find(|path| !is_known(path)) {
            let expected = format!("{unknown:?} is none of {}", fields::FIELDS.join(", "));
            return Err(Refusal::field(Reason::BadField, "update_mask", expected));
        }
        let is_named = |field: &str| match &mask {
            Some(paths) => paths.iter().any(|path| path == field),
            None => fields::is_set(&given, field),
        };
        // refused before anything is claimed
        let changed = fields::with_fields(self, Trunk::default(), &given, is_named)?;
        self.refuse_ourselves(&changed.peers).await?;
        let (store, partition) = (self.aors.store(), self.trunks.partition());
        let claimed = self.requests.claim(store, "UpdateTrunk", &request.request_id, &request).await?;
        if let Some(earlier) = claimed.result(store, partition).await? {
            return Ok(earlier);
        }
        let now = timestamp(store.now());
        let standings = self.trunks.all().await.map_err(of_store)?.1;
        let (at, token) = (store.now(), self.contact_user());
        let change = |Draft { trunks, secrets, revision, ops }: Draft<'_>| {
            let known = trunks.iter_mut().find(|known| known.trunk_id == given.trunk_id);
            let known = known.ok_or_else(|| not_found(&given.trunk_id))?;
            if !given.etag.is_empty() && given.etag != known.etag {
                let message = format!("the trunk is at {}, not at {:?}", known.etag, given.etag);
                return Err(Refusal::new(Reason::EtagMismatch, message));
            }
            let changed = fields::with_fields(self, known.clone(), &given, is_named)?;
            let mut changed = Trunk { update_time: Some(now), etag: revision.to_string(), ..changed };
            let place = match secrets.iter().position(|secret| secret.trunk_id == given.trunk_id) {
                Some(place) => place,
                None => {
                    secrets.push(Secret { contact: token.clone(), ..Secret::default() });
                    secrets.len() - 1
                }
            };
            secrets[place].seal(&mut changed)?;
            work::plan(Some(known), Some(&changed), at, ops);
            *known = changed;
            let shown = standings.show(known.clone());
            claimed.keep(&shown, ops);
            Ok(shown)
        };
        self.trunks.change(change).await.map_err(of_change)?
    }

    async fn get_trunk(&self, request: GetTrunkRequest) -> Result<Trunk, Refusal> {
        let (trunks, standings) = self.trunks.all().await.map_err(of_store)?;
        let found = trunks.into_iter().find(|known| known.trunk_id == request.trunk_id);
        found.map(|trunk| standings.show(trunk)).ok_or_else(|| not_found(&request.trunk_id))
    }

    /// The token is the name of the last trunk that was shown.
    async fn list_trunks(&self, request: ListTrunksRequest) -> Result<ListTrunksResponse, Refusal> {
        let size = page_size(request.page_size)?;
        let after = match request.page_token.as_str() {
            "" => "",
            token => token.strip_prefix(AFTER).filter(|after| fields::name(after, "").is_ok()).ok_or_else(
                || Refusal::field(Reason::BadPageToken, "page_token", "next_page_token of the page before"),
            )?,
        };
        let domain = request.filter.unwrap_or_default().domain.to_ascii_lowercase();
        let (all, standings) = self.trunks.all().await.map_err(of_store)?;
        let is_wanted = |trunk: &Trunk| {
            &*trunk.trunk_id > after && (domain.is_empty() || trunk.domains.contains(&domain))
        };
        let mut trunks: Vec<Trunk> =
            all.into_iter().filter(is_wanted).map(|trunk| standings.show(trunk)).collect();
        let has_more = trunks.len() > size;
        trunks.truncate(size);
        let last = trunks.last().filter(|_| has_more).map(|trunk| [AFTER, &trunk.trunk_id].concat());
        Ok(ListTrunksResponse { trunks, next_page_token: last.unwrap_or_default() })
    }

    async fn delete_trunk(&self, request: DeleteTrunkRequest) -> Result<DeleteTrunkResponse, Refusal> {
        let (store, partition) = (self.aors.store(), self.trunks.partition());
        let claimed = self.requests.claim(store, "DeleteTrunk", &request.request_id, &request).await?;
        if let Some(earlier) = claimed.result(store, partition).await? {
            return Ok(earlier);
        }
        let now = store.now();
        let change = |Draft { trunks, secrets, ops, .. }: Draft<'_>| {
            let at = trunks.iter().position(|known| known.trunk_id == request.trunk_id);
            let gone = trunks.remove(at.ok_or_else(|| not_found(&request.trunk_id))?);
            secrets.retain(|secret| secret.trunk_id != gone.trunk_id);
            work::plan(Some(&gone), None, now, ops);
            claimed.keep(&DeleteTrunkResponse {}, ops);
            Ok(DeleteTrunkResponse {})
        };
        self.trunks.change(change).await.map_err(of_change)?
    }

    async fn refuse_ourselves(&self, peers: &[TrunkPeer]) -> Result<(), Refusal> {
        let members = self.living_members().await.map_err(of_store)?;
        fields::not_ourselves(peers, members.iter().flat_map(|edge| [&*edge.sip, &*edge.sip_tls]))
    }

    /// A name for the contact that is registered at a trunk: nobody guesses it, so that calls to it come from there.
    fn contact_user(&self) -> String {
        format!("trunk-{}", self.entropy.token(12))
    }
}

fn not_found(trunk_id: &str) -> Refusal {
    Refusal::new(Reason::TrunkNotFound, format!("there is no trunk {trunk_id:?}"))
}

#[tonic::async_trait]
impl TrunksApi for Registrar {
    async fn create_trunk(&self, request: Request<CreateTrunkRequest>) -> Result<Response<Trunk>, Status> {
        Ok(Response::new(self.shared.create_trunk(request.into_inner()).await?))
    }

    async fn get_trunk(&self, request: Request<GetTrunkRequest>) -> Result<Response<Trunk>, Status> {
        Ok(Response::new(self.shared.get_trunk(request.into_inner()).await?))
    }

    async fn list_trunks(
        &self,
        request: Request<ListTrunksRequest>,
    ) -> Result<Response<ListTrunksResponse>, Status> {
        Ok(Response::new(self.shared.list_trunks(request.into_inner()).await?))
    }

    async fn update_trunk(&self, request: Request<UpdateTrunkRequest>) -> Result<Response<Trunk>, Status> {
        Ok(Response::new(self.shared.update_trunk(request.into_inner()).await?))
    }

    async fn delete_trunk(
        &self,
        request: Request<DeleteTrunkRequest>,
    ) -> Result<Response<DeleteTrunkResponse>, Status> {
        Ok(Response::new(self.shared.delete_trunk(request.into_inner()).await?))
    }
}
