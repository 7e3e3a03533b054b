//! Connections that ended, as edges tell of them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use cluster_api::cluster::v1::{LeaseRequest, LeaveRequest, Member, membership_server::Membership as _};
use cluster_api::registrar::v1::{
    Binding, BindingEvent, EdgeLife, EndFlowsRequest, EndFlowsResponse, EndedFlow, ListBindingsRequest,
    RegisterContact, RegisterRequest, WatchBindingsRequest, binding_event::Type,
    bindings_server::Bindings as _, location_server::Location as _,
};
use registrar::Registrar;
use tokio_stream::StreamExt as _;
use tonic::{Request, Status};

use crate::rig::{Phone, Rig, contact, status, targets};

fn ended(to: &str, flow: &str) -> EndedFlow {
    EndedFlow { to_uri: to.to_owned(), flow: flow.to_owned(), life: None }
}

async fn end(registrar: &Registrar, flows: &[EndedFlow]) -> Result<EndFlowsResponse, Status> {
    let request = EndFlowsRequest { flows: flows.to_vec() };
    registrar.end_flows(Request::new(request)).await.map(tonic::Response::into_inner)
}

/// Registers a contact over a flow.
async fn register(phone: &mut Phone, contacts: &[RegisterContact], flow: &str) {
    let request = RegisterRequest { flow: flow.to_owned(), ..phone.request(contacts) };
    assert_eq!(phone.send(request).await.status, 200);
}

/// OBD-05: the binding goes with its flow, is called no more, and who watches is told why; telling twice, or another replica, or what
/// nobody knows, changes nothing.
#[tokio::test]
async fn the_bindings_of_a_flow_go_with_it() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    register(&mut phone, &[contact("sip:tcp@h")], "flow-1").await;
    register(&mut phone, &[contact("sip:ws@h")], "flow-2").await;
    register(&mut phone, &[RegisterContact { by_uri: true, ..contact("sip:udp@h") }], "flow-1").await;
    let watch = WatchBindingsRequest { aor: "sip:bob@open".to_owned(), after_cursor: None };
    let mut watch = rig.registrar().watch_bindings(Request::new(watch)).await.unwrap().into_inner();
    let gone = [
        ended("sip:bob@open", "flow-1"),
        ended("sip:alice@open", "flow-1"),
        ended("sip:bob@elsewhere", "flow-2"),
        ended("sip:bob@open", ""),
        ended("what is this?", "flow-2"),
    ];
    for replica in &rig.replicas {
        assert_eq!(end(replica, &gone).await.unwrap(), EndFlowsResponse {});
    }
    assert_eq!(targets(&phone.route("sip:bob@open").await), [["sip:ws@h", "sip:udp@h"]]);
    let event: BindingEvent = loop {
        let event = watch.next().await.unwrap().unwrap();
        if event.r#type() != Type::Snapshot {
            break event;
        }
    };
    let uri = event.binding.as_ref().map(|binding| &*binding.contact_uri);
    assert_eq!((event.r#type(), uri), (Type::FlowFailed, Some("sip:tcp@h")));
    end(rig.registrar(), &[ended("sip:bob@open", "flow-2")]).await.unwrap();
    register(&mut phone, &[RegisterContact { expires: Some(0), ..contact("sip:udp@h") }], "flow-3").await;
    assert_eq!(status(&phone.route("sip:bob@open").await), 480);
}

/// F1, OBD-05: another edge than the one that had the connection is believed when that one has left, has begun again, or has not been heard
/// of for a minute; one that merely was late to renew its lease has its phones when it is back.
#[tokio::test]
async fn what_another_edge_says_is_gone_is_gone_when_its_edge_is_over() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    let of = |id: &str, epoch| {
        let life = EdgeLife { edge_id: id.into(), epoch };
        [EndedFlow { life: Some(life), ..ended("sip:bob@open", &format!("{id}/{epoch}")) }]
    };
    let join = async |id: &str, epoch| {
        let member = Member { id: id.into(), role: "edge".into(), epoch, ..Member::default() };
        let lease = LeaseRequest { member: Some(member) };
        rig.registrar().lease(Request::new(lease)).await.unwrap();
    };
    for id in ["e1", "e2", "e3"] {
        join(id, 5).await;
        register(&mut phone, &[contact(&format!("sip:{id}@h"))], &format!("{id}/5")).await;
    }
    rig.clock.advance(Duration::from_secs(20));
    let all = ["e1", "e2", "e3"].map(|id| of(id, 5)).concat();
    end(rig.registrar(), &all).await.unwrap();
    assert_eq!(targets(&phone.route("sip:bob@open").await), [["sip:e1@h", "sip:e2@h", "sip:e3@h"]]);
    join("e1", 6).await;
    join("e2", 5).await;
    let leave = LeaveRequest { id: "e3".into(), role: "edge".into(), epoch: 5 };
    rig.registrar().leave(Request::new(leave)).await.unwrap();
    end(rig.registrar(), &all).await.unwrap();
    assert_eq!(targets(&phone.route("sip:bob@open").await), [["sip:e2@h"]]);
    rig.clock.advance(Duration::from_secs(61));
    end(rig.registrar(), &of("e2", 5)).await.unwrap();
    assert_eq!(targets(&phone.route("sip:bob@open").await), [["sip:e2@h"]]);
    rig.clock.advance(Duration::from_secs(2));
    rig.store.hook.is_down.store(true, Ordering::SeqCst);
    end(rig.registrar(), &of("e2", 5)).await.unwrap_err();
    rig.store.hook.is_down.store(false, Ordering::SeqCst);
    end(rig.registrar(), &of("e2", 5)).await.unwrap();
    assert_eq!(status(&phone.route("sip:bob@open").await), 480);
}

