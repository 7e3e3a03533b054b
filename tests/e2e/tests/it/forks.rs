//! A party with several phones.

use scripted_phone::{Answer, Happening, Remote, Script};
use test_support::{Carillon, TestPhone};

/// OFA-09, UAC-17: one phone of Bob rings reliably and never answers, the other is simple and does; PRACK and ACK each go
/// to the phone they are for, and the call is with the one that answered.
#[tokio::test]
async fn of_two_phones_the_one_that_answers_gets_the_call() {
    let carillon = Carillon::all_in_one();
    carillon.account("sip:alice@localhost", "secret");
    carillon.account("sip:bob@localhost", "secret");
    let never = Script { answer: Answer::Never, ..Script::default() };
    let mut alice =
        TestPhone::registered(&carillon.sip, "sip:alice@localhost", "secret", Script::default()).await;
    let mut desk = TestPhone::registered(&carillon.sip, "sip:bob@localhost", "secret", never).await;
    let mut mobile =
        TestPhone::registered(&carillon.sip, "sip:bob@localhost", "secret", Script::plain()).await;
    let dialled = carillon.command(&["dial", "sip:alice@localhost", "sip:bob@localhost", "--flow", "iii"]);
    assert!(dialled.status.success(), "{}", String::from_utf8_lossy(&dialled.stderr));
    mobile.wait_for("the call", |h| *h == Happening::Connected).await;
    desk.wait_for("CANCEL", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
    alice.wait_for("the call", |h| *h == Happening::Connected).await;
    mobile.act(Remote::Hangup).await;
    alice.wait_for("the end", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
}
