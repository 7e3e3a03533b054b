//! A call that is the focus of a conference over an external mixer (RFC 4579, RFC 4353; LAD-8 seen from the focus).
//!
//! Each member has two legs: one to its phone and one to the mixer, an INVITE to `sip:conf=ID@mixer` (RFC 4240 5). The two are
//! connected like those of any call, so that hold, offers, INFO and the end of a leg are what they are there. Phones see one
//! dialog with the focus, whose Contact is the URI of the conference with `isfocus`.
//!
//! A member that is dialled makes the offer, which goes to the mixer:
//!
//! | step    | input                          | effects                                              | next    |
//! |---------|--------------------------------|------------------------------------------------------|---------|
//! | -       | Join, REFER                    | INVITE party, no body                                | Dialing |
//! | Dialing | 2xx party, offer               | INVITE mixer, offer'                                 | Mixing  |
//! | Dialing | refusal, RING                  | CANCEL party                                         | Gone    |
//! | Mixing  | 2xx mixer, answer              | ACK mixer; ACK party, answer'                        | In      |
//! | Mixing  | refusal or silence of the mixer | INVITE to the next mixer, while nobody is at one    | Mixing  |
//! | Mixing  | the last refusal               | ACK party refusing, BYE party                        | Gone    |
//!
//! So does who calls the factory (RFC 4579 5.4), whose INVITE makes a conference of its own:
//!
//! | step    | input                          | effects                                              | next    |
//! |---------|--------------------------------|------------------------------------------------------|---------|
//! | -       | INVITE of a caller, offer      | INVITE mixer, offer'; without an offer none          | Calling |
//! | Calling | 2xx mixer, answer              | ACK mixer; 200 to the caller, answer'                | In      |
//! | Calling | 2xx mixer, offer               | 200 to the caller, offer'; its ACK has the answer    | In      |
//! | Calling | CANCEL, or the last refusal    | 487, or that refusal                                 | Gone    |
//!
//! Who calls the URI of a conference comes in in the same way, see `dial_in`; the URI takes OPTIONS and REFER, too.
//!
//! A party of a connected call is asked last, when the mixer has made its offer, so that it can stay where it is:
//!
//! | step    | input                          | effects                                              | next    |
//! |---------|--------------------------------|------------------------------------------------------|---------|
//! | Waiting | its turn                       | INVITE mixer, no body                                | Asking  |
//! | Asking  | 2xx mixer, offer               | re-INVITE party, offer'                              | Moving  |
//! | Moving  | 2xx party, answer              | ACK party; ACK mixer, answer'                        | In      |
//! | any     | a refusal; GUARD               | see `gather`: all goes back to what it was           | -       |
//!
//! Where a phone of the call mixes instead, there is no focus but that phone: see `local`.
//!
//! Stage Gathering is an operation on the call of two, which ends with PARTY_JOINED of who came or with the end of its leg. In stage
//! Conferring members come and go one by one; whose leg, or whose mixer's leg, is over has left.

mod dial_in;
pub mod elsewhere;
mod enter;
mod factory;
mod gather;
mod leave;
mod local;
pub mod record;
mod refer;
mod roster;

use std::time::Duration;

use sip_message::{Scheme, Uri};

use crate::engine::StepError;
use crate::engine::call::{Call, Party, SCHEMA, TimerKind};
use crate::engine::conference::record::{Conference, Member, MemberStep};
use crate::engine::leg::{LegState, Pending, Purpose};
use crate::engine::offer_answer::refuses_all;
use crate::engine::outcome::Cause;
use crate::engine::send::Ask;
use crate::engine::signal::{LegIndex, Reply, Signal};
use crate::engine::stage::Stage;
use crate::engine::work::Work;

/// Where conferences are mixed, and how they end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mixing {
    /// URIs of mixers without user part, best first; none means that there are no conferences.
    pub mixers: Vec<String>,
    /// When a conference ends by itself.
    pub ends: record::Ends,
    /// The user part that makes a conference for who calls it; empty for none.
    pub factory: String,
    /// The factory of others that makes conferences where there are no mixers; empty for none.
    pub elsewhere: String,
}

