//! REFER of a phone to the focus: in the dialog that it has with it, outside by Target-Dialog, or to the URI of the conference (RFC 4579 5.5,
//! 5.7; CCL-18).
//!
//! | the REFER                                             | answer                                                      |
//! |-------------------------------------------------------|-------------------------------------------------------------|
//! | has no Contact, or not exactly one Refer-To           | 400                                                         |
//! | leads to something that is not sip, sips or tel       | 416                                                         |
//! | comes from nobody who is in                           | 403                                                         |
//! | from outside: of no user who is in, or whom the operator lets (`takers`) | 403                                       |
//! | asks for INVITE, or names no method                   | 200, NOTIFY 100; somebody is called, and NOTIFY says how that goes |
//! | leads where phones may not lead Carillon, or to a number that its sender may not call (T6) | 403                  |
//! | asks for BYE of somebody who is not there             | 404                                                         |
//! | asks for BYE of another one than itself, and did not make the conference, nor is let | 403                          |
//! | asks for BYE                                          | 200; that one is sent away, and NOTIFY 200                   |
//! | asks for another method                               | 603                                                         |
//!
//! Who asks from outside and wants to hear how it goes has a leg for that, which is no party and is over with the last NOTIFY; its place
//! is taken by the next one. Of one with `Refer-Sub: false` nothing is kept.

use sip_message::{NameAddr, Scheme, Uri};

use crate::engine::call::Party;
use crate::engine::claim::ask::identity_of;
use crate::engine::claim::takers::address_of_record;
use crate::engine::conference::MAX_LEGS;
use crate::engine::conference::record::{Member, MemberStep};
use crate::engine::effect::Header;
use crate::engine::event::{CallReceived, EdgeEvent, RequestReceived};
use crate::engine::leg::{DialogState, LegState};
use crate::engine::report::CallEventType;
use crate::engine::signal::LegIndex;
use crate::engine::text::lists;
use crate::engine::transfer::record::{Aside, Referral};
use crate::engine::transfer::referred::{NOBODY, agreed, referral};
use crate::engine::work::Work;

/// What a phone asks the focus for.
enum Wish {
    Add(Party),
    Remove(LegIndex),
}

