//! Lists: made by an application, watched by a phone, changed by their members. Two replicas over one store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cluster_api::edge::v1::SendRequest;
use cluster_api::presence::v1::presence_server::Presence as _;
use cluster_api::presence::v1::resource_lists_server::ResourceLists as _;
use cluster_api::presence::v1::watcher_policy::{Action, Rule};
use cluster_api::presence::v1::{
    CreateListRequest, DeleteListRequest, GetListRequest, HandleRequest, ListFilter, ListListsRequest,
    ListMember, ResourceList, SetWatcherPolicyRequest, UpdateListRequest, WatcherPolicy,
};
use cluster_api::sip::v1::Header;
use presence::Presence;
use store::{Batch, CommitOutcome, MemoryStore, Store as _, StoreError};
use test_support::HookedStore;
use tokio::time::sleep;
use tonic::{Code, Request, Status};

use crate::rig::{Rig, ask, body, header, publish, subscribe};

pub fn list(uri: &str, members: &[&str]) -> ResourceList {
    let member = |uri: &&str| ListMember { uri: (*uri).to_owned(), display_name: String::new() };
    ResourceList {
        list_uri: uri.to_owned(),
        members: members.iter().map(member).collect(),
        ..ResourceList::default()
    }
}

pub async fn create(replica: &Presence, list: ResourceList) -> Result<ResourceList, Status> {
    let request = CreateListRequest { request_id: String::new(), list: Some(list) };
    replica.create_list(Request::new(request)).await.map(tonic::Response::into_inner)
}

pub async fn update(replica: &Presence, list: ResourceList) -> Result<ResourceList, Status> {
    let request = UpdateListRequest { list: Some(list), ..UpdateListRequest::default() };
    replica.update_list(Request::new(request)).await.map(tonic::Response::into_inner)
}

pub async fn delete(replica: &Presence, uri: &str) -> Result<(), Status> {
    let request = DeleteListRequest { list_uri: uri.to_owned(), ..DeleteListRequest::default() };
    replica.delete_list(Request::new(request)).await.map(drop)
}

/// Lets a watcher see somebody.
pub async fn allow(replica: &Presence, aor: &str, watcher: &str) {
    let rules = vec![Rule { watcher: watcher.to_owned(), action: Action::Allow.into() }];
    let policy = WatcherPolicy { aor: aor.to_owned(), rules, ..WatcherPolicy::default() };
    let request = SetWatcherPolicyRequest { policy: Some(policy), ..SetWatcherPolicyRequest::default() };
    replica.set_watcher_policy(Request::new(request)).await.expect("the policy is set");
}

/// A SUBSCRIBE to a list, by a phone that knows lists.
pub fn watch(user: &str, list: &str) -> HandleRequest {
    let mut request = subscribe(user, list, "presence", 3_600);
    request.headers.extend([
        Header::new("Supported", "eventlist"),
        Header::new("Accept", "application/pidf+xml, application/rlmi+xml, multipart/related"),
    ]);
    HandleRequest { nobody: true, ..request }
}

pub fn says(notify: &SendRequest, text: &str) -> bool {
    body(notify).contains(text)
}

/// RLS-01: the phone has to know lists, the list has to be there, and its owner alone may watch it.
#[tokio::test(start_paused = true)]
async fn a_list_is_for_those_who_know_lists() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    assert_eq!(ask(&replica, watch("alice", "list-a")).await.status, 404);
    let owner = "sip:alice@d".to_owned();
    create(&replica, ResourceList { owner, ..list("sip:list-a@d", &["sip:bob@d"]) }).await.expect("a list");
    let plain = HandleRequest { nobody: true, ..subscribe("alice", "list-a", "presence", 3_600) };
    let refused = ask(&replica, plain).await;
    assert_eq!((refused.status, header(&refused, "Require").as_str()), (421, "eventlist"));
    let mut deaf = watch("alice", "list-a");
    deaf.headers.retain(|header| !header.is("Accept"));
    let refused = ask(&replica, deaf).await;
    assert_eq!(refused.status, 406);
    assert!(header(&refused, "Accept").contains("application/rlmi+xml"));
    assert_eq!(ask(&replica, watch("eve", "list-a")).await.status, 403);
    let accepted = ask(&replica, watch("alice", "list-a")).await;
    assert_eq!((accepted.status, header(&accepted, "Require").as_str()), (200, "eventlist"));
    let notify = rig.phones.notify("alice", 1).await;
    assert!(notify.headers.iter().any(|header| header.is("Require") && header.value == "eventlist"));
    let content_type = notify.body.as_ref().map(|body| body.content_type.clone()).unwrap_or_default();
    assert!(content_type.starts_with("multipart/related;type=\"application/rlmi+xml\""), "{content_type}");
}

