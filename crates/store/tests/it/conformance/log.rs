//! Event logs: order, cursors, gaps, notification, retention.

use std::time::Duration;

use store::{Batch, Cursor, StoreError};

use super::on_every_engine;
use crate::rig::{RETENTION, Rig, short_logs};

on_every_engine! {
    async fn entries_come_in_order_and_after_the_cursor(rig) {
        let cursors = append(&rig, 0..5).await;
        assert_eq!(numbers(&rig, None, 10).await, Ok(vec![0, 1, 2, 3, 4]));
        assert_eq!(numbers(&rig, Some(cursors[2]), 10).await, Ok(vec![3, 4]));
        assert_eq!(numbers(&rig, Some(cursors[4]), 10).await, Ok(vec![]));
        assert_eq!(numbers(&rig, Some(Cursor::ZERO), 2).await, Ok(vec![0, 1]));
    }

    async fn a_commit_tells_the_cursors_of_its_entries(rig) {
        let cursors = append(&rig, 0..3).await;
        let entries = rig.store.log_read(&rig.partition, "events", None, 10).await.expect("read");
        assert_eq!(entries.iter().map(|entry| entry.cursor).collect::<Vec<_>>(), cursors);
        assert!(cursors.windows(2).all(|pair| pair[0] < pair[1] && pair[0].number + 1 == pair[1].number));
        assert_eq!(rig.store.log_tail(&rig.partition, "events").await, Ok(cursors[2]));
    }

    async fn several_entries_of_one_batch_keep_their_order(rig) {
        let mut batch = Batch::new(&rig.partition);
        batch.log_append("events", "0").log_append("other", "x").log_append("events", "1");
        let cursors = rig.store.commit(batch).await.expect("commit").cursors;
        assert_eq!(cursors.iter().map(|cursor| cursor.number).collect::<Vec<_>>(), [1, 1, 2]);
        assert_eq!(numbers(&rig, None, 10).await, Ok(vec![0, 1]));
    }

    async fn an_entry_that_tells_of_several_things_takes_their_numbers_and_is_found_from_between_them(rig) {
        let mut batch = Batch::new(&rig.partition);
        batch.log_append("events", "0").log_append_many("events", "1", 3).log_append_many("events", "2", 40);
        let cursors = rig.store.commit(batch).await.expect("commit").cursors;
        assert_eq!(cursors.iter().map(|cursor| cursor.number).collect::<Vec<_>>(), [1, 4, 44]);
        let entries = rig.store.log_read(&rig.partition, "events", None, 10).await.expect("read");
        assert_eq!(entries.iter().map(|entry| entry.count).collect::<Vec<_>>(), [1, 3, 40]);
        assert_eq!(entries.iter().map(|entry| entry.cursor).collect::<Vec<_>>(), cursors);
        let from = |number: u64| Some(Cursor { number, ..cursors[0] });
        assert_eq!(numbers(&rig, from(1), 10).await, Ok(vec![1, 2]));
        assert_eq!(numbers(&rig, from(2), 1).await, Ok(vec![1]), "the rest of it is still to come");
        assert_eq!(numbers(&rig, from(3), 10).await, Ok(vec![1, 2]));
        assert_eq!(numbers(&rig, from(4), 10).await, Ok(vec![2]));
        assert_eq!(numbers(&rig, from(43), 10).await, Ok(vec![2]));
        assert_eq!(numbers(&rig, from(44), 10).await, Ok(vec![]));
        assert_eq!(rig.store.log_tail(&rig.partition, "events").await, Ok(cursors[2]));
        let mut batch = Batch::new(&rig.partition);
        batch.log_append_many("events", "3", 0);
        assert!(matches!(rig.store.commit(batch).await, Err(StoreError::Invalid { .. })));
    }

    async fn a_trimmed_log_of_large_and_small_entries_says_what_is_missing(rig) {
        let mut cursors = Vec::new();
        for n in 0..600_u64 {
            let mut batch = Batch::new(&rig.partition);
            batch.log_append_many("events", n.to_string(), 1 + u16::try_from(n % 7).expect("small"));
            cursors.extend(rig.store.commit(batch).await.expect("append").cursors);
        }
        let entries = rig.store.log_read(&rig.partition, "events", None, 1000).await.expect("read");
        let first = number(&entries[0].entry) as usize;
        assert!(first > 0 && entries.len() == 600 - first, "{} of 600 are kept", entries.len());
        let expected: Vec<_> = (first as u64..600).collect();
        assert_eq!(numbers(&rig, Some(cursors[first - 1]), 1000).await, Ok(expected));
        let before = Cursor { number: cursors[first - 1].number - 1, ..cursors[first - 1] };
        assert!(matches!(numbers(&rig, Some(before), 10).await, Err(StoreError::Trimmed { .. })));
    }

    async fn the_tail_of_an_empty_log_sees_everything_that_follows(rig) {
        let tail = rig.store.log_tail(&rig.partition, "events").await.expect("tail");
        assert_eq!(tail, Cursor::ZERO);
        assert_eq!(numbers(&rig, Some(tail), 10).await, Ok(vec![]));
        append(&rig, 0..2).await;
        assert_eq!(numbers(&rig, Some(tail), 10).await, Ok(vec![0, 1]));
    }

    async fn a_cursor_into_the_trimmed_past_is_an_error_and_not_silence(rig) {
        let cursors = append(&rig, 0..1000).await;
        let result = numbers(&rig, Some(cursors[0]), 10).await;
        let Err(StoreError::Trimmed { oldest: Some(oldest) }) = result else { panic!("{result:?}") };
        assert!(oldest > cursors[0]);
        let kept = numbers(&rig, None, 2000).await.expect("read");
        assert!((200..1000).contains(&kept.len()), "the bound holds approximately: {}", kept.len());
        assert_eq!(kept.last(), Some(&999));
        let reread = numbers(&rig, Some(cursors[kept[0] as usize - 1]), 2000).await;
        assert_eq!(reread, Ok(kept), "right before the oldest kept entry nothing is missing");
    }

    async fn a_cursor_of_another_life_of_the_store_is_an_error(rig) {
        append(&rig, 0..2).await;
        let future = Cursor { millis: 99_999_999_999_999, number: 57 };
        let result = numbers(&rig, Some(future), 10).await;
        assert!(matches!(result, Err(StoreError::Trimmed { .. })), "{result:?}");
        let result = rig.store.log_read(&rig.partition, "unheard", Some(future), 10).await;
        assert!(matches!(result, Err(StoreError::Trimmed { .. })), "{result:?}");
    }

    async fn the_time_of_a_log_does_not_go_back_with_the_clock(rig) {
        append(&rig, 0..1).await;
        rig.step_back(Duration::from_secs(1000)).await;
        let tail = rig.store.log_tail(&rig.partition, "events").await.expect("tail");
        let cursors = append(&rig, 1..3).await;
        assert!(tail < cursors[0] && cursors[0] < cursors[1], "{tail} {cursors:?}");
        assert!(tail.millis <= cursors[0].millis && cursors[0].millis <= cursors[1].millis, "{tail} {cursors:?}");
    }

    async fn a_reader_that_follows_wakeups_sees_every_entry_once(rig) {
        let reader = async {
            let mut wakeups = rig.store.watch_log(&rig.partition, "events");
            let mut seen: Vec<u64> = Vec::new();
            let mut after = Cursor::ZERO;
            while seen.len() < 100 {
                let entries = rig.store.log_read(&rig.partition, "events", Some(after), 7).await.expect("read");
                match entries.last() {
                    Some(last) => after = last.cursor,
                    None => {
                        wakeups.recv().await;
                    }
                }
                seen.extend(entries.iter().map(|entry| number(&entry.entry)));
            }
            seen
        };
        let writer = async {
            for n in 0..100 {
                append(&rig, n..n + 1).await;
                tokio::task::yield_now().await;
            }
        };
        let (seen, ()) = tokio::join!(reader, writer);
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }
}

