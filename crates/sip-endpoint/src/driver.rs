//! The driver loop: everything that happens to an endpoint happens here, one thing after the other.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use sip_message::Message;
use sip_transaction::Key;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Sleep;

use crate::context::Core;
use crate::flow::{FlowEnd, Kind};
use crate::hop::{FlowId, Hop, Transport};
use crate::inbound::{self, Verdict, Way};
use crate::stream::{self, Event, Parcel, What};
use crate::stun;
use crate::udp::{Incoming, Undelivered};
use crate::user::TransactionUser;
use crate::work::Progress;

/// What one source may bring in one round, so that none starves the others.
const PER_ROUND: usize = 64;

/// After accepting failed for want of a resource, how long to leave the peers in the kernel's queue.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// A bound listener for connections.
pub(crate) struct Listener {
    pub(crate) io: TcpListener,
    pub(crate) local: std::net::SocketAddr,
    pub(crate) kind: Kind,
}

pub(crate) struct Driver<U: TransactionUser> {
    pub(crate) core: Core<U>,
    pub(crate) user: U,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) commands: mpsc::Receiver<U::Command>,
    pub(crate) accept_again_at: Option<Instant>,
    pub(crate) sleep: Pin<Box<Sleep>>,
    pub(crate) incoming: Vec<Incoming>,
    pub(crate) undelivered: Vec<Undelivered>,
}

impl<U: TransactionUser> Driver<U> {
    /// One round: takes a bounded share from every source, then sends what follows. Pending when nothing was there, with
    /// a waker left everywhere.
    ///
    /// The order is: what frees memory or tells of failures, what peers sent, what was waited for, what others ask, new
    /// connections, and time. Each source is polled in every round, so the order costs nobody more than a round.
    pub(crate) fn poll_round(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        self.core.now = tokio::time::Instant::now().into_std();
        let mut busy = false;
        busy |= self.poll_errors(cx);
        busy |= self.poll_datagrams(cx);
        busy |= self.poll_connections(cx);
        busy |= self.poll_work(cx);
        busy |= self.poll_commands(cx);
        busy |= self.poll_listeners(cx);
        busy |= self.handle_deadlines();
        if busy {
            let now = self.core.now;
            self.guarded(|user, cx| user.on_round(cx, now));
            self.drain(None);
        }
        self.core.udp.flush(&mut self.undelivered);
        busy |= !self.undelivered.is_empty();
        if busy {
            self.core.lag = tokio::time::Instant::now().into_std().saturating_duration_since(self.core.now);
            return Poll::Ready(());
        }
        // Nothing waits: what the last round took says nothing about the next message.
        self.core.lag = Duration::ZERO;
        if let Some(at) = self.next_deadline() {
            let at = tokio::time::Instant::from_std(at);
            if self.sleep.deadline() != at {
                self.sleep.as_mut().reset(at);
            }
            return self.sleep.as_mut().poll(cx);
        }
        Poll::Pending
    }

    fn poll_errors(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let mut undelivered = std::mem::take(&mut self.undelivered);
        let mut busy = self.core.udp.poll_errors(cx, &mut undelivered).is_ready();
        for lost in undelivered.drain(..) {
            busy = true;
            let key = match lost {
                Undelivered::Refused(key) => Some(key),
                Undelivered::Returned(returned) => {
                    self.core.counters.datagrams_unreachable.one_more();
                    let key = self.core.transactions.find_by_fragment(&returned.head);
                    // Anybody can send an ICMP error; only the far end of the transaction can have caused one.
                    let key = key.filter(|key| {
                        matches!(self.core.transactions.hop(Key::Client(*key)),
                            Some(Hop::Udp { peer, .. }) if peer == returned.peer)
                    });
                    if let Some(key) = key.filter(|_| returned.refused) {
                        self.guarded(|user, cx| user.on_refused(cx, key));
                    }
                    key.map(Key::Client)
                }
            };
            self.core.failed.extend(key);
        }
        self.undelivered = undelivered;
        self.drain(None);
        busy
    }

    fn poll_datagrams(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let mut incoming = std::mem::take(&mut self.incoming);
        let busy = self.core.udp.poll_receive(cx, &mut incoming).is_ready();
        for datagram in incoming.drain(..) {
            self.survive(|driver| driver.handle_datagram(datagram));
        }
        self.incoming = incoming;
        busy
    }

