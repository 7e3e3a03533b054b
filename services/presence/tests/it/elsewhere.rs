//! Members of lists in other domains: asked for there in the name of each watcher, and shown to that one as they are told.

use std::time::Duration;

use cluster_api::edge::v1::SendRequest;
use cluster_api::presence::v1::HandleRequest;
use cluster_api::sip::v1::{Body, Header};
use presence::{Config, Presence};
use tokio::time::sleep;

use crate::lists::{allow, create, list, says, update, watch};
use crate::rig::{Rig, ask, body, header};

const DAVE: &str = "sip:dave@elsewhere";

/// A SUBSCRIBE to a list by somebody who has proved who it is.
fn proved(user: &str, list: &str) -> HandleRequest {
    HandleRequest { identity: format!("sip:{user}@d"), ..watch(user, list) }
}

/// A NOTIFY of the other domain inside the dialog that a SUBSCRIBE began.
fn notify(subscribe: &SendRequest, cseq: u32, state: &str, note: &str) -> HandleRequest {
    let document = format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{}\"><tuple id=\"t\"><status><basic>open\
         </basic></status><note>{note}</note></tuple></presence>",
        subscribe.to_uri
    );
    HandleRequest {
        method: "NOTIFY".to_owned(),
        request_uri: "sip:carillon-presence@edge;gr".to_owned(),
        from_uri: subscribe.to_uri.clone(),
        from_tag: "far".to_owned(),
        to_uri: subscribe.from_uri.clone(),
        to_tag: subscribe.from_tag.clone(),
        sip_call_id: subscribe.sip_call_id.clone(),
        cseq,
        contact: "sip:pa@elsewhere".to_owned(),
        headers: vec![Header::new("Event", "presence"), Header::new("Subscription-State", state)],
        body: (!note.is_empty()).then(|| Body::new("application/pidf+xml", document)),
        ..HandleRequest::default()
    }
}

/// RLS-03: a notifier that tells the presence of another entity, ours for one, is told so, and nobody else is told anything.
#[tokio::test(start_paused = true)]
async fn the_presence_of_another_entity_is_not_taken() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    create(&replica, list("sip:list-a@d", &[DAVE])).await.expect("a list");
    assert_eq!(ask(&replica, proved("alice", "list-a")).await.status, 200);
    rig.phones.notify("alice", 1).await;
    let subscribe = rig.phones.asked(DAVE, 1).await;
    let of = |cseq, entity: &str| {
        let mut request = notify(&subscribe, cseq, "active;expires=600", "a lie");
        let content = request.body.as_ref().expect("a document").content.clone();
        let content = String::from_utf8(content.to_vec()).expect("UTF-8");
        request.body = Some(Body::new("application/pidf+xml", content.replace(DAVE, entity)));
        request
    };
    for (cseq, entity) in [(1, "sip:bob@d"), (2, "pres:erin@elsewhere"), (3, "dave")] {
        let refused = ask(&replica, of(cseq, entity)).await;
        assert_eq!(
            (refused.status, refused.reason.as_str()),
            (400, "Presence Of Another Entity"),
            "{entity}"
        );
    }
    let second = rig.phones.notify("alice", 2).await;
    assert!(says(&second, "state=\"pending\"") && !says(&second, "a lie"), "{}", body(&second));
    assert_eq!(ask(&replica, of(4, "pres:dave@elsewhere")).await.status, 200);
    let third = rig.phones.notify("alice", 3).await;
    assert!(says(&third, "state=\"active\"") && says(&third, "a lie"), "{}", body(&third));
}

async fn told(replica: &Presence, subscribe: &SendRequest, cseq: u32, state: &str, note: &str) {
    assert_eq!(ask(replica, notify(subscribe, cseq, state, note)).await.status, 200);
}

fn value<'a>(request: &'a SendRequest, name: &str) -> &'a str {
    request.headers.iter().find(|header| header.is(name)).map_or("", |header| &header.value)
}

