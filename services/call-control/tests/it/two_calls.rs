//! Bridge and Transfer over replicas, store and edges: what is asked, what is refused, and what becomes of it when a replica dies.

use call_control::Config;
use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call::State;
use cluster_api::callcontrol::v1::call_control_server::CallControl as _;
use cluster_api::callcontrol::v1::call_event::Type;
use cluster_api::callcontrol::v1::proxied_calls_server::ProxiedCalls as _;
use cluster_api::callcontrol::v1::transfer_target::Target;
use tonic::{Code, Request, Status};

use crate::edges::World;
use crate::rig::{self, Replica, dial_request, reason};

async fn connected(replica: &Replica, from: &str, to: &str) -> String {
    let call = replica.dial(dial_request(from, to)).await.expect("a call");
    replica.wait_for(&call.call_id, State::Answered).await.call_id
}

fn bridge_of(request_id: &str, one: &str, two: &str) -> cc::BridgeRequest {
    cc::BridgeRequest {
        request_id: request_id.into(),
        call_id: one.into(),
        leg_id: "a".into(),
        other_call_id: two.into(),
        other_leg_id: "b".into(),
    }
}

async fn bridge(replica: &Replica, request: cc::BridgeRequest) -> Result<cc::Call, Status> {
    replica.service.api.bridge(Request::new(request)).await.map(|call| call.into_inner())
}

fn transfer_of(request_id: &str, call_id: &str, target: Target) -> cc::TransferRequest {
    cc::TransferRequest {
        request_id: request_id.into(),
        call_id: call_id.into(),
        leg_id: "a".into(),
        target: Some(cc::TransferTarget { target: Some(target) }),
        method: cc::transfer_request::Method::Reinvite.into(),
    }
}

async fn transfer(replica: &Replica, request: cc::TransferRequest) -> Result<cc::Call, Status> {
    replica.service.api.transfer(Request::new(request)).await.map(|call| call.into_inner())
}

/// Waits for an event; all of them so far.
async fn until(replica: &Replica, call_id: &str, kind: Type) -> Vec<cc::CallEvent> {
    let request = cc::WatchCallsRequest {
        call_id: Some(call_id.into()),
        after_cursor: Some(String::new()),
        ..cc::WatchCallsRequest::default()
    };
    let mut watch = replica.watch(request).await.expect("the call exists");
    let mut seen = Vec::new();
    while seen.last().is_none_or(|event: &cc::CallEvent| event.r#type() != kind) {
        seen.push(watch.event().await);
    }
    seen
}

/// LAD-9, SCN-15: the request is answered once it is committed, its result by events; asked again, it is done once.
#[tokio::test(start_paused = true)]
async fn a_bridge_connects_two_calls_once() {
    let (replica, world) = rig::single();
    let (one, two) = (connected(&replica, "alice", "bob").await, connected(&replica, "carol", "dave").await);
    let request = bridge_of("bridge-1", &one, &two);
    let first = bridge(&replica, request.clone()).await.expect("both talk");
    assert_eq!(first.call_id, one);
    until(&replica, &one, Type::PartyJoined).await;
    replica.wait_for(&two, State::Ended).await;
    let again = bridge(&replica, request.clone()).await.expect("it is the same request");
    assert_eq!((again.call_id.as_str(), again.state()), (one.as_str(), State::Answered));
    let other = cc::BridgeRequest { leg_id: "b".into(), ..request };
    assert_eq!(bridge(&replica, other).await.expect_err("other content").code(), Code::AlreadyExists);
    assert_eq!(again.legs.len(), 3);
    assert_eq!(again.legs[2].party.as_ref().expect("a party").uri, "sip:dave@example.com");
    let byes = |call: &str| {
        world.asked(call).iter().filter(|what| what.ends_with(" BYE")).cloned().collect::<Vec<_>>()
    };
    assert_eq!((byes(&one), byes(&two)), (vec!["b BYE".to_owned()], vec!["a BYE".to_owned()]));
    let outcome = replica.get(&two).await.expect("the call").outcome.expect("an outcome");
    assert_eq!((outcome.kind(), outcome.ended_by.as_str()), (cc::outcome::Kind::Completed, "api"));
}