/// A log that nobody writes to any more is gone after the retention, and says so to who comes with a cursor into it.
async fn a_quiet_log_is_forgotten(rig: Rig) {
    let cursors = append(&rig, 0..2).await;
    rig.pass(RETENTION + Duration::from_millis(50)).await;
    assert_eq!(numbers(&rig, None, 10).await, Ok(vec![]));
    assert!(matches!(numbers(&rig, Some(cursors[0]), 10).await, Err(StoreError::Trimmed { .. })));
    assert_eq!(
        rig.store.log_tail(&rig.partition, "events").await,
        Ok(cursors[1]),
        "numbers go on where they were"
    );
}

/// A log that is written to all the time loses what is older than the retention, though Redis drops it by the hundred.
async fn a_busy_log_forgets_what_is_old(rig: Rig) {
    let first = append(&rig, 0..150).await[0];
    rig.pass(RETENTION / 2).await;
    append(&rig, 150..151).await;
    rig.pass(RETENTION / 2 + Duration::from_millis(50)).await;
    append(&rig, 151..183).await;
    let kept = numbers(&rig, None, 1000).await.expect("read");
    assert!(kept.len() < 100, "{} entries are kept", kept.len());
    assert!(matches!(numbers(&rig, Some(first), 10).await, Err(StoreError::Trimmed { .. })));
}

#[tokio::test]
async fn a_quiet_log_is_forgotten_in_memory() {
    a_quiet_log_is_forgotten(Rig::memory_with(short_logs()).await).await;
}

#[tokio::test]
async fn a_quiet_log_is_forgotten_on_redis() {
    a_quiet_log_is_forgotten(Rig::redis_with(short_logs()).await).await;
}

#[tokio::test]
async fn a_busy_log_forgets_what_is_old_in_memory() {
    a_busy_log_forgets_what_is_old(Rig::memory_with(short_logs()).await).await;
}

#[tokio::test]
async fn a_busy_log_forgets_what_is_old_on_redis() {
    a_busy_log_forgets_what_is_old(Rig::redis_with(short_logs()).await).await;
}

async fn append(rig: &Rig, numbers: std::ops::Range<u64>) -> Vec<Cursor> {
    let mut cursors = Vec::new();
    for n in numbers {
        let mut batch = Batch::new(&rig.partition);
        batch.log_append("events", n.to_string());
        cursors.extend(rig.store.commit(batch).await.expect("append").cursors);
    }
    cursors
}

async fn numbers(rig: &Rig, after: Option<Cursor>, limit: usize) -> Result<Vec<u64>, StoreError> {
    let entries = rig.store.log_read(&rig.partition, "events", after, limit).await?;
    Ok(entries.iter().map(|entry| number(&entry.entry)).collect())
}

fn number(entry: &[u8]) -> u64 {
    std::str::from_utf8(entry).expect("text").parse().expect("number")
}
