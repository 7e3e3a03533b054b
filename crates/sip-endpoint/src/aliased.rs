//! Neighbours that want requests back by their own connection, and how connections end. RFC 5923

use std::net::SocketAddr;

use sip_message::Message;

use crate::context::Core;
use crate::flow::FlowEnd;
use crate::hop::FlowId;
use crate::user::TransactionUser;

impl<U: TransactionUser> Core<U> {
    /// A request by TLS may ask for it in its Via. Who has not proved a domain asks in vain. RFC 5923 8.2
    pub(crate) fn note_alias(&mut self, id: FlowId, message: &Message) {
        let Some(flow) = self.flows.get(id) else { return };
        let Some(secured) = flow.secured.as_ref().filter(|secured| !secured.peer.is_empty()) else { return };
        if !flow.view.accepted || !message.is_request() {
            return;
        }
        let Some(via) = message.top_via().ok().filter(|via| via.params.has("alias")) else { return };
        let address = SocketAddr::new(flow.view.peer.ip(), via.port_or_default());
        let secured = secured.clone();
        self.flows.reused.alias(id, address, &secured);
    }

    pub(crate) fn count_end(&self, end: FlowEnd) {
        match end {
            FlowEnd::Idle | FlowEnd::Silent => self.counters.connections_idle.one_more(),
            FlowEnd::Unfinished => self.counters.connections_unfinished.one_more(),
            FlowEnd::NotOpened(_)
            | FlowEnd::Handshake
            | FlowEnd::Distrusted(_)
            | FlowEnd::Peer
            | FlowEnd::Broken(_)
            | FlowEnd::Ours
            | FlowEnd::TooSlow => {}
        }
    }
}
