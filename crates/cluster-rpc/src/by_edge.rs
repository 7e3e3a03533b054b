//! Links to edges, where it matters which one: an edge alone holds its connections.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ambient::Entropy;
use cluster_api::{
    cluster::v1::Member,
    edge::v1::{
        CancelProxiedRequest, CancelProxiedResponse, CarryRequest, CarryResponse, DrainEdgeRequest, Edge,
        ExchangeRequest, ExchangeResponse, UndrainEdgeRequest, edges_client::EdgesClient,
        edges_server::Edges, legs_client::LegsClient, legs_server::Legs, requests_client::RequestsClient,
        requests_server::Requests,
    },
    trace::v1::{
        LadderStep, ReadCaptureRequest, ReadCaptureResponse, capture_client::CaptureClient,
        capture_server::Capture,
    },
};
use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::{Request, Status, codegen::BoxStream};

use crate::{
    Envelope,
    links::{IN_PROCESS, in_process},
    membership::View,
    reason::Reason,
    remote::{Address, CallKind, Replicas, Wiring},
    status::Refusal,
};

/// Longest time of an exchange: a transaction of the edge ends within 64*T1 (RFC 3261 17.1.2.2), with a little to spare.
const EXCHANGE: Duration = Duration::from_secs(35);

/// Role of edges in the membership.
pub const EDGE_ROLE: &str = "edge";

/// The living edges and connections to them. Clones are the same.
#[derive(Clone)]
pub struct EdgeDirectory {
    inner: Arc<Inner>,
}

struct Inner {
    view: watch::Receiver<View>,
    wiring: Wiring,
    /// By edge id; an edge that comes back under another address gets a new connection.
    connections: Mutex<HashMap<String, (String, Replicas)>>,
}

impl EdgeDirectory {
    /// The edges of a membership.
    pub fn new(view: watch::Receiver<View>, wiring: Wiring) -> Self {
        Self { inner: Arc::new(Inner { view, wiring, connections: Mutex::default() }) }
    }

    /// The living edges, by id.
    pub fn edges(&self) -> Vec<Member> {
        self.inner.view.borrow().of_role(EDGE_ROLE).cloned().collect()
    }

    /// The connection to one edge.
    ///
    /// # Errors
    /// `EDGE_NOT_FOUND` when it is not alive, `EDGE_UNREACHABLE` when it has no usable address.
    pub fn edge(&self, edge_id: &str) -> Result<Replicas, Status> {
        let view = self.inner.view.borrow();
        let Some(member) = view.find(EDGE_ROLE, edge_id) else {
            return Err(Refusal::new(Reason::EdgeNotFound, format!("no edge {edge_id} is alive")).into());
        };
        let mut connections = self.inner.connections.lock();
        if let Some((url, connection)) = connections.get(edge_id)
            && *url == member.grpc
        {
            return Ok(connection.clone());
        }
        let connected = member.grpc.parse::<Address>();
        let connected = connected.and_then(|address| Replicas::new("edge", &[address], &self.inner.wiring));
        let connection = connected.map_err(|error| {
            Status::from(Refusal::new(Reason::EdgeUnreachable, format!("edge {edge_id}: {error}")))
        })?;
        connections.retain(|id, _| view.find(EDGE_ROLE, id).is_some());
        connections.insert(edge_id.to_owned(), (member.grpc.clone(), connection.clone()));
        Ok(connection)
    }

    /// An edge for new work: of two drawn that do not drain, the one with less load.
    fn any(&self) -> Option<String> {
        let view = self.inner.view.borrow();
        let open: Vec<&Member> = view.of_role(EDGE_ROLE).filter(|edge| !edge.draining).collect();
        let draw = |count: usize| self.inner.wiring.entropy.below(count as u64) as usize;
        let chosen = match open.len() {
            0 => return None,
            1 => open[0],
            count => {
                let first = draw(count);
                let second = (first + 1 + draw(count - 1)) % count;
                if open[second].load < open[first].load { open[second] } else { open[first] }
            }
        };
        Some(chosen.id.clone())
    }
}

/// A service of edges: that of this process, if it is an edge itself, and those of all others.
struct ByEdge<S: ?Sized> {
    local: Option<(String, Arc<S>)>,
    directory: Option<EdgeDirectory>,
}

enum Target<S: ?Sized> {
    Local(Arc<S>),
    Remote(Replicas),
}

