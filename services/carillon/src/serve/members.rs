//! This process among the members of the cluster, once for each of its roles.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use cluster_api::cluster::v1::Member;
use cluster_rpc::membership::View;
use cluster_rpc::{Membership, MembershipLink};
use lifecycle::{Drain, Tasks};
use tokio::sync::watch;

use super::roles::Role;
use super::settings::Settings;

/// What this process says of itself. Clones are the same.
#[derive(Clone)]
pub struct Myself {
    /// Stable name.
    pub id: String,
    /// Boot epoch.
    pub epoch: u64,
    grpc: String,
    sip: Arc<OnceLock<String>>,
    drain: Drain,
}

impl Myself {
    /// A process whose gRPC server is bound at `api`.
    pub fn new(settings: &Settings, api: SocketAddr, epoch: u64, drain: Drain) -> Self {
        let grpc = match settings.cluster_url.is_empty() {
            true => format!("http://{api}"),
            false => settings.cluster_url.clone(),
        };
        Self { id: process_id(settings), epoch, grpc, sip: Arc::default(), drain }
    }

    /// The SIP listener that other edges reach.
    pub fn is_at(&self, sip: SocketAddr) {
        // Bound once per process; a second call would change nothing.
        let _ = self.sip.set(sip.to_string());
    }

    fn member(&self, role: Role) -> Member {
        Member {
            id: self.id.clone(),
            role: role.name().into(),
            epoch: self.epoch,
            grpc: self.grpc.clone(),
            sip: if role == Role::Edge { self.sip.get().cloned().unwrap_or_default() } else { String::new() },
            draining: self.drain.is_draining(),
            load: 0,
        }
    }
}

/// The name in the settings, or the host name (the pod name on Kubernetes).
pub fn process_id(settings: &Settings) -> String {
    if !settings.id.is_empty() {
        return settings.id.clone();
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    if host.is_empty() { "carillon".into() } else { host.into() }
}

/// The memberships of a process.
pub struct Joined(Vec<(Role, Membership)>);

impl Joined {
    /// Joins in every role.
    ///
    /// # Errors
    /// When the set of tasks is full.
    pub fn all(
        roles: &BTreeSet<Role>,
        link: &MembershipLink,
        tasks: &Tasks,
        myself: &Myself,
    ) -> anyhow::Result<Self> {
        let mut joined: Vec<(Role, Membership)> = Vec::new();
        for role in roles.iter().copied() {
            let myself = myself.clone();
            let member = move || myself.member(role);
            let membership = match joined.first() {
                None => Membership::join(link.clone(), tasks, member)?,
                Some((_, first)) => first.join_also(tasks, member)?,
            };
            joined.push((role, membership));
        }
        Ok(Self(joined))
    }

    /// Who is alive, as seen by one role.
    ///
    /// # Errors
    /// When the process does not run the role.
    pub fn view(&self, role: Role) -> anyhow::Result<watch::Receiver<View>> {
        let found = self.0.iter().find(|(r, _)| *r == role);
        Ok(found.with_context(|| format!("this process does not run {role}"))?.1.watch())
    }

    /// Returns once every role has its first lease: then the registrar and the store behind it answer.
    pub async fn everywhere(&self) {
        for (_, membership) in &self.0 {
            membership.joined().await;
        }
    }

    /// Tells the others at once that this process drains.
    pub fn renew_now(&self) {
        self.0.iter().for_each(|(_, m)| m.renew_now());
    }

    /// Gives every lease up: the last thing of a drain.
    pub async fn leave(&self) {
        for (role, membership) in &self.0 {
            if let Err(e) = membership.leave().await {
                tracing::info!("the lease of {role} ends by itself: {}", e.message());
            }
        }
    }
}
