//! Calls that edges merely proxy.

mod cost;

use std::time::{Duration, SystemTime};

use call_control::Config;
use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call::{Kind, State};
use cluster_api::callcontrol::v1::proxied_call_event::Type;
use cluster_api::callcontrol::v1::proxied_calls_server::ProxiedCalls as _;
use store::Store as _;
use tonic::{Code, Request};

use crate::edges::World;
use crate::rig::{Replica, dial_request, for_days, reason, replica, single, store, story};

fn event(number: u64, call_id: &str, kind: Type) -> cc::ProxiedCallEvent {
    cc::ProxiedCallEvent {
        number,
        call_id: call_id.into(),
        r#type: kind.into(),
        sip_call_id: "x@phone".into(),
        from_uri: "sip:alice@example.com".into(),
        from_tag: "1".into(),
        to_uri: "sip:bob@example.com".into(),
        ended_by: if kind == Type::Ended { "a".into() } else { String::new() },
        sip_status: if kind == Type::Ringing { 180 } else { 0 },
        ..cc::ProxiedCallEvent::default()
    }
}

async fn report(replica: &Replica, events: Vec<cc::ProxiedCallEvent>) {
    let request = cc::ReportRequest { edge_id: "edge-0".into(), edge_epoch: 1, events };
    replica.service.proxied_calls.report(Request::new(request)).await.expect("committed");
}

#[tokio::test(start_paused = true)]
async fn proxied_calls_are_listed_and_watched_like_others_but_not_steered() {
    let (world, store) = (World::new(&["edge-0"]), store());
    let first = replica(store.clone(), &world, Config::default());
    let second = replica(store, &world, Config::default());
    let mut watch = second.watch(cc::WatchCallsRequest::default()).await.expect("open");
    watch.event().await;
    report(&first, vec![event(1, "p1", Type::Started), event(1, "p2", Type::Started)]).await;
    report(&second, vec![event(1, "p1", Type::Started), event(2, "p1", Type::Ringing)]).await;
    let filter = cc::CallFilter { kinds: vec![Kind::Proxied.into()], ..cc::CallFilter::default() };
    let listed =
        first.list(cc::ListCallsRequest { filter: Some(filter), ..cc::ListCallsRequest::default() }).await;
    let mut states: Vec<_> =
        listed.expect("list").calls.into_iter().map(|call| (call.call_id.clone(), call.state())).collect();
    states.sort();
    assert_eq!(states, [("p1".to_owned(), State::Ringing), ("p2".to_owned(), State::Dialing)]);

    let status = first.hold("", "p1").await.expect_err("not controlled");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "NOT_CONTROLLED"));

    report(&first, vec![event(3, "p1", Type::Answered), event(4, "p1", Type::Ended)]).await;
    report(&first, vec![event(3, "p1", Type::Answered), event(4, "p1", Type::Ended)]).await;
    let mut events = Vec::new();
    while events.last().is_none_or(|event: &cc::CallEvent| event.r#type() != cc::call_event::Type::Ended) {
        events.push(watch.event().await);
    }
    events.retain(|event| event.call_id == "p1");
    let expected = [
        "CREATED",
        "b LEG_DIALING",
        "b LEG_RINGING",
        "b LEG_ANSWERED",
        "CONNECTED",
        "a LEG_ENDED",
        "b LEG_ENDED",
        "ENDED",
    ];
    assert_eq!(story(&events), expected);
    assert_eq!(first.get("p1").await.expect("known for a day").state(), State::Ended);
}