impl<S: ?Sized> ByEdge<S> {
    fn target(&self, edge_id: Option<&str>) -> Result<Target<S>, Status> {
        if let Some((id, service)) = &self.local
            && edge_id.is_none_or(|wanted| wanted == id)
        {
            return Ok(Target::Local(service.clone()));
        }
        let any = || self.directory.as_ref().and_then(EdgeDirectory::any);
        match (edge_id.map(str::to_owned).or_else(any), &self.directory) {
            (Some(id), Some(directory)) => directory.edge(&id).map(Target::Remote),
            (Some(id), None) => {
                Err(Refusal::new(Reason::EdgeNotFound, format!("no edge {id} is alive")).into())
            }
            (None, _) => Err(Refusal::new(Reason::EdgeUnreachable, "no edge takes new work").into()),
        }
    }
}

impl<S: ?Sized> Clone for ByEdge<S> {
    fn clone(&self) -> Self {
        Self { local: self.local.clone(), directory: self.directory.clone() }
    }
}

/// Defines a link to a service of edges.
macro_rules! edge_link {
    (
        $(#[$doc:meta])* $link:ident, $service:ty, $client:ident, $limit:expr,
        $($(#[$rpc_doc:meta])* $rpc:ident($request:ident) -> $response:ident,)+
    ) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $link(ByEdge<$service>);

        impl $link {
            /// All work goes to the edge of this process.
            pub fn local(edge_id: impl Into<String>, service: Arc<$service>) -> Self {
                Self(ByEdge { local: Some((edge_id.into(), service)), directory: None })
            }

            /// Work goes to the edge that it names, over TCP.
            pub fn remote(directory: EdgeDirectory) -> Self {
                Self(ByEdge { local: None, directory: Some(directory) })
            }

            /// New work goes to the edge of this process; work for another edge goes there over TCP.
            pub fn mixed(edge_id: impl Into<String>, service: Arc<$service>, directory: EdgeDirectory) -> Self {
                Self(ByEdge { local: Some((edge_id.into(), service)), directory: Some(directory) })
            }

            $(
                $(#[$rpc_doc])*
                ///
                /// # Errors
                /// `EDGE_NOT_FOUND` when the edge is not alive, `EDGE_UNREACHABLE` when none takes new work; else what the edge refused
                /// with, or `SERVICE_UNAVAILABLE` or `DEADLINE_EXCEEDED` when it did not answer.
                pub async fn $rpc(&self, edge_id: Option<&str>, request: $request) -> Result<$response, Status> {
                    match self.0.target(edge_id)? {
                        Target::Local(service) => in_process("edge", $limit.unwrap_or(IN_PROCESS), service.$rpc(Request::new(request))).await,
                        Target::Remote(edge) => {
                            let attempt = |channel, envelope: Envelope| {
                                let request = envelope.seal(request.clone());
                                async move { $client::new(channel).$rpc(request).await }
                            };
                            // In a box, as those of other links: what waits for an edge in this process would carry the room for this.
                            Box::pin(async {
                                edge.call_within($limit, stringify!($rpc), CallKind::Idempotent, attempt).await
                            })
                            .await
                        }
                    }
                }
            )+
        }
    };
}

edge_link! {
    /// What call-control asks edges for its legs.
    LegsLink, dyn Legs, LegsClient, None::<Duration>,
    /// Carries out one effect of a call on the edge named, or on any; the edge recognises a repeated one by its number.
    carry(CarryRequest) -> CarryResponse,
}

edge_link! {
    /// Single requests that other services have an edge send.
    RequestsLink, dyn Requests, RequestsClient, Some(EXCHANGE),
    /// Sends one request by the edge named, or by any, and waits for its final response.
    exchange(ExchangeRequest) -> ExchangeResponse,
    /// Ends an INVITE that the edge named is proxying.
    cancel_proxied(CancelProxiedRequest) -> CancelProxiedResponse,
}

edge_link! {
    /// What edges saw of calls.
    CaptureLink, dyn Capture<WatchCaptureStream = BoxStream<LadderStep>>, CaptureClient, None::<Duration>,
    /// Reads what the edge named still holds of one call.
    read_capture(ReadCaptureRequest) -> ReadCaptureResponse,
}

edge_link! {
    /// Other edges as operators see them.
    EdgesLink, dyn Edges, EdgesClient, None::<Duration>,
    /// Makes the edge named take nothing new.
    drain_edge(DrainEdgeRequest) -> Edge,
    /// Makes the edge named take everything again.
    undrain_edge(UndrainEdgeRequest) -> Edge,
}
