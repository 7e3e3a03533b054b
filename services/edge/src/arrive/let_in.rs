//! The mark of a dialog: what shows any edge of the tier that one of them let the dialog in, and that a URI was given to it by
//! one of them, whatever address that had and whether it lives or not.
//!
//! It stands in the Record-Route of a dialog that passes and in the Contact of one that ends here, so in every later request
//! of the dialog, which cannot be challenged (ACK) or need not be.

use bytes::Bytes;
use sip_message::{HeaderError, HeaderId, Message, Uri};
use sip_proxy::Arrived;

use crate::compose::{MARK, RELAYED};
use crate::edge::Edge;
use crate::forward::record_route::mark_of;

impl Edge {
    /// The mark that a request gives to the dialog that it begins: over its Call-ID and its sender's tag.
    pub(crate) fn mark(&self, request: &Message) -> String {
        let tag = request.from().ok().and_then(|from| from.tag());
        self.cluster.mark(&of_dialog(request, tag))
    }

    /// Has an edge of this tier given the URI to the dialog of this request? Either side may have begun it.
    pub(crate) fn is_marked(&self, request: &Message, uri: &Uri<'_>) -> bool {
        let Some(mark) = mark_of(uri) else { return false };
        let from = request.from().ok().map(|from| from.tag());
        // Without a tag there is no dialog yet, and nobody who could have begun it.
        let to = request.to().ok().map(|to| to.tag()).filter(Option::is_some);
        from.into_iter().chain(to).any(|tag| self.cluster.made_mark(&of_dialog(request, tag), mark))
    }

    /// Has an edge of this tier given the URI to this dialog, begun by the side with this tag?
    pub(crate) fn is_marked_by(&self, request: &Message, uri: &Uri<'_>, tag: &str) -> bool {
        mark_of(uri).is_some_and(|mark| self.cluster.made_mark(&of_dialog(request, Some(tag)), mark))
    }

    /// The Route value for a sibling that has the flow, with the mark that lets the request in there.
    pub(crate) fn relay(&self, request: &Message, route: &Bytes) -> Bytes {
        let open = route.strip_suffix(b">").unwrap_or(route);
        [open, b";", RELAYED.as_bytes(), b";", MARK.as_bytes(), b"=", self.mark(request).as_bytes(), b">"]
            .concat()
            .into()
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
}

/// What a mark is made over. The separator stands in no Call-ID.
fn of_dialog(request: &Message, tag: Option<&str>) -> Vec<u8> {
    [request.call_id().unwrap_or_default(), b" ", tag.unwrap_or_default().as_bytes()].concat()
}
