//! `ResourceLists`: lists that are watched as one. RFC 4662

use std::collections::HashSet;

use cluster_api::convert::{is_one_line, page_limit};
use cluster_api::presence::v1 as api;
use cluster_api::presence::v1::ResourceList;
use cluster_rpc::{Reason, Refusal};
use store::{Batch, StoreError};
use tonic::{Request, Response, Status};

use super::accounts::Whose;
use crate::Presence;
use crate::intake::user_aor;
use crate::refusal::of_store;
use crate::repository::names;
use crate::topics::list::{MOST_MEMBERS, Record};

/// Longest URI.
const LONGEST_URI: usize = 512;
/// Longest name.
const LONGEST_NAME: usize = 128;
/// Lists that one member may be on: each change of it looks at them all.
const MOST_LISTS: usize = 256;
/// Fields that can be changed.
const FIELDS: [&str; 3] = ["display_name", "members", "owner"];

/// What becomes of a list: itself, and its members elsewhere; `None` removes it.
type Next = Option<(ResourceList, Vec<String>)>;

#[tonic::async_trait]
impl api::resource_lists_server::ResourceLists for Presence {
    async fn create_list(
        &self,
        request: Request<api::CreateListRequest>,
    ) -> Result<Response<ResourceList>, Status> {
        let request = request.into_inner();
        let list = checked(request.list.clone().unwrap_or_default())?;
        match self.whose(&list.list_uri).await? {
            Whose::Nobody => {}
            Whose::Account => return Err(bad_list("a URI that is no account's")),
            Whose::Elsewhere => return Err(bad_list("a URI in a domain that is served here")),
        }
        let elsewhere = self.elsewhere(&list).await?;
        let store = &**self.runner.repository.store();
        let used = self.requests.claim(store, "CreateList", &request.request_id, &request).await?;
        let uri = list.list_uri.clone();
        let next = |known: Option<&Record>| match known {
            Some(_) => Err(Refusal::new(Reason::ListExists, format!("there is a list {uri}"))),
            None => Ok(Some((list.clone(), elsewhere.clone()))),
        };
        self.change_list(&uri, &used, next).await.map(Response::new)
    }

    async fn get_list(
        &self,
        request: Request<api::GetListRequest>,
    ) -> Result<Response<ResourceList>, Status> {
        let uri = list_uri(&request.into_inner().list_uri, "list_uri")?;
        let (record, _) = self.runner.repository.list(&uri).await.map_err(of_store)?;
        let record = record.filter(|record| !record.is_removed).ok_or_else(|| not_found(&uri))?;
        Ok(Response::new(record.shown()))
    }

    async fn list_lists(
        &self,
        request: Request<api::ListListsRequest>,
    ) -> Result<Response<api::ListListsResponse>, Status> {
        let request = request.into_inner();
        let limit = page_limit(request.page_size).map_err(Refusal::from)?;
        let filter = request.filter.unwrap_or_default();
        let wanted = |value: &str, reason, field: &str| match value {
            "" => Ok(None),
            value => match user_aor(value) {
                Some(aor) => Ok(Some(aor)),
                None => Err(Refusal::field(reason, field, "a sip or sips URI with a user part")),
            },
        };
        let owner = wanted(&filter.owner, Reason::BadAor, "filter.owner")?;
        let member = wanted(&filter.member, Reason::BadUri, "filter.member")?;
        let after = match request.page_token.as_str() {
            "" => None,
            token if user_aor(token).as_deref() == Some(token) => Some(token),
            _ => {
                return Err(Refusal::field(Reason::BadPageToken, "page_token", "a token of this list").into());
            }
        };
        let page = self.runner.repository.lists(after, limit as usize).await.map_err(of_store)?;
        let (mut records, next) = page;
        records.retain(|record| {
            !record.is_removed
                && owner.as_ref().is_none_or(|owner| record.list.owner == *owner)
                && member.as_ref().is_none_or(|member| record.has(member))
        });
        let lists = records.iter().map(Record::shown).collect();
        Ok(Response::new(api::ListListsResponse { lists, next_page_token: next.unwrap_or_default() }))
    }

