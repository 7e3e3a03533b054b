//! Requests to the URI of a conference, outside of any dialog (RFC 4579 4.2, 5.2, 5.5, 5.7; CCL-17, CCL-18). The edge gives each a leg id of
//! its own and tells the call that is the conference.
//!
//! | the request                                          | answer                                                        |
//! |------------------------------------------------------|---------------------------------------------------------------|
//! | is for what is no conference, or none any more       | 404                                                           |
//! | INVITE, and who joined by Join is awaited            | as below; another one meanwhile: 480                          |
//! | OPTIONS, REFER that require what Carillon does not have | 420 (UAC-02)                                               |
//! | OPTIONS                                              | 200, with what a focus says of itself                         |
//! | REFER                                                | see `refer`                                                   |
//! | INVITE that no caller would be answered 200          | as in `anchor::begin`                                         |
//! | INVITE to a conference with as many legs as may be   | 486                                                           |
//! | INVITE with Replaces: badly said, or with Join       | 400 (CCL-09)                                                  |
//! | the same, of no member's dialog; `early-only`        | 481; 486 (CCL-09, CCL-10)                                     |
//! | the same, of somebody else's                         | 403 (CCL-11)                                                  |
//! | INVITE                                               | as of who calls the factory: the mixer is asked, then 200; whom it replaces is hung up on when it is in |
//! | another method                                       | 405                                                           |
//!
//! A Join is ignored: who calls a conference joins it (CCL-13). What is refused leaves no leg in the record, so that nobody fills it with
//! refusals. Who knows the URI may come in: it holds the id of the call, which is not to be guessed.

use sip_message::Replaces;

use crate::engine::call::TimerKind;
use crate::engine::claim::ask::identity_of;
use crate::engine::claim::record::Claim;
use crate::engine::conference::record::{Conference, Member, MemberStep};
use crate::engine::conference::{MAX_LEGS, call_of_uri};
use crate::engine::derive;
use crate::engine::effect::{Effect, Header, ReleaseLeg, SendResponse, What};
use crate::engine::event::{CallReceived, EdgeEvent};
use crate::engine::outcome::Cause;
use crate::engine::peer::{accepted, unknown_extensions};
use crate::engine::send::{ALLOW, SUPPORTED};
use crate::engine::signal::{A, LegIndex};
use crate::engine::stage::Stage;
use crate::engine::transfer::record::DialogId;
use crate::engine::work::Work;

