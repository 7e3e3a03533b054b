//! What the Redis engine does when Redis fails. Reliability rows F6, F8, F9.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use store::{Batch, Expect, Partition, RedisOptions, RedisStore, Store, StoreError};
use tokio::time::timeout;

use crate::server::Server;

/// Longest time that any of these tests waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// F6: writes fail clearly while the server is gone, and work again on the same store object when it is back.
#[tokio::test]
async fn the_store_survives_kill_and_restart_of_the_server() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let store = connected(&server, RedisOptions::default()).await;
    let mut acknowledged = Vec::new();
    for n in 0..50 {
        put(&store, &format!("before-{n}")).await.expect("the server is up");
        acknowledged.push(format!("before-{n}"));
    }

    server.kill();
    let mut failures = Vec::new();
    for n in 0..5 {
        failures.push(put(&store, &format!("during-{n}")).await.expect_err("the server is gone"));
        failures.push(store.get(&partition().key("before-0")).await.expect_err("the server is gone"));
    }
    assert!(failures.iter().all(|error| matches!(error, StoreError::Unavailable { .. })), "{failures:?}");
    assert!(!store.is_ready());

    server.restart().await;
    timeout(PATIENCE, store.wait_ready()).await.expect("reconnects by itself");
    for n in 0..50 {
        put(&store, &format!("after-{n}")).await.expect("the server is back, its scripts are loaded again");
        acknowledged.push(format!("after-{n}"));
    }
    for name in acknowledged {
        let found = store.get(&partition().key(&name)).await.expect("get");
        assert!(found.is_some(), "{name} was acknowledged");
    }
}

/// F6: commits in flight at the moment of the kill all end, and what was acknowledged is there afterwards.
#[tokio::test]
async fn commits_in_flight_when_the_server_dies_all_get_an_answer() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let store = Arc::new(connected(&server, RedisOptions::default()).await);
    let writers: Vec<_> = (0..40)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for n in 0.. {
                    let name = format!("{writer}-{n}");
                    match put(&store, &name).await {
                        Ok(_) => acknowledged.push(name),
                        Err(_) => break,
                    }
                }
                acknowledged
            })
        })
        .collect();
    // Polled: the version of the record tells that the writers are under way.
    while put(&store, "progress").await.expect("up") == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        put(&store, "progress").await.expect("up");
    }
    server.kill();
    let acknowledged =
        timeout(PATIENCE, futures_util::future::join_all(writers)).await.expect("every commit ends");
    server.restart().await;
    timeout(PATIENCE, store.wait_ready()).await.expect("reconnects");
    let mut count = 0;
    for name in acknowledged.into_iter().flat_map(|names| names.expect("no panic")) {
        assert!(store.get(&partition().key(&name)).await.expect("get").is_some(), "{name} was acknowledged");
        count += 1;
    }
    assert!(count > 0);
}

/// F9: a server that lost everything is a new beginning, and no old version or cursor is taken for a new one.
#[tokio::test]
async fn versions_and_cursors_do_not_come_back_after_the_server_lost_everything() {
    let mut server = Server::start(&[]).await;
    let store = connected(&server, RedisOptions::default()).await;
    let before = put(&store, "x").await.expect("put");
    let cursor = store.log_tail(&partition(), "events").await.expect("tail");
    server.kill();
    server.restart().await;
    timeout(PATIENCE, store.wait_ready()).await.expect("reconnects");
    assert_eq!(store.get(&partition().key("x")).await, Ok(None));
    let result = store.log_read(&partition(), "events", Some(cursor), 10).await;
    assert!(matches!(result, Err(StoreError::Trimmed { .. })), "{result:?}");
    let after = put(&store, "x").await.expect("put");
    assert!(after > before);
    let result = store.log_read(&partition(), "events", Some(cursor), 10).await;
    assert!(matches!(result, Err(StoreError::Trimmed { .. })), "{result:?}");
}

