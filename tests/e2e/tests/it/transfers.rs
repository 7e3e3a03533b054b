//! Live calls changed over the API: transfer, bridge, hold of a leg, key presses; with the real edge and scripted phones.

use std::time::Duration;

use cluster_api::callcontrol::v1::call_control_client::CallControlClient;
use cluster_api::callcontrol::v1::{self as cc, call, call_event};
use scripted_phone::{Answer, Happening, Remote, Script};
use serde_json::Value;
use test_support::{Baresip, Carillon, Rtp, Starting, TestPhone};
use tonic::transport::Channel;

use crate::calls::{Watch, dial, hang_up};

fn answering() -> Script {
    Script { answer: Answer::After(Duration::ZERO), ..Script::default() }
}

async fn phone(carillon: &Carillon, name: &str, script: Script) -> TestPhone {
    let aor = format!("sip:{name}@localhost");
    carillon.account(&aor, "secret");
    TestPhone::registered(&carillon.sip, &aor, "secret", script).await
}

/// Dials and waits until the two talk.
async fn connected(carillon: &Carillon, from: &mut TestPhone, to: &mut TestPhone) -> String {
    let dialled = carillon.command(&["dial", &from.aor, &to.aor, "--json"]);
    assert!(dialled.status.success(), "{}", String::from_utf8_lossy(&dialled.stderr));
    let dialled: Value = serde_json::from_slice(&dialled.stdout).unwrap();
    let id = dialled["call_id"].as_str().unwrap().to_owned();
    Watch::begin(carillon, &id, Some(String::new())).await.until(call_event::Type::Connected).await;
    for phone in [from, to] {
        phone.wait_for("the call", |h| *h == Happening::Connected).await;
    }
    id
}

async fn api(carillon: &Carillon) -> CallControlClient<Channel> {
    CallControlClient::connect(carillon.api.clone()).await.unwrap()
}

fn is_ended_by_peer(h: &Happening) -> bool {
    matches!(h, Happening::Ended { by_peer: true, .. })
}

/// LAD-5, CCL-07, SCN-15: alice is led from bob to carol; bob is hung up on, and carol's hang-up ends alice's call.
#[tokio::test(flavor = "multi_thread")]
async fn a_party_is_led_to_a_phone_that_answers() {
    let carillon = Carillon::all_in_one();
    let mut alice = phone(&carillon, "alice", answering()).await;
    let mut bob = phone(&carillon, "bob", answering()).await;
    let mut carol = phone(&carillon, "carol", answering()).await;
    let id = connected(&carillon, &mut alice, &mut bob).await;
    let arguments = ["transfer", &id, "sip:carol@localhost", "--method", "reinvite"];
    let done = tokio::task::block_in_place(|| carillon.command(&arguments));
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{text}{}", String::from_utf8_lossy(&done.stderr));
    assert!(text.contains("TRANSFER_SUCCEEDED"), "{text}");
    carol.wait_for("the call", |h| *h == Happening::Connected).await;
    bob.wait_for("BYE", is_ended_by_peer).await;
    carol.act(Remote::Hangup).await;
    alice.wait_for("BYE", is_ended_by_peer).await;
    let ended = Watch::begin(&carillon, &id, Some(String::new())).await.until(call_event::Type::Ended).await;
    let outcome = ended.call.and_then(|call| call.outcome).expect("an outcome");
    assert_eq!(outcome.ended_by, "c");
}

/// CCL-07: the target is busy, the two go on talking, and the command says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_target_leaves_the_call_as_it_was() {
    let carillon = Carillon::all_in_one();
    let mut alice = phone(&carillon, "alice", answering()).await;
    let mut bob = phone(&carillon, "bob", answering()).await;
    let busy = Script { answer: Answer::Refuse(Duration::ZERO, 486), ..Script::default() };
    let _carol = phone(&carillon, "carol", busy).await;
    let id = connected(&carillon, &mut alice, &mut bob).await;
    let done = tokio::task::block_in_place(|| carillon.command(&["transfer", &id, "sip:carol@localhost"]));
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(!done.status.success() && text.contains("TRANSFER_FAILED") && text.contains("486"), "{text}");
    alice.act(Remote::Hangup).await;
    bob.wait_for("BYE", is_ended_by_peer).await;
}

