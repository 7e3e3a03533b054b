//! `Bindings`.

use std::time::Duration;

use cluster_api::cluster::v1::{LeaseRequest, Member, membership_server::Membership as _};
use cluster_api::registrar::v1::{
    AddBindingRequest, BindingEvent, DeleteAccountRequest, ListBindingsRequest, RemoveBindingRequest,
    WatchBindingsRequest, accounts_server::Accounts as _, binding_event::Type,
    bindings_server::Bindings as _,
};
use cluster_rpc::{Reason, Refusal};
use store::Store as _;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Status};

use crate::rig::{Phone, Rig, contact, lasting, targets, uris, with_q};

fn reason(status: &Status) -> Reason {
    Refusal::read(status).unwrap().reason()
}

fn fixed(aor: &str, contact_uri: &str) -> AddBindingRequest {
    AddBindingRequest {
        aor: aor.to_owned(),
        contact_uri: contact_uri.to_owned(),
        ..AddBindingRequest::default()
    }
}

/// A static contact is listed, called, and outlives a phone's star; the same URI again replaces it.
#[tokio::test]
async fn a_static_contact_stays() {
    let rig = Rig::new();
    let registrar = rig.registrar();
    let mut phone = Phone::of(&rig, "bob", "open");
    phone.register(&[contact("sip:phone@h")]).await;
    let added =
        registrar.add_binding(Request::new(fixed("sip:bob@open", "sip:gw@h"))).await.unwrap().into_inner();
    assert!(added.r#static && added.expire_time.is_none());
    let again = AddBindingRequest { q_milli: Some(500), ..fixed("sip:bob@open", "sip:gw@H") };
    let replaced = registrar.add_binding(Request::new(again)).await.unwrap().into_inner();
    assert_eq!(replaced.binding_id, added.binding_id);
    assert_eq!(targets(&phone.route("sip:bob@open").await), [["sip:phone@h"], ["sip:gw@H"]]);
    let star =
        cluster_api::registrar::v1::RegisterRequest { star: true, expires: Some(0), ..phone.request(&[]) };
    assert_eq!(uris(&phone.send(star).await), ["sip:gw@H"]);
    rig.clock.advance(Duration::from_secs(1_000_000));
    assert_eq!(targets(&phone.route("sip:bob@open").await), [["sip:gw@H"]]);
    let list = ListBindingsRequest { aor: "sip:bob@open".into(), ..ListBindingsRequest::default() };
    let list = registrar.list_bindings(Request::new(list)).await.unwrap().into_inner();
    assert_eq!(list.bindings, [replaced]);
}

/// T19: nothing that is given can become another header or parameter.
#[tokio::test]
async fn bad_static_contacts_are_refused() {
    let rig = Rig::new();
    let refusal = async |request: AddBindingRequest| {
        reason(&rig.registrar().add_binding(Request::new(request)).await.unwrap_err())
    };
    let good = fixed("sip:bob@open", "sip:gw@h");
    assert_eq!(refusal(fixed("sip:bob@open", "sip:bob@open")).await, Reason::BadUri);
    for itself in ["sip:bob@open;transport=tcp", "sip:bob@OPEN:5060", "sips:bob@open", "sip:bob@open;gr=1"] {
        assert_eq!(refusal(fixed("sip:bob@open", itself)).await, Reason::BadUri, "{itself}");
    }
    assert_eq!(refusal(fixed("sip:bob@open", "sip:x@h>\r\nVia: y")).await, Reason::BadUri);
    assert_eq!(refusal(fixed("sip:bob@d", "sip:gw@h")).await, Reason::AccountNotFound);
    for param in ["a b", "x=\"y\r\n\"", "expires=5", "Q=0.1", "", "x=y;z", "x=\"a\"b\""] {
        let request = AddBindingRequest { params: vec![param.to_owned()], ..good.clone() };
        assert_eq!(refusal(request).await, Reason::BadField, "{param}");
    }
    assert_eq!(refusal(AddBindingRequest { q_milli: Some(1_001), ..good.clone() }).await, Reason::BadField);
    for seconds in [-1, 0, 1 << 32, i64::MAX] {
        let expires = Some(prost_types::Duration { seconds, nanos: 0 });
        let request = AddBindingRequest { expires, ..good.clone() };
        assert_eq!(
            refusal(request).await,
            Reason::BadField,
            "{seconds} s cannot be said by SIP, nor told as a time"
        );
    }
    for number in 0..10 {
        let request = fixed("sip:bob@open", &format!("sip:{number}@h"));
        rig.registrar().add_binding(Request::new(request)).await.unwrap();
    }
    assert_eq!(refusal(good).await, Reason::TooManyBindings);
}

/// REG-19: an edge is where calls come from: led there, they would come back.
#[tokio::test]
async fn an_address_of_an_edge_is_no_contact() {
    let rig = Rig::new();
    let member = Member {
        role: "edge".into(),
        id: "e1".into(),
        sip: "192.0.2.9:5070".into(),
        epoch: 1,
        ..Member::default()
    };
    let lease = LeaseRequest { member: Some(member) };
    rig.registrar().lease(Request::new(lease)).await.unwrap();
    let add = async |contact: &str| {
        let request = Request::new(fixed("sip:bob@open", contact));
        rig.registrar().add_binding(request).await.map_err(|status| reason(&status))
    };
    assert_eq!(add("sip:bob@192.0.2.9:5070").await.unwrap_err(), Reason::BadUri);
    assert_eq!(add("sip:bob@[::ffff:192.0.2.9]:5070;transport=tcp").await.unwrap_err(), Reason::BadUri);
    assert!(add("sip:bob@192.0.2.9").await.is_ok());
}

/// Who does not exist is told apart from who is nowhere.
#[tokio::test]
async fn the_bindings_of_nobody_are_not_found() {
    let rig = Rig::new();
    let list = async |aor: &str| {
        let request = ListBindingsRequest { aor: aor.into(), ..ListBindingsRequest::default() };
        let listed = rig.registrar().list_bindings(Request::new(request)).await;
        listed.map(|listed| listed.into_inner().bindings.len()).map_err(|status| reason(&status))
    };
    rig.account("alice").await;
    assert_eq!(list("sip:nobody@d").await.unwrap_err(), Reason::AccountNotFound);
    assert_eq!(list("sip:alice@d").await.unwrap(), 0);
    assert_eq!(list("sip:anybody@open").await.unwrap(), 0, "a domain without accounts");
}

#[tokio::test]
async fn bindings_are_removed_by_id_or_all() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    phone.register(&[contact("sip:a@h"), contact("sip:b@h"), contact("sip:c@h")]).await;
    let remove = async |binding_id: &str| {
        let request = RemoveBindingRequest {
            aor: "sip:bob@open".into(),
            binding_id: binding_id.into(),
            ..RemoveBindingRequest::default()
        };
        rig.registrar().remove_binding(Request::new(request)).await.map(drop)
    };
    remove("2").await.unwrap();
    assert_eq!(reason(&remove("2").await.unwrap_err()), Reason::BindingNotFound);
    assert_eq!(uris(&phone.register(&[]).await), ["sip:a@h", "sip:c@h"]);
    remove("").await.unwrap();
    assert_eq!(reason(&remove("").await.unwrap_err()), Reason::BindingNotFound);
}

