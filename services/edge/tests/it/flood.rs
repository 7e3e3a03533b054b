//! More datagrams than the edge can take: what is refused, and what passes all the same.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use sip_endpoint::{Backlog, DatagramSocket, Outgoing, Returned, SystemDns};
use sip_message::{HeaderId, Limits, Message};

use crate::peer::{response_to, values};
use crate::rig::Rig;
use crate::services::{FakeLocation, fork_to};

/// What the queue has room for.
const ROOM: usize = 320;
/// As many as one call to the kernel takes.
const BATCH: usize = 32;
const EDGE: &str = "192.0.2.1:5060";
const ALICE: &str = "192.0.2.2:5060";
const BOB: &str = "192.0.2.3:5060";

/// OVL-03
#[tokio::test]
async fn a_flood_is_refused_in_part_and_the_dialogs_pass() {
    let wires = Wires::default();
    let location = FakeLocation::planning(|_| fork_to(&[format!("sip:bob@{BOB}")]));
    let configure = |config: &mut edge::Config| {
        // The endpoint resolves nothing of its socket's address.
        config.endpoint.listen[0].address = EDGE.parse().unwrap();
        config.overload_interval = Duration::ZERO;
        // Only the queue is to decide: how fast this machine is does not.
        config.overload_delay = Duration::from_secs(3600);
    };
    let _rig = Rig::over(location, Arc::new(SystemDns), configure, Some(Box::new(wires.clone()))).await;
    let route = dialog(&wires).await;

    let mut flood = Vec::new();
    for number in 0..ROOM {
        let start = format!("INVITE sip:bob@{EDGE}");
        flood.push(if number % 10 == 0 {
            request(&format!("MESSAGE sip:bob@{BOB}"), "dialog", number, ";tag=bt", &route)
        } else if number % 10 == 1 {
            request(&format!("OPTIONS sip:{EDGE}"), "options", number, "", "")
        } else {
            request(&start, "flood", number, "", "")
        });
    }
    wires.bring(flood);

    let (mut passed, mut refused, mut taken, mut refused_options) = (0, 0, 0, 0);
    while passed < ROOM / 10 || refused + taken < ROOM / 10 * 8 {
        let (peer, message) = wires.sent().await;
        match (peer.to_string().as_str(), message.method_str(), message.status()) {
            (BOB, "MESSAGE", None) => passed += 1,
            (BOB, "INVITE", None) => taken += 1,
            (ALICE, "INVITE", Some(503)) => {
                assert!(!message.has(HeaderId::RetryAfter), "all would come again at once");
                refused += 1;
            }
            (ALICE, "OPTIONS", Some(503)) => refused_options += 1,
            (ALICE, "MESSAGE", Some(status)) => panic!("{status} to a dialog"),
            _ => {}
        }
    }
    // The batches that were taken while more than three quarters of the queue waited.
    let (most, half) = (ROOM / 4 / BATCH * BATCH / 10 * 8, ROOM / 2 / 10);
    assert!((most - 8..=most + 8 * 4).contains(&refused), "{refused} of {taken}");
    assert!(refused_options > refused / 8 && refused_options <= half, "{refused_options}");
}

/// Alice and Bob are connected; the Route of Alice.
async fn dialog(wires: &Wires) -> String {
    wires.bring(vec![request(&format!("INVITE sip:bob@{EDGE}"), "dialog", 0, "", "")]);
    let invite = loop {
        let (peer, message) = wires.sent().await;
        if peer.to_string() == BOB {
            break message;
        }
    };
    let contact = format!("Contact: <sip:bob@{BOB}>");
    wires.bring(vec![(BOB.parse().unwrap(), response_to(&invite, "200 OK", "bt", &[&contact]).into())]);
    loop {
        let (_, message) = wires.sent().await;
        if message.status() == Some(200) {
            return format!("Route: {}\r\n", values(&message, HeaderId::RecordRoute).join(", "));
        }
    }
}

/// A request of Alice.
fn request(start: &str, call: &str, number: usize, to_tag: &str, lines: &str) -> (SocketAddr, Bytes) {
    let method = start.split(' ').next().unwrap();
    let call_id = if call == "dialog" { call.to_owned() } else { format!("{call}{number}") };
    let text = format!(
        "{start} SIP/2.0\r\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bK{call}{number}{method}\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@example.com>;tag=at\r\nTo: <sip:bob@example.com>{to_tag}\r\nCall-ID: {call_id}\r\n\
         CSeq: {} {method}\r\nContact: <sip:alice@{ALICE}>\r\n{lines}Content-Length: 0\r\n\r\n",
        number + 1
    );
    (ALICE.parse().unwrap(), text.into())
}

/// A socket with a queue of a certain size.
#[derive(Clone, Default)]
struct Wires {
    inner: Arc<Mutex<Inner>>,
    news: Arc<tokio::sync::Notify>,
}

#[derive(Default)]
struct Inner {
    came: VecDeque<(SocketAddr, Bytes)>,
    sent: VecDeque<(SocketAddr, Bytes)>,
    reader: Option<Waker>,
}

impl Wires {
    /// All at once.
    fn bring(&self, datagrams: Vec<(SocketAddr, Bytes)>) {
        let mut inner = self.inner.lock().unwrap();
        inner.came.extend(datagrams);
        assert!(inner.came.len() <= ROOM);
        if let Some(reader) = inner.reader.take() {
            reader.wake();
        }
    }

    /// The next message of the edge, and to whom.
    async fn sent(&self) -> (SocketAddr, Message) {
        let wait = async {
            loop {
                let news = self.news.notified();
                if let Some(sent) = self.inner.lock().unwrap().sent.pop_front() {
                    return sent;
                }
                news.await;
            }
        };
        let (peer, bytes) = tokio::time::timeout(Duration::from_secs(10), wait).await.expect("a message");
        (peer, Message::parse(bytes, &Limits::default()).unwrap())
    }
}

impl DatagramSocket for Wires {
    fn local(&self) -> SocketAddr {
        EDGE.parse().unwrap()
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>, received: &mut Vec<(SocketAddr, Bytes)>) -> Poll<()> {
        let mut inner = self.inner.lock().unwrap();
        let count = inner.came.len().min(BATCH);
        if count == 0 {
            inner.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        received.extend(inner.came.drain(..count));
        Poll::Ready(())
    }

    fn backlog(&mut self) -> Backlog {
        let waiting = self.inner.lock().unwrap().came.len();
        Backlog { lost: 0, percent: (waiting * 100 / ROOM) as u8 }
    }

    fn try_send(&mut self, datagrams: &[Outgoing]) -> io::Result<usize> {
        let mut inner = self.inner.lock().unwrap();
        inner.sent.extend(datagrams.iter().map(|out| (out.peer, out.bytes.clone())));
        self.news.notify_one();
        Ok(datagrams.len())
    }

    fn poll_writable(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn poll_returned(&mut self, _: &mut Context<'_>, _: &mut Vec<Returned>) -> Poll<()> {
        Poll::Pending
    }

    fn take_returned(&mut self, _: &mut Vec<Returned>) -> bool {
        false
    }
}
