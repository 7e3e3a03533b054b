//! One connection: bytes to messages and back, for any stream that can be read and written.
//!
//! A connection has a task of its own, so that a peer that reads slowly holds up nobody else. What it reads goes to the
//! driver through one bounded queue for all connections; when that is full, reading pauses and TCP slows the peer down.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sip_message::{Frame, Framer, Limits, Message, ParseError};
use sip_transaction::Key;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::flow::FlowEnd;
use crate::hop::FlowId;
use crate::lingering::Lingering;
use crate::returning::Tried;
use crate::tls::Secured;

/// A message on its way out, and whom to tell when it does not get there.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) bytes: Bytes,
    pub(crate) origin: Option<Key>,
    pub(crate) tried: Tried,
}

impl Parcel {
    pub(crate) fn new(bytes: Bytes, origin: Option<Key>) -> Self {
        Self { bytes, origin, tried: Tried::Nothing }
    }
}

/// What a connection tells the driver.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) flow: FlowId,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    /// The connection that we opened is up, or one that we accepted has shaken hands; what TLS has proved of it.
    Opened(Option<Secured>),
    /// A message came.
    Message(Box<Message>),
    /// A keep-alive came and is being answered.
    Ping,
    /// Something came that is no message. When `fatal`, the stream cannot be cut into messages any more; the driver
    /// answers if it can and closes the flow.
    Malformed { error: ParseError, bytes: Bytes, fatal: bool },
    /// The connection is gone; what was still to be sent on it.
    Closed { end: FlowEnd, unsent: Vec<Parcel> },
}

/// How patient a connection is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) limits: Limits,
    pub(crate) message: Duration,
    pub(crate) write: Duration,
    pub(crate) idle: Duration,
    /// The same for a connection that carries nothing.
    pub(crate) stranger: Duration,
    /// After what silence a WebSocket peer is asked whether it is there.
    pub(crate) ping: Duration,
}

/// What joins the task of a connection to the driver.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) flow: FlowId,
    pub(crate) outgoing: mpsc::Receiver<Parcel>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) patience: Patience,
    /// Whether it carries something: a registration, a dialog, requests of ours.
    pub(crate) kept: Arc<AtomicBool>,
    pub(crate) lingering: Arc<Lingering>,
}

impl Line {
    pub(crate) fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    /// How long it may be silent.
    pub(crate) fn idle(&self) -> Duration {
        if self.is_kept() { self.patience.idle } else { self.patience.stranger.min(self.patience.idle) }
    }

    /// It is up.
    pub(crate) async fn opened(&self, secured: Option<Secured>) {
        // The driver is gone only when everything is.
        let _ = self.events.send(Event { flow: self.flow, what: What::Opened(secured) }).await;
    }

    /// It is over; `in_hand` was taken from the queue and did not leave.
    pub(crate) async fn end(self, end: FlowEnd, in_hand: Vec<Parcel>) {
        let unsent = unsent(in_hand, self.outgoing).await;
        let _ = self.events.send(Event { flow: self.flow, what: What::Closed { end, unsent } }).await;
    }
}

/// How the kernel is to treat a connection; `unread` is how long a peer may leave our bytes without a word that they came.
pub(crate) fn settle(stream: &TcpStream, unread: Duration) {
    // Messages are small and each matters: do not wait to fill a segment.
    let _ = stream.set_nodelay(true);
    // A phone that vanished without FIN ends its connection then, and what waits for an answer goes another way (RFC 5626 5.3). The
    // kernel would repeat for a quarter of an hour.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(unread));
}

/// What is read at a time: most messages of a phone fit, and an idle connection holds no more.
const READ: usize = 2 * 1024;

/// Pings that may wait for their answer.
const PONGS: usize = 16;

/// Runs a connection until either side ends it, and reports the end.
pub(crate) async fn run<S>(stream: S, mut line: Line)
where
    S: AsyncRead + AsyncWrite + Send,
{
    let (mut reader, writer) = tokio::io::split(stream);
    let (pong, pongs) = mpsc::channel(PONGS);
    let (activity, active) = tokio::sync::watch::channel(Instant::now());
    let mut in_hand = Vec::new();
    // Apart from the line, which the reading half looks at meanwhile.
    let mut outgoing = std::mem::replace(&mut line.outgoing, mpsc::channel(1).1);
    let end = tokio::select! {
        biased;
        // Writing first: what we owe goes out before more is taken in.
        end = write(writer, &mut outgoing, pongs, &mut in_hand, &activity, line.patience) => end,
        end = read(&mut reader, &line, pong, active) => end,
    };
    line.outgoing = outgoing;
    if end == FlowEnd::Ours {
        line.lingering.leave(&mut reader).await;
    }
    line.end(end, in_hand).await;
}