/// RLS-03, RLS-04, EVT-05: a member of another domain is subscribed to there in the watcher's name; its NOTIFYs come to any replica, and
/// what they say is in the list. Two watchers are two subscriptions, each with its own answer.
#[tokio::test(start_paused = true)]
async fn a_member_of_another_domain_is_asked_for_and_shown() {
    let rig = Rig::new();
    let (one, two) = (rig.replica(false), rig.replica(false));
    allow(&one, "sip:bob@d", "sip:alice@d").await;
    create(&one, list("sip:list-a@d", &["sip:bob@d", DAVE])).await.expect("a list");
    assert_eq!(ask(&one, proved("alice", "list-a")).await.status, 200);
    let first = rig.phones.notify("alice", 1).await;
    assert!(says(&first, DAVE) && !says(&first, "terminated"), "nothing is known yet: {}", body(&first));
    let subscribe = rig.phones.asked(DAVE, 1).await;
    assert_eq!(
        (subscribe.from_uri.as_str(), subscribe.on_behalf_of.as_str(), subscribe.request_uri.as_str()),
        ("sip:alice@d", "sip:alice@d", DAVE)
    );
    assert_eq!(
        (value(&subscribe, "Event"), value(&subscribe, "Accept"), value(&subscribe, "Expires")),
        ("presence", "application/pidf+xml", "3600")
    );
    told(&two, &subscribe, 1, "active;expires=600", "far away").await;
    let second = rig.phones.notify("alice", 2).await;
    assert!(says(&second, "fullState=\"false\"") && says(&second, "<note>far away<"), "{}", body(&second));
    assert!(says(&second, "state=\"active\"") && !says(&second, "sip:bob@d"));

    assert_eq!(ask(&two, proved("erin", "list-a")).await.status, 200);
    let of_erin = rig.phones.asked(DAVE, 2).await;
    assert_eq!(of_erin.on_behalf_of, "sip:erin@d");
    assert_ne!(of_erin.from_tag, subscribe.from_tag);
    told(&one, &of_erin, 1, "terminated;reason=rejected", "").await;
    let of_erin = rig.phones.notify("erin", 2).await;
    assert!(says(&of_erin, "state=\"terminated\" reason=\"rejected\""), "{}", body(&of_erin));
    assert!(!says(&rig.phones.notify("erin", 1).await, "far away"), "it was told to alice alone");

    told(&one, &subscribe, 2, "active", "nearer").await;
    assert!(says(&rig.phones.notify("alice", 3).await, "<note>nearer<"));
    told(&two, &subscribe, 3, "pending", "").await;
    let fourth = rig.phones.notify("alice", 4).await;
    assert!(says(&fourth, "state=\"pending\"") && !says(&fourth, "nearer"), "{}", body(&fourth));
    sleep(Duration::from_secs(30)).await;
    assert_eq!((rig.phones.notified("alice").len(), rig.phones.notified("erin").len()), (4, 2));
}

/// RLS-03: who has not proved to be one of our users has nobody asked for elsewhere; and for whom the registrar lets nobody out, is told so.
#[tokio::test(start_paused = true)]
async fn a_list_is_no_way_out_for_strangers() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    create(&replica, list("sip:list-a@d", &[DAVE])).await.expect("a list");
    assert_eq!(ask(&replica, watch("eve", "list-a")).await.status, 200);
    let first = rig.phones.notify("eve", 1).await;
    assert!(says(&first, "state=\"terminated\" reason=\"noresource\""), "{}", body(&first));
    sleep(Duration::from_secs(60)).await;
    assert!(rig.phones.all_asked(DAVE).is_empty());
    rig.phones.domains.lock().insert(DAVE.to_owned(), 403);
    assert_eq!(ask(&replica, proved("alice", "list-a")).await.status, 200);
    assert!(says(&rig.phones.notify("alice", 2).await, "state=\"terminated\" reason=\"rejected\""));
    sleep(Duration::from_secs(3_000)).await;
    assert_eq!(rig.phones.all_asked(DAVE).len(), 1, "what is refused for good is not asked for again");
}