#[tokio::test]
async fn bindings_are_listed_in_pages_by_falling_q() {
    let rig = Rig::new();
    let contacts = [with_q("sip:a@h", 100), contact("sip:b@h"), with_q("sip:c@h", 500)];
    Phone::of(&rig, "bob", "open").register(&contacts).await;
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListBindingsRequest { aor: "sip:bob@open".into(), page_size: 2, page_token };
        let page = rig.registrar().list_bindings(Request::new(request)).await.unwrap().into_inner();
        found.extend(page.bindings.into_iter().map(|binding| (binding.contact_uri, binding.q_milli)));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let expected = [("sip:b@h", 1_000), ("sip:c@h", 500), ("sip:a@h", 100)];
    assert_eq!(found, expected.map(|(uri, q)| (uri.to_owned(), q)));
}

/// REG-17: a watch begins with what is, tells every change once, and resumes without loss or repetition on any replica.
#[tokio::test(start_paused = true)]
async fn a_watch_tells_every_change_once() {
    let rig = Rig::new();
    let mut bob = Phone::of(&rig, "bob", "open");
    let mut eve = Phone::of(&rig, "eve", "open");
    bob.register(&[lasting("sip:a@h", 60)]).await;
    let mut watch = watch(&rig, 0, "", None).await;
    assert_eq!(told(&next(&mut watch).await), (Type::Snapshot, "sip:bob@open", "sip:a@h"));
    eve.register(&[contact("sip:e@h")]).await;
    bob.register(&[lasting("sip:a@h", 0), contact("sip:b@h")]).await;
    assert_eq!(told(&next(&mut watch).await), (Type::Registered, "sip:eve@open", "sip:e@h"));
    let unregistered = next(&mut watch).await;
    assert_eq!(told(&unregistered), (Type::Unregistered, "sip:bob@open", "sip:a@h"));
    drop(watch);

    let mut resumed = self::watch(&rig, 1, "", Some(unregistered.cursor)).await;
    assert_eq!(told(&next(&mut resumed).await), (Type::Registered, "sip:bob@open", "sip:b@h"));
    let shutdown = lifecycle::Shutdown::new();
    let run = tokio::spawn(rig.replicas[0].clone().run(shutdown.clone()));
    rig.clock.advance(Duration::from_secs(3_600));
    let mut expired = [next(&mut resumed).await, next(&mut resumed).await];
    expired.sort_by(|one, two| one.aor.cmp(&two.aor));
    assert_eq!(told(&expired[0]), (Type::Expired, "sip:bob@open", "sip:b@h"));
    assert_eq!(told(&expired[1]), (Type::Expired, "sip:eve@open", "sip:e@h"));
    shutdown.ask();
    run.await.unwrap();
}