    fn handle_datagram(&mut self, Incoming { socket, local, peer, bytes }: Incoming) {
        let flow = Hop::Udp { socket, peer };
        self.core.silence.hear(self.core.now, flow);
        if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            self.core.counters.keep_alives.one_more();
            return;
        }
        if stun::is_stun(&bytes) {
            if stun::is_forged(&bytes) {
                self.core.counters.stun_forged.one_more();
                return;
            }
            self.core.counters.keep_alives.one_more();
            if let Some(answer) = stun::answer(&bytes, peer) {
                self.core.hand_over(flow, answer, None);
            }
            return;
        }
        let way = Way { flow, source: peer, local, transport: Transport::Udp };
        self.core.show_received(&way, &bytes);
        match Message::parse(bytes.clone(), &self.core.config.limits) {
            Ok(message) => self.take(message, way),
            Err(error) => {
                let Core { config, tags, counters, .. } = &self.core;
                let verdict = inbound::refuse_unparsed(bytes, error, way, &config.limits, tags, counters);
                self.carry_out(verdict);
            }
        }
    }

    fn poll_connections(&mut self, cx: &mut TaskContext<'_>) -> bool {
        for taken in 0..PER_ROUND {
            match self.events.poll_recv(cx) {
                Poll::Ready(Some(Event { flow, what })) => {
                    self.survive(|driver| driver.handle_event(flow, what));
                }
                Poll::Ready(None) | Poll::Pending => return taken > 0,
            }
        }
        true
    }

    fn handle_event(&mut self, flow: FlowId, what: What) {
        self.core.silence.hear(self.core.now, Hop::Flow(flow));
        let view = self.core.flows.get(flow).map(|flow| flow.view);
        match (what, view) {
            (What::Closed { end, unsent }, _) => self.handle_closed(flow, end, unsent),
            // We have closed it: what was read before counts no more.
            (_, None) => {}
            (What::Opened(secured), Some(view)) => {
                if !view.accepted {
                    self.core.counters.connections_opened.one_more();
                }
                self.core.flows.opened(flow, secured);
                self.core.show_opened(flow);
                self.guarded(|user, cx| user.on_flow_opened(cx, flow));
            }
            (What::Ping, Some(_)) => self.core.counters.keep_alives.one_more(),
            (What::Message(message), Some(view)) => {
                self.core.counters.stream_messages_received.one_more();
                if view.transport == Transport::Tls {
                    self.core.note_alias(flow, &message);
                }
                let way = Way::along(flow, view);
                self.core.show_received(&way, message.bytes());
                self.take(*message, way);
            }
            (What::Malformed { error, bytes, fatal }, Some(view)) => {
                let way = Way::along(flow, view);
                self.core.show_received(&way, &bytes);
                let Core { config, tags, counters, .. } = &self.core;
                let is_excess = inbound::is_excess(error.kind);
                let verdict = inbound::refuse_unparsed(bytes, error, way, &config.limits, tags, counters);
                // By a connection that carries something, a message like that may be of one user among many.
                let ends_stranger = is_excess || matches!(verdict, Verdict::Drop);
                self.carry_out(verdict);
                // RFC 3261 18.3: nobody can tell where the next message begins.
                if fatal || ends_stranger && self.core.flows.is_stranger(flow) {
                    self.core.counters.connections_garbled.one_more();
                    self.core.close_flow(flow, FlowEnd::Ours);
                }
            }
        }
        self.drain(None);
    }

    fn handle_closed(&mut self, id: FlowId, end: FlowEnd, unsent: Vec<Parcel>) {
        let flow = self.core.flows.remove(id);
        let peer = flow.as_ref().map(|flow| flow.view.peer);
        self.core.count_end(end);
        let not_opened = match end {
            FlowEnd::NotOpened(_) | FlowEnd::Distrusted(_) => true,
            FlowEnd::Handshake
            | FlowEnd::Peer
            | FlowEnd::Broken(_)
            | FlowEnd::Ours
            | FlowEnd::Idle
            | FlowEnd::Silent
            | FlowEnd::Unfinished
            | FlowEnd::TooSlow => false,
        };
        if let FlowEnd::Distrusted(why) = end {
            for key in self.core.waiting_on(id, flow.as_ref()) {
                self.guarded(|user, cx| user.on_distrusted_server(cx, key, why));
            }
        }
        if not_opened {
            self.core.counters.connections_failed.one_more();
            if let Some(flow) = flow {
                self.core.fall_back(flow.view.peer, flow.fallbacks);
                self.core.disconnect(id, flow.asked);
                self.core.closed.push_back((id, end));
            }
        } else if let Some(flow) = flow {
            self.core.disconnect(id, flow.asked);
            self.core.closed.push_back((id, end));
        }
        for parcel in unsent {
            // A request that fell back goes another way by now.
            let moved = match parcel.origin {
                Some(key @ Key::Client(_)) => self.core.transactions.hop(key) != Some(Hop::Flow(id)),
                Some(Key::Server(_)) | None => false,
            };
            match (moved, not_opened) {
                (true, _) => {}
                (false, true) => self.core.not_taken(parcel, peer),
                (false, false) => self.core.undelivered(parcel),
            }
        }
    }

    fn poll_work(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let returned = self.poll_returning(cx);
        for taken in 0..PER_ROUND {
            match self.core.work.poll(cx) {
                Poll::Ready(Progress::Done(result)) => {
                    self.guarded(|user, cx| user.on_completion(cx, result));
                    self.drain(None);
                }
                Poll::Ready(Progress::Panicked) => self.core.counters.work_panics.one_more(),
                Poll::Pending => return returned || taken > 0,
            }
        }
        // More may be done already, and nothing will wake us for it.
        cx.waker().wake_by_ref();
        true
    }

    fn poll_returning(&mut self, cx: &mut TaskContext<'_>) -> bool {
        for taken in 0..PER_ROUND {
            match self.core.returning.poll(cx) {
                Poll::Ready(Progress::Done(located)) => {
                    self.take_located(located);
                    self.drain(None);
                }
                Poll::Ready(Progress::Panicked) => self.core.counters.work_panics.one_more(),
                Poll::Pending => return taken > 0,
            }
        }
        cx.waker().wake_by_ref();
        true
    }

    fn poll_commands(&mut self, cx: &mut TaskContext<'_>) -> bool {
        for taken in 0..PER_ROUND {
            match self.commands.poll_recv(cx) {
                Poll::Ready(Some(command)) => {
                    self.guarded(|user, cx| user.on_command(cx, command));
                    self.drain(None);
                }
                Poll::Ready(None) | Poll::Pending => return taken > 0,
            }
        }
        true
    }

    fn poll_listeners(&mut self, cx: &mut TaskContext<'_>) -> bool {
        if self.accept_again_at.is_some_and(|at| at > self.core.now) {
            return false;
        }
        self.accept_again_at = None;
        let mut busy = false;
        for at in 0..self.listeners.len() {
            let Listener { io, local, kind } = &self.listeners[at];
            match io.poll_accept(cx) {
                Poll::Ready(Ok((stream, peer))) => {
                    busy = true;
                    stream::settle(&stream, self.core.config.write_timeout);
                    let local = stream.local_addr().unwrap_or(*local);
                    let (now, kind) = (self.core.now, *kind);
                    self.core.make_room();
                    if !kind.of_siblings {
                        self.core.make_room_from(peer.ip());
                    }
                    let flow = self.core.flows.accept(stream, kind, peer, local, now);
                    // The others are there when they have shaken hands.
                    if let Some(flow) = flow.filter(|_| kind.transport == Transport::Tcp) {
                        self.guarded(|user, cx| user.on_flow_opened(cx, flow));
                        self.drain(None);
                    }
                }
                Poll::Ready(Err(error)) if is_of_the_peer(&error) => busy = true,
                Poll::Ready(Err(error)) => {
                    tracing::warn!(%error, %local, "accepting connections pauses");
                    self.core.counters.accept_errors.one_more();
                    self.accept_again_at = Some(self.core.now + ACCEPT_PAUSE);
                }
                Poll::Pending => {}
            }
        }
        busy
    }

    fn handle_deadlines(&mut self) -> bool {
        let now = self.core.now;
        let mut busy = false;
        if self.core.transactions.next_deadline().is_some_and(|at| at <= now) {
            self.survive(|driver| driver.core.transactions.handle_deadline(now));
            self.drain(None);
            busy = true;
        }
        while let Some((id, timer)) = self.core.timers.pop(now) {
            self.guarded(|user, cx| user.on_timer(cx, id, timer));
            self.drain(None);
            busy = true;
        }
        while let Some(flow) = self.core.silence.pop(now) {
            self.guarded(|user, cx| user.on_silence(cx, flow));
            self.drain(None);
            busy = true;
        }
        busy
    }

    fn next_deadline(&self) -> Option<Instant> {
        let Core { transactions, timers, silence, .. } = &self.core;
        let deadlines = [
            transactions.next_deadline(),
            timers.next_deadline(),
            silence.next_deadline(),
            self.accept_again_at,
        ];
        deadlines.into_iter().flatten().min()
    }

    /// A message that could be parsed.
    fn take(&mut self, message: Message, way: Way) {
        let Core { names, tags, counters, .. } = &self.core;
        let verdict = inbound::admit(message, way, names, tags, counters);
        self.carry_out(verdict);
    }

    fn carry_out(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Take(message, arrival) => {
                let reliable = arrival.transport.is_reliable();
                let now = self.core.now;
                if self.core.transactions.handle_message(now, message, arrival.hop, reliable).is_err() {
                    self.core.counters.malformed_mandatory.one_more();
                }
                self.drain(Some(&arrival));
            }
            Verdict::Answer(bytes, hop) => self.core.transmit(hop, bytes, None),
            Verdict::Drop => {}
        }
    }
}

/// A connection that was gone before it was accepted is no reason to pause.
fn is_of_the_peer(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
    )
}
