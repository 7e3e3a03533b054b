//! The forms of Redis behind one URL: passwords, Sentinel, Cluster.

use std::time::Duration;

use store::{Batch, Expect, Partitions, RedisOptions, RedisStore, Store, StoreError};
use tokio::time::timeout;

use crate::server::Server;

/// Longest time that any of these tests waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_password_is_used_and_a_wrong_one_is_an_error_that_does_not_repeat_it() {
    let server = Server::start(&[]).await;
    // What the documentation of the engine names: enough, and not more.
    let rights = "on >s3cret ~carillon:* &carillon:* -@all +eval +evalsha +get +hmget +zrange +time +wait +info +publish \
                  +subscribe +ping +hello +client +exists +getrange +hget +hset +hdel +hincrby +set +del \
                  +zadd +zrem +zrangebyscore +zrangebylex +xadd +xtrim +xrange +pexpire +select";
    let mut grant = vec!["ACL", "SETUSER", "carillon"];
    grant.extend(rights.split_whitespace());
    server.command(&grant).await.expect("user");
    let url = |password: &str| format!("redis://carillon:{password}@127.0.0.1:{}", server.port);
    let store = connected(&url("s3cret"), RedisOptions::default()).await;
    everything_works(&store).await;

    let refused = RedisStore::connect(&url("wr0ng"), RedisOptions::default()).expect("url");
    let error = timeout(PATIENCE, async {
        // Polled: why a connection failed shows in what a request is told, and the store announces no failure.
        loop {
            let error = put(&refused, "x").await.expect_err("never");
            if error.to_string().contains("WRONGPASS") || error.to_string().contains("uthentication") {
                break error;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the reason becomes visible");
    assert!(!error.to_string().contains("wr0ng"), "{error}");
}

/// F6: Sentinel promotes the replica; the store follows by itself, and what was acknowledged with WAIT is there.
#[tokio::test]
async fn the_store_follows_a_failover_by_sentinel() {
    let mut primary = Server::start(&[]).await;
    let primary_port = primary.port.to_string();
    let replica = Server::start(&["--replicaof", &format!("127.0.0.1 {primary_port}")]).await;
    let monitor = format!("sentinel monitor m 127.0.0.1 {primary_port} 1");
    // Sentinel learns of replicas from the primary's INFO, which it asks for when it starts and then every 10 s.
    crate::faults::online(&primary).await;
    let sentinel = Server::start_sentinel(&[
        &monitor,
        "sentinel down-after-milliseconds m 300",
        "sentinel failover-timeout m 2000",
    ])
    .await;
    let options = RedisOptions::default();
    let store = connected(&format!("redis+sentinel://127.0.0.1:{}/m", sentinel.port), options).await;
    timeout(PATIENCE, async {
        // Polled: WAIT alone tells that a replica has what was written.
        while put(&store, "acknowledged").await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("replica links up");
    // Without knowing a replica Sentinel cannot fail over.
    timeout(PATIENCE, async {
        // Polled: Sentinel publishes +slave once, perhaps before anybody could have subscribed.
        loop {
            let known = sentinel.command(&["SENTINEL", "REPLICAS", "m"]).await.expect("sentinel answers");
            if matches!(known, ::redis::Value::Array(ref replicas) if !replicas.is_empty()) {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("sentinel sees the replica");

    primary.kill();
    // One server is left: nothing can be replicated any more, but it is read and written.
    let result = timeout(PATIENCE, async {
        // Polled: that the store has found the new primary shows when it takes a commit, and in nothing else.
        loop {
            match put(&store, "after").await {
                Err(StoreError::Unavailable { .. } | StoreError::Timeout { .. }) => {
                    tokio::task::yield_now().await;
                }
                result => break result,
            }
        }
    })
    .await
    .expect("the replica is promoted and found");
    assert_eq!(result, Err(StoreError::Unreplicated { confirmed: 0, wanted: 1 }));
    let key = partitions().of("acknowledged").key("acknowledged");
    let found = timeout(PATIENCE, async {
        // Polled: the connection for reads finds the new primary by itself, later than that for commits.
        loop {
            if let Ok(found) = store.get(&key).await {
                break found;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(found.expect("reads work").is_some(), "it was acknowledged");
    drop(replica);
}

#[tokio::test]
async fn a_cluster_serves_partitions_of_every_slot() {
    let server = Server::start(&["--cluster-enabled", "yes"]).await;
    server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await.expect("slots");
    timeout(PATIENCE, async {
        // Polled: a cluster tells nobody that all its slots are served.
        loop {
            let info = format!("{:?}", server.command(&["CLUSTER", "INFO"]).await);
            if info.contains("cluster_state:ok") {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the cluster forms");
    let url = format!("redis+cluster://127.0.0.1:{}", server.port);
    let store = connected(&url, RedisOptions { wait_replicas: Some(0), ..RedisOptions::default() }).await;
    everything_works(&store).await;
    server.command(&["SCRIPT", "FLUSH"]).await.expect("flush");
    everything_works(&store).await;

    // Without a word about replicas a cluster is expected to have them.
    let waiting = connected(&url, RedisOptions::default()).await;
    assert_eq!(put(&waiting, "x").await, Err(StoreError::Unreplicated { confirmed: 0, wanted: 1 }));
}

fn partitions() -> Partitions {
    Partitions::new("things", 16)
}

async fn connected(url: &str, options: RedisOptions) -> RedisStore {
    let store = RedisStore::connect(url, options).expect("url");
    timeout(PATIENCE, store.wait_ready()).await.expect("connects");
    store
}

async fn put(store: &RedisStore, name: &str) -> Result<u64, StoreError> {
    let mut batch = Batch::new(partitions().of(name));
    batch.put(name, "value", Expect::Any);
    store.commit(batch).await.map(|outcome| outcome.version)
}

/// One of each operation, in every partition, all at once.
async fn everything_works(store: &RedisStore) {
    let partitions = partitions();
    let all = partitions.all().iter().map(|partition| async move {
        let mut wakeups = store.watch_log(partition, "events");
        let tail = store.log_tail(partition, "events").await.expect("tail");
        let mut batch = Batch::new(partition);
        batch
            .put("x", "value", Expect::Any)
            .index_add("all", "x", "value")
            .due_add("work", "x", store.now(), "payload")
            .log_append("events", "entry");
        let outcome = store.commit(batch).await.expect("commit");
        let found = store.get(&partition.key("x")).await.expect("get").expect("present");
        assert_eq!(found.version, outcome.version);
        assert_eq!(store.index(partition, "all", None, 10).await.expect("index").entries.len(), 1);
        let next = store.due_next(partition, "work").await.expect("next");
        assert!(next.is_some_and(|next| next <= store.now()));
        let due =
            store.due_claim(partition, "work", Duration::from_secs(60), 10).await.expect("claim").remove(0);
        let entries = store.log_read(partition, "events", Some(tail), 10).await.expect("log");
        assert_eq!(entries.len(), 1);
        wakeups.recv().await;
        let mut batch = Batch::new(partition);
        batch.check("x", Expect::Version(found.version)).due_done("work", &due);
        store.commit(batch).await.expect("finish");
    });
    futures_util::future::join_all(all).await;
}
