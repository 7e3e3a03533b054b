//! Our registrations at trunks (RFC 3261 10.2): one claimed entry of due work is one attempt to register, to refresh, or to take leave.
//!
//! Whoever sends a REGISTER reserves its sequence numbers first, so that whoever comes after a replica that died in the middle counts on
//! from there, and what the dead one sent is older than what follows.

use std::time::Duration;

use cluster_api::cluster::v1::Member;
use cluster_api::edge::v1::{ExchangeRequest, ExchangeResponse, SendRequest};
use cluster_api::registrar::v1::{Trunk, TrunkRegistration};
use cluster_api::sip::v1::Header;
use cluster_rpc::{EDGE_ROLE, RequestsLink};
use prost::Message as _;
use sip_message::Uri;
use store::{Batch, Due, Expect, Op, StoreError};
use tokio::time::timeout;

use super::draw::Draw;
use super::reply::{MOST_ASKED, granted, longer, pause, refresh_after};
use super::secret::Challenged;
use super::standing::{INDEX, RegistrationRecord, of_registration};
use super::table::Table;
use super::work::{LEASE, QUEUE, forget};
use crate::{
    Shared,
    aors::{millis, time},
    membership::living,
};

/// Messages of one attempt at most: three for the asked time, and three for the time that a 423 asks for.
const SENDS: u32 = 6;
/// All of one attempt: less than the lease, with time to commit.
const PATIENCE: Duration = Duration::from_secs(36);
/// For the contact of an edge that is gone.
const FAREWELL: Duration = Duration::from_secs(5);
const _: () = assert!(PATIENCE.as_secs() + FAREWELL.as_secs() < LEASE.as_secs());
/// Attempts to take leave of a trunk; after them its registration ends by itself.
const FAREWELLS: u32 = 3;
/// Until the next look for an edge, when there is none.
const NO_EDGE: Duration = Duration::from_secs(2);
/// Asked registration time where the trunk does not say.
const DEFAULT_EXPIRES: u32 = 3_600;

impl Shared {
    /// Does what is due for the registration at a trunk.
    pub(super) async fn keep_registration(
        &self,
        requests: &RequestsLink,
        due: &Due,
        trunk_id: &str,
    ) -> Result<(), StoreError> {
        let table = self.trunks.refresh().await?;
        let key = self.trunks.partition().key(of_registration(trunk_id));
        let found = self.aors.store().get(&key).await?;
        let (known, version) = match &found {
            Some(found) => {
                (RegistrationRecord::decode(found.value.clone()).unwrap_or_default(), found.version)
            }
            None => (RegistrationRecord::default(), 0),
        };
        let wanted = table.trunk(trunk_id).and_then(|trunk| {
            let registration = trunk.registration.as_ref()?;
            Some((registration, self.as_wanted(&table, trunk, registration, &known)))
        });
        let is_other = |wanted: &RegistrationRecord| {
            (&wanted.registrar_uri, &wanted.aor) != (&known.registrar_uri, &known.aor)
        };
        match wanted {
            Some((_, wanted)) if known.is_bound && is_other(&wanted) => {
                self.take_leave(requests, due, trunk_id, known, version).await
            }
            Some((registration, wanted)) => {
                let expires = registration.expires.map_or(DEFAULT_EXPIRES, |expires| {
                    u32::try_from(expires.seconds).unwrap_or(DEFAULT_EXPIRES).min(MOST_ASKED)
                });
                self.register_at(requests, due, (trunk_id, expires), &known, wanted, version).await
            }
            None if known.is_bound => self.take_leave(requests, due, trunk_id, known, version).await,
            None => self.settle(due, None, forget(of_registration(trunk_id))).await.map(drop),
        }
    }

    /// The record of the registration as it should be.
    fn as_wanted(
        &self,
        table: &Table,
        trunk: &Trunk,
        registration: &TrunkRegistration,
        known: &RegistrationRecord,
    ) -> RegistrationRecord {
        let host = Uri::parse(registration.registrar_uri.as_bytes()).map(|uri| uri.host.to_ascii_lowercase());
        let is_theirs = host.is_ok_and(|host| trunk.domains.contains(&host));
        let peers = table.peers(trunk, &mut Draw::of_call(&trunk.trunk_id));
        // each attempt goes to the next one, those that answer before the others
        let (up, down): (Vec<_>, Vec<_>) = peers.into_iter().partition(|peer| !peer.is_down);
        let order: Vec<_> = up.into_iter().chain(down).collect();
        let turn = known.failures as usize % order.len().max(1);
        let route = order.get(turn).filter(|_| is_theirs).map(|peer| format!("<{};lr>", peer.uri));
        let call_id = match known.call_id.as_str() {
            "" => format!("trunk-{}", self.entropy.token(16)),
            call_id => call_id.to_owned(),
        };
        RegistrationRecord {
            registrar_uri: registration.registrar_uri.clone(),
            aor: registration.aor.clone(),
            route: route.into_iter().collect(),
            secret: table.secret(&trunk.trunk_id).cloned(),
            call_id,
            ..known.clone()
        }
    }

