//! What applications do to calls that phones began, of anchored accounts.

use cluster_api::callcontrol::v1::call_event::Type;
use cluster_api::callcontrol::v1::{self as cc, call};
use scripted_phone::{Happening, Remote};
use tonic::Code;

use crate::calls::Watch;

use super::{AT_ONCE, Cluster, SOON, count, is_ended_by_peer, is_incoming, until};

fn is_changed(h: &Happening) -> bool {
    matches!(h, Happening::Changed { .. })
}

/// CCL-07, LAD-5, LAD-9, SCN-10, SCN-14, SCN-15, TPC-07, TPC-15, F4: alice, who is anchored, calls bob. Applications hold the call, take it
/// back, lead alice to carol, and connect her with erin, who talks to dave; after each wish the replica that took it dies. Each phone sees
/// one dialog, and the call ends once.
#[tokio::test(flavor = "multi_thread")]
async fn an_anchored_call_is_held_transferred_and_bridged_though_replicas_die() {
    let mut cluster = Cluster::start(&[]);
    let mut alice = cluster.phone("alice", 0, AT_ONCE).await;
    let mut bob = cluster.phone("bob", 1, AT_ONCE).await;
    let mut carol = cluster.phone("carol", 0, SOON).await;
    let mut dave = cluster.phone("dave", 1, AT_ONCE).await;
    let mut erin = cluster.phone("erin", 0, AT_ONCE).await;
    cluster.anchor("alice");
    let mut all = Watch::begin_all(&cluster.calls[1]).await;
    alice.act(Remote::Dial("sip:bob@localhost".into())).await;
    let connected = all.until(Type::Connected).await.call.expect("every event has its call");
    assert_eq!(connected.kind(), call::Kind::Incoming);
    let id = connected.call_id;
    let mut watch = Watch::begin(&cluster.calls[1], &id, Some(String::new())).await;
    for phone in [&mut alice, &mut bob] {
        phone.wait_for("the call", |h| *h == Happening::Connected).await;
    }

    let hold = cc::HoldRequest { request_id: "hold".into(), call_id: id.clone(), leg_id: None, music: None };
    let mut api = cluster.api(0).await;
    // Alice's ACK may be on its way, and a change of the session does not fit before it
    while let Err(refused) = api.hold(hold.clone()).await {
        assert_eq!(refused.code(), Code::Aborted, "{refused}");
        tokio::task::yield_now().await;
    }
    cluster.calls[0].kill();
    watch.until(Type::Held).await;
    for phone in [&mut alice, &mut bob] {
        phone.wait_for("the hold", is_changed).await;
    }
    let held = cluster.api(1).await.hold(hold).await.expect("the same request").into_inner();
    assert_eq!(held.state(), call::State::Held);
    cluster.calls[0].restart();
    let unhold = cc::UnholdRequest { request_id: "unhold".into(), call_id: id.clone(), leg_id: None };
    cluster.api(0).await.unhold(unhold).await.expect("it is held");
    cluster.calls[0].kill();
    // Bob is asked for an offer, and alice gets it
    watch.until(Type::Unheld).await;
    alice.wait_for("the session", is_changed).await;
    cluster.calls[0].restart();

    let uri = cc::transfer_target::Target::Uri("sip:carol@localhost".into());
    let transfer = cc::TransferRequest {
        request_id: "transfer".into(),
        call_id: id.clone(),
        leg_id: "a".into(),
        target: Some(cc::TransferTarget { target: Some(uri) }),
        method: cc::transfer_request::Method::Reinvite.into(),
    };
    cluster.api(0).await.transfer(transfer).await.expect("they talk");
    carol.wait_for("the call", is_incoming).await;
    cluster.calls[0].kill();
    watch.until(Type::TransferSucceeded).await;
    carol.wait_for("the ACK", |h| *h == Happening::Connected).await;
    bob.wait_for("BYE", is_ended_by_peer).await;
    cluster.calls[0].restart();

    let dialled = cluster.calls[0].command(&["dial", "sip:dave@localhost", "sip:erin@localhost", "--json"]);
    assert!(dialled.status.success(), "{}", String::from_utf8_lossy(&dialled.stderr));
    let dialled: serde_json::Value = serde_json::from_slice(&dialled.stdout).expect("JSON");
    let other = dialled["call_id"].as_str().expect("an id").to_owned();
    let mut of_other = Watch::begin(&cluster.calls[1], &other, Some(String::new())).await;
    of_other.until(Type::Connected).await;
    let bridge = cc::BridgeRequest {
        request_id: "bridge".into(),
        call_id: id.clone(),
        leg_id: "a".into(),
        other_call_id: other,
        other_leg_id: "b".into(),
    };
    cluster.api(0).await.bridge(bridge).await.expect("both talk");
    cluster.calls[0].kill();
    watch.until(Type::TransferSucceeded).await;
    for phone in [&mut carol, &mut dave] {
        phone.wait_for("BYE", is_ended_by_peer).await;
    }
    of_other.until(Type::Ended).await;
    alice.act(Remote::Hangup).await;
    erin.wait_for("BYE", is_ended_by_peer).await;
    let ended = until(&mut watch, Type::LegEnded, "a").await;
    assert_eq!(ended.call.map(|call| call.kind()), Some(call::Kind::Incoming));
    let ended = match watch.seen.iter().rev().find(|event| event.r#type() == Type::Ended) {
        Some(ended) => ended.clone(),
        None => watch.until(Type::Ended).await,
    };
    let outcome = ended.call.and_then(|call| call.outcome).expect("an outcome");
    assert_eq!((outcome.kind(), outcome.ended_by.as_str()), (cc::outcome::Kind::Completed, "a"));
    for once in [Type::Connected, Type::Held, Type::Unheld, Type::Ended] {
        assert_eq!(count(&watch, once), 1, "{once:?}: {:#?}", watch.seen);
    }
    // Once for the transfer, and once for the bridge
    for twice in [Type::TransferStarted, Type::TransferSucceeded, Type::PartyJoined, Type::PartyLeft] {
        assert_eq!(count(&watch, twice), 2, "{twice:?}: {:#?}", watch.seen);
    }
}
