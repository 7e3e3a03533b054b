//! Where users are registered, as the registrar says it to another service.

use std::sync::Arc;

use cluster_api::registrar::v1::{
    Binding, BindingEvent, ListBindingsRequest, ListBindingsResponse, WatchBindingsRequest,
    bindings_client::BindingsClient, bindings_server::Bindings,
};
use tonic::{Request, Status, codegen::BoxStream};

use crate::{
    Envelope,
    links::{IN_PROCESS, in_process},
    remote::{CallKind, Replicas},
};

/// What presence asks the registrar about bindings.
#[derive(Clone)]
pub enum BindingsLink {
    /// The registrar runs in this process.
    Local(Arc<dyn Bindings<WatchBindingsStream = BoxStream<BindingEvent>>>),
    /// It runs elsewhere.
    Remote(Replicas),
}

impl BindingsLink {
    /// All bindings of an address of record.
    ///
    /// # Errors
    /// What the registrar refused with, or `SERVICE_UNAVAILABLE` or `DEADLINE_EXCEEDED` when it did not answer.
    pub async fn list(&self, aor: &str) -> Result<Vec<Binding>, Status> {
        let (mut all, mut page_token) = (Vec::new(), String::new());
        loop {
            let page =
                self.page(ListBindingsRequest { aor: aor.to_owned(), page_size: 1_000, page_token }).await?;
            all.extend(page.bindings);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(all);
            }
        }
    }

    async fn page(&self, request: ListBindingsRequest) -> Result<ListBindingsResponse, Status> {
        match self {
            Self::Local(service) => {
                in_process("registrar", IN_PROCESS, service.list_bindings(Request::new(request))).await
            }
            Self::Remote(replicas) => {
                let attempt = |channel, envelope: Envelope| {
                    let request = envelope.seal(request.clone());
                    async move { BindingsClient::new(channel).list_bindings(request).await }
                };
                Box::pin(async { replicas.call("list_bindings", CallKind::Idempotent, attempt).await }).await
            }
        }
    }

    /// What changes from now on, or from a cursor on, for as long as the registrar lives.
    ///
    /// # Errors
    /// What the registrar refused with, or that none was found.
    pub async fn watch(&self, after_cursor: Option<String>) -> Result<BoxStream<BindingEvent>, Status> {
        let request = WatchBindingsRequest { aor: String::new(), after_cursor };
        match self {
            Self::Local(service) => Ok(service.watch_bindings(Request::new(request)).await?.into_inner()),
            Self::Remote(replicas) => {
                let (channel, envelope) = replicas.lasting().await?;
                let events = BindingsClient::new(channel).watch_bindings(envelope.seal(request)).await?;
                Ok(Box::pin(events.into_inner()))
            }
        }
    }
}
