//! Whose dialog an INVITE with Replaces or Join names, from what is known of the calls that it may be of.
//!
//! | the dialog is                                                  | and the INVITE is for a leg | for somebody by name                      |
//! |----------------------------------------------------------------|-----------------------------|-------------------------------------------|
//! | that of a leg, to-tag ours                                     | that call is asked          | the same                                  |
//! | the same, of a call that is over                               | 603                         | 603                                       |
//! | that of a leg as its phone knows it, and who is called is its user | 481                     | the phone's to know: the header goes along, if the sender may (403) |
//! | the same, and somebody else is called, or the leg is over      | 481                         | 481                                       |
//! | none, with a Call-ID of a leg                                  | 481                         | 481                                       |
//! | none of Carillon's                                             | 481                         | the header goes along                     |

use crate::engine::call::Call;
use crate::engine::claim::record::Claim;
use crate::engine::claim::takers::address_of_record;
use crate::engine::leg::{Dialog, DialogState, Leg, LegState};
use crate::engine::transfer::record::DialogId;

/// Which call an INVITE with Replaces or Join is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Named {
    /// None of Carillon's.
    #[default]
    Nobody,
    /// This one.
    Call(String),
    /// One that is over.
    Over,
    /// One of Carillon's has such a Call-ID, and no such dialog.
    Unknown,
    /// The phone that is called knows the dialog itself, as the one that it has with Carillon.
    AtPhone(AtPhone),
}

/// A leg whose phone knows the dialog that is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AtPhone {
    /// What its user is called by: addresses of record.
    pub users: Vec<String>,
    /// The party of the leg.
    pub party: String,
    /// The party that it is connected with, whose place is wanted.
    pub far: String,
}

impl AtPhone {
    /// Whether the header may go along to who is called, or with what status the INVITE is refused.
    ///
    /// # Errors
    /// With that status.
    pub fn may_hear(&self, claim: &Claim, called: &str) -> Result<(), u32> {
        if !self.users.contains(&address_of_record(called)) {
            return Err(481);
        }
        claim.is_authorised(&self.far, &self.party).then_some(()).ok_or(403)
    }
}

/// What one call says about a dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// It has a leg with this Call-ID, or had; no other call need be asked.
    Last(Named),
    /// Another call may know better.
    Perhaps(Named),
}

impl Call {
    /// What this call, of which something is left, says about a dialog.
    pub fn word_on(&self, dialog: &DialogId, is_to_leg: bool) -> Word {
        let mut legs = self.legs.iter().filter(|leg| leg.sip_call_id == dialog.call_id).peekable();
        if legs.peek().is_none() {
            return Word::Perhaps(Named::Unknown);
        }
        let at_phone = |leg: &&Leg| {
            leg.local_tag == dialog.from_tag && leg.dialog(&dialog.to_tag).is_some() && leg.lent.is_none()
        };
        let call = Named::Call(self.call_id.clone());
        match legs.clone().find(at_phone).filter(|_| !is_to_leg) {
            Some(leg) => Word::Last(self.at_phone(leg, dialog)),
            // Ours, or nobody's: the call itself knows
            None if legs.any(|leg| leg.lent.is_none()) => Word::Last(call),
            None => Word::Perhaps(call),
        }
    }

    /// Whether it has a leg with this dialog, to-tag ours, at a phone of the same user as this leg: that user may lead somebody there.
    /// CCL-11
    pub fn has_leg_of_user(&self, dialog: &DialogId, referrer: &Leg) -> bool {
        let is_it = |leg: &&Leg| {
            leg.sip_call_id == dialog.call_id && leg.local_tag == dialog.to_tag && leg.lent.is_none()
        };
        let referrer = users_of(referrer, referrer.chosen());
        self.legs.iter().filter(is_it).any(|leg| {
            let found = leg.dialog(&dialog.from_tag);
            found.is_some() && users_of(leg, found).iter().any(|user| referrer.contains(user))
        })
    }

