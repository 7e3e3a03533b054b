//! Responses to the initial INVITE of a leg: dialogs are made, forks sorted out, surplus 2xx ended.
//!
//! | phase      | 1xx                    | first 2xx            | further 2xx, other tag | 3xx-6xx, none at all   |
//! |------------|------------------------|----------------------|------------------------|------------------------|
//! | Calling    | Proceeding             | Accepted, `Answered` | -                      | adapted, or `Refused`  |
//! | Proceeding | `Progress`, `Early…`   | Accepted, `Answered` | -                      | adapted, or `Refused`  |
//! | Cancelling | ignored                | ACK, BYE, leg over   | ACK, BYE               | leg over               |
//! | Accepted   | ignored                | -                    | ACK, BYE (UAC-17)      | ignored                |
//! | Failed     | ignored                | ACK, BYE             | ACK, BYE               | ignored                |
//! | replaced   | ignored                | ACK, BYE             | ACK, BYE               | ignored                |

use sip_dialog::{RouteSet, Side, target};
use sip_message::Method;

use crate::engine::call::TimerKind;
use crate::engine::effect::Body;
use crate::engine::event::{FailureCause, ResponseReceived};
use crate::engine::leg::{Dialog, DialogState, InvitePhase, LegState, OpenOffer};
use crate::engine::offer_answer::{Fate, session_of};
use crate::engine::report::CallEventType;
use crate::engine::session_timer::Role;
use crate::engine::signal::{LegIndex, Signal};
use crate::engine::text::lists;
use crate::engine::work::Work;

/// More dialogs than this from one INVITE are not followed; their 2xx are still acknowledged and ended.
const MAX_DIALOGS: usize = 16;

