//! What Carillon does while Redis is away, or has too few replicas.

use scripted_phone::{Happening, Remote, Script};
use test_support::{Carillon, Redis, Starting, TestPhone, http_get};

/// F6: without Redis at the start the process says so, is not ready, and is once Redis is there.
#[test]
fn a_start_without_redis_waits_for_it_and_says_so() {
    let mut redis = Redis::start();
    redis.kill();
    let starting = Starting::with(&["--redis", &redis.url()], &[]);
    let line = starting.log.wait_for("its admin address", |l| l.contains("admin HTTP at "));
    let admin = line.rsplit(' ').next().unwrap().to_string();
    starting.log.wait_for("a word about Redis", |l| l.contains("waiting for Redis"));
    let (status, why) = http_get(&admin, "/readyz");
    assert_eq!(status, 503, "{why}");
    assert_eq!(http_get(&admin, "/livez").0, 200);
    assert!(!starting.is_ready());
    redis.restart();
    let _carillon = starting.ready();
    assert_eq!(http_get(&admin, "/readyz").0, 200);
}

/// F7: a registration that too few replicas have is not answered 200; that Redis has one need not be said.
#[tokio::test(flavor = "multi_thread")]
async fn a_registration_waits_for_the_replica_and_is_refused_while_it_is_frozen() {
    let redis = Redis::start();
    let replica = redis.replica();
    redis.wait_for_replica();
    let carillon = Carillon::serve(&["--redis", &redis.url()]);
    for aor in ["sip:alice@localhost", "sip:bob@localhost"] {
        carillon.account(aor, "secret");
    }
    let _alice =
        TestPhone::registered(&carillon.sip, "sip:alice@localhost", "secret", Script::default()).await;
    replica.freeze();
    let mut bob = TestPhone::new(&carillon.sip, "sip:bob@localhost", "secret", Script::default()).await;
    bob.act(Remote::Register).await;
    let answer = bob
        .wait_for("an answer", |h| matches!(h, Happening::RegisterFailed { .. } | Happening::Registered(_)))
        .await;
    assert!(matches!(answer, Happening::RegisterFailed { status: 503, .. }), "{answer:?}");
    replica.thaw();
    // The replica catches up by itself: a try takes as long as the server waits for it, a tenth of a second.
    for tries in 0.. {
        assert!(tries < 300, "the replica has not caught up: {:?}", bob.seen());
        bob.act(Remote::Register).await;
        let answer = bob
            .wait_for("an answer", |h| {
                matches!(h, Happening::RegisterFailed { .. } | Happening::Registered(_))
            })
            .await;
        if matches!(answer, Happening::Registered(_)) {
            break;
        }
    }
}
