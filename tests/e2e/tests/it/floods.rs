//! Sources that ask for too much, or for nothing but what is refused, at a running process: others go on.

use std::time::{Duration, Instant};

use scripted_phone::{Answer, Happening, Remote, Script};
use test_support::{Carillon, PATIENCE, Starting, TestPhone};

use crate::wire::{Wire, status};

/// T18, T4: a source of which everything is refused is not answered any more. Others are, and who knows a password behind the same address
/// is let in, which ends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_only_refused_is_left_without_an_answer_and_the_right_password_ends_it() {
    let carillon = Carillon::all_in_one();
    carillon.account("sip:alice@localhost", "secret");
    let (eve, other) = (Wire::of(&carillon), Wire::at("127.0.0.9", &carillon));
    let guess = |n: usize| eve.request(&format!("INVITE sip:{n}@localhost"), &[]);
    let since = Instant::now();
    let shunned = || carillon.metric("carillon_edge_shunned_sources_total");
    // A few at a time: what the server has not read yet must leave room in its socket for those who are asked below once each.
    while shunned() < 1.0 {
        (0..10).for_each(|n| drop(guess(n)));
        assert!(since.elapsed() < PATIENCE, "a stranger is answered for ever");
    }
    let dropped = || carillon.metric("carillon_edge_dropped_total{kind=\"source_score\"}");
    let before = dropped();
    (0..10).for_each(|n| drop(guess(n)));
    // The answer to this comes after those were taken.
    let asked = other.request("INVITE sip:alice@localhost", &[]);
    assert_eq!(status(&other.answer_to(&asked)), 407);
    assert!(dropped() > before, "{before} and not more were dropped");
    // One request a second is looked at: the phone repeats its own until then.
    TestPhone::registered(&carillon.sip, "sip:alice@localhost", "secret", Script::default()).await;
    // Another socket of the same source: that of Eve is full of answers.
    let same = Wire::of(&carillon);
    let asked = same.request("INVITE sip:alice@localhost", &[]);
    assert_eq!(status(&same.answer_to(&asked)), 407);
}

/// T13: one source begins more than its share before everything that others do. What is beyond is dropped, and phones elsewhere register,
/// call and hang up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_one_source_costs_that_source_alone() {
    let carillon = Starting::with(&[], &[("CARILLON_LIMITS_SOURCE_REQUESTS", "5")]).ready();
    let eve = Wire::at("127.0.0.66", &carillon);
    let flood = || (0..60).for_each(|n| drop(eve.request(&format!("INVITE sip:{n}@localhost"), &[])));
    let at_once = Script { answer: Answer::After(Duration::ZERO), ..Script::default() };
    let mut phones = Vec::new();
    for name in ["alice", "bob"] {
        let aor = format!("sip:{name}@localhost");
        carillon.account(&aor, "secret");
        flood();
        phones.push(TestPhone::registered(&carillon.sip, &aor, "secret", at_once.clone()).await);
    }
    for _ in 0..3 {
        flood();
        phones[0].act(Remote::Dial("sip:bob@localhost".into())).await;
        for phone in &mut phones {
            phone.wait_for("the call", |h| *h == Happening::Connected).await;
        }
        flood();
        phones[1].act(Remote::Hangup).await;
        for phone in &mut phones {
            phone.wait_for("the end", |h| matches!(h, Happening::Ended { .. })).await;
        }
    }
    let dropped = carillon.metric("carillon_edge_dropped_total{kind=\"source_rate\"}");
    assert!(dropped >= 1.0, "{dropped} of the flood were dropped");
}
