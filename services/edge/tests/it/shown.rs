//! What a phone whose connection another edge has is shown of the tier.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use cluster_api::cluster::v1::Member;
use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Fork, Group, RegisterResponse, Target};
use cluster_rpc::membership::View;
use sip_endpoint::{ListenStream, Transport};
use sip_message::{HeaderId, Limits, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::peer::values;
use crate::rig::{Rig, only_member};
use crate::services::FakeLocation;
use crate::stream::Connection;

/// PXY-12, OBD-07, TRN-09: the transport that it has and the name that reaches it there, not how the edges reach each other; a phone of
/// the inside is shown the inside.
#[tokio::test]
async fn a_phone_on_another_edge_is_shown_its_own_way_to_this_tier() {
    let flow = Arc::new(Mutex::new(String::new()));
    let (holder, entry) = (edge("edge-2", &flow).await, edge("edge-1", &flow).await);
    let members: Arc<[Member]> =
        [("edge-1", entry.address), ("edge-2", holder.address)].map(only_member).into();
    for edge in [&holder, &entry] {
        edge.learns(View::fixed(members.clone(), vec![9; 32]));
    }
    let (port, inside) = (entry.address.port(), entry.address);
    for (from, transport, shown) in [
        ("127.0.0.2", Transport::Tcp, format!("@edge.example.com:{port};transport=tcp;")),
        ("127.0.0.1", Transport::Tcp, format!("@{inside};transport=tcp;")),
        ("127.0.0.2", Transport::Ws, "@ws.example.com:80;transport=ws;".to_owned()),
    ] {
        let contact = format!("Contact: <sip:bob@df7jal23ls0d.invalid;transport={}>", param(transport));
        let lines =
            ["From: <sip:bob@example.com>;tag=b", "To: <sip:bob@example.com>", "Call-ID: r1", &contact];
        let alice = entry.peer().await;
        let call_id = format!("Call-ID: c-{from}-{}", param(transport));
        let call = ["From: <sip:alice@example.com>;tag=at", "To: <sip:bob@example.com>", &call_id];
        let invite = match transport {
            Transport::Tcp => {
                let mut bob = Connection::of(connected(from, holder.address).await);
                bob.request("REGISTER sip:example.com", "r1", &lines).await;
                bob.receive_status(200).await;
                alice.request("INVITE sip:bob@example.com", "a1", &call).await;
                bob.receive_request("INVITE").await
            }
            Transport::Ws => {
                let mut bob = Page::of(connected(from, holder.websocket()).await).await;
                bob.send(&format!(
                    "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/WS p.invalid;branch=z9hG4bKr\r\nCSeq: 1 REGISTER\r\n\
                     Max-Forwards: 70\r\n{}\r\nContent-Length: 0\r\n\r\n",
                    lines.join("\r\n")
                ))
                .await;
                assert_eq!(bob.receive().await.status(), Some(200));
                alice.request("INVITE sip:bob@example.com", "a1", &call).await;
                bob.receive().await
            }
            Transport::Udp | Transport::Tls | Transport::Wss => unreachable!("not in the table"),
        };
        let record_route = values(&invite, HeaderId::RecordRoute);
        assert!(record_route[0].contains(&shown), "{shown} {record_route:?}");
    }
}

fn param(transport: Transport) -> String {
    transport.as_str().to_ascii_lowercase()
}

/// An edge with names for the outside; everybody is reached by the flow that registered last.
async fn edge(id: &str, flow: &Arc<Mutex<String>>) -> Rig {
    let (writer, reader) = (flow.clone(), flow.clone());
    let location = FakeLocation::full(
        move |request| {
            let flow = reader.lock().unwrap().clone();
            let target = Target { uri: request.request_uri.clone(), flow, ..Target::default() };
            let group = Group { targets: vec![target], ring_time: None, cause: "contact".into() };
            Ok(Plan::Fork(Fork { groups: vec![group], recurse: false }))
        },
        move |request| {
            *writer.lock().unwrap() = request.flow.clone();
            RegisterResponse { status: 200, ..RegisterResponse::default() }
        },
    );
    Rig::configured(location, |config| {
        config.id = id.to_owned();
        config.endpoint.listen[0].advertise = Some("edge.example.com".to_owned());
        config.endpoint.local_nets = vec!["127.0.0.1/32".parse().expect("a network")];
        config.endpoint.streams.push(ListenStream {
            transport: Transport::Ws,
            address: "127.0.0.1:0".parse().expect("an address"),
            advertise: Some("ws.example.com:80".to_owned()),
        });
    })
    .await
}

/// A connection from this address.
async fn connected(from: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("there are sockets");
    socket.bind(SocketAddr::new(from.parse().expect("an address"), 0)).expect("loopback has free ports");
    socket.connect(to).await.expect("the edge listens")
}

/// A page on a WebSocket, as far as it has to be one.
struct Page(TcpStream);

impl Page {
    async fn of(mut stream: TcpStream) -> Self {
        let ask = "GET / HTTP/1.1\r\nHost: ws.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Protocol: sip\r\n\r\n";
        stream.write_all(ask.as_bytes()).await.expect("the connection is open");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.expect("the edge answers"));
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
        Self(stream)
    }

    /// One frame of text whose mask changes nothing.
    async fn send(&mut self, text: &str) {
        let length = u16::try_from(text.len()).expect("a short message").to_be_bytes();
        let head = [0x81, 0x80 | 126, length[0], length[1], 0, 0, 0, 0];
        self.0.write_all(&[&head, text.as_bytes()].concat()).await.expect("the connection is open");
    }

    async fn receive(&mut self) -> Message {
        let _ = self.0.read_u8().await.expect("a frame comes");
        let length = match self.0.read_u8().await.expect("a frame has a length") {
            126 => self.0.read_u16().await.expect("a frame has a length"),
            short => short.into(),
        };
        let mut text = vec![0; length.into()];
        self.0.read_exact(&mut text).await.expect("a frame has a text");
        Message::parse(text.into(), &Limits::default()).expect("the edge sends messages")
    }
}
