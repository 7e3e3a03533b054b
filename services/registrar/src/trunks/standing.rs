//! How trunks stand, beside what they are: their registrations, and how their peers answered. What the owner of the work knows is a
//! record; what every replica routes and shows by is in an index that is read as a whole.

use std::collections::HashMap;

use bytes::Bytes;
use cluster_api::convert::timestamp;
use cluster_api::registrar::v1::{Trunk, TrunkPeerHealth, TrunkRegistrationState, trunk_peer_health::State};
use prost::Message as _;

use super::secret::Secret;
use crate::aors::time;

/// Index of everything here, by the name of the record.
pub(super) const INDEX: &str = "standing";

/// A registration at a trunk: what it takes to keep it up, or to end it when the trunk is gone.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct RegistrationRecord {
    #[prost(string, tag = "1")]
    pub registrar_uri: String,
    #[prost(string, tag = "2")]
    pub aor: String,
    #[prost(string, repeated, tag = "3")]
    pub route: Vec<String>,
    #[prost(message, optional, tag = "4")]
    pub secret: Option<Secret>,
    #[prost(string, tag = "5")]
    pub call_id: String,
    /// The highest number that may have been sent: reserved before anything is.
    #[prost(uint32, tag = "6")]
    pub cseq: u32,
    /// A REGISTER was sent since the last one that certainly removed the contact.
    #[prost(bool, tag = "7")]
    pub is_bound: bool,
    /// The Contact value that the registrar at the peer has; empty when it did not say.
    #[prost(string, tag = "8")]
    pub bound: String,
    #[prost(string, tag = "9")]
    pub edge_id: String,
    #[prost(uint64, tag = "10")]
    pub edge_epoch: u64,
    #[prost(uint32, tag = "11")]
    pub status: u32,
    #[prost(string, tag = "12")]
    pub reason: String,
    #[prost(uint64, tag = "13")]
    pub since_ms: u64,
    /// 0 when nothing is registered.
    #[prost(uint64, tag = "14")]
    pub expires_ms: u64,
    #[prost(uint64, tag = "15")]
    pub next_ms: u64,
    /// To register, in a row.
    #[prost(uint32, tag = "16")]
    pub failures: u32,
    /// Attempts to take leave since it was last wanted.
    #[prost(uint32, tag = "17")]
    pub farewells: u32,
}

/// Shows no secret.
impl std::fmt::Debug for RegistrationRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RegistrationRecord({} at {}, {})", self.aor, self.registrar_uri, self.status)
    }
}

/// What the others know of a registration.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RegistrationView {
    #[prost(message, optional, tag = "1")]
    pub state: Option<TrunkRegistrationState>,
    #[prost(uint64, tag = "2")]
    pub edge_epoch: u64,
}

/// How the peers of a trunk answered.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HealthRecord {
    #[prost(message, repeated, tag = "1")]
    pub peers: Vec<PeerRecord>,
}

/// How one peer answered.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PeerRecord {
    #[prost(string, tag = "1")]
    pub uri: String,
    /// A `trunk_peer_health::State`.
    #[prost(enumeration = "State", tag = "2")]
    pub state: i32,
    #[prost(uint64, tag = "3")]
    pub since_ms: u64,
    /// Of the latest answer; 0 when there was none.
    #[prost(uint32, tag = "4")]
    pub status: u32,
    /// In a row, up to where the peer counts as down.
    #[prost(uint32, tag = "5")]
    pub failures: u32,
}

impl RegistrationRecord {
    /// Whether a registration stands.
    pub(super) fn is_registered(&self, now_ms: u64) -> bool {
        self.expires_ms > now_ms
    }

    pub(super) fn view(&self) -> RegistrationView {
        let at = |ms: u64| (ms > 0).then(|| timestamp(time(ms)));
        let state = TrunkRegistrationState {
            sip_status: self.status,
            sip_reason: self.reason.clone(),
            since: at(self.since_ms),
            expire_time: at(self.expires_ms),
            next_attempt_time: at(self.next_ms),
            edge_id: self.edge_id.clone(),
        };
        RegistrationView { state: Some(state), edge_epoch: self.edge_epoch }
    }
}

/// Name of the record of a registration.
pub(super) fn of_registration(trunk_id: &str) -> String {
    format!("r/{trunk_id}")
}

/// Name of the record of the peers' health.
pub(super) fn of_health(trunk_id: &str) -> String {
    format!("p/{trunk_id}")
}

/// How all trunks stand, by trunk.
#[derive(Debug, Default)]
pub(crate) struct Standings {
    pub(super) registrations: HashMap<String, RegistrationView>,
    pub(super) health: HashMap<String, HealthRecord>,
}

impl Standings {
    /// Reads the index. What cannot be read says nothing.
    pub(super) fn read(entries: &[(String, Bytes)]) -> Self {
        let mut standings = Self::default();
        for (name, value) in entries {
            if let Some(trunk) = name.strip_prefix("r/") {
                let view = RegistrationView::decode(value.clone()).unwrap_or_default();
                standings.registrations.insert(trunk.to_owned(), view);
            } else if let Some(trunk) = name.strip_prefix("p/") {
                let health = HealthRecord::decode(value.clone()).unwrap_or_default();
                standings.health.insert(trunk.to_owned(), health);
            }
        }
        standings
    }

    /// Whether a peer is known not to answer.
    pub(super) fn is_down(&self, trunk_id: &str, uri: &str) -> bool {
        let health = self.health.get(trunk_id);
        let peer = health.and_then(|health| health.peers.iter().find(|peer| peer.uri == uri));
        peer.is_some_and(|peer| peer.state() == State::Down)
    }

    /// Whether the last REGISTER succeeded.
    pub(super) fn is_registered(&self, trunk_id: &str) -> bool {
        let state = self.registrations.get(trunk_id).and_then(|view| view.state.as_ref());
        state.is_some_and(|state| (200..300).contains(&state.sip_status))
    }

    /// A trunk as callers see it.
    pub(super) fn show(&self, trunk: Trunk) -> Trunk {
        let registration = self.registrations.get(&trunk.trunk_id).and_then(|view| view.state.clone());
        let registration = registration.filter(|_| trunk.registration.is_some());
        let status = registration.as_ref().map_or(0, |state| state.sip_status);
        let known = self.health.get(&trunk.trunk_id).map_or(&[][..], |health| &health.peers);
        let health = trunk.peers.iter().map(|peer| {
            let uri = peer.uri.clone();
            match known.iter().find(|known| known.uri == uri) {
                Some(known) => TrunkPeerHealth {
                    uri,
                    state: known.state,
                    since: Some(timestamp(time(known.since_ms))),
                    sip_status: known.status,
                    registration_status: status,
                },
                None => TrunkPeerHealth {
                    uri,
                    state: State::Unknown.into(),
                    registration_status: status,
                    ..TrunkPeerHealth::default()
                },
            }
        });
        Trunk { health: health.collect(), registration_state: registration, ..trunk }
    }
}
