//! Calls that edges merely proxy.

use std::time::Duration;

use call_control::Config;
use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call::{Kind, State};
use cluster_api::callcontrol::v1::proxied_call_event::Type;
use cluster_api::callcontrol::v1::proxied_calls_server::ProxiedCalls as _;
use tonic::{Code, Request};

use crate::edges::World;
use crate::rig::{Replica, for_days, reason, replica, single, store, story};

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

    let status = first.hangup("", "p1").await.expect_err("not controlled");
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