    async fn register_at(
        &self,
        requests: &RequestsLink,
        due: &Due,
        (trunk_id, expires): (&str, u32),
        before: &RegistrationRecord,
        wanted: RegistrationRecord,
        version: u64,
    ) -> Result<(), StoreError> {
        let Some(edge) = self.edge_for(&wanted).await? else {
            return self.settle(due, Some(self.aors.store().now() + NO_EDGE), Vec::new()).await.map(drop);
        };
        let mut record = wanted;
        record.is_bound = true;
        (record.edge_id, record.edge_epoch) = (edge.id, edge.epoch);
        let first = record.cseq + 1;
        record.cseq += SENDS;
        let version = self.reserve(trunk_id, &record, version).await?;
        let user = record.secret.as_ref().map(|secret| secret.contact.clone()).unwrap_or_default();
        let ask = Ask { first, expires, contact: String::new(), user: &user };
        let response = self.exchange_register(requests, &record, ask).await;
        self.meters.trunk_registers.with_label_values(&[&response.status.to_string()]).inc();
        let now = self.aors.store().now();
        let draw = self.entropy.below(1_000);
        let next = if (200..300).contains(&response.status) {
            let found = granted(&response, &user, expires, &before.bound);
            let is_elsewhere = !before.bound.is_empty() && found.contact != before.bound;
            if is_elsewhere && !found.contact.is_empty() {
                self.remove_old(requests, &record, &before.bound).await;
                record.cseq += SENDS;
            }
            record.bound = found.contact;
            record.failures = 0;
            record.expires_ms = millis(now) + u64::from(found.expires) * 1_000;
            now + refresh_after(found.expires, draw)
        } else {
            record.failures = record.failures.saturating_add(1);
            now + pause(&response, record.failures, draw)
        };
        (record.status, record.reason) = (response.status, response.reason);
        let was = before.status != 0 && before.is_registered(millis(now));
        let is = record.is_registered(millis(now));
        if is != was || before.since_ms == 0 {
            record.since_ms = millis(now);
        }
        record.next_ms = millis(next);
        self.settle(due, Some(next), kept(trunk_id, &record, Expect::Version(version))).await?;
        tell(trunk_id, before, &record);
        Ok(())
    }

    /// Ends a registration that nobody wants any more, and forgets it when that is done or in vain.
    async fn take_leave(
        &self,
        requests: &RequestsLink,
        due: &Due,
        trunk_id: &str,
        mut record: RegistrationRecord,
        version: u64,
    ) -> Result<(), StoreError> {
        let now = self.aors.store().now();
        let ended = RegistrationRecord {
            call_id: record.call_id.clone(),
            cseq: record.cseq + SENDS,
            ..RegistrationRecord::default()
        };
        let edge = self.edge_for(&record).await?;
        let is_over = record.expires_ms > 0 && !record.is_registered(millis(now));
        // what names no contact can only be ended by the edge that it leads to
        let can = edge.filter(|edge| !record.bound.is_empty() || edge.id == record.edge_id);
        let Some(edge) = can.filter(|_| !is_over) else {
            return self.left(due, trunk_id, &ended, version, now).await;
        };
        record.edge_id = edge.id;
        let first = record.cseq + 1;
        record.cseq += SENDS;
        let version = self.reserve(trunk_id, &record, version).await?;
        let user = record.secret.as_ref().map(|secret| secret.contact.clone()).unwrap_or_default();
        let ask = Ask { first, expires: 0, contact: record.bound.clone(), user: &user };
        let response = self.exchange_register(requests, &record, ask).await;
        self.meters.trunk_registers.with_label_values(&[&response.status.to_string()]).inc();
        let now = self.aors.store().now();
        record.failures = record.failures.saturating_add(1);
        if (200..300).contains(&response.status) || record.failures >= FAREWELLS {
            tracing::info!(trunk = trunk_id, status = response.status, "took leave of the trunk's registrar");
            return self.left(due, trunk_id, &ended, version, now).await;
        }
        let next = now + pause(&response, record.failures, self.entropy.below(1_000));
        record.next_ms = millis(next);
        self.settle(due, Some(next), kept(trunk_id, &record, Expect::Version(version))).await.map(drop)
    }

