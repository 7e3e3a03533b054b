//! A phone asks by REFER outside the dialog that it has, named by Target-Dialog, that its party is led elsewhere (RFC 4538).

use cluster_api::callcontrol::v1::call_event::Type;
use scripted_phone::{Happening, Remote, Script};
use sip_digest::{Login, answer, answerable};
use test_support::{Carillon, Starting, TestPhone};

use crate::calls::{Watch, dial};
use crate::wire::{Wire, header, status};

use super::mixing::Bob;
use super::{AT_ONCE, Cluster, SOON, count, is_ended_by_peer, is_incoming};

/// What the next NOTIFY in a dialog tells; it is answered.
fn notified(bob: &Bob, call_id: &str) -> String {
    loop {
        let notify = bob.wire.receive_request("NOTIFY");
        if header(&notify, "Call-ID") == Some(call_id) {
            bob.wire.respond(&notify, "200 OK", &[]);
            return notify;
        }
    }
}

/// The answer to a user who proves who sends it.
fn proved(wire: &Wire, user: &str, method: &str, uri: &str, lines: &[&str]) -> String {
    let start = format!("{method} {uri}");
    let asked = wire.answer_to(&wire.request(&start, lines));
    let (from_whom, own) = match status(&asked) {
        401 => ("WWW-Authenticate", "Authorization"),
        407 => ("Proxy-Authenticate", "Proxy-Authorization"),
        _ => panic!("nobody asked who {user} is: {asked}"),
    };
    let values =
        asked.lines().filter_map(|line| line.split_once(": ")).filter(|(name, _)| *name == from_whom);
    let challenges = answerable(values.map(|(_, value)| value.as_bytes()));
    let challenge = challenges.first().expect("a challenge that can be answered");
    let login = Login { user, password: "secret" };
    let proof = answer(challenge, login, method, uri, b"", "f00d", 1).to_bytes();
    let proof = format!("{own}: {}", String::from_utf8_lossy(&proof));
    let cseq = format!("CSeq: 2 {method}");
    wire.answer_to(&wire.request(&start, &[lines, &[&proof, &cseq]].concat()))
}

/// Bob, who talks to alice, leads her to carol. The last of these processes is watched; the first one dialled, and dies when there is
/// another one.
async fn refers(calls: &mut [Carillon], alice: &mut TestPhone, bob: &Bob, carol: &mut TestPhone) {
    let id = dial(&calls[0], &["--flow", "iv"]);
    let talks = bob.called();
    bob.accept(&talks);
    let last = calls.len() - 1;
    let mut watch = Watch::begin(&calls[last], &id, Some(String::new())).await;
    watch.until(Type::Connected).await;

    let of = |name: &str| header(&talks, name).expect("every request has it");
    let leg = of("Contact").trim_start_matches('<').split('>').next().unwrap_or_default();
    let tag = of("From").split_once(";tag=").expect("it has a tag").1;
    let refer_as = |user: &str, dialog: &str, target: &str| {
        let (to, dialog) = (format!("To: <{leg}>"), format!("Target-Dialog: {dialog}"));
        let target = format!("Refer-To: <{target}>");
        let from = format!("From: <sip:{user}@localhost>;tag=outside");
        let lines = [from.as_str(), &to, &bob.contact, &dialog, &target, "Require: tdialog"];
        bob.wire.request(&format!("REFER {leg}"), &lines)
    };
    let refer = |dialog: &str, target: &str| refer_as("bob", dialog, target);
    let own = format!("{};local-tag={tag};remote-tag=w", of("Call-ID"));
    let other = format!("{};local-tag=x;remote-tag=w", of("Call-ID"));
    // CCL-04: who does not know the dialog; T20: where no phone leads Carillon
    for (dialog, target) in [
        (&other, "sip:carol@localhost"),
        (&own, "sip:carol@169.254.169.254"),
        (&own, "http://169.254.169.254/latest"),
    ] {
        let refused = status(&bob.wire.answer_to(&refer(dialog, target)));
        assert!(matches!(refused, 403 | 416), "{refused} {dialog} {target}");
    }
    // CCL-11: who knows it, and is not its user
    let stranger = refer_as("mallory", &own, "sip:carol@localhost");
    assert_eq!(status(&bob.wire.answer_to(&stranger)), 403);
    let asked = refer(&own, "sip:carol@localhost");
    let agreed = bob.wire.answer_to(&asked);
    assert_eq!(status(&agreed), 200, "{agreed}");
    assert!(notified(bob, &asked).contains("SIP/2.0 100"), "first it is told that it is tried");
    carol.wait_for("the call", is_incoming).await;
    if calls.len() > 1 {
        calls[0].kill();
    }
    let told = notified(bob, &asked);
    assert!(told.contains("SIP/2.0 200") && told.contains("terminated"), "{told}");
    bob.hung_up_on(&talks);
    carol.wait_for("alice", |h| *h == Happening::Connected).await;
    watch.until(Type::TransferSucceeded).await;
    carol.act(Remote::Hangup).await;
    alice.wait_for("BYE", is_ended_by_peer).await;
    watch.until(Type::Ended).await;
    for (kind, times) in
        [(Type::TransferStarted, 1), (Type::TransferSucceeded, 1), (Type::LegEnded, 3), (Type::Ended, 1)]
    {
        assert_eq!(count(&watch, kind), times, "{kind:?}: {:#?}", watch.seen);
    }
}

