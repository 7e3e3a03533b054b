//! The sockets for datagrams: read and written in batches.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use sip_transaction::Key;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::counters::Counters;
use crate::hop::SocketId;
use crate::mmsg::{self, Inbox, Returned};

pub(crate) struct Sockets {
    sockets: Vec<DatagramSocket>,
    inbox: Inbox,
    max_queued: usize,
    counters: Arc<Counters>,
}

struct DatagramSocket {
    io: Arc<UdpSocket>,
    local: SocketAddr,
    outbox: VecDeque<Outgoing>,
    /// Wakes us when something came back.
    errors: Pin<Box<dyn Future<Output = ()> + Send>>,
}

struct Outgoing {
    peer: SocketAddr,
    bytes: Bytes,
    origin: Option<Key>,
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
    pub(crate) fn new(max_queued: usize, counters: Arc<Counters>) -> Self {
        Self { sockets: Vec::new(), inbox: Inbox::new(), max_queued, counters }
    }

    pub(crate) fn add(&mut self, socket: UdpSocket) -> io::Result<SocketId> {
        let local = socket.local_addr()?;
        mmsg::keep_returned(socket.as_fd(), local)?;
        let io = Arc::new(socket);
        let errors = wait_for_error(io.clone());
        self.sockets.push(DatagramSocket { io, local, outbox: VecDeque::new(), errors });
        Ok(SocketId((self.sockets.len() - 1) as u16))
    }

    /// The first socket that can reach this address.
    pub(crate) fn toward(&self, peer: SocketAddr) -> Option<SocketId> {
        let at = self.sockets.iter().position(|socket| socket.local.is_ipv4() == peer.is_ipv4())?;
        Some(SocketId(at as u16))
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
        for (at, socket) in self.sockets.iter().enumerate() {
            if poll_batch(socket, &mut self.inbox, cx).is_ready() {
                let (local, at) = (socket.local, SocketId(at as u16));
                let batch = self.inbox.datagrams();
                incoming.extend(batch.map(|(peer, bytes)| Incoming { socket: at, local, peer, bytes }));
            }
        }
        self.counters.datagrams_received.add(incoming.len() as u64);
        if incoming.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Gives the kernel what it takes. The rest waits until it takes more.
    pub(crate) fn flush(&mut self, undelivered: &mut Vec<Undelivered>) {
        for socket in &mut self.sockets {
            while !socket.outbox.is_empty() {
                let outbox = &socket.outbox;
                let sent = socket.io.try_io(Interest::WRITABLE, || {
                    mmsg::send(socket.io.as_fd(), outbox.iter().map(|out| (out.peer, &out.bytes)))
                });
                match sent {
                    Ok(count) => {
                        socket.outbox.drain(..count);
                        self.counters.datagrams_sent.add(count as u64);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // The kernel reports a datagram that came back by failing the next call.
                    Err(_) if take_returned(undelivered, || mmsg::take_returned(socket.io.as_fd())) => {}
                    Err(_) => {
                        self.counters.datagrams_unreachable.one_more();
                        let refused = socket.outbox.pop_front().and_then(|out| out.origin);
                        undelivered.extend(refused.map(Undelivered::Refused));
                    }
                }
            }
        }
    }

    /// Takes in what came back, and asks to be woken when more does or when the kernel takes what still waits.
    pub(crate) fn poll_errors(
        &mut self,
        cx: &mut Context<'_>,
        undelivered: &mut Vec<Undelivered>,
    ) -> Poll<()> {
        let mut found = Poll::Pending;
        for socket in &mut self.sockets {
            while socket.errors.as_mut().poll(cx).is_ready() {
                let io = &socket.io;
                // Asking through try_io until nothing is left takes the readiness back.
                let take = || io.try_io(Interest::ERROR, || mmsg::take_returned(io.as_fd()));
                if take_returned(undelivered, take) {
                    found = Poll::Ready(());
                }
                socket.errors = wait_for_error(socket.io.clone());
            }
            if !socket.outbox.is_empty() && socket.io.poll_send_ready(cx).is_ready() {
                found = Poll::Ready(());
            }
        }
        found
    }
}

/// Binds a socket for datagrams with large buffers.
pub(crate) fn bind(address: SocketAddr, buffer: usize) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // An IPv4 peer belongs to the IPv4 socket; mapped addresses would show it by another name.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    // The kernel silently gives what its limit allows.
    socket.set_recv_buffer_size(buffer)?;
    socket.set_send_buffer_size(buffer)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

fn poll_batch(socket: &DatagramSocket, inbox: &mut Inbox, cx: &mut Context<'_>) -> Poll<()> {
    /// One failure for each datagram that came back is ordinary; more in a row wait for the next round.
    const PATIENCE: usize = 4;
    for _ in 0..PATIENCE {
        if ready!(socket.io.poll_recv_ready(cx)).is_err() {
            return Poll::Pending;
        }
        if socket.io.try_io(Interest::READABLE, || inbox.receive(socket.io.as_fd())).is_ok() {
            return Poll::Ready(());
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

fn take_returned(
    undelivered: &mut Vec<Undelivered>,
    mut take: impl FnMut() -> io::Result<Option<Returned>>,
) -> bool {
    let mut any = false;
    while let Ok(returned) = take() {
        any = true;
        undelivered.extend(returned.map(Undelivered::Returned));
    }
    any
}

fn wait_for_error(io: Arc<UdpSocket>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        // Only fails when the runtime is going down.
        if io.ready(Interest::ERROR).await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
