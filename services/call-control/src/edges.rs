//! The edges as call-control sees them: who is alive, and a way to hand each of them an effect.

use std::sync::Arc;

use async_trait::async_trait;
use cluster_api::edge::v1::{
    CancelProxiedRequest, CancelProxiedResponse, CarryRequest, CarryResponse, ExchangeRequest,
    ExchangeResponse,
};
pub use cluster_rpc::membership::Listed;
use cluster_rpc::membership::View;
use cluster_rpc::{EDGE_ROLE, LegsLink, Membership, RequestsLink};
use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::Status;

/// One life of an edge.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EdgeLife {
    /// The edge.
    pub id: String,
    /// Its boot epoch.
    pub epoch: u64,
}

/// A living edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivingEdge {
    /// Which.
    pub life: EdgeLife,
    /// It takes nothing new.
    pub draining: bool,
    /// 0 idle .. 1000 at its limit.
    pub load: u32,
}

/// The member list, at one time.
#[derive(Clone, Debug)]
pub struct EdgeView {
    /// The living.
    pub edges: Vec<LivingEdge>,
    /// When the list was made, when it is a complete answer of the membership. `None` when it is only a guess (nobody answered
    /// yet, or not the last time): then absence proves nothing.
    pub listed: Option<Listed>,
}

impl EdgeView {
    /// Whether this life is in the list.
    pub fn has(&self, life: &EdgeLife) -> bool {
        self.edges.iter().any(|edge| edge.life == *life)
    }

    /// Whether a later life of the same edge is in the list: then this one is over, whatever else is known.
    pub fn has_successor(&self, life: &EdgeLife) -> bool {
        self.edges.iter().any(|edge| edge.life.id == life.id && edge.life.epoch > life.epoch)
    }

    fn of(view: &View) -> EdgeView {
        let edges = view.of_role(EDGE_ROLE).map(|member| LivingEdge {
            life: EdgeLife { id: member.id.clone(), epoch: member.epoch },
            draining: member.draining,
            load: member.load,
        });
        EdgeView { edges: edges.collect(), listed: view.listed.filter(|_| view.current) }
    }

    /// The edges for new work: those that do not drain and are below 90 % of their load; all of them when there is no such.
    pub fn open(&self) -> impl Iterator<Item = &EdgeLife> {
        let is_open = |edge: &LivingEdge| !edge.draining && edge.load < 900;
        let any_open = self.edges.iter().any(is_open);
        self.edges.iter().filter(move |edge| !any_open || is_open(edge)).map(|edge| &edge.life)
    }

    /// The edge for something new of this call: always the same one while the list stays, spread over the edges by
    /// rendezvous hashing.
    pub fn choose(&self, call_id: &str) -> Option<&EdgeLife> {
        self.open().max_by_key(|edge| weight(call_id, &edge.id))
    }
}

/// FNV-1a over both names.
fn weight(call_id: &str, edge_id: &str) -> u64 {
    let octets = call_id.bytes().chain([0]).chain(edge_id.bytes());
    let hash = octets.fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    // Mixed, so that ids that differ in their last octet only do not rank alike.
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

/// The way to the edges.
#[async_trait]
pub trait Edges: Send + Sync + 'static {
    /// Who is alive, as far as known now. Cheap.
    fn view(&self) -> Arc<EdgeView>;

    /// Returns when the list has changed since it was called; may return without a change.
    async fn changed(&self);

    /// Has the list made anew at once: something is to be done and nobody is known who could. Cheap.
    fn look_again(&self) {}

    /// Hands one effect to this edge.
    ///
    /// # Errors
    /// What the edge or the way to it answered. `NOT_FOUND`, `FAILED_PRECONDITION` and `INVALID_ARGUMENT` mean that this edge will
    /// never take it.
    async fn carry(&self, edge: &EdgeLife, request: CarryRequest) -> Result<CarryResponse, Status>;

    /// Sends one request by this edge and waits for how it ended.
    ///
    /// # Errors
    /// What the edge or the way to it answered.
    async fn exchange(&self, edge: &EdgeLife, request: ExchangeRequest) -> Result<ExchangeResponse, Status>;

    /// Ends an INVITE that this edge is proxying.
    ///
    /// # Errors
    /// What the edge or the way to it answered; `NOT_FOUND` when it waits there no more.
    async fn cancel_proxied(
        &self,
        edge: &EdgeLife,
        request: CancelProxiedRequest,
    ) -> Result<CancelProxiedResponse, Status>;
}