/// LAD-9, CCL-07: who counts legs, as the registrar those of a trunk, counts one that other calls have kept until it ends there, however
/// often it moved.
#[tokio::test(start_paused = true)]
async fn a_leg_that_was_kept_counts_where_it_came_to() {
    let (replica, _world) = rig::single();
    let (one, two) = (connected(&replica, "alice", "bob").await, connected(&replica, "carol", "dave").await);
    let effects = 1..=30;
    let live = async || {
        let legs: Vec<_> = effects.clone().map(|effect| format!("cc0-{effect:x}-0-0")).collect();
        let request = cc::CheckCallsRequest { call_ids: vec![two.clone(); legs.len()], legs };
        let answer =
            replica.service.proxied_calls.check_calls(Request::new(request)).await.expect("an answer");
        let live = i32::from(cc::check_calls_response::Standing::Live);
        answer.into_inner().standings.iter().filter(|standing| **standing == live).count()
    };
    let over = async |call: &str| {
        replica.wait_for(call, State::Ended).await;
        // until nothing can happen to it any more, and only its public form is kept
        tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    };
    bridge(&replica, bridge_of("bridge-1", &one, &two)).await.expect("both talk");
    until(&replica, &one, Type::PartyJoined).await;
    over(&two).await;
    assert_eq!(live().await, 1, "dave's leg goes on in the first call");
    let three = connected(&replica, "erin", "frank").await;
    let request = cc::BridgeRequest { other_leg_id: "c".into(), ..bridge_of("bridge-2", &three, &one) };
    bridge(&replica, request).await.expect("both talk");
    until(&replica, &three, Type::PartyJoined).await;
    over(&one).await;
    assert_eq!(live().await, 1, "and in the third");
    replica.hangup("", &three).await.expect("it lives");
    over(&three).await;
    assert_eq!(live().await, 0);
}

/// Two calls that want a leg of each other: whoever is first has it, and the other one is told so at once.
#[tokio::test(start_paused = true)]
async fn of_two_bridges_that_cross_one_is_aborted() {
    let (replica, _world) = rig::single();
    let (one, two) = (connected(&replica, "alice", "bob").await, connected(&replica, "carol", "dave").await);
    let (there, back) = tokio::join!(
        bridge(&replica, bridge_of("1", &one, &two)),
        bridge(&replica, bridge_of("2", &two, &one))
    );
    let (wins, lost) = match (there, back) {
        (Ok(call), Err(refused)) | (Err(refused), Ok(call)) => (call.call_id, refused),
        both => panic!("exactly one of them wins: {both:?}"),
    };
    assert_eq!((lost.code(), reason(&lost).as_str()), (Code::Aborted, "TRANSFER_PENDING"));
    until(&replica, &wins, Type::PartyJoined).await;
    let other = if wins == one { &two } else { &one };
    replica.wait_for(other, State::Ended).await;
    // Asked again, the one that was done is the same
    let again = if wins == one { bridge_of("1", &one, &two) } else { bridge_of("2", &two, &one) };
    assert_eq!(bridge(&replica, again).await.expect("the same request").call_id, wins);
    let missing = bridge(&replica, bridge_of("3", &wins, "carol")).await.expect_err("no call");
    assert!(missing.message().contains("\"carol\""), "{}", missing.message());
}

/// LAD-9: the far party of the other call comes; the two legs of the one who had both calls go.
#[tokio::test(start_paused = true)]
async fn an_attended_transfer_connects_the_far_parties() {
    let (replica, _world) = rig::single();
    let (one, two) = (connected(&replica, "alice", "bob").await, connected(&replica, "bob", "carol").await);
    transfer(&replica, transfer_of("t", &one, Target::CallId(two.clone()))).await.expect("both talk");
    let events = until(&replica, &one, Type::PartyJoined).await;
    let call = events.last().and_then(|event| event.call.clone()).expect("the call");
    assert_eq!(call.legs[2].party.as_ref().expect("a party").uri, "sip:carol@example.com");
    replica.wait_for(&two, State::Ended).await;
}

