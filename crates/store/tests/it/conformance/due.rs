//! Due work: claims, leases, takeover.

use std::time::Duration;

use store::{Batch, Due, StoreError};

use super::on_every_engine;
use crate::rig::Rig;

const LONG: Duration = Duration::from_secs(600);
const MOMENT: Duration = Duration::from_millis(40);

on_every_engine! {
    async fn an_entry_is_claimed_when_its_time_has_come(rig) {
        add(&rig, "soon", MOMENT).await;
        add(&rig, "late", LONG).await;
        rig.pass(MOMENT * 2).await;
        assert_eq!(ids(&claim(&rig, LONG, 10).await), ["soon"]);
    }

    async fn a_claimed_entry_is_nobody_elses_until_the_lease_ends(rig) {
        add(&rig, "x", Duration::ZERO).await;
        assert_eq!(ids(&claim(&rig, MOMENT, 10).await), ["x"]);
        rig.pass(MOMENT * 2).await;
        assert_eq!(ids(&claim(&rig, LONG, 10).await), ["x"], "taken over after the lease");
        assert_eq!(ids(&claim(&rig, LONG, 10).await), [""; 0], "held now");
    }

    async fn of_many_claimers_each_entry_has_one(rig) {
        for n in 0..40 {
            add(&rig, &format!("e{n:02}"), Duration::ZERO).await;
        }
        let claims = futures_util::future::join_all((0..8).map(|_| claim(&rig, LONG, 7))).await;
        let mut all: Vec<String> = claims.iter().flatten().map(|due| due.id.clone()).collect();
        all.sort();
        assert_eq!(all, (0..40).map(|n| format!("e{n:02}")).collect::<Vec<_>>());
        assert!(claims.iter().all(|claim| claim.len() <= 7));
    }

    async fn the_oldest_comes_first(rig) {
        let now = rig.store.now();
        let mut batch = Batch::new(&rig.partition);
        for (id, age) in [("b", 20), ("c", 10), ("a", 30)] {
            batch.due_add("work", id, now - Duration::from_secs(age), "");
        }
        rig.store.commit(batch).await.expect("commit");
        assert_eq!(ids(&claim(&rig, LONG, 2).await), ["a", "b"]);
    }

    async fn what_a_batch_does_to_one_queue_is_done_in_order(rig) {
        let now = rig.store.now();
        let at = |age: u64| now - Duration::from_secs(age);
        let mut batch = Batch::new(&rig.partition);
        batch.due_add("work", "a", at(10), "1").due_add("work", "b", at(20), "2").due_add("work", "a", at(30), "3");
        batch.due_add("work", "c", at(40), "").due_remove("work", "b").due_remove("work", "c");
        batch.due_add("work", "b", at(50), "4");
        rig.store.commit(batch).await.expect("commit");
        let claimed = claim(&rig, LONG, 10).await;
        assert_eq!(ids(&claimed), ["b", "a"]);
        assert_eq!(claimed.iter().map(|due| &due.payload[..]).collect::<Vec<_>>(), [b"4", b"3"]);
    }

    async fn the_payload_comes_with_the_claim(rig) {
        let mut batch = Batch::new(&rig.partition);
        batch.due_add("work", "x", rig.store.now(), &b"\x00\xff payload"[..]);
        rig.store.commit(batch).await.expect("commit");
        assert_eq!(claim(&rig, LONG, 1).await[0].payload.as_ref(), b"\x00\xff payload");
    }

    async fn a_removed_entry_never_comes_again(rig) {
        add(&rig, "x", Duration::ZERO).await;
        let due = claim(&rig, MOMENT, 1).await.remove(0);
        let mut batch = Batch::new(&rig.partition);
        batch.due_done("work", &due);
        rig.store.commit(batch).await.expect("commit");
        rig.pass(MOMENT * 2).await;
        assert_eq!(ids(&claim(&rig, LONG, 10).await), [""; 0]);
        assert_eq!(rig.store.due_next(&rig.partition, "work").await, Ok(None));
    }

    async fn a_lost_claim_cannot_finish_the_entry(rig) {
        add(&rig, "x", Duration::ZERO).await;
        let old = claim(&rig, Duration::ZERO, 1).await.remove(0);
        let new = claim(&rig, LONG, 1).await.remove(0);
        assert_ne!(old.token, new.token);
        let mut batch = Batch::new(&rig.partition);
        batch.due_done("work", &old);
        assert_eq!(rig.store.commit(batch).await, Err(StoreError::Conflict));
        let mut batch = Batch::new(&rig.partition);
        batch.due_done("work", &new);
        rig.store.commit(batch).await.expect("the holder may");
    }

    async fn a_rewritten_entry_is_no_longer_claimed(rig) {
        add(&rig, "x", Duration::ZERO).await;
        let old = claim(&rig, LONG, 1).await.remove(0);
        add(&rig, "x", Duration::ZERO).await;
        let mut batch = Batch::new(&rig.partition);
        batch.due_done("work", &old);
        assert_eq!(rig.store.commit(batch).await, Err(StoreError::Conflict));
        assert_eq!(ids(&claim(&rig, LONG, 1).await), ["x"]);
    }

    async fn removing_without_a_token_ignores_claims(rig) {
        add(&rig, "x", Duration::ZERO).await;
        claim(&rig, Duration::ZERO, 1).await;
        let mut batch = Batch::new(&rig.partition);
        batch.due_remove("work", "x").due_remove("work", "never-there");
        rig.store.commit(batch).await.expect("commit");
        assert_eq!(ids(&claim(&rig, LONG, 1).await), [""; 0]);
    }

    async fn the_next_time_is_known(rig) {
        assert_eq!(rig.store.due_next(&rig.partition, "work").await, Ok(None));
        let at = rig.store.now() + LONG;
        let mut batch = Batch::new(&rig.partition);
        batch.due_add("work", "x", at, "").due_add("work", "y", at + LONG, "");
        rig.store.commit(batch).await.expect("commit");
        let next = rig.store.due_next(&rig.partition, "work").await.expect("next").expect("one");
        let off = next.duration_since(at).unwrap_or_else(|earlier| earlier.duration());
        assert!(off < Duration::from_millis(2), "{off:?}");
    }
}

async fn add(rig: &Rig, id: &str, after: Duration) {
    let mut batch = Batch::new(&rig.partition);
    batch.due_add("work", id, rig.store.now() + after, "");
    rig.store.commit(batch).await.expect("commit");
}

async fn claim(rig: &Rig, lease: Duration, limit: usize) -> Vec<Due> {
    rig.store.due_claim(&rig.partition, "work", lease, limit).await.expect("claim")
}

fn ids(claimed: &[Due]) -> Vec<&str> {
    claimed.iter().map(|due| due.id.as_str()).collect()
}
