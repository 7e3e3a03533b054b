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
    /// Empty until the edge is bound.
    sip: watch::Sender<String>,
    /// Where it has one, set before that.
    sip_tls: Arc<OnceLock<SocketAddr>>,
    drain: Drain,
}

impl Myself {
    /// A process whose gRPC server is bound at `api`.
    pub fn new(settings: &Settings, api: SocketAddr, epoch: u64, drain: Drain) -> Self {
        let grpc = match settings.cluster_url.is_empty() {
            true => format!("http://{api}"),
            false => settings.cluster_url.clone(),
        };
        let (sip, sip_tls) = Default::default();
        Self { id: process_id(settings), epoch, grpc, sip, sip_tls, drain }
    }

    /// The SIP listeners that other edges reach, in clear and by TLS.
    pub fn is_at(&self, sip: SocketAddr, sip_tls: Option<SocketAddr>) {
        if let Some(at) = sip_tls {
            self.sip_tls.get_or_init(|| at);
        }
        self.sip.send_replace(sip.to_string());
    }

    /// Returns once all is known that others need to reach this process in a role.
    fn known(&self, role: Role) -> impl Future<Output = ()> + Send + 'static {
        let mut sip = self.sip.subscribe();
        async move {
            // Without a sender the process is on its way out, and nobody will be told anything.
            let is_known = |sip: &String| role != Role::Edge || !sip.is_empty();
            if sip.wait_for(is_known).await.is_err() {
                std::future::pending().await
            }
        }
    }

    fn member(&self, role: Role) -> Member {
        Member {
            id: self.id.clone(),
            role: role.name().into(),
            epoch: self.epoch,
            grpc: self.grpc.clone(),
            sip: if role == Role::Edge { self.sip.borrow().clone() } else { String::new() },
            draining: self.drain.is_draining(),
            load: 0,
            sip_tls: match self.sip_tls.get() {
                Some(at) if role == Role::Edge => at.to_string(),
                Some(_) | None => String::new(),
            },
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
            let (known, myself) = (myself.known(role), myself.clone());
            let member = move || myself.member(role);
            let membership = match joined.first() {
                None => Membership::join_when(link.clone(), tasks, known, member)?,
                Some((_, first)) => first.join_also(tasks, known, member)?,
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
        Ok(self.membership(role)?.watch())
    }

    /// The membership in one role.
    ///
    /// # Errors
    /// When the process does not run the role.
    pub fn membership(&self, role: Role) -> anyhow::Result<&Membership> {
        let found = self.0.iter().find(|(r, _)| *r == role);
        Ok(&found.with_context(|| format!("this process does not run {role}"))?.1)
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

#[cfg(test)]
mod tests {
    use cluster_api::cluster::v1::membership_server::Membership as MembershipRpc;
    use cluster_api::cluster::v1::{LeaseRequest, LeaseResponse, LeaveRequest, LeaveResponse};
    use tokio::sync::mpsc;
    use tonic::{Request, Response, Status};

    use super::*;

    /// A registrar that tells who asked for a lease.
    struct Told(mpsc::UnboundedSender<Member>);

    #[tonic::async_trait]
    impl MembershipRpc for Told {
        async fn lease(&self, request: Request<LeaseRequest>) -> Result<Response<LeaseResponse>, Status> {
            let _ = self.0.send(request.into_inner().member.unwrap_or_default());
            Ok(Response::new(LeaseResponse { flow_key: vec![1; 32].into(), ..LeaseResponse::default() }))
        }

        async fn leave(&self, _: Request<LeaveRequest>) -> Result<Response<LeaveResponse>, Status> {
            Ok(Response::new(LeaveResponse::default()))
        }
    }

    #[tokio::test]
    async fn the_first_lease_of_an_edge_has_its_sip_address_and_the_others_do_not_wait_for_it() {
        let (told, mut asked) = mpsc::unbounded_channel();
        let link = MembershipLink::Local(Arc::new(Told(told)));
        let api = SocketAddr::from(([127, 0, 0, 1], 50051));
        let myself = Myself::new(&Settings::default(), api, 1, Drain::new());
        let roles = BTreeSet::from([Role::Edge, Role::Registrar]);
        let tasks = Tasks::new("test", 10);
        let joined = Joined::all(&roles, &link, &tasks, &myself).unwrap();
        assert_eq!(asked.recv().await.unwrap().role, "registrar");
        myself.is_at("192.0.2.1:5060".parse().unwrap(), "192.0.2.1:5063".parse().ok());
        joined.everywhere().await;
        let mut edges = std::iter::from_fn(|| asked.try_recv().ok()).filter(|member| member.role == "edge");
        let edge = edges.next().unwrap();
        assert_eq!((&*edge.sip, &*edge.sip_tls), ("192.0.2.1:5060", "192.0.2.1:5063"));
    }
}