/// CCL-07, SCN-15
#[tokio::test(start_paused = true)]
async fn a_blind_transfer_succeeds_or_changes_nothing() {
    let (replica, _world) = rig::single();
    let one = connected(&replica, "alice", "bob").await;
    let uri = |user: &str| Target::Uri(format!("sip:{user}@example.com"));
    transfer(&replica, transfer_of("t1", &one, uri("busy"))).await.expect("they talk");
    let events = until(&replica, &one, Type::TransferFailed).await;
    assert_eq!(events.last().and_then(|event| event.sip_status), Some(486));
    assert_eq!(replica.get(&one).await.expect("the call").state(), State::Answered);
    transfer(&replica, transfer_of("t2", &one, uri("carol"))).await.expect("they talk");
    until(&replica, &one, Type::TransferSucceeded).await;
    let call = replica.get(&one).await.expect("the call");
    let states: Vec<_> = call.legs.iter().map(cc::Leg::state).collect();
    use cc::leg::State::{Answered, Ended};
    assert_eq!(states, [Answered, Ended, Ended, Answered]);
}

/// ListCalls finds a call by whoever came into it, whether it lives or is over, and who left is still its party.
#[tokio::test(start_paused = true)]
async fn a_call_is_found_by_who_came_by_transfer() {
    let (replica, _world) = rig::single();
    let one = connected(&replica, "alice", "bob").await;
    let found = async |user: &str| {
        let filter = cc::CallFilter { party: format!("sip:{user}@example.com"), ..cc::CallFilter::default() };
        let request = cc::ListCallsRequest { filter: Some(filter), ..cc::ListCallsRequest::default() };
        let calls = replica.list(request).await.expect("a list").calls;
        calls.into_iter().map(|call| call.call_id).collect::<Vec<_>>()
    };
    assert!(found("carol").await.is_empty());
    let uri = Target::Uri("sip:carol@example.com".into());
    transfer(&replica, transfer_of("t", &one, uri)).await.expect("they talk");
    until(&replica, &one, Type::TransferSucceeded).await;
    assert_eq!(found("carol").await, std::slice::from_ref(&one));
    replica.hangup("", &one).await.expect("it lives");
    replica.wait_for(&one, State::Ended).await;
    tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    for user in ["alice", "bob", "carol"] {
        assert_eq!(found(user).await, std::slice::from_ref(&one), "{user}");
    }
}

/// What does not fit is refused with the state in it, and of two at once one is refused as a conflict.
#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_refused_by_name() {
    let (replica, _world) = rig::single();
    let (one, two) = (connected(&replica, "alice", "bob").await, connected(&replica, "carol", "dave").await);
    let ringing = replica.dial(dial_request("ring", "bob")).await.expect("a call").call_id;
    replica.wait_for(&ringing, State::Ringing).await;
    let refused = |result: Result<cc::Call, Status>| {
        let status = result.expect_err("it does not fit");
        (status.code(), reason(&status), status.message().to_owned())
    };
    let (code, why, text) = refused(bridge(&replica, bridge_of("", &ringing, &two)).await);
    assert_eq!((code, why.as_str()), (Code::FailedPrecondition, "WRONG_STATE"));
    assert!(text.contains("RINGING"), "{text}");
    let status = bridge(&replica, bridge_of("", &ringing, &two)).await.expect_err("it does not fit");
    let refusal = cluster_rpc::Refusal::read(&status).expect("a refusal");
    assert_eq!(refusal.fact_named("state"), Some("RINGING"));
    let (code, why, text) = refused(bridge(&replica, bridge_of("", &one, &ringing)).await);
    assert_eq!((code, why.as_str()), (Code::FailedPrecondition, "WRONG_STATE"));
    assert!(text.contains("RINGING"), "{text}");
    let (code, why, _) = refused(bridge(&replica, bridge_of("", &one, &one)).await);
    assert_eq!((code, why.as_str()), (Code::InvalidArgument, "BAD_FIELD"));
    let missing = cc::BridgeRequest { other_leg_id: "x".into(), ..bridge_of("", &one, &two) };
    assert_eq!(refused(bridge(&replica, missing).await).1, "LEG_NOT_FOUND");
    let missing = cc::BridgeRequest { leg_id: "x".into(), ..bridge_of("", &one, &two) };
    assert_eq!(refused(bridge(&replica, missing).await).1, "LEG_NOT_FOUND");
    assert_eq!(refused(bridge(&replica, bridge_of("", &one, "nothing")).await).1, "CALL_NOT_FOUND");
    let hostile = Target::Uri("sip:carol@example.com\r\nEvil: 1".into());
    assert_eq!(refused(transfer(&replica, transfer_of("", &one, hostile)).await).0, Code::InvalidArgument);
    let ring = Target::Uri("sip:ring@example.com".into());
    transfer(&replica, transfer_of("", &one, ring)).await.expect("they talk");
    let (code, why, _) = refused(bridge(&replica, bridge_of("", &one, &two)).await);
    assert_eq!((code, why.as_str()), (Code::Aborted, "TRANSFER_PENDING"));
    let (code, _, _) = refused(replica.hold("", &one).await);
    assert_eq!(code, Code::Aborted);
    // A request id does not make a success of it, also not when it is repeated
    for _ in 0..2 {
        let (code, why, _) = refused(bridge(&replica, bridge_of("bridge-1", &ringing, &two)).await);
        assert_eq!((code, why.as_str()), (Code::FailedPrecondition, "WRONG_STATE"));
        assert_eq!(refused(replica.hold("hold-1", &one).await).0, Code::Aborted);
        let (code, why, _) = refused(replica.hold("hold-2", &ringing).await);
        assert_eq!((code, why.as_str()), (Code::FailedPrecondition, "WRONG_STATE"));
    }
    // Nothing of it was used up: it is taken when it fits
    replica.hold("hold-2", &two).await.expect("they talk");
}

