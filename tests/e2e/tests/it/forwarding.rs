//! Forwarding rules, set by an operator and seen by the phones.

use std::time::Duration;

use scripted_phone::{Answer, Happening, Remote, Script};
use test_support::{Carillon, TestPhone};

fn forward(carillon: &Carillon, arguments: &[&str]) -> String {
    let done = carillon.command(&[&["forward"], arguments].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

async fn phone(carillon: &Carillon, name: &str, script: Script) -> TestPhone {
    TestPhone::registered(&carillon.sip, &format!("sip:{name}@localhost"), "secret", script).await
}

fn carillon() -> Carillon {
    let carillon = Carillon::all_in_one();
    for name in ["alice", "bob", "carol", "dave"] {
        carillon.account(&format!("sip:{name}@localhost"), "secret");
    }
    carillon
}

const CONNECTED: fn(&Happening) -> bool = |happening| *happening == Happening::Connected;
const FORWARDED: fn(&Happening) -> bool = |happening| *happening == Happening::Progress { status: 181 };

/// FWD-02, FWD-03, FWD-05, SCN-16: a phone's call and a dialled one take the same way: Bob forwards every call to Carol, who is
/// busy and forwards to Dave.
#[tokio::test]
async fn calls_of_phones_and_dialled_calls_are_forwarded() {
    let carillon = carillon();
    let mut alice = phone(&carillon, "alice", Script::default()).await;
    let mut bob = phone(&carillon, "bob", Script::default()).await;
    let mut carol = phone(
        &carillon,
        "carol",
        Script { answer: Answer::Refuse(Duration::ZERO, 486), rings: false, ..Script::default() },
    )
    .await;
    let mut dave = phone(&carillon, "dave", Script::default()).await;
    forward(&carillon, &["set", "sip:bob@localhost", "--unconditional", "sip:carol@localhost"]);
    forward(&carillon, &["set", "sip:carol@localhost", "--busy", "sip:dave@localhost"]);

    alice.act(Remote::Dial("sip:bob@localhost".into())).await;
    alice.wait_for("181", FORWARDED).await;
    dave.wait_for("the call", CONNECTED).await;
    alice.wait_for("the call", CONNECTED).await;
    alice.act(Remote::Hangup).await;
    dave.wait_for("the end", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;

    let dialled = carillon.command(&["dial", "sip:alice@localhost", "sip:bob@localhost", "--flow", "iii"]);
    assert!(dialled.status.success(), "{}", String::from_utf8_lossy(&dialled.stderr));
    dave.wait_for("the dialled call", CONNECTED).await;
    dave.act(Remote::Hangup).await;
    alice.wait_for("the end", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
    let rang = |phone: &TestPhone| phone.seen().iter().any(|h| matches!(h, Happening::Incoming { .. }));
    carol.act(Remote::Unregister).await;
    bob.act(Remote::Unregister).await;
    carol
        .wait_for("its REGISTER", |h| matches!(h, Happening::Sent(line) if line.starts_with("REGISTER")))
        .await;
    bob.wait_for("its REGISTER", |h| matches!(h, Happening::Sent(line) if line.starts_with("REGISTER")))
        .await;
    assert!(rang(&carol) && !rang(&bob));

    forward(&carillon, &["clear", "sip:bob@localhost"]);
    forward(&carillon, &["set", "sip:bob@localhost", "--unreachable", "sip:dave@localhost"]);
    drop(bob);
    alice.act(Remote::Dial("sip:bob@localhost".into())).await;
    dave.wait_for("the call to Bob, whose phone is gone", CONNECTED).await;
}

/// LAD-4 n, FWD-03: a dialled phone rings reliably and turns busy before its 180 is acknowledged. It knows nothing of the PRACK, and
/// the call goes on to where its calls go then.
#[tokio::test]
async fn a_dialled_phone_that_rings_and_turns_busy_is_forwarded() {
    let carillon = carillon();
    let mut alice = phone(&carillon, "alice", Script::default()).await;
    let busy = Script { answer: Answer::Refuse(Duration::ZERO, 486), ..Script::default() };
    let mut carol = phone(&carillon, "carol", busy).await;
    let mut dave = phone(&carillon, "dave", Script::default()).await;
    forward(&carillon, &["set", "sip:carol@localhost", "--busy", "sip:dave@localhost"]);
    let dialled =
        carillon.command(&["dial", "sip:alice@localhost", "sip:carol@localhost", "--flow", "ringback"]);
    assert!(dialled.status.success(), "{}", String::from_utf8_lossy(&dialled.stderr));
    let is_prack = |h: &Happening| matches!(h, Happening::Received(line) if line.starts_with("PRACK"));
    carol.wait_for("PRACK", is_prack).await;
    dave.wait_for("the call", CONNECTED).await;
    alice.wait_for("the call", CONNECTED).await;
    dave.act(Remote::Hangup).await;
    alice.wait_for("the end", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
}

/// FWD-04: the phone rings as long as the rule says.
#[tokio::test]
async fn a_phone_that_nobody_answers_is_given_up() {
    let carillon = carillon();
    let mut alice = phone(&carillon, "alice", Script::default()).await;
    let mut bob = phone(&carillon, "bob", Script { answer: Answer::Never, ..Script::default() }).await;
    let mut carol = phone(&carillon, "carol", Script::default()).await;
    let rule = ["set", "sip:bob@localhost", "--no-answer", "sip:carol@localhost", "--after", "1s"];
    forward(&carillon, &rule);
    alice.act(Remote::Dial("sip:bob@localhost".into())).await;
    bob.wait_for("CANCEL", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
    carol.wait_for("the call", CONNECTED).await;
    alice.wait_for("the call", CONNECTED).await;
}

/// The command shows what is set, keeps what is not named, and clears.
#[test]
fn the_command_shows_what_it_set() {
    let carillon = carillon();
    forward(&carillon, &["set", "sip:bob@localhost", "--no-answer", "sip:carol@localhost", "--after", "90s"]);
    let shown = forward(&carillon, &["set", "sip:bob@localhost", "--busy", "tel:+123"]);
    for part in ["no answer", "1m 30s", "sip:carol@localhost", "busy", "tel:+123"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let json = forward(&carillon, &["show", "sip:bob@localhost", "--json"]);
    assert!(json.contains("\"after\":\"1m 30s\""), "{json}");
    forward(&carillon, &["clear", "sip:bob@localhost"]);
    assert!(!forward(&carillon, &["show", "sip:bob@localhost"]).contains("sip:carol"));
    let own = carillon.command(&["forward", "set", "sip:bob@localhost", "--busy", "sip:bob@localhost"]);
    assert_eq!(own.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&own.stderr).contains("leads back"));
    let nobody = carillon.command(&["forward", "show", "sip:nobody@localhost"]);
    assert_eq!(nobody.status.code(), Some(1));
}
