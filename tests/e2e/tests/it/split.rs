//! The roles as processes of their own, with Redis and gRPC between them.

use cluster_api::callcontrol::v1::call_event;
use scripted_phone::{Happening, Remote, Script};
use test_support::{Carillon, Redis, TestPhone};

use crate::calls::{Watch, dial, hang_up, outcome};

/// The four roles, two of the edge and of call-control.
struct Cluster {
    redis: Redis,
    registrar: Carillon,
    call_control: Vec<Carillon>,
    edges: Vec<Carillon>,
}

impl Cluster {
    fn start() -> Self {
        let redis = Redis::start();
        let url = redis.url();
        let registrar = Carillon::serve(&["--roles", "registrar", "--redis", &url, "--id", "registrar-1"]);
        let at = format!("registrar={}", registrar.api);
        let call_control: Vec<Carillon> = (1..=2)
            .map(|n| {
                let id = format!("call-control-{n}");
                Carillon::serve(&["--roles", "call-control", "--redis", &url, "--id", &id, "--peers", &at])
            })
            .collect();
        let engines: Vec<String> = call_control.iter().map(|c| format!("call-control={}", c.api)).collect();
        let edges = (1..=2)
            .map(|n| {
                let id = format!("edge-{n}");
                let peers = ["--peers", &at, "--peers", &engines[0], "--peers", &engines[1]];
                let mut arguments = vec!["--roles", "edge", "--id", &id];
                arguments.extend(peers);
                Carillon::serve(&arguments)
            })
            .collect();
        Self { redis, registrar, call_control, edges }
    }

    async fn phone(&self, name: &str, edge: usize, script: Script) -> TestPhone {
        let aor = format!("sip:{name}@localhost");
        self.registrar.account(&aor, "secret");
        TestPhone::registered(&self.edges[edge].sip, &aor, "secret", script).await
    }
}

