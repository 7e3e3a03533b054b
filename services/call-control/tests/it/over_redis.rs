//! The same service over a real Redis, with a restart of Redis in the middle of calls. Reliability row F6.

use std::sync::Arc;

use call_control::Config;
use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call::State;
use store::{RedisOptions, RedisStore};
use test_support::Redis;
use tokio::time::timeout;

use crate::callbacks;
use crate::edges::World;
use crate::rig::{PATIENCE, Replica, dial_request, replica, story};

async fn connected(redis: &Redis) -> Arc<RedisStore> {
    let store = RedisStore::connect(&redis.url(), RedisOptions::default()).expect("url");
    timeout(PATIENCE, store.wait_ready()).await.expect("connects");
    Arc::new(store)
}

#[tokio::test]
async fn two_replicas_share_calls_and_events_through_redis() {
    let redis = Redis::start();
    let world = World::new(&["edge-0"]);
    let first = replica(connected(&redis).await, &world, Config::default());
    let second = replica(connected(&redis).await, &world, Config::default());
    let mut watch = second.watch(cc::WatchCallsRequest::default()).await.expect("open");
    let start = watch.event().await.cursor;
    let calls = futures_util::future::join_all((0..10).map(|_| async {
        let call = first.dial(dial_request("alice", "bob")).await.expect("committed");
        second.wait_for(&call.call_id, State::Answered).await;
        second.hangup("", &call.call_id).await.expect("hung up");
        first.wait_for(&call.call_id, State::Ended).await;
        call.call_id
    }))
    .await;
    let read = |mut watch: crate::rig::Watch| async move {
        let mut events = Vec::new();
        let mut ended = 0;
        while ended < 10 {
            let event = watch.event().await;
            ended += usize::from(event.r#type() == cc::call_event::Type::Ended);
            events.push(event);
        }
        events
    };
    let seen = read(watch).await;
    let resumed =
        first.watch(cc::WatchCallsRequest { after_cursor: Some(start), ..Default::default() }).await;
    let again = read(resumed.expect("resumed")).await;
    for call in &calls {
        let of_call = |events: &[cc::CallEvent]| {
            story(&events.iter().filter(|event| event.call_id == *call).cloned().collect::<Vec<_>>())
        };
        assert_eq!(of_call(&seen), of_call(&again));
        assert_eq!(of_call(&seen).first().map(String::as_str), Some("CREATED"));
        assert_eq!(of_call(&seen).last().map(String::as_str), Some("ENDED"));
    }
}

/// Dials until it is committed: a busy disk may keep Redis from answering in time.
async fn dialled(replica: &Replica, from: &str) -> String {
    let request = || cc::DialRequest { request_id: from.into(), ..dial_request(from, "bob") };
    let committed = async {
        loop {
            if let Ok(call) = replica.dial(request()).await {
                return call.call_id;
            }
        }
    };
    timeout(PATIENCE, committed).await.expect("committed")
}

#[tokio::test]
async fn calls_outlive_a_restart_of_redis() {
    let mut redis = Redis::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let world = World::new(&["edge-0"]);
    let replica = replica(connected(&redis).await, &world, Config::default());
    let up = dialled(&replica, "alice").await;
    replica.wait_for(&up, State::Answered).await;
    let ringing = dialled(&replica, "ring").await;
    replica.wait_for(&ringing, State::Ringing).await;
    redis.kill();
    let status = replica.dial(dial_request("alice", "bob")).await.expect_err("nothing can be committed");
    assert_eq!(status.code(), tonic::Code::Unavailable);
    redis.restart();
    for call in [&up, &ringing] {
        timeout(PATIENCE, async { while replica.hangup("", call).await.is_err() {} })
            .await
            .expect("works again");
        replica.wait_for(call, State::Ended).await;
    }
}

/// LAD-6, F4, F6: a callback is kept by Redis through a restart of it, and goes on with another replica.
#[tokio::test]
async fn a_callback_outlives_its_replica_and_a_restart_of_redis() {
    let mut redis = Redis::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let world = World::new(&["edge-0"]);
    callbacks::phone(&world, 200, 200);
    let first = replica(connected(&redis).await, &world, Config::default());
    let wish =
        || cc::RequestCallbackRequest { request_id: "wish".into(), ..callbacks::wanted("alice", "bob") };
    let made = async {
        loop {
            if let Ok(callback) = callbacks::request(&first, wish()).await {
                return callback.callback_id;
            }
        }
    };
    let id = timeout(PATIENCE, made).await.expect("committed");
    first.kill(&world, 0).await;
    redis.kill();
    redis.restart();
    let second = replica(connected(&redis).await, &world, Config::default());
    assert_eq!(callbacks::tell(&world, &second, 1, &["x"]).await, 200);
    assert_eq!(callbacks::tell(&world, &second, 2, &[]).await, 200);
    let done = callbacks::until(&second, &id, cc::callback::State::Done).await;
    assert_eq!(done.attempts_left, 2);
    assert_eq!(second.get(&done.call_id).await.expect("its call").kind(), cc::call::Kind::Callback);
}
