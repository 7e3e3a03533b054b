//! A MESSAGE that no phone of its user answers is kept for its user (RFC 3428 7).
//!
//! Without an answer its sender would only learn from its own Timer F that nothing came of it, for nobody sends 408 to it (RFC 4320 4.2).
//! So presence is asked to keep it while that timer runs, in time for the 202 to be sent once more should it get lost. Where no phone can be
//! reached at all, it is asked at once.

use sip_message::Message;
use sip_proxy::{Best, Group};

use super::out_of_dialog::in_dialog;
use crate::edge::{Cx, Edge, Timer};
use crate::forward::fork::{Fork, ForkId};
use crate::forward::obstacle::Obstacle;
use crate::forward::target::Target;
use crate::forward::upstream::Upstream;

/// Whether a request is a message for the phones of a user of ours, and nobody else.
pub(super) fn may_be_kept(request: &Message, groups: &[Group<Target>]) -> bool {
    let mut targets = groups.iter().flat_map(|group| &group.targets);
    request.method_str() == "MESSAGE" && !in_dialog(request) && targets.all(is_phone)
}

/// Whether nothing that a phone says came of a message that is kept then: it has failed before it reached one, or at the edge that has
/// its flow. Where `sips` is in the way, its sender is told so instead.
pub(crate) fn is_unread(fork: &Fork, best: &Best<Message>) -> bool {
    let is_silence = match best {
        Best::Local(status) => matches!(status, 408 | 430 | 480 | 503),
        // RFC 5626 5.3: so says the edge that has lost the flow
        Best::Received(response) => {
            response.status() == Some(430) && fork.branches.iter().any(|branch| branch.is_relayed)
        }
    };
    fork.kept_from.is_some()
        && is_silence
        && matches!(fork.obstacle, None | Some(Obstacle::Refused | Obstacle::NoAddress(_)))
        && fork.branches.iter().all(|branch| is_phone(&branch.target))
}

/// Not where somebody has led it.
fn is_phone(target: &Target) -> bool {
    &*target.cause == "contact"
}

impl Edge {
    /// A message was sent to the phones of its user.
    pub(super) fn bound_message(&self, cx: &mut Cx<'_>, fork: ForkId) {
        if !self.forks.contains_key(&fork) {
            return;
        }
        let timing = &self.config.endpoint.transactions.timing;
        // Its sender repeats it every T2 (RFC 3261 17.1.2.2).
        let after = timing.timeout().saturating_sub(timing.t2);
        cx.set_timer(after, Timer::Unread(fork));
    }

    /// The time of its phones is over.
    pub(crate) fn keep_if_unread(&mut self, cx: &mut Cx<'_>, id: ForkId) {
        if let Some(fork) = self.forks.remove(&id) {
            self.keep(cx, id, *fork);
        }
    }

    /// Asks presence to keep a message. What presence sends itself is an exchange, and never comes here.
    pub(crate) fn keep(&mut self, cx: &mut Cx<'_>, id: ForkId, fork: Fork) {
        self.end_fork(cx, id, &fork);
        let Fork { upstream: Upstream::Server { key, .. }, request, kept_from: Some(arrival), .. } = fork
        else {
            return;
        };
        let question = self.handing(&request, &arrival, String::new());
        self.ask(cx, key, request, &arrival, question);
    }
}
