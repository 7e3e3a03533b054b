//! What an endpoint needs of a socket for datagrams. The kernel's is in `kernel.rs`; a simulation brings its own.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::Bytes;
use sip_transaction::Key;

/// A bound socket for datagrams, read and written in batches. Every method returns at once; those called `poll` leave a waker
/// when they have nothing.
pub trait DatagramSocket: Send + 'static {
    /// The address it is bound to.
    fn local(&self) -> SocketAddr;

    /// Puts what has come into `received`, with the sender of each: one batch, so that other sources get their turn. Ready
    /// when there was something.
    fn poll_receive(&mut self, cx: &mut Context<'_>, received: &mut Vec<(SocketAddr, Bytes)>) -> Poll<()>;

    /// What a batch has left behind.
    fn backlog(&mut self) -> Backlog {
        Backlog::default()
    }

    /// Sends the first of these and says how many, at least one.
    ///
    /// # Errors
    /// `WouldBlock` when none can be taken now; anything else concerns the first one.
    fn try_send(&mut self, datagrams: &[Outgoing]) -> io::Result<usize>;

    /// Ready when [`try_send`](Self::try_send) may take one again.
    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Takes what came back as unreachable; ready when there was something.
    fn poll_returned(&mut self, cx: &mut Context<'_>, returned: &mut Vec<Returned>) -> Poll<()>;

    /// Takes what has come back by now, without waiting for more; says whether that was the reason of a failure of
    /// [`try_send`](Self::try_send).
    fn take_returned(&mut self, returned: &mut Vec<Returned>) -> bool;
}

/// How far the taking of datagrams is behind their coming.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Datagrams that were lost since this was asked last, because they came faster than they were taken.
    pub lost: u64,
    /// How full the queue is, in percent.
    pub percent: u8,
}

/// A datagram to send.
#[derive(Debug)]
pub struct Outgoing {
    /// Where it goes.
    pub peer: SocketAddr,
    /// What it says.
    pub bytes: Bytes,
    /// The transaction that is told when it does not leave.
    pub(crate) origin: Option<Key>,
}

/// A datagram that did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// Where it should have gone.
    pub peer: SocketAddr,
    /// Its beginning.
    pub head: Bytes,
    /// The far host says that nobody listens at the port; any other reason may pass by itself. RFC 792, RFC 4443 3.1
    pub refused: bool,
}
