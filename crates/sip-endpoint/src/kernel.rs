//! The kernel's sockets for datagrams.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};

use crate::datagrams::{Backlog, DatagramSocket, Outgoing, Returned};
use crate::mmsg::{self, Inbox, Queue};

/// A UDP socket of the kernel.
pub(crate) struct KernelSocket {
    /// Tells of what can be read, and not of what can be written: that would wake us once more for each datagram that left.
    io: Arc<AsyncFd<Socket>>,
    /// The same socket, as long as we wait until it takes more.
    full: Option<AsyncFd<Socket>>,
    local: SocketAddr,
    inbox: Inbox,
    /// What the kernel has dropped so far.
    lost: u32,
    /// Wakes us when something came back.
    errors: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl KernelSocket {
    /// Binds a socket with large buffers.
    pub(crate) fn bind(address: SocketAddr, buffer: usize) -> io::Result<Self> {
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
        let local = socket.local_addr()?.as_socket();
        let local = local.ok_or_else(|| io::Error::other("the socket has no Internet address"))?;
        mmsg::keep_returned(socket.as_fd(), local)?;
        let io = Arc::new(mmsg::register(socket, Interest::READABLE)?);
        let errors = wait_for_error(io.clone());
        Ok(Self { io, full: None, local, inbox: Inbox::new(), lost: 0, errors })
    }
}

impl DatagramSocket for KernelSocket {
    fn local(&self) -> SocketAddr {
        self.local
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>, received: &mut Vec<(SocketAddr, Bytes)>) -> Poll<()> {
        /// One failure for each datagram that came back is ordinary; more in a row wait for the next round.
        const PATIENCE: usize = 4;
        let Self { io, inbox, .. } = self;
        for _ in 0..PATIENCE {
            let Ok(mut readable) = ready!(io.poll_read_ready(cx)) else { return Poll::Pending };
            let taken = inbox.receive(io.as_fd());
            // Less than there was room for: the queue is empty, and asking again would be one call more for each batch. What
            // comes from now on is told anew.
            let is_empty = match &taken {
                Ok(took_all) => *took_all,
                Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            };
            if is_empty {
                readable.clear_ready_matching(Ready::READABLE);
            }
            if taken.is_ok() {
                let before = received.len();
                received.extend(inbox.datagrams());
                if received.len() > before {
                    return Poll::Ready(());
                }
                // Nothing but empty datagrams: there may be more behind them.
                break;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn backlog(&mut self) -> Backlog {
        let Ok(Queue { dropped, percent }) = mmsg::queue(self.io.as_fd()) else { return Backlog::default() };
        let lost = dropped.wrapping_sub(std::mem::replace(&mut self.lost, dropped));
        Backlog { lost: lost.into(), percent }
    }

    fn try_send(&mut self, datagrams: &[Outgoing]) -> io::Result<usize> {
        mmsg::send(self.io.as_fd(), datagrams.iter().map(|out| (out.peer, &out.bytes)))
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.full.is_none() {
            let same = self.io.get_ref().try_clone();
            self.full = same.and_then(|same| mmsg::register(same, Interest::WRITABLE)).ok();
        }
        // An error shows when sending.
        if let Some(full) = &self.full {
            ready!(full.poll_write_ready(cx)).map(drop).unwrap_or_default();
        }
        self.full = None;
        Poll::Ready(())
    }

    fn poll_returned(&mut self, cx: &mut Context<'_>, returned: &mut Vec<Returned>) -> Poll<()> {
        let mut found = Poll::Pending;
        while self.errors.as_mut().poll(cx).is_ready() {
            if take_all(returned, || mmsg::take_returned(self.io.as_fd())) {
                found = Poll::Ready(());
            }
            self.errors = wait_for_error(self.io.clone());
        }
        found
    }

    fn take_returned(&mut self, returned: &mut Vec<Returned>) -> bool {
        take_all(returned, || mmsg::take_returned(self.io.as_fd()))
    }
}

fn take_all(returned: &mut Vec<Returned>, mut take: impl FnMut() -> io::Result<Option<Returned>>) -> bool {
    let mut any = false;
    while let Ok(one) = take() {
        any = true;
        returned.extend(one);
    }
    any
}

fn wait_for_error(io: Arc<AsyncFd<Socket>>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        match io.ready(Interest::ERROR).await {
            // Taken back before the errors are read: one that comes meanwhile is told anew.
            Ok(mut told) => told.clear_ready_matching(Ready::ERROR),
            // Only when the runtime is going down.
            Err(_) => std::future::pending().await,
        }
    })
}
