//! Leases.

use std::time::Duration;

use cluster_api::cluster::v1::{
    LeaseRequest, LeaseResponse, LeaveRequest, Member, membership_server::Membership as _,
};
use cluster_rpc::{Reason, Refusal};
use tonic::{Request, Status};

use crate::rig::Rig;

fn member(role: &str, id: &str, epoch: u64) -> Member {
    Member { role: role.into(), id: id.into(), epoch, ..Member::default() }
}

async fn lease(rig: &Rig, replica: usize, member: Member) -> Result<LeaseResponse, Status> {
    let request = Request::new(LeaseRequest { member: Some(member) });
    rig.replicas[replica].lease(request).await.map(tonic::Response::into_inner)
}

fn ids(response: &LeaseResponse) -> Vec<(&str, u64)> {
    response.members.iter().map(|member| (member.id.as_str(), member.epoch)).collect()
}

/// Every replica tells of everybody who renewed in time, and hands out the same key.
#[tokio::test]
async fn leases_are_seen_by_all_and_run_out() {
    let rig = Rig::new();
    let one = lease(&rig, 0, member("edge", "e1", 5)).await.unwrap();
    let two = lease(&rig, 1, Member { load: 7, draining: true, ..member("edge", "e2", 6) }).await.unwrap();
    assert_eq!((one.flow_key.len(), &one.flow_key), (32, &two.flow_key));
    assert_eq!(ids(&two), [("e1", 5), ("e2", 6)]);
    assert_eq!((two.members[1].load, two.members[1].draining), (7, true));
    assert_eq!(two.ttl.unwrap().seconds, 2);
    rig.clock.advance(Duration::from_millis(1_500));
    lease(&rig, 0, member("edge", "e1", 5)).await.unwrap();
    rig.clock.advance(Duration::from_millis(501));
    assert_eq!(ids(&lease(&rig, 0, member("registrar", "r1", 1)).await.unwrap()), [("e1", 5), ("r1", 1)]);
}

/// An earlier life of the same name neither renews nor ends the lease of a later one.
#[tokio::test]
async fn an_earlier_life_is_left_out() {
    let rig = Rig::new();
    lease(&rig, 0, member("edge", "e1", 5)).await.unwrap();
    lease(&rig, 1, member("edge", "e1", 6)).await.unwrap();
    let refused = lease(&rig, 0, member("edge", "e1", 5)).await.unwrap_err();
    assert_eq!(Refusal::read(&refused).unwrap().reason(), Reason::WrongState);
    let leave = |epoch| LeaveRequest { id: "e1".into(), role: "edge".into(), epoch };
    rig.registrar().leave(Request::new(leave(5))).await.unwrap();
    let seen = async || lease(&rig, 0, member("registrar", "r", 1)).await.unwrap();
    assert_eq!(ids(&seen().await), [("e1", 6), ("r", 1)]);
    rig.registrar().leave(Request::new(leave(6))).await.unwrap();
    assert_eq!(ids(&seen().await), [("r", 1)]);
}

#[tokio::test]
async fn a_member_needs_a_name() {
    let rig = Rig::new();
    let refused = lease(&rig, 0, member("edge", "", 5)).await.unwrap_err();
    assert_eq!(Refusal::read(&refused).unwrap().reason(), Reason::BadField);
}

/// Dead members leave nothing in the store after a while.
#[tokio::test]
async fn dead_members_are_tidied_away() {
    let rig = Rig::new();
    for number in 0..20 {
        lease(&rig, 0, member("edge", &format!("e{number}"), 1)).await.unwrap();
    }
    rig.clock.advance(Duration::from_secs(63));
    lease(&rig, 0, member("registrar", "r", 1)).await.unwrap();
    // the keys and the lease just taken
    assert_eq!(rig.memory.record_count(), 2);
    let page =
        store::Store::index(&*rig.memory, &store::Partition::new("members", 0), "members", None, 100).await;
    assert_eq!(page.unwrap().entries.len(), 1);
}
