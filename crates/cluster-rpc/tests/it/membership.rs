//! Leases: renewed, kept through an outage of the registrars, given up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cluster_api::cluster::v1::{
    LeaseRequest, LeaseResponse, LeaveRequest, LeaveResponse, Member,
    membership_server::Membership as MembershipService,
};
use cluster_rpc::{Membership, MembershipLink};
use lifecycle::Tasks;
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::{Request, Response, Status, async_trait};

const TTL: Duration = Duration::from_secs(3);

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_every_third_of_its_time() {
    let registrar = Arc::new(Registrar::default());
    let membership = join(&registrar);
    membership.joined().await;
    let before = registrar.leases.lock().len();
    tokio::time::sleep(TTL + TTL / 6).await;
    assert_eq!(registrar.leases.lock().len() - before, 3);
    assert_eq!(membership.view().members.len(), 2);
    assert_eq!(&membership.view().flow_key[..], b"key");
}

/// A silent registrar is no reason to declare anybody dead.
#[tokio::test(start_paused = true)]
async fn an_outage_of_the_registrars_keeps_everybody_alive() {
    let registrar = Arc::new(Registrar::default());
    let membership = join(&registrar);
    membership.joined().await;
    registrar.down.store(true, Ordering::SeqCst);
    tokio::time::sleep(TTL * 20).await;
    let view = membership.view();
    assert_eq!((view.members.len(), view.current), (2, false));
    registrar.down.store(false, Ordering::SeqCst);
    let mut views = membership.watch();
    views.wait_for(|view| view.current).await.expect("the lease is renewed again");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_renewed_after_leaving() {
    let registrar = Arc::new(Registrar::default());
    let membership = join(&registrar);
    membership.joined().await;
    membership.leave().await.expect("the registrar takes it");
    let leases = registrar.leases.lock().len();
    tokio::time::sleep(TTL * 5).await;
    assert_eq!(registrar.leases.lock().len(), leases);
    assert_eq!(registrar.left.lock().as_slice(), ["edge-0"]);
}

#[tokio::test(start_paused = true)]
async fn what_others_must_know_soon_is_told_at_once() {
    let registrar = Arc::new(Registrar::default());
    let draining = Arc::new(AtomicBool::new(false));
    let seen = draining.clone();
    let link = MembershipLink::Local(registrar.clone());
    let myself = move || Member { draining: seen.load(Ordering::SeqCst), ..me() };
    let membership = Membership::join(link, &Tasks::new("test", 10), myself).expect("there is room");
    membership.joined().await;
    draining.store(true, Ordering::SeqCst);
    membership.renew_now();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let leases = registrar.leases.lock();
    assert!(leases.last().expect("a lease").draining, "{leases:?}");
}

/// The first Dial after a start finds the edge of its own process.
#[tokio::test(start_paused = true)]
async fn a_role_that_joins_later_is_known_to_the_others_of_its_process_at_once() {
    let registrar = Arc::new(Listing::default());
    let tasks = Tasks::new("test", 10);
    let in_role = |role: &str| {
        let role = role.to_owned();
        move || Member { role: role.clone(), ..me() }
    };
    let link = MembershipLink::Local(registrar.clone());
    let call_control = Membership::join(link, &tasks, in_role("call-control")).expect("there is room");
    call_control.joined().await;
    let begun = Instant::now();
    let (bound, is_bound) = tokio::sync::oneshot::channel::<()>();
    let known = async { drop(is_bound.await) };
    let edge = call_control.join_also(&tasks, known, in_role("edge")).expect("there is room");
    bound.send(()).expect("the edge waits for it");
    edge.joined().await;
    let mut views = call_control.watch();
    views.wait_for(|view| view.find("edge", "edge-0").is_some()).await.expect("a further list");
    assert!(begun.elapsed() < TTL / 3, "virtual time: not by the next renewal");
    let leases = registrar.0.lock().len();
    tokio::time::sleep(TTL / 6).await;
    assert_eq!(registrar.0.lock().len(), leases, "and that was that");
}

/// A registrar that lists whoever asked.
#[derive(Default)]
struct Listing(Mutex<Vec<Member>>);

#[async_trait]
impl MembershipService for Listing {
    async fn lease(&self, request: Request<LeaseRequest>) -> Result<Response<LeaseResponse>, Status> {
        self.0.lock().push(request.into_inner().member.expect("who asks"));
        let mut members = self.0.lock().clone();
        members.sort_by(|a, b| a.role.cmp(&b.role));
        members.dedup();
        let ttl = Some(TTL.try_into().expect("a short time"));
        Ok(Response::new(LeaseResponse {
            members,
            ttl,
            flow_key: b"key".as_slice().into(),
            ..LeaseResponse::default()
        }))
    }

    async fn leave(&self, _: Request<LeaveRequest>) -> Result<Response<LeaveResponse>, Status> {
        Ok(Response::new(LeaveResponse {}))
    }
}

fn join(registrar: &Arc<Registrar>) -> Membership {
    let link = MembershipLink::Local(registrar.clone());
    Membership::join(link, &Tasks::new("test", 10), me).expect("there is room")
}

fn me() -> Member {
    Member { id: "edge-0".into(), role: "edge".into(), epoch: 1, ..Member::default() }
}

#[derive(Default)]
struct Registrar {
    down: AtomicBool,
    leases: Mutex<Vec<Member>>,
    left: Mutex<Vec<String>>,
}

#[async_trait]
impl MembershipService for Registrar {
    async fn lease(&self, request: Request<LeaseRequest>) -> Result<Response<LeaseResponse>, Status> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Status::unavailable("down"));
        }
        let member = request.into_inner().member.expect("who asks");
        self.leases.lock().push(member.clone());
        let other = Member { id: "edge-1".into(), ..member.clone() };
        Ok(Response::new(LeaseResponse {
            members: vec![other, member],
            ttl: Some(TTL.try_into().expect("a short time")),
            flow_key: b"key".as_slice().into(),
            ..LeaseResponse::default()
        }))
    }

    async fn leave(&self, request: Request<LeaveRequest>) -> Result<Response<LeaveResponse>, Status> {
        self.left.lock().push(request.into_inner().id);
        Ok(Response::new(LeaveResponse {}))
    }
}
