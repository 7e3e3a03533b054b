//! Records: versions, expectations, expiry, atomicity.

use std::time::Duration;

use store::{Batch, Expect, StoreError};

use super::on_every_engine;

const MOMENT: Duration = Duration::from_millis(40);
const LONG: Duration = Duration::from_secs(600);

on_every_engine! {
    async fn what_was_put_is_read_back_with_its_version(rig) {
        assert_eq!(rig.get("x").await, None);
        let mut batch = Batch::new(&rig.partition);
        batch.put("x", "one", Expect::Any).put("empty", "", Expect::Any);
        let version = rig.store.commit(batch).await.expect("commit").version;
        assert_eq!(rig.get("x").await, Some((version, "one".into())));
        assert_eq!(rig.get("empty").await, Some((version, String::new())));
    }

    async fn several_records_are_read_at_once_in_the_order_asked_for(rig) {
        let mut batch = Batch::new(&rig.partition);
        batch.put("x", "one", Expect::Any).put("y", "two", Expect::Any);
        let version = rig.store.commit(batch).await.expect("commit").version;
        let names = ["y", "nobody", "x", "y"].map(str::to_owned);
        let found = rig.store.get_many(&rig.partition, &names).await.expect("read");
        let read = found.iter().map(|found| found.as_ref().map(|found| (found.version, &found.value[..])));
        let (x, y) = (Some((version, &b"one"[..])), Some((version, &b"two"[..])));
        assert_eq!(read.collect::<Vec<_>>(), [y, None, x, y]);
        assert_eq!(rig.store.get_many(&rig.partition, &[]).await, Ok(vec![]));
        let many = vec!["x".to_owned(); 1001];
        let refused = rig.store.get_many(&rig.partition, &many).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
    }

    async fn values_are_octets(rig) {
        let octets: Vec<u8> = (0..=255).collect();
        let mut batch = Batch::new(&rig.partition);
        batch.put("name with spaces, \"quotes\" and ümläut\r\n", octets.clone(), Expect::Any);
        rig.store.commit(batch).await.expect("commit");
        let key = rig.partition.key("name with spaces, \"quotes\" and ümläut\r\n");
        let found = rig.store.get(&key).await.expect("get").expect("present");
        assert_eq!(found.value.as_ref(), octets);
    }

    async fn a_write_with_the_version_that_was_read_succeeds_once(rig) {
        let first = put(&rig, "x", "one", Expect::Absent).await.expect("first");
        let second = put(&rig, "x", "two", Expect::Version(first)).await.expect("second");
        assert!(second > first);
        assert_eq!(put(&rig, "x", "three", Expect::Version(first)).await, Err(StoreError::Conflict));
        assert_eq!(rig.get("x").await, Some((second, "two".into())));
    }

    async fn absent_means_absent(rig) {
        put(&rig, "x", "one", Expect::Absent).await.expect("first");
        assert_eq!(put(&rig, "x", "two", Expect::Absent).await, Err(StoreError::Conflict));
        assert_eq!(put(&rig, "y", "two", Expect::Version(1)).await, Err(StoreError::Conflict));
        assert_eq!(rig.get("y").await, None);
    }

    async fn a_version_never_comes_back(rig) {
        let mut last = 0;
        for round in 0..20 {
            let version = put(&rig, "x", "same", Expect::Absent).await.expect("put");
            assert!(version > last, "round {round}");
            last = version;
            let mut batch = Batch::new(&rig.partition);
            batch.delete("x", Expect::Version(version));
            rig.store.commit(batch).await.expect("delete");
        }
    }

    async fn a_failed_expectation_leaves_everything_as_it_was(rig) {
        let kept = put(&rig, "kept", "1", Expect::Absent).await.expect("put");
        let mut batch = Batch::new(&rig.partition);
        batch
            .put("new", "x", Expect::Absent)
            .delete("kept", Expect::Any)
            .index_add("all", "new", "")
            .due_add("work", "new", rig.store.now(), "")
            .log_append("events", "new")
            .check("kept", Expect::Version(kept + 1_000_000));
        assert_eq!(rig.store.commit(batch).await, Err(StoreError::Conflict));
        assert_eq!(rig.get("new").await, None);
        assert_eq!(rig.get("kept").await, Some((kept, "1".into())));
        assert_eq!(rig.store.index(&rig.partition, "all", None, 10).await.expect("index").entries, vec![]);
        assert_eq!(rig.store.due_next(&rig.partition, "work").await, Ok(None));
        assert_eq!(rig.store.log_read(&rig.partition, "events", None, 10).await, Ok(vec![]));
    }

    async fn a_check_guards_a_batch_without_changing_its_record(rig) {
        let guard = put(&rig, "guard", "g", Expect::Absent).await.expect("put");
        let mut batch = Batch::new(&rig.partition);
        batch.check("guard", Expect::Version(guard)).check("nobody", Expect::Absent).put("x", "1", Expect::Any);
        rig.store.commit(batch).await.expect("commit");
        assert_eq!(rig.get("guard").await, Some((guard, "g".into())));
        assert!(rig.get("x").await.is_some());
    }

    async fn a_record_expires(rig) {
        let mut batch = Batch::new(&rig.partition);
        batch.put_for("short", "s", Expect::Absent, MOMENT).put_for("long", "l", Expect::Absent, LONG);
        rig.store.commit(batch).await.expect("commit");
        rig.pass(MOMENT * 2).await;
        assert_eq!(rig.get("short").await, None);
        assert!(rig.get("long").await.is_some());
        put(&rig, "short", "again", Expect::Absent).await.expect("absent after expiry");
    }

    async fn a_put_replaces_the_expiry(rig) {
        for (name, ttl) in [("kept", None), ("longer", Some(LONG))] {
            let mut batch = Batch::new(&rig.partition);
            batch.put_for(name, "1", Expect::Any, MOMENT);
            batch.push(store::Op::Put { name: name.into(), value: "2".into(), expect: Expect::Any, ttl });
            rig.store.commit(batch).await.expect("commit");
        }
        put_for(&rig, "shorter", LONG).await;
        put_for(&rig, "shorter", MOMENT).await;
        rig.pass(MOMENT * 2).await;
        assert!(rig.get("kept").await.is_some());
        assert!(rig.get("longer").await.is_some());
        assert_eq!(rig.get("shorter").await, None);
    }

    async fn partitions_do_not_see_each_other(rig) {
        put(&rig, "x", "one", Expect::Absent).await.expect("put");
        let other = store::Partition::new("things", 4);
        assert_eq!(rig.store.get(&other.key("x")).await, Ok(None));
        let mut batch = Batch::new(&other);
        batch.put("x", "other", Expect::Absent);
        rig.store.commit(batch).await.expect("absent there");
    }

    async fn of_many_writers_with_one_version_exactly_one_wins(rig) {
        let version = put(&rig, "x", "start", Expect::Absent).await.expect("put");
        let attempts = (0..32).map(|n| put(&rig, "x", if n % 2 == 0 { "even" } else { "odd" }, Expect::Version(version)));
        let results = futures_util::future::join_all(attempts).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        assert_eq!(results.iter().filter(|result| **result == Err(StoreError::Conflict)).count(), 31);
    }

    async fn oversized_requests_are_refused_before_they_reach_anything(rig) {
        let mut many = Batch::new(&rig.partition);
        for n in 0..300 {
            many.put(format!("n{n}"), "", Expect::Any);
        }
        let mut large = Batch::new(&rig.partition);
        large.put("large", vec![0; (1 << 20) + 1], Expect::Any);
        let mut nameless = Batch::new(&rig.partition);
        nameless.put("", "", Expect::Any);
        for batch in [many, large, nameless] {
            let result = rig.store.commit(batch).await;
            assert!(matches!(result, Err(StoreError::Invalid { .. })), "{result:?}");
        }
        assert_eq!(rig.get("n0").await, None);
    }

    async fn a_watcher_hears_of_changes(rig) {
        let mut wakeups = rig.store.watch(&rig.partition);
        let mut log_wakeups = rig.store.watch_log(&rig.partition, "events");
        // The subscription may still be on its way: change until one is heard.
        let mut heard = (false, false);
        for _ in 0..20 {
            let mut batch = Batch::new(&rig.partition);
            batch.put("x", "one", Expect::Any).log_append("events", "e");
            rig.store.commit(batch).await.expect("commit");
            heard = (heard.0 | wakeups.recv().await, heard.1 | log_wakeups.recv().await);
            if heard == (true, true) {
                break;
            }
        }
        assert_eq!(heard, (true, true));
    }
}

async fn put(
    rig: &crate::rig::Rig,
    name: &str,
    value: &'static str,
    expect: Expect,
) -> Result<u64, StoreError> {
    let mut batch = Batch::new(&rig.partition);
    batch.put(name, value, expect);
    rig.store.commit(batch).await.map(|outcome| outcome.version)
}

async fn put_for(rig: &crate::rig::Rig, name: &str, ttl: Duration) {
    let mut batch = Batch::new(&rig.partition);
    batch.put_for(name, "v", Expect::Any, ttl);
    rig.store.commit(batch).await.expect("put");
}