    async fn update_list(
        &self,
        request: Request<api::UpdateListRequest>,
    ) -> Result<Response<ResourceList>, Status> {
        let request = request.into_inner();
        let asked = checked(request.list.clone().unwrap_or_default())?;
        let mask = request.update_mask.as_ref().map(|mask| mask.paths.clone());
        if let Some(unknown) = mask.iter().flatten().find(|path| !FIELDS.contains(&path.as_str())) {
            let expected = format!("{unknown:?} is none of {}", FIELDS.join(", "));
            return Err(Refusal::field(Reason::BadField, "update_mask", expected).into());
        }
        let is_named = |field: &str, is_set: bool| match &mask {
            Some(paths) => paths.iter().any(|path| path == field),
            None => is_set,
        };
        let changes_members = is_named("members", !asked.members.is_empty());
        let elsewhere = if changes_members { self.elsewhere(&asked).await? } else { Vec::new() };
        let store = &**self.runner.repository.store();
        let used = self.requests.claim(store, "UpdateList", &request.request_id, &request).await?;
        let uri = asked.list_uri.clone();
        let next = |known: Option<&Record>| {
            let known = known.ok_or_else(|| not_found(&uri))?;
            if !asked.etag.is_empty() && asked.etag != known.revision.to_string() {
                let text = "the list has changed since it was read; read it again";
                return Err(Refusal::new(Reason::EtagMismatch, text));
            }
            let mut list = known.list.clone();
            let mut away = known.elsewhere.clone();
            if is_named("display_name", !asked.display_name.is_empty()) {
                list.display_name.clone_from(&asked.display_name);
            }
            if is_named("owner", !asked.owner.is_empty()) {
                list.owner.clone_from(&asked.owner);
            }
            if changes_members {
                list.members.clone_from(&asked.members);
                away.clone_from(&elsewhere);
            }
            Ok(Some((list, away)))
        };
        self.change_list(&uri, &used, next).await.map(Response::new)
    }

    async fn delete_list(
        &self,
        request: Request<api::DeleteListRequest>,
    ) -> Result<Response<api::DeleteListResponse>, Status> {
        let request = request.into_inner();
        let uri = list_uri(&request.list_uri, "list_uri")?;
        let store = &**self.runner.repository.store();
        let used = self.requests.claim(store, "DeleteList", &request.request_id, &request).await?;
        let next = |known: Option<&Record>| known.map(|_| None).ok_or_else(|| not_found(&uri));
        self.change_list(&uri, &used, next).await?;
        Ok(Response::new(api::DeleteListResponse {}))
    }
}

impl Presence {
    /// Changes a list, or makes or removes it, and sees to it that its members and its watchers know.
    async fn change_list(
        &self,
        uri: &str,
        used: &store_rpc::RequestUse,
        next: impl Fn(Option<&Record>) -> Result<Next, Refusal>,
    ) -> Result<ResourceList, Status> {
        let repository = &self.runner.repository;
        let (store, partition) = (&**repository.store(), repository.partition(uri));
        for _ in 0..self.runner.config.commit_attempts {
            if let Some(done) = used.result(store, partition).await? {
                return Ok(done);
            }
            let (before, expect) = repository.list(uri).await.map_err(of_store)?;
            let next = next(before.as_ref().filter(|known| !known.is_removed))?;
            let after = Record::next(before, next, repository.now_ms());
            let shown = after.shown();
            let mut batch = Batch::new(partition);
            let at = store.now() + self.runner.config.notify_lease;
            batch.put(names::list(uri), after.write(), expect).due_add(
                names::DUE,
                names::due_list(uri),
                at,
                "",
            );
            match after.is_removed {
                true => batch.index_remove(names::LISTS, uri),
                false => batch.index_add(names::LISTS, uri, ""),
            };
            used.keep(&shown, &mut batch.ops);
            match store.commit(batch).await {
                Ok(_) => {
                    if let Err(error) = self.runner.settle_list(uri).await {
                        tracing::debug!(%error, "members of a list are told when it is due");
                    }
                    return Ok(shown);
                }
                Err(StoreError::Conflict) => self.runner.counts.conflicts.inc(),
                Err(error) => return Err(of_store(error)),
            }
        }
        Err(of_store(StoreError::Conflict))
    }