/// RLS-02, RLS-03: what a member publishes at one replica reaches the watcher of the list by the other one: versions go up by one,
/// everything comes first and after a refresh, and between them who changed alone. The first one decides by its policy.
#[tokio::test(start_paused = true)]
async fn a_change_of_a_member_reaches_the_watchers_of_its_list() {
    let rig = Rig::new();
    let (one, two) = (rig.replica(false), rig.replica(false));
    create(&one, list("sip:list-a@d", &["sip:bob@d", "sip:carol@d", "sip:dave@elsewhere"]))
        .await
        .expect("a list");
    let answer = ask(&two, watch("alice", "list-a")).await;
    let first = rig.phones.notify("alice", 1).await;
    assert!(says(&first, "version=\"0\" fullState=\"true\"") && says(&first, "state=\"pending\""));
    assert!(says(&first, "state=\"terminated\" reason=\"noresource\""), "{}", body(&first));
    allow(&one, "sip:bob@d", "sip:alice@d").await;
    let second = rig.phones.notify("alice", 2).await;
    assert!(says(&second, "version=\"1\" fullState=\"false\"") && says(&second, "state=\"active\""));
    assert!(!says(&second, "sip:carol@d"), "{}", body(&second));
    assert_eq!(ask(&one, publish("bob", 1, "", "here")).await.status, 200);
    let third = rig.phones.notify("alice", 3).await;
    assert!(says(&third, "version=\"2\" fullState=\"false\"") && says(&third, "<note>here<"));
    // Nobody watches carol alone; what is hers to show is not shown.
    assert_eq!(ask(&one, publish("carol", 1, "", "hidden")).await.status, 200);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.phones.notified("alice").len(), 3);
    let refresh = HandleRequest { cseq: 2, to_tag: answer.to_tag, nobody: false, ..watch("alice", "list-a") };
    assert_eq!(ask(&one, refresh).await.status, 200);
    let fourth = rig.phones.notify("alice", 4).await;
    assert!(says(&fourth, "version=\"3\" fullState=\"true\"") && says(&fourth, "sip:carol@d"));
    assert!(!says(&fourth, "hidden"));
}

/// RLS-02: the list itself changes: everything is told; who has left it reaches nobody any more; its end is that of its watchers.
#[tokio::test(start_paused = true)]
async fn a_list_that_changes_is_told_and_its_end_too() {
    let rig = Rig::new();
    let (one, two) = (rig.replica(false), rig.replica(false));
    for aor in ["sip:bob@d", "sip:carol@d"] {
        allow(&one, aor, "sip:alice@d").await;
    }
    create(&one, list("sip:list-a@d", &["sip:bob@d"])).await.expect("a list");
    ask(&two, watch("alice", "list-a")).await;
    rig.phones.notify("alice", 1).await;
    update(&two, list("sip:list-a@d", &["sip:carol@d"])).await.expect("it is changed");
    let second = rig.phones.notify("alice", 2).await;
    assert!(
        says(&second, "fullState=\"true\"") && says(&second, "sip:carol@d") && !says(&second, "sip:bob@d")
    );
    ask(&one, publish("bob", 1, "", "left")).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.phones.notified("alice").len(), 2);
    ask(&one, publish("carol", 1, "", "came")).await;
    assert!(says(&rig.phones.notify("alice", 3).await, "<note>came<"));
    delete(&one, "sip:list-a@d").await.expect("it is removed");
    let last = rig.phones.notify("alice", 4).await;
    let state = last.headers.iter().find(|header| header.is("Subscription-State")).map(|h| h.value.clone());
    assert_eq!(state.as_deref(), Some("terminated;reason=noresource"));
    assert_eq!(ask(&one, HandleRequest { cseq: 9, ..watch("alice", "list-a") }).await.status, 404);
}