    /// Nothing is registered. The trunk may want another registration, or is gone.
    async fn left(
        &self,
        due: &Due,
        trunk_id: &str,
        ended: &RegistrationRecord,
        version: u64,
        now: std::time::SystemTime,
    ) -> Result<(), StoreError> {
        let finding = kept(trunk_id, ended, Expect::Version(version));
        self.settle(due, Some(now), finding).await.map(drop)
    }

    /// Removes the contact of an edge that is gone, once: it ends by itself otherwise.
    async fn remove_old(&self, requests: &RequestsLink, record: &RegistrationRecord, contact: &str) {
        let ask = Ask { first: record.cseq + 1, expires: 0, contact: contact.to_owned(), user: "" };
        // no answer changes anything
        let _ = timeout(FAREWELL, self.converse(requests, record, ask)).await;
    }

    async fn reserve(
        &self,
        trunk_id: &str,
        record: &RegistrationRecord,
        version: u64,
    ) -> Result<u64, StoreError> {
        let expect = if version == 0 { Expect::Absent } else { Expect::Version(version) };
        let mut batch = Batch::new(self.trunks.partition());
        batch.put(of_registration(trunk_id), record.encode_to_vec(), expect);
        self.aors.store().commit(batch).await.map(|outcome| outcome.version)
    }

    /// The edge that the contact leads to while it lives and stays, else another one.
    async fn edge_for(&self, record: &RegistrationRecord) -> Result<Option<Member>, StoreError> {
        let members = living(self.aors.store(), &self.members).await?;
        let mut open: Vec<Member> =
            members.into_iter().filter(|member| member.role == EDGE_ROLE && !member.draining).collect();
        let same = open.iter().position(|edge| edge.id == record.edge_id);
        let at = same.or_else(|| {
            let count = u64::try_from(open.len()).unwrap_or(0);
            (count > 0).then(|| usize::try_from(self.entropy.below(count)).unwrap_or(0))
        });
        Ok(at.map(|at| open.swap_remove(at)))
    }

    /// Sends REGISTERs until there is an answer to keep.
    async fn exchange_register(
        &self,
        requests: &RequestsLink,
        record: &RegistrationRecord,
        ask: Ask<'_>,
    ) -> ExchangeResponse {
        let local = |status| ExchangeResponse { status, local: true, ..ExchangeResponse::default() };
        timeout(PATIENCE, self.converse(requests, record, ask)).await.unwrap_or_else(|_| local(408))
    }

    async fn converse(
        &self,
        requests: &RequestsLink,
        record: &RegistrationRecord,
        ask: Ask<'_>,
    ) -> ExchangeResponse {
        let (mut expires, mut answers, mut header) = (ask.expires, 0, None);
        let mut last = ExchangeResponse { status: 503, local: true, ..ExchangeResponse::default() };
        for cseq in ask.first..ask.first + SENDS {
            let request = register(record, &ask, cseq, expires, header.take(), self.entropy.token(6));
            last = match requests.exchange(Some(&record.edge_id), request).await {
                Ok(response) => response,
                Err(status) => {
                    tracing::debug!(%status, edge = record.edge_id, "the edge has no answer to a REGISTER");
                    let is_silence = status.code() == tonic::Code::DeadlineExceeded;
                    let status = if is_silence { 408 } else { 503 };
                    return ExchangeResponse { status, local: true, ..ExchangeResponse::default() };
                }
            };
            if let (401 | 407, false, Some(secret)) = (last.status, last.local, &record.secret) {
                let request = Challenged {
                    method: "REGISTER",
                    request_uri: &record.registrar_uri,
                    body: b"",
                    again: answers > 0,
                };
                let given = secret.answer(&last.challenges, request, &self.entropy.token(8));
                answers += 1;
                let name = if last.status == 401 { "Authorization" } else { "Proxy-Authorization" };
                match given.into_iter().next().filter(|_| answers <= 2) {
                    Some(value) => header = Some(Header { name: name.to_owned(), value }),
                    None => return last,
                }
            } else if let Some(least) =
                longer(&last, expires).filter(|_| expires == ask.expires && expires > 0)
            {
                (expires, answers) = (least, 0);
            } else {
                return last;
            }
        }
        last
    }