    fn at_phone(&self, leg: &Leg, dialog: &DialogId) -> Named {
        let is_over = leg.dialog(&dialog.to_tag).is_none_or(|found| found.state() == DialogState::Ended);
        if is_over || leg.state() == LegState::Ended {
            return Named::Unknown;
        }
        let proved = leg.incoming.as_ref().map(|caller| caller.identity.as_str()).unwrap_or_default();
        let target = leg.dialog(&dialog.to_tag).map(|found| found.remote_target.as_str()).unwrap_or_default();
        let names = [leg.party.uri.as_str(), leg.called(), proved, target];
        let users = names.into_iter().filter(|name| !name.is_empty()).map(address_of_record).collect();
        let far = self.facing(&leg.leg_id).map_or(self.to.uri.as_str(), |far| far.party.uri.as_str());
        Named::AtPhone(AtPhone { users, party: leg.party.uri.clone(), far: far.to_owned() })
    }
}

/// Whose the phone of a leg is, by what is known for sure: what a caller's From says is not, unless it was proved or a neighbour vouches.
/// A Contact is the last resort: who was called by a number calls by another name.
fn users_of(leg: &Leg, dialog: Option<&Dialog>) -> Vec<String> {
    let names = match &leg.incoming {
        Some(caller) if !caller.identity.is_empty() => [caller.identity.as_str(), ""],
        Some(caller) if !caller.is_trusted => ["", ""],
        _ => [leg.party.uri.as_str(), leg.called()],
    };
    let target = dialog.map(|dialog| dialog.remote_target.as_str());
    names.into_iter().chain(target).filter(|name| !name.is_empty()).map(address_of_record).collect()
}

/// A leg of a call of which nothing is left but what applications may see.
#[derive(Clone, Copy, Debug)]
pub struct EndedLeg<'a> {
    /// Call-ID.
    pub sip_call_id: &'a str,
    /// Our tag.
    pub local_tag: &'a str,
    /// The phone's tag.
    pub remote_tag: &'a str,
    /// Another call has kept it.
    pub is_kept: bool,
}

/// What such a call says about a dialog.
pub fn word_of_ended<'a>(legs: impl IntoIterator<Item = EndedLeg<'a>>, dialog: &DialogId) -> Word {
    let mut legs = legs.into_iter().filter(|leg| leg.sip_call_id == dialog.call_id);
    match legs.find(|leg| leg.local_tag == dialog.to_tag && leg.remote_tag == dialog.from_tag) {
        Some(EndedLeg { is_kept: true, .. }) => Word::Perhaps(Named::Over),
        Some(_) => Word::Last(Named::Over),
        None => Word::Perhaps(Named::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CCL-11
    #[test]
    fn only_who_may_have_it_takes_the_far_place_at_a_phone() {
        let phone = AtPhone {
            users: vec!["sip:bob@d".into()],
            party: "sip:bob@d".into(),
            far: "sip:alice@d;transport=tcp".into(),
        };
        let claim = |identity: &str, referred_by: &str| Claim {
            identity: identity.into(),
            referred_by: referred_by.into(),
            ..Claim::default()
        };
        let alice = claim("sip:alice@d", "");
        assert_eq!(phone.may_hear(&alice, "sip:bob@d;x=y"), Ok(()));
        assert_eq!(phone.may_hear(&claim("sip:carol@d", "sip:alice@d"), "sip:bob@d"), Ok(()));
        assert_eq!(phone.may_hear(&claim("sip:carol@d", ""), "sip:bob@d"), Err(403));
        assert_eq!(phone.may_hear(&claim("", "sip:alice@d"), "sip:bob@d"), Err(403));
        assert_eq!(phone.may_hear(&alice, "sip:dave@d"), Err(481), "dave's phone has no such dialog");
    }

    /// CCL-09: ended with these tags, with others, or gone on in another call.
    #[test]
    fn an_ended_call_knows_its_dialogs() {
        let word = |to_tag: &str, from_tag: &str, is_kept: bool| {
            let leg = EndedLeg { sip_call_id: "x", local_tag: "l", remote_tag: "r", is_kept };
            let (to_tag, from_tag) = (to_tag.to_owned(), from_tag.to_owned());
            let dialog = DialogId { call_id: "x".into(), to_tag, from_tag, early_only: false };
            word_of_ended([leg], &dialog)
        };
        assert_eq!(word("l", "r", false), Word::Last(Named::Over));
        assert_eq!(word("l", "r", true), Word::Perhaps(Named::Over));
        assert_eq!(word("r", "l", false), Word::Perhaps(Named::Unknown));
    }
}
