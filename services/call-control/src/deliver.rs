//! `LegEvents`: edges deliver what happened on legs, at least once, to any replica.

use std::sync::Arc;

use ambient::Entropy;
use cluster_api::callcontrol::v1::leg_events_server::LegEvents;
use cluster_api::callcontrol::v1::{DeliverRequest, DeliverResponse};
use tonic::{Request, Response, Status};

use crate::engine::StepError;
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
        let events = events.map_err(|unknown| Status::unimplemented(unknown.to_string()))?;
        let how = How { acknowledged: true, ..How::default() };
        let applied = match events.first() {
            Some(Event::Leg(first)) if matches!(first.what, LegEvent::Incoming(_)) => {
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
}