impl Work<'_> {
    /// A request for the conference that the call is.
    pub fn on_conference_asked(&mut self, event: &EdgeEvent, asked: &CallReceived) {
        // Who makes one by calling the factory is in before others can know its URI
        let is_conferring = matches!(self.call.stage, Some(Stage::Conferring(_))) && self.call.answer_ms != 0;
        // Where a phone mixes, that phone is the focus
        let is_own = |conference: &Conference| !conference.local && !conference.elsewhere;
        let is_held = is_conferring && self.call.conference.as_ref().is_some_and(is_own);
        let is_named = call_of_uri(&asked.request_uri).is_some_and(|call_id| call_id == self.call.call_id);
        let is_invite = matches!(asked.method.as_str(), "" | "INVITE");
        let is_met = is_invite && self.meeting().is_some() && !self.is_made_elsewhere();
        if !is_named || !(is_held || is_met) {
            return self.answer_aside(event, asked, 404, Vec::new());
        }
        if is_met && self.call.conference.as_ref().is_some_and(|conference| conference.members.len() > 2) {
            return self.answer_aside(event, asked, 480, Vec::new());
        }
        let unknown = unknown_extensions(&asked.method, &asked.require);
        if !is_invite && !unknown.is_empty() {
            let headers = vec![Header::new("Unsupported", unknown.join(", "))];
            return self.answer_aside(event, asked, 420, headers);
        }
        match asked.method.as_str() {
            "" | "INVITE" => {
                if let Err((status, headers)) = self.dial_in(event, asked) {
                    self.answer_aside(event, asked, status, headers);
                }
            }
            "OPTIONS" => {
                let mut headers = vec![
                    Header::new("Allow", ALLOW),
                    Header::new("Supported", SUPPORTED),
                    Header::new("Allow-Events", "conference, refer"),
                ];
                headers.extend(accepted());
                self.answer_aside(event, asked, 200, headers);
            }
            "REFER" => self.on_referred_from_outside(event, asked),
            _ => self.answer_aside(event, asked, 405, vec![Header::new("Allow", ALLOW)]),
        }
    }

    fn dial_in(&mut self, event: &EdgeEvent, invite: &CallReceived) -> Result<(), (u32, Vec<Header>)> {
        let offer = self.judge(invite).map_err(|cause| (cause.status, cause.told))?;
        let replaces = self.whom_it_replaces(invite).map_err(|status| (status, Vec::new()))?;
        if self.call.legs.len() + 2 > MAX_LEGS {
            return Err((486, Vec::new()));
        }
        let leg = self.add_caller(event, invite);
        self.note_offer_of(leg, offer.as_deref());
        if self.meeting().is_some() {
            // Who is awaited has come: from here on its leg says how it goes
            self.pair().into_iter().for_each(|leg| self.stop_timer(TimerKind::Operation, leg));
        }
        let member = Member {
            party: leg as u32,
            step: MemberStep::Calling.into(),
            replaces: replaces.map_or(0, |replaced| replaced as u32 + 1),
            ..Member::default()
        };
        let Some(conference) = &mut self.call.conference else { return Ok(()) };
        conference.members.push(member);
        let at = conference.members.len() - 1;
        let mixer = self.add_mixer_leg(at);
        match offer {
            None => self.dial_mixer(mixer, None),
            Some(offer) => match self.fit_first_offer(mixer, &offer) {
                Some(fitted) => {
                    if let Some(member) = self.member_mut(at) {
                        member.lines = fitted.lines;
                    }
                    self.dial_mixer(mixer, Some(fitted.sdp));
                }
                None => self.lose_party(leg, Cause::failed_by(&event.leg_id, 488, "")),
            },
        }
        self.roster_changed();
        Ok(())
    }

    /// The leg of the member whose dialog the INVITE names, when it may take its place.
    fn whom_it_replaces(&self, invite: &CallReceived) -> Result<Option<LegIndex>, u32> {
        let of = |name: &str| {
            let is_it = move |header: &&Header| header.name.eq_ignore_ascii_case(name);
            invite.headers.iter().filter(is_it).map(|header| header.value.as_str()).collect::<Vec<_>>()
        };
        let value = match (&of("Replaces")[..], of("Join").len()) {
            ([], _) => return Ok(None),
            ([value], 0) => *value,
            _ => return Err(400),
        };
        let dialog = DialogId::of_replaces(&Replaces::parse(value.as_bytes()).map_err(|_| 400_u32)?);
        let conference = self.call.conference.as_ref().ok_or(404_u32)?;
        let is_it =
            |member: &Member| member.step() == MemberStep::In && self.is_dialog(member.party(), &dialog);
        let found = conference.find(is_it).ok_or(481_u32)?;
        let leg = conference.members[found].party();
        let identity = identity_of(invite);
        let is_listed = self.context.takers.list(&identity);
        let early_only = dialog.early_only;
        let claim = Claim { dialog, identity, is_listed, ..Claim::default() };
        match claim.is_authorised(&self.leg(leg).party.uri, &conference.uri) {
            true if early_only => Err(486),
            true => Ok(Some(leg)),
            false => Err(403),
        }
    }

    /// Whoever was replaced by one that has come in is sent away.
    pub(super) fn take_place(&mut self, at: usize) {
        let Some(conference) = &mut self.call.conference else { return };
        let replaced = std::mem::take(&mut conference.members[at].replaces);
        if replaced == 0 {
            return;
        }
        let replaced = replaced as LegIndex - 1;
        let Some(old) = conference.find(|member| member.party() == replaced) else { return };
        // Who takes the place of who made the conference has made it, also for how it ends
        if old == 0 {
            conference.members.swap(old, at);
        }
        self.expel(replaced);
    }

    /// Who called does not want to come in any more: the conference was made for it, or goes on without.
    pub(super) fn caller_of_conference_cancelled(&mut self, leg: LegIndex) {
        if leg == A && self.call.answer_ms == 0 {
            return self.caller_cancelled();
        }
        let leg_id = self.leg(leg).leg_id.clone();
        self.lose_party(leg, Cause::failed_by(&leg_id, 487, "Request Terminated"));
    }

    /// Answers a request that has no leg in the record, and has its edge forget it.
    pub(super) fn answer_aside(
        &mut self,
        event: &EdgeEvent,
        asked: &CallReceived,
        status: u32,
        headers: Vec<Header>,
    ) {
        let response = SendResponse {
            transaction: asked.transaction.clone(),
            status,
            to_tag: derive::tag(&self.call, &event.leg_id),
            headers,
            in_conference: true,
            ..SendResponse::default()
        };
        for what in [What::Respond(response), What::Release(ReleaseLeg {})] {
            self.call.last_effect += 1;
            let effect = Effect {
                number: self.call.last_effect,
                leg_id: event.leg_id.clone(),
                edge_id: event.edge_id.clone(),
                edge_epoch: event.edge_epoch,
                what: Some(what),
                refusals: 0,
            };
            self.call.outbox.push(effect.clone());
            self.effects.push(effect);
        }
    }
}
