//! A peer on a UDP socket of its own that says exactly what a test wants, with digest when asked.

use std::cell::Cell;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};

use test_support::{Carillon, PATIENCE};

/// A socket that knows the edge.
pub struct Wire {
    socket: UdpSocket,
    edge: Cell<SocketAddr>,
    /// Who sent the last datagram: whom a response goes to.
    source: Cell<SocketAddr>,
}

impl Wire {
    /// A socket at 127.0.0.1.
    pub fn of(carillon: &Carillon) -> Self {
        Self::at("127.0.0.1", carillon)
    }

    /// A socket at another loopback address.
    pub fn at(ip: &str, carillon: &Carillon) -> Self {
        Self::facing(ip, carillon.sip.parse().expect("the edge says a numeric address"))
    }

    /// A socket that knows another server.
    pub fn facing(ip: &str, edge: SocketAddr) -> Self {
        let socket = UdpSocket::bind((ip, 0)).expect("loopback has free ports");
        socket.set_read_timeout(Some(PATIENCE)).expect("a limit that is not zero");
        Self { socket, edge: Cell::new(edge), source: Cell::new(edge) }
    }

    /// From now on it knows another edge, as a phone does that finds its own one dead.
    pub fn turn_to(&self, carillon: &Carillon) {
        self.edge.set(carillon.sip.parse().expect("the edge says a numeric address"));
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("a bound socket has an address")
    }

    /// Sends a text as it stands.
    pub fn send(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.edge.get()).expect("loopback takes datagrams");
    }

    /// Sends a request: start line, Via and what the lines do not say are made here. Says the Call-ID.
    pub fn request(&self, start: &str, lines: &[&str]) -> String {
        let (text, call_id) = self.compose(start, lines);
        self.send(&text);
        call_id
    }

    /// A request with a Call-ID and branch of its own; the given lines replace the usual ones.
    pub fn compose(&self, start: &str, lines: &[&str]) -> (String, String) {
        compose("UDP", &self.address().to_string(), start, lines)
    }

    /// The next datagram.
    ///
    /// # Panics
    /// When none comes.
    pub fn receive(&self) -> String {
        self.next_datagram().expect("a datagram comes")
    }

    /// The next datagram; `None` when none comes.
    pub fn next_datagram(&self) -> Option<String> {
        let mut buffer = vec![0; 65_535];
        let (length, source) = self.socket.recv_from(&mut buffer).ok()?;
        self.source.set(source);
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    /// The next final response to this call; all else is skipped.
    pub fn answer_to(&self, call_id: &str) -> String {
        loop {
            let text = self.receive();
            if text.starts_with("SIP/2.0")
                && status(&text) >= 200
                && header(&text, "Call-ID") == Some(call_id)
            {
                return text;
            }
        }
    }

    /// The next request of this method.
    pub fn receive_request(&self, method: &str) -> String {
        loop {
            let text = self.receive();
            if text.starts_with(&format!("{method} ")) {
                return text;
            }
        }
    }

    /// Answers a request that came.
    pub fn respond(&self, request: &str, status: &str, lines: &[&str]) {
        self.respond_with(request, status, lines, "");
    }

    /// The same with a body, whose type is among the lines.
    pub fn respond_with(&self, request: &str, status: &str, lines: &[&str], body: &str) {
        let text = response(request, status, lines, body);
        self.socket.send_to(text.as_bytes(), self.source.get()).expect("loopback takes datagrams");
    }

    /// Shows that nothing else was sent here: the answer to a probe is the next thing that comes.
    pub fn expect_nothing(&self) {
        let call_id = self.request("OPTIONS sip:localhost", &["To: <sip:localhost>"]);
        let text = self.receive();
        assert_eq!(header(&text, "Call-ID"), Some(call_id.as_str()), "{text}");
    }
}

/// A request with a Call-ID and branch of its own, as who is at this address sends it; the given lines replace the usual ones. Says the
/// Call-ID.
pub fn compose(transport: &str, own: &str, start: &str, lines: &[&str]) -> (String, String) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = format!("{}x{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let method = start.split(' ').next().unwrap_or_default();
    let usual = [
        ("Via", format!("SIP/2.0/{transport} {own};branch=z9hG4bK{number};rport")),
        ("Max-Forwards", "70".to_owned()),
        ("From", "<sip:alice@localhost>;tag=a".to_owned()),
        ("To", "<sip:bob@localhost>".to_owned()),
        ("Call-ID", number.clone()),
        ("CSeq", format!("1 {method}")),
    ];
    let is_given = |name: &str| lines.iter().any(|line| line.split(':').next() == Some(name));
    let mut text = format!("{start} SIP/2.0\r\n");
    for (name, value) in usual.iter().filter(|(name, _)| !is_given(name)) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    for line in lines {
        text.push_str(&format!("{line}\r\n"));
    }
    text.push_str("Content-Length: 0\r\n\r\n");
    let call_id = header(&text, "Call-ID").unwrap_or_default().to_owned();
    (text, call_id)
}

/// The answer to a request, with further lines and a body whose type is among them.
pub fn response(request: &str, status: &str, lines: &[&str], body: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in request.lines().take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default();
        match name {
            "Via" | "From" | "Call-ID" | "CSeq" | "Record-Route" => text.push_str(&format!("{line}\r\n")),
            "To" if line.contains(";tag=") => text.push_str(&format!("{line}\r\n")),
            "To" => text.push_str(&format!("{line};tag=w\r\n")),
            _ => {}
        }
    }
    for line in lines {
        text.push_str(&format!("{line}\r\n"));
    }
    format!("{text}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// The route of whoever got this answer to its INVITE, as the value of Route.
pub fn route_of_caller(answer: &str) -> String {
    let mut routes: Vec<&str> = values(answer, "Record-Route").collect();
    routes.reverse();
    routes.join(", ")
}

/// The route of whoever got this INVITE, as the value of Route.
pub fn route_of_callee(invite: &str) -> String {
    values(invite, "Record-Route").collect::<Vec<_>>().join(", ")
}

/// Every value of a header, one after the other.
fn values<'a>(message: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = message.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':'));
    lines
        .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
        .flat_map(|(_, value)| value.split(','))
        .map(str::trim)
}

/// The first value of a header.
pub fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.lines().take_while(|line| !line.is_empty()).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The status of a response; 0 for a request.
pub fn status(message: &str) -> u16 {
    message.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
}