/// REG-17: a binding that expires before those that were there is removed at its own time.
#[tokio::test(start_paused = true)]
async fn an_earlier_expiry_is_planned_anew() {
    let rig = Rig::new();
    let mut phone = Phone::of(&rig, "bob", "open");
    phone.register(&[lasting("sip:late@h", 3_600)]).await;
    phone.register(&[lasting("sip:early@h", 60)]).await;
    let mut watch = watch(&rig, 0, "sip:bob@open", None).await;
    for uri in ["sip:late@h", "sip:early@h"] {
        assert_eq!(told(&next(&mut watch).await), (Type::Snapshot, "sip:bob@open", uri));
    }
    let shutdown = lifecycle::Shutdown::new();
    let run = tokio::spawn(rig.registrar().clone().run(shutdown.clone()));
    for (seconds, uri) in [(60, "sip:early@h"), (3_540, "sip:late@h")] {
        rig.clock.advance(Duration::from_secs(seconds));
        let expired = tokio::time::timeout(Duration::from_secs(5), next(&mut watch)).await;
        assert_eq!(told(&expired.expect("found as due")), (Type::Expired, "sip:bob@open", uri));
    }
    shutdown.ask();
    run.await.unwrap();
}

/// REG-17: a record that cannot be read is nobody else's delay, not even where it is claimed first.
#[tokio::test(start_paused = true)]
async fn an_unreadable_record_holds_up_no_expiry() {
    let rig = Rig::new();
    let partitions = store::Partitions::new("aor", 16);
    let home = partitions.of("sip:broken@open");
    let is_neighbour = |user: &String| partitions.of(&format!("sip:{user}@open")) == home;
    let neighbours: Vec<String> = (0..).map(|n| format!("bob{n}")).filter(is_neighbour).take(70).collect();
    Phone::of(&rig, "broken", "open").register(&[lasting("sip:x@h", 60)]).await;
    for user in &neighbours {
        Phone::of(&rig, user, "open").register(&[lasting("sip:a@h", 61)]).await;
    }
    let mut watch = watch(&rig, 0, "", None).await;
    for _ in 0..=neighbours.len() {
        assert_eq!(next(&mut watch).await.r#type(), Type::Snapshot);
    }
    let mut batch = store::Batch::new(home);
    batch.put("aor/sip:broken@open", vec![0xff], store::Expect::Any);
    rig.memory.commit(batch).await.unwrap();
    let shutdown = lifecycle::Shutdown::new();
    // Not the one that has the record in memory.
    let run = tokio::spawn(rig.replicas[1].clone().run(shutdown.clone()));
    rig.clock.advance(Duration::from_secs(61));
    let mut expired = Vec::new();
    for _ in &neighbours {
        expired.push(next(&mut watch).await.aor);
    }
    expired.sort();
    let mut expected: Vec<_> = neighbours.iter().map(|user| format!("sip:{user}@open")).collect();
    expected.sort();
    assert_eq!(expired, expected);
    shutdown.ask();
    run.await.unwrap();
}

/// A watch of one address sees nothing of others; an empty one says so.
#[tokio::test(start_paused = true)]
async fn a_watch_of_one_address_sees_that_one() {
    let rig = Rig::new();
    let mut watch = watch(&rig, 0, "sip:bob@open", None).await;
    let opening = next(&mut watch).await;
    assert_eq!(
        (opening.r#type(), opening.binding, opening.aor.as_str()),
        (Type::Snapshot, None, "sip:bob@open")
    );
    for number in 0..40 {
        Phone::of(&rig, &format!("user{number}"), "open").register(&[contact("sip:x@h")]).await;
    }
    Phone::of(&rig, "bob", "open").register(&[contact("sip:b@h")]).await;
    assert_eq!(told(&next(&mut watch).await), (Type::Registered, "sip:bob@open", "sip:b@h"));
    let request = WatchBindingsRequest { aor: String::new(), after_cursor: Some("nonsense".into()) };
    let Err(refused) = rig.registrar().watch_bindings(Request::new(request)).await else { panic!() };
    assert_eq!(reason(&refused), Reason::BadCursor);
}

/// PKG-01, PKG-02: who watches learns of a contact that is different, or that lasts less than was said, and not of one that only goes on.
#[tokio::test(start_paused = true)]
async fn a_watch_tells_of_contacts_that_change() {
    let rig = Rig::new();
    let mut watch = watch(&rig, 0, "sip:bob@open", None).await;
    next(&mut watch).await;
    let mut phone = Phone::of(&rig, "bob", "open");
    phone.register(&[contact("sip:b@h")]).await;
    phone.register(&[lasting("sip:b@h", 90)]).await;
    phone.register(&[with_q("sip:b@h", 500)]).await;
    assert_eq!(told(&next(&mut watch).await), (Type::Registered, "sip:bob@open", "sip:b@h"));
    let changed = next(&mut watch).await;
    assert_eq!(told(&changed), (Type::Refreshed, "sip:bob@open", "sip:b@h"));
    assert_eq!(changed.binding.map(|binding| binding.q_milli), Some(500));
    let mut add = async |seconds: Option<i64>| {
        let expires = seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
        let request = AddBindingRequest { expires, ..fixed("sip:bob@open", "sip:gw@h") };
        rig.registrar().add_binding(Request::new(request)).await.unwrap();
        next(&mut watch).await.r#type()
    };
    assert_eq!(add(Some(600)).await, Type::Registered);
    assert_eq!(add(Some(60)).await, Type::Shortened);
    assert_eq!(add(None).await, Type::Refreshed);
    assert_eq!(add(Some(600)).await, Type::Shortened);
}

/// EVT-04: the end of an account is in the log after that of its contacts, and also where there were none.
#[tokio::test]
async fn a_deleted_account_is_in_the_log() {
    let rig = Rig::new();
    let mut watch = watch(&rig, 0, "", None).await;
    assert_eq!(next(&mut watch).await.r#type(), Type::Snapshot, "of nothing");
    for name in ["bob", "carol"] {
        rig.account(name).await;
    }
    Phone::of(&rig, "bob", "d").register(&[contact("sip:b@h")]).await;
    assert_eq!(told(&next(&mut watch).await), (Type::Registered, "sip:bob@d", "sip:b@h"));
    for name in ["bob", "carol"] {
        let request =
            DeleteAccountRequest { aor: format!("sip:{name}@d"), ..DeleteAccountRequest::default() };
        rig.registrar().delete_account(Request::new(request)).await.unwrap();
        if name == "bob" {
            assert_eq!(told(&next(&mut watch).await), (Type::Deactivated, "sip:bob@d", "sip:b@h"));
        }
        let event = next(&mut watch).await;
        assert_eq!(
            (event.r#type(), event.aor, event.binding),
            (Type::Deactivated, format!("sip:{name}@d"), None)
        );
        assert!(event.time.is_some(), "who began to watch later watches another account");
    }
}

/// F3: whoever watches learns that the replica ends, after everything that came before, and goes on elsewhere where it was.
#[tokio::test(start_paused = true)]
async fn a_watch_of_a_replica_that_ends_says_so() {
    let rig = Rig::new();
    let mut watch = watch(&rig, 0, "", None).await;
    let cursor = next(&mut watch).await.cursor;
    let shutdown = lifecycle::Shutdown::new();
    let run = tokio::spawn(rig.replicas[0].clone().run(shutdown.clone()));
    Phone::of(&rig, "bob", "open").register(&[contact("sip:b@h")]).await;
    shutdown.ask();
    run.await.unwrap();
    assert_eq!(told(&next(&mut watch).await), (Type::Registered, "sip:bob@open", "sip:b@h"));
    let status = watch.next().await.expect("a last word").expect_err("the end of the replica");
    assert_eq!(reason(&status), Reason::Draining);
    assert!(watch.next().await.is_none());

    let mut resumed = self::watch(&rig, 1, "", Some(cursor)).await;
    assert_eq!(told(&next(&mut resumed).await), (Type::Registered, "sip:bob@open", "sip:b@h"));
}

async fn watch(
    rig: &Rig,
    replica: usize,
    aor: &str,
    after_cursor: Option<String>,
) -> impl Stream<Item = Result<BindingEvent, Status>> + Unpin + use<> {
    let request = WatchBindingsRequest { aor: aor.to_owned(), after_cursor };
    rig.replicas[replica].watch_bindings(Request::new(request)).await.unwrap().into_inner()
}

async fn next(watch: &mut (impl Stream<Item = Result<BindingEvent, Status>> + Unpin)) -> BindingEvent {
    watch.next().await.unwrap().unwrap()
}

fn told(event: &BindingEvent) -> (Type, &str, &str) {
    (event.r#type(), &event.aor, &event.binding.as_ref().unwrap().contact_uri)
}
