//! A 2xx to INVITE of a call that nobody knows any more.

use sip_message::{HeaderId, Message, Method, RequestBuilder};

use crate::arrive::along_route::Stray;
use crate::edge::{Cx, Edge};
use crate::forward::fork::NewFork;
use crate::forward::plan::only;
use crate::forward::target::Target;
use crate::forward::upstream::Upstream;

impl Edge {
    /// Acknowledges the 2xx, because the peer repeats it until then, and ends its dialog.
    // RFC 3261 13.2.2.4
    pub(super) fn end_orphan(&mut self, cx: &mut Cx<'_>, success: &Message) {
        // From, Call-ID and CSeq of a response are those of its request.
        let Ok(mut dialog) = sip_dialog::Dialog::from_uac_response(success, success) else { return };
        let invite = dialog.local_cseq();
        let complete = |request: RequestBuilder| {
            let request = request.header(HeaderId::MaxForwards, "71").ok()?.build();
            let arrived = self.read_route(&request).ok()?;
            Some((request, arrived))
        };
        let ack = dialog.ack(invite).ok().and_then(&complete);
        let bye = dialog.next_request(Method::Bye).ok().and_then(&complete);
        self.meters.dropped.with_label_values(&["orphan_call"]).inc();
        if let Some((message, arrived)) = ack {
            let unique = self.names.forwarded();
            self.forward_stray(cx, Stray { message, arrived, target: Target::of_uri(None), unique });
        }
        if let Some((request, arrived)) = bye {
            let new = NewFork::of_ours(Upstream::Nobody, request, arrived);
            self.open_fork(cx, new, vec![only(Target::of_uri(None))]);
        }
    }
}
