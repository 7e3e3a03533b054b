//! Transfers and holds by phones that nobody here wrote, by gRPC and by their own commands; media follow where the phone can show it.

use cluster_api::callcontrol::v1::call_control_client::CallControlClient;
use cluster_api::callcontrol::v1::call_event::Type;
use cluster_api::callcontrol::v1::{self as cc, call};
use test_support::{Baresip, Carillon, Linphone, Rtp};

use crate::calls::{Watch, hang_up};

fn accounts(names: &[&str]) -> Carillon {
    let carillon = Carillon::for_old_phones();
    names.iter().for_each(|name| carillon.account(&format!("sip:{name}@localhost"), "secret"));
    carillon
}

fn baresip(carillon: &Carillon, name: &str) -> Baresip {
    Baresip::registered(name, "secret", &carillon.sip, "udp")
}

fn linphone_talks(phone: &Linphone) {
    phone.lines.wait_for("the media", |l| l.contains("Media streams established"));
}

async fn dial(carillon: &Carillon, from: &str, to: &str) -> String {
    let (from, to) = (format!("sip:{from}@localhost"), format!("sip:{to}@localhost"));
    let dialled = carillon.command(&["dial", &from, &to, "--json"]);
    assert!(dialled.status.success(), "{}", String::from_utf8_lossy(&dialled.stderr));
    let dialled: serde_json::Value = serde_json::from_slice(&dialled.stdout).expect("JSON");
    let id = dialled["call_id"].as_str().expect("an id").to_owned();
    Watch::begin(carillon, &id, Some(String::new())).await.until(Type::Connected).await;
    id
}

async fn api(carillon: &Carillon) -> CallControlClient<tonic::transport::Channel> {
    CallControlClient::connect(carillon.api.clone()).await.expect("the API is there")
}

fn to_call(call_id: &str, leg_id: &str, other: &str) -> cc::TransferRequest {
    let target = cc::transfer_target::Target::CallId(other.to_owned());
    cc::TransferRequest {
        request_id: format!("to-{other}"),
        call_id: call_id.to_owned(),
        leg_id: leg_id.to_owned(),
        target: Some(cc::TransferTarget { target: Some(target) }),
        method: cc::transfer_request::Method::Reinvite.into(),
    }
}

/// SCN-14, TPC-07: two baresips are held and taken back by gRPC, and then by the command of one of them.
#[tokio::test(flavor = "multi_thread")]
async fn baresips_are_held_by_grpc_and_by_their_own_command() {
    let carillon = accounts(&["alice", "bob"]);
    let (mut alice, bob) = (baresip(&carillon, "alice"), baresip(&carillon, "bob"));
    let id = dial(&carillon, "alice", "bob").await;
    alice.hears();
    bob.hears();
    let mut watch = Watch::begin(&carillon, &id, None).await;
    let mut api = api(&carillon).await;
    let hold = cc::HoldRequest { request_id: "h".into(), call_id: id.clone(), leg_id: None, music: None };
    api.hold(hold).await.expect("they talk");
    watch.until(Type::Held).await;
    let unhold = cc::UnholdRequest { request_id: "u".into(), call_id: id.clone(), leg_id: None };
    api.unhold(unhold).await.expect("it is held");
    watch.until(Type::Unheld).await;
    alice.order("hold");
    assert_eq!(watch.until(Type::Held).await.leg_id.as_deref(), Some("a"));
    alice.order("resume");
    assert_eq!(watch.until(Type::Unheld).await.leg_id.as_deref(), Some("a"));
    hang_up(&carillon, &id);
    for phone in [&alice, &bob] {
        phone.lines.wait_for("BYE", |l| l.contains("session closed"));
    }
}

/// LAD-9, CCL-07, SCN-15: an attended transfer by gRPC with four baresips: alice, who talked to bob, hears carol, who talked to dave, and is
/// heard by her.
#[tokio::test(flavor = "multi_thread")]
async fn a_baresip_is_transferred_attended_by_grpc() {
    let carillon = accounts(&["alice", "bob", "carol", "dave"]);
    let [alice, bob, carol, dave] = ["alice", "bob", "carol", "dave"].map(|name| baresip(&carillon, name));
    let first = dial(&carillon, "alice", "bob").await;
    let second = dial(&carillon, "dave", "carol").await;
    // Who is heard by a phone sends from there, and hears there
    let [bobs, alices, _, _] = [&alice, &bob, &carol, &dave].map(Baresip::hears);
    let mut watch = Watch::begin(&carillon, &first, Some(String::new())).await;
    api(&carillon).await.transfer(to_call(&first, "a", &second)).await.expect("both talk");
    watch.until(Type::TransferSucceeded).await;
    for phone in [&bob, &dave] {
        phone.lines.wait_for("BYE", |l| l.contains("session closed"));
    }
    tokio::task::block_in_place(|| Rtp::tap().follows(alices, bobs));
    hang_up(&carillon, &first);
    for phone in [&alice, &carol] {
        phone.lines.wait_for("BYE", |l| l.contains("session closed"));
    }
}

