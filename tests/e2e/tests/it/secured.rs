//! A peer on a TLS connection of its own that says exactly what a test wants, and calls to it from another edge of the tier.

use test_support::{Authority, Carillon, PATIENCE, Redis, Starting};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::wire::{header, status};

/// TRN-09, OBD-07: a sips call between phones on two edges has TLS on every hop, that between the edges too, and so have ACK and BYE
/// of either side.
#[tokio::test]
async fn a_sips_call_reaches_a_phone_on_another_edge_by_tls_all_the_way() {
    let tier = Tier::start(true);
    let (mut alice, mut bob) = tier.phones().await;
    let invite = alice.invite().await;
    let came = bob.receive().await;
    bob.send(&response(&came, "180 Ringing", "")).await;
    let mut answer = alice.receive().await;
    if status(&answer) == 100 {
        answer = alice.receive().await;
    }
    assert_eq!(status(&answer), 180, "{answer}");
    let vias: Vec<&str> = values(&came, "Via").collect();
    assert_eq!(vias.len(), 3, "{came}");
    assert!(vias.iter().all(|via| via.starts_with("SIP/2.0/TLS ")), "{came}");
    assert!(came.starts_with("INVITE sips:bob@"), "{came}");
    let recorded: Vec<&str> = values(&came, "Record-Route").collect();
    assert!(!recorded.is_empty() && recorded.iter().all(|route| route.starts_with("<sips:")), "{came}");
    bob.send(&response(&came, "200 OK", &format!("Contact: {}\r\n", bob.contact("bob")))).await;
    let answer = alice.receive_final().await;
    assert_eq!(status(&answer), 200, "{answer}");
    let mut routes: Vec<String> = values(&answer, "Record-Route").map(str::to_owned).collect();
    routes.reverse();
    alice.within("ACK", &invite, header(&answer, "To").unwrap(), &bob.contact("bob"), &routes).await;
    assert!(bob.receive().await.starts_with("ACK sips:bob@"));
    let bye = in_dialog_of_callee(&came, &bob, &alice);
    bob.send(&bye).await;
    let came = alice.receive().await;
    assert!(came.starts_with("BYE sips:alice@"), "{came}");
    assert!(values(&came, "Via").all(|via| via.starts_with("SIP/2.0/TLS ")), "{came}");
    alice.send(&response(&came, "200 OK", "")).await;
    let answer = bob.receive_final().await;
    assert_eq!((status(&answer), header(&answer, "CSeq")), (200, Some("7 BYE")), "{answer}");
}

/// TRN-09: without TLS between the edges nothing goes in clear, and the answer says what is missing; a metric counts it.
#[tokio::test]
async fn without_tls_between_the_edges_a_sips_call_is_refused_and_the_answer_says_why() {
    let tier = Tier::start(false);
    let (mut alice, mut bob) = tier.phones().await;
    let is_told = |answer: &str| header(answer, "Warning").is_some_and(|w| w.contains("No TLS to the edge"));
    let invite = alice.invite().await;
    let answer = alice.receive_final().await;
    assert_eq!(status(&answer), 480, "{answer}");
    alice.acknowledge(&invite, &answer).await;
    assert!(is_told(&answer), "{answer}");
    let refused = tier.edges[0].metric("carillon_edge_branches_total{way=\"no_tls_between_edges\"}");
    assert!(refused >= 1.0, "{refused}");
    // Nothing came to Bob: the answer to his own request is the next thing.
    bob.request("OPTIONS sips:localhost", "<sips:localhost>").await;
    assert!(bob.receive().await.starts_with("SIP/2.0 "));
}

/// TRN-09: who does not show the certificate of the edges is not let in where they reach each other, whatever else it can show.
#[tokio::test]
async fn nobody_but_an_edge_gets_in_between_the_edges() {
    let tier = Tier::start(true);
    let said = "other edges reach this one by TLS at ";
    let line = tier.edges[1].log.wait_for("the listener between edges", |line| line.contains(said));
    let inside = line.split(said).nth(1).and_then(|rest| rest.split_whitespace().next()).expect("an address");
    let stranger = tier.authority.issue("stranger", &["localhost"]);
    for shown in [None, Some(&stranger)] {
        let stream = TcpStream::connect(inside).await.expect("it listens");
        let name = "edges.carillon.test".try_into().expect("a name");
        // By TLS 1.3 a client is done before the server has looked at its certificate.
        let Ok(mut stream) = tier.authority.client(shown).connect(name, stream).await else { continue };
        let request = "OPTIONS sips:localhost SIP/2.0\r\nVia: SIP/2.0/TLS x.invalid;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
                       From: <sips:x@localhost>;tag=1\r\nTo: <sips:localhost>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
        let _ = stream.write_all(request.as_bytes()).await;
        let read = timeout(PATIENCE, stream.read(&mut [0; 1])).await.expect("an end comes");
        assert!(matches!(read, Ok(0) | Err(_)), "it was let in");
    }
    let counted = "carillon_edge_sip_total{event=\"tls_foreign_siblings\"}";
    assert_eq!(tier.edges[1].metric(counted), 2.0);
}

