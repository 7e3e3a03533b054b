//! The mark of a dialog: what shows any edge of the tier that one of them let the dialog in, and that a URI was given to it by
//! one of them, whatever address that had and whether it lives or not.
//!
//! It stands in the Record-Route of a dialog that passes and in the Contact of one that ends here, so in every later request
//! of the dialog, which cannot be challenged (ACK) or need not be.

use sip_message::{HeaderError, HeaderId, Message, Uri};
use sip_proxy::Arrived;

use crate::edge::Edge;
use crate::flow_token::flow_of;
use crate::forward::record_route::mark_of;

impl Edge {
    /// The mark of the dialog that a request belongs to.
    pub(crate) fn mark(&self, request: &Message) -> String {
        self.cluster.mark(request.call_id().unwrap_or_default())
    }

    /// Has an edge of this tier given the URI to the dialog of this request?
    pub(crate) fn is_marked(&self, request: &Message, uri: &Uri<'_>) -> bool {
        let call_id = request.call_id().unwrap_or_default();
        mark_of(uri).is_some_and(|mark| self.cluster.made_mark(call_id, mark))
    }

    /// What of the route is ours: Record-Route names the tier, not the edge, so the value of a sibling is ours too.
    ///
    /// # Errors
    /// When a Route value that is needed cannot be read.
    pub(crate) fn read_route(&self, request: &Message) -> Result<Arrived, HeaderError> {
        Arrived::read_by(request, &self.own, |uri| self.is_marked(request, uri))
    }

    /// Does a route show that an edge of this tier let the dialog of this request in before?
    pub(crate) fn was_let_in(&self, request: &Message, arrived: &Arrived) -> bool {
        let is_marked = |route: &[u8]| Uri::parse(route).is_ok_and(|uri| self.is_marked(request, &uri));
        // Behind a route of somebody else ours may be a later one.
        arrived.own_routes.iter().any(|route| is_marked(route))
            || request.addresses(HeaderId::Route).flatten().any(|route| is_marked(route.uri))
    }

    /// Does the route lead to a flow by a token that this tier sealed?
    pub(crate) fn names_flow(&self, arrived: &Arrived) -> bool {
        let flow = arrived.own_routes.last().and_then(|route| flow_of(route));
        flow.is_some_and(|flow| self.cluster.open(&flow).is_ok())
    }
}
