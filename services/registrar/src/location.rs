//! The gRPC face of `Location`.

use cluster_api::registrar::v1::{
    RegisterRequest, RegisterResponse, RouteRequest, RouteResponse, location_server::Location,
};
use tonic::{Request, Response, Status};

use crate::Registrar;

#[tonic::async_trait]
impl Location for Registrar {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        Ok(Response::new(self.shared.answer_register(request.into_inner()).await))
    }

    async fn route(&self, request: Request<RouteRequest>) -> Result<Response<RouteResponse>, Status> {
        Ok(Response::new(self.shared.answer_route(request.into_inner()).await))
    }
}