/// F1: a list names the edge that has a connection, and none when that is gone, before anybody calls; what comes by datagrams is reached by any edge,
/// and an edge that was merely late has its phones again.
#[tokio::test]
async fn a_list_names_the_edges_that_are_there() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    let join = async |id: &str, epoch| {
        let member = Member { id: id.into(), role: "edge".into(), epoch, ..Member::default() };
        rig.registrar().lease(Request::new(LeaseRequest { member: Some(member) })).await.unwrap();
    };
    let listed = async || {
        let request = ListBindingsRequest { aor: "sip:bob@open".into(), ..ListBindingsRequest::default() };
        let listed = rig.registrar().list_bindings(Request::new(request)).await.unwrap().into_inner();
        let shown = |binding: Binding| (binding.contact_uri, binding.edge_id);
        let mut shown: Vec<_> = listed.bindings.into_iter().map(shown).collect();
        shown.sort_unstable();
        shown
    };
    for (id, epoch) in [("e1", 5), ("e2", 5)] {
        join(id, epoch).await;
        let life = Some(EdgeLife { edge_id: id.into(), epoch });
        let contacts = [contact(&format!("sip:{id}@h"))];
        let flow = format!("{id}/{epoch}");
        let request = RegisterRequest { flow, life, ..phone.request(&contacts) };
        assert_eq!(phone.send(request).await.status, 200);
    }
    register(&mut phone, &[contact("sip:udp@h")], "datagrams").await;
    let expected = |first: &str, second: &str| {
        let row = |contact: &str, edge: &str| (contact.to_owned(), edge.to_owned());
        vec![row("sip:e1@h", first), row("sip:e2@h", second), row("sip:udp@h", "")]
    };
    assert_eq!(listed().await, expected("e1", "e2"));
    rig.clock.advance(Duration::from_secs(20));
    join("e1", 6).await;
    assert_eq!(listed().await, expected("", ""), "one has begun anew, and one is not heard of");
    join("e2", 5).await;
    assert_eq!(listed().await, expected("", "e2"));
}

