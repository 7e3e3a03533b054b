//! Servers with scripted behaviour on ports that the system chooses.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ambient::SeededEntropy;
use cluster_api::registrar::v1::{
    AllocateRequest, AllocateResponse, AnswerChallengeRequest, AnswerChallengeResponse, EndFlowsRequest,
    EndFlowsResponse, ListLentRequest, ListLentResponse, RegisterRequest, RegisterResponse, ReleaseRequest,
    ReleaseResponse, ReleaseTrunkRequest, ReleaseTrunkResponse, RouteRequest, RouteResponse,
    SeizeTrunkRequest, SeizeTrunkResponse, WakeRequest, WakeResponse,
    location_server::{Location, LocationServer},
    location_stream_server::LocationStreamServer,
};
use cluster_rpc::{
    Address, LocationAnswers, LocationLink, Reason, Refusal, Replicas, Wiring,
    auth::{Guard, Tokens},
    remote, server, trace,
};
use lifecycle::Tasks;
use telemetry::{Metrics, TraceContext};
use tokio::{net::TcpListener, sync::watch};
use tonic::{Request, Response, Status, async_trait, transport::server::TcpIncoming};

/// What a scripted registrar does with every call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// Answers 200 with its number as reason.
    Answer,
    /// Refuses because it drains.
    Drain,
    /// Refuses because of the request.
    Refuse,
    /// Says UNAVAILABLE without a reason, as proxies do.
    Unexplained,
    /// Never answers.
    Silent,
}

/// A registrar that does what it is told and counts.
pub struct Registrar {
    script: Script,
    pub calls: AtomicUsize,
    pub traces: parking_lot::Mutex<Vec<Option<TraceContext>>>,
}

impl Registrar {
    pub fn new(script: Script) -> Arc<Self> {
        Arc::new(Self { script, calls: AtomicUsize::new(0), traces: Default::default() })
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn act(&self) -> Result<(), Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.traces.lock().push(trace::current());
        match self.script {
            Script::Answer => Ok(()),
            Script::Drain => Err(Refusal::new(Reason::Draining, "ask another").into()),
            Script::Refuse => Err(Refusal::field(Reason::BadUri, "to_uri", "a sip URI").into()),
            Script::Unexplained => Err(Status::unavailable("upstream connect error")),
            Script::Silent => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Location for Registrar {
    async fn register(&self, _: Request<RegisterRequest>) -> Result<Response<RegisterResponse>, Status> {
        self.act().await?;
        Ok(Response::new(RegisterResponse { status: 200, ..Default::default() }))
    }

    async fn route(&self, _: Request<RouteRequest>) -> Result<Response<RouteResponse>, Status> {
        self.act().await?;
        Ok(Response::new(RouteResponse::default()))
    }

    async fn end_flows(&self, _: Request<EndFlowsRequest>) -> Result<Response<EndFlowsResponse>, Status> {
        self.act().await?;
        Ok(Response::new(EndFlowsResponse::default()))
    }

    async fn answer_challenge(
        &self,
        _: Request<AnswerChallengeRequest>,
    ) -> Result<Response<AnswerChallengeResponse>, Status> {
        self.act().await?;
        Ok(Response::new(AnswerChallengeResponse::default()))
    }

    async fn wake(&self, _: Request<WakeRequest>) -> Result<Response<WakeResponse>, Status> {
        self.act().await?;
        Ok(Response::new(WakeResponse::default()))
    }

    async fn seize_trunk(
        &self,
        _: Request<SeizeTrunkRequest>,
    ) -> Result<Response<SeizeTrunkResponse>, Status> {
        self.act().await?;
        Ok(Response::new(SeizeTrunkResponse::default()))
    }

    async fn release_trunk(
        &self,
        _: Request<ReleaseTrunkRequest>,
    ) -> Result<Response<ReleaseTrunkResponse>, Status> {
        self.act().await?;
        Ok(Response::new(ReleaseTrunkResponse::default()))
    }

    async fn allocate(&self, _: Request<AllocateRequest>) -> Result<Response<AllocateResponse>, Status> {
        self.act().await?;
        Ok(Response::new(AllocateResponse::default()))
    }

    async fn release(&self, _: Request<ReleaseRequest>) -> Result<Response<ReleaseResponse>, Status> {
        self.act().await?;
        Ok(Response::new(ReleaseResponse::default()))
    }

    async fn list_lent(&self, _: Request<ListLentRequest>) -> Result<Response<ListLentResponse>, Status> {
        self.act().await?;
        Ok(Response::new(ListLentResponse::default()))
    }
}

/// Serves a registrar on loopback until the test ends; returns where.
pub async fn serve(registrar: Arc<Registrar>, tokens: Option<&str>) -> Address {
    url(&format!("http://{}", serve_streams(registrar, tokens, watch::Sender::new(false).subscribe()).await))
}

/// Serves with streams of questions, which `ending` ends.
pub async fn serve_streams<L: Location>(
    location: Arc<L>,
    tokens: Option<&str>,
    ending: watch::Receiver<bool>,
) -> SocketAddr {
    let entropy = Arc::new(SeededEntropy::new(2));
    let streams = LocationAnswers::new(location.clone(), entropy, &Metrics::new(), ending);
    let (mut server, incoming, address) = bound(tokens).await;
    let server = server
        .add_service(LocationServer::from_arc(location))
        .add_service(LocationStreamServer::new(streams));
    tokio::spawn(server.serve_with_incoming(incoming));
    address
}

/// Serves as the release before did that had no streams.
pub async fn serve_older<L: Location>(location: Arc<L>) -> Address {
    let (mut server, incoming, address) = bound(None).await;
    tokio::spawn(server.add_service(LocationServer::from_arc(location)).serve_with_incoming(incoming));
    url(&format!("http://{address}"))
}

async fn bound(tokens: Option<&str>) -> (server::GuardedServer, TcpIncoming, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let tokens = tokens.map(|text| Tokens::parse(text).expect("a good file"));
    let guard =
        Guard::new(IpAddr::V4(Ipv4Addr::LOCALHOST), tokens, false, &Metrics::new()).expect("loopback");
    let entropy = Arc::new(SeededEntropy::new(1));
    let server = server::server(&server::Config::default(), guard, entropy);
    (server, server::incoming(listener), address)
}

/// A port that takes connections and closes them at once, as a dying process does.
pub async fn slam() -> Address {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    url(&format!("http://{address}"))
}

pub fn url(text: &str) -> Address {
    text.parse().expect("an address")
}

/// Settings under which a silent replica costs little time.
pub fn quick() -> remote::Config {
    remote::Config {
        attempt: Duration::from_millis(200),
        deadline: Duration::from_secs(20),
        ..Default::default()
    }
}

pub fn wiring(config: remote::Config) -> Wiring {
    let mut wiring = Wiring::new(config, Tasks::new("test", 100), Metrics::new());
    wiring.entropy = Arc::new(SeededEntropy::new(7));
    wiring
}

pub fn replicas(addresses: &[Address], config: remote::Config) -> Replicas {
    Replicas::new("registrar", addresses, &wiring(config)).expect("good addresses")
}

pub fn link(addresses: &[Address], config: remote::Config) -> LocationLink {
    LocationLink::Remote(replicas(addresses, config))
}