    /// The members in domains that are not served here.
    async fn elsewhere(&self, list: &ResourceList) -> Result<Vec<String>, Status> {
        let domain = |uri: &str| uri.rsplit_once('@').map(|(_, domain)| domain.to_owned());
        let mut own: HashSet<Option<String>> = HashSet::from([domain(&list.list_uri)]);
        let mut others = HashSet::new();
        let (mut elsewhere, mut here) = (Vec::new(), Vec::new());
        for member in &list.members {
            let named = domain(&member.uri);
            if !own.contains(&named) && !others.contains(&named) {
                // Anybody of the domain tells whether it is served.
                let somebody = format!("sip:list-member@{}", named.clone().unwrap_or_default());
                match self.whose(&somebody).await? {
                    Whose::Account | Whose::Nobody => own.insert(named.clone()),
                    Whose::Elsewhere => others.insert(named.clone()),
                };
            }
            let there = if others.contains(&named) { &mut elsewhere } else { &mut here };
            there.push(member.uri.clone());
        }
        let beside = self.runner.repository.lists_beside(&list.list_uri, &here).await.map_err(of_store)?;
        let is_full = |uri: &String| beside.get(uri).is_some_and(|lists| *lists >= MOST_LISTS);
        if let Some(at) = list.members.iter().position(|member| is_full(&member.uri)) {
            self.runner.counts.limits.with_label_values(&["lists_of_member"]).inc();
            let expected = format!("somebody who is on fewer than {MOST_LISTS} lists");
            return Err(
                Refusal::field(Reason::TooManyMembers, format!("list.members[{at}].uri"), expected).into()
            );
        }
        Ok(elsewhere)
    }
}

/// A list with its addresses in normal form.
fn checked(mut list: ResourceList) -> Result<ResourceList, Refusal> {
    list.list_uri = list_uri(&list.list_uri, "list.list_uri")?;
    name(&list.display_name, "list.display_name")?;
    if !list.owner.is_empty() {
        let owner = user_aor(&list.owner).filter(|owner| owner.len() <= LONGEST_URI);
        let expected = "an address of record, or nothing";
        list.owner = owner.ok_or_else(|| Refusal::field(Reason::BadAor, "list.owner", expected))?;
    }
    if list.members.len() > MOST_MEMBERS {
        let expected = format!("at most {MOST_MEMBERS} members");
        return Err(Refusal::field(Reason::TooManyMembers, "list.members", expected));
    }
    let mut seen = HashSet::from([list.list_uri.clone()]);
    for (at, member) in list.members.iter_mut().enumerate() {
        let field = |field: &str| format!("list.members[{at}].{field}");
        member.uri = list_uri(&member.uri, &field("uri"))?;
        name(&member.display_name, &field("display_name"))?;
        if !seen.insert(member.uri.clone()) {
            let expected = "each member once, and never the list itself";
            return Err(Refusal::field(Reason::BadUri, field("uri"), expected));
        }
    }
    // What is not the application's to say.
    list.update_time = None;
    Ok(list)
}

fn list_uri(uri: &str, field: &str) -> Result<String, Refusal> {
    let aor = user_aor(uri).filter(|aor| aor.len() <= LONGEST_URI && is_one_line(aor));
    aor.ok_or_else(|| {
        Refusal::field(Reason::BadUri, field, "a sip or sips URI with a user part, at most 512 octets")
    })
}

fn name(text: &str, field: &str) -> Result<(), Refusal> {
    if text.len() <= LONGEST_NAME && is_one_line(text) {
        return Ok(());
    }
    Err(Refusal::field(Reason::BadField, field, "a name of one line, at most 128 octets"))
}

fn bad_list(expected: &str) -> Status {
    Refusal::field(Reason::BadUri, "list.list_uri", expected).into()
}

fn not_found(uri: &str) -> Refusal {
    Refusal::new(Reason::ListNotFound, format!("there is no list {uri}"))
}
