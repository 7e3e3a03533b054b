//! Announcements and music on hold, while the replica that was asked for them dies.

use cluster_api::callcontrol::v1::call_event::Type;
use cluster_api::callcontrol::v1::{HoldRequest, UnholdRequest};
use scripted_phone::Remote;

use crate::calls::{Watch, dial, hang_up};
use crate::media::{MediaServer, play_request};

use super::{AT_ONCE, Cluster, count, is_ended_by_peer, until};

/// TPC-14, TPC-15, SCN-21, F4: the replica that was asked dies when bob is on hold, when the server is called, while it plays, and when it has
/// played: the other one finishes it, everything happens once, and the two talk again.
#[tokio::test(flavor = "multi_thread")]
async fn an_announcement_goes_on_though_the_replica_that_was_asked_dies() {
    let mut cluster = Cluster::start(&[]);
    let mut alice = cluster.phone("alice", 0, AT_ONCE).await;
    let bob = cluster.phone("bob", 1, AT_ONCE).await;
    let server = MediaServer::facing(&cluster.edges[1]);
    for point in [Type::Held, Type::LegDialing, Type::PlayStarted, Type::PlayEnded] {
        let id = dial(&cluster.calls[0], &[]);
        let mut watch = Watch::begin(&cluster.calls[1], &id, Some(String::new())).await;
        watch.until(Type::Connected).await;
        let request = play_request(&format!("play-{id}"), &id, "a", Some(server.uri()));
        cluster.api(0).await.play_announcement(request).await.expect("they talk");
        if point == Type::Held {
            until(&mut watch, point, "b").await;
            cluster.calls[0].kill();
        }
        let invite = server.wire.receive_request("INVITE");
        if point == Type::LegDialing {
            until(&mut watch, point, "c").await;
            cluster.calls[0].kill();
        }
        server.play(&invite);
        until(&mut watch, Type::PlayStarted, "a").await;
        if point == Type::PlayStarted {
            cluster.calls[0].kill();
        }
        server.hang_up(&invite);
        until(&mut watch, Type::PlayEnded, "a").await;
        if point == Type::PlayEnded {
            cluster.calls[0].kill();
        }
        watch.until(Type::Unheld).await;
        bob.act(Remote::Hangup).await;
        alice.wait_for("BYE", is_ended_by_peer).await;
        watch.until(Type::Ended).await;
        for once in [Type::Held, Type::PlayStarted, Type::PlayEnded, Type::Unheld, Type::Ended] {
            assert_eq!(count(&watch, once), 1, "{point:?}: {:#?}", watch.seen);
        }
        assert_eq!(count(&watch, Type::LegEnded), 3, "{point:?}: {:#?}", watch.seen);
        cluster.calls[0].restart();
    }
}

/// SCN-14, TPC-15, F4: bob hears music on hold; both replicas die, and are started again: Unhold brings the two together.
#[tokio::test(flavor = "multi_thread")]
async fn music_on_hold_outlives_every_replica() {
    let mut cluster = Cluster::start(&[]);
    let _alice = cluster.phone("alice", 0, AT_ONCE).await;
    let _bob = cluster.phone("bob", 1, AT_ONCE).await;
    let server = MediaServer::facing(&cluster.edges[0]);
    let id = dial(&cluster.calls[0], &[]);
    let mut watch = Watch::begin(&cluster.calls[0], &id, Some(String::new())).await;
    watch.until(Type::Connected).await;
    let music = Some(format!("sip:music@{}", server.wire.address()));
    let leg_id = Some("b".to_owned());
    let request = HoldRequest { request_id: "hold".into(), call_id: id.clone(), leg_id, music };
    cluster.api(0).await.hold(request).await.expect("they talk");
    let invite = server.wire.receive_request("INVITE");
    cluster.restart_call_control();
    server.play(&invite);
    let mut watch = Watch::begin(&cluster.calls[1], &id, Some(String::new())).await;
    until(&mut watch, Type::PlayStarted, "b").await;
    cluster.restart_call_control();
    let mut watch = Watch::begin(&cluster.calls[1], &id, Some(String::new())).await;
    let request = UnholdRequest { request_id: "unhold".into(), call_id: id.clone(), leg_id: None };
    cluster.api(1).await.unhold(request).await.expect("the call is on hold");
    server.is_hung_up_on();
    watch.until(Type::Unheld).await;
    hang_up(&cluster.calls[1], &id);
    watch.until(Type::Ended).await;
    for once in [Type::PlayStarted, Type::PlayEnded, Type::Unheld, Type::Ended] {
        assert_eq!(count(&watch, once), 1, "{:#?}", watch.seen);
    }
}
