//! Who gets the responses of a request that is sent on: the transaction it came by, or the service that asked for it.

use sip_endpoint::{Hop, RespondError, ServerKey};
use sip_message::{HeaderId, Message, Method};
use sip_proxy::Best;

use crate::answer::challenges;
use crate::capture::Decided;
use crate::edge::{Cx, Edge};
use crate::exchange::Asker;
use crate::legs;

/// Who gets the responses.
#[derive(Debug, Clone)]
pub(crate) enum Upstream {
    /// The sender of the request.
    Server {
        /// Its transaction.
        key: ServerKey,
        /// The way its responses take.
        hop: Hop,
    },
    /// Call-control: the request is one of its effects.
    Leg(legs::Request),
    /// Another service that asked for this one exchange.
    Exchange(Asker),
    /// The request ends a dialog that nobody knows any more; what becomes of it changes nothing.
    Nobody,
}

impl Upstream {
    /// Trunk that the asker named; empty lets the plan decide.
    pub(crate) fn trunk(&self) -> &str {
        match self {
            Self::Leg(request) => &request.trunk,
            Self::Exchange(asker) => &asker.trunk,
            Self::Server { .. } | Self::Nobody => "",
        }
    }

    /// Marks a decision as one about the call that the request is for.
    pub(crate) fn own(&self, decided: Decided) -> Decided {
        match self {
            Self::Leg(request) => decided.of_call(&request.call_id),
            Self::Server { .. } | Self::Exchange(_) | Self::Nobody => decided,
        }
    }

    /// Remembers the flow that the next response came on.
    pub(crate) fn note_flow(&mut self, flow: Hop) {
        match self {
            Self::Leg(request) => request.flow = Some(flow),
            Self::Exchange(asker) => asker.flow = Some(flow),
            Self::Server { .. } | Self::Nobody => {}
        }
    }
}

impl Edge {
    /// Passes a provisional response or a 2xx up.
    pub(crate) fn forward_up(&mut self, cx: &mut Cx<'_>, upstream: &Upstream, response: Message) {
        match upstream {
            Upstream::Leg(request) => self.take_leg_response(cx, request, &response),
            Upstream::Exchange(asker) => self.take_exchange_response(cx, asker, &response),
            Upstream::Nobody => {}
            Upstream::Server { key, hop } => {
                let success = matches!(response.status(), Some(200..=299));
                let Some(response) = without_via(&response) else {
                    return self.meters.dropped.with_label_values(&["response"]).inc();
                };
                match cx.respond(*key, response.clone()) {
                    Ok(()) => {}
                    // A 2xx to INVITE goes up even after another final response. RFC 3261 16.7 step 5
                    Err(RespondError::AlreadyFinal | RespondError::Unknown)
                        if success && response.method() == Method::Invite =>
                    {
                        cx.send_statelessly(&response, *hop);
                    }
                    Err(_) => self.meters.dropped.with_label_values(&["response"]).inc(),
                }
            }
        }
    }

    /// Answers with the best failure. RFC 3261 16.7 steps 6 and 7
    pub(crate) fn fail_up(
        &mut self,
        cx: &mut Cx<'_>,
        upstream: &Upstream,
        request: &Message,
        best: Best<Message>,
        challenges: &[Message],
    ) {
        let key = match upstream {
            Upstream::Leg(leg) => return self.take_leg_failure(cx, leg, request, best, challenges),
            Upstream::Exchange(asker) => return self.take_exchange_failure(cx, asker, best, challenges),
            Upstream::Nobody => return,
            Upstream::Server { key, .. } => *key,
        };
        let status = best.status_upstream();
        let response = match best {
            Best::Received(response) if response.status() == Some(status) => {
                with_challenges(&response, challenges)
            }
            Best::Received(_) | Best::Local(_) => self.tags.answer(request, status, "", []).ok(),
        };
        // RFC 4320 4.2: nobody waits for a 408 to another request than INVITE; the transaction ends by itself.
        if status == 408 && request.method() != Method::Invite {
            return;
        }
        let answered = response.map(|response| cx.respond(key, response));
        if !matches!(answered, Some(Ok(()))) {
            self.meters.dropped.with_label_values(&["response"]).inc();
        }
    }
}

/// RFC 3261 16.7 step 3
fn without_via(response: &Message) -> Option<Message> {
    response.edit().remove_first_value(HeaderId::Via).finish().ok()
}

fn with_challenges(response: &Message, others: &[Message]) -> Option<Message> {
    let mut edit = response.edit();
    edit.remove_first_value(HeaderId::Via);
    for (id, value) in challenges(others) {
        edit.append(id, value);
    }
    edit.finish().ok()
}