impl Work<'_> {
    /// A response to the initial INVITE.
    pub fn on_invite_response(&mut self, leg: LegIndex, response: &ResponseReceived) {
        match response.status {
            0..=199 => self.on_provisional(leg, response),
            200..=299 => self.on_success(leg, response),
            _ => self.on_failure(leg, response, false),
        }
    }

    /// The initial INVITE ended without a response.
    pub fn on_invite_silence(&mut self, leg: LegIndex, cause: FailureCause) {
        let reason = match cause {
            FailureCause::Timeout => "Request Timeout",
            FailureCause::Transport => "Service Unavailable",
        };
        let status = cause.status();
        let counts_as = ResponseReceived { status, reason: reason.into(), ..ResponseReceived::default() };
        self.on_failure(leg, &counts_as, true);
    }

    fn on_provisional(&mut self, leg: LegIndex, response: &ResponseReceived) {
        let on = self.leg_mut(leg);
        let Some(invite) = &mut on.invite else { return };
        match invite.phase() {
            InvitePhase::Calling => invite.phase = InvitePhase::Proceeding.into(),
            InvitePhase::Proceeding => {}
            // R10: no PRACK is owed once the INVITE is cancelled
            InvitePhase::Cancelling | InvitePhase::Accepted | InvitePhase::Failed => return,
        }
        let is_reliable = response.rseq.is_some() && lists(&response.require, "100rel");
        if response.to_tag.is_empty() {
            return self.on_progress(leg, "", response.status, response.phrase(), None);
        }
        if on.dialog(&response.to_tag).is_none() {
            if on.dialogs.len() >= MAX_DIALOGS {
                return;
            }
            let flow = on.flow.clone();
            let made = Dialog { remote_tag: response.to_tag.clone(), flow, ..Dialog::default() };
            on.dialogs.push(made);
            self.refresh_dialog(leg, response);
        } else if target::is_moved_by_response(&Method::Invite, response.status, is_reliable) {
            self.refresh_dialog(leg, response);
        }
        if is_reliable {
            self.on_reliable(leg, response);
        } else {
            let preview = session_of(response.body.as_ref());
            self.on_progress(leg, &response.to_tag, response.status, response.phrase(), preview);
        }
    }

    /// A provisional response that needs no answer.
    pub fn on_progress(
        &mut self,
        leg: LegIndex,
        tag: &str,
        status: u32,
        reason: &str,
        preview: Option<Vec<u8>>,
    ) {
        self.note_progress(leg, status, reason);
        self.signals.push_back(Signal::Progress { leg, status, tag: tag.to_owned(), sdp: preview });
    }

    /// Reports a provisional response. Unknown ones count as 183 (RFC 3261 8.1.3.2).
    pub fn note_progress(&mut self, leg: LegIndex, status: u32, reason: &str) {
        let on = self.leg_mut(leg);
        on.sip_status = status;
        on.sip_reason = reason.to_owned();
        if status == 180 {
            on.state = LegState::Ringing.into();
            self.report(leg, CallEventType::LegRinging, status, reason);
        } else {
            if on.state() == LegState::Dialing {
                on.state = LegState::Progressing.into();
            }
            self.report(leg, CallEventType::LegProgress, status, reason);
        }
    }

    fn on_success(&mut self, leg: LegIndex, response: &ResponseReceived) {
        let Some(phase) = self.leg(leg).invite.as_ref().map(|invite| invite.phase()) else { return };
        let is_known = self.leg(leg).dialog(&response.to_tag).is_some_and(|dialog| match dialog.state() {
            DialogState::Early => false,
            DialogState::Confirmed => true,
            // A fork that was given up while it was early, and answers all the same, has had no ACK yet
            DialogState::Ended => dialog.last_ack.is_some(),
        });
        if is_known && phase != InvitePhase::Calling && phase != InvitePhase::Proceeding {
            return; // the same 2xx by another way; the edge repeats the ACK
        }
        let sdp = self.confirm_dialog(leg, response);
        self.note_session(leg, &response.to_tag, &response.headers, Role::Client);
        match phase {
            InvitePhase::Calling | InvitePhase::Proceeding => {
                let now_ms = self.now.millis();
                let on = self.leg_mut(leg);
                on.remote_tag = response.to_tag.clone();
                on.state = LegState::Answered.into();
                on.accepted_ms = now_ms;
                on.sip_status = response.status;
                on.sip_reason = response.phrase().to_owned();
                if let Some(invite) = &mut on.invite {
                    invite.phase = InvitePhase::Accepted.into();
                }
                self.stop_timer(TimerKind::Ring, leg);
                let window = self.transaction_time();
                self.start_timer(TimerKind::Accepted, leg, window);
                self.report(leg, CallEventType::LegAnswered, response.status, response.phrase());
                self.signals.push_back(Signal::Answered { leg, sdp });
            }
            InvitePhase::Cancelling => {
                // LAD-10 R3: the 2xx was already on its way
                if let Some(invite) = &mut self.leg_mut(leg).invite {
                    invite.phase = InvitePhase::Failed.into();
                }
                let window = self.transaction_time();
                self.start_timer(TimerKind::Accepted, leg, window);
                self.end_dialog(leg, &response.to_tag);
                self.leg_over(leg);
            }
            InvitePhase::Accepted | InvitePhase::Failed => self.end_dialog(leg, &response.to_tag),
        }
    }

    /// A 2xx to an INVITE that failed, and that another one has taken the place of: a fork further on. RFC 3261 13.2.2.4
    pub fn on_late_success(&mut self, leg: LegIndex, response: &ResponseReceived) {
        let is_success = (200..300).contains(&response.status) && response.method == "INVITE";
        let on = self.leg(leg);
        let is_known = on.dialog(&response.to_tag).is_some() || on.dialogs.len() >= MAX_DIALOGS;
        if is_success && !response.to_tag.is_empty() && !is_known {
            self.confirm_dialog(leg, response);
            self.end_dialog(leg, &response.to_tag);
        }
    }

    fn on_failure(&mut self, leg: LegIndex, response: &ResponseReceived, silent: bool) {
        let Some(invite) = &self.leg(leg).invite else { return };
        match invite.phase() {
            InvitePhase::Calling | InvitePhase::Proceeding => {
                if self.adapt_invite(leg, response) {
                    return;
                }
                self.invite_failed(leg);
                let on = self.leg_mut(leg);
                on.sip_status = response.status;
                on.sip_reason = response.phrase().to_owned();
                let (status, reason) = (response.status, response.phrase().to_owned());
                self.signals.push_back(Signal::Refused { leg, status, reason, silent });
            }
            InvitePhase::Cancelling => {
                self.invite_failed(leg);
                self.leg_over(leg);
            }
            InvitePhase::Accepted | InvitePhase::Failed => {}
        }
    }

    /// The attempt is over: its early dialogs are too (RFC 3261 12.3).
    pub fn invite_failed(&mut self, leg: LegIndex) {
        let on = self.leg_mut(leg);
        if let Some(invite) = &mut on.invite {
            invite.phase = InvitePhase::Failed.into();
        }
        on.dialogs.clear();
        on.pending.clear();
        on.retry = None;
        on.remote_tag.clear();
        self.stop_timer(TimerKind::Ring, leg);
    }

    /// The time is over in which a 2xx may come again or another fork may answer: what was kept of the INVITEs for that is not needed any
    /// more, and people talk for long.
    pub fn forget_setup(&mut self) {
        if self.call.answer_ms == 0 {
            return; // what was offered first still matters
        }
        for leg in 0..self.call.legs.len() {
            if self.has_timer(TimerKind::Accepted, leg) {
                continue;
            }
            let on = self.leg_mut(leg);
            let tag = on.remote_tag.clone();
            if let Some(invite) = &mut on.invite
                && invite.phase() == InvitePhase::Accepted
            {
                (invite.headers, invite.credentials) = (Vec::new(), Vec::new());
                // That there was an offer says what the session of a late fork is
                invite.body = invite.body.take().map(|_| Body::default());
            }
            if on.is_up()
                && let Some(dialog) = on.dialog_mut(&tag)
            {
                dialog.last_ack = None;
                if dialog.history.is_some() {
                    on.history = None;
                }
            }
        }
    }

    /// Makes or confirms the dialog of a 2xx; the session description in it, when it is an offer or an answer.
    fn confirm_dialog(&mut self, leg: LegIndex, response: &ResponseReceived) -> Option<Vec<u8>> {
        let on = self.leg_mut(leg);
        if on.dialog(&response.to_tag).is_none() {
            let flow = on.flow.clone();
            on.dialogs.push(Dialog { remote_tag: response.to_tag.clone(), flow, ..Dialog::default() });
        }
        self.refresh_dialog(leg, response);
        let on = self.leg_mut(leg);
        let invite = on.invite.clone().unwrap_or_default();
        let dialog = on.dialog_mut(&response.to_tag)?;
        dialog.state = DialogState::Confirmed.into();
        // RFC 3261 13.2.2.4: the route set is computed again from the 2xx
        dialog.route = routes(response);
        dialog.unacked = response.cseq;
        dialog.credentials = invite.credentials;
        let is_settled = dialog.agreed || dialog.open_offer() == OpenOffer::Theirs;
        let sdp = session_of(response.body.as_ref()).filter(|_| !is_settled)?;
        dialog.agreed = true;
        dialog.remote_sdp = sdp.clone();
        if invite.body.is_some() {
            self.offer_settled(leg, &response.to_tag, Fate::Answered(&sdp));
        } else {
            dialog.open_offer = OpenOffer::Theirs.into();
        }
        Some(sdp)
    }

    /// Takes over what a dialog-forming response says about the peer.
    fn refresh_dialog(&mut self, leg: LegIndex, response: &ResponseReceived) {
        let Some(dialog) = self.leg_mut(leg).dialog_mut(&response.to_tag) else { return };
        if !response.contact.is_empty() {
            dialog.remote_target = response.contact.clone();
            dialog.is_focus = response.is_focus();
        }
        if dialog.route.is_empty() {
            dialog.route = routes(response);
        }
        dialog.learn(&response.allow, &response.accept, &response.supported);
        dialog.hear_packages(&response.headers);
    }
}

/// Route set of the dialog that a response to our INVITE made.
fn routes(response: &ResponseReceived) -> Vec<String> {
    RouteSet::of(response.record_route.iter().cloned(), Side::Caller).into_values()
}

impl Dialog {
    /// Remembers what the peer says that it can do; an absent header changes nothing.
    pub fn learn(&mut self, allow: &[String], accept: &[String], supported: &[String]) {
        for (known, told) in
            [(&mut self.allow, allow), (&mut self.accept, accept), (&mut self.supported, supported)]
        {
            if !told.is_empty() {
                *known = told.to_vec();
            }
        }
    }
}
