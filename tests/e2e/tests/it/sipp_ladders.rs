//! The ladders of calls that change, with SIPp as every phone: LAD-5, LAD-6 and LAD-9. LAD-8 is in `replicas/conferences.rs`, whose mixer is
//! one. The scenarios are ours; what reads, sends and repeats the messages is not.

use cluster_api::callcontrol::v1::call_control_client::CallControlClient;
use cluster_api::callcontrol::v1::call_event::Type;
use cluster_api::callcontrol::v1::{self as cc, callback};
use test_support::{Carillon, PATIENCE};
use tokio::time::Instant;

use crate::calls::{Watch, hang_up, outcome};
use crate::dial_sipp::{phone, serving_phone};

fn party(user: &str) -> Option<cc::Party> {
    Some(cc::Party { uri: format!("sip:{user}@localhost"), ..cc::Party::default() })
}

/// Dials by Flow IV, which every phone here knows.
async fn dial(carillon: &Carillon, from: &str, to: &str, reconnect_to: Option<&str>) -> String {
    let mut api = CallControlClient::connect(carillon.api.clone()).await.expect("the API is there");
    let request = cc::DialRequest {
        request_id: format!("{from}-{to}"),
        from: party(from),
        to: party(to),
        flow: cc::Flow::Iv.into(),
        reconnect_to: reconnect_to.and_then(party),
        ..cc::DialRequest::default()
    };
    api.dial(request).await.expect("it is taken").into_inner().call_id
}

/// LAD-5, TPC-07: bob hangs up, and alice is connected with carol by one re-INVITE.
#[tokio::test(flavor = "multi_thread")]
async fn a_sipp_whose_party_hangs_up_is_connected_with_the_next() {
    let carillon = Carillon::for_old_phones();
    let alice = phone(&carillon, "alice", "first_leg_that_stays.xml");
    let bob = phone(&carillon, "bob", "second_leg_that_hangs_up.xml");
    let carol = phone(&carillon, "carol", "second_leg_that_stays.xml");
    let id = dial(&carillon, "alice", "bob", Some("carol")).await;
    let mut watch = Watch::begin(&carillon, &id, Some(String::new())).await;
    watch.until(Type::TransferSucceeded).await;
    hang_up(&carillon, &id);
    [alice, bob, carol].into_iter().for_each(test_support::Sipp::finish);
    assert_eq!(outcome(&carillon, &id).await["kind"], "COMPLETED");
}

/// CCL-02, CCL-03, CCL-06, LAD-5, SCN-15: bob's phone transfers alice to carol by REFER, and is told that it was done.
#[tokio::test(flavor = "multi_thread")]
async fn a_sipp_transfers_by_refer_and_is_told() {
    let carillon = Carillon::for_old_phones();
    let alice = phone(&carillon, "alice", "first_leg_that_stays.xml");
    let bob = phone(&carillon, "bob", "second_leg_that_transfers.xml");
    let carol = phone(&carillon, "carol", "second_leg_that_stays.xml");
    let id = dial(&carillon, "alice", "bob", None).await;
    let mut watch = Watch::begin(&carillon, &id, Some(String::new())).await;
    watch.until(Type::TransferSucceeded).await;
    bob.finish();
    hang_up(&carillon, &id);
    [alice, carol].into_iter().for_each(test_support::Sipp::finish);
}

/// LAD-9, CCL-07, CCL-08: alice talks to bob, and dave, bob's other phone, to carol; alice is led to carol. Bob and dave are hung up on.
#[tokio::test(flavor = "multi_thread")]
async fn four_sipps_make_an_attended_transfer() {
    let carillon = Carillon::for_old_phones();
    let stays = ["alice", "dave"].map(|user| phone(&carillon, user, "first_leg_that_stays.xml"));
    let others = ["bob", "carol"].map(|user| phone(&carillon, user, "second_leg_that_stays.xml"));
    let first = dial(&carillon, "alice", "bob", None).await;
    let second = dial(&carillon, "dave", "carol", None).await;
    let mut watch = Watch::begin(&carillon, &first, Some(String::new())).await;
    watch.until(Type::Connected).await;
    Watch::begin(&carillon, &second, Some(String::new())).await.until(Type::Connected).await;
    let target = cc::transfer_target::Target::CallId(second.clone());
    let request = cc::TransferRequest {
        request_id: "attended".into(),
        call_id: first.clone(),
        leg_id: "a".into(),
        target: Some(cc::TransferTarget { target: Some(target) }),
        method: cc::transfer_request::Method::Auto.into(),
    };
    let mut api = CallControlClient::connect(carillon.api.clone()).await.expect("the API is there");
    api.transfer(request).await.expect("both talk");
    watch.until(Type::TransferSucceeded).await;
    assert_eq!(outcome(&carillon, &second).await["kind"], "COMPLETED");
    hang_up(&carillon, &first);
    stays.into_iter().chain(others).for_each(test_support::Sipp::finish);
}

/// LAD-6, SCN-19: bob's phone knows no dialog package (489) and is asked by OPTIONS; it is free, and the two are called.
#[tokio::test(flavor = "multi_thread")]
async fn a_sipp_is_called_back() {
    let carillon = Carillon::for_old_phones();
    let alice = phone(&carillon, "alice", "first_leg_that_stays.xml");
    let bob = serving_phone(&carillon, "bob", "called_back.xml");
    let mut api = CallControlClient::connect(carillon.api.clone()).await.expect("the API is there");
    let request = cc::RequestCallbackRequest {
        request_id: "back".into(),
        from: party("alice"),
        to: party("bob"),
        ..cc::RequestCallbackRequest::default()
    };
    let asked = api.request_callback(request).await.expect("it is taken").into_inner();
    for what in ["SUBSCRIBE", "OPTIONS", "INVITE"] {
        bob.lines.wait_for(what, |l| l.contains(&format!("called back: got {what}")));
    }
    let begun = Instant::now();
    // Polled: nothing tells of callbacks but their calls
    let done = loop {
        let request = cc::GetCallbackRequest { callback_id: asked.callback_id.clone() };
        let found = api.get_callback(request).await.expect("it is known").into_inner();
        match found.state() {
            callback::State::Waiting | callback::State::Calling => {
                assert!(begun.elapsed() < PATIENCE, "{found:?}");
                tokio::task::yield_now().await;
            }
            _ => break found,
        }
    };
    assert_eq!(done.state(), callback::State::Done, "{done:?}");
    hang_up(&carillon, &done.call_id);
    alice.finish();
    assert_eq!(outcome(&carillon, &done.call_id).await["kind"], "COMPLETED");
}
