//! The edges as operators see and drain them, and what others can do.

use cluster_api::edge::v1::carry_request::What as Effect;
use cluster_api::edge::v1::edges_server::Edges;
use cluster_api::edge::v1::{
    DrainEdgeRequest, ListEdgesRequest, QueryCapabilitiesRequest, UndrainEdgeRequest,
};
use sip_message::HeaderId;
use tonic::{Code, Request, Status};

use crate::legs::{invite, one_phone};
use crate::peer::values;
use crate::rig::Rig;
use crate::services::FakeLocation;

#[tokio::test]
async fn a_drain_is_begun_and_taken_back_once_per_request() {
    let (rig, bob) = one_phone().await;
    rig.carry(1, Effect::Send(invite())).await;
    bob.receive_request("INVITE").await;
    let drain =
        |id: &str, edge: &str| Request::new(DrainEdgeRequest { request_id: id.into(), edge_id: edge.into() });
    let edge = rig.edges.drain_edge(drain("r1", "edge-1")).await.unwrap().into_inner();
    assert_eq!((edge.draining, edge.legs, edge.transactions), (true, 1, 1));
    assert!(rig.drain.is_draining());
    let back = UndrainEdgeRequest { request_id: "r2".into(), edge_id: "edge-1".into() };
    rig.edges.undrain_edge(Request::new(back)).await.unwrap();
    rig.edges.drain_edge(drain("r1", "edge-1")).await.unwrap();
    assert!(!rig.drain.is_draining(), "a request that comes again changes nothing");
    let unknown = rig.edges.drain_edge(drain("r3", "edge-9")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert_eq!(rig.edges.drain_edge(drain("", "edge-1")).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn edges_are_listed_page_by_page() {
    let rig = Rig::with(FakeLocation::answering(|_| Err(Status::unavailable("nobody asks")))).await;
    let members = ["edge-0", "edge-1", "edge-2"].map(|id| crate::rig::only_member((id, rig.address)));
    rig.learns(cluster_rpc::membership::View::fixed(members, vec![9; 32]));
    let page = |page_token: String| {
        let request = ListEdgesRequest { page_size: 2, page_token };
        async { rig.edges.list_edges(Request::new(request)).await.unwrap().into_inner() }
    };
    let first = page(String::new()).await;
    let ids: Vec<_> = first.edges.iter().map(|edge| edge.edge_id.as_str()).collect();
    assert_eq!(ids, ["edge-0", "edge-1"]);
    assert_eq!(first.edges[1].listeners[0], format!("udp://{}", rig.address));
    let second = page(first.next_page_token).await;
    assert_eq!((second.edges[0].edge_id.as_str(), second.next_page_token.as_str()), ("edge-2", ""));
}

#[tokio::test]
async fn what_a_user_can_do_is_told_as_data() {
    let (rig, bob) = one_phone().await;
    let query = QueryCapabilitiesRequest { uri: "sip:bob@example.com".into(), timeout: None };
    let (answer, ()) = tokio::join!(rig.edges.query_capabilities(Request::new(query)), async {
        let options = bob.receive_request("OPTIONS").await;
        assert_eq!(values(&options, HeaderId::Accept), ["application/sdp"]);
        let lines = ["Allow: INVITE, ACK", "k: 100rel,timer", "Server: phone/1", "Allow-Events: dialog"];
        bob.respond(&options, "200 OK", "bt", &lines).await;
    });
    let answer = answer.unwrap().into_inner();
    assert_eq!(
        (answer.sip_status, answer.sip_reason.as_str(), answer.user_agent.as_str()),
        (200, "OK", "phone/1")
    );
    assert_eq!(
        (answer.allow, answer.supported),
        (vec!["INVITE".into(), "ACK".into()], vec!["100rel".into(), "timer".into()])
    );
    assert_eq!(answer.allow_events, ["dialog"]);
}

#[tokio::test]
async fn silence_is_an_answer_and_a_bad_uri_is_an_error() {
    let (rig, bob) = one_phone().await;
    let timeout = Some(prost_types::Duration { seconds: 0, nanos: 20_000_000 });
    let query = QueryCapabilitiesRequest { uri: "sip:bob@example.com".into(), timeout };
    let answer = rig.edges.query_capabilities(Request::new(query)).await.unwrap().into_inner();
    assert_eq!((answer.sip_status, answer.sip_reason.as_str()), (408, "Request Timeout"));
    bob.receive_request("OPTIONS").await;
    for bad in ["", "bob", "tel:+4912345", "sip:bob@h\r\nVia: x"] {
        let query = QueryCapabilitiesRequest { uri: bad.into(), timeout: None };
        let refused = rig.edges.query_capabilities(Request::new(query)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{bad}");
    }
}
