//! What happens to the processes of a run: one of them dies, stops, or loses its links or its store, and recovers.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;

use crate::chance::Chance;
use crate::cluster::{Cluster, EDGES, REGISTRARS, REPLICAS};
use crate::trouble::Trouble;

/// A kind of disturbance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A replica of call-control dies and comes back; now and then all are dead for a while.
    ReplicaDies,
    /// A replica of call-control is stopped and goes on where it was, later than its leases.
    ReplicaStops,
    /// The links between a replica of call-control and the edges are broken for a while.
    ReplicaIsCutOff,
    /// The store does not answer a replica of call-control for a while.
    StoreIsAway,
    /// A replica of the registrar dies and comes back.
    RegistrarDies,
    /// The store does not answer a replica of the registrar for a while.
    RegistrarWithoutStore,
    /// An edge dies and comes back as another life of it.
    EdgeDies,
}

const KINDS: [Kind; 10] = [
    Kind::ReplicaDies,
    Kind::ReplicaDies,
    Kind::ReplicaDies,
    Kind::ReplicaDies,
    Kind::ReplicaStops,
    Kind::ReplicaIsCutOff,
    Kind::StoreIsAway,
    Kind::RegistrarDies,
    Kind::RegistrarWithoutStore,
    Kind::EdgeDies,
];

/// How often each kind happened.
pub type Counts = Mutex<BTreeMap<Kind, usize>>;

/// Disturbs without end.
pub async fn disturb(cluster: &Cluster, mut chance: Chance, counts: &Counts) {
    loop {
        sleep(Duration::from_millis(chance.below(8_000))).await;
        let kind = chance.one_of(&KINDS);
        *counts.lock().entry(kind).or_default() += 1;
        let long = Duration::from_millis(chance.between(200, 6_000));
        cluster.trace.note(format_args!("{kind:?} for {} ms", long.as_millis()));
        match kind {
            Kind::ReplicaDies => {
                let dies = chance.below(REPLICAS as u64) as usize;
                let all = chance.percent(25);
                let dying: Vec<usize> = (0..REPLICAS).filter(|place| all || *place == dies).collect();
                for place in &dying {
                    cluster.kill_replica(*place).await;
                }
                sleep(long).await;
                dying.into_iter().for_each(|place| cluster.start_replica(place));
            }
            Kind::ReplicaStops => with_replica(cluster, &mut chance, Trouble::freeze, long).await,
            Kind::ReplicaIsCutOff => with_replica(cluster, &mut chance, Trouble::cut, long).await,
            Kind::StoreIsAway => with_replica(cluster, &mut chance, Trouble::take_store, long).await,
            Kind::RegistrarDies => {
                let place = chance.below(REGISTRARS as u64) as usize;
                cluster.kill_registrar(place).await;
                sleep(long).await;
                cluster.start_registrar(place);
            }
            Kind::RegistrarWithoutStore => {
                let replica = cluster.registrars.at(chance.below(REGISTRARS as u64) as usize);
                if let Some(replica) = replica {
                    replica.trouble.take_store(true);
                    sleep(long).await;
                    replica.trouble.take_store(false);
                }
            }
            Kind::EdgeDies => {
                let place = chance.below(EDGES as u64) as usize;
                cluster.kill_edge(place).await;
                sleep(long).await;
                cluster.start_edge(place).await;
            }
        }
    }
}

async fn with_replica(
    cluster: &Cluster,
    chance: &mut Chance,
    trouble: impl Fn(&Trouble, bool),
    long: Duration,
) {
    let Some(replica) = cluster.replicas.at(chance.below(REPLICAS as u64) as usize) else { return };
    trouble(&replica.trouble, true);
    sleep(long).await;
    trouble(&replica.trouble, false);
}

/// Makes everything whole.
pub async fn recover(cluster: &Cluster) {
    for place in 0..REPLICAS {
        match cluster.replicas.at(place) {
            Some(replica) => {
                replica.trouble.freeze(false);
                replica.trouble.cut(false);
                replica.trouble.take_store(false);
            }
            None => cluster.start_replica(place),
        }
    }
    for place in 0..REGISTRARS {
        match cluster.registrars.at(place) {
            Some(replica) => replica.trouble.take_store(false),
            None => cluster.start_registrar(place),
        }
    }
    for place in 0..EDGES {
        if !cluster.has_edge(place) {
            cluster.start_edge(place).await;
        }
    }
}
