//! Our registrations at trunks (RFC 3261 10.2): one claimed entry of due work is one attempt to register, to refresh, or to take leave.
//!
//! Whoever sends a REGISTER reserves its sequence numbers first, so that whoever comes after a replica that died in the middle counts on
//! from there, and what the dead one sent is older than what follows.

use std::time::{Duration, SystemTime};

use cluster_api::registrar::v1::{Trunk, TrunkRegistration};
use cluster_rpc::RequestsLink;
use prost::Message as _;
use sip_message::Uri;
use store::{Batch, Due, Expect, Op, StoreError};
use tokio::time::timeout;

use super::conversing::{Ask, PATIENCE, SENDS};
use super::draw::Draw;
use super::reply::{MOST_ASKED, granted, pause, refresh_after};
use super::standing::{INDEX, RegistrationRecord, of_registration};
use super::table::Table;
use super::work::{LEASE, forget};
use crate::{
    Shared,
    aors::{millis, time},
};

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
        record.farewells = 0;
        // those after them are for the contact of an edge that is gone
        let first = record.cseq + 1;
        record.cseq += if before.bound.is_empty() { SENDS } else { 2 * SENDS };
        let version = self.reserve(trunk_id, &record, version).await?;
        let user = record.secret.as_ref().map(|secret| secret.contact.clone()).unwrap_or_default();
        let ask = Ask { first, expires, contact: String::new(), user: &user };
        let response = self.exchange_register(requests, &mut record, ask).await;
        self.meters.trunk_registers.with_label_values(&[&response.status.to_string()]).inc();
        let now = self.aors.store().now();
        let draw = self.entropy.below(1_000);
        let (mut status, mut reason) = (response.status, response.reason.clone());
        let found = (200..300).contains(&status).then(|| granted(&response, &user, expires, &before.bound));
        let next = if let Some(found) = found.filter(|found| found.expires > 0) {
            let is_elsewhere = !before.bound.is_empty() && found.contact != before.bound;
            if is_elsewhere && !found.contact.is_empty() {
                self.remove_old(requests, &mut record, &before.bound).await;
            }
            record.bound = found.contact;
            record.failures = 0;
            record.expires_ms = millis(now) + u64::from(found.expires) * 1_000;
            now + refresh_after(found.expires, draw)
        } else {
            if (200..300).contains(&status) {
                tracing::warn!(trunk = trunk_id, status, "the trunk's registrar grants the contact no time");
                (status, reason, record.expires_ms) = (503, String::new(), 0);
            }
            record.failures = record.failures.saturating_add(1);
            now + pause(&response, record.failures, draw)
        };
        (record.status, record.reason) = (status, reason);
        let was = before.status != 0 && before.is_registered(millis(now));
        let is = record.is_registered(millis(now));
        if is != was || before.since_ms == 0 {
            record.since_ms = millis(now);
        }
        record.next_ms = millis(next);
        self.settle(due, Some(next), registration_ops(trunk_id, &record, Expect::Version(version))).await?;
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
        let ended = |record: &RegistrationRecord| RegistrationRecord {
            call_id: record.call_id.clone(),
            cseq: record.cseq,
            ..RegistrationRecord::default()
        };
        let edge = self.edge_for(&record).await?;
        let is_over = record.expires_ms > 0 && !record.is_registered(millis(now));
        // what names no contact can only be ended by the edge that it leads to
        let can = edge.filter(|edge| !record.bound.is_empty() || edge.id == record.edge_id);
        let Some(edge) = can.filter(|_| !is_over) else {
            return self.left(due, trunk_id, &ended(&record), version, now).await;
        };
        record.edge_id = edge.id;
        let first = record.cseq + 1;
        record.cseq += SENDS;
        let version = self.reserve(trunk_id, &record, version).await?;
        let user = record.secret.as_ref().map(|secret| secret.contact.clone()).unwrap_or_default();
        let ask = Ask { first, expires: 0, contact: record.bound.clone(), user: &user };
        let response = self.exchange_register(requests, &mut record, ask).await;
        self.meters.trunk_registers.with_label_values(&[&response.status.to_string()]).inc();
        let now = self.aors.store().now();
        record.farewells = record.farewells.saturating_add(1);
        if (200..300).contains(&response.status) || record.farewells >= FAREWELLS {
            tracing::info!(trunk = trunk_id, status = response.status, "took leave of the trunk's registrar");
            return self.left(due, trunk_id, &ended(&record), version, now).await;
        }
        let next = now + pause(&response, record.farewells, self.entropy.below(1_000));
        record.next_ms = millis(next);
        self.settle(due, Some(next), registration_ops(trunk_id, &record, Expect::Version(version)))
            .await
            .map(drop)
    }

    /// Nothing is registered. The trunk may want another registration, or is gone.
    async fn left(
        &self,
        due: &Due,
        trunk_id: &str,
        ended: &RegistrationRecord,
        version: u64,
        now: SystemTime,
    ) -> Result<(), StoreError> {
        let finding = registration_ops(trunk_id, ended, Expect::Version(version));
        self.settle(due, Some(now), finding).await.map(drop)
    }

    /// Removes the contact of an edge that is gone, once: it ends by itself otherwise. Numbers are reserved for it.
    async fn remove_old(&self, requests: &RequestsLink, record: &mut RegistrationRecord, contact: &str) {
        let ask = Ask { first: record.cseq + 1, expires: 0, contact: contact.to_owned(), user: "" };
        let mut last = record.cseq;
        // no answer changes anything
        let _ = timeout(FAREWELL, self.converse(requests, record, ask, &mut last)).await;
        record.cseq = last;
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
}

/// What stores a registration, and shows it to the others.
pub(super) fn registration_ops(trunk_id: &str, record: &RegistrationRecord, expect: Expect) -> Vec<Op> {
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
