//! The connections of an endpoint: who they lead to, and the one place where a task is started.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt;
use lifecycle::Tasks;
use sip_message::Message;
use sip_transaction::ClientKey;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::counters::Counters;
use crate::hop::{FlowId, Hop, Transport};
use crate::lingering::Lingering;
use crate::opening::{Opening, Toward};
use crate::reused::{Reached, Reused};
use crate::strangers::Strangers;
use crate::stream::{self, Event, Line, Parcel, Patience, What};
use crate::tls::{Distrust, Secured};
use crate::waiting::Asked;

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowEnd {
    /// It could not be opened.
    NotOpened(io::ErrorKind),
    /// The handshake of TLS or WebSocket that the peer began failed, or was not done in time.
    Handshake,
    /// The server that we connected to does not prove to be the domain we look for: by its certificate, or before it showed one. RFC 5922 7.3
    Distrusted(Distrust),
    /// The peer closed it.
    Peer,
    /// It broke.
    Broken(io::ErrorKind),
    /// We closed it.
    Ours,
    /// Nothing was heard or said for too long.
    Idle,
    /// The peer did not answer when it was asked whether it is there.
    Silent,
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

/// What comes to a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) transport: Transport,
    /// Only the other hosts of the tier.
    pub(crate) of_siblings: bool,
}

impl Kind {
    /// Of whoever comes.
    pub(crate) fn of(transport: Transport) -> Self {
        Self { transport, of_siblings: false }
    }
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
    /// What TLS has proved.
    pub(crate) secured: Option<Secured>,
    /// Whether it carries something, for its task.
    kept: Arc<AtomicBool>,
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
    pub(crate) reused: Reused,
    accepted_from: HashMap<IpAddr, usize>,
    /// Accepted connections that carry nothing.
    strangers: Strangers,
    lingering: Arc<Lingering>,
    /// Accepted connections whose handshake is not done.
    handshakes: usize,
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
            reused: Reused::default(),
            accepted_from: HashMap::new(),
            strangers: Strangers::default(),
            lingering: Arc::new(Lingering::new(counters.clone())),
            handshakes: 0,
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

    /// Any so many of the connections that peers opened by then, and how many more there are.
    pub(crate) fn accepted_by(&self, by: Instant, most: usize) -> (Vec<FlowId>, usize) {
        let mut older = self.flows.iter().filter(|(_, flow)| flow.view.accepted && flow.view.since <= by);
        let some = older.by_ref().take(most).map(|(id, _)| *id).collect();
        (some, older.count())
    }

    pub(crate) fn get(&self, id: FlowId) -> Option<&Flow> {
        self.flows.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: FlowId) -> Option<&mut Flow> {
        self.flows.get_mut(&id)
    }

    /// Takes in a connection that a peer opened, unless a bound is reached.
    pub(crate) fn accept(
        &mut self,
        stream: TcpStream,
        listener: Kind,
        peer: SocketAddr,
        local: SocketAddr,
        now: Instant,
    ) -> Option<FlowId> {
        let transport = listener.transport;
        let from_there = self.accepted_from.get(&peer.ip()).copied().unwrap_or(0);
        if self.is_full() || from_there >= self.config.max_connections_per_address {
            self.counters.connections_refused.one_more();
            return None;
        }
        let most = self.config.max_strangers_per_source;
        if !listener.of_siblings && self.strangers.oldest_of_full(peer.ip(), most).is_some() {
            self.counters.strangers_refused.one_more();
            self.strangers.say_full(now, peer.ip(), most);
            return None;
        }
        let open = transport == Transport::Tcp;
        if !open && self.handshakes >= self.config.max_handshakes {
            self.counters.handshakes_refused.one_more();
            return None;
        }
        let live = match listener.of_siblings {
            true => self.config.siblings.as_ref().map(|siblings| siblings.tls.live()),
            false => self.config.tls.as_ref().map(|tls| tls.live()),
        };
        let line = self.enter(FlowView { transport, peer, local, accepted: true, open, since: now });
        let (id, opening) = (line.flow, self.opening());
        match (transport, live) {
            (Transport::Tcp, _) => {
                self.reused.enter(Reached::openly(transport, peer), id);
                self.start(id, stream::run(stream, line))?;
            }
            (Transport::Ws, _) => self.start(id, opening.accept_websocket(stream, line))?,
            (Transport::Tls, Some(live)) if listener.of_siblings => {
                self.start(id, opening.accept_sibling(stream, live, line))?;
            }
            (Transport::Tls, Some(live)) => self.start(id, opening.accept_tls(stream, live, line))?,
            (Transport::Wss, Some(live)) => {
                self.start(id, opening.accept_secure_websocket(stream, live, line))?;
            }
            // No listener is bound for these, see `Endpoint::bind`.
            (Transport::Udp, _) | (Transport::Tls | Transport::Wss, None) => {
                self.remove(id);
                return None;
            }
        }
        self.counters.connections_accepted.one_more();
        Some(id)
    }

    /// The connection to a peer: the one that is there, or a new one that takes messages while it is being opened.
    pub(crate) fn connect(&mut self, peer: SocketAddr, local: SocketAddr, now: Instant) -> Option<FlowId> {
        let reached = Reached::openly(Transport::Tcp, peer);
        if let Some(id) = self.reused.get(&reached) {
            return Some(id);
        }
        let (id, line, opening) = self.begin(reached, local, now)?;
        self.start(id, opening.connect(peer, line))?;
        Some(id)
    }

