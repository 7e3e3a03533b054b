//! Dial, Hangup and what phones and applications see of it.

use std::time::Duration;

use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call::State;
use cluster_api::callcontrol::v1::call_control_server::CallControl as _;
use cluster_api::callcontrol::v1::outcome::Kind;
use tonic::{Code, Request};

use crate::rig::{dial_request, reason, single, story};

/// LAD-1, TPC-15: every step is an event, in order, and each exactly once.
#[tokio::test(start_paused = true)]
async fn a_dialled_call_connects_and_ends_when_the_application_hangs_up() {
    let (replica, world) = single();
    let call = replica.dial(dial_request("alice", "bob")).await.expect("committed");
    assert_eq!(call.state(), State::Dialing);
    assert_eq!(call.legs[0].sip_status, 0, "nobody has answered anything");

    let mut watch = replica.watch_call(&call.call_id).await;
    let connected = replica.wait_for(&call.call_id, State::Answered).await;
    assert!(connected.answer_time.is_some());
    replica.hangup("", &call.call_id).await.expect("hung up");

    let events = watch.rest().await;
    let expected = [
        "SNAPSHOT",
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
    assert_eq!(story(&events), expected);
    let ended = replica.get(&call.call_id).await.expect("known for a day");
    assert_eq!(ended.state(), State::Ended);
    let outcome = ended.outcome.expect("an ended call has one");
    assert_eq!(
        (outcome.kind(), outcome.sip_status, outcome.ended_by.as_str()),
        (Kind::Completed, 200, "api")
    );
    let asked = world.asked(&call.call_id);
    let invites = ["a INVITE", "a ACK", "b INVITE", "a INVITE", "b ACK", "a ACK"];
    assert_eq!(asked[..6], invites, "{asked:?}");
    assert!(asked.contains(&"a BYE".to_owned()) && asked.contains(&"b BYE".to_owned()), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_busy_callee_ends_the_call_with_one_clear_outcome() {
    let (replica, _world) = single();
    let call = replica.dial(dial_request("alice", "busy")).await.expect("committed");
    let events = replica.watch_call(&call.call_id).await.rest().await;
    assert_eq!(story(&events).iter().filter(|event| *event == "ENDED").count(), 1);
    let outcome =
        events.last().and_then(|event| event.call.clone()).and_then(|call| call.outcome).expect("outcome");
    assert_eq!((outcome.kind(), outcome.sip_status, outcome.ended_by.as_str()), (Kind::Busy, 486, "b"));
}

/// The timer of the engine reaches it through the due work.
#[tokio::test(start_paused = true)]
async fn a_phone_that_only_rings_is_given_up_after_the_ring_timeout() {
    let (replica, world) = single();
    let request = cc::DialRequest {
        ring_timeout: Some(prost_types::Duration { seconds: 7, nanos: 0 }),
        ..dial_request("ring", "bob")
    };
    let before = tokio::time::Instant::now();
    let call = replica.dial(request).await.expect("committed");
    let events = replica.watch_call(&call.call_id).await.rest().await;
    let outcome =
        events.last().and_then(|event| event.call.clone()).and_then(|call| call.outcome).expect("outcome");
    assert_eq!(outcome.kind(), Kind::NoAnswer);
    let seconds = before.elapsed().as_secs_f64();
    assert!((7.0..9.0).contains(&seconds), "virtual time: {seconds}");
    assert!(world.asked(&call.call_id).contains(&"a CANCEL".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn the_same_request_id_names_the_same_call() {
    let (replica, world) = single();
    let request = || cc::DialRequest {
        request_id: "once".to_owned(),
        metadata: (0..9).map(|n| (n.to_string(), n.to_string())).collect(),
        ..dial_request("alice", "bob")
    };
    let attempts = futures_util::future::join_all((0..8).map(|_| replica.dial(request()))).await;
    let ids: Vec<_> = attempts.into_iter().map(|call| call.expect("idempotent").call_id).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    replica.wait_for(&ids[0], State::Answered).await;
    assert_eq!(replica.dial(request()).await.expect("still").call_id, ids[0]);
    let all = replica.list(cc::ListCallsRequest::default()).await.expect("list").calls;
    assert_eq!(all.len(), 1);
    assert_eq!(world.asked(&ids[0]).iter().filter(|asked| *asked == "b INVITE").count(), 1);

    let other = cc::DialRequest { request_id: "once".to_owned(), ..dial_request("alice", "carol") };
    let status = replica.dial(other).await.expect_err("other content");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::AlreadyExists, "REQUEST_ID_REUSED"));
}

#[tokio::test(start_paused = true)]
async fn hanging_up_is_idempotent_and_an_ended_call_stays_as_it_is() {
    let (replica, world) = single();
    let call = replica.dial(dial_request("alice", "bob")).await.expect("committed");
    replica.wait_for(&call.call_id, State::Answered).await;
    replica.hangup("end", &call.call_id).await.expect("first");
    replica.hangup("end", &call.call_id).await.expect("again");
    let ended = replica.wait_for(&call.call_id, State::Ended).await;
    let again = replica.hangup("end", &call.call_id).await.expect("after the end");
    assert_eq!(again.outcome, ended.outcome);
    // Until nothing can happen to the call any more, and only its public form is left.
    tokio::time::sleep(Duration::from_secs(120)).await;
    replica.hangup("another", &call.call_id).await.expect("ending an ended call is no error");
    replica.hangup("another", &call.call_id).await.expect("nor is doing so twice");
    assert_eq!(world.asked(&call.call_id).iter().filter(|asked| *asked == "a BYE").count(), 1);

    for request_id in ["end", "another"] {
        let other =
            cc::HangupRequest { request_id: request_id.into(), call_id: call.call_id.clone(), reason: None };
        let status = replica.service.api.hangup(Request::new(other)).await.expect_err("other content");
        assert_eq!(reason(&status), "REQUEST_ID_REUSED", "{request_id}");
    }
}

#[tokio::test(start_paused = true)]
async fn hanging_up_while_it_rings_cancels() {
    let (replica, world) = single();
    let call = replica.dial(dial_request("ring", "bob")).await.expect("committed");
    replica.wait_for(&call.call_id, State::Ringing).await;
    replica.hangup("", &call.call_id).await.expect("hung up");
    let ended = replica.wait_for(&call.call_id, State::Ended).await;
    assert_eq!(ended.outcome.expect("outcome").kind(), Kind::Cancelled);
    assert!(world.asked(&call.call_id).contains(&"a CANCEL".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_exist_is_said_clearly() {
    let (replica, _world) = single();
    for status in [
        replica.get("nobody").await.expect_err("unknown"),
        replica.hangup("", "nobody").await.expect_err("unknown"),
    ] {
        assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "CALL_NOT_FOUND"));
    }
    for status in [
        replica.get("").await.expect_err("no id"),
        replica.hangup("", "").await.expect_err("no id"),
        replica.get(&"x".repeat(65)).await.expect_err("no id of ours is that long"),
    ] {
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "BAD_FIELD"));
    }
}

/// T19
#[tokio::test(start_paused = true)]
async fn a_bad_request_names_its_fields_and_makes_nothing() {
    let (replica, _world) = single();
    let mut request = dial_request("alice\r\nRoute: <sip:evil>", "bob");
    request.headers = vec![cluster_api::sip::v1::Header::new("Via", "x")];
    let status = replica.dial(request).await.expect_err("refused");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "BAD_URI"));
    let details = tonic_types::StatusExt::get_error_details(&status);
    let fields: Vec<_> =
        details.bad_request().expect("violations").field_violations.iter().map(|v| v.field.clone()).collect();
    assert_eq!(fields, ["from.uri", "headers[0].name"]);
    assert!(replica.list(cc::ListCallsRequest::default()).await.expect("list").calls.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_draining_replica_takes_no_new_calls_and_serves_the_others() {
    let (replica, _world) = single();
    let call = replica.dial(dial_request("alice", "bob")).await.expect("committed");
    replica.drain.begin();
    let status = replica.dial(dial_request("alice", "bob")).await.expect_err("draining");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "DRAINING"));
    replica.wait_for(&call.call_id, State::Answered).await;
}
