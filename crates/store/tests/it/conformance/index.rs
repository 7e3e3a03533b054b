//! Indexes: order, values, paging.

use store::Batch;

use super::on_every_engine;

on_every_engine! {
    async fn members_are_listed_in_octet_order_with_their_values(rig) {
        let mut batch = Batch::new(&rig.partition);
        batch.index_add("all", "b", "2").index_add("all", "a", "1").index_add("all", "B", "").index_add("all", "ä", "4");
        rig.store.commit(batch).await.expect("commit");
        assert_eq!(
            list(&rig, "all", None, 10).await,
            (vec![("B", ""), ("a", "1"), ("b", "2"), ("ä", "4")].into_iter().map(own).collect(), None)
        );
    }

    async fn pages_join_without_gap_or_repetition(rig) {
        let mut batch = Batch::new(&rig.partition);
        for n in 0..25 {
            batch.index_add("all", format!("m{n:02}"), "");
        }
        rig.store.commit(batch).await.expect("commit");
        let mut seen = Vec::new();
        let mut after = None;
        let mut pages = 0;
        loop {
            let (page, next) = list(&rig, "all", after.as_deref(), 10).await;
            seen.extend(page.into_iter().map(|(member, _)| member));
            pages += 1;
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..25).map(|n| format!("m{n:02}")).collect::<Vec<_>>());
        assert_eq!(pages, 3);
    }

    async fn what_a_batch_does_to_one_index_is_done_in_order(rig) {
        let mut batch = Batch::new(&rig.partition);
        batch.index_add("all", "a", "1").index_add("all", "b", "2").index_add("other", "z", "26");
        batch.index_add("all", "c", "3").index_add("all", "d", "").index_add("all", "c", "");
        batch.index_remove("all", "a").index_remove("all", "d").index_add("all", "a", "4").index_add("all", "a", "5");
        rig.store.commit(batch).await.expect("commit");
        let expected = [("a", "5"), ("b", "2"), ("c", "")].map(own);
        assert_eq!(list(&rig, "all", None, 10).await, (expected.to_vec(), None));
        assert_eq!(list(&rig, "other", None, 10).await, (vec![own(("z", "26"))], None));
    }

    async fn the_last_full_page_has_no_next(rig) {
        let mut batch = Batch::new(&rig.partition);
        batch.index_add("all", "a", "").index_add("all", "b", "");
        rig.store.commit(batch).await.expect("commit");
        assert_eq!(list(&rig, "all", None, 2).await.1, None);
        assert_eq!(list(&rig, "all", None, 1).await.1, Some("a".into()));
    }

    async fn paging_goes_on_where_a_member_was_removed(rig) {
        let mut batch = Batch::new(&rig.partition);
        batch.index_add("all", "a", "").index_add("all", "b", "").index_add("all", "c", "");
        rig.store.commit(batch).await.expect("commit");
        let mut batch = Batch::new(&rig.partition);
        batch.index_remove("all", "a").index_remove("all", "never");
        rig.store.commit(batch).await.expect("commit");
        let (page, _) = list(&rig, "all", Some("a"), 10).await;
        assert_eq!(page, vec![own(("b", "")), own(("c", ""))]);
    }

    async fn adding_again_replaces_the_value(rig) {
        for value in ["1", "", "3"] {
            let mut batch = Batch::new(&rig.partition);
            batch.index_add("all", "a", value);
            rig.store.commit(batch).await.expect("commit");
            assert_eq!(list(&rig, "all", None, 10).await.0, vec![own(("a", value))]);
        }
    }

    async fn an_unknown_index_is_empty(rig) {
        assert_eq!(list(&rig, "nothing", None, 10).await, (vec![], None));
    }
}

fn own((member, value): (&str, &str)) -> (String, String) {
    (member.to_owned(), value.to_owned())
}

async fn list(
    rig: &crate::rig::Rig,
    index: &str,
    after: Option<&str>,
    limit: usize,
) -> (Vec<(String, String)>, Option<String>) {
    let page = rig.store.index(&rig.partition, index, after, limit).await.expect("index");
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).expect("text");
    (page.entries.iter().map(|(member, value)| (member.clone(), text(value))).collect(), page.next)
}
