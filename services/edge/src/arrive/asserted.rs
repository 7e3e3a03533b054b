//! Who somebody is said to be, beside From: believed of neighbours that are trusted, and of nobody else. RFC 3325
//!
//! | who sends it                                     | P-Asserted-Identity    | P-Preferred-Identity, Remote-Party-ID |
//! |--------------------------------------------------|------------------------|---------------------------------------|
//! | a neighbour of `edge.trusted`, or by certificate | goes on                | goes on                               |
//! | another edge, which has looked at it             | goes on                | goes on                               |
//! | anybody else, in requests and responses          | is taken out           | is taken out                          |
//!
//! The same holds for headers that begin with `X-Internal-`: what neighbours that are trusted say to each other by such names is nobody
//! else's to say.
//!
//! None is put in for who has proved who he is: From says it then, because the registrar lets no other one pass. With `Privacy: id` the
//! identity stays among those who are trusted and the trunks: no phone is shown it (RFC 3325 7).

use std::net::SocketAddr;

use sip_endpoint::Arrival;
use sip_message::{Edit, HeaderId, Message, host_ip};

use super::out_of_dialog::Pending;
use crate::edge::Edge;

const ASSERTIONS: [HeaderId; 3] =
    [HeaderId::PAssertedIdentity, HeaderId::PPreferredIdentity, HeaderId::RemotePartyId];

/// Headers of neighbours among each other.
const INTERNAL: &str = "X-Internal-";

impl Edge {
    /// Takes out of a request what its sender is not believed. RFC 3325 5
    pub(super) fn disbelieve(&self, pending: &mut Pending) {
        if is_asserted(&pending.request)
            && !self.is_trusted(&pending.arrival)
            && !self.came_by_sibling(&pending.request, &pending.arrival)
        {
            take_out(&mut pending.request);
        }
    }

    /// The same of a response, which came from where the request went.
    pub(crate) fn disbelieve_answer(&self, response: &mut Message, arrival: &Arrival) {
        if is_asserted(response) && !self.is_trusted(arrival) && !self.cluster.serves_at(&arrival.source) {
            take_out(response);
        }
    }

    /// Another edge sent it on: its connection comes from the host that it names as its own, where that edge listens.
    pub(super) fn came_by_sibling(&self, request: &Message, arrival: &Arrival) -> bool {
        // Most come by datagrams, which edges do not send each other: nothing is read of them.
        if !arrival.transport.is_reliable() {
            return false;
        }
        let Ok(via) = request.top_via() else { return false };
        let is_there = host_ip(via.host) == Some(arrival.source.ip());
        let listens = SocketAddr::new(arrival.source.ip(), via.port_or_default());
        is_there && self.cluster.serves_at(&listens)
    }
}

/// Takes the identity out of what goes to a phone although its owner wants it kept among those who are trusted. RFC 3325 7
pub(crate) fn keep_private(edit: &mut Edit<'_>, request: &Message) {
    let mut privacies =
        request.all(HeaderId::Privacy).flat_map(|value| value.split(|byte| matches!(byte, b';' | b',')));
    if privacies.any(|value| value.trim_ascii().eq_ignore_ascii_case(b"id")) {
        edit.remove_all(HeaderId::PAssertedIdentity);
    }
}

fn is_asserted(message: &Message) -> bool {
    ASSERTIONS.iter().any(|id| message.has(*id)) || message.has_prefixed(INTERNAL)
}

fn take_out(message: &mut Message) {
    let mut edit = message.edit();
    for id in ASSERTIONS {
        edit.remove_all(id);
    }
    edit.remove_prefixed(INTERNAL);
    // A message with fewer lines is one.
    if let Ok(without) = edit.finish() {
        *message = without;
    }
}
