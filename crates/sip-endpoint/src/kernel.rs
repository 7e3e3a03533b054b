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
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::datagrams::{DatagramSocket, Outgoing, Returned};
use crate::mmsg::{self, Inbox};

/// A UDP socket of the kernel.
pub(crate) struct KernelSocket {
    io: Arc<UdpSocket>,
    local: SocketAddr,
    inbox: Inbox,
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
        let io = Arc::new(UdpSocket::from_std(socket.into())?);
        let local = io.local_addr()?;
        mmsg::keep_returned(io.as_fd(), local)?;
        let errors = wait_for_error(io.clone());
        Ok(Self { io, local, inbox: Inbox::new(), errors })
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
            if ready!(io.poll_recv_ready(cx)).is_err() {
                return Poll::Pending;
            }
            if io.try_io(Interest::READABLE, || inbox.receive(io.as_fd())).is_ok() {
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

    fn try_send(&mut self, datagrams: &[Outgoing]) -> io::Result<usize> {
        self.io.try_io(Interest::WRITABLE, || {
            mmsg::send(self.io.as_fd(), datagrams.iter().map(|out| (out.peer, &out.bytes)))
        })
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // An error shows when sending.
        self.io.poll_send_ready(cx).map(drop)
    }

    fn poll_returned(&mut self, cx: &mut Context<'_>, returned: &mut Vec<Returned>) -> Poll<()> {
        let mut found = Poll::Pending;
        while self.errors.as_mut().poll(cx).is_ready() {
            let io = &self.io;
            // Asking through try_io until nothing is left takes the readiness back.
            let take = || io.try_io(Interest::ERROR, || mmsg::take_returned(io.as_fd()));
            if take_all(returned, take) {
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

fn wait_for_error(io: Arc<UdpSocket>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        // Only fails when the runtime is going down.
        if io.ready(Interest::ERROR).await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
