//! Offer and answer between the legs: which description goes where. The descriptions themselves are made by `sip-body`.
//!
//! ```text
//! dialog.history    what we said in the dialog: o= line, version, m= lines
//! dialog.remote_sdp the peer's offer while it is open, else the peer's part of the session
//! call.lines        where each m= line of leg b stands on leg a
//! ```

use bytes::Bytes;
use sip_body::multipart::{Entity, Part, build_mixed};
use sip_body::sdp::{HistorySnapshot, LegHistory, LineMap, Sdp, has_common_codec};
use sip_body::select::{NotUnderstood, session_part};
use sip_body::tone::{self, Tones};

use crate::engine::call::Call;
use crate::engine::derive;
use crate::engine::effect::Body;
use crate::engine::leg::{History, OpenOffer};
use crate::engine::signal::LegIndex;
use crate::engine::work::Work;

/// Host for o= lines when the configured one cannot stand there.
const FALLBACK_HOST: &str = "carillon.invalid";

/// An offer of one leg made ready for another one.
pub struct Fitted {
    pub sdp: Vec<u8>,
    pub lines: Vec<i32>,
}

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate<'a> {
    /// It was answered so.
    Answered(&'a [u8]),
    /// It was refused: the session is as before.
    Refused,
    /// It may have been accepted; the answer never came.
    Unknown,
}

/// The history of a leg on which nothing was said.
pub fn fresh_history(call: &Call, leg_id: &str) -> History {
    let session_id = derive::session_id(call, leg_id);
    let history = LegHistory::new(session_id, &call.policy.host)
        .or_else(|_| LegHistory::new(session_id, FALLBACK_HOST))
        .map(|history| history.snapshot());
    history.map(to_record).unwrap_or_default()
}

/// The session description in a body, alone or as a part; other parts do not matter.
pub fn session_of(body: Option<&Body>) -> Option<Vec<u8>> {
    read_body(body, true).ok().flatten()
}

/// The session description in the body of a request, unless something in the body must be understood and is not: that is
/// answered 415 (UAC-03).
pub fn session_of_request(body: Option<&Body>) -> Result<Option<Vec<u8>>, NotUnderstood> {
    read_body(body, false)
}

fn read_body(body: Option<&Body>, takes_all: bool) -> Result<Option<Vec<u8>>, NotUnderstood> {
    let Some(body) = body.filter(|body| !body.content.is_empty()) else { return Ok(None) };
    let disposition = Some(body.content_disposition.as_bytes()).filter(|value| !value.is_empty());
    let content = Bytes::copy_from_slice(&body.content);
    let entity = Entity::parse(Some(body.content_type.as_bytes()), disposition, &content)
        .map_err(|_| NotUnderstood { content_type: body.content_type.clone() })?;
    let selected = session_part(&entity, &|_| takes_all)?;
    Ok(selected.session.map(|sdp| sdp.to_vec()))
}

/// The ringback tone of this name with or without a session description (TPC-13).
pub fn tone_body(name: &str, sdp: Option<&[u8]>) -> Body {
    let tones = Tones::ringback(name).unwrap_or_else(Tones::us_ringback).to_xml();
    let Some(sdp) = sdp else {
        return Body {
            content_type: tone::CONTENT_TYPE.into(),
            content_disposition: tone::DISPOSITION.into(),
            content: tones.into_bytes(),
        };
    };
    let (content_type, content) = build_mixed(&[
        Part {
            content_type: tone::CONTENT_TYPE,
            content_disposition: tone::DISPOSITION,
            body: tones.as_bytes(),
        },
        Part { content_type: "application/sdp", content_disposition: "session;handling=required", body: sdp },
    ]);
    Body { content_type, content_disposition: String::new(), content: content.to_vec() }
}

/// Whether the engine can work with a description.
pub fn is_readable(sdp: &[u8]) -> bool {
    Sdp::parse(sdp).is_ok()
}

/// Whether the answer leaves no stream alive (LAD-1 h), or none that carries anything but key presses although more was offered:
/// that is how baresip answers when it has none of the codecs.
pub fn refuses_all(offer: &[u8], answer: &[u8]) -> bool {
    let Ok(answer) = Sdp::parse(answer) else { return false };
    let is_alive = answer.media().iter().any(|media| !media.is_disabled());
    !is_alive || (!answer.has_codec() && Sdp::parse(offer).is_ok_and(|offer| offer.has_codec()))
}

