//! `LegEvents`: edges deliver what happened on legs, at least once, to any replica.

use std::sync::Arc;

use ambient::Entropy;
use cluster_api::callcontrol::v1::leg_events_server::LegEvents;
use cluster_api::callcontrol::v1::{DeliverRequest, DeliverResponse, NotifyRequest, NotifyResponse};
use tonic::{Request, Response, Status};

use crate::engine::StepError;
use crate::engine::conference::call_of_uri;
use crate::engine::event::{Event, LegEvent};
use crate::refusal;
use crate::runner::{ApplyError, How, Runner};
use crate::wire::events;

/// Events of one delivery at most; an edge that kept more sends them in several.
const MAX_EVENTS: usize = 256;

/// The server of `LegEvents`.
#[derive(Clone)]
pub struct Deliver {
    runner: Arc<Runner>,
    entropy: Arc<dyn Entropy>,
}

impl Deliver {
    /// Serves with this runner.
    pub fn new(runner: Arc<Runner>, entropy: Arc<dyn Entropy>) -> Deliver {
        Deliver { runner, entropy }
    }
}

#[async_trait::async_trait]
impl LegEvents for Deliver {
    async fn deliver(&self, request: Request<DeliverRequest>) -> Result<Response<DeliverResponse>, Status> {
        let DeliverRequest { call_id, edge_id, edge_epoch, events } = request.into_inner();
        if call_id.is_empty() || edge_id.is_empty() || events.is_empty() || events.len() > MAX_EVENTS {
            return Err(Status::invalid_argument("expected call_id, edge_id and 1 to 256 events"));
        }
        let events: Result<Vec<_>, _> =
            events.into_iter().map(|event| events::leg_event(&edge_id, edge_epoch, event)).collect();
        let mut events = events.map_err(|unknown| Status::unimplemented(unknown.to_string()))?;
        let judged = self.runner.judge_referrals(&call_id, &mut events).await;
        judged.map_err(|error| refusal::of(&error))?;
        let how = How { acknowledged: true, ..How::default() };
        let applied = match events.first() {
            // What is for a conference begins no call, also when there is none of that name
            Some(Event::Leg(first)) if is_for_conference(&first.what, &call_id) => {
                self.runner.apply(&call_id, &events, how).await
            }
            Some(Event::Leg(first)) if matches!(first.what, LegEvent::Incoming(_)) => {
                if let Some(invite) = self.runner.calls_in(&events) {
                    self.runner.called_in(&call_id, invite, self.entropy.as_ref()).await?;
                }
                let mut seed = vec![0; 32];
                self.entropy.fill(&mut seed);
                self.runner.receive(&call_id, seed, &events).await
            }
            _ => self.runner.apply(&call_id, &events, how).await,
        };
        match applied {
            Ok(_) => Ok(Response::new(DeliverResponse { gone: false })),
            Err(ApplyError::Unknown | ApplyError::NotControlled | ApplyError::Over(_)) => {
                Ok(Response::new(DeliverResponse { gone: true }))
            }
            // The call is not known by this leg: nothing will ever come of these events.
            Err(ApplyError::Refused(StepError::UnknownLeg(_))) => {
                Ok(Response::new(DeliverResponse { gone: true }))
            }
            Err(error) => Err(refusal::of(&error)),
        }
    }

    async fn notify(&self, request: Request<NotifyRequest>) -> Result<Response<NotifyResponse>, Status> {
        let answered = self.runner.callback_notified(request.get_ref()).await;
        let status = answered.map_err(|error| refusal::of_callback(&error))?;
        Ok(Response::new(NotifyResponse { status }))
    }
}

fn is_for_conference(what: &LegEvent, call_id: &str) -> bool {
    matches!(what, LegEvent::Incoming(asked) if call_of_uri(&asked.request_uri).as_deref() == Some(call_id))
}