/// F7: an acknowledgement means that the replica has the write; without it the caller is told so.
#[tokio::test]
async fn without_its_replica_nothing_is_acknowledged() {
    let primary = Server::start(&[]).await;
    let replica = Server::start(&["--replicaof", &format!("127.0.0.1 {}", primary.port)]).await;
    let options = RedisOptions {
        wait_replicas: Some(1),
        wait_timeout: Duration::from_millis(50),
        ..RedisOptions::default()
    };
    let store = connected(&primary, options).await;
    timeout(PATIENCE, async {
        // Polled: WAIT alone tells that a replica has what was written.
        while put(&store, "link").await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the replica links up");

    put(&store, "acknowledged").await.expect("confirmed by the replica");
    replica.freeze();
    let attempts = futures_util::future::join_all((0..10).map(|n| {
        let store = &store;
        async move { put(store, &format!("unconfirmed-{n}")).await }
    }));
    for result in attempts.await {
        assert_eq!(result, Err(StoreError::Unreplicated { confirmed: 0, wanted: 1 }));
    }
    assert!(store.is_ready(), "a missing replica is no reason to reconnect");
    replica.thaw();
    timeout(PATIENCE, async {
        // Polled: WAIT alone tells that the replica goes on.
        while put(&store, "again").await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the replica is back");

    // It is never ready, because it takes no writes; it can be read.
    let on_replica = RedisStore::connect(&replica.url(), RedisOptions::default()).expect("url");
    let found = timeout(PATIENCE, async {
        // Polled: the store announces that all its connections are there, and not one of them.
        loop {
            if let Ok(found) = on_replica.get(&partition().key("acknowledged")).await {
                break found;
            }
            tokio::task::yield_now().await;
        }
    });
    assert!(found.await.expect("reads work").is_some());
}

/// F8: a server that stopped answering costs each caller one bounded wait, then nothing.
#[tokio::test]
async fn a_server_that_stands_still_gives_timeouts_and_then_fast_refusals() {
    let server = Server::start(&[]).await;
    let options = RedisOptions { response_timeout: Duration::from_millis(100), ..RedisOptions::default() };
    let store = connected(&server, options).await;
    server.freeze();
    let first = timeout(PATIENCE, put(&store, "x")).await.expect("bounded").expect_err("no answer");
    assert_eq!(first, StoreError::Timeout { after_ms: 100 });
    let second = put(&store, "x").await.expect_err("the circuit is open");
    assert!(matches!(second, StoreError::Unavailable { .. }), "{second:?}");
    server.thaw();
    timeout(PATIENCE, store.wait_ready()).await.expect("reconnects");
    put(&store, "x").await.expect("back");
}

/// F8: READONLY (a demoted primary) is unavailability, and the connection is replaced.
#[tokio::test]
async fn a_demoted_primary_is_unavailable_until_it_is_primary_again() {
    let server = Server::start(&[]).await;
    let store = connected(&server, RedisOptions::default()).await;
    put(&store, "x").await.expect("primary");
    server.command(&["REPLICAOF", "127.0.0.1", "1"]).await.expect("demote");
    let error = put(&store, "y").await.expect_err("read only");
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    server.command(&["REPLICAOF", "NO", "ONE"]).await.expect("promote");
    timeout(PATIENCE, async {
        // Polled: the server tells no client that it is a primary again.
        while put(&store, "y").await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("works again");
}

/// F8: a full server refuses writes as unavailable, loses nothing and serves reads.
#[tokio::test]
async fn a_full_server_refuses_writes_whole_and_serves_reads() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]).await;
    let store = connected(&server, RedisOptions::default()).await;
    put(&store, "kept").await.expect("room");
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await.expect("config");
    let error = put(&store, "refused").await.expect_err("full");
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(store.get(&partition().key("kept")).await.expect("reads work").is_some());
    assert_eq!(store.get(&partition().key("refused")).await, Ok(None));
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).await.expect("config");
    put(&store, "refused").await.expect("room again");
}

/// A server that forgot its scripts is taught them again without the caller noticing.
#[tokio::test]
async fn forgotten_scripts_are_loaded_again() {
    let server = Server::start(&[]).await;
    let store = connected(&server, RedisOptions::default()).await;
    for _ in 0..3 {
        server.command(&["SCRIPT", "FLUSH"]).await.expect("flush");
        let all = futures_util::future::join_all((0..20).map(|n| {
            let store = &store;
            async move { put(store, &format!("x{n}")).await }
        }));
        assert!(all.await.iter().all(Result::is_ok));
        assert_eq!(store.due_claim(&partition(), "work", Duration::from_secs(1), 10).await, Ok(vec![]));
        assert_eq!(store.index(&partition(), "all", None, 10).await.expect("index").entries, vec![]);
        assert!(!store.log_read(&partition(), "events", None, 10).await.expect("log").is_empty());
    }
}

/// Redis absent at the start: clear errors at once, service as soon as it is there.
#[tokio::test]
async fn a_store_without_its_server_says_so_and_starts_working_when_it_comes() {
    let mut server = Server::start(&[]).await;
    server.kill();
    let store = RedisStore::connect(&server.url(), RedisOptions::default()).expect("url");
    let error = put(&store, "x").await.expect_err("nobody there");
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(!store.is_ready());
    server.restart().await;
    timeout(PATIENCE, store.wait_ready()).await.expect("connects");
    put(&store, "x").await.expect("works");
}

/// Overload in front of a slow server is refused at once and counted, not piled up.
#[tokio::test]
async fn a_full_queue_refuses_and_counts() {
    let server = Server::start(&[]).await;
    let store = connected(&server, RedisOptions { queue: 8, lanes: 1, ..RedisOptions::default() }).await;
    server.freeze();
    let results = futures_util::future::join_all((0..2000).map(|n| {
        let store = &store;
        async move { put(store, &format!("x{n}")).await }
    }))
    .await;
    assert!(results.iter().all(Result::is_err));
    assert!(store.counters().queue_overflows > 0);
    server.thaw();
    timeout(PATIENCE, store.wait_ready()).await.expect("reconnects");
    timeout(PATIENCE, async {
        // Polled: what was queued while the server stood still ends by itself, each at its own time.
        while put(&store, "x").await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("works again");
}

/// F6: a replica is no store, although it answers: nothing is ready, the reason says what to do, and it is not asked in a storm.
#[tokio::test]
async fn a_replica_is_not_taken_for_the_store_and_the_reason_says_what_to_do() {
    let primary = Server::start(&[]).await;
    let replica = Server::start(&["--replicaof", &format!("127.0.0.1 {}", primary.port)]).await;
    online(&primary).await;
    let store = RedisStore::connect(&replica.url(), RedisOptions::default()).expect("url");
    // Polled: why a connection failed shows in what a request is told, and the store announces no failure.
    let told = timeout(PATIENCE, async {
        loop {
            let error = put(&store, "x").await.expect_err("it takes no writes").to_string();
            if !error.contains("not connected yet") {
                break error;
            }
            tokio::task::yield_now().await;
        }
    });
    let told = told.await.expect("the reason becomes visible");
    assert!(told.contains("it is a replica and takes no writes: name the primary"), "{told}");
    for _ in 0..1000 {
        put(&store, "x").await.expect_err("it takes no writes");
    }
    assert!(!store.is_ready());
    assert!(store.counters().connects <= 1, "the connection for reads alone");
}

/// With replicas, commits that come together leave together and share one WAIT.
#[tokio::test]
async fn concurrent_commits_share_one_wait() {
    let primary = Server::start(&[]).await;
    let _replica = Server::start(&["--replicaof", &format!("127.0.0.1 {}", primary.port)]).await;
    let options = RedisOptions {
        wait_replicas: Some(1),
        wait_timeout: Duration::from_millis(100),
        lanes: 1,
        ..RedisOptions::default()
    };
    let store = connected(&primary, options).await;
    timeout(PATIENCE, async {
        // Polled: WAIT alone tells that a replica has what was written.
        while put(&store, "link").await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the replica links up");
    let waits = || async {
        let stats = primary.command(&["INFO", "commandstats"]).await.expect("info");
        let ::redis::Value::BulkString(text) = stats else { panic!("{stats:?}") };
        let text = String::from_utf8(text).expect("text");
        let line =
            text.lines().find(|line| line.starts_with("cmdstat_wait:")).expect("WAIT was used").to_owned();
        let calls = line.split(['=', ',']).nth(1).expect("calls");
        calls.parse::<u64>().expect("number")
    };
    let before = waits().await;
    let results = futures_util::future::join_all((0..200).map(|n| {
        let store = &store;
        async move { put(store, &format!("x{n}")).await }
    }))
    .await;
    assert!(results.iter().all(Result::is_ok));
    let used = waits().await - before;
    assert!((1..=4).contains(&used), "{used} WAITs for 200 commits");
}

/// F7: who says nothing about replicas waits for one as soon as Redis has one, also for one that comes later and for one that
/// has stopped since: nothing is acknowledged that only a primary has.
#[tokio::test]
async fn by_default_a_commit_waits_for_a_replica_where_there_is_one() {
    let primary = Server::start(&[]).await;
    let store = connected(&primary, RedisOptions::default()).await;
    put(&store, "alone").await.expect("there is no replica to wait for");

    let mut replica = Server::start(&["--replicaof", &format!("127.0.0.1 {}", primary.port)]).await;
    online(&primary).await;
    let early = connected(&primary, RedisOptions::default()).await;
    // A busy machine may let the replica answer late.
    let replicated = async {
        // Polled: WAIT alone tells that the replica has it.
        while put(&early, "replicated").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, replicated).await.expect("the replica has it");
    replica.freeze();
    assert_eq!(put(&early, "x").await, Err(StoreError::Unreplicated { confirmed: 0, wanted: 1 }));
    timeout(PATIENCE, async {
        // Polled: the store looks for replicas every second and announces none.
        while put(&store, "x").await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("notices the replica");
    assert_eq!(put(&store, "x").await, Err(StoreError::Unreplicated { confirmed: 0, wanted: 1 }));

    replica.kill();
    let told = timeout(PATIENCE, async {
        // Polled: the primary tells its replicas to those who ask.
        while replicas(&primary).await != 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    told.expect("the primary notices");
    assert_eq!(put(&early, "x").await, Err(StoreError::Unreplicated { confirmed: 0, wanted: 1 }));
}

/// With replicas a commit that nobody waits for any more, or that waited too long, is not sent.
#[tokio::test]
async fn what_has_waited_too_long_is_never_written() {
    let primary = Server::start(&[]).await;
    let replica = Server::start(&["--replicaof", &format!("127.0.0.1 {}", primary.port)]).await;
    online(&primary).await;
    let options = RedisOptions {
        wait_replicas: Some(1),
        wait_timeout: Duration::from_millis(400),
        response_timeout: Duration::from_millis(700),
        lanes: 1,
        ..RedisOptions::default()
    };
    let store = connected(&primary, options).await;
    assert!(
        put(&store, "given-up").now_or_never().is_none(),
        "it waits for its turn, and nobody waits for it"
    );
    put(&store, "wanted").await.expect("the replica has it");
    assert_eq!(store.get(&partition().key("given-up")).await, Ok(None));

    replica.freeze();
    let all = (0..1000).map(|n| {
        let store = &store;
        async move { (n, put(store, &format!("x{n}")).await) }
    });
    let results = futures_util::future::join_all(all).await;
    let late: Vec<_> = results
        .into_iter()
        .filter(|(_, result)| {
            result.as_ref().is_err_and(|error| error.to_string().contains("waited too long"))
        })
        .map(|(n, _)| n)
        .collect();
    assert!(!late.is_empty());
    timeout(PATIENCE, store.wait_ready()).await.expect("connects");
    for n in late {
        let found = timeout(PATIENCE, async {
            // Polled: a read may meet the connection that the server left behind; the next one has the new one.
            loop {
                if let Ok(found) = store.get(&partition().key(format!("x{n}"))).await {
                    break found;
                }
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(found.await.expect("reads work"), None, "x{n}");
    }
}

/// No key outlives what it stands for: after the load only the partition's counters remain.
#[tokio::test]
async fn nothing_is_left_behind() {
    let server = Server::start(&[]).await;
    let store = connected(&server, RedisOptions::default()).await;
    for n in 0..100 {
        let name = format!("x{n}");
        let mut batch = Batch::new(&partition());
        batch.put(&name, "v", Expect::Absent).index_add("all", &name, "v").due_add(
            "work",
            &name,
            store.now(),
            "p",
        );
        store.commit(batch).await.expect("commit");
    }
    for due in store.due_claim(&partition(), "work", Duration::from_secs(60), 1000).await.expect("claim") {
        let mut batch = Batch::new(&partition());
        batch.due_done("work", &due).index_remove("all", &due.id).delete(&due.id, Expect::Any);
        store.commit(batch).await.expect("commit");
    }
    let size = server.command(&["DBSIZE"]).await.expect("size");
    assert_eq!(size, ::redis::Value::Int(1));
}

/// Waits until a replica is in step with its primary.
pub async fn online(primary: &Server) {
    // Polled: a primary tells of its replicas when it is asked, and never by itself.
    let in_step = async { while !is_in_step(primary).await {} };
    timeout(PATIENCE, in_step).await.expect("the replica links up");
}

/// Whether a replica has told that it has all there is: it counts as online before.
async fn is_in_step(primary: &Server) -> bool {
    let info = replication(primary).await;
    let number = |text: &str, name: &str| {
        let digits = text.split_once(name)?.1.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse::<u64>().ok()
    };
    let all = number(&info, "master_repl_offset:").expect("an offset");
    info.lines()
        .filter(|line| line.contains("state=online"))
        .any(|line| number(line, "offset=") >= Some(all.max(1)))
}

/// How many replicas a primary counts as linked.
async fn replicas(primary: &Server) -> usize {
    replication(primary).await.matches("state=online").count()
}

async fn replication(primary: &Server) -> String {
    let info = primary.command(&["INFO", "replication"]).await.expect("info");
    let ::redis::Value::BulkString(text) = info else { panic!("{info:?}") };
    String::from_utf8(text).expect("text")
}

fn partition() -> Partition {
    Partition::new("things", 0)
}

async fn connected(server: &Server, options: RedisOptions) -> RedisStore {
    let store = RedisStore::connect(&server.url(), options).expect("url");
    timeout(PATIENCE, store.wait_ready()).await.expect("connects");
    store
}

async fn put(store: &RedisStore, name: &str) -> Result<u64, StoreError> {
    let mut batch = Batch::new(&partition());
    batch.put(name, "value", Expect::Any).log_append("events", "e");
    store.commit(batch).await.map(|outcome| outcome.version)
}
