//! What the mark of a dialog opens: it shows any edge of the tier that one of them let the dialog in, and that a URI was given to it
//! by one of them, whatever address that had and whether it lives or not.
//!
//! It stands in the Record-Route of a dialog that passes and in the Contact of one that ends here, so in every later request
//! of the dialog, which cannot be challenged (ACK) or need not be. Both sides know it, so it is good for no more than the dialog:
//!
//! | request | passes by a mark of |
//! |---|---|
//! | ACK, BYE, INFO, PRACK, UPDATE: nothing outside a dialog, 481 | this Call-ID and tag |
//! | any other: what could ring, notify or begin a dialog | this Call-ID and tag, both names, and at most `edge.dialog_lifetime` ago |
//! | REGISTER | none |
//!
//! What does not pass is decided on as outside a dialog; who proves to be somebody goes on along the route. ADR 10

use std::time::Duration;

use bytes::Bytes;
use sip_message::{HeaderError, HeaderId, Join, Message, Method, Replaces, Uri};
use sip_proxy::Arrived;

use crate::compose::{GATEWAY, MARK, RELAYED};
use crate::dialog_mark::{Dialog, Mark};
use crate::edge::Edge;
use crate::forward::record_route::mark_of;
use crate::gateway_mark::Numbers;

const HOUR: Duration = Duration::from_secs(3600);

impl Edge {
    /// The mark that a request gives to the dialog that it begins.
    pub(crate) fn mark(&self, request: &Message) -> String {
        self.cluster.mark(&Dialog::begun_by_sender(request), self.hour())
    }

    /// Has an edge of this tier given the URI to the dialog of this request? Either side may have begun it.
    pub(crate) fn is_marked(&self, request: &Message, uri: &Uri<'_>) -> bool {
        self.read_mark(request, uri).is_some()
    }

    /// Has an edge of this tier given the URI to the dialog that this INVITE wants to replace or to join, or that this request is about
    /// (RFC 4538)? Whoever takes a call over has the Contact of its leg from the phone that was in it, and is served by another edge as often
    /// as not. It opens nothing: who sends an INVITE is asked, and what may be done to the call, call-control says.
    pub(crate) fn is_about_marked(&self, request: &Message, uri: &Uri<'_>) -> bool {
        let replaced = request.first(HeaderId::Replaces).and_then(|value| Replaces::parse(value).ok());
        let joined = request.first(HeaderId::Join).and_then(|value| Join::parse(value).ok());
        let replaced = replaced.map(|dialog| (dialog.call_id, [dialog.to_tag, dialog.from_tag]));
        let joined = joined.map(|dialog| (dialog.call_id, [dialog.to_tag, dialog.from_tag]));
        let about = request.target_dialog().ok().flatten();
        let about = about.map(|dialog| (dialog.call_id, [dialog.local_tag, dialog.remote_tag]));
        let Some((call_id, tags)) = replaced.or(joined).or(about) else { return false };
        // Either side may have begun it
        let is_of = |mark, tag| self.cluster.read_mark(&Dialog::named(call_id, tag, request), mark).is_some();
        mark_of(uri).is_some_and(|mark| tags.iter().any(|tag| is_of(mark, *tag)))
    }

    /// Has an edge of this tier given the URI to the dialog of this request, which its sender began?
    pub(crate) fn is_marked_by_sender(&self, request: &Message, uri: &Uri<'_>) -> bool {
        let mark = mark_of(uri);
        mark.is_some_and(|mark| self.cluster.read_mark(&Dialog::begun_by_sender(request), mark).is_some())
    }

    /// Has an edge of this tier given the URI to the dialog of this request, which its receiver began?
    pub(crate) fn is_marked_by_receiver(&self, request: &Message, uri: &Uri<'_>) -> bool {
        let found = Dialog::begun_by_receiver(request).zip(mark_of(uri));
        found.is_some_and(|(dialog, mark)| self.cluster.read_mark(&dialog, mark).is_some())
    }