/// CCL-04, LAD-5, T20: one process.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_refers_outside_its_dialog() {
    let carillon = Starting::with(&["--auth", "none"], &[]).ready();
    let phone = async |name: &str, answer| {
        let script = Script { answer, ..Script::default() };
        TestPhone::registered(&carillon.sip, &format!("sip:{name}@localhost"), "", script).await
    };
    let (mut alice, mut carol) = (phone("alice", AT_ONCE).await, phone("carol", SOON).await);
    let bob = Bob::registered(&carillon);
    refers(&mut [carillon], &mut alice, &bob, &mut carol).await;
}

/// CCL-04, CCL-11: where users have passwords, who knows the dialog of somebody else leads nobody in it; the
/// phone's own user does.
#[tokio::test(flavor = "multi_thread")]
async fn who_refers_outside_a_dialog_proves_to_be_its_user() {
    let carillon = Carillon::all_in_one();
    for name in ["alice", "bob", "carol", "mallory"] {
        carillon.account(&format!("sip:{name}@localhost"), "secret");
    }
    let phone = async |name: &str, answer| {
        let script = Script { answer, ..Script::default() };
        TestPhone::registered(&carillon.sip, &format!("sip:{name}@localhost"), "secret", script).await
    };
    let (mut alice, mut carol) = (phone("alice", AT_ONCE).await, phone("carol", SOON).await);
    let wire = Wire::of(&carillon);
    let contact = format!("Contact: <sip:bob@{}>", wire.address());
    let lines = ["From: <sip:bob@localhost>;tag=r", "To: <sip:bob@localhost>", &contact];
    assert_eq!(status(&proved(&wire, "bob", "REGISTER", "sip:localhost", &lines)), 200);
    let bob = Bob::on(wire, contact);

    dial(&carillon, &["--flow", "iv"]);
    let talks = bob.called();
    bob.accept(&talks);
    alice.wait_for("bob", |h| *h == Happening::Connected).await;
    let of = |name: &str| header(&talks, name).expect("every request has it");
    let leg = of("Contact").trim_start_matches('<').split('>').next().unwrap_or_default();
    let tag = of("From").split_once(";tag=").expect("it has a tag").1;
    let to = format!("To: <{leg}>");
    let dialog = format!("Target-Dialog: {};local-tag={tag};remote-tag=w", of("Call-ID"));
    for (user, expected) in [("mallory", 403), ("alice", 403), ("bob", 200)] {
        let from = format!("From: <sip:{user}@localhost>;tag=outside");
        let lines = [from.as_str(), &to, &bob.contact, &dialog, "Refer-To: <sip:carol@localhost>"];
        let answer = proved(&bob.wire, user, "REFER", leg, &lines);
        assert_eq!(status(&answer), expected, "{user}: {answer}");
    }
    carol.wait_for("alice", |h| *h == Happening::Connected).await;
}

/// CCL-04, LAD-5, TPC-15, F4: the replica that took the REFER dies while carol's phone rings; the other one leads alice to her, and tells bob.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_refers_outside_its_dialog_though_the_replica_dies() {
    let mut cluster = Cluster::start(&[("CARILLON_AUTH", "none")]);
    let mut alice = cluster.phone("alice", 0, AT_ONCE).await;
    let mut carol = cluster.phone("carol", 0, SOON).await;
    let bob = Bob::registered(&cluster.edges[1]);
    refers(&mut cluster.calls, &mut alice, &bob, &mut carol).await;
}
