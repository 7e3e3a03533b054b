//! From a message to the hop it leaves by: size, connections that are gone, names to write into the Via.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use sip_message::{HeaderId, Message};
use sip_transaction::{ClientKey, Key, SendError, ServerKey};

use crate::context::Core;
use crate::flow::{Fallback, FlowEnd, FlowView, Undelivered};
use crate::hop::{FlowId, Hop, Transport};
use crate::stream::Parcel;
use crate::user::TransactionUser;

impl<U: TransactionUser> Core<U> {
    /// Sends a message; a failure that shows at once is reported in the same round.
    pub(crate) fn transmit(&mut self, hop: Hop, bytes: Bytes, origin: Option<Key>) {
        self.show_sent(hop, &bytes);
        self.hand_over(hop, bytes, origin);
    }

    /// Gives bytes to the socket or connection of a hop.
    pub(crate) fn hand_over(&mut self, hop: Hop, bytes: Bytes, origin: Option<Key>) {
        match hop {
            Hop::Udp { socket, peer } => {
                if !self.udp.queue(socket, peer, bytes, origin) {
                    self.failed.extend(origin);
                }
            }
            Hop::Flow(id) => match self.flows.send(id, Parcel::new(bytes.clone(), origin)) {
                Ok(()) => {}
                // It was refused before this was queued: the end of the connection, which is yet to be told, sends it elsewhere.
                Err(Undelivered::Gone) if self.falls_back(id, origin) => {}
                Err(Undelivered::Gone) => self.undelivered(Parcel::new(bytes, origin)),
                Err(Undelivered::Full) => {
                    self.close_flow(id, FlowEnd::TooSlow);
                    self.failed.extend(origin);
                }
            },
        }
    }

    /// Starts a client transaction, by TCP when the request is too large for a datagram. RFC 3261 18.1.1
    pub(crate) fn send_request(&mut self, request: Message, to: Hop) -> Result<ClientKey, SendError> {
        if let Hop::Udp { peer, .. } = to
            && request.bytes().len() > self.config.max_datagram_request
            && !self.refused_tcp.has(self.now, peer)
            && let Some((flow, by_tcp)) = self.by_tcp(&request, peer)
        {
            let key = self.send_by(by_tcp, Hop::Flow(flow))?;
            self.counters.large_requests_by_tcp.one_more();
            if let Some(flow) = self.flows.get_mut(flow)
                && !flow.view.open
            {
                flow.fallbacks.push(Fallback { key, request, hop: to });
            }
            return Ok(key);
        }
        self.send_by(request, to)
    }

    /// Starts a client transaction by exactly this hop.
    pub(crate) fn send_by(&mut self, request: Message, hop: Hop) -> Result<ClientKey, SendError> {
        let key = self.transactions.send_request(self.now, request, hop, self.is_reliable(hop))?;
        self.note_asked(hop, key);
        self.keep(hop);
        Ok(key)
    }

    pub(crate) fn is_reliable(&self, hop: Hop) -> bool {
        match hop {
            Hop::Udp { .. } => false,
            Hop::Flow(_) => true,
        }
    }

    /// A connection by which we ask or let in something is more than a stranger's.
    pub(crate) fn keep(&mut self, hop: Hop) {
        if let Hop::Flow(id) = hop {
            self.flows.keep(id);
        }
    }

    /// The same for a request that is answered with this status.
    pub(crate) fn keep_answered(&mut self, key: ServerKey, status: u16) {
        if let (200..300, Some(hop)) = (status, self.transactions.hop(Key::Server(key))) {
            self.keep(hop);
        }
    }

    /// Where there is no room for another connection, that of a stranger ends which is there for the longest time: it had its chance to
    /// become known, and who comes now may be a phone.
    pub(crate) fn make_room(&mut self) {
        if let Some(stranger) = self.flows.displaced() {
            self.counters.strangers_displaced.one_more();
            self.close_flow(stranger, FlowEnd::Ours);
        }
    }

