//! The calls of users, as call-control says them to another service.

use std::{pin::Pin, sync::Arc};

use cluster_api::callcontrol::v1::{
    Call, CallEvent, CallFilter, GetCallRequest, ListCallsRequest, ListCallsResponse, WatchCallsRequest,
    call::State, call_control_client::CallControlClient, call_control_server::CallControl,
};
use futures_util::Stream;
use tonic::{Code, Request, Status, codegen::BoxStream};

use crate::{
    Envelope,
    links::{IN_PROCESS, in_process},
    remote::{CallKind, Replicas},
};

/// Calls of a page: with their legs and metadata within what one message takes.
const PAGE: i32 = 200;

/// The events of a call-control in this process.
type Events = Pin<Box<dyn Stream<Item = Result<CallEvent, Status>> + Send>>;

/// What presence asks call-control about calls.
#[derive(Clone)]
pub enum CallsLink {
    /// Call-control runs in this process.
    Local(Arc<dyn CallControl<WatchCallsStream = Events>>),
    /// It runs elsewhere.
    Remote(Replicas),
}

impl CallsLink {
    /// Every call that goes on.
    ///
    /// # Errors
    /// What call-control refused with, or `SERVICE_UNAVAILABLE` or `DEADLINE_EXCEEDED` when it did not answer.
    pub async fn live(&self) -> Result<Vec<Call>, Status> {
        let live =
            [State::Dialing, State::Ringing, State::Progressing, State::Answered, State::Held, State::Ending];
        let filter = CallFilter { states: live.map(i32::from).to_vec(), ..CallFilter::default() };
        let (mut all, mut page_token) = (Vec::new(), String::new());
        loop {
            let filter = Some(filter.clone());
            let page = self.page(ListCallsRequest { filter, page_size: PAGE, page_token }).await?;
            all.extend(page.calls);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// One call by its id; `None` when there is no such call.
    ///
    /// # Errors
    /// What call-control refused with, or `SERVICE_UNAVAILABLE` or `DEADLINE_EXCEEDED` when it did not answer.
    pub async fn call(&self, call_id: &str) -> Result<Option<Call>, Status> {
        let request = GetCallRequest { call_id: call_id.to_owned() };
        let found = match self {
            Self::Local(service) => {
                in_process("call-control", IN_PROCESS, service.get_call(Request::new(request))).await
            }
            Self::Remote(replicas) => {
                let attempt = |channel, envelope: Envelope| {
                    let request = envelope.seal(request.clone());
                    async move { CallControlClient::new(channel).get_call(request).await }
                };
                Box::pin(async { replicas.call("get_call", CallKind::Idempotent, attempt).await }).await
            }
        };
        match found {
            Ok(call) => Ok(Some(call)),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }

    async fn page(&self, request: ListCallsRequest) -> Result<ListCallsResponse, Status> {
        match self {
            Self::Local(service) => {
                in_process("call-control", IN_PROCESS, service.list_calls(Request::new(request))).await
            }
            Self::Remote(replicas) => {
                let attempt = |channel, envelope: Envelope| {
                    let request = envelope.seal(request.clone());
                    async move { CallControlClient::new(channel).list_calls(request).await }
                };
                Box::pin(async { replicas.call("list_calls", CallKind::Idempotent, attempt).await }).await
            }
        }
    }

    /// What happens to calls from now on, or from a cursor on, for as long as the replica that is asked lives.
    ///
    /// # Errors
    /// What call-control refused with, or that none was found.
    pub async fn watch(&self, after_cursor: Option<String>) -> Result<BoxStream<CallEvent>, Status> {
        let request = WatchCallsRequest { after_cursor, ..WatchCallsRequest::default() };
        match self {
            Self::Local(service) => Ok(service.watch_calls(Request::new(request)).await?.into_inner()),
            Self::Remote(replicas) => {
                let (channel, envelope) = replicas.lasting().await?;
                let events = CallControlClient::new(channel).watch_calls(envelope.seal(request)).await?;
                Ok(Box::pin(events.into_inner()))
            }
        }
    }
}