/// EVT-06, EVT-01, PRS-05, T27: what is no NOTIFY of that subscription, or cannot be read, changes nothing.
#[tokio::test(start_paused = true)]
async fn what_other_domains_say_is_read_with_care() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    create(&replica, list("sip:list-a@d", &[DAVE])).await.expect("a list");
    ask(&replica, proved("alice", "list-a")).await;
    let subscribe = rig.phones.asked(DAVE, 1).await;
    told(&replica, &subscribe, 1, "active", "good").await;
    rig.phones.notify("alice", 2).await;
    let good = notify(&subscribe, 2, "active", "bad");
    let with = |change: &dyn Fn(&mut HandleRequest)| {
        let mut request = good.clone();
        change(&mut request);
        request
    };
    let typed = |content_type: &str, text: &str| Some(Body::new(content_type, text.to_owned()));
    let bomb = "<!DOCTYPE p [<!ENTITY a \"aaaa\">]><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:a@b\">&a;</presence>";
    let large = format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:a@b\"><note>{}</note></presence>",
        "a".repeat(20_000)
    );
    for (request, expected) in [
        (with(&|r| r.to_tag = format!("{}0", r.to_tag)), 481),
        (with(&|r| r.to_tag = r.to_tag.split('.').next().unwrap_or_default().to_owned()), 481),
        (with(&|r| r.to_tag = "nobody.of.ours".to_owned()), 481),
        (with(&|r| r.from_tag = "another".to_owned()), 481),
        (with(&|r| r.sip_call_id = "another@elsewhere".to_owned()), 481),
        (with(&|r| r.from_tag = String::new()), 400),
        (with(&|r| r.headers.retain(|header| !header.is("Subscription-State"))), 400),
        (with(&|r| r.headers[0] = Header::new("Event", "dialog")), 489),
        (with(&|r| r.body = typed("text/plain", "open")), 415),
        (with(&|r| r.body = typed("application/pidf+xml", "<presence")), 400),
        (with(&|r| r.body = typed("application/pidf+xml", bomb)), 400),
        (with(&|r| r.body = typed("application/pidf+xml", &large)), 513),
        // Somebody who does not know the dialog is not told what is wrong.
        (with(&|r| (r.sip_call_id, r.body) = ("another".to_owned(), typed("text/plain", "x"))), 481),
        (with(&|r| (r.to_tag, r.body) = ("nobody.of.ours".to_owned(), typed("text/plain", "x"))), 481),
    ] {
        let answer = ask(&replica, request.clone()).await;
        assert_eq!(answer.status, expected, "{request:?}");
        assert_eq!(expected == 489, !header(&answer, "Allow-Events").is_empty());
    }
    sleep(Duration::from_secs(30)).await;
    assert_eq!(rig.phones.notified("alice").len(), 2);
    told(&replica, &subscribe, 2, "active", "better").await;
    assert!(says(&rig.phones.notify("alice", 3).await, "<note>better<"));
}

/// EVT-12, F3: the replica that asked dies before the answer, and the one that took a NOTIFY before its watcher was told.
#[tokio::test(start_paused = true)]
async fn replicas_that_die_keep_nothing_of_other_domains_from_anybody() {
    let rig = Rig::new();
    let dying = rig.replica(true);
    create(&dying, list("sip:list-a@d", &[DAVE])).await.expect("a list");
    ask(&dying, proved("alice", "list-a")).await;
    // It has committed that it asks; nothing gets through.
    sleep(Duration::from_secs(1)).await;
    dying.stop(Duration::ZERO).await;
    let lives = rig.replica(false);
    let subscribe = rig.phones.asked(DAVE, 1).await;
    rig.phones.notify("alice", 1).await;
    let dying = rig.replica(true);
    told(&dying, &subscribe, 1, "active", "last words").await;
    dying.stop(Duration::ZERO).await;
    let told = rig.phones.notify("alice", 2).await;
    assert!(says(&told, "<note>last words<"), "{}", body(&told));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.phones.all_asked(DAVE).len(), 1, "one dialog, whoever asked");
    drop(lives);
}