/// What will not leave by this connection.
async fn unsent(mut in_hand: Vec<Parcel>, mut outgoing: mpsc::Receiver<Parcel>) -> Vec<Parcel> {
    outgoing.close();
    while let Some(parcel) = outgoing.recv().await {
        in_hand.push(parcel);
    }
    in_hand
}

async fn read<S: AsyncRead>(
    stream: &mut ReadHalf<S>,
    line: &Line,
    pong: mpsc::Sender<()>,
    active: tokio::sync::watch::Receiver<Instant>,
) -> FlowEnd {
    let Line { flow, events, patience, .. } = line;
    let mut framer = Framer::new(patience.limits);
    let mut buffer = BytesMut::with_capacity(READ);
    // When anything came; when a message did, or what keeps a connection alive that carries something.
    let (mut last_read, mut last_said) = (Instant::now(), Instant::now());
    // A peer that has just connected owes its first message as one that began a message owes the rest.
    let mut owed_since = Some(last_read);
    loop {
        let deadline = match owed_since {
            Some(since) => since + patience.message,
            None => last_said.max(*active.borrow()) + line.idle(),
        };
        let read = tokio::select! {
            biased;
            read = stream.read_buf(&mut buffer) => read,
            () = sleep_until(deadline) => {
                let has_spoken = owed_since.is_none() && last_said.max(*active.borrow()) + line.idle() > deadline;
                if has_spoken {
                    continue;
                }
                return if owed_since.is_some() { FlowEnd::Unfinished } else { FlowEnd::Idle };
            }
        };
        match read {
            Ok(0) => return FlowEnd::Peer,
            Ok(_) => {}
            Err(error) => return FlowEnd::Broken(error.kind()),
        }
        last_read = Instant::now();
        if line.is_kept() {
            last_said = last_read;
        }
        framer.push(&buffer);
        buffer.clear();
        let mut whole = false;
        while let Some(frame) = framer.next() {
            whole = true;
            let what = match frame {
                Frame::Ping => {
                    // A peer that sends pings faster than it reads pongs gets fewer of them.
                    let _ = pong.try_send(());
                    What::Ping
                }
                Frame::Message(bytes) => {
                    last_said = last_read;
                    match Message::parse(bytes.clone(), &patience.limits) {
                        Ok(message) => What::Message(Box::new(message)),
                        Err(error) => What::Malformed { error, bytes, fatal: false },
                    }
                }
                Frame::Broken { error, head } => What::Malformed { error, bytes: head, fatal: true },
            };
            let fatal = matches!(what, What::Malformed { fatal: true, .. });
            if events.send(Event { flow: *flow, what }).await.is_err() {
                return FlowEnd::Ours;
            }
            if fatal {
                // The driver answers and then drops the queue, which ends the writing side.
                std::future::pending::<()>().await;
            }
        }
        owed_since = match (framer.buffered() > 0, whole) {
            (false, _) => None,
            (true, true) => Some(last_read),
            (true, false) => owed_since.or(Some(last_read)),
        };
    }
}

async fn write<S: AsyncWrite>(
    mut stream: WriteHalf<S>,
    outgoing: &mut mpsc::Receiver<Parcel>,
    mut pongs: mpsc::Receiver<()>,
    in_hand: &mut Vec<Parcel>,
    activity: &tokio::sync::watch::Sender<Instant>,
    patience: Patience,
) -> FlowEnd {
    const TOGETHER: usize = 32;
    let mut buffer = BytesMut::new();
    loop {
        let open = tokio::select! {
            biased;
            // RFC 5626 5.4: answered at once.
            Some(()) = pongs.recv() => {
                buffer.extend_from_slice(b"\r\n");
                true
            }
            count = outgoing.recv_many(in_hand, TOGETHER) => count > 0,
        };
        for parcel in in_hand.iter() {
            buffer.extend_from_slice(&parcel.bytes);
        }
        if !open {
            // Nobody will ever send on this connection again: we are closing it.
            let _ = timeout(patience.write, stream.shutdown()).await;
            return FlowEnd::Ours;
        }
        match timeout(patience.write, write_out(&mut stream, &mut buffer)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return FlowEnd::Broken(error.kind()),
            Err(_) => return FlowEnd::TooSlow,
        }
        // The answer to a keep-alive says nothing that the keep-alive has not said.
        if !in_hand.is_empty() {
            in_hand.clear();
            let _ = activity.send(Instant::now());
        }
    }
}

async fn write_out<S: AsyncWrite>(stream: &mut WriteHalf<S>, buffer: &mut BytesMut) -> io::Result<()> {
    stream.write_all_buf(buffer).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F23, OBD-05: a far end that is silent at the level of TCP, which a test cannot make, is the kernel's to find out.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_kernel_gives_a_connection_up_as_soon_as_we_would() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        settle(&stream, Duration::from_secs(7));
        let socket = socket2::SockRef::from(&stream);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(7)));
        assert!(stream.nodelay().unwrap());
    }
}