/// RLS-02: the rate of the package holds for the list as a whole, however many members change.
#[tokio::test(start_paused = true)]
async fn many_members_that_change_at_once_are_few_notifications() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    let users: Vec<String> = (0..20).map(|number| format!("u{number}")).collect();
    let uris: Vec<String> = users.iter().map(|user| format!("sip:{user}@d")).collect();
    for uri in &uris {
        allow(&replica, uri, "sip:alice@d").await;
    }
    let members: Vec<&str> = uris.iter().map(String::as_str).collect();
    create(&replica, list("sip:list-a@d", &members)).await.expect("a list");
    ask(&replica, watch("alice", "list-a")).await;
    rig.phones.notify("alice", 1).await;
    sleep(Duration::from_secs(10)).await;
    for user in &users {
        let mut request = publish(user, 1, "", &format!("by {user}"));
        request.sip_call_id = format!("p-{user}");
        assert_eq!(ask(&replica, request).await.status, 200);
    }
    sleep(Duration::from_secs(30)).await;
    let told: Vec<String> = rig.phones.notified("alice").iter().skip(1).map(|(_, sent)| body(sent)).collect();
    assert!(told.len() <= 2, "{} notifications", told.len());
    for user in &users {
        let note = format!("<note>by {user}<");
        assert_eq!(told.iter().filter(|told| told.contains(&note)).count(), 1, "{user}");
    }
}

/// RLS-04: a change deep inside reaches the watcher of the outer list, and lists that hold each other do no harm.
#[tokio::test(start_paused = true)]
async fn a_change_within_a_list_within_a_list_is_told() {
    let rig = Rig::new();
    let (one, two) = (rig.replica(false), rig.replica(false));
    allow(&one, "sip:bob@d", "sip:alice@d").await;
    create(&one, list("sip:list-in@d", &["sip:bob@d"])).await.expect("the inner one");
    create(&one, list("sip:list-out@d", &["sip:list-in@d"])).await.expect("the outer one");
    ask(&two, watch("alice", "list-out")).await;
    rig.phones.notify("alice", 1).await;
    ask(&one, publish("bob", 1, "", "deep")).await;
    let second = rig.phones.notify("alice", 2).await;
    assert!(says(&second, "version=\"1\" fullState=\"false\"") && says(&second, "<note>deep<"));
    update(&one, list("sip:list-in@d", &["sip:bob@d", "sip:list-out@d"])).await.expect("a loop");
    let third = rig.phones.notify("alice", 3).await;
    assert!(says(&third, "state=\"terminated\" reason=\"noresource\""), "{}", body(&third));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.phones.notified("alice").len(), 3, "it does not go round");
}