    /// The same where a source has as many strangers as it may have.
    pub(crate) fn make_room_from(&mut self, address: IpAddr) {
        if let Some(stranger) = self.flows.displaced_from(address, self.now) {
            self.counters.strangers_displaced.one_more();
            self.close_flow(stranger, FlowEnd::Ours);
        }
    }

    /// What carries the messages of a hop, and our address there.
    pub(crate) fn transport_of(&self, hop: Hop) -> Option<(Transport, SocketAddr)> {
        match hop {
            Hop::Udp { socket, .. } => Some((Transport::Udp, self.udp.local(socket)?)),
            Hop::Flow(id) => self.flows.get(id).map(|flow| {
                // A peer that answers later cannot reach the port that a connection of ours happened to leave by.
                let FlowView { transport, peer, local, accepted, .. } = flow.view;
                let listening = if accepted { None } else { self.names.toward(transport, peer) };
                (transport, listening.unwrap_or(local))
            }),
        }
    }

    /// The far end of a hop. `None` when the connection is gone.
    pub(crate) fn peer_of(&self, hop: Hop) -> Option<SocketAddr> {
        match hop {
            Hop::Udp { peer, .. } => Some(peer),
            Hop::Flow(id) => self.flows.get(id).map(|flow| flow.view.peer),
        }
    }

    /// A connection to a peer; opened when there is none. `None` also where the sockets are a caller's, which may be no network
    /// at all.
    pub(crate) fn connect(&mut self, peer: SocketAddr) -> Option<FlowId> {
        let local = self.names.toward(Transport::Tcp, peer).filter(|_| self.connects)?;
        self.make_room();
        self.flows.connect(peer, local, self.now)
    }

    /// A TLS connection to a server of `domain`, as `ours`. RFC 5922 7.3
    pub(crate) fn connect_tls(&mut self, peer: SocketAddr, domain: &str, ours: &str) -> Option<FlowId> {
        let local = self.names.toward(Transport::Tls, peer).filter(|_| self.connects)?;
        self.make_room();
        self.flows.connect_tls(peer, domain, ours, local, self.now)
    }

    /// A TLS connection to another host of the tier.
    pub(crate) fn connect_sibling(&mut self, peer: SocketAddr) -> Option<FlowId> {
        let local = self.names.toward(Transport::Tls, peer).filter(|_| self.connects)?;
        self.make_room();
        self.flows.connect_sibling(peer, local, self.now)
    }

    /// Forgets a connection; the user hears of it in the same round.
    pub(crate) fn close_flow(&mut self, id: FlowId, end: FlowEnd) {
        if let Some(flow) = self.flows.remove(id) {
            self.disconnect(id, flow.asked);
            self.closed.push_back((id, end));
        }
    }

    fn falls_back(&self, id: FlowId, origin: Option<Key>) -> bool {
        let fallbacks = self.flows.get(id).map_or(&[][..], |flow| &flow.fallbacks);
        fallbacks.iter().any(|fallback| Some(Key::Client(fallback.key)) == origin)
    }

    /// A connection could not be opened: what went by it only because of its size goes by UDP after all.
    pub(crate) fn fall_back(&mut self, peer: SocketAddr, fallbacks: Vec<Fallback>) {
        if fallbacks.is_empty() {
            return;
        }
        self.refused_tcp.note(self.now, peer);
        for Fallback { key, request, hop } in fallbacks {
            if self.transactions.resend_request(self.now, key, request, hop, false).is_ok() {
                self.counters.large_requests_back_to_udp.one_more();
            }
        }
    }

    /// The same request as it goes by TCP, and the connection for it.
    fn by_tcp(&mut self, request: &Message, peer: SocketAddr) -> Option<(FlowId, Message)> {
        let via = request.values(HeaderId::Via).next()?;
        let rest = via.strip_prefix(b"SIP/2.0/UDP ")?;
        let via = [b"SIP/2.0/TCP ", rest].concat();
        let by_tcp = request.edit().replace_first_value(HeaderId::Via, via).finish().ok()?;
        Some((self.connect(peer)?, by_tcp))
    }
}