/// Edges as the membership names them, reached over the links between services.
pub struct LinkedEdges {
    link: LegsLink,
    requests: RequestsLink,
    view: watch::Receiver<View>,
    /// What was made of the list when it was looked at last, and what tells that there is another one since.
    known: Mutex<(watch::Receiver<View>, Arc<EdgeView>)>,
    membership: Option<Membership>,
}

impl LinkedEdges {
    /// The edges of this member list.
    pub fn new(link: LegsLink, requests: RequestsLink, view: watch::Receiver<View>) -> LinkedEdges {
        let mut latest = view.clone();
        let known = Arc::new(EdgeView::of(&latest.borrow_and_update()));
        LinkedEdges { link, requests, view, known: Mutex::new((latest, known)), membership: None }
    }

    /// The edges in the member list of this membership, which is asked for a new list when no edge is in it.
    pub fn of_membership(link: LegsLink, requests: RequestsLink, membership: Membership) -> LinkedEdges {
        LinkedEdges {
            membership: Some(membership.clone()),
            ..LinkedEdges::new(link, requests, membership.watch())
        }
    }
}

#[async_trait]
impl Edges for LinkedEdges {
    fn view(&self) -> Arc<EdgeView> {
        let (latest, known) = &mut *self.known.lock();
        // An error: the lease was given up, and the last list may be one that was never looked at.
        if !matches!(latest.has_changed(), Ok(false)) {
            *known = Arc::new(EdgeView::of(&latest.borrow_and_update()));
        }
        Arc::clone(known)
    }

    async fn changed(&self) {
        let mut view = self.view.clone();
        view.mark_unchanged();
        if view.changed().await.is_err() {
            // The lease was given up: there will be no further list.
            std::future::pending().await
        }
    }

    fn look_again(&self) {
        if let Some(membership) = &self.membership {
            membership.renew_now();
        }
    }

    async fn carry(&self, edge: &EdgeLife, request: CarryRequest) -> Result<CarryResponse, Status> {
        self.link.carry(Some(&edge.id), request).await
    }

    async fn exchange(&self, edge: &EdgeLife, request: ExchangeRequest) -> Result<ExchangeResponse, Status> {
        self.requests.exchange(Some(&edge.id), request).await
    }

    async fn cancel_proxied(
        &self,
        edge: &EdgeLife,
        request: CancelProxiedRequest,
    ) -> Result<CancelProxiedResponse, Status> {
        self.requests.cancel_proxied(Some(&edge.id), request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(edges: &[(&str, u64, bool)]) -> EdgeView {
        let living = |&(id, epoch, draining): &(&str, u64, bool)| LivingEdge {
            life: EdgeLife { id: id.to_owned(), epoch },
            draining,
            load: 0,
        };
        EdgeView { edges: edges.iter().map(living).collect(), listed: None }
    }

    #[test]
    fn calls_spread_over_the_edges_and_a_call_stays_with_its_edge() {
        let three = view(&[("edge-0", 1, false), ("edge-1", 1, false), ("edge-2", 1, false)]);
        let two = view(&[("edge-0", 1, false), ("edge-1", 1, false)]);
        let mut count = [0; 3];
        for n in 0..3000 {
            let call = format!("call-{n}");
            let chosen = three.choose(&call).expect("one of three").id.clone();
            count[usize::from(chosen.as_bytes()[5] - b'0')] += 1;
            if chosen != "edge-2" {
                assert_eq!(
                    two.choose(&call).expect("one of two").id,
                    chosen,
                    "only calls of a lost edge move"
                );
            }
        }
        assert!(count.iter().all(|n| (800..1200).contains(n)), "{count:?}");
    }

    #[test]
    fn a_draining_edge_is_the_last_resort() {
        let edges = view(&[("edge-0", 1, true), ("edge-1", 1, false)]);
        assert!((0..50).all(|n| edges.choose(&n.to_string()).is_some_and(|edge| edge.id == "edge-1")));
        assert!(view(&[("edge-0", 1, true)]).choose("x").is_some());
        assert_eq!(view(&[]).choose("x"), None);
    }

    #[test]
    fn a_later_life_ends_the_earlier() {
        let edges = view(&[("edge-0", 7, false)]);
        assert!(edges.has_successor(&EdgeLife { id: "edge-0".into(), epoch: 6 }));
        assert!(!edges.has_successor(&EdgeLife { id: "edge-0".into(), epoch: 7 }));
        assert!(!edges.has(&EdgeLife { id: "edge-0".into(), epoch: 6 }));
    }
}
