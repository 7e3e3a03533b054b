//! Who gets the responses of a request that is sent on: the transaction it came by, or the service that asked for it.

use sip_endpoint::{Arrival, Hop, RespondError, ServerKey};
use sip_message::{HeaderId, Message, Method, Uri};
use sip_proxy::Best;

use super::fork::Fork;
use super::history;
use super::obstacle;
use super::record_route;
use super::target::Target;
use crate::answer::challenges;
use crate::capture::Decided;
use crate::edge::{Cx, Edge};
use crate::exchange::Asker;
use crate::legs;
use crate::reach::{Reach, Sender};
use crate::reject::Reject;

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
    /// Is it call-control that asked?
    pub(crate) fn is_leg(&self) -> bool {
        matches!(self, Self::Leg(_))
    }

    /// Trunk that the asker named; empty lets the plan decide.
    pub(crate) fn trunk(&self) -> &str {
        match self {
            Self::Leg(request) => &request.trunk,
            Self::Exchange(asker) => &asker.trunk,
            Self::Server { .. } | Self::Nobody => "",
        }
    }

    /// User of ours in whose name the asker sends it; empty for Carillon's own.
    pub(crate) fn on_behalf_of(&self) -> &str {
        match self {
            Self::Exchange(asker) => &asker.on_behalf_of,
            Self::Leg(_) | Self::Server { .. } | Self::Nobody => "",
        }
    }

    /// The party on whose word call-control asked for it; empty for none.
    pub(crate) fn referred_by(&self) -> &str {
        match self {
            Self::Leg(request) => &request.referred_by,
            Self::Exchange(_) | Self::Server { .. } | Self::Nobody => "",
        }
    }

    /// Marks a decision as one about the call that the request is for.
    pub(crate) fn own(&self, decided: Decided) -> Decided {
        match self {
            Self::Leg(request) => decided.of_call(&request.call_id),
            Self::Server { .. } | Self::Exchange(_) | Self::Nobody => decided,
        }
    }

    /// Is there anybody who is told how the answering phone is reached?
    pub(crate) fn wants_flow(&self) -> bool {
        matches!(self, Self::Leg(_) | Self::Exchange(_))
    }
}

impl Edge {
    /// Remembers for the next response of an exchange or a leg how its sender is reached.
    pub(crate) fn note_flow(
        &self,
        upstream: &mut Upstream,
        target: Option<&Target>,
        response: &Message,
        arrival: &Arrival,
    ) {
        match upstream {
            Upstream::Leg(request) => request.flow = self.flow_to_answerer(target, response, arrival),
            Upstream::Exchange(asker) => asker.flow = self.flow_to_answerer(target, response, arrival),
            Upstream::Server { .. } | Upstream::Nobody => {}
        }
    }

    /// The flow by which the sender of a response is reached later. Empty when its Contact or its route leads there, and when it
    /// does not say.
    fn flow_to_answerer(&self, target: Option<&Target>, response: &Message, arrival: &Arrival) -> String {
        let contact = response.contacts().next().and_then(Result::ok);
        let Some(uri) = contact.and_then(|contact| Uri::parse(contact.uri).ok()) else {
            return String::new();
        };
        if !matches!(response.status(), Some(101..=299)) || response.has(HeaderId::RecordRoute) {
            return String::new();
        }
        // The registrar, or the dialog so far, has said that this phone is reached by its flow.
        if let Some(target) = target.filter(|target| !target.flow.is_empty()) {
            let flow = record_route::only_flow(target, arrival.transport, Some(arrival.source));
            return flow.unwrap_or_default().to_owned();
        }
        match Sender::answering(response, arrival).reach(&uri, false) {
            Reach::Flow => self.token(arrival),
            Reach::Uri => String::new(),
        }
    }

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
        fork: &Fork,
        best: Best<Message>,
        challenges: &[Message],
    ) {
        let Fork { upstream, request, arrived, obstacle, .. } = fork;
        let key = match upstream {
            Upstream::Leg(leg) => {
                return self.take_leg_failure(cx, leg, request, best, challenges, obstacle.as_ref());
            }
            Upstream::Exchange(asker) => return self.take_exchange_failure(cx, asker, best, challenges),
            Upstream::Nobody => return,
            Upstream::Server { key, .. } => *key,
        };
        // No sibling has the INVITE, or none says so. RFC 3261 9.2
        if request.method() == Method::Cancel {
            return self.reject(cx, key, request, &Reject::DoesNotExist);
        }
        let obstacle = obstacle.as_ref();
        let status = match best.status() {
            430 if obstacle::is_relayed(&arrived.own_routes) => 430,
            _ => obstacle::status(&best, obstacle).unwrap_or_else(|| best.status_upstream()),
        };
        let response = match best {
            Best::Received(response) if response.status() == Some(status) => {
                with_challenges(&response, challenges)
            }
            Best::Received(_) | Best::Local(_) => {
                let warning = obstacle.and_then(|obstacle| obstacle.warning(status));
                let warning = warning.iter().map(|warning| (HeaderId::Warning.as_str(), warning.as_str()));
                let reason = obstacle::reason(obstacle, status);
                let answer = self.tags.answer(request, status, reason, warning);
                answer.ok().map(|answer| history::answered(fork, answer, &self.own))
            }
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
