//! Flow I (RFC 3725 4.1, LAD-3): leg a's offer goes to leg b, an automaton that answers at once; leg a's 2xx waits meanwhile.
//!
//! | stage  | input                    | effects                                    | next    | ladder |
//! |--------|--------------------------|--------------------------------------------|---------|--------|
//! | DialA  | Answered a, offer1       | INVITE b, offer1 with our o= line          | OfferB  | 2-3    |
//! | OfferB | EarlyAnswer b, answer1   | ACK a, answer1                             | OfferB  | -      |
//! | OfferB | Answered b, other fork   | ACK b; re-INVITE b without SDP             | AskOffer | -     |
//! | OfferB | Answered b, answer1      | ACK b; ACK a, answer1                      | Talking | 4-7    |
//! | OfferB | Refused b                | ACK a refusing; BYE a, Reason              | Ending  | c      |
//! | OfferB | GUARD                    | ACK a refusing; CANCEL b; BYE a, cause 480 | Ending  | d      |
//!
//! Leg a cannot send a re-INVITE here (f: 491, see `peer`). That leg a hangs up (e) and that a 2xx of leg b crosses (d) are the
//! same in every stage, see `hangup` and `receive`.

use std::time::Duration;

use crate::engine::call::TimerKind;
use crate::engine::offer_answer::refuses_all;
use crate::engine::outcome::Cause;
use crate::engine::signal::{A, B, Signal};
use crate::engine::stage::{OfferB, Stage};
use crate::engine::work::Work;

impl Work<'_> {
    /// Dials leg b with leg a's offer.
    pub fn offer_to_second(&mut self, offer: Vec<u8>) {
        self.start_timer(TimerKind::Guard, A, Duration::from_millis(self.call.policy.guard_ms));
        self.add_leg(self.call.to.clone());
        let Some(fitted) = self.fit_first_offer(B, &offer) else {
            return self.end(Cause::failed(488, "Not Acceptable Here"));
        };
        self.call.stage = Some(Stage::OfferB(OfferB { offer, lines: fitted.lines, tag: String::new() }));
        self.dial(B, Some(fitted.sdp), "application/sdp");
    }

    /// Stage OfferB.
    pub fn on_offer_b(&mut self, mut stage: OfferB, signal: Signal) {
        match signal {
            Signal::EarlyAnswer { leg: B, tag, sdp, .. } if stage.tag.is_empty() => {
                stage.tag = tag;
                self.call.stage = Some(Stage::OfferB(stage.clone()));
                self.pass_answer(&stage, &sdp);
            }
            Signal::Answered { leg: B, sdp } => {
                let tag = self.leg(B).remote_tag.clone();
                if !stage.tag.is_empty() && stage.tag != tag {
                    return self.other_fork_answered(None);
                }
                self.ack(B, &tag, None);
                match sdp {
                    Some(answer) => self.pass_answer(&stage, &answer),
                    None if stage.tag.is_empty() => {
                        let by = self.leg(B).leg_id.clone();
                        return self.end(Cause::failed_by(&by, 488, "No answer in 2xx"));
                    }
                    None => {}
                }
                if self.call.outcome.is_none() {
                    self.connected();
                }
            }
            // LAD-3 d: leg a, which waits for its ACK, comes first
            Signal::Guard => self.end(Cause::no_answer("")),
            other => self.on_any_stage(other),
        }
    }

    /// Brings leg b's answer to leg a's 2xx.
    fn pass_answer(&mut self, stage: &OfferB, answer: &[u8]) {
        let tag = self.leg(A).remote_tag.clone();
        let fitted = self.fit_answer(A, &tag, &stage.offer, answer, &stage.lines);
        let is_readable = fitted.is_some();
        let fitted = fitted.or_else(|| self.reject_answer(A, &tag));
        self.ack(A, &tag, fitted);
        self.stop_timer(TimerKind::Guard, A);
        if !is_readable || refuses_all(&stage.offer, answer) {
            let by = self.leg(B).leg_id.clone();
            self.end(Cause::failed_by(&by, 488, "Not Acceptable Here"));
        }
    }
}