/// LAD-9, SCN-15: two calls become one: bob of the first and dave of the second talk, the others are hung up on. The phones see
/// one dialog each.
#[tokio::test(flavor = "multi_thread")]
async fn two_calls_become_one() {
    let carillon = Carillon::all_in_one();
    let mut phones = Vec::new();
    for name in ["alice", "bob", "carol", "dave"] {
        phones.push(phone(&carillon, name, answering()).await);
    }
    let [alice, bob, carol, dave] = &mut phones[..] else { unreachable!("four were made") };
    let one = connected(&carillon, alice, bob).await;
    let two = connected(&carillon, carol, dave).await;
    let request = cc::BridgeRequest {
        request_id: "bridge".into(),
        call_id: one.clone(),
        leg_id: "b".into(),
        other_call_id: two.clone(),
        other_leg_id: "b".into(),
    };
    let mut api = api(&carillon).await;
    let bridged = api.bridge(request.clone()).await.expect("both talk").into_inner();
    assert_eq!(bridged.call_id, one);
    Watch::begin(&carillon, &one, Some(String::new())).await.until(call_event::Type::PartyJoined).await;
    alice.wait_for("BYE", is_ended_by_peer).await;
    carol.wait_for("BYE", is_ended_by_peer).await;
    let again = api.bridge(request).await.expect("the same request").into_inner();
    assert_eq!(again.state(), call::State::Answered);
    // The phone that changed calls hangs up in its dialog, at the address that the re-INVITE told it
    dave.act(Remote::Hangup).await;
    bob.wait_for("BYE", is_ended_by_peer).await;
    Watch::begin(&carillon, &two, Some(String::new())).await.until(call_event::Type::Ended).await;
}

/// SCN-14, IMI-06: one leg is held and taken back; key presses reach a phone, and a phone that takes none says so.
#[tokio::test(flavor = "multi_thread")]
async fn one_leg_is_held_and_keys_are_pressed() {
    let carillon = Carillon::all_in_one();
    let mut alice = phone(&carillon, "alice", answering()).await;
    let mut bob = phone(&carillon, "bob", answering()).await;
    let id = connected(&carillon, &mut alice, &mut bob).await;
    let mut api = api(&carillon).await;
    let mut watch = Watch::begin(&carillon, &id, None).await;
    let leg_id = Some("b".to_owned());
    let hold =
        cc::HoldRequest { request_id: "h".into(), call_id: id.clone(), leg_id: leg_id.clone(), music: None };
    api.hold(hold).await.expect("they talk");
    assert_eq!(watch.until(call_event::Type::Held).await.leg_id, leg_id);
    let unhold = cc::UnholdRequest { request_id: "u".into(), call_id: id.clone(), leg_id: leg_id.clone() };
    api.unhold(unhold).await.expect("it is held");
    assert_eq!(watch.until(call_event::Type::Unheld).await.leg_id, leg_id);
    let keys = cc::SendDtmfRequest {
        request_id: "k".into(),
        call_id: id.clone(),
        leg_id: "b".into(),
        digits: "1#".into(),
        duration: None,
    };
    let answered = api.send_dtmf(keys).await.expect("the phone takes INFO").into_inner();
    assert_eq!(answered.sip_status, 200);
    hang_up(&carillon, &id);
    bob.wait_for("BYE", is_ended_by_peer).await;
    let pressed = bob
        .seen()
        .iter()
        .filter(|h| matches!(h, Happening::Received(line) if line.starts_with("INFO")))
        .count();
    assert_eq!(pressed, 2);
}

