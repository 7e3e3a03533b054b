//! The sockets for datagrams of one endpoint: what waits to be sent on each, and what comes from all of them.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use sip_transaction::Key;

use crate::counters::Counters;
use crate::datagrams::{DatagramSocket, Outgoing, Returned};
use crate::hop::SocketId;

pub(crate) struct Sockets {
    sockets: Vec<Queued>,
    max_queued: usize,
    counters: Arc<Counters>,
    /// Room for one batch, kept.
    received: Vec<(SocketAddr, Bytes)>,
    returned: Vec<Returned>,
    /// How full the fullest queue was after the last batch, in percent.
    backlog: u8,
}

/// A socket and what waits for it. Calls through the box are one for each batch.
struct Queued {
    io: Box<dyn DatagramSocket>,
    local: SocketAddr,
    outbox: VecDeque<Outgoing>,
}

/// A datagram that was received.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) socket: SocketId,
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) bytes: Bytes,
}

/// A message that did not leave, or came back.
#[derive(Debug)]
pub(crate) enum Undelivered {
    /// The kernel refused it.
    Refused(Key),
    /// It came back as unreachable.
    Returned(Returned),
}

impl Sockets {
    pub(crate) fn new(
        sockets: Vec<Box<dyn DatagramSocket>>,
        max_queued: usize,
        counters: Arc<Counters>,
    ) -> Self {
        let queued = |io: Box<dyn DatagramSocket>| Queued { local: io.local(), io, outbox: VecDeque::new() };
        let sockets = sockets.into_iter().map(queued).collect();
        Self { sockets, max_queued, counters, received: Vec::new(), returned: Vec::new(), backlog: 0 }
    }

    /// The first socket that can reach this address.
    pub(crate) fn toward(&self, peer: SocketAddr) -> Option<SocketId> {
        let at = self.sockets.iter().position(|socket| socket.local.is_ipv4() == peer.is_ipv4())?;
        Some(SocketId(at as u16))
    }

    /// How full the fullest queue was after the last batch, in percent.
    pub(crate) fn backlog(&self) -> u8 {
        self.backlog
    }

    pub(crate) fn local(&self, socket: SocketId) -> Option<SocketAddr> {
        self.sockets.get(usize::from(socket.0)).map(|socket| socket.local)
    }

    /// Queues a datagram; `false` when there is no such socket. The oldest is dropped when too many wait: it is the one
    /// that is repeated first.
    pub(crate) fn queue(
        &mut self,
        socket: SocketId,
        peer: SocketAddr,
        bytes: Bytes,
        origin: Option<Key>,
    ) -> bool {
        let Some(socket) = self.sockets.get_mut(usize::from(socket.0)) else { return false };
        if socket.outbox.len() >= self.max_queued {
            socket.outbox.pop_front();
            self.counters.datagrams_dropped.one_more();
        }
        socket.outbox.push_back(Outgoing { peer, bytes, origin });
        true
    }

    /// Receives one batch from every socket that has one.
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>, incoming: &mut Vec<Incoming>) -> Poll<()> {
        let mut found = Poll::Pending;
        self.backlog = 0;
        for (at, socket) in self.sockets.iter_mut().enumerate() {
            if socket.io.poll_receive(cx, &mut self.received).is_ready() {
                found = Poll::Ready(());
                let (local, at) = (socket.local, SocketId(at as u16));
                // Only a queue that was full has lost any, and a full queue gives more than one datagram.
                if self.received.len() > 1 {
                    let backlog = socket.io.backlog();
                    self.counters.datagrams_overrun.add(backlog.lost);
                    self.backlog = self.backlog.max(backlog.percent);
                }
                let batch = self.received.drain(..);
                incoming.extend(batch.map(|(peer, bytes)| Incoming { socket: at, local, peer, bytes }));
            }
        }
        self.counters.datagrams_received.add(incoming.len() as u64);
        found
    }

    /// Gives the sockets what they take. The rest waits until they take more.
    pub(crate) fn flush(&mut self, undelivered: &mut Vec<Undelivered>) {
        for Queued { io, outbox, .. } in &mut self.sockets {
            while !outbox.is_empty() {
                match io.try_send(outbox.as_slices().0) {
                    Ok(count) => {
                        outbox.drain(..count);
                        self.counters.datagrams_sent.add(count as u64);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // The kernel reports a datagram that came back by failing the next call.
                    Err(_) if io.take_returned(&mut self.returned) => {
                        undelivered.extend(self.returned.drain(..).map(Undelivered::Returned));
                    }
                    Err(_) => {
                        self.counters.datagrams_unreachable.one_more();
                        let refused = outbox.pop_front().and_then(|out| out.origin);
                        undelivered.extend(refused.map(Undelivered::Refused));
                    }
                }
            }
        }
    }

    /// Takes in what came back, and asks to be woken when more does or when a socket takes what still waits.
    pub(crate) fn poll_errors(
        &mut self,
        cx: &mut Context<'_>,
        undelivered: &mut Vec<Undelivered>,
    ) -> Poll<()> {
        let mut found = Poll::Pending;
        for Queued { io, outbox, .. } in &mut self.sockets {
            if io.poll_returned(cx, &mut self.returned).is_ready() {
                found = Poll::Ready(());
                undelivered.extend(self.returned.drain(..).map(Undelivered::Returned));
            }
            if !outbox.is_empty() && io.poll_writable(cx).is_ready() {
                found = Poll::Ready(());
            }
        }
        found
    }
}
