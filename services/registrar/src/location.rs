//! The gRPC face of `Location`.

use cluster_api::registrar::v1::{
    AnswerChallengeRequest, AnswerChallengeResponse, EndFlowsRequest, EndFlowsResponse, RegisterRequest,
    RegisterResponse, RouteRequest, RouteResponse, WakeRequest, WakeResponse, location_server::Location,
};
use tonic::{Request, Response, Status};

use crate::{Registrar, refusal::of_store};

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

    async fn end_flows(
        &self,
        request: Request<EndFlowsRequest>,
    ) -> Result<Response<EndFlowsResponse>, Status> {
        Ok(Response::new(self.shared.end_flows(request.into_inner()).await?))
    }
    async fn answer_challenge(
        &self,
        request: Request<AnswerChallengeRequest>,
    ) -> Result<Response<AnswerChallengeResponse>, Status> {
        let answered = self.shared.answer_challenge(request.into_inner()).await;
        Ok(Response::new(answered.map_err(of_store)?))
    }

    async fn wake(&self, request: Request<WakeRequest>) -> Result<Response<WakeResponse>, Status> {
        Ok(Response::new(self.shared.wake(request.into_inner()).await.map_err(of_store)?))
    }
}
