//! The flows of RFC 3725 with scripted phones, and how calls end.

use std::time::Duration;

use scripted_phone::{Answer, Happening, Remote, Script};
use test_support::{Carillon, TestPhone};

use crate::calls::{dial, hang_up, outcome};

/// Alice answers at once; bob does what `bob` says.
async fn phones(carillon: &Carillon, bob: Script) -> (TestPhone, TestPhone) {
    both(carillon, answering(Answer::After(Duration::ZERO)), bob).await
}

async fn both(carillon: &Carillon, alice: Script, bob: Script) -> (TestPhone, TestPhone) {
    let mut phones = Vec::new();
    for (aor, script) in [("sip:alice@localhost", alice), ("sip:bob@localhost", bob)] {
        carillon.account(aor, "secret");
        phones.push(TestPhone::registered(&carillon.sip, aor, "secret", script).await);
    }
    let bob = phones.pop().unwrap();
    (phones.pop().unwrap(), bob)
}

fn answering(answer: Answer) -> Script {
    Script { answer, ..Script::default() }
}

fn is_ended_by_peer(h: &Happening) -> bool {
    matches!(h, Happening::Ended { by_peer: true, .. })
}

fn invites(phone: &TestPhone) -> usize {
    phone
        .seen()
        .iter()
        .filter(|h| matches!(h, Happening::Received(line) if line.starts_with("INVITE")))
        .count()
}

/// Dials by `flow`, connects, lets bob hang up; how many INVITEs alice saw.
async fn connected_by(flow: &str, alice: Script) -> usize {
    let carillon = Carillon::all_in_one();
    let (mut alice, mut bob) = both(&carillon, alice, answering(Answer::After(Duration::ZERO))).await;
    let id = dial(&carillon, &["--flow", flow]);
    bob.wait_for("the call", |h| *h == Happening::Connected).await;
    alice.wait_for("the call", |h| *h == Happening::Connected).await;
    bob.act(Remote::Hangup).await;
    alice.wait_for("BYE", is_ended_by_peer).await;
    let outcome = outcome(&carillon, &id).await;
    assert_eq!((&outcome["kind"], &outcome["ended_by"]), (&"COMPLETED".into(), &"b".into()), "{outcome}");
    invites(&alice)
}

/// TPC-02, LAD-3: one INVITE to each phone, and the offer of the first is the one that the second answers. The first phone makes
/// it in its 2xx: one that makes it in a reliable 18x cannot be kept waiting, and its call goes on as Flow III.
#[tokio::test]
async fn flow_one_connects_with_a_single_invite_to_each_phone() {
    let plain = Script { answer: Answer::After(Duration::ZERO), ..Script::plain() };
    assert_eq!(connected_by("i", plain).await, 1);
}

/// TPC-03, LAD-2: the first phone is held with its own offer and gets the second one's media by a re-INVITE.
#[tokio::test]
async fn flow_three_connects_by_a_second_invite_to_the_first_phone() {
    let plain = Script { answer: Answer::After(Duration::ZERO), ..Script::plain() };
    assert_eq!(connected_by("iii", plain).await, 2);
}

/// A call whose second phone does not take it: the exit status of `dial --watch` and the outcome it prints.
async fn refused(bob: Script, further: &[&str], expected: &str) {
    let carillon = Carillon::all_in_one();
    let (mut alice, _bob) = phones(&carillon, bob).await;
    let arguments = [&["dial", "sip:alice@localhost", "sip:bob@localhost", "--watch"], further].concat();
    // The phones are tasks of this runtime: they go on while this thread waits for the command.
    let done = tokio::task::block_in_place(|| carillon.command(&arguments));
    let (status, text) = (done.status.code(), String::from_utf8_lossy(&done.stdout));
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains(expected), "{text}");
    alice.wait_for("BYE", is_ended_by_peer).await;
}

/// TPC-05, LAD-1 c, LAD-4 b
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_phone_is_the_outcome_busy_in_every_flow() {
    for flow in ["ringback", "iv", "iii", "i"] {
        refused(answering(Answer::Refuse(Duration::ZERO, 486)), &["--flow", flow], "BUSY 486").await;
    }
}

/// TPC-05
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_declines_is_the_outcome_rejected() {
    refused(answering(Answer::Refuse(Duration::ZERO, 603)), &[], "REJECTED 603").await;
}

/// TPC-05
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_rings_too_long_is_the_outcome_no_answer() {
    refused(answering(Answer::Never), &["--ring-timeout", "1s"], "NO_ANSWER 480").await;
}

/// TPC-05: an address that nobody has registered.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_not_registered_is_the_outcome_unreachable() {
    let carillon = Carillon::all_in_one();
    let (mut alice, mut bob) = phones(&carillon, Script::default()).await;
    bob.act(Remote::Unregister).await;
    bob.wait_for("the end of the registration", |h| matches!(h, Happening::Registered(t) if t.is_zero()))
        .await;
    let id = dial(&carillon, &[]);
    alice.wait_for("BYE", is_ended_by_peer).await;
    let outcome = outcome(&carillon, &id).await;
    assert_eq!((&outcome["kind"], &outcome["sip_status"]), (&"UNREACHABLE".into(), &480.into()), "{outcome}");
}

/// TPC-12, LAD-4 c: hung up by the API while the second phone rings: CANCEL to it, BYE to the first.
#[tokio::test]
async fn a_call_is_hung_up_by_the_api_while_the_second_phone_rings() {
    let carillon = Carillon::all_in_one();
    for flow in ["ringback", "iv", "iii", "i"] {
        let (mut alice, mut bob) = phones_again(&carillon, flow).await;
        let id = dial(&carillon, &["--flow", flow]);
        bob.wait_for("the call", |h| matches!(h, Happening::Incoming { .. })).await;
        hang_up(&carillon, &id);
        bob.wait_for("CANCEL", is_ended_by_peer).await;
        alice.wait_for("BYE", is_ended_by_peer).await;
        let outcome = outcome(&carillon, &id).await;
        let found = (&outcome["kind"], &outcome["ended_by"]);
        assert_eq!(found, (&"CANCELLED".into(), &"api".into()), "{flow}: {outcome}");
        for phone in [&mut alice, &mut bob] {
            phone.act(Remote::Unregister).await;
            phone.wait_for("its leave", |h| matches!(h, Happening::Registered(t) if t.is_zero())).await;
        }
    }
}

async fn phones_again(carillon: &Carillon, flow: &str) -> (TestPhone, TestPhone) {
    if flow == "ringback" {
        return phones(carillon, answering(Answer::Never)).await;
    }
    let at_once = answering(Answer::After(Duration::ZERO));
    let alice = TestPhone::registered(&carillon.sip, "sip:alice@localhost", "secret", at_once).await;
    let never = answering(Answer::Never);
    (alice, TestPhone::registered(&carillon.sip, "sip:bob@localhost", "secret", never).await)
}