/// Two edges with what they need.
struct Tier {
    edges: [Carillon; 2],
    authority: Authority,
    _registrar: Carillon,
    _redis: Redis,
}

impl Tier {
    fn start(with_tls: bool) -> Self {
        let (redis, authority) = (Redis::start(), Authority::new());
        let registrar =
            ["--roles", "registrar", "--id", "registrar-1", "--auth", "none", "--redis", &redis.url()];
        let registrar = Carillon::serve(&registrar);
        let phones = authority.issue("localhost", &["localhost"]);
        let between = authority.issue("edges", &["edges.carillon.test"]);
        let text = |path: &std::path::Path| path.to_str().expect("an UTF-8 path").to_owned();
        let (cert, key, ca) = (text(&phones.certificate), text(&phones.key), text(&authority.file()));
        let edge = |id: &str| {
            let at = format!("registrar={}", registrar.api);
            let arguments = [
                "--roles",
                "edge",
                "--id",
                id,
                "--auth",
                "none",
                "--peers",
                &at,
                "--peers",
                // Nobody is dialled and no call is told of here.
                "call-control=http://127.0.0.1:9",
                "--sip",
                "tls://127.0.0.1:0",
                "--tls-cert",
                &cert,
                "--tls-key",
                &key,
            ];
            let variables = [
                ("CARILLON_INTERNAL_TLS_LISTEN", "127.0.0.1:0".to_owned()),
                ("CARILLON_INTERNAL_TLS_CERT", text(&between.certificate)),
                ("CARILLON_INTERNAL_TLS_KEY", text(&between.key)),
                ("CARILLON_INTERNAL_TLS_CA", ca.clone()),
                // It is for calls to `sip` alone.
                ("CARILLON_EDGE_TRANSPORT_TLS", "true".to_owned()),
            ];
            let variables: Vec<(&str, &str)> =
                variables.iter().map(|(name, value)| (*name, &**value)).collect();
            Starting::with(&arguments, if with_tls { &variables } else { &[] }).ready()
        };
        let edges = [edge("edge-1"), edge("edge-2")];
        Self { edges, authority, _registrar: registrar, _redis: redis }
    }