/// F1, OBD-05: who has as many contacts as the account may have, and comes back by another edge because the one of before is gone, takes the
/// place of what that one left behind. Datagrams and proxies on the way lead to the phone as before, and an edge that lives keeps its own.
#[tokio::test]
async fn who_comes_back_by_another_edge_finds_room() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    let join = async |id: &str, epoch| {
        let member = Member { id: id.into(), role: "edge".into(), epoch, ..Member::default() };
        rig.registrar().lease(Request::new(LeaseRequest { member: Some(member) })).await.unwrap();
    };
    let over = |id: &str, epoch, flow: &str| RegisterRequest {
        flow: flow.to_owned(),
        life: Some(EdgeLife { edge_id: id.into(), epoch }),
        ..RegisterRequest::default()
    };
    let mut send = async |name: &str, over: RegisterRequest| {
        let RegisterRequest { flow, life, path, supported, .. } = over;
        let request = phone.request(&[contact(&format!("sip:{name}@h"))]);
        phone.send(RegisterRequest { flow, life, path, supported, ..request }).await.status
    };
    join("e1", 5).await;
    join("e2", 5).await;
    for n in 0..4 {
        assert_eq!(send(&format!("stays{n}"), over("e1", 5, &format!("one-{n}"))).await, 200);
        assert_eq!(send(&format!("goes{n}"), over("e2", 5, &format!("two-{n}"))).await, 200);
    }
    let by_proxy = RegisterRequest {
        path: vec!["<sip:proxy;lr>".to_owned()],
        supported: vec!["path".to_owned()],
        ..over("e2", 5, "two-4")
    };
    assert_eq!(send("proxy", by_proxy).await, 200);
    assert_eq!(send("datagrams", RegisterRequest { life: None, ..over("e2", 5, "two-5") }).await, 200);
    assert_eq!(send("new", over("e1", 5, "one-9")).await, 403, "both edges are there");
    // A later life of the edge has none of the connections.
    join("e2", 6).await;
    assert_eq!(send("new", over("e2", 6, "three-0")).await, 200);
    rig.clock.advance(Duration::from_secs(20));
    join("e1", 5).await;
    for n in 0..3 {
        assert_eq!(send(&format!("more{n}"), over("e1", 5, &format!("one-1{n}"))).await, 200);
    }
    // It is full again, and the lease of the other edge has run out.
    assert_eq!(send("last", over("e1", 5, "one-13")).await, 200);
    let routed = phone.route("sip:bob@open").await;
    let now = targets(&routed).concat();
    let [stays, more] = ["stays", "more"].map(|name| now.iter().filter(|uri| uri.contains(name)).count());
    assert_eq!((stays, more), (4, 3), "{now:?}");
    for name in ["proxy", "datagrams"] {
        assert!(now.iter().any(|uri| uri.contains(name)), "{name}: {now:?}");
    }
    assert!(!now.iter().any(|uri| uri.contains("goes") || uri.contains("new")), "{now:?}");
}

/// OBD-05: a phone that registered the same contact over another connection in the meantime stays, whoever hears of the end first.
#[tokio::test]
async fn a_contact_that_was_refreshed_over_another_flow_stays() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    for flow in ["flow-1", "flow-2"] {
        register(&mut phone, &[contact("sip:tcp@h")], flow).await;
    }
    // The second replica has read nothing of this record yet, the first one has it in memory.
    for replica in rig.replicas.iter().rev() {
        end(replica, &[ended("sip:bob@open", "flow-1")]).await.unwrap();
    }
    assert_eq!(targets(&phone.route("sip:bob@open").await), [["sip:tcp@h"]]);
}

/// OBD-05: what a failing store did not take is refused as a whole, so that the edge tells it again; and a batch is bounded.
#[tokio::test]
async fn what_was_not_done_is_not_acknowledged() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    register(&mut phone, &[contact("sip:tcp@h")], "flow-1").await;
    let gone = [ended("sip:bob@open", "flow-1")];
    rig.store.hook.is_down.store(true, Ordering::SeqCst);
    end(rig.registrar(), &gone).await.unwrap_err();
    rig.store.hook.is_down.store(false, Ordering::SeqCst);
    assert_eq!(targets(&phone.route("sip:bob@open").await), [["sip:tcp@h"]]);
    end(rig.registrar(), &gone).await.unwrap();
    assert_eq!(status(&phone.route("sip:bob@open").await), 480);
    let many = vec![ended("sip:bob@open", "flow-1"); 1_001];
    end(rig.registrar(), &many).await.unwrap_err();
    end(rig.registrar(), &many[1..]).await.unwrap();
}
