//! Questions over streams, as a link asks them and a registrar answers them.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use cluster_api::registrar::v1::{
    AllocateRequest, AllocateResponse, AnswerChallengeRequest, AnswerChallengeResponse, EndFlowsRequest,
    EndFlowsResponse, ListLentRequest, ListLentResponse, RegisterRequest, RegisterResponse, ReleaseRequest,
    ReleaseResponse, ReleaseTrunkRequest, ReleaseTrunkResponse, RouteRequest, RouteResponse,
    SeizeTrunkRequest, SeizeTrunkResponse, WakeRequest, WakeResponse, location_server::Location,
};
use cluster_rpc::{Address, LocationLink, Reason, Refusal, Replicas, Wiring};
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore, mpsc, watch},
    task::JoinSet,
};
use tonic::{Code, Request, Response, Status, async_trait};

use crate::rig::{quick, serve_older, serve_streams, url, wiring};

/// Answers with the Call-ID as reason; what the Call-ID begins with says how.
#[derive(Default)]
struct Registrar {
    calls: AtomicUsize,
    gates: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// Gets the Call-ID of each REGISTER that began to wait, and `dropped` of each that was given up.
    begun: Option<mpsc::UnboundedSender<String>>,
    dropped: Arc<Notify>,
}

impl Registrar {
    fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<String>) {
        let (begun, told) = mpsc::unbounded_channel();
        (Arc::new(Self { begun: Some(begun), ..Self::default() }), told)
    }

    fn gate(&self, call_id: &str) -> Arc<Semaphore> {
        self.gates.lock().entry(call_id.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(0))).clone()
    }

    /// Lets everybody go on who waits with this Call-ID, or will.
    fn open(&self, call_id: &str) {
        self.gate(call_id).add_permits(100);
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Location for Registrar {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let call_id = request.into_inner().sip_call_id;
        if call_id.starts_with("slow") {
            let gone = Gone(Some(self.dropped.clone()));
            if let Some(begun) = &self.begun {
                begun.send(call_id.clone()).expect("the test listens");
            }
            self.gate(&call_id).acquire().await.expect("it is never closed").forget();
            std::mem::take(&mut { gone }.0);
        }
        assert!(!call_id.starts_with("panic"), "as the test wants");
        Ok(Response::new(RegisterResponse { status: 200, reason: call_id, ..Default::default() }))
    }

    async fn route(&self, _: Request<RouteRequest>) -> Result<Response<RouteResponse>, Status> {
        Ok(Response::new(RouteResponse::default()))
    }

    async fn end_flows(&self, _: Request<EndFlowsRequest>) -> Result<Response<EndFlowsResponse>, Status> {
        Ok(Response::new(EndFlowsResponse::default()))
    }

    async fn answer_challenge(
        &self,
        _: Request<AnswerChallengeRequest>,
    ) -> Result<Response<AnswerChallengeResponse>, Status> {
        Ok(Response::new(AnswerChallengeResponse::default()))
    }

    async fn wake(&self, _: Request<WakeRequest>) -> Result<Response<WakeResponse>, Status> {
        Ok(Response::new(WakeResponse::default()))
    }

    async fn seize_trunk(
        &self,
        _: Request<SeizeTrunkRequest>,
    ) -> Result<Response<SeizeTrunkResponse>, Status> {
        Ok(Response::new(SeizeTrunkResponse::default()))
    }

    async fn release_trunk(
        &self,
        _: Request<ReleaseTrunkRequest>,
    ) -> Result<Response<ReleaseTrunkResponse>, Status> {
        Ok(Response::new(ReleaseTrunkResponse::default()))
    }

    async fn allocate(&self, _: Request<AllocateRequest>) -> Result<Response<AllocateResponse>, Status> {
        Ok(Response::new(AllocateResponse::default()))
    }

    async fn release(&self, _: Request<ReleaseRequest>) -> Result<Response<ReleaseResponse>, Status> {
        Ok(Response::new(ReleaseResponse::default()))
    }

    async fn list_lent(&self, _: Request<ListLentRequest>) -> Result<Response<ListLentResponse>, Status> {
        Ok(Response::new(ListLentResponse::default()))
    }
}

/// Tells that a question was given up.
struct Gone(Option<Arc<Notify>>);

impl Drop for Gone {
    fn drop(&mut self) {
        if let Some(dropped) = &self.0 {
            dropped.notify_one();
        }
    }
}