impl Work<'_> {
    /// A phone asks the focus to bring somebody in, or to send somebody away.
    pub fn on_refer_to_focus(&mut self, leg: LegIndex, request: &RequestReceived, aside: Option<Box<Aside>>) {
        let transaction = request.transaction.as_str();
        let is_party = |member: &Member| member.party() == leg && member.step() == MemberStep::In;
        let conference = self.call.conference.as_ref();
        let asker = conference.and_then(|conference| conference.find(is_party));
        // Who made it may send anybody away, others themselves
        let asker = asker.map(|at| Asker {
            member: Some(at),
            may_all: at == 0,
            is_denied: request.is_denied,
            name: self.leg(leg).referrer().to_owned(),
        });
        let wish = match self.read_wish(asker, &request.headers, &request.contact) {
            Ok(wish) => wish,
            Err(status) => return self.respond(leg, transaction, status, Vec::new(), None),
        };
        let referral = referral(leg, request, aside);
        self.respond(leg, transaction, 200, agreed(&referral), None);
        self.carry_out(wish, Some(referral));
    }

    /// The same from somebody who has no dialog with it.
    pub(super) fn on_referred_from_outside(&mut self, event: &EdgeEvent, asked: &CallReceived) {
        let identity = identity_of(asked);
        let Some(conference) = &self.call.conference else { return };
        let is_user = |member: &Member| {
            let uri = &self.leg(member.party()).party.uri;
            member.step() == MemberStep::In && address_of_record(uri) == identity
        };
        let member = conference.find(is_user).filter(|_| !identity.is_empty());
        let is_listed = self.context.takers.list(&identity);
        let may_all = member == Some(0) || is_listed;
        // Whom it leads where is asked about when that one is called.
        let asker = (member.is_some() || is_listed).then_some(Asker {
            member,
            may_all,
            is_denied: false,
            name: if identity.is_empty() { NOBODY.to_owned() } else { identity },
        });
        let wish = match self.read_wish(asker, &asked.headers, &asked.contact) {
            Ok(wish) => wish,
            Err(status) => return self.answer_aside(event, asked, status, Vec::new()),
        };
        let silent_by_header = is_silent(&asked.headers);
        if silent_by_header || lists(&asked.require, "nosub") {
            let agreed = silent_by_header.then(|| Header::new("Refer-Sub", "false"));
            self.answer_aside(event, asked, 200, agreed.into_iter().collect());
            return self.carry_out(wish, None);
        }
        let Some(leg) = self.add_referrer(event, asked) else {
            return self.answer_aside(event, asked, 486, Vec::new());
        };
        self.respond(leg, &asked.transaction, 200, Vec::new(), None);
        self.carry_out(wish, Some(Referral { leg: leg as u32, cseq: asked.cseq, ..Referral::default() }));
    }

    fn carry_out(&mut self, wish: Wish, referral: Option<Referral>) {
        match wish {
            Wish::Add(party) => {
                if let Some(referral) = &referral {
                    self.notify(referral, 100, "Trying", false);
                }
                self.invite(party, referral);
            }
            Wish::Remove(other) => {
                if let Some(referral) = &referral {
                    self.notify(referral, 200, "OK", true);
                    self.end_referrer(referral);
                }
                self.expel(other);
            }
        }
    }

    /// The leg by which somebody from outside is told; none when there is no room.
    fn add_referrer(&mut self, event: &EdgeEvent, asked: &CallReceived) -> Option<LegIndex> {
        let over = self.call.legs.iter().position(|leg| leg.refers && leg.released);
        if over.is_none() && self.call.legs.len() >= MAX_LEGS {
            return None;
        }
        let leg = self.add_caller(event, asked);
        let on = self.leg_mut(leg);
        (on.incoming, on.refers, on.state) = (None, true, LegState::Answered.into());
        on.given = CallEventType::LegEnded.bit();
        if let Some(dialog) = on.dialogs.first_mut() {
            dialog.state = DialogState::Confirmed.into();
        }
        if let Some(served) = on.served.first_mut() {
            (served.method, served.initial) = ("REFER".to_owned(), false);
        }
        match over {
            Some(over) => {
                self.call.legs.swap_remove(over);
                Some(over)
            }
            None => Some(leg),
        }
    }

    /// Who asked from outside has been told the end.
    fn end_referrer(&mut self, referral: &Referral) {
        let leg = referral.leg as LegIndex;
        let on = self.leg_mut(leg);
        if !on.refers || on.state() == LegState::Ended {
            return;
        }
        let tag = on.remote_tag.clone();
        if let Some(dialog) = on.dialog_mut(&tag) {
            dialog.state = DialogState::Ended.into();
        }
        self.leg_over(leg);
    }

    fn read_wish(&self, asker: Option<Asker>, headers: &[Header], contact: &str) -> Result<Wish, u32> {
        let mut targets = named(headers, &["Refer-To", "r"]);
        let (Some(target), None) = (targets.next(), targets.next()) else { return Err(400) };
        if contact.is_empty() {
            return Err(400);
        }
        let target = NameAddr::parse(target.as_bytes()).map_err(|_| 400_u32)?;
        let uri = Uri::parse(target.uri).map_err(|_| 400_u32)?;
        if matches!(uri.scheme, Scheme::Other(_)) {
            return Err(416);
        }
        let conference = self.call.conference.as_ref().ok_or(403_u32)?;
        let asker = asker.ok_or(403_u32)?;
        let method = uri.param("method").unwrap_or("INVITE");
        if method.eq_ignore_ascii_case("BYE") {
            let found = conference.find(|member| self.is_party(member.party(), &uri)).ok_or(404_u32)?;
            return match asker.may_all || asker.member == Some(found) {
                true => Ok(Wish::Remove(conference.members[found].party())),
                false => Err(403),
            };
        }
        if !method.eq_ignore_ascii_case("INVITE") {
            return Err(603);
        }
        let plain = without_method(std::str::from_utf8(uri.without_headers()).map_err(|_| 400_u32)?);
        if asker.is_denied || !self.context.redirects.allow_referral(&plain) {
            return Err(403);
        }
        if self.call.legs.len() + 3 > MAX_LEGS {
            return Err(486);
        }
        let display_name = String::from_utf8_lossy(&target.display_name()).into_owned();
        Ok(Wish::Add(Party { uri: plain, display_name, referred_by: asker.name, ..Party::default() }))
    }

    /// Whether a URI names the party of a leg: its address of record, or its Contact.
    fn is_party(&self, leg: LegIndex, uri: &Uri<'_>) -> bool {
        let on = self.leg(leg);
        let aor = |text: &str| Uri::parse(text.as_bytes()).ok().and_then(|uri| uri.aor());
        let wanted = uri.aor();
        let contact = on.chosen().map(|dialog| dialog.remote_target.as_str()).unwrap_or_default();
        wanted.is_some() && (aor(&on.party.uri) == wanted || aor(contact) == wanted)
    }

    /// Whoever asked by REFER for a member is told how far it is.
    pub(super) fn tell_of_referral(&mut self, member: &Member, status: u32, reason: &str) {
        if let Some(referral) = &member.referral {
            self.notify(referral, status, reason, true);
            self.end_referrer(referral);
        }
    }
}

/// Who asks.
struct Asker {
    /// As which member; none who is let in spite of being in no conference.
    member: Option<usize>,
    /// Whether it may send anybody away.
    may_all: bool,
    /// What its account may call says no to the number.
    is_denied: bool,
    /// On whose word a party is called.
    name: String,
}

/// Whether nobody wants to hear how it goes. RFC 4488
fn is_silent(headers: &[Header]) -> bool {
    named(headers, &["Refer-Sub"]).any(|value| value.trim().eq_ignore_ascii_case("false"))
}

fn named<'a>(headers: &'a [Header], names: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let is_it = move |header: &&Header| names.iter().any(|name| header.name.eq_ignore_ascii_case(name));
    headers.iter().filter(is_it).map(|header| header.value.as_str())
}

/// A URI without the parameter that named the method: it is not the phone's that is called.
fn without_method(uri: &str) -> String {
    let mut parts = uri.split(';');
    let begin = parts.next().unwrap_or_default().to_owned();
    let is_other = |part: &&str| !part.to_ascii_lowercase().starts_with("method=");
    parts.filter(is_other).fold(begin, |uri, part| format!("{uri};{part}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_method_does_not_go_along() {
        assert_eq!(without_method("sip:c@h;method=INVITE;transport=tcp"), "sip:c@h;transport=tcp");
        assert_eq!(without_method("sip:c@h"), "sip:c@h");
    }
}