/// TPC-01, AUT-09, OBD-07: phones on different edges, dialled through either call-control replica.
#[tokio::test]
async fn separate_processes_dial_two_phones_on_different_edges() {
    let cluster = Cluster::start();
    let mut alice = cluster.phone("alice", 0, Script::default()).await;
    let mut bob = cluster.phone("bob", 1, Script::default()).await;
    for replica in &cluster.call_control {
        let dialled = replica.command(&["dial", "sip:alice@localhost", "sip:bob@localhost"]);
        assert!(dialled.status.success(), "{}", String::from_utf8_lossy(&dialled.stderr));
        alice.wait_for("the call", |h| *h == Happening::Connected).await;
        bob.wait_for("the call", |h| *h == Happening::Connected).await;
        alice.act(Remote::Hangup).await;
        bob.wait_for("the end", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
        alice.wait_for("the end", |h| matches!(h, Happening::Ended { .. })).await;
    }
}

/// TPC-15, F4: the replica that took the Dial dies while the second phone rings; the other one finishes the call.
#[tokio::test]
async fn a_call_outlives_the_call_control_replica_that_took_it() {
    let mut cluster = Cluster::start();
    let mut alice = cluster.phone("alice", 0, Script::default()).await;
    let slow = Script { answer: scripted_phone::Answer::Never, ..Script::default() };
    let mut bob = cluster.phone("bob", 1, slow).await;
    let id = dial(&cluster.call_control[0], &[]);
    bob.wait_for("the call", |h| matches!(h, Happening::Incoming { .. })).await;
    cluster.call_control[0].kill();
    // Whatever the dead replica had left to do, the other one ends the call and both phones hear of it.
    hang_up(&cluster.call_control[1], &id);
    bob.wait_for("CANCEL", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
    alice.wait_for("BYE", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
}

/// TPC-15, F4: the same, and the second phone answers: the other replica connects the two.
#[tokio::test]
async fn a_call_whose_replica_dies_while_it_rings_is_connected_by_the_other() {
    let mut cluster = Cluster::start();
    let mut alice = cluster.phone("alice", 0, Script::default()).await;
    let answer = scripted_phone::Answer::After(std::time::Duration::from_secs(1));
    let mut bob = cluster.phone("bob", 1, Script { answer, ..Script::default() }).await;
    let id = dial(&cluster.call_control[0], &[]);
    bob.wait_for("the call", |h| matches!(h, Happening::Incoming { .. })).await;
    cluster.call_control[0].kill();
    bob.wait_for("the ACK", |h| *h == Happening::Connected).await;
    hang_up(&cluster.call_control[1], &id);
    for phone in [&mut alice, &mut bob] {
        phone.wait_for("BYE", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
    }
    assert_eq!(outcome(&cluster.call_control[1], &id).await["kind"], "COMPLETED");
}

/// F6, REG-10: Redis dies and comes back; a phone hears 500 meanwhile, and registrations are as they were.
#[tokio::test]
async fn the_cluster_recovers_when_redis_comes_back() {
    let mut cluster = Cluster::start();
    let alice = cluster.phone("alice", 0, Script::default()).await;
    cluster.redis.kill();
    let reads = |line: &str, what: &str| line.contains(what) && line.contains("link=reads");
    cluster.registrar.log.wait_for("the loss of Redis", |l| reads(l, "lost the connection to Redis"));
    let mut bob =
        TestPhone::new(&cluster.edges[0].sip, "sip:bob@localhost", "secret", Script::default()).await;
    bob.act(Remote::Register).await;
    let refused = bob.wait_for("a refusal", |h| matches!(h, Happening::RegisterFailed { .. })).await;
    assert!(matches!(refused, Happening::RegisterFailed { status: 500, .. }), "{refused:?}");
    cluster.redis.restart();
    // The service finds Redis again by itself, and says so.
    cluster.registrar.log.wait_for("Redis again", |l| reads(l, "connected to Redis"));
    let listed = cluster.registrar.command(&["bindings", "sip:alice@localhost", "--json"]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains(&alice.address.to_string()), "{listed}");
}

/// F1: the edge of the second phone dies while it rings; the call ends clearly for the first phone and the watcher.
#[tokio::test]
async fn a_call_whose_edge_dies_while_it_rings_ends_clearly() {
    let mut cluster = Cluster::start();
    let mut alice = cluster.phone("alice", 0, Script::default()).await;
    let never = Script { answer: scripted_phone::Answer::Never, ..Script::default() };
    let mut bob = cluster.phone("bob", 1, never).await;
    let id = dial(&cluster.call_control[0], &[]);
    bob.wait_for("the call", |h| matches!(h, Happening::Incoming { .. })).await;
    let shown = cluster.call_control[0].command(&["call", "show", &id, "--json"]);
    let call: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let edge = call["legs"][1]["edge_id"].as_str().unwrap();
    let dies = if edge == "edge-1" { 0 } else { 1 };
    cluster.edges[dies].kill();
    let outcome = outcome(&cluster.call_control[1], &id).await;
    let found = (&outcome["kind"], &outcome["sip_status"], &outcome["ended_by"]);
    assert_eq!(found, (&"FAILED".into(), &503.into(), &"carillon".into()), "{edge}: {outcome}");
    // UDP phones are reached over the other edge.
    alice.wait_for("BYE", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
    bob.wait_for("BYE", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
}

/// F4: a watch begun on one replica goes on at the other, with nothing lost and nothing twice.
#[tokio::test]
async fn a_watch_goes_on_at_another_replica_where_it_was() {
    let mut cluster = Cluster::start();
    let alice = cluster.phone("alice", 0, Script::default()).await;
    let never = Script { answer: scripted_phone::Answer::Never, ..Script::default() };
    let mut bob = cluster.phone("bob", 1, never).await;
    let id = dial(&cluster.call_control[0], &[]);
    let mut watch = Watch::begin(&cluster.call_control[0], &id, None).await;
    // Alice takes half a second to answer; whoever is later still sees her answer after a snapshot.
    watch.until(call_event::Type::LegAnswered).await;
    let cursor = watch.seen.last().map(|e| e.cursor.clone());
    drop(watch);
    cluster.call_control[0].kill();
    bob.wait_for("the call", |h| matches!(h, Happening::Incoming { .. })).await;
    alice.act(Remote::Hangup).await;
    let mut resumed = Watch::begin(&cluster.call_control[1], &id, cursor).await;
    resumed.until(call_event::Type::Ended).await;
    let kinds: Vec<_> = resumed.seen.iter().map(|e| e.r#type()).collect();
    assert!(!kinds.contains(&call_event::Type::Snapshot), "{kinds:?}");
    assert!(!kinds.contains(&call_event::Type::LegAnswered), "{kinds:?}");
    assert!(kinds.contains(&call_event::Type::LegDialing), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|k| **k == call_event::Type::Ended).count(), 1, "{kinds:?}");
}