impl Mixing {
    /// Whether there are conferences.
    pub fn is_there(&self) -> bool {
        !self.mixers.is_empty() || !self.elsewhere.is_empty()
    }

    /// Whether a Request-URI is that of the factory.
    pub fn is_factory(&self, uri: &str) -> bool {
        let user = Uri::parse(uri.as_bytes()).ok().and_then(|uri| uri.user);
        !self.factory.is_empty() && user == Some(self.factory.as_bytes())
    }
}

/// Who mixes the media of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mixer {
    /// Whoever can.
    Auto,
    /// A phone of the call.
    Local,
    /// The configured mixer.
    Central,
}

/// Legs that a conference may have had: two for each member that was ever called.
pub const MAX_LEGS: usize = 64;
/// How long a mixer may say nothing before the next one is asked: machines answer at once, and somebody waits for it on the phone.
const MIXER_PATIENCE: Duration = Duration::from_secs(4);
/// User part of the URI of a conference, before the id of its call.
pub const USER: &str = "conf-";

impl Member {
    /// The leg to the phone.
    pub fn party(&self) -> LegIndex {
        self.party as LegIndex
    }

    /// The leg to the mixer.
    pub fn mixer(&self) -> Option<LegIndex> {
        (self.mixer > 0).then_some(self.mixer as LegIndex)
    }

    fn has(&self, leg: LegIndex) -> bool {
        self.party() == leg || self.mixer() == Some(leg)
    }

    /// Whether the leg takes part in the session between phone and mixer: that of a party which still talks to somebody does not.
    fn has_session_of(&self, leg: LegIndex) -> bool {
        self.mixer() == Some(leg)
            || (self.party() == leg && matches!(self.step(), MemberStep::Mixing | MemberStep::In))
    }

    fn is_gone(&self) -> bool {
        self.step() == MemberStep::Gone
    }
}

impl Conference {
    /// The member whose session a leg is part of.
    pub fn with_session_of(&self, leg: LegIndex) -> Option<usize> {
        self.members.iter().position(|member| !member.is_gone() && member.has_session_of(leg))
    }

    fn find(&self, is_it: impl Fn(&Member) -> bool) -> Option<usize> {
        self.members.iter().position(|member| !member.is_gone() && is_it(member))
    }

    /// Whether somebody is at the mixer: all others go there too.
    fn is_settled(&self) -> bool {
        !self.mixer.is_empty()
    }
}

impl Call {
    /// The member whose session a leg is part of, of the conference that the call is.
    pub fn member_of(&self, leg: LegIndex) -> Option<&Member> {
        let conference = self.conference.as_ref()?;
        Some(&conference.members[conference.with_session_of(leg)?])
    }

    /// Whether a leg goes to the mixer.
    pub fn is_to_mixer(&self, leg: LegIndex) -> bool {
        let Some(conference) = &self.conference else { return false };
        // Of two who talked while a phone mixes, none is the mixer
        let members = conference.members.iter().skip(usize::from(conference.local));
        members.into_iter().any(|member| member.mixer() == Some(leg))
    }

    /// The leg to a focus of others to which the party of a leg is being moved.
    pub fn focus_coming_to(&self, leg: LegIndex) -> Option<LegIndex> {
        let conference = self.conference.as_ref().filter(|conference| conference.elsewhere)?;
        let is_it = |member: &&Member| member.party() == leg && member.step() == MemberStep::Moving;
        conference.members.iter().find(is_it)?.mixer()
    }

    /// Whether the phone of a leg talks to a focus: it is told so with every Contact.
    pub fn shows_focus(&self, leg_id: &str) -> bool {
        let is_own = |conference: &&Conference| !conference.local && !conference.elsewhere;
        let Some(conference) = self.conference.as_ref().filter(is_own) else { return false };
        let is_leg = |member: &Member| {
            let is_in_touch = !matches!(member.step(), MemberStep::Waiting | MemberStep::Asking);
            is_in_touch && self.legs.get(member.party()).is_some_and(|leg| leg.leg_id == leg_id)
        };
        conference.members.iter().any(is_leg)
    }
}

