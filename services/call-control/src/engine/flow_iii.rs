//! Flow III (RFC 3725 4.3, LAD-2): leg a makes its own offer and waits with an inactive session. From then on it is Flow IV.
//!
//! | stage | input                       | effects                             | next    | ladder |
//! |-------|-----------------------------|-------------------------------------|---------|--------|
//! | DialA | Answered a, offer1          | ACK a with inactive answer1; INVITE b | DialB | 2-4    |
//! | DialA | EarlyOffer a, offer1        | PRACK a with inactive answer1       | DialA   | OFA-03 |
//! | DialA | Answered a after EarlyOffer | ACK a; INVITE b                     | DialB   | -      |
//! | DialA | Answered a, no offer        | ACK, BYE a                          | Ending  | -      |
//!
//! That offer1 and offer2 share no codec (k) is found in `connect`, before leg a is asked. Flow I begins the same way, see
//! `flow_i`; when its leg a makes the offer in a reliable 18x, which cannot wait for leg b, it goes on as Flow III.

use crate::engine::call::Flow;
use crate::engine::leg::Purpose;
use crate::engine::outcome::Cause;
use crate::engine::signal::A;
use crate::engine::work::Work;

impl Work<'_> {
    /// Leg a answered an INVITE without SDP.
    pub fn on_first_offer(&mut self, offer: Option<Vec<u8>>) {
        let tag = self.leg(A).remote_tag.clone();
        let Some(offer) = offer else {
            let is_agreed = self.leg(A).chosen().is_some_and(|dialog| dialog.history.is_some());
            if !is_agreed {
                let by = self.leg(A).leg_id.clone();
                return self.end(Cause::failed_by(&by, 488, "No offer"));
            }
            self.ack_first();
            return self.dial_b();
        };
        if self.call.flow() == Flow::I {
            return self.offer_to_second(offer);
        }
        let Some(answer) = self.inactive_answer(A, &tag, &offer) else {
            return self.end(Cause::failed(488, "Not Acceptable Here"));
        };
        self.ack(A, &tag, Some(answer));
        self.dial_b();
    }

    /// Leg a made its offer in a reliable provisional response.
    pub fn on_first_early_offer(&mut self, tag: &str, offer: &[u8]) {
        let answer = self.inactive_answer(A, tag, offer);
        self.answer_early_offer(A, tag, answer, Purpose::PrackPlain);
        if self.call.flow() == Flow::I {
            self.call.flow = Flow::Iii.into();
        }
    }
}
