//! The rpcs one by one, as the generated trait wants them: those that exist, and those that say that they do not.

use std::pin::Pin;

use cluster_api::callcontrol::v1 as wire;
use cluster_api::callcontrol::v1::call_control_server::CallControl;
use cluster_rpc::{Reason, Refusal};
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
        let ended = |end: TaskEnd| refusal::refuse(Reason::Internal, end.to_string());
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

    async fn join(&self, _: Request<wire::JoinRequest>) -> Result<Response<wire::Call>, Status> {
        Err(Refusal::not_implemented("Join").into())
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
        _: Request<wire::RequestCallbackRequest>,
    ) -> Result<Response<wire::Callback>, Status> {
        Err(Refusal::not_implemented("RequestCallback").into())
    }

    async fn get_callback(
        &self,
        _: Request<wire::GetCallbackRequest>,
    ) -> Result<Response<wire::Callback>, Status> {
        Err(Refusal::not_implemented("GetCallback").into())
    }

    async fn list_callbacks(
        &self,
        _: Request<wire::ListCallbacksRequest>,
    ) -> Result<Response<wire::ListCallbacksResponse>, Status> {
        Err(Refusal::not_implemented("ListCallbacks").into())
    }

    async fn cancel_callback(
        &self,
        _: Request<wire::CancelCallbackRequest>,
    ) -> Result<Response<wire::Callback>, Status> {
        Err(Refusal::not_implemented("CancelCallback").into())
    }

    async fn allocate_number(
        &self,
        _: Request<wire::AllocateNumberRequest>,
    ) -> Result<Response<wire::Number>, Status> {
        Err(Refusal::not_implemented("AllocateNumber").into())
    }

    async fn release_number(
        &self,
        _: Request<wire::ReleaseNumberRequest>,
    ) -> Result<Response<wire::ReleaseNumberResponse>, Status> {
        Err(Refusal::not_implemented("ReleaseNumber").into())
    }

    async fn list_numbers(
        &self,
        _: Request<wire::ListNumbersRequest>,
    ) -> Result<Response<wire::ListNumbersResponse>, Status> {
        Err(Refusal::not_implemented("ListNumbers").into())
    }
}
