//! The factory: an INVITE to it makes a new conference, whose URI is the Contact of the 200 (RFC 4579 3.2, 5.4; CCL-16). The caller is its
//! first member, and there is no conference before it is at the mixer.

use std::time::Duration;

use crate::engine::anchor::record::Said;
use crate::engine::call::TimerKind;
use crate::engine::conference::record::{Member, MemberStep};
use crate::engine::outcome::Cause;
use crate::engine::signal::A;
use crate::engine::work::Work;

impl Work<'_> {
    /// A caller wants a conference of its own.
    pub fn begin_conference(&mut self, offer: Option<Vec<u8>>) {
        if self.context.mixing.mixers.is_empty() {
            return self.end(Cause::failed(480, "No mixer"));
        }
        let member = Member { party: A as u32, step: MemberStep::Calling.into(), ..Member::default() };
        self.make_conference(vec![member]);
        self.confer();
        let mixer = self.add_mixer_leg(0);
        let Some(offer) = offer else { return self.dial_mixer(mixer, None) };
        let Some(fitted) = self.fit_first_offer(mixer, &offer) else {
            return self.end(Cause::failed_by(&self.leg(A).leg_id.clone(), 488, ""));
        };
        if let Some(member) = self.member_mut(0) {
            member.lines = fitted.lines;
        }
        self.dial_mixer(mixer, Some(fitted.sdp));
    }

    /// The mixer answered the caller's offer, or makes one.
    pub(super) fn answer_caller_of(&mut self, at: usize, sdp: Option<Vec<u8>>) {
        let Some(member) = self.member(at).cloned() else { return };
        let (party, mixer) = (member.party(), member.mixer as usize);
        if !self.settle_mixer(&member) {
            return self.lose_party(mixer, Cause::failed(488, "No conference"));
        }
        let own = self.leg(party).remote_tag.clone();
        let is_offered = self.leg(mixer).invite.as_ref().is_some_and(|invite| invite.body.is_some());
        // From here on the two legs have one session
        self.step_to(at, MemberStep::In);
        let said = match (is_offered, sdp) {
            (_, None) => None,
            (true, Some(answer)) => {
                let tag = self.leg(mixer).remote_tag.clone();
                self.ack(mixer, &tag, None);
                let offer =
                    self.leg(party).chosen().map(|dialog| dialog.remote_sdp.clone()).unwrap_or_default();
                let fitted = self.fit_answer(party, &own, &offer, &answer, &member.lines);
                fitted.map(|sdp| Said { status: 200, sdp, ..Said::default() })
            }
            (false, Some(offer)) => self.fit_offer(party, &offer).map(|fitted| Said {
                status: 200,
                sdp: fitted.sdp,
                lines: fitted.lines,
                offer,
                ..Said::default()
            }),
        };
        let Some(said) = said else {
            self.step_to(at, MemberStep::Calling);
            return self.lose_party(mixer, Cause::failed(488, "No session of the mixer"));
        };
        if self.call.answer_ms == 0 {
            self.answer_caller(said);
            self.connected();
        } else {
            // Who calls a conference that is there: its ACK brings the answer to the mixer's offer
            let is_offer = !said.offer.is_empty();
            if self.accept_caller(party, said) && is_offer {
                self.start_timer(TimerKind::Guard, mixer, Duration::from_millis(self.call.policy.guard_ms));
            }
        }
        self.come_in(at);
    }
}
