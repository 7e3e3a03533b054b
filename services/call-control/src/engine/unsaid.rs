//! Responses that their edge refused: it would not make the message, or has no such transaction any more. What waits for them is
//! told in the plainest way, so that no server transaction stays open.
//!
//! | refused response                          | what happens                                                |
//! |-------------------------------------------|-------------------------------------------------------------|
//! | 500 without headers and body              | nothing: there is nobody to tell                            |
//! | unreliable 1xx to a caller                | nothing: the next response says more                        |
//! | reliable 1xx to a caller                  | the call ends with 500: no PRACK would come                 |
//! | 2xx to a caller                           | the call ends with 500, as one that was not answered         |
//! | the same, of who calls a conference       | that one does not come in                                    |
//! | other final response                      | 500 without headers and body                                |

use crate::engine::anchor::record::CallerPhase;
use crate::engine::effect::{Effect, SendResponse, What};
use crate::engine::outcome::Cause;
use crate::engine::signal::LegIndex;
use crate::engine::work::Work;

impl Work<'_> {
    /// The edge did not take this response on.
    pub fn on_unsaid(&mut self, leg: LegIndex, effect: &Effect, response: &SendResponse) {
        let is_plain = response.status == 500 && response.headers.is_empty() && response.body.is_none();
        let incoming = self.leg(leg).incoming.as_ref();
        let incoming = incoming.filter(|incoming| incoming.transaction == response.transaction);
        let has = |name: &str| response.headers.iter().any(|header| header.name == name);
        match (response.status, incoming.map(|incoming| incoming.phase())) {
            (..200, Some(CallerPhase::Open)) if has("RSeq") => self.end_unsaid(leg),
            (..200, _) => {}
            (200..300, Some(CallerPhase::Answered)) => self.take_back_success(leg),
            _ if is_plain => {}
            _ => {
                self.leg_mut(leg).served.retain(|served| served.transaction != response.transaction);
                let plain = SendResponse {
                    transaction: response.transaction.clone(),
                    to_tag: response.to_tag.clone(),
                    status: 500,
                    ..SendResponse::default()
                };
                self.put_at(leg, effect.edge_id.clone(), effect.edge_epoch, What::Respond(plain));
            }
        }
    }

    /// The caller never saw our 2xx: there is no ACK to wait for and no dialog to end.
    fn take_back_success(&mut self, leg: LegIndex) {
        if let Some(incoming) = &mut self.leg_mut(leg).incoming {
            incoming.phase = CallerPhase::Open.into();
            incoming.bye_waits = false;
        }
        match self.call.outcome {
            None => self.end_unsaid(leg),
            Some(_) => drop(self.drop_caller(leg, &unsaid(&self.leg(leg).leg_id.clone()))),
        }
    }

    fn end_unsaid(&mut self, leg: LegIndex) {
        let cause = unsaid(&self.leg(leg).leg_id);
        if !self.lose_member(leg, &cause) {
            self.end(cause);
        }
    }
}

fn unsaid(leg: &str) -> Cause {
    Cause { leg: leg.to_owned(), ..Cause::failed(500, "Response refused by the edge") }
}
