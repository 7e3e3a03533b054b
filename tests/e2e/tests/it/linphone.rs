//! linphonec, which nobody here wrote, as either party of dialled calls.

use std::time::{Duration, Instant};

use cluster_api::callcontrol::v1::call_event::Type;
use scripted_phone::{Answer, Happening, Remote, Script};
use test_support::{Baresip, Carillon, Lines, Linphone, PATIENCE, Sound, TestPhone};

use crate::calls::{Watch, dial, hang_up, outcome};

/// TPC-12, LAD-1: a linphonec and a baresip, whichever is rung first.
#[tokio::test]
async fn a_linphonec_and_a_baresip_are_connected() {
    let carillon = with_accounts(Carillon::for_old_phones());
    for (first, second) in [("alice", "bob"), ("bob", "alice")] {
        let mut linphone = Linphone::registered(first, "secret", &carillon, "udp");
        let baresip = Baresip::sounding(second, "secret", &carillon.sip, "udp", Sound::Bridge);
        let leg = if first == "alice" { "a" } else { "b" };
        for flow in ["ringback", "iv"] {
            for by in ["api", leg] {
                let id = connected(&carillon, flow).await;
                match by {
                    "api" => hang_up(&carillon, &id),
                    _ => linphone.order("terminate"),
                }
                ended(&carillon, &id, by).await;
                baresip.lines.wait_for("BYE", |l| l.contains("session closed"));
                linphone.lines.wait_for("the end of the call", |l| l.contains(" ended ("));
            }
        }
    }
}

/// TPC-12, LAD-1: two linphonecs on one kind of connection after the other, each time after earlier ones were gone without a word.
#[tokio::test]
async fn two_linphonecs_are_connected() {
    let carillon = with_accounts(Carillon::for_old_phones());
    for transport in ["udp", "tcp", "tcp"] {
        let mut alice = Linphone::registered("alice", "secret", &carillon, transport);
        let bob = Linphone::registered("bob", "secret", &carillon, transport);
        for flow in ["ringback", "iv"] {
            let id = connected(&carillon, flow).await;
            alice.order("terminate");
            ended(&carillon, &id, "a").await;
            bob.lines.wait_for("the end of the call", |l| l.contains(" ended ("));
        }
    }
}

/// LAD-4 e, TPC-08, TPC-13: the second phone rings reliably. linphonec does not find the session beside the tone, and agrees on it
/// when it is asked without.
#[tokio::test(flavor = "multi_thread")]
async fn a_linphonec_agrees_on_the_session_of_a_phone_that_rings() {
    let carillon = with_accounts(Carillon::for_old_phones());
    let linphone = Linphone::registered("alice", "secret", &carillon, "udp");
    let rings = Script { answer: Answer::After(Duration::from_secs(1)), ..Script::default() };
    let mut bob = TestPhone::registered(&carillon.sip, "sip:bob@localhost", "secret", rings).await;
    let id = connected(&carillon, "ringback").await;
    let drawn = carillon.command(&["ladder", &id, "--arrows"]).stdout;
    let drawn = String::from_utf8_lossy(&drawn);
    for message in ["UPDATE (Reason 180, SDP)", "200 UPDATE (SDP)", "PRACK (SDP)"] {
        assert!(drawn.contains(message), "{message} in {drawn}");
    }
    bob.act(Remote::Hangup).await;
    ended(&carillon, &id, "b").await;
    bob.wait_for("the end", |h| matches!(h, Happening::Ended { .. })).await;
    linphone.lines.wait_for("the end of the call", |l| l.contains(" ended ("));
}

/// TPC-07, OFA-06: a party that pauses the call holds it, and the call is held until every party that did resumes.
#[tokio::test]
async fn linphonecs_hold_a_call_and_take_it_back() {
    let carillon = with_accounts(Carillon::for_old_phones());
    let mut alice = Linphone::registered("alice", "secret", &carillon, "udp");
    let mut bob = Linphone::registered("bob", "secret", &carillon, "udp");
    let id = connected(&carillon, "ringback").await;
    let mut watch = Watch::begin(&carillon, &id, Some(String::new())).await;
    for phone in [&alice, &bob] {
        talking(&phone.lines);
    }
    for first in [true, false] {
        let (phone, other) = if first { (&mut alice, &bob.lines) } else { (&mut bob, &alice.lines) };
        settled(&carillon, &id);
        pause(phone);
        held(other);
        watch.until(Type::Held).await;
        settled(&carillon, &id);
        resume(phone);
        talking(other);
        watch.until(Type::Unheld).await;
    }
    settled(&carillon, &id);
    pause(&mut alice);
    held(&bob.lines);
    watch.until(Type::Held).await;
    settled(&carillon, &id);
    pause(&mut bob);
    settled(&carillon, &id);
    bob.order("resume");
    held(&bob.lines);
    settled(&carillon, &id);
    resume(&mut alice);
    assert_eq!(watch.until(Type::Unheld).await.leg_id.as_deref(), Some("a"));
    alice.order("terminate");
    ended(&carillon, &id, "a").await;
    bob.lines.wait_for("the end of the call", |l| l.contains(" ended ("));
}

/// Until every final answer to an INVITE is acknowledged. A linphonec that is refused with 491 in between gives its pause up.
fn settled(carillon: &Carillon, id: &str) {
    let end = Instant::now() + PATIENCE;
    loop {
        let drawn = carillon.command(&["ladder", id, "--arrows"]).stdout;
        let drawn = String::from_utf8_lossy(&drawn);
        let count = |word: &str| drawn.lines().filter(|line| line.contains(word)).count();
        if count(" ACK") >= count("200 INVITE") + count("488 INVITE") {
            return;
        }
        assert!(Instant::now() < end, "the session does not settle: {drawn}");
    }
}

/// It does not resume before it has paused, and says so on its terminal only.
fn pause(phone: &mut Linphone) {
    phone.order("pause");
    phone.lines.wait_for("the pause", |l| l.contains("is now paused"));
}

fn resume(phone: &mut Linphone) {
    phone.order("resume");
    talking(&phone.lines);
}

fn held(phone: &Lines) {
    phone.wait_for("the other's pause", |l| l.contains("has been paused by"));
}

fn talking(phone: &Lines) {
    phone.wait_for("the media", |l| l.contains("Media streams established"));
}

fn with_accounts(carillon: Carillon) -> Carillon {
    for aor in ["sip:alice@localhost", "sip:bob@localhost"] {
        carillon.account(aor, "secret");
    }
    carillon
}

async fn connected(carillon: &Carillon, flow: &str) -> String {
    let id = dial(carillon, &["--flow", flow]);
    Watch::begin(carillon, &id, Some(String::new())).await.until(Type::Connected).await;
    id
}

async fn ended(carillon: &Carillon, id: &str, by: &str) {
    let outcome = outcome(carillon, id).await;
    assert_eq!((&outcome["kind"], &outcome["ended_by"]), (&"COMPLETED".into(), &by.into()), "{outcome}");
}