/// CCL-02, CCL-03, LAD-9, SCN-15: the same where its REFERs are passed on: the other baresip calls the target itself, and what it tells of
/// that ends the transferor's call.
#[tokio::test(flavor = "multi_thread")]
async fn a_baresip_is_led_by_another_ones_refer() {
    let variables =
        [("CARILLON_REGISTRAR_ALGORITHMS", "MD5"), ("CARILLON_CALL_CONTROL_PASS_REFER", "sip:*@localhost")];
    let carillon = Starting::with(&[], &variables).ready();
    let ([_alice, mut bob, carol], bobs, id) = tokio::task::block_in_place(|| three_baresips(&carillon));
    bob.order("transfer sip:carol@localhost");
    let mut watch = Watch::begin(&carillon, &id, Some(String::new())).await;
    watch.until(call_event::Type::TransferSucceeded).await;
    let ended = watch.until(call_event::Type::Ended).await;
    let call = ended.call.expect("the call");
    assert_eq!(call.outcome.expect("an outcome").ended_by, "b");
    assert_eq!(call.legs.len(), 2, "nobody was dialled by Carillon");
    tokio::task::block_in_place(|| Rtp::tap().follows(carol.hears(), bobs));
}

/// Three baresips; the first two are in a call, and the second one sends from this port.
fn three_baresips(carillon: &Carillon) -> ([Baresip; 3], u16, String) {
    let phones = ["alice", "bob", "carol"].map(|name| {
        carillon.account(&format!("sip:{name}@localhost"), "secret");
        Baresip::registered(name, "secret", &carillon.sip, "udp")
    });
    let id = dial(carillon, &[]);
    let from_second = phones[0].hears();
    phones[1].hears();
    (phones, from_second, id)
}

/// LAD-5, CCL-07: phones that nobody here wrote: alice is led to carol by re-INVITE, hears her, and is heard.
#[test]
fn a_baresip_is_led_to_another_one_by_reinvite() {
    let carillon = Carillon::for_old_phones();
    let ([alice, bob, carol], bobs, id) = three_baresips(&carillon);
    let done = carillon.command(&["transfer", &id, "sip:carol@localhost", "--method", "reinvite"]);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(text.contains("TRANSFER_SUCCEEDED"), "{text}{}", String::from_utf8_lossy(&done.stderr));
    bob.lines.wait_for("BYE", |l| l.contains("session closed"));
    Rtp::tap().follows(carol.hears(), bobs);
    hang_up(&carillon, &id);
    for phone in [&alice, &carol] {
        phone.lines.wait_for("BYE", |l| l.contains("session closed"));
    }
}

/// CCL-02, CCL-03, LAD-9: the same by REFER, which baresip obeys and tells about by NOTIFY.
#[test]
fn a_baresip_is_led_to_another_one_by_refer() {
    let carillon = Carillon::for_old_phones();
    let ([_alice, bob, carol], bobs, id) = three_baresips(&carillon);
    let done = carillon.command(&["transfer", &id, "sip:carol@localhost", "--method", "refer"]);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(text.contains("TRANSFER_SUCCEEDED"), "{text}{}", String::from_utf8_lossy(&done.stderr));
    bob.lines.wait_for("BYE", |l| l.contains("session closed"));
    Rtp::tap().follows(carol.hears(), bobs);
}

/// CCL-02, CCL-03, CCL-07, SCN-15: the user of a baresip transfers with its own command; Carillon does it and tells the phone, which
/// hangs up.
#[tokio::test(flavor = "multi_thread")]
async fn a_baresip_transfers_by_its_own_command() {
    let carillon = Carillon::for_old_phones();
    let ([alice, mut bob, carol], bobs, id) = tokio::task::block_in_place(|| three_baresips(&carillon));
    bob.order("transfer sip:carol@localhost");
    let mut watch = Watch::begin(&carillon, &id, Some(String::new())).await;
    watch.until(call_event::Type::TransferSucceeded).await;
    assert_eq!(watch.until(call_event::Type::LegEnded).await.leg_id.as_deref(), Some("b"));
    tokio::task::block_in_place(|| {
        Rtp::tap().follows(carol.hears(), bobs);
        hang_up(&carillon, &id);
        for phone in [&alice, &carol] {
            phone.lines.wait_for("BYE", |l| l.contains("session closed"));
        }
    });
}
