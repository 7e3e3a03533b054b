//! `ListWatchers`: who watches, and where each subscription stands.

use cluster_api::convert::{page_limit, timestamp};
use cluster_api::presence::v1::{ListWatchersRequest, ListWatchersResponse, Watcher, watcher::State};
use cluster_rpc::{Reason, Refusal};
use tonic::{Response, Status};

use crate::Presence;
use crate::engine::{Package, Standing, Subscription};
use crate::refusal::of_store;
use crate::repository::time;

impl Presence {
    pub(super) async fn watchers(
        &self,
        request: ListWatchersRequest,
    ) -> Result<Response<ListWatchersResponse>, Status> {
        let name = if request.package.is_empty() { "presence" } else { &request.package };
        let Some(package) = Package::named(name) else {
            let expected = format!("a package that is carried: {}", crate::engine::allow_events());
            return Err(Refusal::field(Reason::BadField, "package", expected).into());
        };
        let limit = page_limit(request.page_size).map_err(Refusal::from)?;
        let aor = self.account("aor", &request.aor).await?;
        let repository = &self.runner.repository;
        let after = Some(request.page_token.as_str()).filter(|token| !token.is_empty());
        if after.is_some_and(|token| repository.home_of(token) != Some(repository.partition(&aor))) {
            return Err(Refusal::field(Reason::BadPageToken, "page_token", "a token of this list").into());
        }
        let page = repository.watchers(package, &aor, after, limit as usize).await.map_err(of_store)?;
        let ids: Vec<String> = page.entries.into_iter().map(|(id, _)| id).collect();
        let found = repository.load_all(&aor, &ids).await.map_err(of_store)?;
        let watchers = found.iter().map(show).collect();
        Ok(Response::new(ListWatchersResponse { watchers, next_page_token: page.next.unwrap_or_default() }))
    }
}

fn show(subscription: &Subscription) -> Watcher {
    let state = match (subscription.is_ended(), subscription.standing()) {
        (true, _) => State::Terminated,
        (false, Standing::Pending) => State::Pending,
        (false, Standing::Active | Standing::Unspecified) => State::Active,
    };
    Watcher {
        watcher_id: subscription.id.clone(),
        watcher: subscription.watcher.clone(),
        package: subscription.package.clone(),
        state: state.into(),
        expire_time: Some(timestamp(time(subscription.expire_ms))),
        display_name: subscription.display.clone(),
    }
}
