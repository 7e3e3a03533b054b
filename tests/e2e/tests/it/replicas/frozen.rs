//! A replica that stands still, and goes on when others have long done its work.

use cluster_api::callcontrol::v1::call_event::Type;
use scripted_phone::{Happening, Remote};

use crate::calls::{Watch, dial, outcome};

use super::{AT_ONCE, Cluster, SOON, count, is_ended_by_peer, is_incoming};

/// F4, TPC-15: the replica that dialled is stopped while bob rings; the other one connects the two. When the first one goes on, what it
/// still had in hand changes nothing: each phone has heard everything once, and the call ends once.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_wakes_up_late_changes_nothing() {
    let cluster = Cluster::start(&[]);
    let mut alice = cluster.phone("alice", 0, AT_ONCE).await;
    let mut bob = cluster.phone("bob", 1, SOON).await;
    for _ in 0..3 {
        let id = dial(&cluster.calls[0], &[]);
        bob.wait_for("the call", is_incoming).await;
        cluster.calls[0].freeze();
        let mut watch = Watch::begin(&cluster.calls[1], &id, Some(String::new())).await;
        watch.until(Type::Connected).await;
        for phone in [&mut alice, &mut bob] {
            phone.wait_for("the call", |h| *h == Happening::Connected).await;
        }
        cluster.calls[0].thaw();
        // It answers again, and so has seen what it had in hand
        let mut again = Watch::begin(&cluster.calls[0], &id, Some(String::new())).await;
        again.until(Type::Connected).await;
        alice.act(Remote::Hangup).await;
        bob.wait_for("BYE", is_ended_by_peer).await;
        watch.until(Type::Ended).await;
        again.until(Type::Ended).await;
        for watch in [&watch, &again] {
            for (kind, times) in
                [(Type::LegDialing, 2), (Type::LegAnswered, 2), (Type::Connected, 1), (Type::Ended, 1)]
            {
                assert_eq!(count(watch, kind), times, "{kind:?}: {:#?}", watch.seen);
            }
        }
        assert_eq!(outcome(&cluster.calls[0], &id).await["ended_by"], "a");
        let rang = bob.seen().iter().filter(|h| is_incoming(h)).count();
        let calls = bob.seen().iter().filter(|h| **h == Happening::Connected).count();
        assert_eq!(rang, calls, "every call rang once: {:#?}", bob.seen());
    }
}
