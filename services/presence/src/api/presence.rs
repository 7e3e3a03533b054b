//! `Presence`: who is there, who watches, and who may.

use cluster_api::presence::v1 as api;
use tonic::{Request, Response, Status};

use crate::Presence;
use crate::engine::Package;
use crate::refusal::of_store;
use crate::repository::names;
use crate::topics::{Bindings, Presentity, Publications};
use crate::watch::Events;

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

    async fn get_presence(
        &self,
        request: Request<api::GetPresenceRequest>,
    ) -> Result<Response<api::PresenceState>, Status> {
        let aor = self.account("aor", &request.into_inner().aor).await?;
        let repository = &self.runner.repository;
        let (value, _) =
            repository.record(&aor, &names::state(Package::Presence, &aor)).await.map_err(of_store)?;
        let mut publications = Publications::read(value.as_ref()).map_err(of_store)?;
        publications.lapse(repository.now_ms());
        let listed = self.runner.registrations.list(&aor).await?;
        let bindings = Bindings::default().next(Package::Presence, listed, None);
        let presentity = Presentity { aor, publications, bindings, ..Presentity::default() };
        Ok(Response::new(presentity.state()))
    }

    async fn publish_presence(
        &self,
        request: Request<api::PublishPresenceRequest>,
    ) -> Result<Response<api::Publication>, Status> {
        self.publish_state(request.into_inner()).await
    }

    async fn list_watchers(
        &self,
        request: Request<api::ListWatchersRequest>,
    ) -> Result<Response<api::ListWatchersResponse>, Status> {
        self.watchers(request.into_inner()).await
    }

    async fn watch_presence(
        &self,
        request: Request<api::WatchPresenceRequest>,
    ) -> Result<Response<Self::WatchPresenceStream>, Status> {
        self.watch_state(request.into_inner()).await
    }
}
