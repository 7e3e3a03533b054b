//! A MESSAGE that no phone of its user answers is kept for its user (RFC 3428 7).
//!
//! Without an answer its sender would only learn from its own Timer F that nothing came of it, for nobody sends 408 to it (RFC 4320 4.2).
//! So presence is asked to keep it while that timer runs, in time for the 202 to be sent once more should it get lost.

use sip_endpoint::Arrival;
use sip_message::Message;
use sip_proxy::Group;

use super::out_of_dialog::in_dialog;
use crate::edge::{Cx, Edge, Timer};
use crate::forward::fork::ForkId;
use crate::forward::target::Target;
use crate::forward::upstream::Upstream;

/// Whether a request is a message for the phones of a user of ours, and nobody else.
pub(super) fn may_be_kept(request: &Message, groups: &[Group<Target>]) -> bool {
    let mut targets = groups.iter().flat_map(|group| &group.targets);
    request.method_str() == "MESSAGE"
        && !in_dialog(request)
        && targets.all(|target| &*target.cause == "contact")
}

impl Edge {
    /// A message was sent to the phones of its user.
    pub(super) fn bound_message(&self, cx: &mut Cx<'_>, fork: ForkId, arrival: Arrival) {
        let timing = &self.config.endpoint.transactions.timing;
        // Its sender repeats it every T2 (RFC 3261 17.1.2.2).
        let after = timing.timeout().saturating_sub(timing.t2);
        cx.set_timer(after, Timer::Unread(fork, Box::new(arrival)));
    }

    /// The time of its phones is over.
    pub(crate) fn keep_unread(&mut self, cx: &mut Cx<'_>, id: ForkId, arrival: &Arrival) {
        let Some(fork) = self.forks.remove(&id) else { return };
        self.end_fork(cx, id, &fork);
        let Upstream::Server { key, .. } = fork.upstream else { return };
        let question = self.handing(&fork.request, arrival, String::new());
        self.ask(cx, key, fork.request, arrival, question);
    }
}