    /// Alice at the first edge, Bob at the second one.
    async fn phones(&self) -> (Secured, Secured) {
        let mut alice = Secured::to(&self.edges[0], &self.authority, "alice").await;
        let mut bob = Secured::to(&self.edges[1], &self.authority, "bob").await;
        alice.register().await;
        bob.register().await;
        (alice, bob)
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A phone on TLS.
pub struct Secured {
    stream: Box<dyn Stream>,
    name: &'static str,
    address: std::net::SocketAddr,
    read: Vec<u8>,
    number: u32,
}

impl Secured {
    /// A phone of this name, connected.
    pub async fn to(edge: &Carillon, authority: &Authority, name: &'static str) -> Self {
        let plain = TcpStream::connect(edge.listener("tls")).await.expect("it listens");
        let address = plain.local_addr().expect("a connection has an address");
        let server = "localhost".try_into().expect("a name");
        let stream = authority.client(None).connect(server, plain).await.expect("it proves to be localhost");
        Self { stream: Box::new(stream), name, address, read: Vec::new(), number: 0 }
    }

    fn contact(&self, name: &str) -> String {
        format!("<sips:{name}@{}>", self.address)
    }

    /// Sends a request outside any dialog; says it.
    async fn request(&mut self, start: &str, to: &str) -> String {
        self.number += 1;
        let (name, number) = (self.name, self.number);
        let method = start.split(' ').next().unwrap_or_default();
        let text = format!(
            "{start} SIP/2.0\r\nVia: SIP/2.0/TLS {};branch=z9hG4bK{name}{number}\r\nMax-Forwards: 70\r\n\
             From: <sips:{name}@localhost>;tag={name}\r\nTo: {to}\r\nCall-ID: {name}-{number}-{}\r\n\
             CSeq: {number} {method}\r\nContact: {}\r\nContent-Length: 0\r\n\r\n",
            self.address,
            self.address.port(),
            self.contact(name)
        );
        self.send(&text).await;
        text
    }

    async fn register(&mut self) {
        let aor = format!("<sips:{}@localhost>", self.name);
        self.request("REGISTER sips:localhost", &aor).await;
        let answer = self.receive_final().await;
        assert_eq!(status(&answer), 200, "{answer}");
    }

    async fn invite(&mut self) -> String {
        self.request("INVITE sips:bob@localhost", "<sips:bob@localhost>").await
    }

    /// The ACK of a final response that is no success.
    async fn acknowledge(&mut self, invite: &str, answer: &str) {
        let of = |name: &str| header(invite, name).expect("every request has it");
        let start = invite.lines().next().unwrap_or_default().replacen("INVITE", "ACK", 1);
        let to = header(answer, "To").expect("every response has it");
        let text = format!(
            "{start}\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Content-Length: 0\r\n\r\n",
            of("Via"),
            of("From"),
            of("Call-ID"),
            of("CSeq").replace("INVITE", "ACK"),
        );
        self.send(&text).await;
    }

    /// A request within the dialog that an INVITE of ours began.
    async fn within(&mut self, method: &str, invite: &str, to: &str, contact: &str, routes: &[String]) {
        let of = |name: &str| header(invite, name).expect("every request has it");
        let routes: String = routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
        let text = format!(
            "{method} {} SIP/2.0\r\nVia: {}{method}\r\nMax-Forwards: 70\r\n{routes}From: {}\r\nTo: {to}\r\nCall-ID: {}\r\n\
             CSeq: {}\r\nContent-Length: 0\r\n\r\n",
            contact.trim_matches(['<', '>']),
            of("Via"),
            of("From"),
            of("Call-ID"),
            of("CSeq").replace("INVITE", method),
        );
        self.send(&text).await;
    }

    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("the connection is open");
        self.stream.flush().await.expect("the connection is open");
    }

    /// The next message; none here has a body. May be given up: what was read stays.
    async fn receive(&mut self) -> String {
        let whole = async {
            loop {
                if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                    let message: Vec<u8> = self.read.drain(..end + 4).collect();
                    return String::from_utf8(message).expect("tests speak UTF-8");
                }
                let read = self.stream.read_buf(&mut self.read).await.expect("the connection is open");
                assert!(read > 0, "the edge closed the connection");
            }
        };
        timeout(PATIENCE, whole).await.expect("a message comes")
    }

    async fn receive_final(&mut self) -> String {
        loop {
            let text = self.receive().await;
            if status(&text) >= 200 {
                return text;
            }
        }
    }
}

/// All values of a header, in their order.
fn values<'a>(message: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let fields = message.lines().filter_map(|line| line.split_once(':'));
    fields.filter(move |(found, _)| *found == name).flat_map(|(_, value)| value.split(',')).map(str::trim)
}

/// A response with a tag of our own where there is none.
fn response(request: &str, status: &str, more: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in request.lines().take_while(|line| !line.is_empty()) {
        match line.split(':').next().unwrap_or_default() {
            "Via" | "From" | "Call-ID" | "CSeq" | "Record-Route" => text.push_str(&format!("{line}\r\n")),
            "To" if line.contains(";tag=") => text.push_str(&format!("{line}\r\n")),
            "To" => text.push_str(&format!("{line};tag=b\r\n")),
            _ => {}
        }
    }
    format!("{text}{more}Content-Length: 0\r\n\r\n")
}

/// The BYE of who was called.
fn in_dialog_of_callee(invite: &str, bob: &Secured, alice: &Secured) -> String {
    let of = |name: &str| header(invite, name).expect("every request has it");
    let routes: String = values(invite, "Record-Route").map(|route| format!("Route: {route}\r\n")).collect();
    format!(
        "BYE {} SIP/2.0\r\nVia: SIP/2.0/TLS {};branch=z9hG4bKbye\r\nMax-Forwards: 70\r\n{routes}From: {};tag=b\r\nTo: {}\r\n\
         Call-ID: {}\r\nCSeq: 7 BYE\r\nContent-Length: 0\r\n\r\n",
        alice.contact("alice").trim_matches(['<', '>']),
        bob.address,
        of("To"),
        of("From"),
        of("Call-ID"),
    )
}
