//! Whoever looks on: sees each message as it passes, and changes nothing.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::context::Core;
use crate::hop::{FlowId, Hop, Transport};
use crate::inbound::Way;
use crate::user::TransactionUser;

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To us.
    Received,
    /// From us.
    Sent,
}

/// A message that passes: as it came, before anybody judged it, or as it is handed to a socket. Keep-alives are none.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Which way it goes.
    pub direction: Direction,
    /// Our address.
    pub local: SocketAddr,
    /// The far address.
    pub peer: SocketAddr,
    /// What carries it.
    pub transport: Transport,
    /// Its octets; a clone shares them.
    pub bytes: &'a Bytes,
}

/// Sees every message once per passing: repetitions again, and what is malformed too.
///
/// It is called in the driver loop, between a message and its consequences, and must return at once.
pub trait Witness: Send + Sync + 'static {
    /// A message passes.
    fn saw(&self, seen: Seen<'_>);
}

impl<U: TransactionUser> Core<U> {
    /// Shows a message that came.
    pub(crate) fn show_received(&self, way: &Way, bytes: &Bytes) {
        if let Some(witness) = &self.witness {
            let Way { source: peer, local, transport, .. } = *way;
            witness.saw(Seen { direction: Direction::Received, local, peer, transport, bytes });
        }
    }

    /// Shows a message that leaves; one for a connection that is still being opened when it has been opened.
    pub(crate) fn show_sent(&mut self, hop: Hop, bytes: &Bytes) {
        let Some(witness) = &self.witness else { return };
        let (transport, local, peer) = match hop {
            Hop::Udp { socket, peer } => match self.udp.local(socket) {
                Some(local) => (Transport::Udp, local, peer),
                None => return,
            },
            Hop::Flow(id) => match self.flows.get_mut(id) {
                Some(flow) if flow.view.open => (flow.view.transport, flow.view.local, flow.view.peer),
                Some(flow) => return flow.unshown.push(bytes.clone()),
                None => return,
            },
        };
        witness.saw(Seen { direction: Direction::Sent, local, peer, transport, bytes });
    }

    /// Shows what has waited for a connection.
    pub(crate) fn show_opened(&mut self, id: FlowId) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        for bytes in std::mem::take(&mut flow.unshown) {
            self.show_sent(Hop::Flow(id), &bytes);
        }
    }
}