impl Work<'_> {
    /// Brings a party in: makes a conference of two who talk, or adds to one.
    pub fn join(&mut self, party: Party, mixer: Mixer) -> Result<(), StepError> {
        let has_central = self.context.mixing.is_there();
        let is_local = match (mixer, &self.call.conference) {
            (Mixer::Auto, Some(conference)) => conference.local,
            (Mixer::Auto, None) => self.local_place().is_some(),
            (Mixer::Local, Some(conference)) if !conference.local => return Err(StepError::NoLocalMixer),
            (Mixer::Central, Some(conference)) if conference.local => return Err(StepError::Conflict),
            (Mixer::Local, _) => true,
            (Mixer::Central, _) => false,
        };
        if !is_local && !has_central && self.call.conference.is_none() {
            return Err(StepError::NoMixer);
        }
        match &self.call.stage {
            Some(Stage::Conferring(_)) => {}
            _ => self.must_be_talking()?,
        }
        // Three mixer legs and one of a phone at most
        if self.call.legs.len() + 4 > MAX_LEGS {
            return Err(StepError::Full(MAX_LEGS));
        }
        if is_local && self.local_place().is_none() {
            return Err(StepError::NoLocalMixer);
        }
        self.stop_listening();
        match &self.call.conference {
            None if is_local => self.begin_local(),
            None => {
                self.must_be_free(&self.pair())?;
                self.begin_gathering(self.pair(), None);
            }
            Some(_) => {}
        }
        self.invite(party, None);
        Ok(())
    }

    /// Makes the call the focus of a conference.
    pub(super) fn make_conference(&mut self, members: Vec<Member>) {
        self.call.schema = SCHEMA;
        self.call.operations += 1;
        let id = &self.call.call_id;
        let mixing = &self.context.mixing;
        let elsewhere = mixing.mixers.is_empty() && !mixing.elsewhere.is_empty();
        let own = mixing.mixers.iter().filter_map(|mixer| with_user(mixer, &format!("conf={id}")));
        let uri = format!("sip:{USER}{id}@{}", self.call.policy.host);
        self.call.conference = Some(Conference {
            uri: if elsewhere { String::new() } else { uri },
            mixers: if elsewhere { vec![mixing.elsewhere.clone()] } else { own.collect() },
            elsewhere,
            members,
            ends: self.context.mixing.ends.into(),
            operation: self.call.operations,
            ..Conference::default()
        });
    }

    /// Stages Gathering and Conferring: what is about one member on its way; what is not comes back.
    fn on_member(&mut self, signal: Signal) -> Option<Signal> {
        let Some(conference) = &self.call.conference else { return Some(signal) };
        let leg = match &signal {
            Signal::Answered { leg, .. }
            | Signal::Refused { leg, .. }
            | Signal::Progress { leg, .. }
            | Signal::EarlyAnswer { leg, .. }
            | Signal::PeerCancel { leg, .. }
            | Signal::Reply { leg, .. } => *leg,
            _ => return Some(signal),
        };
        let Some(at) = conference.find(|member| member.has(leg)) else { return Some(signal) };
        let member = conference.members[at].clone();
        let is_mixer = member.mixer() == Some(leg);
        match (signal, member.step()) {
            (Signal::Answered { sdp, .. }, MemberStep::Dialing) if !is_mixer => self.mix(at, sdp),
            (Signal::Answered { sdp, .. }, MemberStep::Mixing) if is_mixer => self.mixed(at, sdp),
            (Signal::Answered { sdp, .. }, MemberStep::Calling) if is_mixer => self.answer_caller_of(at, sdp),
            (Signal::PeerCancel { .. }, MemberStep::Calling) if !is_mixer => {
                self.caller_of_conference_cancelled(leg)
            }
            (Signal::Answered { sdp, .. }, MemberStep::Asking) if is_mixer => self.ask_to_come(at, sdp),
            (Signal::Reply { request, reply, .. }, step) if request.purpose() == Purpose::Move => {
                match step {
                    MemberStep::Moving if !is_mixer => self.on_asked_to_come(at, request, reply),
                    _ => self.on_any_stage(Signal::Reply { leg, request, reply }),
                }
            }
            (Signal::Refused { status, reason, silent, .. }, _) => {
                let leg_id = &self.leg(leg).leg_id;
                let cause = match silent {
                    true => Cause { leg: leg_id.clone(), ..Cause::failed(status, &reason) },
                    false => Cause::failed_by(leg_id, status, &reason),
                };
                self.lose_party(leg, cause);
            }
            // What a phone or a mixer previews of its session is told again in its 2xx
            (Signal::Progress { .. } | Signal::EarlyAnswer { .. }, _) => {}
            (signal, _) => return Some(signal),
        }
        None
    }

    /// Stage Gathering: the two go on talking until they are moved.
    pub fn on_gathering(&mut self, signal: Signal) {
        let Some(signal) = self.on_member(signal) else { return };
        if let (Signal::Reply { leg, request, reply }, Some(leading)) = (&signal, self.referring())
            && request.purpose() == Purpose::Refer
            && leading.stay as LegIndex == *leg
        {
            return self.on_referred(leading.clone(), *leg, request.clone(), reply.clone());
        }
        let is_moving = self.call.conference.as_ref().is_some_and(|conference| {
            let is_one = |member: &&Member| self.pair().contains(&member.party());
            conference.members.iter().filter(is_one).any(|member| member.step() != MemberStep::Waiting)
        });
        match &signal {
            Signal::PeerOffer { .. } | Signal::PeerMessage { .. } | Signal::PeerCancel { .. } => {
                let leg = leg_of(&signal);
                match is_moving || leg.is_none_or(|leg| !self.pair().contains(&leg)) {
                    true => self.on_any_stage(signal),
                    false => self.on_talking(signal),
                }
            }
            _ => self.on_talking(signal),
        }
    }

    /// Stage Conferring.
    pub fn on_conferring(&mut self, signal: Signal) {
        let Some(signal) = self.on_member(signal) else { return };
        let is_in =
            |leg: LegIndex| self.call.member_of(leg).is_some_and(|member| member.step() == MemberStep::In);
        match leg_of(&signal) {
            Some(leg) if !is_in(leg) => self.on_any_stage(signal),
            _ => self.on_talking(signal),
        }
    }

    /// GUARD of a leg of a conference: a 2xx has waited too long.
    pub fn member_late(&mut self, leg: LegIndex) {
        let leg_id = self.leg(leg).leg_id.clone();
        self.lose_party(leg, Cause { leg: leg_id, ..Cause::failed(504, "Guard time passed") });
    }

    /// Whether a wish about one leg may be taken now.
    pub fn must_be_in(&self, leg: LegIndex) -> Result<(), StepError> {
        match self.call.member_of(leg) {
            Some(member) if member.step() == MemberStep::In && !self.call.is_to_mixer(leg) => Ok(()),
            _ => Err(self.wrong_state()),
        }
    }

    fn member(&self, at: usize) -> Option<&Member> {
        self.call.conference.as_ref()?.members.get(at)
    }

    fn member_mut(&mut self, at: usize) -> Option<&mut Member> {
        self.call.conference.as_mut()?.members.get_mut(at)
    }

    fn step_to(&mut self, at: usize, step: MemberStep) {
        if let Some(member) = self.member_mut(at) {
            member.step = step.into();
        }
    }

    /// Asks the phone of a member to answer the mixer's offer.
    fn ask_to_come(&mut self, at: usize, offer: Option<Vec<u8>>) {
        let Some(member) = self.member(at).cloned() else { return };
        let waits = member.mixer as LegIndex;
        if !self.settle_mixer(&member) {
            return self.lose_party(waits, Cause::failed(488, "No conference"));
        }
        self.step_to(at, MemberStep::Moving);
        self.start_timer(TimerKind::Guard, waits, Duration::from_millis(self.call.policy.guard_ms));
        let (headers, purpose) = (self.session_headers(), Purpose::Move);
        let is_asked = offer.is_some_and(|offer| {
            self.ask(member.party(), Ask { method: "INVITE", headers, purpose, offer, ..Ask::default() })
        });
        if !is_asked {
            self.lose_party(waits, Cause::failed(488, "No offer of the mixer"));
        }
    }

    fn on_asked_to_come(&mut self, at: usize, request: Box<Pending>, reply: Reply) {
        let Some(member) = self.member(at).cloned() else { return };
        let (party, waits) = (member.party(), member.mixer as LegIndex);
        if self.retry_later(party, &request, &reply) {
            return;
        }
        if !reply.is_ok() {
            return match reply.is_gone() {
                true => self.gone(party, &reply),
                false => self.gathering_failed(reply.status, &reply.reason),
            };
        }
        let own = request.request.to_tag.clone();
        self.ack(party, &own, None);
        let tag = self.leg(waits).remote_tag.clone();
        let answer = reply.sdp.filter(|answer| !refuses_all(&request.offer, answer));
        let fitted =
            answer.and_then(|answer| self.fit_answer(waits, &tag, &request.offer, &answer, &request.lines));
        match fitted {
            Some(answer) => {
                self.ack(waits, &tag, Some(answer));
                self.stop_timer(TimerKind::Guard, waits);
                self.come_in(at);
            }
            None => {
                // It has the new session already, and is brought back from it
                self.step_to(at, MemberStep::In);
                self.gathering_failed(488, "Not Acceptable Here");
            }
        }
    }

    /// A member is connected with the mixer.
    fn come_in(&mut self, at: usize) {
        let now_ms = self.now.millis();
        let Some(member) = self.member_mut(at) else { return };
        member.step = MemberStep::In.into();
        member.joined_ms = now_ms;
        let party = member.party();
        let on = self.leg_mut(party);
        (on.held, on.holds) = (false, false);
        on.state = LegState::Answered.into();
        match self.call.stage {
            Some(Stage::Gathering(_)) => self.gather_next(),
            _ => {
                self.joined(at);
                self.take_place(at);
            }
        }
    }
}

