//! A socket of the test instead of one of the kernel: with a queue of a known size, and in virtual time where a test pauses it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use sip_endpoint::{Backlog, DatagramSocket, Dns, Outgoing, Returned, SystemDns};
use sip_message::{Limits, Message};
use tokio::time::Instant;

use crate::rig::Rig;
use crate::services::FakeLocation;

/// What the queue has room for.
pub(crate) const ROOM: usize = 320;
/// As many as one call to the kernel takes.
pub(crate) const BATCH: usize = 32;
/// The edge on it.
pub(crate) const EDGE: &str = "192.0.2.1:5060";

/// The far end of the socket.
#[derive(Clone, Default)]
pub(crate) struct Wires {
    inner: Arc<Mutex<Inner>>,
    news: Arc<tokio::sync::Notify>,
}

#[derive(Default)]
struct Inner {
    came: VecDeque<(SocketAddr, Bytes)>,
    sent: VecDeque<(Instant, SocketAddr, Bytes)>,
    reader: Option<Waker>,
}

impl Rig {
    /// An edge whose only socket is this one.
    pub(crate) async fn on_wires(
        location: Arc<FakeLocation>,
        configure: impl FnOnce(&mut edge::Config),
    ) -> (Self, Wires) {
        Self::on_wires_resolving(location, Arc::new(SystemDns), configure).await
    }

    /// The same with a name server of the test.
    pub(crate) async fn on_wires_resolving(
        location: Arc<FakeLocation>,
        dns: Arc<dyn Dns>,
        configure: impl FnOnce(&mut edge::Config),
    ) -> (Self, Wires) {
        let wires = Wires::default();
        let configure = |config: &mut edge::Config| {
            // The endpoint resolves nothing of its socket's address.
            config.endpoint.listen[0].address = EDGE.parse().unwrap();
            configure(config);
        };
        let socket = Box::new(wires.clone());
        (Self::over(location, dns, configure, Some(socket)).await, wires)
    }
}

impl Wires {
    /// All at once.
    pub(crate) fn bring(&self, datagrams: Vec<(SocketAddr, Bytes)>) {
        let mut inner = self.inner.lock().unwrap();
        inner.came.extend(datagrams);
        assert!(inner.came.len() <= ROOM);
        if let Some(reader) = inner.reader.take() {
            reader.wake();
        }
    }

    /// The next message of the edge, and to whom.
    pub(crate) async fn sent(&self) -> (SocketAddr, Message) {
        let wait = async {
            loop {
                let news = self.news.notified();
                if let Some((_, peer, bytes)) = self.inner.lock().unwrap().sent.pop_front() {
                    return (peer, bytes);
                }
                news.await;
            }
        };
        let (peer, bytes) = tokio::time::timeout(Duration::from_secs(10), wait).await.expect("a message");
        (peer, read(bytes))
    }

    /// Everything that the edge has sent and nobody has looked at, with the time it was sent.
    pub(crate) fn take_sent(&self) -> Vec<(Instant, Message)> {
        self.take_all().into_iter().map(|(at, _, message)| (at, message)).collect()
    }

    /// The same with the receiver of each.
    pub(crate) fn take_all(&self) -> Vec<(Instant, SocketAddr, Message)> {
        let sent = std::mem::take(&mut self.inner.lock().unwrap().sent);
        sent.into_iter().map(|(at, peer, bytes)| (at, peer, read(bytes))).collect()
    }
}

fn read(bytes: Bytes) -> Message {
    Message::parse(bytes, &Limits::default()).unwrap()
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
        let now = Instant::now();
        inner.sent.extend(datagrams.iter().map(|out| (now, out.peer, out.bytes.clone())));
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
