//! What a transaction user can do from within a call.

use std::collections::VecDeque;
use std::future::Future;
use std::hash::RandomState;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip_message::{Message, Written};
use sip_transaction::{
    BuildError, CancelOutcome, ClientKey, Key, RespondError, SendError, ServerKey, Stats, Transactions,
};

use crate::config::Config;
use crate::counters::Counters;
use crate::dns::Dns;
use crate::flow::{FlowEnd, FlowView, Flows};
use crate::hop::{FlowId, Hop, Transport};
use crate::names::{Names, OwnVia};
use crate::refused_tcp::RefusedTcp;
use crate::returning::Located;
use crate::silence::Silence;
use crate::timers::{TimerId, Timers};
use crate::udp::Sockets;
use crate::user::TransactionUser;
use crate::witness::Witness;
use crate::work::{Busy, Work};

/// Everything of an endpoint except its user.
pub(crate) struct Core<U: TransactionUser> {
    /// The time of this round.
    pub(crate) now: Instant,
    pub(crate) transactions: Transactions<Hop>,
    pub(crate) udp: Sockets,
    pub(crate) flows: Flows,
    pub(crate) timers: Timers<U::Timer>,
    pub(crate) work: Work<U::Completion>,
    /// Responses for which DNS is asked.
    pub(crate) returning: Work<Located>,
    pub(crate) names: Names,
    /// Whether there are connections at all: not over sockets of a caller.
    pub(crate) connects: bool,
    pub(crate) dns: Arc<dyn Dns>,
    pub(crate) config: Arc<Config>,
    pub(crate) counters: Arc<Counters>,
    /// Makes the To tags of answers that nothing is remembered of.
    pub(crate) tags: RandomState,
    /// Addresses that refused TCP, and until when to believe it.
    pub(crate) refused_tcp: RefusedTcp,
    /// Transactions to tell in this round that something did not leave.
    pub(crate) failed: VecDeque<Key>,
    /// Requests to tell in this round that their connection is gone.
    pub(crate) disconnected: VecDeque<ClientKey>,
    /// Connections that we closed in this round.
    pub(crate) closed: VecDeque<(FlowId, FlowEnd)>,
    /// Flows that are watched.
    pub(crate) silence: Silence,
    /// Who sees each message pass.
    pub(crate) witness: Option<Arc<dyn Witness>>,
    /// How long the last round took.
    pub(crate) lag: Duration,
}

/// How busy the endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// The transaction table.
    pub transactions: Stats,
    /// Connections, open or being opened.
    pub connections: usize,
    /// Asynchronous work in flight.
    pub work: usize,
    /// How long the last round of the loop took: what a message that comes now waits at least.
    pub lag: Duration,
    /// How full the queue of datagrams that have come and were not taken is, in percent.
    pub backlog: u8,
}

/// The hands of a [`TransactionUser`]: valid for one call.
pub struct Context<'a, U: TransactionUser> {
    pub(crate) core: &'a mut Core<U>,
}

