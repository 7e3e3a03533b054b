//! A conference that is made elsewhere: an INVITE to a factory of others makes it, and the Contact of the 200, with `isfocus`, is its URI
//! (RFC 4579 5.4; LAD-8, CCL-15). That focus is the mixer to which the parties of a call are moved; Carillon is no focus then, but says with
//! `isfocus` that one is behind it.
//!
//! Who joins by Join goes there itself. The first of the two is moved by re-INVITE and keeps its dialog with Carillon; the other one:
//!
//! | its phone                                  | effects                                             | afterwards                    |
//! |--------------------------------------------|-----------------------------------------------------|-------------------------------|
//! | takes REFER                                | REFER to the conference                             |                               |
//! | NOTIFY with 2xx                            | 200; BYE                                            | a call of the first one with the conference |
//! | refuses the REFER, NOTIFY with a refusal; says nothing for too long | INVITE to the conference, re-INVITE | both are connected with it    |
//! | takes no REFER                             | the same                                            | the same                      |
//! | refuses that, too                          | BYE to the conference; the two are connected again  | the call as it was            |
//! | hangs up                                   | 200                                                 | a call of the first one with the conference |

use sip_message::{Scheme, Uri};

use crate::engine::call::{Party, TimerKind};
use crate::engine::conference::record::{Member, MemberStep};
use crate::engine::outcome::{BY_CARILLON, Cause};
use crate::engine::report::CallEventType;
use crate::engine::signal::LegIndex;
use crate::engine::stage::{Stage, Talking};
use crate::engine::transfer::record::Referring;
use crate::engine::work::Work;

/// Whether conferences can be made there: a sip or sips URI with a user part and without headers.
pub fn is_factory(uri: &str) -> bool {
    let is_plain = |uri: &Uri<'_>| uri.user.is_some() && uri.header_pairs().next().is_none();
    Uri::parse(uri.as_bytes()).is_ok_and(|uri| is_sip(&uri) && is_plain(&uri))
}

fn is_sip(uri: &Uri<'_>) -> bool {
    matches!(uri.scheme, Scheme::Sip | Scheme::Sips)
}

impl Work<'_> {
    /// Whether the focus of the conference is that of others.
    pub fn is_made_elsewhere(&self) -> bool {
        self.call.conference.as_ref().is_some_and(|conference| conference.elsewhere)
    }

    /// The URI of the conference, when a leg has reached one.
    pub(super) fn focus_reached(&self, mixer: LegIndex) -> Option<String> {
        let dialog = self.leg(mixer).chosen().filter(|dialog| dialog.is_focus)?;
        let uri = Uri::parse(dialog.remote_target.as_bytes()).ok().filter(is_sip)?;
        std::str::from_utf8(uri.without_headers()).ok().map(str::to_owned)
    }

    /// Whether a leg may follow a redirection wherever it leads: the factory that the operator named says where the conference is
    /// (RFC 4579 5.4).
    pub fn is_led_by_factory(&self, leg: LegIndex, uri: &str) -> bool {
        self.is_made_elsewhere()
            && self.call.is_to_mixer(leg)
            && Uri::parse(uri.as_bytes()).is_ok_and(|uri| is_sip(&uri))
    }

    /// The next one to be moved, when who joins goes to the conference itself and this one's phone may do the same.
    pub(super) fn lead_to_conference(&mut self, at: usize) -> bool {
        let Some(member) = self.member(at).cloned() else { return false };
        let Some(Stage::Gathering(gathering)) = &self.call.stage else { return false };
        let uri = self.call.conference.as_ref().map(|conference| conference.uri.clone()).unwrap_or_default();
        let is_led = gathering.meeting.is_some() && !uri.is_empty() && self.is_made_elsewhere();
        let leg = member.party();
        if !is_led || !self.allows(leg, "REFER", false) {
            return false;
        }
        let leave = self.pair().into_iter().find(|&one| one != leg).unwrap_or(leg) as u32;
        let target = Party { uri, ..Party::default() };
        self.report_on(leg, CallEventType::TransferStarted, 0, "");
        self.keep_referring(Referring { stay: leg as u32, leave, target, ..Referring::default() });
        self.refer_to_target();
        true
    }

    /// That phone is there: its dialog here is over.
    pub fn led_to_conference(&mut self, reason: &str) {
        let Some(leg) = self.stop_leading() else { return };
        self.report_on(leg, CallEventType::TransferSucceeded, 200, reason);
        self.go_on_with_conference(leg);
    }

    /// It is not: Carillon brings it there.
    pub fn not_led_to_conference(&mut self, status: u32, reason: &str) {
        let Some(leg) = self.stop_leading() else { return };
        self.report_on(leg, CallEventType::TransferFailed, status, reason);
        let Some(conference) = &self.call.conference else { return };
        if let Some(at) = conference.find(|member| member.party() == leg) {
            self.ask_mixer(at);
        }
    }

    /// What its phone still says of the REFER is not heard any more. Its leg.
    pub(super) fn stop_leading(&mut self) -> Option<LegIndex> {
        let Some(Stage::Gathering(gathering)) = &mut self.call.stage else { return None };
        let leg = gathering.leading.take()?.stay as LegIndex;
        self.stop_timer(TimerKind::Operation, leg);
        Some(leg)
    }

    /// Who is at the conference already, when the party of this leg is on its way and hangs up.
    pub(super) fn is_ahead_of(&self, leg: LegIndex) -> bool {
        let Some(conference) = self.call.conference.as_ref().filter(|conference| conference.elsewhere) else {
            return false;
        };
        let is_ahead = |member: &Member| member.step() == MemberStep::In && member.party() != leg;
        let is_to_move = |member: &Member| member.step() != MemberStep::In && member.party() == leg;
        let is_meeting = self.meeting().is_some_and(|meeting| meeting.told);
        is_meeting && conference.find(is_ahead).is_some() && conference.find(is_to_move).is_some()
    }

    /// One of the two is let go, and the other one talks to the conference.
    pub(super) fn go_on_with_conference(&mut self, leave: LegIndex) {
        let conference = self.call.conference.take();
        let members = conference.map(|conference| conference.members).unwrap_or_default();
        let is_over = Cause { header: String::new(), ..Cause::failed(200, "OK") };
        self.call.stage = Some(Stage::Talking(Talking {}));
        if std::mem::take(&mut self.call.held) {
            self.report_by(None, CallEventType::Unheld, (0, ""), BY_CARILLON);
        }
        for member in members {
            if member.party() != leave {
                (self.call.first, self.call.second) = (member.party, member.mixer);
                self.call.lines = member.lines;
                continue;
            }
            self.report_on(leave, CallEventType::PartyLeft, 0, "");
            if let Some(mixer) = member.mixer() {
                self.stop_timer(TimerKind::Guard, mixer);
                self.stop_timer(TimerKind::Ring, mixer);
                self.drop_leg(mixer, &is_over);
            }
            self.drop_leg(leave, &is_over);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CCL-15
    #[test]
    fn a_factory_is_a_user_of_a_server() {
        for good in ["sip:conf-factory@conf.example.com", "sips:new@192.0.2.1:5070;transport=tcp"] {
            assert!(is_factory(good), "{good}");
        }
        for bad in ["", "conf-factory", "sip:conf.example.com", "tel:+13125550100", "sip:a@b?Subject=x"] {
            assert!(!is_factory(bad), "{bad}");
        }
    }
}
