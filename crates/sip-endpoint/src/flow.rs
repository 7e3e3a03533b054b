//! The connections of an endpoint: who they lead to, and the one place where a task is started.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt;
use lifecycle::Tasks;
use sip_message::Message;
use sip_transaction::ClientKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::config::Config;
use crate::counters::Counters;
use crate::hop::{FlowId, Hop, Transport};
use crate::stream::{self, Event, Parcel, Patience, What};
use crate::waiting::Asked;

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowEnd {
    /// It could not be opened.
    NotOpened(io::ErrorKind),
    /// The peer closed it.
    Peer,
    /// It broke.
    Broken(io::ErrorKind),
    /// We closed it.
    Ours,
    /// Nothing was heard or said for too long.
    Idle,
    /// The peer began a message and did not finish it in time.
    Unfinished,
    /// The peer did not read what we wrote.
    TooSlow,
}

/// A connection as the user sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowView {
    /// What it carries messages by.
    pub transport: Transport,
    /// The far address.
    pub peer: SocketAddr,
    /// Our address; for a connection that is still being opened, the one we listen on.
    pub local: SocketAddr,
    /// Whether the peer opened it.
    pub accepted: bool,
    /// Whether it is up.
    pub open: bool,
    /// Since when we know it.
    pub since: Instant,
}

/// A request that goes by TCP only because of its size, as it would go by UDP. RFC 3261 18.1.1
#[derive(Debug)]
pub(crate) struct Fallback {
    pub(crate) key: ClientKey,
    pub(crate) request: Message,
    pub(crate) hop: Hop,
}

pub(crate) struct Flow {
    pub(crate) view: FlowView,
    outgoing: mpsc::Sender<Parcel>,
    pub(crate) asked: Asked<ClientKey>,
    /// Only while it is being opened.
    pub(crate) fallbacks: Vec<Fallback>,
    /// What waits for it to be opened and no witness has seen: it may never leave. As bounded as what is queued.
    pub(crate) unshown: Vec<Bytes>,
}

/// Why a message was not queued on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undelivered {
    /// There is no such connection any more.
    Gone,
    /// The peer does not read.
    Full,
}

pub(crate) struct Flows {
    flows: HashMap<FlowId, Flow>,
    by_peer: HashMap<(Transport, SocketAddr), FlowId>,
    accepted_from: HashMap<IpAddr, usize>,
    next: u64,
    events: mpsc::Sender<Event>,
    tasks: Tasks,
    config: Arc<Config>,
    counters: Arc<Counters>,
}

impl Flows {
    pub(crate) fn new(
        events: mpsc::Sender<Event>,
        tasks: Tasks,
        config: Arc<Config>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            flows: HashMap::new(),
            by_peer: HashMap::new(),
            accepted_from: HashMap::new(),
            next: 1,
            events,
            tasks,
            config,
            counters,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    pub(crate) fn get(&self, id: FlowId) -> Option<&Flow> {
        self.flows.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: FlowId) -> Option<&mut Flow> {
        self.flows.get_mut(&id)
    }

    /// Takes in a connection that a peer opened, unless a bound is reached.
    pub(crate) fn accept<S>(
        &mut self,
        stream: S,
        transport: Transport,
        peer: SocketAddr,
        local: SocketAddr,
        now: Instant,
    ) -> Option<FlowId>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let from_there = self.accepted_from.get(&peer.ip()).copied().unwrap_or(0);
        if self.is_full() || from_there >= self.config.max_connections_per_address {
            self.counters.connections_refused.one_more();
            return None;
        }
        let (id, outgoing) =
            self.enter(FlowView { transport, peer, local, accepted: true, open: true, since: now });
        let work = stream::run(stream, id, outgoing, self.events.clone(), self.patience());
        self.start(id, work)?;
        self.counters.connections_accepted.one_more();
        Some(id)
    }