#[tokio::test(start_paused = true)]
async fn many_calls_in_one_report_are_all_kept() {
    let (replica, _world) = single();
    let events = (0..500).map(|n| event(1, &format!("p{n}"), Type::Started)).collect();
    report(&replica, events).await;
    let page =
        replica.list(cc::ListCallsRequest { page_size: 1000, ..cc::ListCallsRequest::default() }).await;
    assert_eq!(page.expect("list").calls.len(), 500);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_end_is_never_reported_is_given_up_after_a_day() {
    let (world, store) = (World::new(&["edge-0"]), store());
    let replica = replica(store.clone(), &world, for_days());
    report(&replica, vec![event(1, "p1", Type::Started), event(2, "p1", Type::Answered)]).await;
    tokio::time::sleep(Duration::from_secs(23 * 3600)).await;
    assert_eq!(replica.get("p1").await.expect("known").state(), State::Answered);
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    let call = replica.get("p1").await.expect("known");
    assert_eq!(call.outcome.expect("outcome").ended_by, "carillon");
    tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
    assert_eq!(store.record_count(), 0);
}

/// TXN-17, F1: nobody can cancel what a dead edge began: each phone that rings is told by BYE, through a living edge.
#[tokio::test(start_paused = true)]
async fn phones_that_ring_are_told_when_the_edge_that_called_them_dies() {
    let (world, store) = (World::new(&["edge-0", "edge-1"]), store());
    let replica = replica(store, &world, Config::default());
    let ringing = |number, tag: &str| cc::ProxiedCallEvent {
        to_tag: tag.into(),
        to_contact: format!("sip:bob@{tag}.example.net"),
        to_route: vec!["<sip:edge.example.com;lr>".into()],
        ..event(number, "p1", Type::Ringing)
    };
    let without_dialog = event(2, "p1", Type::Ringing);
    let rings = [event(1, "p1", Type::Started), without_dialog, ringing(3, "desk"), ringing(4, "mobile")];
    report(&replica, rings.to_vec()).await;
    let answer = cc::ProxiedCallEvent { call_id: "p2".into(), ..ringing(2, "desk") };
    let up = answered("p2");
    report(&replica, vec![up[0].clone(), answer, cc::ProxiedCallEvent { number: 3, ..up[1].clone() }]).await;
    let mut watch = replica.watch_call("p1").await;
    world.lose_edge("edge-0");
    while watch.event().await.r#type() != cc::call_event::Type::Ended {}
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut sent: Vec<_> =
        world.exchanged.lock().iter().map(|asked| asked.request.clone().expect("one")).collect();
    sent.sort_by_key(|bye| bye.to_tag.clone());
    let told: Vec<_> = sent.iter().map(|bye| (&*bye.method, &*bye.to_tag, &*bye.request_uri)).collect();
    let expected =
        [("BYE", "desk", "sip:bob@desk.example.net"), ("BYE", "mobile", "sip:bob@mobile.example.net")];
    assert_eq!(told, expected, "and none of the call that is answered");
    let bye = &sent[0];
    assert_eq!((bye.from_uri.as_str(), bye.from_tag.as_str()), ("sip:alice@example.com", "1"));
    assert_eq!((bye.sip_call_id.as_str(), bye.route.len()), ("x@phone", 1));
    assert_eq!(replica.get("p2").await.expect("it goes on").state(), State::Answered);
}

/// The first events of an answered call between alice and bob.
fn answered(call_id: &str) -> Vec<cc::ProxiedCallEvent> {
    let answer = cc::ProxiedCallEvent {
        to_tag: "2".into(),
        from_contact: "sip:alice@192.0.2.1".into(),
        to_contact: "sip:bob@192.0.2.2".into(),
        from_route: vec!["<sip:edge.example.com;lr>".into()],
        to_route: vec!["<sip:edge.example.com;lr>".into()],
        ..event(2, call_id, Type::Answered)
    };
    vec![event(1, call_id, Type::Started), answer]
}

/// API 2 (Hangup): BYE to both phones, once the request is committed, and one end.
#[tokio::test(start_paused = true)]
async fn an_answered_call_is_hung_up_by_a_bye_to_both_sides() {
    let (world, store) = (World::new(&["edge-0"]), store());
    let first = replica(store.clone(), &world, Config::default());
    let second = replica(store, &world, Config::default());
    report(&first, answered("p1")).await;
    let mut watch = second.watch(cc::WatchCallsRequest::default()).await.expect("open");
    second.hangup("once", "p1").await.expect("committed");
    second.hangup("once", "p1").await.expect("the same request");
    loop {
        if watch.event().await.r#type() == cc::call_event::Type::Ended {
            break;
        }
    }
    let call = first.get("p1").await.expect("known");
    let outcome = call.outcome.expect("an outcome");
    assert_eq!((outcome.kind(), outcome.ended_by.as_str()), (cc::outcome::Kind::Completed, "api"));
    let mut sent: Vec<_> = world
        .exchanged
        .lock()
        .iter()
        .map(|asked| {
            let request = asked.request.as_ref().expect("a request");
            (asked.exchange_id.clone(), request.method.clone(), request.request_uri.clone())
        })
        .collect();
    sent.sort();
    sent.dedup();
    assert_eq!(
        sent,
        [
            ("p1.a".to_owned(), "BYE".to_owned(), "sip:alice@192.0.2.1".to_owned()),
            ("p1.b".to_owned(), "BYE".to_owned(), "sip:bob@192.0.2.2".to_owned()),
        ],
        "repetitions are the same requests"
    );
    second.hangup("again", "p1").await.expect("ending an ended call is no error");
}

