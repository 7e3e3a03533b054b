//! Replicas come and go; subscriptions stay.

use std::time::Duration;

use tokio::time::sleep;

use crate::rig::{Rig, ask, body, header, subscribe, voice};

/// EVT-12, EVT-13, F3: a replica dies between its commit and the NOTIFY; another one sends that NOTIFY, and no number is used
/// for two contents.
#[tokio::test(start_paused = true)]
async fn a_notify_that_a_dead_replica_left_is_sent_by_another() {
    let rig = Rig::new();
    let dies = rig.replica(true);
    let answer = ask(&dies, subscribe("alice", "alice", "message-summary", 3_600)).await;
    assert_eq!((answer.status, header(&answer, "Expires").as_str()), (200, "3600"));
    voice(&dies, "alice", 1).await;
    dies.stop(Duration::ZERO).await;

    let lives = rig.replica(false);
    let first = rig.phones.notify("alice", 1).await;
    assert_eq!(body(&first), "Messages-Waiting: no\r\n");
    assert_eq!(first.from_tag, answer.to_tag);
    let second = rig.phones.notify("alice", 2).await;
    assert!(body(&second).contains("Voice-Message: 1/0"));
    let (at, _) = rig.phones.notified("alice")[1].clone();
    assert!(at <= Duration::from_secs(10), "{at:?}");
    voice(&lives, "alice", 2).await;
    assert!(body(&rig.phones.notify("alice", 3).await).contains("Voice-Message: 2/0"));
}

/// PRS-04: the copies of a forked SUBSCRIBE, and one that is handed over again, are one subscription with one answer.
#[tokio::test(start_paused = true)]
async fn a_subscribe_that_comes_twice_is_one_subscription() {
    let rig = Rig::new();
    let (one, two) = (rig.replica(false), rig.replica(false));
    let request = subscribe("alice", "alice", "message-summary", 600);
    let first = ask(&one, request.clone()).await;
    assert_eq!(ask(&two, request).await, first);
    rig.phones.notify("alice", 1).await;
    sleep(Duration::from_secs(30)).await;
    assert_eq!(rig.phones.notified("alice").len(), 1);
}

/// EVT-10: what nobody refreshes lapses, whichever replica is left, and leaves nothing in the store.
#[tokio::test(start_paused = true)]
async fn what_lapses_leaves_nothing_behind() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    sleep(Duration::from_secs(5)).await;
    let before = rig.store.record_count();
    for user in ["alice", "bob", "carol"] {
        assert_eq!(ask(&replica, subscribe(user, user, "presence", 60)).await.status, 200);
        rig.phones.notify(user, 1).await;
    }
    assert!(rig.store.record_count() > before);
    for user in ["alice", "bob", "carol"] {
        let mut number = 2;
        while !state(&rig, user, number).await.starts_with("terminated;reason=timeout") {
            number += 1;
        }
    }
    sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.store.record_count(), before);
}

async fn state(rig: &Rig, user: &str, number: u32) -> String {
    let notify = rig.phones.notify(user, number).await;
    let found = notify.headers.iter().find(|header| header.is("Subscription-State"));
    found.map(|header| header.value.clone()).unwrap_or_default()
}