    /// The Route value for a sibling that has the flow, with the mark that lets the request in there.
    pub(crate) fn relay(&self, request: &Message, route: &Bytes) -> Bytes {
        let open = route.strip_suffix(b">").unwrap_or(route);
        let mark = self.mark(request);
        // It has been decided here that it may go to this gateway.
        let number = self.relayed_number(request);
        let numbers = Numbers { caller: None, callee: number.as_deref() };
        let gateway = self.cluster.gateway_mark(&Dialog::begun_by_sender(request), numbers);
        let [and, key, is, gateway] =
            gateway.as_deref().map_or([""; 4], |gateway| [";", GATEWAY, "=", gateway]);
        [open, b";", RELAYED.as_bytes(), b";", MARK.as_bytes(), b"=", mark.as_bytes()]
            .into_iter()
            .chain([and, key, is, gateway, ">"].map(str::as_bytes))
            .collect::<Vec<_>>()
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

    /// Does the route let the request in without a question? An edge of this tier let its dialog in before. PXY-27
    pub(crate) fn was_let_in(&self, request: &Message, arrived: &Arrived) -> bool {
        let method = request.method();
        let (now, lifetime) = (self.hour(), hours(self.config.dialog_lifetime));
        let is_recent = |mark: &Mark<'_>| now.saturating_sub(mark.hour) <= lifetime;
        let is_enough = |mark: &Mark<'_>, dialog: &Dialog<'_>| {
            acts_within(&method) || (is_recent(mark) && mark.has_same_names(dialog))
        };
        method != Method::Register && self.has_mark(request, arrived, is_enough)
    }

    /// Is the route that of the request's dialog, whoever sends it and whenever?
    pub(crate) fn is_along_dialog(&self, request: &Message, arrived: &Arrived) -> bool {
        request.method() != Method::Register && self.has_mark(request, arrived, |_, _| true)
    }

    fn has_mark(
        &self,
        request: &Message,
        arrived: &Arrived,
        is_enough: impl Fn(&Mark<'_>, &Dialog<'_>) -> bool,
    ) -> bool {
        let passes = |route: &[u8]| {
            let uri = Uri::parse(route).ok();
            let found = uri.and_then(|uri| self.read_mark(request, &uri));
            found.is_some_and(|(mark, dialog)| is_enough(&mark, &dialog))
        };
        // Behind a route of somebody else ours may be a later one.
        arrived.own_routes.iter().any(|route| passes(route))
            || request.addresses(HeaderId::Route).flatten().any(|route| passes(route.uri))
    }

    /// What the mark in a URI says of this request, whichever side began the dialog.
    fn read_mark<'a>(&'a self, request: &'a Message, uri: &Uri<'_>) -> Option<(Mark<'a>, Dialog<'a>)> {
        let text = mark_of(uri)?;
        let read = |dialog: Dialog<'a>| Some((self.cluster.read_mark(&dialog, text)?, dialog));
        read(Dialog::begun_by_sender(request)).or_else(|| read(Dialog::begun_by_receiver(request)?))
    }

    fn hour(&self) -> u32 {
        let seconds = self.deps.clock.unix_millis() / 1000;
        u32::try_from(seconds / HOUR.as_secs()).unwrap_or(u32::MAX)
    }
}

/// Requests that only a dialog gives a meaning: who does not have it answers 481 and does nothing. RFC 3261 12.2.2, 15.1.2; 3262 3; 3311
/// 5.2; 6086 4.2.2. They come under another name too (RFC 4916), and an ACK cannot be challenged.
pub(super) fn acts_within(method: &Method) -> bool {
    matches!(method, Method::Ack | Method::Bye | Method::Info | Method::Prack | Method::Update)
}

/// Whole hours, begun ones counted.
fn hours(span: Duration) -> u32 {
    u32::try_from(span.as_secs().div_ceil(HOUR.as_secs())).unwrap_or(u32::MAX)
}