/// Whether two descriptions could talk at all (LAD-2 k). What cannot be read is left to the peer.
pub fn can_talk(one: &[u8], other: &[u8]) -> bool {
    match (Sdp::parse(one), Sdp::parse(other)) {
        (Ok(one), Ok(other)) => has_common_codec(&one, &other),
        _ => true,
    }
}

/// Whether the description puts its receiver on hold.
pub fn is_hold(sdp: &[u8]) -> bool {
    Sdp::parse(sdp).is_ok_and(|sdp| sdp.is_hold())
}

impl Work<'_> {
    /// The offer of the initial INVITE: no m= lines, or one inactive audio line.
    pub fn first_offer(&mut self, leg: LegIndex, inactive: bool) -> Vec<u8> {
        let say = if inactive { LegHistory::inactive_offer } else { LegHistory::offer0 };
        self.with_template(leg, say).to_vec()
    }

    /// The other party's offer made the offer of the initial INVITE.
    pub fn fit_first_offer(&mut self, leg: LegIndex, offer: &[u8]) -> Option<Fitted> {
        let offer = Sdp::parse(offer).ok()?;
        let fitted = self.with_template(leg, |history| history.fit_offer(&offer, None));
        Some(Fitted { sdp: fitted.body.to_vec(), lines: fitted.map.to_stored() })
    }

    /// The same lines, inactive: keeps a party waiting (LAD-2 step 3).
    pub fn inactive_answer(&mut self, leg: LegIndex, tag: &str, offer: &[u8]) -> Option<Vec<u8>> {
        let offer = Sdp::parse(offer).ok()?;
        self.with_history(leg, tag, |history| history.inactive_answer(&offer).to_vec())
    }

    /// Every line refused, for the offer that is open in the dialog; `None` when none is open or it cannot be read.
    pub fn reject_answer(&mut self, leg: LegIndex, tag: &str) -> Option<Vec<u8>> {
        let dialog = self.leg(leg).dialog(tag)?;
        if dialog.open_offer() != OpenOffer::Theirs {
            return None;
        }
        let offer = Sdp::parse(&dialog.remote_sdp).ok()?;
        self.with_history(leg, tag, |history| history.reject_answer(&offer).to_vec())
    }

    /// The other party's `offer` made the next offer to the leg's dialog (TPC-04).
    pub fn fit_offer(&mut self, to: LegIndex, offer: &[u8]) -> Option<Fitted> {
        let offer = Sdp::parse(offer).ok()?;
        let (lines, is_first) = self.lines_toward(to);
        let known = LineMap::from_stored(lines);
        let is_known = !lines.is_empty();
        let previous = if is_first { known } else { known.inverse() };
        let previous = is_known.then_some(previous);
        let tag = self.leg(to).remote_tag.clone();
        let fitted = self.with_history(to, &tag, |history| history.fit_offer(&offer, previous.as_ref()))?;
        Some(Fitted { sdp: fitted.body.to_vec(), lines: fitted.map.to_stored() })
    }

    /// The same for two legs that are not connected yet: nothing of what their lines were before matters.
    pub fn fit_new_offer(&mut self, to: LegIndex, offer: &[u8]) -> Option<Fitted> {
        let offer = Sdp::parse(offer).ok()?;
        let tag = self.leg(to).remote_tag.clone();
        let fitted = self.with_history(to, &tag, |history| history.fit_offer(&offer, None))?;
        Some(Fitted { sdp: fitted.body.to_vec(), lines: fitted.map.to_stored() })
    }

    /// The `answer` to a fitted offer brought back to the dialog whose `offer` it was.
    pub fn fit_answer(
        &mut self,
        to: LegIndex,
        tag: &str,
        offer: &[u8],
        answer: &[u8],
        lines: &[i32],
    ) -> Option<Vec<u8>> {
        let (offer, answer) = (Sdp::parse(offer).ok()?, Sdp::parse(answer).ok()?);
        let map = LineMap::from_stored(lines);
        let fitted =
            self.with_history(to, tag, |history| history.fit_answer(&offer, &answer, &map).to_vec())?;
        let (_, is_first) = self.lines_toward(to);
        let lines = if is_first { map.inverse() } else { map }.to_stored();
        if let Some(on) = self.call.listener_of_mut(to) {
            on.lines = lines;
            return Some(fitted);
        }
        let at = self.call.conference.as_ref().and_then(|conference| conference.with_session_of(to));
        match self.call.conference.as_mut().zip(at) {
            Some((conference, at)) => conference.members[at].lines = lines,
            None => self.call.lines = lines,
        }
        Some(fitted)
    }

    /// Where the lines of the two legs of a session stand on each other, and whether this one is the first of them.
    fn lines_toward(&self, leg: LegIndex) -> (&[i32], bool) {
        if let Some(on) = self.call.listener_of(leg) {
            return (&on.lines, on.party() == leg);
        }
        match self.call.member_of(leg) {
            Some(member) => (&member.lines, member.party() == leg),
            None => (&self.call.lines, self.pair()[0] == leg),
        }
    }

    /// Every stream of the leg inactive: the offer that holds it.
    pub fn hold_offer(&mut self, leg: LegIndex) -> Option<Vec<u8>> {
        let tag = self.leg(leg).remote_tag.clone();
        self.with_history(leg, &tag, LegHistory::hold_offer)?.map(|sdp| sdp.to_vec())
    }

    /// What became of our offer in the dialog is known.
    pub fn offer_settled(&mut self, leg: LegIndex, tag: &str, fate: Fate<'_>) {
        let settled = self.with_history(leg, tag, |history| match fate {
            // RFC 3264 8: lines that may have come into being must not vanish
            Fate::Answered(_) | Fate::Unknown => history.answered(),
            Fate::Refused => history.refused(),
        });
        if settled.is_some()
            && let Some(dialog) = self.leg_mut(leg).dialog_mut(tag)
        {
            if dialog.open_offer() == OpenOffer::Ours {
                dialog.open_offer = OpenOffer::None.into();
            }
            if let Fate::Answered(answer) = fate {
                dialog.remote_sdp = answer.to_vec();
            }
        }
    }

    /// Lets the leg say something before a dialog exists.
    fn with_template<T>(&mut self, leg: LegIndex, say: impl FnOnce(&mut LegHistory) -> T) -> T {
        let leg_id = self.leg(leg).leg_id.clone();
        let stored = self.leg(leg).history.clone().unwrap_or_else(|| fresh_history(&self.call, &leg_id));
        let mut history = self.restore(&leg_id, stored);
        let said = say(&mut history);
        self.leg_mut(leg).history = Some(to_record(history.snapshot()));
        said
    }

    /// Lets the leg say something in a dialog; `None` when there is no such dialog.
    fn with_history<T>(
        &mut self,
        leg: LegIndex,
        tag: &str,
        say: impl FnOnce(&mut LegHistory) -> T,
    ) -> Option<T> {
        let on = self.leg(leg);
        let leg_id = on.leg_id.clone();
        let stored = on.dialog(tag)?.history.clone().or_else(|| on.history.clone());
        let mut history = self.restore(&leg_id, stored.unwrap_or_default());
        let said = say(&mut history);
        self.leg_mut(leg).dialog_mut(tag)?.history = Some(to_record(history.snapshot()));
        Some(said)
    }

    fn restore(&self, leg_id: &str, stored: History) -> LegHistory {
        LegHistory::restore(from_record(stored))
            .or_else(|_| LegHistory::restore(from_record(fresh_history(&self.call, leg_id))))
            .or_else(|_| LegHistory::new(derive::session_id(&self.call, leg_id), FALLBACK_HOST))
            .expect("the fallback host is a host name, which LegHistory::new takes")
    }
}

fn to_record(history: HistorySnapshot) -> History {
    let list = |lines: Vec<Bytes>| lines.into_iter().map(|line| line.to_vec()).collect();
    History {
        session_id: history.session_id,
        version: history.version,
        address: history.address,
        sent: history.sent.to_vec(),
        lines: list(history.lines),
        is_offering: history.is_offering,
        offered: list(history.offered),
    }
}

fn from_record(history: History) -> HistorySnapshot {
    let list = |lines: Vec<Vec<u8>>| lines.into_iter().map(Bytes::from).collect();
    HistorySnapshot {
        session_id: history.session_id,
        version: history.version,
        address: history.address,
        sent: history.sent.into(),
        lines: list(history.lines),
        is_offering: history.is_offering,
        offered: list(history.offered),
    }
}