/// What `ResourceLists` says of its errors, and how its pages go on.
#[tokio::test(start_paused = true)]
async fn lists_are_made_changed_found_and_removed() {
    let rig = Rig::new();
    let (one, two) = (rig.replica(false), rig.replica(false));
    let made = create(&one, list("sip:list-a@d", &["sip:bob@d"])).await.expect("a list");
    let code = |result: Result<ResourceList, Status>| result.expect_err("it is refused").code();
    assert_eq!(code(create(&two, list("sip:list-a@d", &[])).await), Code::AlreadyExists);
    assert_eq!(code(create(&one, list("sip:bob@d", &[])).await), Code::InvalidArgument, "an account");
    assert_eq!(code(create(&one, list("sip:list-z@elsewhere", &[])).await), Code::InvalidArgument);
    assert_eq!(code(create(&one, list("sip:list-z@d", &["sip:list-z@d"])).await), Code::InvalidArgument);
    assert_eq!(
        code(create(&one, list("sip:list-z@d", &["sip:b@d", "sip:b@d"])).await),
        Code::InvalidArgument
    );
    let many: Vec<String> = (0..257).map(|number| format!("sip:u{number}@d")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(code(create(&one, list("sip:list-z@d", &many)).await), Code::InvalidArgument);
    create(&one, list("sip:list-b@d", &many[..256])).await.expect("as many as may be");

    let stale =
        ResourceList { etag: "1".to_owned(), display_name: "x".to_owned(), ..list("sip:list-a@d", &[]) };
    assert_eq!(code(update(&two, stale).await), Code::Aborted);
    let named =
        ResourceList { etag: made.etag.clone(), display_name: "A".to_owned(), ..list("sip:list-a@d", &[]) };
    let changed = update(&two, named).await.expect("its name alone");
    assert_eq!((changed.display_name.as_str(), changed.members.len()), ("A", 1));
    assert_ne!(changed.etag, made.etag);
    assert_eq!(code(update(&two, list("sip:list-z@d", &["sip:b@d"])).await), Code::NotFound);

    let pages = async |filter: ListFilter, page_size: i32| {
        let (mut found, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListListsRequest { filter: Some(filter.clone()), page_size, page_token };
            let page = one.list_lists(Request::new(request)).await.expect("a page").into_inner();
            found.extend(page.lists.into_iter().map(|list| list.list_uri));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return found;
            }
        }
    };
    for number in 0..5 {
        create(&one, list(&format!("sip:list-c{number}@d"), &["sip:carol@d"])).await.expect("a list");
    }
    let all = pages(ListFilter::default(), 2).await;
    assert_eq!(all.len(), 7);
    assert!(all.is_sorted(), "{all:?}");
    let of_bob = ListFilter { member: "sip:bob@d".to_owned(), ..ListFilter::default() };
    assert_eq!(pages(of_bob, 2).await, ["sip:list-a@d"]);

    let again = DeleteListRequest { request_id: "once".to_owned(), list_uri: "sip:list-a@d".to_owned() };
    for _ in 0..2 {
        one.delete_list(Request::new(again.clone())).await.expect("it is removed, once");
    }
    assert_eq!(delete(&two, "sip:list-a@d").await.expect_err("it is gone").code(), Code::NotFound);
    let asked = GetListRequest { list_uri: "sip:list-a@d".to_owned() };
    assert_eq!(two.get_list(Request::new(asked)).await.expect_err("it is gone").code(), Code::NotFound);
    create(&two, list("sip:list-a@d", &[])).await.expect("its URI is free again");
}

/// Commits once more, and then the store is gone.
struct OneCommit(std::sync::atomic::AtomicBool);

#[async_trait::async_trait]
impl test_support::Hook for OneCommit {
    async fn before(&self, _: test_support::Read) -> Result<(), StoreError> {
        match self.0.load(Ordering::SeqCst) {
            true => Err(StoreError::unavailable("the replica has died")),
            false => Ok(()),
        }
    }

    async fn commit(&self, memory: &MemoryStore, batch: Batch) -> Result<CommitOutcome, StoreError> {
        if self.0.swap(true, Ordering::SeqCst) {
            return Err(StoreError::unavailable("the replica has died"));
        }
        memory.commit(batch).await
    }
}

/// RLS-02, F3: the replica that took the change dies right after it has committed it: neither the watchers of the list nor the list itself were
/// told. Another one tells them.
#[tokio::test(start_paused = true)]
async fn a_replica_that_dies_after_the_change_keeps_it_from_nobody() {
    let rig = Rig::new();
    let (one, two) = (rig.replica(false), rig.replica(false));
    allow(&one, "sip:bob@d", "sip:alice@d").await;
    create(&one, list("sip:list-a@d", &["sip:bob@d"])).await.expect("a list");
    ask(&two, watch("alice", "list-a")).await;
    rig.phones.notify("alice", 1).await;
    sleep(Duration::from_secs(10)).await;
    // Whoever would tell of it in its place waits for the publication.
    one.stop(Duration::ZERO).await;
    two.stop(Duration::ZERO).await;
    let store = HookedStore::new(rig.store.clone(), OneCommit(Default::default()));
    let dying = rig.idle(Arc::new(store));
    assert_eq!(ask(&dying, publish("bob", 1, "", "last words")).await.status, 200);
    sleep(Duration::from_millis(100)).await;
    dying.stop(Duration::ZERO).await;
    assert_eq!(rig.phones.notified("alice").len(), 1, "it has told nobody");
    let _lives = rig.replica(false);
    let told = rig.phones.notify("alice", 2).await;
    assert!(says(&told, "<note>last words<"), "{}", body(&told));
}
