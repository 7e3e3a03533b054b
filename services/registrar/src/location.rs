//! The gRPC face of `Location`.

use cluster_api::registrar::v1::{
    AllocateRequest, AllocateResponse, AnswerChallengeRequest, AnswerChallengeResponse, EndFlowsRequest,
    EndFlowsResponse, ListLentRequest, ListLentResponse, RegisterRequest, RegisterResponse, ReleaseRequest,
    ReleaseResponse, ReleaseTrunkRequest, ReleaseTrunkResponse, RouteRequest, RouteResponse,
    SeizeTrunkRequest, SeizeTrunkResponse, WakeRequest, WakeResponse, location_server::Location,
};
use tonic::{Request, Response, Status};

use crate::{
    Registrar,
    refusal::{of_change, of_store},
};

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

    async fn allocate(
        &self,
        request: Request<AllocateRequest>,
    ) -> Result<Response<AllocateResponse>, Status> {
        Ok(Response::new(self.shared.allocate(request.into_inner()).await?))
    }

    async fn release(&self, request: Request<ReleaseRequest>) -> Result<Response<ReleaseResponse>, Status> {
        Ok(Response::new(self.shared.release_number(request.into_inner()).await?))
    }

    async fn list_lent(
        &self,
        request: Request<ListLentRequest>,
    ) -> Result<Response<ListLentResponse>, Status> {
        Ok(Response::new(self.shared.list_lent(request.into_inner()).await?))
    }

    async fn wake(&self, request: Request<WakeRequest>) -> Result<Response<WakeResponse>, Status> {
        let request = request.into_inner();
        let answered = match request.flow.is_empty() {
            true => self.shared.wake(request).await,
            false => self.shared.follow(&request).await,
        };
        Ok(Response::new(answered.map_err(of_store)?))
    }

    async fn seize_trunk(
        &self,
        request: Request<SeizeTrunkRequest>,
    ) -> Result<Response<SeizeTrunkResponse>, Status> {
        Ok(Response::new(self.shared.seize_trunk(request.into_inner()).await.map_err(of_change)?))
    }

    async fn release_trunk(
        &self,
        request: Request<ReleaseTrunkRequest>,
    ) -> Result<Response<ReleaseTrunkResponse>, Status> {
        Ok(Response::new(self.shared.release_trunk(request.into_inner()).await.map_err(of_store)?))
    }
}
