//! A peer that says exactly what a test wants and shows exactly what came.

use std::net::SocketAddr;
use std::time::Duration;

use sip_message::{HeaderId, Limits, Message};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;

/// How long a peer waits for what must come. Only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(5);

/// A UDP peer on a port that the system gave it.
pub(crate) struct Peer {
    socket: UdpSocket,
    edge: SocketAddr,
}

impl Peer {
    pub(crate) async fn of(edge: SocketAddr) -> Self {
        Self::unbound().await.toward(edge)
    }

    /// A peer that does not know its edge yet: for plans that must name the peer.
    pub(crate) async fn unbound() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("loopback has a free port");
        Self { edge: socket.local_addr().expect("the socket is bound"), socket }
    }

    /// A peer, and a listener for TCP under the same number: other tests take ports while this one looks for a pair.
    pub(crate) async fn with_tcp() -> (Self, TcpListener) {
        loop {
            let peer = Self::unbound().await;
            if let Ok(listener) = TcpListener::bind(peer.address()).await {
                return (peer, listener);
            }
        }
    }

    pub(crate) fn toward(self, edge: SocketAddr) -> Self {
        Self { edge, ..self }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("the socket is bound")
    }

    /// Sends a request: the start line and Via are made here, the given lines follow.
    pub(crate) async fn request(&self, start: &str, branch: &str, lines: &[&str]) {
        let method = start.split(' ').next().unwrap_or_default();
        let has = |name: &str| lines.iter().any(|line| line.starts_with(name));
        let mut text =
            format!("{start} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bK{branch}\r\n", self.address());
        for line in lines {
            text.push_str(line);
            text.push_str("\r\n");
        }
        for (name, line) in [
            ("Max-Forwards", "Max-Forwards: 70\r\n".to_owned()),
            ("CSeq", format!("CSeq: 1 {method}\r\n")),
            ("Content-Length", "Content-Length: 0\r\n".to_owned()),
        ] {
            if !has(name) {
                text.push_str(&line);
            }
        }
        self.raw(&format!("{text}\r\n")).await;
    }

    /// Answers a request that came; the given lines follow the copied ones.
    pub(crate) async fn respond(&self, request: &Message, status: &str, to_tag: &str, lines: &[&str]) {
        self.raw(&response_to(request, status, to_tag, lines)).await;
    }

    pub(crate) async fn raw(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.edge).await.expect("loopback takes datagrams");
    }

    /// The next message.
    pub(crate) async fn receive(&self) -> Message {
        self.receive_before(PATIENCE).await.unwrap_or_else(|| panic!("{} got nothing", self.address()))
    }

    /// The next message that is not a 100.
    pub(crate) async fn receive_past_100(&self) -> Message {
        loop {
            let message = self.receive().await;
            if message.status() != Some(100) {
                return message;
            }
        }
    }

    /// The next message, checked to be a request of this method.
    pub(crate) async fn receive_request(&self, method: &str) -> Message {
        let message = self.receive().await;
        assert!(message.is_request(), "{}", text(&message));
        assert_eq!(message.method_str(), method, "{}", text(&message));
        message
    }

    /// The next message past any 100, checked to be a response of this status.
    pub(crate) async fn receive_status(&self, status: u16) -> Message {
        let message = self.receive_past_100().await;
        assert_eq!(message.status(), Some(status), "{}", text(&message));
        message
    }

    /// Shows that nothing is under way to this peer: what the edge sent before its answer to a probe would have come
    /// before that answer.
    pub(crate) async fn expect_nothing(&self) {
        self.request(
            &format!("OPTIONS sip:{}", self.edge),
            &format!("probe{}", rand_token()),
            &["From: <sip:probe@peer>;tag=p", "To: <sip:edge>", "Call-ID: probe", "CSeq: 1 OPTIONS"],
        )
        .await;
        let answer = self.receive().await;
        assert_eq!(answer.status(), Some(200), "{}", text(&answer));
        assert_eq!(answer.call_id(), Ok(&b"probe"[..]), "{}", text(&answer));
    }

    async fn receive_before(&self, patience: Duration) -> Option<Message> {
        let mut buffer = vec![0; 65_535];
        let (length, _) = timeout(patience, self.socket.recv_from(&mut buffer)).await.ok()?.ok()?;
        buffer.truncate(length);
        let shown = String::from_utf8_lossy(&buffer).into_owned();
        Some(
            Message::parse(buffer.into(), &Limits::default())
                .unwrap_or_else(|error| panic!("{error}: {shown}")),
        )
    }
}

/// A response to a request: the copied header lines, then the given ones.
pub(crate) fn response_to(request: &Message, status: &str, to_tag: &str, lines: &[&str]) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for field in request.fields() {
        let value = String::from_utf8_lossy(field.value);
        match field.id {
            HeaderId::Via | HeaderId::From | HeaderId::CallId | HeaderId::CSeq | HeaderId::RecordRoute => {
                text.push_str(&format!("{}: {value}\r\n", field.id.as_str()));
            }
            HeaderId::To if to_tag.is_empty() || value.contains(";tag=") => {
                text.push_str(&format!("To: {value}\r\n"));
            }
            HeaderId::To => text.push_str(&format!("To: {value};tag={to_tag}\r\n")),
            _ => {}
        }
    }
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text + "Content-Length: 0\r\n\r\n"
}

/// A message as text, for the failure of an assertion.
pub(crate) fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.bytes()).into_owned()
}

/// All values of a header as text.
pub(crate) fn values(message: &Message, id: HeaderId) -> Vec<String> {
    message.values(id).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

fn rand_token() -> String {
    use ambient::Entropy;
    ambient::SystemEntropy.token(6)
}
