//! Edges reached over the links between services, named by the member list.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use call_control::edges::{EdgeLife, Edges as _, LinkedEdges};
use cluster_api::cluster::v1::Member;
use cluster_api::edge::v1::carry_request::What;
use cluster_api::edge::v1::legs_server::Legs;
use cluster_api::edge::v1::{CarryRequest, CarryResponse, ReleaseLeg, SendRequest};
use cluster_api::sip::v1::{Body, Header};
use cluster_rpc::membership::{Listed, View};
use cluster_rpc::{LegsLink, RequestsLink};
use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status};

use call_control::carry_request;
use call_control::engine::effect::{
    Body as EngineBody, Effect, Header as EngineHeader, SendRequest as Send, What as Do,
};

use crate::edges::NoLegs;

#[derive(Default)]
struct FakeLegs {
    taken: Mutex<Vec<CarryRequest>>,
}

#[async_trait]
impl Legs for FakeLegs {
    async fn carry(&self, request: Request<CarryRequest>) -> Result<Response<CarryResponse>, Status> {
        self.taken.lock().push(request.into_inner());
        Ok(Response::new(CarryResponse { edge_id: "edge-0".into(), edge_epoch: 7 }))
    }
}

fn no_requests() -> RequestsLink {
    RequestsLink::local("edge-0", Arc::new(NoLegs))
}

fn member(role: &str, id: &str, epoch: u64, draining: bool) -> Member {
    Member { role: role.into(), id: id.into(), epoch, draining, load: 3, ..Member::default() }
}

#[tokio::test]
async fn edges_are_those_of_the_member_list() {
    let members = [
        member("edge", "edge-0", 7, false),
        member("edge", "edge-1", 1, true),
        member("registrar", "r", 1, false),
    ];
    let now = tokio::time::Instant::now();
    let listed = Some(Listed { asked: now, steady_since: now });
    let (views, view) = watch::channel(View { listed, ..View::fixed(members, Bytes::new()) });
    let edges =
        LinkedEdges::new(LegsLink::local("edge-0", Arc::new(FakeLegs::default())), no_requests(), view);
    let seen = edges.view();
    let ids: Vec<_> =
        seen.edges.iter().map(|edge| (edge.life.id.as_str(), edge.life.epoch, edge.draining)).collect();
    assert_eq!(ids, [("edge-0", 7, false), ("edge-1", 1, true)]);
    assert!(seen.listed.is_some());
    views.send_modify(|view| view.current = false);
    assert!(edges.view().listed.is_none(), "a list that could not be renewed proves nothing");
}

#[tokio::test]
async fn an_effect_arrives_at_its_edge_field_by_field() {
    let legs = Arc::new(FakeLegs::default());
    let (_views, view) = watch::channel(View::fixed(Vec::new(), Bytes::new()));
    let edges = LinkedEdges::new(LegsLink::local("edge-0", Arc::clone(&legs) as _), no_requests(), view);
    let header = || EngineHeader::new("Reason", "SIP;cause=486");
    let effect = Effect {
        number: 9,
        leg_id: "b".into(),
        what: Some(Do::Send(Send {
            method: "INVITE".into(),
            request_uri: "sip:bob@example.com".into(),
            route: vec!["<sip:proxy;lr>".into()],
            from_uri: "sip:carillon@example.com".into(),
            from_display: "Carillon".into(),
            from_tag: "f".into(),
            to_uri: "sip:bob@example.com".into(),
            to_tag: "t".into(),
            sip_call_id: "c@host".into(),
            cseq: 3,
            headers: vec![header()],
            body: Some(EngineBody::sdp(b"v=0".to_vec())),
            flow: "flow".into(),
            trunk: "trunk".into(),
            referred_by: "sip:r@h".into(),
            max_forwards: 69,
            ring_limit_ms: 65_500,
            max_breadth: 9,
            is_focus: true,
            in_conference: true,
        })),
        ..Effect::default()
    };
    let life = EdgeLife { id: "edge-0".into(), epoch: 7 };
    let request = carry_request("call", &effect).expect("an effect with content");
    let taken = edges.carry(&life, request).await.expect("taken");
    assert_eq!((taken.edge_id.as_str(), taken.edge_epoch), ("edge-0", 7));
    let expected = CarryRequest {
        call_id: "call".into(),
        leg_id: "b".into(),
        effect: 9,
        what: Some(What::Send(SendRequest {
            method: "INVITE".into(),
            request_uri: "sip:bob@example.com".into(),
            route: vec!["<sip:proxy;lr>".into()],
            from_uri: "sip:carillon@example.com".into(),
            from_display: "Carillon".into(),
            from_tag: "f".into(),
            to_uri: "sip:bob@example.com".into(),
            to_tag: "t".into(),
            sip_call_id: "c@host".into(),
            cseq: 3,
            headers: vec![Header::new("Reason", "SIP;cause=486")],
            body: Some(Body::new("application/sdp", &b"v=0"[..])),
            flow: "flow".into(),
            trunk: "trunk".into(),
            referred_by: "sip:r@h".into(),
            max_forwards: 69,
            ring_limit: Some(prost_types::Duration { seconds: 65, nanos: 500_000_000 }),
            max_breadth: 9,
            // A REGISTER's own Contact, which no leg has
            contact_user: String::new(),
            contact: String::new(),
            is_focus: true,
            in_conference: true,
            // What a service asks for a user, and no leg
            on_behalf_of: String::new(),
        })),
    };
    assert_eq!(*legs.taken.lock(), [expected]);

    let elsewhere = EdgeLife { id: "edge-9".into(), epoch: 1 };
    let request = CarryRequest { what: Some(What::Release(ReleaseLeg {})), ..CarryRequest::default() };
    let status = edges.carry(&elsewhere, request).await.expect_err("not alive");
    assert_eq!(status.code(), Code::NotFound);
}
