//! Event logs: order, cursors, gaps, notification.

use store::{Batch, Cursor, StoreError};

use super::on_every_engine;
use crate::rig::Rig;

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