/// Passes connections on to a server, until it is told to cut them.
struct Relay {
    address: SocketAddr,
    cut: watch::Sender<u32>,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let cut = watch::Sender::new(0);
        let cuts = cut.subscribe();
        let task = tokio::spawn(async move {
            let mut pipes = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let mut cuts = cuts.clone();
                cuts.borrow_and_update();
                pipes.spawn(async move {
                    let mut far = TcpStream::connect(server).await.expect("the server listens");
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self { address, cut, task }
    }

    fn url(&self) -> Address {
        url(&format!("http://{}", self.address))
    }

    /// Cuts every connection.
    fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts every connection and takes no further one, as when a process dies.
    fn die(&self) {
        self.task.abort();
        self.cut();
    }
}

/// A link, and what counts its calls.
struct Asker {
    link: LocationLink,
    wiring: Wiring,
}

impl Asker {
    /// Patient enough for a test that decides when an answer comes.
    fn new(addresses: &[Address]) -> Self {
        let config = cluster_rpc::remote::Config {
            attempt: std::time::Duration::from_secs(60),
            deadline: std::time::Duration::from_secs(60),
            ..quick()
        };
        let wiring = wiring(config);
        let replicas = Replicas::new("registrar", addresses, &wiring).expect("good addresses");
        Self { link: LocationLink::Remote(replicas), wiring }
    }

    async fn register(&self, call_id: &str) -> Result<String, Status> {
        let request = RegisterRequest { sip_call_id: call_id.to_owned(), ..Default::default() };
        self.link.register(request).await.map(|response| response.reason)
    }

    fn register_aside(&self, call_id: &'static str) -> tokio::task::JoinHandle<Result<String, Status>> {
        let link = self.link.clone();
        let request = RegisterRequest { sip_call_id: call_id.to_owned(), ..Default::default() };
        tokio::spawn(async move { link.register(request).await.map(|response| response.reason) })
    }

    fn metric(&self, name: &str) -> u64 {
        let text = self.wiring.metrics.text();
        let line = text.lines().find(|line| line.contains(name) && !line.starts_with('#'));
        let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
        line.rsplit(' ').next().expect("a value").parse().expect("a number")
    }
}

async fn streams(registrar: &Arc<Registrar>) -> (SocketAddr, watch::Sender<bool>) {
    let ending = watch::Sender::new(false);
    (serve_streams(registrar.clone(), None, ending.subscribe()).await, ending)
}

fn at(address: SocketAddr) -> Address {
    url(&format!("http://{address}"))
}

#[tokio::test]
async fn a_slow_question_delays_no_other_and_each_gets_its_own_answer_over_one_stream() {
    let (registrar, mut begun) = Registrar::new();
    let (address, _ending) = streams(&registrar).await;
    let asker = Asker::new(&[at(address)]);
    let slow = asker.register_aside("slow");
    begun.recv().await.expect("it waits");
    let names: Vec<String> = (0..500).map(|number| format!("quick {number}")).collect();
    let answers = join_all(names.iter().map(|name| asker.register(name))).await;
    for (name, answer) in names.iter().zip(answers) {
        assert_eq!(answer.expect("an answer"), *name);
    }
    assert!(!slow.is_finished());
    registrar.open("slow");
    assert_eq!(slow.await.expect("it ran").expect("an answer"), "slow");
    assert_eq!(asker.metric("rpc_client_streams_opened_total"), 1);
    assert_eq!(asker.metric("rpc_client_questions"), 0, "nobody waits any more");
}

#[tokio::test]
async fn a_question_whose_stream_breaks_is_asked_again_over_a_new_one() {
    let (registrar, mut begun) = Registrar::new();
    let (address, _ending) = streams(&registrar).await;
    let relay = Relay::to(address).await;
    let asker = Asker::new(&[relay.url()]);
    let slow = asker.register_aside("slow");
    begun.recv().await.expect("it waits");
    relay.cut();
    begun.recv().await.expect("it is asked again");
    registrar.open("slow");
    assert_eq!(slow.await.expect("it ran").expect("an answer"), "slow");
    assert_eq!(registrar.calls(), 2);
    assert_eq!(asker.metric("rpc_client_streams_opened_total"), 2);
}

/// F2: a registrar that dies with questions open costs none of them.
#[tokio::test]
async fn questions_open_at_a_registrar_that_dies_are_answered_by_another() {
    let ((mortal, mut begun), (other, mut begun_at_other)) = (Registrar::new(), Registrar::new());
    let ((mortal_at, _ending), (other_at, _other_ending)) = (streams(&mortal).await, streams(&other).await);
    let relay = Relay::to(mortal_at).await;
    let asker = Asker::new(&[relay.url(), at(other_at)]);
    let mut asked = Vec::new();
    // The less busy of the two is asked, so both are.
    for _ in 0..10 {
        asked.push(asker.register_aside("slow"));
        tokio::select! {
            _ = begun.recv() => {}
            _ = begun_at_other.recv() => {}
        }
    }
    let open = mortal.calls();
    assert!(open > 0, "both are asked");
    relay.die();
    for _ in 0..open {
        begun_at_other.recv().await.expect("it is asked again");
    }
    other.open("slow");
    for slow in asked {
        assert_eq!(slow.await.expect("it ran").expect("an answer"), "slow");
    }
    assert_eq!(other.calls(), 10);
}

#[tokio::test]
async fn a_question_that_nobody_waits_for_is_given_up_at_the_other_side() {
    let (registrar, mut begun) = Registrar::new();
    let (address, _ending) = streams(&registrar).await;
    let asker = Asker::new(&[at(address)]);
    let slow = asker.register_aside("slow");
    begun.recv().await.expect("it waits");
    slow.abort();
    registrar.dropped.notified().await;
    assert_eq!(asker.register("quick").await.expect("the stream goes on"), "quick");
    assert_eq!(asker.metric("rpc_client_streams_opened_total"), 1);
}

#[tokio::test]
async fn a_question_that_panics_takes_no_other_along() {
    let (registrar, mut begun) = Registrar::new();
    let (address, _ending) = streams(&registrar).await;
    let asker = Asker::new(&[at(address)]);
    let slow = asker.register_aside("slow");
    begun.recv().await.expect("it waits");
    let refused = asker.register("panic").await.expect_err("it panics");
    assert_eq!(Refusal::read(&refused).expect("a refusal of ours").reason(), Reason::Internal);
    registrar.open("slow");
    assert_eq!(slow.await.expect("it ran").expect("an answer"), "slow");
}

#[tokio::test]
async fn a_registrar_without_streams_is_called() {
    let (registrar, _begun) = Registrar::new();
    let asker = Asker::new(&[serve_older(registrar.clone()).await]);
    for _ in 0..5 {
        assert_eq!(asker.register("quick").await.expect("an answer"), "quick");
    }
    assert_eq!(registrar.calls(), 5);
    assert_eq!(asker.metric("rpc_client_streams_opened_total"), 1, "it is not tried again and again");
    assert_eq!(asker.metric("rpc_client_ejections_total"), 0, "an older peer is no bad one");
}

#[tokio::test]
async fn a_stream_that_ends_answers_what_was_asked_and_takes_nothing_more() {
    let (registrar, mut begun) = Registrar::new();
    let (address, ending) = streams(&registrar).await;
    let asker = Asker::new(&[at(address)]);
    let slow = asker.register_aside("slow");
    begun.recv().await.expect("it waits");
    ending.send_replace(true);
    assert_eq!(asker.register("quick").await.expect("an answer"), "quick");
    registrar.open("slow");
    assert_eq!(slow.await.expect("it ran").expect("an answer"), "slow");
    assert_eq!(registrar.calls(), 2, "nothing is asked twice");
}

#[tokio::test]
async fn what_is_too_large_for_a_stream_is_called() {
    let (registrar, _begun) = Registrar::new();
    let (address, _ending) = streams(&registrar).await;
    let asker = Asker::new(&[at(address)]);
    let large = RegisterRequest {
        sip_call_id: "large".to_owned(),
        body: vec![0; 2 * 1024 * 1024].into(),
        ..Default::default()
    };
    assert_eq!(asker.link.register(large).await.expect("an answer").reason, "large");
    let huge = RegisterRequest { body: vec![0; 5 * 1024 * 1024].into(), ..Default::default() };
    let refused = asker.link.register(huge).await.expect_err("more than gRPC takes");
    assert_eq!(refused.code(), Code::OutOfRange);
    assert_eq!(asker.register("quick").await.expect("the stream goes on"), "quick");
}
