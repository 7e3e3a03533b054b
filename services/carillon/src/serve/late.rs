//! The edge of this process as call-control sees it, before the edge is put together: each of the two needs the other.

use std::sync::OnceLock;

use cluster_api::edge::v1::legs_server::Legs;
use cluster_api::edge::v1::requests_server::Requests;
use cluster_api::edge::v1::{
    CancelProxiedRequest, CancelProxiedResponse, CarryRequest, CarryResponse, ExchangeRequest,
    ExchangeResponse,
};
use edge::{BoundEdge, LegsService, RequestsService};
use tonic::{Request, Response, Status};

/// What call-control asks of the edge, once the edge is there.
#[derive(Default)]
pub struct LateEdge(OnceLock<(LegsService, RequestsService)>);

impl LateEdge {
    /// The edge is there.
    pub fn is(&self, edge: &BoundEdge) {
        // The composition binds its one edge once; a second call would change nothing.
        let _ = self.0.set((edge.legs(), edge.requests()));
    }

    fn get(&self) -> Result<&(LegsService, RequestsService), Status> {
        self.0.get().ok_or_else(|| Status::unavailable("the edge of this process is starting"))
    }
}

#[async_trait::async_trait]
impl Legs for LateEdge {
    async fn carry(&self, request: Request<CarryRequest>) -> Result<Response<CarryResponse>, Status> {
        self.get()?.0.carry(request).await
    }
}

#[async_trait::async_trait]
impl Requests for LateEdge {
    async fn exchange(
        &self,
        request: Request<ExchangeRequest>,
    ) -> Result<Response<ExchangeResponse>, Status> {
        self.get()?.1.exchange(request).await
    }

    async fn cancel_proxied(
        &self,
        request: Request<CancelProxiedRequest>,
    ) -> Result<Response<CancelProxiedResponse>, Status> {
        self.get()?.1.cancel_proxied(request).await
    }
}