    /// The connection to a peer: the one that is there, or a new one that takes messages while it is being opened.
    pub(crate) fn connect(&mut self, peer: SocketAddr, local: SocketAddr, now: Instant) -> Option<FlowId> {
        let transport = Transport::Tcp;
        if let Some(id) = self.by_peer.get(&(transport, peer)) {
            return Some(*id);
        }
        if self.is_full() {
            self.counters.connections_refused.one_more();
            return None;
        }
        let view = FlowView { transport, peer, local, accepted: false, open: false, since: now };
        let (id, outgoing) = self.enter(view);
        let (events, patience, limit) = (self.events.clone(), self.patience(), self.config.connect_timeout);
        let work = async move {
            let end = match timeout(limit, TcpStream::connect(peer)).await {
                Ok(Ok(stream)) => {
                    // Messages are small and each matters: do not wait to fill a segment.
                    let _ = stream.set_nodelay(true);
                    let _ = events.send(Event { flow: id, what: What::Opened }).await;
                    return stream::run(stream, id, outgoing, events, patience).await;
                }
                Ok(Err(error)) => FlowEnd::NotOpened(error.kind()),
                Err(_) => FlowEnd::NotOpened(io::ErrorKind::TimedOut),
            };
            let unsent = stream::unsent(Vec::new(), outgoing).await;
            let _ = events.send(Event { flow: id, what: What::Closed { end, unsent } }).await;
        };
        self.start(id, work)?;
        Some(id)
    }

    /// Gives a connection its task: the one place where this crate starts any.
    fn start(&mut self, id: FlowId, work: impl Future<Output = ()> + Send + 'static) -> Option<()> {
        let (events, counters) = (self.events.clone(), self.counters.clone());
        let work = async move {
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                counters.internal_panics.one_more();
                let what = What::Closed { end: FlowEnd::Broken(io::ErrorKind::Other), unsent: Vec::new() };
                let _ = events.send(Event { flow: id, what }).await;
            }
        };
        if self.tasks.spawn("sip connection", work).is_ok() {
            return Some(());
        }
        self.counters.connections_refused.one_more();
        self.remove(id);
        None
    }

    pub(crate) fn send(&mut self, id: FlowId, parcel: Parcel) -> Result<(), Undelivered> {
        let flow = self.flows.get(&id).ok_or(Undelivered::Gone)?;
        match flow.outgoing.try_send(parcel) {
            Ok(()) => {
                self.counters.stream_messages_sent.one_more();
                Ok(())
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Undelivered::Gone),
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.counters.connections_too_slow.one_more();
                Err(Undelivered::Full)
            }
        }
    }

    /// Forgets a connection. What is queued on it still goes out; then the task ends for want of a sender.
    pub(crate) fn remove(&mut self, id: FlowId) -> Option<Flow> {
        let flow = self.flows.remove(&id)?;
        let peer = (flow.view.transport, flow.view.peer);
        if self.by_peer.get(&peer) == Some(&id) {
            self.by_peer.remove(&peer);
        }
        if flow.view.accepted
            && let Some(count) = self.accepted_from.get_mut(&flow.view.peer.ip())
        {
            *count -= 1;
            if *count == 0 {
                self.accepted_from.remove(&flow.view.peer.ip());
            }
        }
        Some(flow)
    }

    fn enter(&mut self, view: FlowView) -> (FlowId, mpsc::Receiver<Parcel>) {
        let id = FlowId(self.next);
        self.next += 1;
        let (outgoing, queue) = mpsc::channel(self.config.max_queued_per_connection);
        // The newest connection from an address is the one most likely to be alive.
        self.by_peer.insert((view.transport, view.peer), id);
        if view.accepted {
            *self.accepted_from.entry(view.peer.ip()).or_default() += 1;
        }
        self.flows.insert(
            id,
            Flow { view, outgoing, asked: Asked::default(), fallbacks: Vec::new(), unshown: Vec::new() },
        );
        (id, queue)
    }

    fn is_full(&self) -> bool {
        self.flows.len() >= self.config.max_connections
    }

    fn patience(&self) -> Patience {
        Patience {
            limits: self.config.limits,
            message: self.config.message_timeout,
            write: self.config.write_timeout,
            idle: self.config.idle_timeout,
        }
    }
}
