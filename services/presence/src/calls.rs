//! The calls of users, as call-control knows them.

use async_trait::async_trait;
use cluster_api::callcontrol::v1::{Call, CallEvent};
use cluster_rpc::CallsLink;
use futures_util::{StreamExt as _, stream};
use tonic::Status;
use tonic::codegen::BoxStream;

/// Somebody who knows all calls, proxied and controlled.
#[async_trait]
pub trait Calls: Send + Sync + 'static {
    /// Every call that goes on. One that began or ended while they were listed may be there or not.
    ///
    /// # Errors
    /// What call-control or the way to it answered.
    async fn live(&self) -> Result<Vec<Call>, Status>;

    /// One call by its id; `None` when there is no such call.
    ///
    /// # Errors
    /// What call-control or the way to it answered.
    async fn call(&self, call_id: &str) -> Result<Option<Call>, Status>;

    /// What happens to calls, behind a cursor; without one it begins with those that go on.
    ///
    /// # Errors
    /// What call-control or the way to it answered; `OUT_OF_RANGE` when the cursor is too old.
    async fn watch(&self, after_cursor: Option<String>) -> Result<BoxStream<CallEvent>, Status>;
}

#[async_trait]
impl Calls for CallsLink {
    async fn live(&self) -> Result<Vec<Call>, Status> {
        CallsLink::live(self).await
    }

    async fn call(&self, call_id: &str) -> Result<Option<Call>, Status> {
        CallsLink::call(self, call_id).await
    }

    async fn watch(&self, after_cursor: Option<String>) -> Result<BoxStream<CallEvent>, Status> {
        CallsLink::watch(self, after_cursor).await
    }
}

/// Where nobody knows of calls: there are none.
pub struct NoCalls;

#[async_trait]
impl Calls for NoCalls {
    async fn live(&self) -> Result<Vec<Call>, Status> {
        Ok(Vec::new())
    }

    async fn call(&self, _: &str) -> Result<Option<Call>, Status> {
        Ok(None)
    }

    async fn watch(&self, _: Option<String>) -> Result<BoxStream<CallEvent>, Status> {
        Ok(stream::pending().boxed())
    }
}
