//! The rpcs of the API that this version does not carry out. Each says so and does nothing.

use std::pin::Pin;

use cluster_api::presence::v1 as api;
use cluster_rpc::Refusal;
use futures_util::Stream;
use tonic::{Request, Response, Status};

use crate::Presence;

/// What an rpc without an implementation answers.
pub(super) type Absent<T> = Result<Response<T>, Status>;

/// The stream that a watch would be.
pub(super) type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

pub(super) fn absent<T>(rpc: &str) -> Absent<T> {
    Err(Refusal::not_implemented(rpc).into())
}

#[tonic::async_trait]
impl api::resource_lists_server::ResourceLists for Presence {
    async fn create_list(&self, _: Request<api::CreateListRequest>) -> Absent<api::ResourceList> {
        absent("CreateList")
    }

    async fn get_list(&self, _: Request<api::GetListRequest>) -> Absent<api::ResourceList> {
        absent("GetList")
    }

    async fn list_lists(&self, _: Request<api::ListListsRequest>) -> Absent<api::ListListsResponse> {
        absent("ListLists")
    }

    async fn update_list(&self, _: Request<api::UpdateListRequest>) -> Absent<api::ResourceList> {
        absent("UpdateList")
    }

    async fn delete_list(&self, _: Request<api::DeleteListRequest>) -> Absent<api::DeleteListResponse> {
        absent("DeleteList")
    }
}
