//! Callbacks, whose every step may be the last of all replicas.

use cluster_api::callcontrol::v1::call_event::Type;
use cluster_api::callcontrol::v1::callback::State;
use cluster_api::callcontrol::v1::{
    Callback, CallbackFilter, GetCallbackRequest, ListCallbacksRequest, ListCallsRequest, Party,
    RequestCallbackRequest, call,
};
use scripted_phone::{Happening, Remote};
use test_support::{PATIENCE, TestPhone};
use tokio::time::Instant;

use crate::calls::{Watch, outcome};

use super::{AT_ONCE, Cluster, SOON, is_ended_by_peer, is_incoming};

/// Rings alice and then bob, with all of call-control dead and alive again while each rings; alice hangs up in the end. Says the call.
async fn is_made(cluster: &mut Cluster, alice: &mut TestPhone, bob: &mut TestPhone) -> String {
    alice.wait_for("the call", is_incoming).await;
    cluster.restart_call_control();
    bob.wait_for("the call", is_incoming).await;
    cluster.restart_call_control();
    for phone in [&mut *alice, &mut *bob] {
        phone.wait_for("the other one", |h| *h == Happening::Connected).await;
    }
    let mut api = cluster.api(0).await;
    let listed = api.list_calls(ListCallsRequest::default()).await.expect("a list").into_inner();
    let made: Vec<_> = listed.calls.iter().filter(|call| call.kind() == call::Kind::Callback).collect();
    let [made] = made[..] else { panic!("one call: {listed:#?}") };
    Watch::begin(&cluster.calls[1], &made.call_id, Some(String::new())).await.until(Type::Connected).await;
    made.call_id.clone()
}

/// The callback, once it is over.
async fn over(cluster: &Cluster, id: &str) -> Callback {
    let mut api = cluster.api(1).await;
    let begun = Instant::now();
    // Polled: nothing tells of callbacks but their calls, which are told of before
    loop {
        let request = GetCallbackRequest { callback_id: id.to_owned() };
        let found = api.get_callback(request).await.expect("it is known").into_inner();
        if !matches!(found.state(), State::Waiting | State::Calling) {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{found:?}");
        tokio::task::yield_now().await;
    }
}

/// LAD-6, SCN-19, TPC-15, F4: alice asks for bob, who talks to carol. All of call-control dies and comes back after each step: nothing is
/// forgotten, the two are called once, and the callback is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_outlives_all_of_call_control_after_each_of_its_steps() {
    let mut cluster = Cluster::start(&[]);
    let mut alice = cluster.phone("alice", 0, SOON).await;
    let mut bob = cluster.phone("bob", 1, SOON).await;
    let mut carol = cluster.phone("carol", 0, AT_ONCE).await;
    let mut watch = Watch::begin_all(&cluster.calls[0]).await;
    carol.act(Remote::Dial("sip:bob@localhost".into())).await;
    watch.until(Type::Connected).await;
    let party = |uri: &str| Some(Party { uri: uri.to_owned(), ..Party::default() });
    let request = RequestCallbackRequest {
        request_id: "call-bob".into(),
        from: party("sip:alice@localhost"),
        to: party("sip:bob@localhost"),
        ..RequestCallbackRequest::default()
    };
    let asked =
        cluster.api(0).await.request_callback(request.clone()).await.expect("it is taken").into_inner();
    cluster.restart_call_control();
    let again = cluster.api(1).await.request_callback(request).await.expect("the same").into_inner();
    assert_eq!(again.callback_id, asked.callback_id);
    carol.wait_for("the call", |h| *h == Happening::Connected).await;
    carol.act(Remote::Hangup).await;
    bob.wait_for("BYE", is_ended_by_peer).await;
    let id = is_made(&mut cluster, &mut alice, &mut bob).await;
    let done = over(&cluster, &asked.callback_id).await;
    assert_eq!((done.state(), done.callback_id), (State::Done, asked.callback_id));
    alice.act(Remote::Hangup).await;
    bob.wait_for("BYE", is_ended_by_peer).await;
    let outcome = outcome(&cluster.calls[0], &id).await;
    assert_eq!((&outcome["kind"], &outcome["ended_by"]), (&"COMPLETED".into(), &"a".into()), "{outcome}");
}

/// LAD-6: the same asked for by calling in: 480, and a call once alice has hung up.
#[tokio::test(flavor = "multi_thread")]
async fn who_calls_in_is_called_back_though_all_of_call_control_dies() {
    let variables = [
        ("CARILLON_CALL_CONTROL_CALLBACK_USER", "callback"),
        ("CARILLON_CALL_CONTROL_CALLBACK_TARGET", "sip:bob@localhost"),
    ];
    let mut cluster = Cluster::start(&variables);
    let mut alice = cluster.phone("alice", 0, SOON).await;
    let mut bob = cluster.phone("bob", 1, SOON).await;
    alice.act(Remote::Dial("sip:callback@localhost".into())).await;
    alice.wait_for("480", |h| matches!(h, Happening::Refused { status: 480, .. })).await;
    cluster.restart_call_control();
    let id = is_made(&mut cluster, &mut alice, &mut bob).await;
    let request = ListCallbacksRequest { filter: Some(CallbackFilter::default()), ..Default::default() };
    let listed = cluster.api(0).await.list_callbacks(request).await.expect("a list").into_inner();
    let [asked] = &listed.callbacks[..] else { panic!("one: {listed:#?}") };
    assert_eq!(over(&cluster, &asked.callback_id).await.state(), State::Done);
    bob.act(Remote::Hangup).await;
    alice.wait_for("BYE", is_ended_by_peer).await;
    let outcome = outcome(&cluster.calls[1], &id).await;
    assert_eq!((&outcome["kind"], &outcome["ended_by"]), (&"COMPLETED".into(), &"b".into()), "{outcome}");
}
