//! Legs of call-control while the registrar, or its store, is away for a moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cluster_api::callcontrol::v1::request_failed::Cause;
use cluster_api::edge::v1::{CancelInvite, carry_request::What as Effect};
use cluster_api::registrar::v1::Refuse;
use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::sip::v1::Header;
use tokio::time::Instant;
use tonic::Status;

use crate::legs::invite;
use crate::rig::Rig;
use crate::services::{FakeLocation, fork_to};
use crate::wires::Wires;

const BOB: &str = "192.0.2.3:5060";

/// F2, F6: that nobody can be asked for a moment, or that the store of whoever is asked is away, is not what the phone answers.
#[tokio::test(start_paused = true)]
async fn a_leg_whose_target_cannot_be_looked_up_is_tried_again() {
    for away in [unavailable as Failure, without_store] {
        let (rig, wires, asked) = leg(3, away).await;
        let start = Instant::now();
        rig.carry(1, Effect::Send(invite())).await;
        let (to, sent) = wires.sent().await;
        assert_eq!((to.to_string().as_str(), sent.method_str()), (BOB, "INVITE"));
        assert_eq!((start.elapsed().as_millis() / 100, asked.load(Ordering::SeqCst)), (14, 4));
        assert!(rig.events.is_empty());
    }
}

/// F2, F6: it is not tried for ever.
#[tokio::test(start_paused = true)]
async fn a_leg_fails_when_nobody_can_be_asked_for_long() {
    let (rig, _wires, asked) = leg(usize::MAX, unavailable).await;
    rig.carry(1, Effect::Send(invite())).await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(rig.events.is_empty(), "not yet");
    assert_eq!(rig.failure().await, (1, Cause::Transport));
    let asked_in_all = asked.load(Ordering::SeqCst);
    assert!((10..15).contains(&asked_in_all), "{asked_in_all} times");
}

/// What will not be better soon is not asked again.
#[tokio::test(start_paused = true)]
async fn a_question_that_is_refused_is_asked_once() {
    let refused: Failure = || Err(Status::unimplemented("not here"));
    let too_many: Failure = || Ok(Plan::Refuse(Refuse { status: 503, ..Refuse::default() }));
    for refusal in [refused, too_many] {
        let (rig, _wires, asked) = leg(usize::MAX, refusal).await;
        rig.carry(1, Effect::Send(invite())).await;
        assert_eq!(rig.failure().await, (1, Cause::Transport));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}

/// LAD-10 R1: who gives up meanwhile need not wait, and nobody is called afterwards.
#[tokio::test(start_paused = true)]
async fn a_cancel_ends_the_asking() {
    let (rig, wires, asked) = leg(3, without_store).await;
    rig.carry(1, Effect::Send(invite())).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    rig.carry(2, Effect::Cancel(CancelInvite { invite_effect: 1, ..CancelInvite::default() })).await;
    assert_eq!(rig.response().await, (1, 487));
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert!(wires.take_sent().is_empty());
}

type Failure = fn() -> Result<Plan, Status>;

fn unavailable() -> Result<Plan, Status> {
    Err(Status::unavailable("away"))
}

/// As the registrar says it.
fn without_store() -> Result<Plan, Status> {
    let headers = vec![Header { name: "Retry-After".into(), value: "3".into() }];
    Ok(Plan::Refuse(Refuse { status: 503, headers, ..Refuse::default() }))
}

/// An edge whose registrar fails so often before it leads to Bob, and how often it was asked.
async fn leg(failures: usize, failure: Failure) -> (Rig, Wires, Arc<AtomicUsize>) {
    let asked = Arc::<AtomicUsize>::default();
    let counter = asked.clone();
    let location =
        FakeLocation::answering(move |_| match counter.fetch_add(1, Ordering::SeqCst) < failures {
            true => failure(),
            false => Ok(fork_to(&[format!("sip:bob@{BOB}")])),
        });
    let (rig, wires) = Rig::on_wires(location, |_| {}).await;
    (rig, wires, asked)
}
