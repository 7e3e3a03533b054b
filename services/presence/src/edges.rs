//! The way to the phones: an edge sends each request.

use async_trait::async_trait;
use cluster_api::edge::v1::{ExchangeRequest, ExchangeResponse};
use cluster_rpc::membership::View;
use cluster_rpc::{EDGE_ROLE, RequestsLink};
use tokio::sync::watch;
use tonic::Status;

/// Somebody who sends requests and says how they ended.
#[async_trait]
pub trait Edges: Send + Sync + 'static {
    /// Sends a request and waits for how it ended. All replicas ask the same edge for the same `key` while that edge lives, and
    /// it sends one request for one id.
    ///
    /// # Errors
    /// What the edge or the way to it answered.
    async fn exchange(&self, key: &str, request: ExchangeRequest) -> Result<ExchangeResponse, Status>;
}

/// Edges as the membership names them.
pub struct LinkedEdges {
    requests: RequestsLink,
    view: watch::Receiver<View>,
}

impl LinkedEdges {
    /// The edges of this member list.
    pub fn new(requests: RequestsLink, view: watch::Receiver<View>) -> LinkedEdges {
        LinkedEdges { requests, view }
    }
}

#[async_trait]
impl Edges for LinkedEdges {
    async fn exchange(&self, key: &str, request: ExchangeRequest) -> Result<ExchangeResponse, Status> {
        let edge = self.view.borrow().choose(EDGE_ROLE, key).map(|edge| edge.id.clone());
        self.requests.exchange(edge.as_deref(), request).await
    }
}
