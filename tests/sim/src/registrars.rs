//! The replicas of the registrar behind one name, as edges and members see them.

use async_trait::async_trait;
use cluster_api::cluster::v1::membership_server::Membership;
use cluster_api::cluster::v1::{LeaseRequest, LeaseResponse, LeaveRequest, LeaveResponse};
use cluster_api::registrar::v1::location_server::Location;
use cluster_api::registrar::v1::{
    AllocateRequest, AllocateResponse, AnswerChallengeRequest, AnswerChallengeResponse, EndFlowsRequest,
    EndFlowsResponse, ListLentRequest, ListLentResponse, RegisterRequest, RegisterResponse, ReleaseRequest,
    ReleaseResponse, ReleaseTrunkRequest, ReleaseTrunkResponse, RouteRequest, RouteResponse,
    SeizeTrunkRequest, SeizeTrunkResponse, WakeRequest, WakeResponse,
};
use lifecycle::Tasks;
use registrar::Registrar;
use std::future::Future;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::links::Places;
use crate::trouble::Trouble;

/// A living replica of the registrar.
#[derive(Clone)]
pub struct RegistrarReplica {
    /// The service.
    pub service: Registrar,
    /// Its tasks.
    pub tasks: Tasks,
    /// What comes between it and the others.
    pub trouble: Trouble,
    /// Set when the process dies.
    pub dead: CancellationToken,
}

impl RegistrarReplica {
    async fn ask<T>(&self, question: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        match self.dead.run_until_cancelled(self.trouble.over(question)).await {
            Some(answer) => answer,
            None => Err(Status::unavailable("the connection broke")),
        }
    }
}

/// The replicas of the registrar.
pub type Registrars = Places<RegistrarReplica>;

#[async_trait]
impl Location for Registrars {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let replica = self.any()?;
        replica.ask(replica.service.register(request)).await
    }

    async fn route(&self, request: Request<RouteRequest>) -> Result<Response<RouteResponse>, Status> {
        let replica = self.any()?;
        replica.ask(replica.service.route(request)).await
    }

    async fn end_flows(
        &self,
        request: Request<EndFlowsRequest>,
    ) -> Result<Response<EndFlowsResponse>, Status> {
        let replica = self.any()?;
        replica.ask(replica.service.end_flows(request)).await
    }

    async fn answer_challenge(
        &self,
        request: Request<AnswerChallengeRequest>,
    ) -> Result<Response<AnswerChallengeResponse>, Status> {
        let replica = self.any()?;
        replica.ask(replica.service.answer_challenge(request)).await
    }

    async fn wake(&self, request: Request<WakeRequest>) -> Result<Response<WakeResponse>, Status> {
        let replica = self.any()?;
        replica.ask(replica.service.wake(request)).await
    }

    async fn seize_trunk(
        &self,
        request: Request<SeizeTrunkRequest>,
    ) -> Result<Response<SeizeTrunkResponse>, Status> {
        let replica = self.any()?;
        replica.ask(replica.service.seize_trunk(request)).await
    }

    async fn release_trunk(
        &self,
        request: Request<ReleaseTrunkRequest>,
    ) -> Result<Response<ReleaseTrunkResponse>, Status> {
        let replica = self.any()?;
        replica.ask(replica.service.release_trunk(request)).await
    }

    async fn allocate(
        &self,
        request: Request<AllocateRequest>,
    ) -> Result<Response<AllocateResponse>, Status> {
        let replica = self.any()?;
        replica.ask(replica.service.allocate(request)).await
    }

    async fn release(&self, request: Request<ReleaseRequest>) -> Result<Response<ReleaseResponse>, Status> {
        let replica = self.any()?;
        replica.ask(replica.service.release(request)).await
    }

    async fn list_lent(
        &self,
        request: Request<ListLentRequest>,
    ) -> Result<Response<ListLentResponse>, Status> {
        let replica = self.any()?;
        replica.ask(replica.service.list_lent(request)).await
    }
}

#[async_trait]
impl Membership for Registrars {
    async fn lease(&self, request: Request<LeaseRequest>) -> Result<Response<LeaseResponse>, Status> {
        let replica = self.any()?;
        replica.ask(replica.service.lease(request)).await
    }

    async fn leave(&self, request: Request<LeaveRequest>) -> Result<Response<LeaveResponse>, Status> {
        let replica = self.any()?;
        replica.ask(replica.service.leave(request)).await
    }
}
