//! Where users are registered.

use async_trait::async_trait;
use cluster_api::registrar::v1::{Binding, BindingEvent};
use cluster_rpc::BindingsLink;
use tonic::Status;
use tonic::codegen::BoxStream;

/// Somebody who knows all bindings.
#[async_trait]
pub trait Registrations: Send + Sync + 'static {
    /// The bindings of an address of record now, highest q first.
    ///
    /// # Errors
    /// What the registrar or the way to it answered.
    async fn list(&self, aor: &str) -> Result<Vec<Binding>, Status>;

    /// What changes, behind a cursor; without one it begins with what there is.
    ///
    /// # Errors
    /// What the registrar or the way to it answered; `OUT_OF_RANGE` when the cursor is too old.
    async fn watch(&self, after_cursor: Option<String>) -> Result<BoxStream<BindingEvent>, Status>;
}

#[async_trait]
impl Registrations for BindingsLink {
    async fn list(&self, aor: &str) -> Result<Vec<Binding>, Status> {
        BindingsLink::list(self, aor).await
    }

    async fn watch(&self, after_cursor: Option<String>) -> Result<BoxStream<BindingEvent>, Status> {
        BindingsLink::watch(self, after_cursor).await
    }
}
