//! A running endpoint whose user does what a test says and reports what it is told, and peers to talk to it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lifecycle::Tasks;
use sip_endpoint::{
    Arrival, CancelTarget, ClientKey, Config, Context, Counters, Direction, Dns, Endpoint, Failure, FlowEnd,
    FlowId, Handle, Hop, Seen, ServerKey, SystemDns, TimerId, TransactionUser, Transport, Witness,
};
use sip_message::{Frame, Framer, Limits, Message, ResponseBuilder};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long a test waits for what must come; only a failing test takes this long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Where the user lets no response return.
pub const OFF_LIMITS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 66));

/// What the user was told.
#[derive(Debug)]
pub enum Told {
    Request { key: ServerKey, message: Message, arrival: Arrival },
    Ack,
    Cancel,
    Response(Message),
    Failure(Failure),
    Stray,
    Timer(&'static str),
    Completion(&'static str),
    Opened(FlowId),
    Closed(FlowId, FlowEnd),
}

/// Something for the user to do.
pub type Command = Box<dyn FnOnce(&mut Context<'_, Obedient>) -> Option<Told> + Send>;

/// A user without a will of its own. It answers OPTIONS with 200 and panics at BOOM.
pub struct Obedient {
    told: mpsc::UnboundedSender<Told>,
    rounds: Arc<AtomicU32>,
    watcher: Arc<Watcher>,
}

/// Remembers what passed.
#[derive(Default)]
pub struct Watcher(Mutex<Vec<(Direction, SocketAddr, Transport, Bytes)>>);

impl Watcher {
    /// What passed between us and a peer, so far.
    pub fn with(&self, peer: SocketAddr) -> Vec<(Direction, Transport, Bytes)> {
        let passed = self.0.lock().unwrap();
        let of_peer = passed.iter().filter(|(_, with, ..)| *with == peer);
        of_peer.map(|(direction, _, transport, bytes)| (*direction, *transport, bytes.clone())).collect()
    }
}

impl Witness for Watcher {
    fn saw(&self, seen: Seen<'_>) {
        let passed = (seen.direction, seen.peer, seen.transport, seen.bytes.clone());
        self.0.lock().unwrap().push(passed);
    }
}

impl Obedient {
    fn tell(&self, told: Told) {
        // A test that has ended hears nothing more.
        let _ = self.told.send(told);
    }
}

impl TransactionUser for Obedient {
    type Completion = &'static str;
    type Timer = &'static str;
    type Command = Command;

    fn on_request(
        &mut self,
        cx: &mut Context<'_, Self>,
        key: ServerKey,
        message: Message,
        arrival: &Arrival,
    ) {
        assert!(message.method().as_str() != "BOOM", "told to panic");
        if message.method().as_str() == "OPTIONS" {
            cx.respond(key, response(&message, 200)).unwrap();
        }
        self.tell(Told::Request { key, message, arrival: *arrival });
    }

    fn on_ack(&mut self, _: &mut Context<'_, Self>, _: Option<ServerKey>, _: Message, _: &Arrival) {
        self.tell(Told::Ack);
    }

    fn on_cancel(
        &mut self,
        _: &mut Context<'_, Self>,
        _: ServerKey,
        _: CancelTarget,
        _: Message,
        _: &Arrival,
    ) {
        self.tell(Told::Cancel);
    }

    fn on_response(&mut self, _: &mut Context<'_, Self>, _: ClientKey, message: Message, _: &Arrival) {
        self.tell(Told::Response(message));
    }

    fn on_failure(&mut self, _: &mut Context<'_, Self>, failure: Failure) {
        self.tell(Told::Failure(failure));
    }

    fn on_stray_response(&mut self, _: &mut Context<'_, Self>, _: Message, _: &Arrival) {
        self.tell(Told::Stray);
    }

    fn on_overflow(&mut self, cx: &mut Context<'_, Self>, request: Message, arrival: &Arrival) {
        cx.send_statelessly(&response(&request, 503), arrival.hop);
    }

    fn on_timer(&mut self, _: &mut Context<'_, Self>, _: TimerId, timer: &'static str) {
        self.tell(Told::Timer(timer));
    }

    fn on_completion(&mut self, _: &mut Context<'_, Self>, completion: &'static str) {
        self.tell(Told::Completion(completion));
    }

    fn on_command(&mut self, cx: &mut Context<'_, Self>, command: Command) {
        if let Some(told) = command(cx) {
            self.tell(told);
        }
    }

    fn may_return(&self, to: SocketAddr) -> bool {
        to.ip() != OFF_LIMITS
    }

    fn witness(&self) -> Option<Arc<dyn Witness>> {
        Some(self.watcher.clone())
    }

    fn on_round(&mut self, _: &mut Context<'_, Self>, _: Instant) {
        self.rounds.fetch_add(1, Ordering::Relaxed);
    }

    fn on_flow_opened(&mut self, _: &mut Context<'_, Self>, flow: FlowId) {
        self.tell(Told::Opened(flow));
    }

    fn on_flow_closed(&mut self, _: &mut Context<'_, Self>, flow: FlowId, end: FlowEnd) {
        self.tell(Told::Closed(flow, end));
    }
}

/// An endpoint that runs.
pub struct Running {
    pub address: SocketAddr,
    /// Where TLS and WebSocket are served.
    pub streams: Vec<(Transport, SocketAddr)>,
    /// Where the other hosts of the tier come to.
    pub siblings: Option<SocketAddr>,
    pub handle: Handle<Command>,
    pub counters: Arc<Counters>,
    /// How often the loop went round because there was something to do.
    pub rounds: Arc<AtomicU32>,
    /// What passed.
    pub watcher: Arc<Watcher>,
    told: mpsc::UnboundedReceiver<Told>,
}

impl Running {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(adjust: impl FnOnce(&mut Config)) -> Self {
        Self::resolving(Arc::new(SystemDns), adjust).await
    }

    pub async fn resolving(dns: Arc<dyn Dns>, adjust: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::listening_on(["127.0.0.1:0".parse().unwrap()]);
        adjust(&mut config);
        let tasks = Tasks::new("endpoint", 1000);
        let endpoint = Endpoint::<Obedient>::bind(config, dns, tasks).await.unwrap();
        let address = endpoint.listening().next().unwrap();
        let (streams, siblings) = (endpoint.listening_streams().collect(), endpoint.listening_siblings());
        let (sender, told) = mpsc::unbounded_channel();
        let (handle, counters) = (endpoint.handle(), endpoint.counters().clone());
        let rounds = Arc::new(AtomicU32::new(0));
        let watcher = Arc::new(Watcher::default());
        let user = Obedient { told: sender, rounds: rounds.clone(), watcher: watcher.clone() };
        tokio::spawn(endpoint.run(user, std::future::pending()));
        Self { address, streams, siblings, handle, counters, rounds, watcher, told }
    }

    /// The next thing that the user is told.
    pub async fn told(&mut self) -> Told {
        timeout(PATIENCE, self.told.recv())
            .await
            .expect("the user is told in time")
            .expect("the endpoint runs")
    }

    /// The next request.
    pub async fn request(&mut self) -> (ServerKey, Message, Arrival) {
        loop {
            match self.told().await {
                Told::Request { key, message, arrival } => return (key, message, arrival),
                Told::Opened(_) | Told::Closed(..) => {}
                other => panic!("expected a request, was told {other:?}"),
            }
        }
    }

    /// The next response.
    pub async fn response(&mut self) -> Message {
        loop {
            match self.told().await {
                Told::Response(message) => return message,
                Told::Opened(_) | Told::Closed(..) => {}
                other => panic!("expected a response, was told {other:?}"),
            }
        }
    }

    /// The next failure.
    pub async fn failure(&mut self) -> Failure {
        loop {
            match self.told().await {
                Told::Failure(failure) => return failure,
                Told::Opened(_) | Told::Closed(..) => {}
                other => panic!("expected a failure, was told {other:?}"),
            }
        }
    }

    /// Makes the user do something.
    pub fn order(&self, command: impl FnOnce(&mut Context<'_, Obedient>) -> Option<Told> + Send + 'static) {
        self.handle.send(Box::new(command)).expect("there is room for a command");
    }

    /// Makes the user send a request of this method and of about this size.
    pub fn send(&self, method: &'static str, size: usize, transport: Transport, peer: SocketAddr) {
        self.order(move |cx| {
            let hop = cx.hop_to(transport, peer).expect("a hop");
            let request = request_of_ours(cx, method, size, hop);
            cx.send_request(request, hop).expect("a request that can be sent");
            None
        });
    }

    /// Makes the user answer a request.
    pub fn respond(&self, key: ServerKey, request: Message, status: u16) {
        self.order(move |cx| {
            cx.respond(key, response(&request, status)).unwrap();
            None
        });
    }

    /// The same with a response that is only written.
    pub fn respond_written(&self, key: ServerKey, request: Message, status: u16) {
        self.order(move |cx| {
            let response = ResponseBuilder::to(&request, status).to_tag("us").unwrap().write();
            cx.respond_written(key, response).unwrap();
            None
        });
    }
}

/// A request of ours of about this size, with a branch that no other has.
pub fn request_of_ours(cx: &Context<'_, Obedient>, method: &str, size: usize, hop: Hop) -> Message {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let branch = format!("z9hG4bK{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let via = cx.via(hop, &branch).expect("a hop that is alive").text();
    let subject = "x".repeat(size);
    message(format!(
        "{method} sip:peer@127.0.0.1 SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\n\
         From: <sip:us@127.0.0.1>;tag=1\r\nTo: <sip:peer@127.0.0.1>\r\nCall-ID: ours\r\n\
         CSeq: 1 {method}\r\nSubject: {subject}\r\nContent-Length: 0\r\n\r\n"
    ))
}

/// A response with a To tag.
pub fn response(request: &Message, status: u16) -> Message {
    ResponseBuilder::to(request, status).to_tag("tag").unwrap().build()
}

/// A request of a peer, with the Via that it is given.
pub fn request_of_peer(method: &str, via: &str) -> String {
    format!(
        "{method} sip:us@127.0.0.1 SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: <sip:peer@127.0.0.1>;tag=p\r\n\
         To: <sip:us@127.0.0.1>\r\nCall-ID: theirs\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A peer that speaks datagrams.
pub struct UdpPeer {
    pub socket: UdpSocket,
    pub address: SocketAddr,
}

impl UdpPeer {
    pub async fn new() -> Self {
        Self::at("127.0.0.1:0").await
    }

    pub async fn at(address: &str) -> Self {
        let socket = UdpSocket::bind(address).await.unwrap();
        let address = socket.local_addr().unwrap();
        Self { socket, address }
    }

    pub async fn send(&self, text: impl AsRef<[u8]>, to: SocketAddr) {
        self.socket.send_to(text.as_ref(), to).await.unwrap();
    }

    pub async fn receive(&self) -> (Message, SocketAddr) {
        let (bytes, from) = self.receive_bytes().await;
        (message(bytes), from)
    }

    pub async fn receive_bytes(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; 65_535];
        let received = timeout(PATIENCE, self.socket.recv_from(&mut buffer)).await;
        let (length, from) = received.expect("a datagram comes in time").unwrap();
        buffer.truncate(length);
        (buffer, from)
    }
}

pub fn message(bytes: impl Into<Bytes>) -> Message {
    Message::parse(bytes.into(), &Limits::default()).expect("a SIP message")
}

/// A port where a peer takes connections.
pub struct TcpListening {
    listener: TcpListener,
    pub address: SocketAddr,
}

impl TcpListening {
    pub async fn new() -> Self {
        Self::at("127.0.0.1:0").await.unwrap()
    }

    pub async fn at(address: impl ToSocketAddrs) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    pub async fn accept(&self) -> TcpPeer {
        let accepted = timeout(PATIENCE, self.listener.accept()).await;
        TcpPeer::nodelay(accepted.expect("a connection comes in time").unwrap().0)
    }
}

/// A peer that speaks over a connection.
pub struct TcpPeer<S = TcpStream> {
    pub stream: S,
    framer: Framer,
}

impl TcpPeer {
    pub async fn connect(to: SocketAddr) -> Self {
        Self::nodelay(TcpStream::connect(to).await.unwrap())
    }

    fn nodelay(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TcpPeer<S> {
    pub fn over(stream: S) -> Self {
        Self { stream, framer: Framer::new(Limits::default()) }
    }

    pub async fn send_text(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    pub async fn send(&mut self, message: Message) {
        self.stream.write_all(message.bytes()).await.unwrap();
    }

    pub async fn receive(&mut self) -> Message {
        loop {
            match self.framer.next() {
                Some(Frame::Message(bytes)) => return message(bytes),
                Some(other) => panic!("expected a message, got {other:?}"),
                None => {}
            }
            let mut buffer = [0; 4096];
            let read = timeout(PATIENCE, self.stream.read(&mut buffer)).await;
            let length = read.expect("a message comes in time").unwrap();
            assert!(length > 0, "the connection was closed");
            self.framer.push(&buffer[..length]);
        }
    }

    pub async fn read_exactly(&mut self, length: usize) -> Vec<u8> {
        let mut buffer = vec![0; length];
        timeout(PATIENCE, self.stream.read_exact(&mut buffer)).await.expect("bytes come in time").unwrap();
        buffer
    }

    /// What still comes up to the end of the connection, which has to be one: no reset.
    pub async fn read_to_the_end(&mut self) -> String {
        let mut left = Vec::new();
        timeout(PATIENCE, self.stream.read_to_end(&mut left)).await.expect("the end comes in time").unwrap();
        String::from_utf8_lossy(&left).into_owned()
    }

    /// Waits for the end of the connection; `false` when something else comes.
    pub async fn is_closed(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read(&mut [0; 1])).await.expect("the end comes in time");
        matches!(read, Ok(0) | Err(_))
    }
}
