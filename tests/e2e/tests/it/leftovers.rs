//! What a run leaves behind in Redis.

use std::collections::BTreeSet;
use std::time::Duration;

use scripted_phone::{Answer, Happening, Remote, Script};
use test_support::{Carillon, PATIENCE, Redis, TestPhone};

use crate::calls::{dial, hang_up, outcome};

/// Keys that never expire by themselves, the numbers of partitions left out: a key that is named after one call, user or
/// request shows as one more.
fn eternal(redis: &Redis) -> BTreeSet<String> {
    let script = "local found = {} for _, key in ipairs(redis.call('KEYS', '*')) do \
                  if redis.call('TTL', key) == -1 then found[#found + 1] = key end end return found";
    let told = redis.ask(&format!("EVAL \"{script}\" 0"));
    let keys = told.lines().filter(|line| line.starts_with("carillon:"));
    keys.map(|key| {
        let (partition, rest) = key.split_once('}').expect("every key has a partition");
        format!("{}{rest}", partition.trim_end_matches(|c: char| c.is_ascii_digit()))
    })
    .collect()
}

/// Alice and bob register, talk, hang up and leave; then their accounts go.
async fn run(carillon: &Carillon) {
    let mut phones = Vec::new();
    for aor in ["sip:alice@localhost", "sip:bob@localhost"] {
        carillon.account(aor, "secret");
        let script = Script { answer: Answer::After(Duration::ZERO), ..Script::default() };
        phones.push(TestPhone::registered(&carillon.sip, aor, "secret", script).await);
    }
    let id = dial(carillon, &[]);
    phones[1].wait_for("the call", |h| *h == Happening::Connected).await;
    hang_up(carillon, &id);
    assert_eq!(outcome(carillon, &id).await["kind"], "COMPLETED");
    for phone in &mut phones {
        phone.act(Remote::Unregister).await;
        phone.wait_for("the end", |h| matches!(h, Happening::Registered(t) if t.is_zero())).await;
        assert!(carillon.command(&["account", "delete", &phone.aor]).status.success());
    }
}

/// What stays: counters, lists and due work of partitions, the cluster's keys and members. Nothing in it is named after a call, a
/// user or a request.
const KEPT: [&str; 14] = [
    "carillon:{aor-:m",
    "carillon:{calls-:d:due",
    "carillon:{calls-:dv:due",
    "carillon:{calls-:i:edges",
    "carillon:{calls-:i:ended",
    "carillon:{calls-:iv:ended",
    "carillon:{calls-:m",
    "carillon:{cluster-:m",
    "carillon:{cluster-:r:keys",
    "carillon:{members-:i:members",
    "carillon:{members-:iv:members",
    "carillon:{members-:m",
    "carillon:{presence-:m",
    "carillon:{presence-:r:feed/bindings",
];

/// F7: when calls, registrations and accounts have come and gone, every record that is left has an expiry.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_never_expires_is_left_behind() {
    let redis = Redis::start();
    let carillon = Carillon::serve(&["--redis", &redis.url()]);
    for _ in 0..3 {
        run(&carillon).await;
    }
    // A call is done with when the phones have answered its BYE: what comes then is waited for.
    let begun = std::time::Instant::now();
    // Polled: the last commits about a call have no event; what is left is what Redis lists.
    loop {
        let kept = |key: &String| KEPT.contains(&key.as_str()) || key.ends_with("-requests-:m");
        let left: Vec<String> = eternal(&redis).into_iter().filter(|key| !kept(key)).collect();
        if left.is_empty() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{left:#?}");
        tokio::task::yield_now().await;
    }
}
