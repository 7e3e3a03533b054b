//! `Presence`: who is there, who watches, and who may.

use cluster_api::presence::v1 as api;
use tonic::{Request, Response, Status};

use super::absent::{Absent, Events, absent};
use crate::Presence;

#[tonic::async_trait]
impl api::presence_server::Presence for Presence {
    type WatchPresenceStream = Events<api::PresenceEvent>;

    async fn set_watcher_policy(
        &self,
        request: Request<api::SetWatcherPolicyRequest>,
    ) -> Result<Response<api::WatcherPolicy>, Status> {
        self.set_policy(request.into_inner()).await
    }

    async fn get_watcher_policy(
        &self,
        request: Request<api::GetWatcherPolicyRequest>,
    ) -> Result<Response<api::WatcherPolicy>, Status> {
        self.policy(request.into_inner()).await
    }

    async fn get_presence(&self, _: Request<api::GetPresenceRequest>) -> Absent<api::PresenceState> {
        absent("GetPresence")
    }

    async fn publish_presence(&self, _: Request<api::PublishPresenceRequest>) -> Absent<api::Publication> {
        absent("PublishPresence")
    }

    async fn list_watchers(&self, _: Request<api::ListWatchersRequest>) -> Absent<api::ListWatchersResponse> {
        absent("ListWatchers")
    }

    async fn watch_presence(
        &self,
        _: Request<api::WatchPresenceRequest>,
    ) -> Absent<Self::WatchPresenceStream> {
        absent("WatchPresence")
    }
}
