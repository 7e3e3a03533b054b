//! `carillon.edge.v1.Edges`: the edges as operators see them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use cluster_api::cluster::v1::Member;
use cluster_api::convert::page_limit;
use cluster_api::edge::v1::edges_server::Edges;
use cluster_api::edge::v1::{
    Capabilities, DrainEdgeRequest, Edge, ListEdgesRequest, ListEdgesResponse, QueryCapabilitiesRequest,
    UndrainEdgeRequest,
};
use cluster_rpc::membership::View;
use cluster_rpc::{EDGE_ROLE, EdgesLink, Reason, Refusal};
use lifecycle::Drain;
use parking_lot::Mutex;
use sip_endpoint::Handle;
use tokio::sync::{oneshot, watch};
use tonic::{Request, Response, Status};

use super::capabilities::Asking;
use crate::edge::Command;

/// What the token of a page begins with; the last edge of the page before follows.
const AFTER: &str = "after:";

/// Requests to drain or to take a drain back that are remembered, so that one that comes again changes nothing.
const REMEMBERED: usize = 256;

/// The edges of the cluster, seen from this one.
#[derive(Clone)]
pub struct EdgesService {
    pub(crate) myself: Arc<Myself>,
    pub(crate) members: watch::Receiver<View>,
    /// The other edges; `None` when there can be none.
    pub(crate) others: Option<EdgesLink>,
    pub(crate) asking: Asking,
}

/// This edge.
pub(crate) struct Myself {
    pub(crate) id: String,
    pub(crate) epoch: u64,
    pub(crate) listeners: Vec<String>,
    pub(crate) advertised: String,
    pub(crate) drain: Drain,
    pub(crate) handle: Handle<Command>,
    pub(crate) known_requests: Mutex<VecDeque<String>>,
}

/// How much this edge has in hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct InHand {
    pub(crate) flows: u64,
    pub(crate) transactions: u64,
    pub(crate) legs: u64,
}

impl Myself {
    async fn view(&self, load: u32) -> Edge {
        let (reply, counted) = oneshot::channel();
        // Without an answer it is about to end, and has nothing in hand.
        let in_hand = match self.handle.send(Command::CountInHand(reply)) {
            Ok(()) => counted.await.unwrap_or_default(),
            Err(_) => InHand::default(),
        };
        let start = UNIX_EPOCH + Duration::from_millis(self.epoch);
        Edge {
            edge_id: self.id.clone(),
            epoch: self.epoch,
            listeners: self.listeners.clone(),
            advertised: self.advertised.clone(),
            draining: self.drain.is_draining(),
            load,
            flows: in_hand.flows,
            transactions: in_hand.transactions,
            legs: in_hand.legs,
            start_time: Some(start.into()),
        }
    }

    /// Does something unless this request was carried out before.
    fn once(&self, request_id: &str, act: impl FnOnce(&Drain) -> bool) {
        let mut known = self.known_requests.lock();
        if known.iter().any(|id| id == request_id) {
            return;
        }
        if known.len() >= REMEMBERED {
            known.pop_front();
        }
        known.push_back(request_id.to_owned());
        act(&self.drain);
    }
}

impl EdgesService {
    /// What the membership says of another edge. Its flows, transactions and legs it counts itself.
    fn other(member: &Member) -> Edge {
        let listeners = match member.sip.as_str() {
            "" => Vec::new(),
            sip => vec![format!("udp://{sip}"), format!("tcp://{sip}")],
        };
        Edge {
            edge_id: member.id.clone(),
            epoch: member.epoch,
            listeners,
            draining: member.draining,
            load: member.load,
            start_time: Some((UNIX_EPOCH + Duration::from_millis(member.epoch)).into()),
            ..Edge::default()
        }
    }

    fn load(&self) -> u32 {
        self.members.borrow().find(EDGE_ROLE, &self.myself.id).map_or(0, |member| member.load)
    }

    /// The link to another edge.
    fn toward(&self, edge_id: &str) -> Result<&EdgesLink, Status> {
        let unknown = || Refusal::new(Reason::EdgeNotFound, format!("no edge {edge_id} is alive")).into();
        self.others.as_ref().ok_or_else(unknown)
    }
}

#[async_trait]
impl Edges for EdgesService {
    async fn list_edges(
        &self,
        request: Request<ListEdgesRequest>,
    ) -> Result<Response<ListEdgesResponse>, Status> {
        let ListEdgesRequest { page_size, page_token } = request.into_inner();
        let size = page_limit(page_size).map_err(Refusal::from)? as usize;
        let mut edges: Vec<Edge> = self.members.borrow().of_role(EDGE_ROLE).map(Self::other).collect();
        edges.retain(|edge| edge.edge_id != self.myself.id);
        edges.push(self.myself.view(self.load()).await);
        edges.sort_by(|a, b| a.edge_id.cmp(&b.edge_id));
        // The token is the last id of the page before: edges that come and go shift nobody out of a page.
        if !page_token.is_empty() {
            let after = page_token.strip_prefix(AFTER).ok_or_else(|| {
                Refusal::field(Reason::BadPageToken, "page_token", "next_page_token of the page before")
            })?;
            edges.retain(|edge| &*edge.edge_id > after);
        }
        let more = edges.len() > size;
        edges.truncate(size);
        let next_page_token = edges.last().filter(|_| more).map(|edge| [AFTER, &edge.edge_id].concat());
        Ok(Response::new(ListEdgesResponse { edges, next_page_token: next_page_token.unwrap_or_default() }))
    }

    async fn drain_edge(&self, request: Request<DrainEdgeRequest>) -> Result<Response<Edge>, Status> {
        let request = request.into_inner();
        check_request_id(&request.request_id)?;
        if request.edge_id == self.myself.id {
            self.myself.once(&request.request_id, Drain::begin);
            return Ok(Response::new(self.myself.view(self.load()).await));
        }
        let edge_id = request.edge_id.clone();
        self.toward(&edge_id)?.drain_edge(Some(&edge_id), request).await.map(Response::new)
    }

    async fn undrain_edge(&self, request: Request<UndrainEdgeRequest>) -> Result<Response<Edge>, Status> {
        let request = request.into_inner();
        check_request_id(&request.request_id)?;
        if request.edge_id == self.myself.id {
            self.myself.once(&request.request_id, Drain::take_back);
            return Ok(Response::new(self.myself.view(self.load()).await));
        }
        let edge_id = request.edge_id.clone();
        self.toward(&edge_id)?.undrain_edge(Some(&edge_id), request).await.map(Response::new)
    }

    async fn query_capabilities(
        &self,
        request: Request<QueryCapabilitiesRequest>,
    ) -> Result<Response<Capabilities>, Status> {
        self.asking.ask(request.into_inner()).await.map(Response::new)
    }
}

fn check_request_id(id: &str) -> Result<(), Status> {
    if (1..=64).contains(&id.len()) {
        return Ok(());
    }
    Err(Refusal::field(Reason::BadField, "request_id", "1 to 64 octets, chosen by the client").into())
}