/// TPC-15, LAD-9: the replica that began it dies; another one finishes it, and it happens once.
#[tokio::test(start_paused = true)]
async fn another_replica_finishes_what_one_began() {
    for seed in 0..4 {
        let world = World::new(&["edge-0", "edge-1"]);
        let store = rig::store();
        let first = rig::replica(store.clone(), &world, Config::default());
        let second = rig::replica(store, &world, Config::default());
        if seed % 2 == 1 {
            world.deliver_twice();
        }
        let (one, two) = (connected(&first, "alice", "bob").await, connected(&first, "carol", "dave").await);
        bridge(&first, bridge_of("b", &one, &two)).await.expect("both talk");
        if seed >= 2 {
            tokio::task::yield_now().await;
        }
        first.kill(&world, 0).await;
        let events = until(&second, &one, Type::PartyJoined).await;
        second.wait_for(&two, State::Ended).await;
        let count = |kind: Type| events.iter().filter(|event| event.r#type() == kind).count();
        assert_eq!((count(Type::TransferStarted), count(Type::TransferSucceeded)), (1, 1));
    }
}

/// SCN-14: one leg alone is held and taken back.
#[tokio::test(start_paused = true)]
async fn one_leg_is_held_alone() {
    let (replica, world) = rig::single();
    let one = connected(&replica, "alice", "bob").await;
    let before = world.asked(&one).len();
    let request = cc::HoldRequest {
        request_id: "h".into(),
        call_id: one.clone(),
        leg_id: Some("b".into()),
        music: None,
    };
    replica.service.api.hold(Request::new(request)).await.expect("they talk");
    let events = until(&replica, &one, Type::Held).await;
    let held = events.last().expect("an event");
    assert_eq!(held.leg_id.as_deref(), Some("b"));
    let states: Vec<_> = held.call.as_ref().expect("a call").legs.iter().map(cc::Leg::state).collect();
    assert_eq!(states, [cc::leg::State::Answered, cc::leg::State::Held]);
    assert_eq!(world.asked(&one)[before..], ["b INVITE", "b ACK"]);
    let request =
        cc::UnholdRequest { request_id: "u".into(), call_id: one.clone(), leg_id: Some("b".into()) };
    replica.service.api.unhold(Request::new(request)).await.expect("it is held");
    let events = until(&replica, &one, Type::Unheld).await;
    assert_eq!(events.last().and_then(|event| event.leg_id.clone()).as_deref(), Some("b"));
    assert_eq!(replica.get(&one).await.expect("the call").state(), State::Answered);
}

/// IMI-06: the rpc waits for what the phone answers, and asked again it tells the same without asking the phone.
#[tokio::test(start_paused = true)]
async fn key_presses_and_info_are_answered_by_the_phone() {
    let (replica, world) = rig::single();
    let one = connected(&replica, "alice", "bob").await;
    let before = world.asked(&one).len();
    let keys = cc::SendDtmfRequest {
        request_id: "k".into(),
        call_id: one.clone(),
        leg_id: "b".into(),
        digits: "19*".into(),
        duration: None,
    };
    for _ in 0..2 {
        let answered = replica.service.api.send_dtmf(Request::new(keys.clone())).await.expect("it is up");
        assert_eq!(answered.into_inner().sip_status, 200);
    }
    assert_eq!(world.asked(&one)[before..], ["b INFO", "b INFO", "b INFO"]);
    let info = cc::SendInfoRequest {
        call_id: one.clone(),
        leg_id: "a".into(),
        content_type: "text/plain".into(),
        body: "hello".into(),
        ..cc::SendInfoRequest::default()
    };
    replica.service.api.send_info(Request::new(info.clone())).await.expect("it is up");
    let refused = async |request: cc::SendInfoRequest| {
        let status = replica.service.api.send_info(Request::new(request)).await.expect_err("refused");
        (status.code(), reason(&status))
    };
    let bad = cc::SendInfoRequest { content_type: "text\r\nEvil: 1".into(), ..info.clone() };
    assert_eq!(refused(bad).await, (Code::InvalidArgument, "BAD_FIELD".into()));
    let package = cc::SendInfoRequest { info_package: "x-note".into(), ..info.clone() };
    assert_eq!(refused(package).await.0, Code::InvalidArgument);
    let nobody = cc::SendInfoRequest { leg_id: "x".into(), ..info.clone() };
    assert_eq!(refused(nobody).await, (Code::NotFound, "LEG_NOT_FOUND".into()));
    for digits in ["", "12x", &"1".repeat(65)] {
        let bad = cc::SendDtmfRequest { digits: digits.into(), request_id: String::new(), ..keys.clone() };
        let status = replica.service.api.send_dtmf(Request::new(bad)).await.expect_err("no keys");
        assert_eq!(status.code(), Code::InvalidArgument);
    }
    replica.hangup("", &one).await.expect("it lives");
    assert_eq!(refused(info).await, (Code::FailedPrecondition, "WRONG_STATE".into()));
}

/// CCL-08, LAD-9 4: by REFER, the phone is told the other one's address and its dialog, with the tags as that one sees them.
#[tokio::test(start_paused = true)]
async fn a_phone_that_is_referred_to_another_call_replaces_the_dialog_of_its_phone() {
    let (replica, world) = rig::single();
    let (one, two) = (connected(&replica, "alice", "bob").await, connected(&replica, "bob", "carol").await);
    let request = transfer_of("t", &one, Target::CallId(two.clone()));
    let method = cc::transfer_request::Method::Refer.into();
    transfer(&replica, cc::TransferRequest { method, ..request }).await.expect("both talk");
    until(&replica, &one, Type::TransferStarted).await;
    let far = replica.get(&two).await.expect("the call").legs[1].clone();
    let refer_to = loop {
        if let Some(refer_to) = world.header(&one, "a", "REFER", "Refer-To") {
            break refer_to;
        }
        tokio::task::yield_now().await;
    };
    let uri = sip_message::NameAddr::parse(refer_to.as_bytes()).expect("an address").uri().expect("a URI");
    assert_eq!(uri.without_headers(), far.remote_target.as_bytes());
    let headers: Vec<(String, String)> = uri
        .header_pairs()
        .map(|(name, value)| {
            [name, value].map(|text| String::from_utf8_lossy(&sip_message::percent_decode(text)).into_owned())
        })
        .map(|[name, value]| (name, value))
        .collect();
    let replaces = format!("{};to-tag={};from-tag={}", far.sip_call_id, far.remote_tag, far.local_tag);
    assert_eq!(headers, [("Replaces".to_owned(), replaces), ("Require".to_owned(), "replaces".to_owned())]);
}

fn header(name: &str, value: &str) -> cluster_api::sip::v1::Header {
    cluster_api::sip::v1::Header { name: name.into(), value: value.into() }
}

/// LAD-9, CCL-08, TPC-15: a REFER with Replaces of a phone is passed on with the dialog that the phone of the target has, and what comes of
/// it is told once, whenever the replica dies that began it.
#[tokio::test(start_paused = true)]
async fn a_refer_that_is_passed_on_names_the_dialog_of_the_target() {
    for seed in 0..6 {
        let world = World::new(&["edge-0"]);
        let store = rig::store();
        let referrers = call_control::engine::claim::takers::Takers::new(["sip:*@example.com"]);
        let config = Config { referrers: referrers.expect("a pattern"), ..Config::default() };
        let first = rig::replica(store.clone(), &world, config.clone());
        let second = rig::replica(store, &world, config);
        if seed % 2 == 1 {
            world.deliver_twice();
        }
        let (one, two) = (connected(&first, "nimble", "bob").await, connected(&first, "bob", "carol").await);
        let (call, other) = (first.get(&one).await.expect("a call"), first.get(&two).await.expect("a call"));
        let (his, far) = (&other.legs[0], &other.legs[1]);
        let dialog = format!("{};to-tag={};from-tag={}", his.sip_call_id, his.local_tag, his.remote_tag);
        let replaces = sip_message::percent_encode(dialog.as_bytes());
        let refer_to = format!("<sip:cc.{two}.a@edge?Replaces={replaces}>");
        world.say("edge-0", &one, &call.legs[1], "REFER", vec![header("Refer-To", &refer_to)]);
        for _ in 0..seed / 2 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        first.kill(&world, 0).await;
        let events = until(&second, &one, Type::TransferSucceeded).await;
        let count = |kind: Type| events.iter().filter(|event| event.r#type() == kind).count();
        assert_eq!((count(Type::TransferStarted), count(Type::TransferFailed)), (1, 0));
        let dialog = format!("{};to-tag={};from-tag={}", far.sip_call_id, far.remote_tag, far.local_tag);
        let replaces = sip_message::percent_encode(dialog.as_bytes());
        let passed = format!("<sip:carol@example.com?Replaces={replaces}&Require=replaces>");
        assert_eq!(world.header(&one, "a", "REFER", "Refer-To"), Some(passed));
        let refers = world.asked(&one).iter().filter(|what| *what == "a REFER").count();
        assert_eq!(refers, 1);
        second.hangup("", &one).await.expect("it lives");
    }
}

/// LAD-9, CCL-11: an INVITE with Replaces of a dialog as the callee's phone knows it is for that phone, when its sender may have the place.
#[tokio::test(start_paused = true)]
async fn a_replaces_that_the_callees_phone_knows_goes_along() {
    let (replica, world) = rig::single();
    let two = connected(&replica, "bob", "carol").await;
    let far = replica.get(&two).await.expect("a call").legs[1].clone();
    let replaces = format!("{};to-tag={};from-tag={}", far.sip_call_id, far.remote_tag, far.local_tag);
    let named = header("Replaces", &replaces);
    let referred = vec![named.clone(), header("Referred-By", "<sip:bob@example.com>")];
    world.call_in_about("edge-0", "in-1", "sip:carol@example.com", referred);
    world.call_in_about("edge-0", "in-2", "sip:carol@example.com", vec![named.clone()]);
    world.call_in_about("edge-0", "in-3", "sip:dave@example.com", vec![named]);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(world.header("in-1", "b", "INVITE", "Replaces"), Some(replaces));
    for (call_id, status) in [("in-2", 403), ("in-3", 481)] {
        let ended = replica.wait_for(call_id, State::Ended).await;
        assert_eq!(ended.outcome.expect("an outcome").sip_status, status);
        assert!(!world.asked(call_id).contains(&"b INVITE".to_owned()), "{call_id}: nobody is called");
    }
}
