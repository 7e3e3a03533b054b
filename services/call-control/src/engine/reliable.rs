//! Reliable provisional responses, seen from the receiver (RFC 3262 4).
//!
//! | RSeq of the response       | what happens                                                       |
//! |----------------------------|--------------------------------------------------------------------|
//! | first of the INVITE        | taken                                                              |
//! | last + 1                   | taken; its PRACK waits while an earlier one waits for the flow     |
//! | last or lower              | repeat: dropped                                                    |
//! | beyond last + 1            | kept back, neither acknowledged nor used, until the gap is closed  |
//!
//! A taken response with the peer's offer waits for the flow (`EarlyOffer`); every other one is acknowledged at once.
//! The role of the sender (PRK-01, 03, 04, 06) is that of a leg whose peer called, see `anchor::caller` and `anchor::prack`.

use crate::engine::event::ResponseReceived;
use crate::engine::leg::{Ahead, OpenOffer, Purpose};
use crate::engine::offer_answer::{Fate, session_of};
use crate::engine::signal::{LegIndex, Signal};
use crate::engine::work::Work;

/// How many responses beyond a gap are kept.
const MAX_AHEAD: usize = 4;

impl Work<'_> {
    /// A reliable provisional response to the initial INVITE came in a known dialog.
    pub fn on_reliable(&mut self, leg: LegIndex, response: &ResponseReceived) {
        let tag = response.to_tag.as_str();
        let rseq = response.rseq.unwrap_or_default();
        let sdp = session_of(response.body.as_ref());
        let Some(dialog) = self.leg_mut(leg).dialog_mut(tag) else { return };
        if dialog.rseq_cseq != response.cseq {
            dialog.rseq_cseq = response.cseq;
            dialog.rseq = rseq.saturating_sub(1);
        }
        let next = dialog.rseq + 1;
        if rseq < next {
            return;
        }
        let arrived = Ahead { rseq, status: response.status, sdp: sdp.unwrap_or_default() };
        if rseq > next {
            if dialog.ahead.len() < MAX_AHEAD && !dialog.ahead.contains(&arrived) {
                dialog.ahead.push(arrived);
            }
            return;
        }
        self.take(leg, tag, arrived, response.phrase());
        while let Some(next) = self.next_ahead(leg, tag) {
            self.take(leg, tag, next, "");
        }
    }

    fn next_ahead(&mut self, leg: LegIndex, tag: &str) -> Option<Ahead> {
        let dialog = self.leg_mut(leg).dialog_mut(tag)?;
        let at = dialog.ahead.iter().position(|ahead| ahead.rseq == dialog.rseq + 1)?;
        Some(dialog.ahead.remove(at))
    }

    fn take(&mut self, leg: LegIndex, tag: &str, response: Ahead, reason: &str) {
        let has_offered = self.leg(leg).invite.as_ref().is_some_and(|invite| invite.body.is_some());
        let Some(dialog) = self.leg_mut(leg).dialog_mut(tag) else { return };
        dialog.rseq = response.rseq;
        if dialog.unpracked {
            dialog.deferred.push(response.rseq); // RFC 3262 4: in order only
            return self.on_progress(leg, tag, response.status, reason, None);
        }
        if response.sdp.is_empty() || dialog.agreed {
            self.prack(leg, tag, response.rseq, None, Purpose::PrackPlain);
            return self.on_progress(leg, tag, response.status, reason, None);
        }
        if has_offered {
            dialog.agreed = true;
            self.offer_settled(leg, tag, Fate::Answered(&response.sdp));
            self.prack(leg, tag, response.rseq, None, Purpose::PrackPlain);
            if self.leg(leg).remote_tag.is_empty() {
                self.leg_mut(leg).remote_tag = tag.to_owned();
            }
            self.note_progress(leg, response.status, reason);
            let (tag, status, sdp) = (tag.to_owned(), response.status, response.sdp);
            return self.signals.push_back(Signal::EarlyAnswer { leg, tag, status, sdp });
        }
        dialog.open_offer = OpenOffer::Theirs.into();
        dialog.remote_sdp = response.sdp.clone();
        dialog.unpracked = true;
        self.note_progress(leg, response.status, reason);
        let (tag, status, sdp) = (tag.to_owned(), response.status, response.sdp);
        self.signals.push_back(Signal::EarlyOffer { leg, tag, status, sdp });
    }

    /// Refuses the offer that waits for the flow (LAD-4 d, l). An offer that cannot be read is acknowledged without a body.
    pub fn refuse_early_offer(&mut self, leg: LegIndex, tag: &str, purpose: Purpose) {
        let answer = self.reject_answer(leg, tag);
        self.answer_early_offer(leg, tag, answer, purpose);
    }

    /// Acknowledges the response whose offer waits for the flow.
    pub fn answer_early_offer(
        &mut self,
        leg: LegIndex,
        tag: &str,
        answer: Option<Vec<u8>>,
        purpose: Purpose,
    ) {
        let Some(dialog) = self.leg_mut(leg).dialog_mut(tag).filter(|dialog| dialog.unpracked) else {
            return;
        };
        let deferred = std::mem::take(&mut dialog.deferred);
        let rseq = dialog.rseq - deferred.len() as u32;
        dialog.open_offer = OpenOffer::None.into();
        dialog.agreed = true;
        dialog.unpracked = false;
        self.prack(leg, tag, rseq, answer, purpose);
        for rseq in deferred {
            self.prack(leg, tag, rseq, None, Purpose::PrackPlain);
        }
    }
}
