//! Links to edges: to the one that is named, or to one that takes new work.

use std::{net::Ipv4Addr, sync::Arc};

use cluster_api::{
    cluster::v1::Member,
    edge::v1::{
        CarryRequest, CarryResponse,
        legs_server::{Legs, LegsServer},
    },
};
use cluster_rpc::{EdgeDirectory, LegsLink, Reason, Refusal, membership::View, server};
use tokio::{net::TcpListener, sync::watch};
use tonic::{Request, Response, Status, async_trait, transport::Server};

use crate::rig::{quick, wiring};

#[tokio::test]
async fn work_for_an_edge_goes_to_that_edge() {
    let cluster = Cluster::of(&["edge-0", "edge-1", "edge-2"]).await;
    for id in ["edge-2", "edge-0", "edge-2"] {
        assert_eq!(carried_by(&cluster.link, Some(id)).await, id);
    }
}

#[tokio::test]
async fn new_work_goes_to_an_edge_that_does_not_drain_and_rather_to_the_idle_one() {
    let cluster = Cluster::of(&["edge-0", "edge-1", "edge-2"]).await;
    cluster.change(|edge| {
        edge.draining = edge.id == "edge-0";
        edge.load = if edge.id == "edge-1" { 900 } else { 10 };
    });
    for _ in 0..20 {
        assert_eq!(carried_by(&cluster.link, None).await, "edge-2");
    }
}

#[tokio::test]
async fn an_edge_that_is_gone_is_named_and_one_that_comes_back_elsewhere_is_found() {
    let cluster = Cluster::of(&["edge-0", "edge-1"]).await;
    assert_eq!(carried_by(&cluster.link, Some("edge-0")).await, "edge-0");
    let status = cluster.link.carry(Some("edge-9"), CarryRequest::default()).await.expect_err("no such edge");
    assert_eq!(Refusal::read(&status).expect("a refusal").reason(), Reason::EdgeNotFound);
    let elsewhere = serve("edge-0 again").await;
    cluster.change(|edge| {
        if edge.id == "edge-0" {
            edge.grpc.clone_from(&elsewhere);
        }
    });
    assert_eq!(carried_by(&cluster.link, Some("edge-0")).await, "edge-0 again");
}

#[tokio::test]
async fn an_edge_of_the_same_process_is_asked_directly_and_others_over_tcp() {
    let cluster = Cluster::of(&["edge-1"]).await;
    let link = LegsLink::mixed("edge-0", Arc::new(Edge("edge-0 inside".into())), cluster.directory.clone());
    assert_eq!(carried_by(&link, None).await, "edge-0 inside");
    assert_eq!(carried_by(&link, Some("edge-0")).await, "edge-0 inside");
    assert_eq!(carried_by(&link, Some("edge-1")).await, "edge-1");
}

#[tokio::test]
async fn without_an_edge_for_new_work_the_reason_says_so() {
    let cluster = Cluster::of(&["edge-0"]).await;
    cluster.change(|edge| edge.draining = true);
    let status = cluster.link.carry(None, CarryRequest::default()).await.expect_err("it drains");
    assert_eq!(Refusal::read(&status).expect("a refusal").reason(), Reason::EdgeUnreachable);
}

async fn carried_by(link: &LegsLink, edge_id: Option<&str>) -> String {
    link.carry(edge_id, CarryRequest::default()).await.expect("the edge takes it").edge_id
}

struct Cluster {
    views: watch::Sender<View>,
    directory: EdgeDirectory,
    link: LegsLink,
}

impl Cluster {
    async fn of(ids: &[&str]) -> Self {
        let mut members = Vec::new();
        for id in ids {
            let grpc = serve(id).await;
            members.push(Member { id: (*id).into(), role: "edge".into(), grpc, ..Member::default() });
        }
        let (views, view) = watch::channel(View::fixed(members, Vec::new()));
        let directory = EdgeDirectory::new(view, wiring(quick()));
        Self { views, link: LegsLink::remote(directory.clone()), directory }
    }

    fn change(&self, change: impl Fn(&mut Member)) {
        self.views.send_modify(|view| {
            let mut members = view.members.to_vec();
            members.iter_mut().for_each(change);
            view.members = members.into();
        });
    }
}

struct Edge(String);

#[async_trait]
impl Legs for Edge {
    async fn carry(&self, _: Request<CarryRequest>) -> Result<Response<CarryResponse>, Status> {
        Ok(Response::new(CarryResponse { edge_id: self.0.clone(), edge_epoch: 1 }))
    }
}

async fn serve(id: &str) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let service = LegsServer::new(Edge(id.into()));
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(server::incoming(listener)));
    format!("http://{address}")
}