/// RFC 6665 4.1.2.2, RLS-03: it is refreshed in its dialog for as long as a list wants it, and ended with the last one; nothing is left.
#[tokio::test(start_paused = true)]
async fn a_member_of_another_domain_is_refreshed_and_ended() {
    let rig = Rig::new();
    let (one, two) = (rig.replica(false), rig.replica(false));
    create(&one, list("sip:list-a@d", &[DAVE, "sip:frank@elsewhere"])).await.expect("a list");
    sleep(Duration::from_secs(5)).await;
    let before = rig.store.record_count();
    rig.phones.domains.lock().insert("sip:frank@elsewhere".to_owned(), 0);
    let accepted = ask(&one, proved("alice", "list-a")).await;
    let subscribe = rig.phones.asked(DAVE, 1).await;
    told(&two, &subscribe, 1, "active;expires=600", "here").await;
    sleep(Duration::from_secs(545)).await;
    let refresh = rig.phones.asked(DAVE, 2).await;
    assert_eq!(
        (&refresh.sip_call_id, &refresh.from_tag, refresh.to_tag.as_str(), refresh.cseq),
        (&subscribe.sip_call_id, &subscribe.from_tag, "far", 2)
    );
    assert_eq!(refresh.request_uri, "sip:pa@elsewhere");
    let last = rig.phones.notified("alice").last().map(|(_, sent)| body(sent)).unwrap_or_default();
    assert!(last.contains("reason=\"probation\""), "frank cannot be reached: {last}");
    let ends = HandleRequest {
        cseq: 2,
        to_tag: accepted.to_tag,
        nobody: false,
        expires: Some(0),
        ..proved("alice", "list-a")
    };
    assert_eq!(ask(&two, ends).await.status, 200);
    let end = rig.phones.asked(DAVE, 3).await;
    assert_eq!((value(&end, "Expires"), end.cseq), ("0", 3));
    sleep(Duration::from_secs(120)).await;
    assert_eq!(rig.store.record_count(), before, "nothing is left");
}

/// RLS-04: one that is found within another list counts once, one that is taken off a list is sought no longer than a while, and there is
/// a bound.
#[tokio::test(start_paused = true)]
async fn members_elsewhere_are_bounded_and_go_when_nobody_wants_them() {
    let rig = Rig::new();
    let replica = rig.replica_with(Config { members_elsewhere: 3, ..Config::default() }, false);
    let far: Vec<String> = (0..5).map(|number| format!("sip:far{number}@elsewhere")).collect();
    let far: Vec<&str> = far.iter().map(String::as_str).collect();
    create(&replica, list("sip:list-in@d", &far[..2])).await.expect("the inner one");
    let outer = [&["sip:list-in@d"], &far[..]].concat();
    create(&replica, list("sip:list-out@d", &outer)).await.expect("the outer one");
    ask(&replica, proved("alice", "list-out")).await;
    for member in &far[..3] {
        let subscribe = rig.phones.asked(member, 1).await;
        told(&replica, &subscribe, 1, "active;expires=3600", "here").await;
    }
    sleep(Duration::from_secs(30)).await;
    assert!(far[3..].iter().all(|member| rig.phones.all_asked(member).is_empty()));
    assert!(far[..3].iter().all(|member| rig.phones.all_asked(member).len() == 1));
    update(&replica, list("sip:list-out@d", &["sip:list-in@d"])).await.expect("it is changed");
    // Its subscription to the list goes on: alice refreshes it.
    let to_tag = rig.phones.notify("alice", 1).await.from_tag;
    for cseq in 2..10 {
        sleep(Duration::from_secs(1_800)).await;
        let refresh =
            HandleRequest { cseq, to_tag: to_tag.clone(), nobody: false, ..proved("alice", "list-out") };
        assert_eq!(ask(&replica, refresh).await.status, 200);
        for member in &far[..3] {
            let asked = rig.phones.all_asked(member);
            let last = asked.last().expect("it was asked for");
            if value(last, "Expires") != "0" {
                told(&replica, last, 100 + cseq, "active;expires=3600", "here").await;
            }
        }
    }
    let last =
        |member: &str| rig.phones.all_asked(member).last().map(|asked| value(asked, "Expires").to_owned());
    assert_eq!(last(far[2]).as_deref(), Some("0"), "nobody wants it any more");
    for member in &far[..2] {
        assert_eq!(last(member).as_deref(), Some("3600"), "{member} is on the inner list");
    }
}
