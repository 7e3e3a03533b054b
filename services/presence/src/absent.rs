//! The rpcs of the API that this version does not carry out. Each says so and does nothing.

use std::pin::Pin;

use cluster_api::presence::v1 as api;
use cluster_rpc::Refusal;
use futures_util::Stream;
use tonic::{Request, Response, Status};

use crate::Presence;

/// What an rpc without an implementation answers.
type Absent<T> = Result<Response<T>, Status>;

/// The stream that a watch would be.
type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn absent<T>(rpc: &str) -> Absent<T> {
    Err(Refusal::not_implemented(rpc).into())
}

#[tonic::async_trait]
impl api::presence_server::Presence for Presence {
    type WatchPresenceStream = Events<api::PresenceEvent>;

    async fn get_presence(&self, _: Request<api::GetPresenceRequest>) -> Absent<api::PresenceState> {
        absent("GetPresence")
    }

    async fn publish_presence(&self, _: Request<api::PublishPresenceRequest>) -> Absent<api::Publication> {
        absent("PublishPresence")
    }

    async fn list_watchers(&self, _: Request<api::ListWatchersRequest>) -> Absent<api::ListWatchersResponse> {
        absent("ListWatchers")
    }

    async fn set_watcher_policy(
        &self,
        _: Request<api::SetWatcherPolicyRequest>,
    ) -> Absent<api::WatcherPolicy> {
        absent("SetWatcherPolicy")
    }

    async fn get_watcher_policy(
        &self,
        _: Request<api::GetWatcherPolicyRequest>,
    ) -> Absent<api::WatcherPolicy> {
        absent("GetWatcherPolicy")
    }

    async fn watch_presence(
        &self,
        _: Request<api::WatchPresenceRequest>,
    ) -> Absent<Self::WatchPresenceStream> {
        absent("WatchPresence")
    }
}

#[tonic::async_trait]
impl api::message_summary_server::MessageSummary for Presence {
    async fn set_message_summary(&self, _: Request<api::SetMessageSummaryRequest>) -> Absent<api::Summary> {
        absent("SetMessageSummary")
    }

    async fn get_message_summary(&self, _: Request<api::GetMessageSummaryRequest>) -> Absent<api::Summary> {
        absent("GetMessageSummary")
    }
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

#[tonic::async_trait]
impl api::messages_server::Messages for Presence {
    type WatchMessagesStream = Events<api::MessageEvent>;

    async fn send_message(&self, _: Request<api::SendMessageRequest>) -> Absent<api::InstantMessage> {
        absent("SendMessage")
    }

    async fn list_messages(&self, _: Request<api::ListMessagesRequest>) -> Absent<api::ListMessagesResponse> {
        absent("ListMessages")
    }

    async fn delete_message(
        &self,
        _: Request<api::DeleteMessageRequest>,
    ) -> Absent<api::DeleteMessageResponse> {
        absent("DeleteMessage")
    }

    async fn watch_messages(
        &self,
        _: Request<api::WatchMessagesRequest>,
    ) -> Absent<Self::WatchMessagesStream> {
        absent("WatchMessages")
    }
}

#[cfg(test)]
mod tests {
    use cluster_rpc::Reason;

    use super::{api::presence_server::Presence as _, *};

    #[tokio::test]
    async fn what_is_not_built_says_so() {
        let status = Presence::default()
            .get_presence(Request::new(api::GetPresenceRequest::default()))
            .await
            .unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unimplemented);
        assert_eq!(Refusal::read(&status).map(|refusal| refusal.reason()), Some(Reason::NotImplemented));
        assert!(status.message().contains("GetPresence"));
    }
}
