//! The gRPC face of the legs: hands each effect to the driver loop and waits until it was taken on.

use async_trait::async_trait;
use cluster_api::edge::v1::legs_server::Legs;
use cluster_api::edge::v1::{CarryRequest, CarryResponse};
use cluster_rpc::{Reason, Refusal};
use sip_endpoint::Handle;
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use crate::edge::Command;
use crate::refusal::overloaded;

/// `carillon.edge.v1.Legs` of one edge.
#[derive(Clone)]
pub struct LegsService {
    pub(crate) handle: Handle<Command>,
    pub(crate) edge_id: String,
    pub(crate) edge_epoch: u64,
}

#[async_trait]
impl Legs for LegsService {
    async fn carry(&self, request: Request<CarryRequest>) -> Result<Response<CarryResponse>, Status> {
        let (reply, taken_on) = oneshot::channel();
        let command = Command::Carry(Box::new(request.into_inner()), reply);
        self.handle.send(command).map_err(|_| overloaded("too many commands wait for this edge"))?;
        taken_on.await.map_err(|_| Status::from(Refusal::new(Reason::Draining, "this edge ends")))??;
        Ok(Response::new(CarryResponse { edge_id: self.edge_id.clone(), edge_epoch: self.edge_epoch }))
    }
}
