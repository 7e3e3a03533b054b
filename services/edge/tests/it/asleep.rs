//! Phones that sleep until they are pushed, as the edge waits for them.

use std::sync::Arc;
use std::time::Duration;

use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Fork, Group, Target, WakeResponse, wake_response::State};
use tonic::Status;

use crate::peer::Peer;
use crate::rig::Rig;
use crate::services::{FakeLocation, target};

/// Bob's phone sleeps.
fn sleeping() -> Arc<FakeLocation> {
    FakeLocation::planning(|_| {
        let bob = Target {
            uri: "sip:bob@192.0.2.9;transport=tcp".into(),
            aor: "sip:bob@example.com".into(),
            wake: "7".into(),
            ..Target::default()
        };
        let group = Group { targets: vec![bob], cause: "contact".into(), ring_time: None };
        Plan::Fork(Fork { groups: vec![group], recurse: false })
    })
}

fn says(location: &FakeLocation, answers: impl IntoIterator<Item = Result<WakeResponse, Status>>) {
    location.woken.lock().unwrap().extend(answers);
}

fn answer(state: State) -> WakeResponse {
    WakeResponse { state: state.into(), ..WakeResponse::default() }
}

async fn request(alice: &Peer, method: &str) {
    let lines = [
        "From: <sip:alice@example.com>;tag=a",
        "To: <sip:bob@example.com>",
        "Call-ID: c",
        "Contact: <sip:a@h>",
    ];
    alice.request(&format!("{method} sip:bob@example.com"), method, &lines).await;
}

/// PSH-02: the request is held until the phone is awake, asked for once however long that takes and again without a push, also past a
/// registrar that does not answer; then it is delivered where the phone is now.
#[tokio::test(start_paused = true)]
async fn a_request_is_held_until_its_phone_has_registered() {
    let location = sleeping();
    let rig = Rig::with(location.clone()).await;
    let (alice, bob) = (rig.peer().await, rig.peer().await);
    for (method, branch) in [("INVITE", 1), ("MESSAGE", 2)] {
        let awake = WakeResponse {
            target: Some(target(&format!("sip:bob@{}", bob.address()))),
            ..answer(State::Awake)
        };
        let down = Status::unavailable("told to");
        says(&location, [Ok(answer(State::Asleep)), Err(down), Ok(answer(State::Asleep)), Ok(awake)]);
        request(&alice, method).await;
        let delivered = bob.receive_request(method).await;
        bob.respond(&delivered, "200 OK", "b", &["Contact: <sip:bob@h>"]).await;
        alice.receive_status(200).await;
        assert_eq!(rig.counted("edge_woken_total", "awake"), branch);
    }
    let asked: Vec<_> = location.wakes.lock().unwrap().iter().map(|wake| wake.again).collect();
    assert_eq!(asked, [false, true, true, true, false, true, true, true]);
    let asked = location.wakes.lock().unwrap()[0].clone();
    assert_eq!((&*asked.aor, &*asked.binding_id), ("sip:bob@example.com", "7"));
}

/// PSH-02: 480 when the phone cannot be pushed, when it does not come in time, and when too many are waited for.
#[tokio::test(start_paused = true)]
async fn a_phone_that_does_not_wake_is_unreachable() {
    let location = sleeping();
    let rig = Rig::configured(location.clone(), |config| config.wake_timeout = Duration::from_secs(3)).await;
    let alice = rig.peer().await;
    says(&location, [Ok(answer(State::Lost))]);
    request(&alice, "INFO").await;
    alice.receive_status(480).await;
    request(&alice, "OPTIONS").await;
    alice.receive_status(480).await;
    let counted = |outcome| rig.counted("edge_woken_total", outcome);
    assert_eq!((counted("lost"), counted("late"), counted("full")), (1, 1, 0));
    let rig = Rig::configured(location.clone(), |config| config.limits.held = 0).await;
    let alice = rig.peer().await;
    request(&alice, "OPTIONS").await;
    alice.receive_status(480).await;
    assert_eq!(rig.counted("edge_woken_total", "full"), 1);
}

/// PSH-02: a caller that gives up is answered, and nobody waits any more.
#[tokio::test(start_paused = true)]
async fn a_caller_may_give_up_while_the_phone_sleeps() {
    let location = sleeping();
    let rig = Rig::with(location.clone()).await;
    let alice = rig.peer().await;
    request(&alice, "INVITE").await;
    assert_eq!(alice.receive().await.status(), Some(100));
    let lines = ["From: <sip:alice@example.com>;tag=a", "To: <sip:bob@example.com>", "Call-ID: c"];
    alice.request("CANCEL sip:bob@example.com", "INVITE", &lines).await;
    alice.receive_status(200).await;
    alice.receive_status(487).await;
    assert_eq!(rig.counted("edge_woken_total", "unwanted"), 1);
}