/// CCL-02, CCL-03, CCL-07, SCN-15: the user of a linphonec transfers with its own command; the two baresips talk.
#[tokio::test(flavor = "multi_thread")]
async fn a_linphonec_transfers_by_its_own_command() {
    let carillon = accounts(&["alice", "bob", "carol"]);
    let (alice, carol) = (baresip(&carillon, "alice"), baresip(&carillon, "carol"));
    let mut bob = Linphone::registered("bob", "secret", &carillon, "udp");
    let id = dial(&carillon, "alice", "bob").await;
    linphone_talks(&bob);
    bob.order("transfer sip:carol@localhost");
    let mut watch = Watch::begin(&carillon, &id, Some(String::new())).await;
    watch.until(Type::TransferSucceeded).await;
    carol.hears();
    hang_up(&carillon, &id);
    for phone in [&alice, &carol] {
        phone.lines.wait_for("BYE", |l| l.contains("session closed"));
    }
}

/// CCL-07, LAD-5, LAD-9, SCN-15: a linphonec is led to another one blind, and attended, by gRPC.
#[tokio::test(flavor = "multi_thread")]
async fn a_linphonec_is_transferred_blind_and_attended_by_grpc() {
    let carillon = accounts(&["alice", "bob", "carol", "dave"]);
    let alice = Linphone::registered("alice", "secret", &carillon, "udp");
    let carol = Linphone::registered("carol", "secret", &carillon, "udp");
    let (bob, dave) = (baresip(&carillon, "bob"), baresip(&carillon, "dave"));
    let first = dial(&carillon, "alice", "bob").await;
    linphone_talks(&alice);
    let done = tokio::task::block_in_place(|| {
        carillon.command(&["transfer", &first, "sip:carol@localhost", "--method", "reinvite"])
    });
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(text.contains("TRANSFER_SUCCEEDED"), "{text}{}", String::from_utf8_lossy(&done.stderr));
    linphone_talks(&carol);
    bob.lines.wait_for("BYE", |l| l.contains("session closed"));
    // Carol is handed on to dave, whom bob has asked before
    let second = dial(&carillon, "bob", "dave").await;
    let mut watch = Watch::begin(&carillon, &first, None).await;
    api(&carillon).await.transfer(to_call(&first, "c", &second)).await.expect("both talk");
    watch.until(Type::TransferSucceeded).await;
    alice.lines.wait_for("BYE", |l| l.contains(" ended ("));
    hang_up(&carillon, &first);
    carol.lines.wait_for("BYE", |l| l.contains(" ended ("));
    dave.lines.wait_for("BYE", |l| l.contains("session closed"));
}

/// CCL-02, CCL-03, CCL-08, LAD-9, SCN-15: bob's linphonec, an anchored account, calls alice and then carol, and connects the two with its own
/// command: its REFER names the other dialog by Replaces, which is a leg of Carillon's too.
#[tokio::test(flavor = "multi_thread")]
async fn a_linphonec_transfers_attended_by_its_own_command() {
    let carillon = accounts(&["alice", "bob", "carol"]);
    let set = carillon.command(&["account", "set", "sip:bob@localhost", "--anchor", "true"]);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let (alice, carol) = (baresip(&carillon, "alice"), baresip(&carillon, "carol"));
    let mut bob = Linphone::registered("bob", "secret", &carillon, "udp");
    let mut watch = Watch::begin_all(&carillon).await;
    bob.order("call sip:alice@localhost");
    let first = watch.until(Type::Connected).await.call.expect("every event has its call");
    assert_eq!(first.kind(), call::Kind::Incoming);
    linphone_talks(&bob);
    bob.order("pause");
    bob.lines.wait_for("the pause", |l| l.contains("is now paused"));
    bob.order("call sip:carol@localhost");
    let second = watch.until(Type::Connected).await.call_id;
    linphone_talks(&bob);
    bob.order("transfer 1 --to-call 2");
    let done = watch.until(Type::TransferSucceeded).await;
    carol.hears();
    assert!(done.call_id == first.call_id || done.call_id == second, "{done:?}");
    hang_up(&carillon, &done.call_id);
    for phone in [&alice, &carol] {
        phone.lines.wait_for("BYE", |l| l.contains("session closed"));
    }
}
