//! The rpcs one by one, as the generated trait wants them: those that exist, and those that say that they do not.

use std::pin::Pin;

use cluster_api::callcontrol::v1 as wire;
use cluster_api::callcontrol::v1::call_control_server::CallControl;
use cluster_rpc::Reason;
use cluster_rpc::auth::Caller;
use futures_util::Stream;
use lifecycle::TaskEnd;
use tonic::{Request, Response, Status};

use super::{CallControlApi, list};
use crate::refusal;

#[async_trait::async_trait]
impl CallControl for CallControlApi {
    type WatchCallsStream = Pin<Box<dyn Stream<Item = Result<wire::CallEvent, Status>> + Send>>;

    /// In a task of its own: a client that goes away while the call is being committed does not leave it half made.
    async fn dial(&self, request: Request<wire::DialRequest>) -> Result<Response<wire::Call>, Status> {
        let api = self.clone();
        let request = request.into_inner();
        let task = self.runner.tasks().spawn("dial", async move { api.dial(request).await });
        let task = task.map_err(|error| refusal::refuse(Reason::OriginationLimit, error.to_string()))?;
        let ended = |end: TaskEnd| match end {
            // The replica ends. The same request finds at another one what became of the call.
            TaskEnd::Stopped => refusal::refuse(Reason::Draining, end.to_string()),
            TaskEnd::Panicked(_) => refusal::refuse(Reason::Internal, end.to_string()),
        };
        Ok(Response::new(task.await.map_err(ended)??))
    }

    async fn get_call(&self, request: Request<wire::GetCallRequest>) -> Result<Response<wire::Call>, Status> {
        Ok(Response::new(self.get_call(request.into_inner()).await?))
    }

    async fn list_calls(
        &self,
        request: Request<wire::ListCallsRequest>,
    ) -> Result<Response<wire::ListCallsResponse>, Status> {
        Ok(Response::new(list::list(&self.runner.repository, request.into_inner()).await?))
    }

    async fn watch_calls(
        &self,
        request: Request<wire::WatchCallsRequest>,
    ) -> Result<Response<Self::WatchCallsStream>, Status> {
        Ok(Response::new(Box::pin(self.watches.watch(request.into_inner()).await?)))
    }

    async fn hangup(&self, request: Request<wire::HangupRequest>) -> Result<Response<wire::Call>, Status> {
        Ok(Response::new(self.hangup(request.into_inner()).await?))
    }

    async fn hold(&self, request: Request<wire::HoldRequest>) -> Result<Response<wire::Call>, Status> {
        Ok(Response::new(self.hold(request.into_inner()).await?))
    }

    async fn unhold(&self, request: Request<wire::UnholdRequest>) -> Result<Response<wire::Call>, Status> {
        Ok(Response::new(self.unhold(request.into_inner()).await?))
    }

    async fn transfer(
        &self,
        request: Request<wire::TransferRequest>,
    ) -> Result<Response<wire::Call>, Status> {
        Ok(Response::new(self.transfer(request.into_inner()).await?))
    }

    async fn bridge(&self, request: Request<wire::BridgeRequest>) -> Result<Response<wire::Call>, Status> {
        Ok(Response::new(self.bridge(request.into_inner()).await?))
    }

    async fn join(&self, request: Request<wire::JoinRequest>) -> Result<Response<wire::Call>, Status> {
        Ok(Response::new(self.join(request.into_inner()).await?))
    }

    async fn play_announcement(
        &self,
        request: Request<wire::PlayAnnouncementRequest>,
    ) -> Result<Response<wire::Call>, Status> {
        Ok(Response::new(self.play_announcement(request.into_inner()).await?))
    }

    async fn send_info(
        &self,
        request: Request<wire::SendInfoRequest>,
    ) -> Result<Response<wire::SendInfoResponse>, Status> {
        Ok(Response::new(self.send_info(request.into_inner()).await?))
    }

    async fn send_dtmf(
        &self,
        request: Request<wire::SendDtmfRequest>,
    ) -> Result<Response<wire::SendDtmfResponse>, Status> {
        Ok(Response::new(self.send_dtmf(request.into_inner()).await?))
    }

    async fn request_callback(
        &self,
        request: Request<wire::RequestCallbackRequest>,
    ) -> Result<Response<wire::Callback>, Status> {
        Ok(Response::new(self.request_callback(request.into_inner()).await?))
    }

    async fn get_callback(
        &self,
        request: Request<wire::GetCallbackRequest>,
    ) -> Result<Response<wire::Callback>, Status> {
        Ok(Response::new(self.get_callback(request.into_inner()).await?))
    }

    async fn list_callbacks(
        &self,
        request: Request<wire::ListCallbacksRequest>,
    ) -> Result<Response<wire::ListCallbacksResponse>, Status> {
        Ok(Response::new(self.list_callbacks(request.into_inner()).await?))
    }

    async fn cancel_callback(
        &self,
        request: Request<wire::CancelCallbackRequest>,
    ) -> Result<Response<wire::Callback>, Status> {
        Ok(Response::new(self.cancel_callback(request.into_inner()).await?))
    }

    async fn allocate_number(
        &self,
        request: Request<wire::AllocateNumberRequest>,
    ) -> Result<Response<wire::Number>, Status> {
        let requester = Caller::of(&request).name().to_owned();
        Ok(Response::new(self.allocate_number(requester, request.into_inner()).await?))
    }

    async fn release_number(
        &self,
        request: Request<wire::ReleaseNumberRequest>,
    ) -> Result<Response<wire::ReleaseNumberResponse>, Status> {
        Ok(Response::new(self.release_number(request.into_inner()).await?))
    }

    async fn list_numbers(
        &self,
        request: Request<wire::ListNumbersRequest>,
    ) -> Result<Response<wire::ListNumbersResponse>, Status> {
        Ok(Response::new(self.list_numbers(request.into_inner()).await?))
    }
}