    /// Registrations whose contact leads to an edge that is gone, or about to go, are made anew through another one at once.
    pub(super) async fn move_from_lost_edges(&self) -> Result<(), StoreError> {
        let table = self.trunks.table().await?;
        if table.standings.registrations.is_empty() {
            return Ok(());
        }
        let members = living(self.aors.store(), &self.members).await?;
        let stays = |id: &str, epoch: u64| {
            let edge = |member: &&Member| member.role == EDGE_ROLE && member.id == id;
            members.iter().find(edge).is_some_and(|edge| edge.epoch == epoch && !edge.draining)
        };
        if !members.iter().any(|member| member.role == EDGE_ROLE && !member.draining) {
            return Ok(());
        }
        for (trunk_id, view) in &table.standings.registrations {
            let edge_id = view.state.as_ref().map_or("", |state| &state.edge_id);
            if !edge_id.is_empty() && !stays(edge_id, view.edge_epoch) {
                self.hurry(trunk_id, edge_id, view.edge_epoch).await?;
            }
        }
        Ok(())
    }

    /// Makes the refresh due, by whoever comes first and once.
    async fn hurry(&self, trunk_id: &str, edge_id: &str, epoch: u64) -> Result<(), StoreError> {
        let (store, name) = (self.aors.store(), of_registration(trunk_id));
        let Some(found) = store.get(&self.trunks.partition().key(&name)).await? else { return Ok(()) };
        let mut record = RegistrationRecord::decode(found.value).unwrap_or_default();
        if (record.edge_id.as_str(), record.edge_epoch) != (edge_id, epoch) {
            return Ok(());
        }
        (record.edge_id, record.edge_epoch) = (String::new(), 0);
        let mut batch = Batch::new(self.trunks.partition());
        batch.ops = kept(trunk_id, &record, Expect::Version(found.version));
        batch.due_add(QUEUE, name, store.now(), "");
        match store.commit(batch).await {
            Ok(_) => {
                tracing::info!(trunk = trunk_id, edge = edge_id, "a registration moves to another edge");
                Ok(())
            }
            Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// One attempt.
struct Ask<'a> {
    /// The first sequence number that is reserved for it.
    first: u32,
    /// 0 to take leave.
    expires: u32,
    /// A whole Contact value, where it is known.
    contact: String,
    /// User part of the contact otherwise.
    user: &'a str,
}

fn register(
    record: &RegistrationRecord,
    ask: &Ask<'_>,
    cseq: u32,
    expires: u32,
    credentials: Option<Header>,
    tag: String,
) -> ExchangeRequest {
    let mut headers = vec![Header { name: "Expires".to_owned(), value: expires.to_string() }];
    headers.extend(credentials);
    let request = SendRequest {
        method: "REGISTER".to_owned(),
        request_uri: record.registrar_uri.clone(),
        route: record.route.clone(),
        from_uri: record.aor.clone(),
        from_tag: tag,
        to_uri: record.aor.clone(),
        sip_call_id: record.call_id.clone(),
        cseq,
        headers,
        contact_user: ask.user.to_owned(),
        contact: ask.contact.clone(),
        ..SendRequest::default()
    };
    ExchangeRequest { exchange_id: format!("{}-{cseq}", record.call_id), request: Some(request) }
}

fn kept(trunk_id: &str, record: &RegistrationRecord, expect: Expect) -> Vec<Op> {
    let (name, value) = (of_registration(trunk_id), bytes::Bytes::from(record.encode_to_vec()));
    let view = bytes::Bytes::from(record.view().encode_to_vec());
    vec![
        Op::Put { name: name.clone(), value, expect, ttl: None },
        Op::IndexAdd { index: INDEX.to_owned(), member: name, value: view },
    ]
}

/// Once for each change.
fn tell(trunk: &str, before: &RegistrationRecord, after: &RegistrationRecord) {
    let is_good = |record: &RegistrationRecord| (200..300).contains(&record.status);
    match (is_good(before), is_good(after)) {
        (false, true) => tracing::info!(trunk, edge = after.edge_id, "registered at the trunk"),
        (_, false) if before.status != after.status => tracing::warn!(
            trunk,
            status = after.status,
            until = ?(after.expires_ms > 0).then(|| time(after.expires_ms)),
            "the registration at the trunk was not renewed; it is tried again"
        ),
        (true, true) | (false | true, false) => {}
    }
}
