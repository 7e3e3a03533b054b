//! A running endpoint whose user does what a test says and reports what it is told, and peers to talk to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lifecycle::Tasks;
use sip_endpoint::{
    Arrival, CancelTarget, ClientKey, Config, Context, Counters, Endpoint, Failure, FlowEnd, FlowId, Handle,
    Hop, ServerKey, SystemDns, TimerId, TransactionUser, Transport,
};
use sip_message::{Limits, Message, ResponseBuilder};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long a test waits for what must come; only a failing test takes this long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What the user was told.
#[derive(Debug)]
pub enum Told {
    Request { key: ServerKey, message: Message, arrival: Arrival },
    Ack { key: Option<ServerKey>, message: Message },
    Cancel { key: ServerKey, target: CancelTarget, message: Message },
    Response { key: ClientKey, message: Message },
    Failure(Failure),
    Stray,
    Timer(&'static str),
    Completion(&'static str),
    Opened(FlowId),
    Closed(FlowId, FlowEnd),
    Sent(Result<ClientKey, String>),
}

/// Something for the user to do.
pub type Command = Box<dyn FnOnce(&mut Context<'_, Obedient>) -> Option<Told> + Send>;

/// A user without a will of its own. It answers OPTIONS with 200 and panics at BOOM.
pub struct Obedient {
    told: mpsc::UnboundedSender<Told>,
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
            cx.respond(key, ResponseBuilder::to(&message, 200).to_tag("us").unwrap().build()).unwrap();
        }
        self.tell(Told::Request { key, message, arrival: *arrival });
    }

    fn on_ack(&mut self, _: &mut Context<'_, Self>, key: Option<ServerKey>, message: Message, _: &Arrival) {
        self.tell(Told::Ack { key, message });
    }

    fn on_cancel(
        &mut self,
        _: &mut Context<'_, Self>,
        key: ServerKey,
        target: CancelTarget,
        message: Message,
        _: &Arrival,
    ) {
        self.tell(Told::Cancel { key, target, message });
    }

    fn on_response(&mut self, _: &mut Context<'_, Self>, key: ClientKey, message: Message, _: &Arrival) {
        self.tell(Told::Response { key, message });
    }

    fn on_failure(&mut self, _: &mut Context<'_, Self>, failure: Failure) {
        self.tell(Told::Failure(failure));
    }

    fn on_stray_response(&mut self, _: &mut Context<'_, Self>, _: Message, _: &Arrival) {
        self.tell(Told::Stray);
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
    pub handle: Handle<Command>,
    pub counters: Arc<Counters>,
    told: mpsc::UnboundedReceiver<Told>,
}

impl Running {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(adjust: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::listening_on(["127.0.0.1:0".parse().unwrap()]);
        adjust(&mut config);
        let tasks = Tasks::new("endpoint", 1000);
        let endpoint = Endpoint::<Obedient>::bind(config, Arc::new(SystemDns), tasks).await.unwrap();
        let address = endpoint.listening().next().unwrap();
        let (sender, told) = mpsc::unbounded_channel();
        let (handle, counters) = (endpoint.handle(), endpoint.counters().clone());
        tokio::spawn(endpoint.run(Obedient { told: sender }, std::future::pending()));
        Self { address, handle, counters, told }
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
                Told::Response { message, .. } => return message,
                Told::Opened(_) | Told::Closed(..) | Told::Sent(Ok(_)) => {}
                other => panic!("expected a response, was told {other:?}"),
            }
        }
    }

    /// The next failure.
    pub async fn failure(&mut self) -> Failure {
        loop {
            match self.told().await {
                Told::Failure(failure) => return failure,
                Told::Opened(_) | Told::Closed(..) | Told::Sent(Ok(_)) => {}
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
            Some(Told::Sent(send(cx, method, size, hop)))
        });
    }

    /// Makes the user answer a request.
    pub fn respond(&self, key: ServerKey, request: Message, status: u16) {
        self.order(move |cx| {
            cx.respond(key, ResponseBuilder::to(&request, status).to_tag("us").unwrap().build()).unwrap();
            None
        });
    }
}

/// Sends a request from within the user.
pub fn send(
    cx: &mut Context<'_, Obedient>,
    method: &str,
    size: usize,
    hop: Hop,
) -> Result<ClientKey, String> {
    let via = cx.via(hop, "z9hG4bKours").ok_or("no Via")?.to_string();
    let subject = "x".repeat(size);
    let text = format!(
        "{method} sip:peer@127.0.0.1 SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: <sip:us@127.0.0.1>;tag=1\r\n\
         To: <sip:peer@127.0.0.1>\r\nCall-ID: ours\r\nCSeq: 1 {method}\r\nSubject: {subject}\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let message = Message::parse(Bytes::from(text), &Limits::default()).map_err(|error| error.to_string())?;
    cx.send_request(message, hop).map_err(|error| error.to_string())
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
        let mut buffer = vec![0; 65_535];
        let received = timeout(PATIENCE, self.socket.recv_from(&mut buffer)).await;
        let (length, from) = received.expect("a datagram comes in time").unwrap();
        buffer.truncate(length);
        (message(buffer), from)
    }
}

pub fn message(bytes: impl Into<Bytes>) -> Message {
    Message::parse(bytes.into(), &Limits::default()).expect("a SIP message")
}