/// F4: whoever took the request dies, another replica ends the call.
#[tokio::test(start_paused = true)]
async fn a_hangup_that_its_replica_did_not_carry_out_is_carried_out_by_another() {
    let (world, store) = (World::new(&[]), store());
    let first = replica(store.clone(), &world, Config::default());
    report(&first, answered("p1")).await;
    // There is no edge to send by, so that the request is only committed.
    first.hangup("", "p1").await.expect("committed");
    first.service.stop(Duration::ZERO).await;
    let alive = World::new(&["edge-0"]);
    let second = replica(store, &alive, Config::default());
    while second.get("p1").await.expect("known").state() != State::Ended {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(alive.exchanged.lock().len() >= 2);
}

/// RFC 3261 16.10: a call that rings is cancelled by the edge that proxies it, whose report ends it.
#[tokio::test(start_paused = true)]
async fn a_ringing_call_is_cancelled_at_its_edge() {
    let (world, store) = (World::new(&["edge-0"]), store());
    let replica = replica(store, &world, Config::default());
    report(&replica, vec![event(1, "p1", Type::Started), event(2, "p1", Type::Ringing)]).await;
    replica.hangup("", "p1").await.expect("committed");
    while world.cancelled.lock().is_empty() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(world.cancelled.lock()[0].call_id, "p1");
    let end = cc::ProxiedCallEvent { sip_status: 487, ended_by: "api".into(), ..event(3, "p1", Type::Ended) };
    report(&replica, vec![end]).await;
    let outcome = replica.get("p1").await.expect("known").outcome.expect("an outcome");
    assert_eq!((outcome.kind(), outcome.ended_by.as_str()), (cc::outcome::Kind::Cancelled, "api"));
}

/// TMR-04: a session that nothing refreshes is no call any more; no BYE is sent for it.
#[tokio::test(start_paused = true)]
async fn a_session_that_is_not_refreshed_ends_in_the_list_without_a_bye() {
    let (world, store) = (World::new(&["edge-0"]), store());
    let replica = replica(store, &world, for_days());
    let mut events = answered("p1");
    let interval = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    events[1].session_interval = interval(1800);
    report(&replica, events).await;
    tokio::time::sleep(Duration::from_secs(1500)).await;
    let refresh =
        cc::ProxiedCallEvent { session_interval: interval(1800), ..event(3, "p1", Type::Refreshed) };
    report(&replica, vec![refresh]).await;
    tokio::time::sleep(Duration::from_secs(1500)).await;
    assert_eq!(replica.get("p1").await.expect("known").state(), State::Answered, "it was refreshed");
    tokio::time::sleep(Duration::from_secs(400)).await;
    let call = replica.get("p1").await.expect("known");
    assert_eq!(call.outcome.expect("an outcome").ended_by, "carillon");
    assert!(world.exchanged.lock().is_empty());
}

/// F1: nobody will report the end of a call that rang when its edge died.
#[tokio::test(start_paused = true)]
async fn a_ringing_call_ends_with_its_edge_and_an_answered_one_goes_on() {
    let (world, store) = (World::new(&["edge-0", "edge-1"]), store());
    let replica = replica(store, &world, Config::default());
    report(&replica, vec![event(1, "rings", Type::Started), event(2, "rings", Type::Ringing)]).await;
    report(&replica, answered("talks")).await;
    world.lose_edge("edge-0");
    while replica.get("rings").await.expect("known").state() != State::Ended {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let outcome = replica.get("rings").await.expect("known").outcome.expect("an outcome");
    assert_eq!((outcome.kind(), outcome.ended_by.as_str()), (cc::outcome::Kind::Failed, "carillon"));
    assert_eq!(replica.get("talks").await.expect("known").state(), State::Answered);
}

/// Who counts calls learns which go on: those of phones and those of ours alike.
#[tokio::test(start_paused = true)]
async fn calls_that_go_on_are_told_from_those_that_are_over() {
    use cc::check_calls_response::Standing;
    let (world, store) = (World::new(&["edge-0"]), store());
    let first = replica(store.clone(), &world, Config::default());
    let second = replica(store, &world, Config::default());
    report(&first, answered("p1")).await;
    report(&first, vec![event(1, "p2", Type::Started), event(2, "p2", Type::Ended)]).await;
    let ids: Vec<String> = (0..60).map(|number| format!("r{number}")).collect();
    report(&first, ids.iter().map(|id| event(1, id, Type::Started)).collect()).await;
    let check = |call_ids: Vec<String>| {
        let request = cc::CheckCallsRequest { call_ids, ..cc::CheckCallsRequest::default() };
        second.service.proxied_calls.check_calls(Request::new(request))
    };
    let asked = ["p2", "unheard of", "p1"].into_iter().map(str::to_owned).chain(ids).collect();
    let standings = check(asked).await.expect("the store is there").into_inner().standings;
    let expected = [Standing::Ended, Standing::Unspecified, Standing::Live].map(i32::from);
    assert_eq!(standings[..3], expected);
    assert!(standings.len() == 63 && standings[3..].iter().all(|one| *one == i32::from(Standing::Live)));
    let refused = check(vec!["x".to_owned(); 1001]).await.expect_err("too many");
    assert_eq!(refused.code(), Code::InvalidArgument);
}

/// T6, API 2: a call that may be connected for so long is ended as Hangup ends one: BYE to both phones and one end, that says why. Whoever asks is
/// told what it has left; of what nobody answered, all of it; and who was connected before has the time from then on.
#[tokio::test(start_paused = true)]
async fn a_call_whose_time_is_over_is_ended() {
    use cc::check_calls_response::Standing;
    let (world, store) = (World::new(&["edge-0"]), store());
    let first = replica(store.clone(), &world, Config::default());
    let second = replica(store.clone(), &world, Config::default());
    let begun = store.now();
    let ask = async |replica: &Replica, call_id: &str, leg: &str, since: SystemTime| {
        let request = cc::EndOverdueRequest {
            call_id: call_id.into(),
            leg: leg.into(),
            max_duration: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            since: Some(since.into()),
        };
        let answer = replica.service.proxied_calls.end_overdue(Request::new(request)).await;
        let answer = answer.expect("an answer").into_inner();
        (answer.standing(), answer.left.expect("a time").seconds)
    };
    report(&first, vec![event(1, "rings", Type::Started), event(2, "rings", Type::Ringing)]).await;
    report(&first, answered("p1")).await;
    let dialled = first.dial(dial_request("alice", "bob")).await;
    let dialled = dialled.expect("a call").call_id;
    first.wait_for(&dialled, State::Answered).await;
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(ask(&second, "unheard of", "", begun).await, (Standing::Unspecified, 0));
    assert_eq!(ask(&second, "rings", "", begun).await, (Standing::Live, 60));
    let (standing, left) = ask(&second, "p1", "", begun + Duration::from_secs(60)).await;
    assert!(standing == Standing::Live && (48..=52).contains(&left), "{left}");
    assert_eq!(
        ask(&second, &dialled, "cc0123456789abcdef-0-0-0", begun).await.0,
        Standing::Ended,
        "its leg left"
    );
    assert_eq!(first.get(&dialled).await.expect("known").state(), State::Answered, "and the call goes on");

    for call_id in ["p1", &*dialled] {
        assert_eq!(ask(&second, call_id, "", begun).await.0, Standing::Ended);
        assert_eq!(ask(&first, call_id, "", begun).await.0, Standing::Ended, "the same question again");
        let call = first.wait_for(call_id, State::Ended).await;
        let outcome = call.outcome.expect("an outcome");
        assert_eq!(outcome.kind(), cc::outcome::Kind::Completed);
        assert_eq!(outcome.ended_by, "api", "as Hangup ends it");
        // That of a call of ours is about its legs.
        assert_eq!(outcome.sip_reason, if call_id == "p1" { "Allowed Time Is Over" } else { "OK" });
    }
    let byes: Vec<_> = world.exchanged.lock().iter().filter_map(|asked| asked.request.clone()).collect();
    assert!(byes.iter().all(|bye| bye.method == "BYE"));
    let said = byes.iter().flat_map(|bye| &bye.headers).filter(|header| header.name == "Reason");
    assert!(
        said.clone().count() >= 2 && said.clone().all(|header| header.value.contains("Allowed Time Is Over"))
    );
    let said = world.header(&dialled, "a", "BYE", "Reason").expect("a reason");
    assert!(said.contains("Allowed Time Is Over"), "{said}");
    let wire = world.wire(&dialled);
    assert_eq!(wire.iter().filter(|line| line.contains("BYE")).count(), 2, "{wire:#?}");
    let nonsense = cc::EndOverdueRequest { call_id: "p1".into(), ..cc::EndOverdueRequest::default() };
    let refused = first.service.proxied_calls.end_overdue(Request::new(nonsense)).await.expect_err("no time");
    assert_eq!(refused.code(), Code::InvalidArgument);
}