/// The leg of a signal that is for the other party of its session.
fn leg_of(signal: &Signal) -> Option<LegIndex> {
    match signal {
        Signal::PeerOffer { leg, .. }
        | Signal::PeerAck { leg, .. }
        | Signal::PeerMessage { leg, .. }
        | Signal::PeerCancel { leg, .. } => Some(*leg),
        _ => None,
    }
}

/// The call of a conference URI's user part.
pub fn call_of_user(user: &str) -> Option<&str> {
    user.strip_prefix(USER).filter(|id| !id.is_empty())
}

/// The call that a Request-URI names as a conference.
pub fn call_of_uri(uri: &str) -> Option<String> {
    let uri = Uri::parse(uri.as_bytes()).ok()?;
    call_of_user(std::str::from_utf8(uri.user?).ok()?).map(str::to_owned)
}

/// Mixers that may be configured: each is given its time while somebody waits.
pub const MAX_MIXERS: usize = 4;

/// Whether a conference can be mixed there: a sip or sips URI without user part and headers.
pub fn is_mixer(uri: &str) -> bool {
    let is_plain = Uri::parse(uri.as_bytes()).is_ok_and(|parsed| {
        matches!(parsed.scheme, Scheme::Sip | Scheme::Sips) && parsed.header_pairs().next().is_none()
    });
    is_plain && with_user(uri, "conf=x").is_some_and(|made| Uri::parse(made.as_bytes()).is_ok())
}

/// A URI without user part, with one.
pub fn with_user(uri: &str, user: &str) -> Option<String> {
    let parsed = Uri::parse(uri.as_bytes()).ok().filter(|parsed| parsed.user.is_none())?;
    let scheme = if parsed.is_secure() { "sips" } else { "sip" };
    let rest = uri.split_once(':')?.1;
    Some(format!("{scheme}:{user}@{rest}"))
}
