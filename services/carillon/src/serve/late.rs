//! The edge of this process as call-control sees it, before the edge is put together: each of the two needs the other.

use std::sync::OnceLock;

use cluster_api::edge::v1::legs_server::Legs;
use cluster_api::edge::v1::{CarryRequest, CarryResponse};
use edge::LegsService;
use tonic::{Request, Response, Status};

/// Carries legs once the edge is there.
#[derive(Default)]
pub struct LateLegs(OnceLock<LegsService>);

impl LateLegs {
    /// The edge is there.
    pub fn is(&self, service: LegsService) {
        // The composition binds its one edge once; a second call would change nothing.
        let _ = self.0.set(service);
    }
}

#[async_trait::async_trait]
impl Legs for LateLegs {
    async fn carry(&self, request: Request<CarryRequest>) -> Result<Response<CarryResponse>, Status> {
        match self.0.get() {
            Some(service) => service.carry(request).await,
            None => Err(Status::unavailable("the edge of this process is starting")),
        }
    }
}
