//! WatchCalls: snapshot, order, resumption, slow and late subscribers.

use std::time::Duration;

use call_control::Config;
use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call::State;
use cluster_api::callcontrol::v1::call_event::Type;
use store::LogLimits;
use tonic::Code;

use crate::edges::World;
use crate::rig::{Replica, Watch, dial_request, reason, replica, single, store, store_with, story};

fn all() -> cc::WatchCallsRequest {
    cc::WatchCallsRequest::default()
}

fn after(cursor: &str) -> cc::WatchCallsRequest {
    cc::WatchCallsRequest { after_cursor: Some(cursor.to_owned()), ..all() }
}

/// Makes a call that connects and ends.
async fn whole_call(replica: &Replica) -> String {
    let call = replica.dial(dial_request("alice", "bob")).await.expect("committed");
    replica.wait_for(&call.call_id, State::Answered).await;
    replica.hangup("", &call.call_id).await.expect("hung up");
    replica.wait_for(&call.call_id, State::Ended).await;
    call.call_id
}

/// Reads until this many calls have ended.
async fn until_ended(watch: &mut Watch, count: usize) -> Vec<cc::CallEvent> {
    let mut events = Vec::new();
    let mut ended = 0;
    while ended < count {
        let event = watch.event().await;
        ended += usize::from(event.r#type() == Type::Ended);
        events.push(event);
    }
    events
}

/// What tells events apart.
fn identity(event: &cc::CallEvent) -> (String, Option<String>, i32) {
    (event.call_id.clone(), event.leg_id.clone(), event.r#type)
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_calls_begins_with_an_empty_snapshot() {
    let (replica, _world) = single();
    let mut watch = replica.watch(all()).await.expect("open");
    let event = watch.event().await;
    assert_eq!((event.r#type(), event.call), (Type::Snapshot, None));
    assert!(!event.cursor.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_watch_begins_with_every_live_call_and_goes_on_without_a_gap() {
    let (replica, _world) = single();
    let mut live = Vec::new();
    for _ in 0..5 {
        let call = replica.dial(dial_request("ring", "bob")).await.expect("committed");
        replica.wait_for(&call.call_id, State::Ringing).await;
        live.push(call.call_id);
    }
    let ended = whole_call(&replica).await;
    let mut watch = replica.watch(all()).await.expect("open");
    let mut snapshot = Vec::new();
    for _ in 0..5 {
        let event = watch.event().await;
        assert_eq!(event.r#type(), Type::Snapshot);
        assert_eq!(event.call.as_ref().map(|call| call.state()), Some(State::Ringing));
        snapshot.push(event.call_id);
    }
    snapshot.sort();
    live.sort();
    assert_eq!(snapshot, live);
    assert!(!snapshot.contains(&ended));

    replica.hangup("", &live[0]).await.expect("hung up");
    let events = until_ended(&mut watch, 1).await;
    assert!(events.iter().all(|event| event.call_id == live[0]));
    assert_eq!(story(&events).last().map(String::as_str), Some("ENDED"));
}

/// Reliability 3.6: on any replica, behind any event, nothing is lost and nothing repeated.
#[tokio::test(start_paused = true)]
async fn a_stream_resumes_anywhere_on_another_replica_without_loss_or_repetition() {
    let (world, store) = (World::new(&["edge-0", "edge-1"]), store());
    let first = replica(store.clone(), &world, Config::default());
    let second = replica(store, &world, Config::default());
    let mut watch = first.watch(all()).await.expect("open");
    let start = watch.event().await.cursor;
    let calls = futures_util::future::join_all((0..6).map(|_| whole_call(&first))).await;
    let whole = until_ended(&mut watch, calls.len()).await;
    assert_eq!(whole.len(), 6 * 11, "{:?}", story(&whole));

    let mut from_start = second.watch(after(&start)).await.expect("resumed");
    let again = until_ended(&mut from_start, calls.len()).await;
    let sorted = |events: &[cc::CallEvent]| {
        let mut identities: Vec<_> = events.iter().map(identity).collect();
        identities.sort();
        identities
    };
    assert_eq!(sorted(&again), sorted(&whole));

    for cut in 0..whole.len() {
        let mut resumed = second.watch(after(&whole[cut].cursor)).await.expect("resumed");
        let missing = whole[cut + 1..].iter().filter(|event| event.r#type() == Type::Ended).count();
        let mut rest = until_ended(&mut resumed, missing).await;
        // Events of other calls may follow the last end.
        while rest.len() < whole.len() - cut - 1 {
            rest.push(resumed.event().await);
        }
        let mut joined: Vec<_> = whole[..=cut].iter().map(identity).collect();
        joined.extend(rest.iter().map(identity));
        joined.sort();
        assert_eq!(joined, sorted(&whole), "cut after {cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_one_call_ends_with_it_and_can_be_resumed_afterwards() {
    let (replica, _world) = single();
    let call = replica.dial(dial_request("alice", "bob")).await.expect("committed");
    let mut watch = replica.watch_call(&call.call_id).await;
    let second = {
        watch.event().await;
        watch.event().await
    };
    replica.wait_for(&call.call_id, State::Answered).await;
    replica.hangup("", &call.call_id).await.expect("hung up");
    let rest = watch.rest().await;
    replica.wait_for(&call.call_id, State::Ended).await;

    let resume =
        |cursor: &str| cc::WatchCallsRequest { call_id: Some(call.call_id.clone()), ..after(cursor) };
    let mut resumed = replica.watch(resume(&second.cursor)).await.expect("resumed");
    assert_eq!(story(&resumed.rest().await), story(&rest));
    let last = rest.last().expect("it ended");
    let mut resumed = replica.watch(resume(&last.cursor)).await.expect("resumed");
    assert_eq!(story(&resumed.rest().await), [""; 0], "nothing follows the end");

    let mut fresh = replica.watch_call(&call.call_id).await;
    assert_eq!(story(&fresh.rest().await), ["SNAPSHOT"]);
    let unknown = cc::WatchCallsRequest { call_id: Some("nobody".into()), ..all() };
    let status = replica.watch(unknown).await.err().expect("unknown");
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_filter_holds_for_snapshot_and_events() {
    let (replica, _world) = single();
    let carol = replica.dial(dial_request("ring", "carol")).await.expect("committed");
    replica.dial(dial_request("ring", "dave")).await.expect("committed");
    let filter = cc::CallFilter { party: "sip:carol@EXAMPLE.com".into(), ..cc::CallFilter::default() };
    let mut watch =
        replica.watch(cc::WatchCallsRequest { filter: Some(filter), ..all() }).await.expect("open");
    let first = watch.event().await;
    assert_eq!((first.r#type(), first.call_id.as_str()), (Type::Snapshot, carol.call_id.as_str()));
    whole_call(&replica).await;
    replica.hangup("", &carol.call_id).await.expect("hung up");
    let events = until_ended(&mut watch, 1).await;
    assert!(events.iter().all(|event| event.call_id == carol.call_id), "{:?}", story(&events));
}

#[tokio::test(start_paused = true)]
async fn a_cursor_whose_history_is_gone_is_out_of_range() {
    let world = World::new(&["edge-0"]);
    let limits = LogLimits { retention: Duration::from_secs(3600), max_entries: 10, ..LogLimits::default() };
    let config = Config { partitions: 1, ..Config::default() };
    let replica = replica(store_with(limits), &world, config);
    let mut watch = replica.watch(all()).await.expect("open");
    let start = watch.event().await.cursor;
    for _ in 0..3 {
        whole_call(&replica).await;
    }
    let mut late = replica.watch(after(&start)).await.expect("open");
    let status = late.next().await.expect("an answer").expect_err("too old");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "CURSOR_TOO_OLD"));
}

/// F14: a subscriber that does not read is told and can resume; the others do not notice.
#[tokio::test(start_paused = true)]
async fn a_slow_subscriber_is_ended_with_a_reason_and_resumes() {
    let world = World::new(&["edge-0"]);
    let config = Config { watch_buffer: 20, ..Config::default() };
    let replica = replica(store(), &world, config);
    let mut slow = replica.watch(all()).await.expect("open");
    let mut fast = replica.watch(all()).await.expect("open");
    slow.event().await;
    fast.event().await;
    let mut whole = Vec::new();
    for _ in 0..20 {
        whole_call(&replica).await;
        whole.extend(until_ended(&mut fast, 1).await);
    }
    let mut seen = Vec::new();
    let status = loop {
        match slow.next().await.expect("an end") {
            Ok(event) => seen.push(event),
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "SLOW_SUBSCRIBER"));
    assert!(!seen.is_empty() && seen.len() < whole.len(), "{} of {}", seen.len(), whole.len());
    let last = seen.last().expect("some").cursor.clone();
    let mut resumed = replica.watch(after(&last)).await.expect("resumed");
    while seen.len() < whole.len() {
        seen.push(resumed.event().await);
    }
    let sorted = |events: &[cc::CallEvent]| {
        let mut identities: Vec<_> = events.iter().map(identity).collect();
        identities.sort();
        identities
    };
    assert_eq!(sorted(&seen), sorted(&whole));
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_no_stream_gave_out_is_refused() {
    let (replica, _world) = single();
    for cursor in ["x", "AQEB", "💥"] {
        let status = replica.watch(after(cursor)).await.err().expect("refused");
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::InvalidArgument, "BAD_CURSOR"),
            "{cursor}"
        );
    }
}

/// T19: what can be the id of no call is a wrong field here as in every other rpc, not a call that is unknown.
#[tokio::test(start_paused = true)]
async fn a_call_id_that_is_none_is_refused_as_a_field() {
    let (replica, _world) = single();
    for call_id in ["a\r\nb", "a\0", &"x".repeat(65)] {
        let watched = cc::WatchCallsRequest { call_id: Some(call_id.to_owned()), ..all() };
        let refused = [replica.watch(watched).await.err(), replica.get(call_id).await.err()];
        for status in refused {
            let status = status.expect("refused");
            assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "BAD_FIELD"));
        }
    }
}

/// TPC-15: whoever asks late, asks another replica, or asks after the end, sees every event of the call.
#[tokio::test(start_paused = true)]
async fn an_empty_cursor_means_from_the_beginning_of_the_call() {
    let (world, store) = (World::new(&["edge-0"]), store());
    let first = replica(store.clone(), &world, Config::default());
    let second = replica(store, &world, Config::default());
    // Other calls before, beside and after it in the same logs.
    for _ in 0..3 {
        whole_call(&first).await;
    }
    let call = first.dial(dial_request("alice", "bob")).await.expect("committed");
    let beginning = || cc::WatchCallsRequest { call_id: Some(call.call_id.clone()), ..after("") };
    let mut early = first.watch(beginning()).await.expect("open");
    first.wait_for(&call.call_id, State::Answered).await;
    whole_call(&second).await;
    let mut late = second.watch(beginning()).await.expect("open");
    first.hangup("", &call.call_id).await.expect("hung up");
    first.wait_for(&call.call_id, State::Ended).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut after_the_end = second.watch(beginning()).await.expect("open");
    let expected = [
        "CREATED",
        "a LEG_DIALING",
        "a LEG_RINGING",
        "a LEG_ANSWERED",
        "b LEG_DIALING",
        "b LEG_RINGING",
        "b LEG_ANSWERED",
        "CONNECTED",
        "a LEG_ENDED",
        "b LEG_ENDED",
        "ENDED",
    ];
    for watch in [&mut early, &mut late, &mut after_the_end] {
        assert_eq!(story(&watch.rest().await), expected);
    }
}

/// F3: whoever watches learns that the replica ends and not the call, and goes on elsewhere where it was.
#[tokio::test(start_paused = true)]
async fn a_stream_of_a_replica_that_ends_says_so_and_goes_on_at_another() {
    let (world, store) = (World::new(&["edge-0"]), store());
    let first = replica(store.clone(), &world, Config::default());
    let second = replica(store, &world, Config::default());
    let call = first.dial(dial_request("ring", "bob")).await.expect("committed");
    first.wait_for(&call.call_id, State::Ringing).await;
    let mut of_all = first.watch(all()).await.expect("open");
    let mut of_one = first.watch_call(&call.call_id).await;
    let cursor = of_one.event().await.cursor;
    of_all.event().await;
    first.service.stop(Duration::ZERO).await;
    let mut late = first.watch_call(&call.call_id).await;
    for watch in [&mut of_all, &mut of_one, &mut late] {
        let status = loop {
            match watch.next().await.expect("a last word") {
                Ok(_snapshot) => {}
                Err(status) => break status,
            }
        };
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "DRAINING"));
        assert!(watch.next().await.is_none());
    }

    second.hangup("", &call.call_id).await.expect("hung up");
    let one = cc::WatchCallsRequest { call_id: Some(call.call_id.clone()), ..after(&cursor) };
    let rest = second.watch(one).await.expect("resumed").rest().await;
    assert_eq!(story(&rest).last().map(String::as_str), Some("ENDED"));
}
