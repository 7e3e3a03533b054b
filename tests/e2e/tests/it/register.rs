//! Registration with real passwords, right and wrong.

use scripted_phone::{Happening, Remote, Script};
use test_support::{Carillon, TestPhone};

/// AUT-01, REG-07: registered with digest, listed, and gone after the phone takes it back.
#[tokio::test]
async fn a_phone_registers_is_listed_and_leaves() {
    let carillon = Carillon::all_in_one();
    carillon.account("sip:alice@localhost", "secret");
    let mut alice =
        TestPhone::registered(&carillon.sip, "sip:alice@localhost", "secret", Script::default()).await;
    let listed = carillon.command(&["bindings", "sip:alice@localhost", "--json"]);
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(text.contains(&alice.address.to_string()), "{text}");
    alice.act(Remote::Unregister).await;
    alice
        .wait_for("the end of the registration", |h| matches!(h, Happening::Registered(t) if t.is_zero()))
        .await;
    let listed = carillon.command(&["bindings", "sip:alice@localhost", "--json"]);
    assert!(listed.status.success() && listed.stdout.is_empty(), "{listed:?}");
    let listed = carillon.command(&["bindings", "sip:alice@localhost"]);
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "no bindings of sip:alice@localhost\n");
    // Who does not exist has none either, but that is another thing to be told.
    let unknown = carillon.command(&["bindings", "sip:nobody@localhost"]);
    assert_eq!(unknown.status.code(), Some(1));
    let told = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(told.contains("no account sip:nobody@localhost"), "{told}");
}

/// AUT-10: a wrong password and an unknown user hear the same.
#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_are_refused_alike() {
    let carillon = Carillon::all_in_one();
    carillon.account("sip:alice@localhost", "secret");
    let mut refusals = Vec::new();
    for aor in ["sip:alice@localhost", "sip:nobody@localhost"] {
        let mut phone = TestPhone::new(&carillon.sip, aor, "wrong", Script::default()).await;
        phone.act(Remote::Register).await;
        refusals.push(phone.wait_for("a refusal", |h| matches!(h, Happening::RegisterFailed { .. })).await);
    }
    assert_eq!(refusals[0], refusals[1]);
    assert!(matches!(refusals[0], Happening::RegisterFailed { status: 401 | 403, .. }), "{refusals:?}");
}

/// PXY-09, AUT-05: a proxied call between two users: 407, INVITE again with credentials, connected, hung up by the caller.
#[tokio::test]
async fn two_users_call_each_other_through_the_edge() {
    let carillon = Carillon::all_in_one();
    carillon.account("sip:alice@localhost", "a-secret");
    carillon.account("sip:bob@localhost", "b-secret");
    let mut alice =
        TestPhone::registered(&carillon.sip, "sip:alice@localhost", "a-secret", Script::default()).await;
    let mut bob =
        TestPhone::registered(&carillon.sip, "sip:bob@localhost", "b-secret", Script::default()).await;
    alice.act(Remote::Dial("sip:bob@localhost".into())).await;
    bob.wait_for("the call", |h| matches!(h, Happening::Incoming { .. })).await;
    alice.wait_for("ringing", |h| matches!(h, Happening::Progress { status: 180 })).await;
    alice.wait_for("the answer", |h| *h == Happening::Connected).await;
    bob.wait_for("the ACK", |h| *h == Happening::Connected).await;
    alice.act(Remote::Hangup).await;
    bob.wait_for("the end", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
    alice.wait_for("the end", |h| matches!(h, Happening::Ended { .. })).await;
}

/// PXY-22, LAD-10 R2: the caller gives up while the callee rings.
#[tokio::test]
async fn a_caller_who_gives_up_stops_the_ringing() {
    let carillon = Carillon::all_in_one();
    carillon.account("sip:alice@localhost", "a-secret");
    carillon.account("sip:bob@localhost", "b-secret");
    let never = Script { answer: scripted_phone::Answer::Never, ..Script::default() };
    let mut alice =
        TestPhone::registered(&carillon.sip, "sip:alice@localhost", "a-secret", Script::default()).await;
    let mut bob = TestPhone::registered(&carillon.sip, "sip:bob@localhost", "b-secret", never).await;
    alice.act(Remote::Dial("sip:bob@localhost".into())).await;
    alice.wait_for("ringing", |h| matches!(h, Happening::Progress { status: 180 })).await;
    alice.act(Remote::Hangup).await;
    bob.wait_for("the CANCEL", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
    let refused = alice.wait_for("487", |h| matches!(h, Happening::Refused { .. })).await;
    assert!(matches!(refused, Happening::Refused { status: 487, .. }));
}