    /// The same by TLS, to a server that proves to be `domain`, as `ours`. A connection that was made for another domain is not
    /// taken, whatever its address. RFC 5922 7.3, RFC 5923 5
    pub(crate) fn connect_tls(
        &mut self,
        peer: SocketAddr,
        domain: &str,
        ours: &str,
        local: SocketAddr,
        now: Instant,
    ) -> Option<FlowId> {
        let live = self.config.tls.as_ref()?.live();
        let (ours, connector) = live.connector(ours);
        let reached = Reached::as_domain(peer, domain, &ours)?;
        if let Some(id) = self.reused.get(&reached) {
            if self.get(id).is_some_and(|flow| flow.view.accepted) {
                self.counters.connections_aliased.one_more();
            }
            return Some(id);
        }
        let toward = Toward { domain: reached.domain.clone(), ours, connector };
        let (id, line, opening) = self.begin(reached, local, now)?;
        self.start(id, opening.connect_tls(peer, toward, line))?;
        Some(id)
    }

    /// The same to another host of the tier. The empty name for what we are keeps these apart from connections to the same domain
    /// that are for everybody.
    pub(crate) fn connect_sibling(
        &mut self,
        peer: SocketAddr,
        local: SocketAddr,
        now: Instant,
    ) -> Option<FlowId> {
        let (domain, connector) = self.config.siblings.as_ref()?.tls.live().sibling()?;
        let reached = Reached::as_domain(peer, &domain, "")?;
        if let Some(id) = self.reused.get(&reached) {
            return Some(id);
        }
        let toward = Toward { domain, ours: Box::default(), connector };
        let (id, line, opening) = self.begin(reached, local, now)?;
        self.start(id, opening.connect_tls(peer, toward, line))?;
        Some(id)
    }

    fn begin(
        &mut self,
        reached: Reached,
        local: SocketAddr,
        now: Instant,
    ) -> Option<(FlowId, Line, Opening)> {
        if self.is_full() {
            self.counters.connections_refused.one_more();
            return None;
        }
        let (transport, peer) = (reached.transport, reached.address);
        let line = self.enter(FlowView { transport, peer, local, accepted: false, open: false, since: now });
        self.reused.enter(reached, line.flow);
        Some((line.flow, line, self.opening()))
    }

    /// A connection is up.
    pub(crate) fn opened(&mut self, id: FlowId, secured: Option<Secured>) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        if flow.view.accepted && !flow.view.open {
            self.handshakes -= 1;
        }
        flow.view.open = true;
        flow.secured = secured;
        flow.fallbacks.clear();
    }

    /// A connection carries something that its silence does not end.
    pub(crate) fn keep(&mut self, id: FlowId) {
        if let Some(flow) = self.flows.get(&id)
            && !flow.kept.swap(true, Ordering::Relaxed)
        {
            self.strangers.remove(id, flow.view.peer.ip());
        }
    }

    /// Whether nothing was let in or asked by it yet.
    pub(crate) fn is_stranger(&self, id: FlowId) -> bool {
        self.strangers.has(id)
    }

    /// The connection that has to go before there is room for another one.
    pub(crate) fn displaced(&self) -> Option<FlowId> {
        self.strangers.oldest().filter(|_| self.is_full())
    }

    /// The same before there is room for another stranger from there, when one has had its time to say something.
    pub(crate) fn displaced_from(&self, address: IpAddr, now: Instant) -> Option<FlowId> {
        let oldest = self.strangers.oldest_of_full(address, self.config.max_strangers_per_source)?;
        let since = self.flows.get(&oldest)?.view.since;
        (now.saturating_duration_since(since) >= self.config.message_timeout).then_some(oldest)
    }

    fn opening(&self) -> Opening {
        Opening { config: self.config.clone(), counters: self.counters.clone() }
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
        self.reused.forget(id);
        self.strangers.remove(id, flow.view.peer.ip());
        if flow.view.accepted {
            if !flow.view.open {
                self.handshakes -= 1;
            }
            if let Some(count) = self.accepted_from.get_mut(&flow.view.peer.ip()) {
                *count -= 1;
                if *count == 0 {
                    self.accepted_from.remove(&flow.view.peer.ip());
                }
            }
        }
        Some(flow)
    }

    fn enter(&mut self, view: FlowView) -> Line {
        let id = FlowId(self.next);
        self.next += 1;
        let (outgoing, queue) = mpsc::channel(self.config.max_queued_per_connection);
        if view.accepted {
            *self.accepted_from.entry(view.peer.ip()).or_default() += 1;
            self.handshakes += usize::from(!view.open);
            self.strangers.enter(id, view.peer.ip());
        }
        // What we opened, we opened for something.
        let kept = Arc::new(AtomicBool::new(!view.accepted));
        let flow = Flow {
            view,
            outgoing,
            secured: None,
            kept: kept.clone(),
            asked: Asked::default(),
            fallbacks: Vec::new(),
            unshown: Vec::new(),
        };
        self.flows.insert(id, flow);
        Line {
            flow: id,
            outgoing: queue,
            events: self.events.clone(),
            patience: self.patience(),
            kept,
            lingering: self.lingering.clone(),
        }
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
            stranger: self.config.stranger_timeout,
            ping: self.config.websocket_ping,
        }
    }
}