impl<U: TransactionUser> Context<'_, U> {
    /// The time of this round of the loop.
    pub fn now(&self) -> Instant {
        self.core.now
    }

    /// Sends a request as a new client transaction. Its topmost Via is there already (see [`via`](Self::via)).
    ///
    /// A request that is too large for a datagram goes by TCP, with the Via changed accordingly, and comes back to UDP
    /// when TCP is refused (RFC 3261 18.1.1).
    ///
    /// # Errors
    /// See [`SendError`]. Nothing was sent then.
    pub fn send_request(&mut self, request: Message, to: Hop) -> Result<ClientKey, SendError> {
        self.core.send_request(request, to)
    }

    /// Sends a request by exactly this hop, however large it is: for a flow that a phone keeps open (RFC 5626), where no
    /// other way leads to it.
    ///
    /// # Errors
    /// See [`SendError`]. Nothing was sent then.
    pub fn send_request_on_flow(&mut self, request: Message, flow: Hop) -> Result<ClientKey, SendError> {
        self.core.send_by(request, flow)
    }

    /// Cancels an INVITE as soon as that is allowed (RFC 3261 9.1). `extra` are headers by name, such as Reason.
    ///
    /// # Errors
    /// When an extra header does not make a message. Nothing has happened then.
    pub fn cancel(
        &mut self,
        invite: ClientKey,
        extra: &[(&str, &[u8])],
    ) -> Result<CancelOutcome, BuildError> {
        self.core.transactions.cancel(self.core.now, invite, extra)
    }

    /// The INVITE that a CANCEL is for, which a neighbour asks about.
    pub fn invite_of(&mut self, cancel: &Message) -> Option<ServerKey> {
        self.core.transactions.invite_of(cancel)
    }

    /// Answers a request.
    ///
    /// # Errors
    /// See [`RespondError`]. Nothing was sent then.
    pub fn respond(&mut self, key: ServerKey, response: Message) -> Result<(), RespondError> {
        if response.method_str() != "OPTIONS" {
            self.core.keep_answered(key, response.status().unwrap_or_default());
        }
        self.core.transactions.respond(self.core.now, key, &response)
    }

    /// [`respond`](Self::respond) with a response that was only written, to a request that is no OPTIONS.
    ///
    /// # Errors
    /// See [`RespondError`]. Nothing was sent then.
    pub fn respond_written(&mut self, key: ServerKey, response: Written) -> Result<(), RespondError> {
        self.core.keep_answered(key, response.status());
        self.core.transactions.respond_written(self.core.now, key, response)
    }

    /// [`respond_and_forget`](Self::respond_and_forget) with a response that was only written.
    ///
    /// # Errors
    /// See [`RespondError`]. Nothing was sent then.
    pub fn respond_written_and_forget(
        &mut self,
        key: ServerKey,
        response: Written,
    ) -> Result<(), RespondError> {
        self.core.transactions.respond_written_and_forget(key, response)
    }

    /// Answers a request once and forgets it: for challenges to senders that have not shown that they own their address
    /// (RFC 3261 26.3.2.4).
    ///
    /// # Errors
    /// See [`RespondError`]. Nothing was sent then.
    pub fn respond_and_forget(&mut self, key: ServerKey, response: Message) -> Result<(), RespondError> {
        self.core.transactions.respond_and_forget(key, &response)
    }

    /// Forgets a request without an answer.
    pub fn forget(&mut self, key: ServerKey) {
        self.core.transactions.forget(key);
    }

    /// Sends a message outside any transaction: the ACK for a 2xx, a CANCEL forwarded statelessly, a response to a
    /// request for which there was no room.
    pub fn send_statelessly(&mut self, message: &Message, to: Hop) {
        self.core.transmit(to, message.bytes().clone(), None);
    }

    /// The Via for a request that leaves by this hop. `None` when the connection is gone.
    pub fn via<'a>(&'a self, to: Hop, branch: &'a str) -> Option<OwnVia<'a>> {
        let transport = self.transport(to)?;
        let is_accepted = |id| self.core.flows.get(id).is_some_and(|flow| flow.view.accepted);
        let alias = transport == Transport::Tls && !to.flow().is_some_and(is_accepted);
        Some(OwnVia { transport, sent_by: self.sent_by(to)?, branch, alias })
    }

    /// `host:port` by which peers of this hop reach us, as in Via, Contact and Record-Route. `None` when the connection
    /// is gone.
    pub fn sent_by(&self, to: Hop) -> Option<&str> {
        let (transport, local) = self.core.transport_of(to)?;
        self.core.names.sent_by(transport, local, self.core.peer_of(to)?)
    }

    /// The same for a peer that reaches another host of ours, which listens as this one does, by a connection of this kind.
    pub fn shown_to(&self, transport: Transport, peer: SocketAddr) -> Option<&str> {
        let local = self.core.names.toward(transport, peer)?;
        self.core.names.sent_by(transport, local, peer)
    }

    /// What carries the messages of this hop. `None` when the connection is gone.
    pub fn transport(&self, hop: Hop) -> Option<Transport> {
        self.core.transport_of(hop).map(|(transport, _)| transport)
    }

    /// The way to a destination: by datagrams, or by the connection to it, which is opened when there is none. What is
    /// sent meanwhile waits; if opening fails, every waiting request is reported as [`Failure`](crate::Failure).
    ///
    /// `None` when no socket of ours can reach it, there are too many connections, or the transport is TLS, which wants to know
    /// the domain (see [`hop_to_domain`](Self::hop_to_domain)), or WebSocket, which only phones open (RFC 7118 5).
    pub fn hop_to(&mut self, transport: Transport, peer: SocketAddr) -> Option<Hop> {
        match transport {
            Transport::Udp => Some(Hop::Udp { socket: self.core.udp.toward(peer)?, peer }),
            Transport::Tcp => self.core.connect(peer).map(Hop::Flow),
            Transport::Tls | Transport::Ws | Transport::Wss => None,
        }
    }

    /// The same for a destination that resolving `domain` has found: by TLS, the server there has to prove that it is this domain
    /// (RFC 5922 7.3). `ours` is the domain that the message is from: where it has a certificate of its own, that is shown, and
    /// connections of other domains of ours are not used (RFC 5923 5).
    pub fn hop_to_domain(
        &mut self,
        transport: Transport,
        peer: SocketAddr,
        domain: &str,
        ours: &str,
    ) -> Option<Hop> {
        match transport {
            Transport::Tls => self.core.connect_tls(peer, domain, ours).map(Hop::Flow),
            Transport::Udp | Transport::Tcp | Transport::Ws | Transport::Wss => self.hop_to(transport, peer),
        }
    }

    /// The same for another host of the tier, where [`Siblings`](crate::Siblings) says how they prove it to each other. `None` where
    /// it does not.
    pub fn hop_to_sibling(&mut self, peer: SocketAddr) -> Option<Hop> {
        self.core.connect_sibling(peer).map(Hop::Flow)
    }

    /// The SIP domains that the peer of a connection has proved to be by its certificate (RFC 5922 7.4); none for datagrams,
    /// without TLS, and for a client that showed no certificate.
    pub fn proved_domains(&self, hop: Hop) -> Arc<[Box<str>]> {
        let flow = hop.flow().and_then(|id| self.core.flows.get(id));
        flow.and_then(|flow| flow.secured.as_ref()).map(|secured| secured.peer.clone()).unwrap_or_default()
    }

    /// Whether messages can be sent by this hop: always for datagrams, as long as it is there for a connection.
    pub fn is_alive(&self, hop: Hop) -> bool {
        self.core.transport_of(hop).is_some()
    }

    /// A connection, as long as it is there.
    pub fn flow(&self, id: FlowId) -> Option<FlowView> {
        self.core.flows.get(id).map(|flow| flow.view)
    }

    /// Whoever is at the far end of a connection has proved to be somebody: it is no stranger's any more, as if something had been
    /// answered with success.
    pub fn keep(&mut self, hop: Hop) {
        self.core.keep(hop);
    }

    /// Closes a connection once everything queued on it is written.
    pub fn close_flow(&mut self, id: FlowId) {
        self.core.close_flow(id, FlowEnd::Ours);
    }

    /// Closes so many connections of those that peers opened by then, once what is queued on them is written; how many of these are left.
    pub fn close_accepted(&mut self, by: Instant, most: usize) -> usize {
        let (closing, left) = self.core.flows.accepted_by(by, most);
        closing.into_iter().for_each(|id| self.core.close_flow(id, FlowEnd::Ours));
        left
    }

    /// Watches a flow whose far end is to be heard of: after `allowed` without anything from there, not even a keep-alive,
    /// [`TransactionUser::on_silence`] is told once. `false` when too many are watched.
    #[must_use]
    pub fn watch_silence(&mut self, flow: Hop, allowed: Duration) -> bool {
        let most = self.core.config.max_watched_flows;
        self.core.silence.watch(self.core.now, flow, allowed, most)
    }

    /// Watches it no more.
    pub fn forget_silence(&mut self, flow: Hop) {
        self.core.silence.forget(flow);
    }

    /// How many flows are watched.
    pub fn watched_flows(&self) -> usize {
        self.core.silence.len()
    }

    /// Where the messages of a transaction go, while it lives.
    pub fn hop_of(&self, key: Key) -> Option<Hop> {
        self.core.transactions.hop(key)
    }

    /// The transports that [`hop_to`](Self::hop_to) can send by, best first: what [`locate`](crate::locate()) chooses from when a
    /// domain leaves the choice. What is retransmitted by the connection itself comes before datagrams.
    pub fn transports(&self) -> &'static [Transport] {
        match self.core.connects {
            true if self.core.config.tls.as_ref().is_some_and(|tls| tls.believes_somebody()) => {
                &[Transport::Tls, Transport::Tcp, Transport::Udp]
            }
            true => &[Transport::Tcp, Transport::Udp],
            false => &[Transport::Udp],
        }
    }

    /// For use in asynchronous work, see [`locate`](crate::locate()).
    pub fn dns(&self) -> &Arc<dyn Dns> {
        &self.core.dns
    }

    /// Sets a timer. It never fires early, and a few milliseconds late at most while the loop keeps up.
    pub fn set_timer(&mut self, after: Duration, timer: U::Timer) -> TimerId {
        self.core.timers.set(self.core.now + after, timer)
    }

    /// Takes a timer back; `None` when it fired or was cancelled before.
    pub fn cancel_timer(&mut self, id: TimerId) -> Option<U::Timer> {
        self.core.timers.cancel(id)
    }

    /// Starts asynchronous work. It is polled here and now for the first time, and later by the loop; its result comes to
    /// [`TransactionUser::on_completion`], after the present call has returned.
    ///
    /// # Errors
    /// When too much is in flight; the work is dropped.
    pub fn spawn(&mut self, work: impl Future<Output = U::Completion> + Send + 'static) -> Result<(), Busy> {
        let started = self.core.work.start(Box::pin(work));
        if started.is_err() {
            self.core.counters.work_refused.one_more();
        }
        started
    }

    /// How busy the endpoint is.
    pub fn load(&self) -> Load {
        Load {
            transactions: self.core.transactions.stats(),
            connections: self.core.flows.len(),
            work: self.core.work.len(),
            lag: self.core.lag,
            backlog: self.core.udp.backlog(),
        }
    }

    /// What the endpoint counts.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.core.counters
    }
}
