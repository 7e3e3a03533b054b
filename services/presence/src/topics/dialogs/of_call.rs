//! What the dialogs of a user are in a call, as the phone of the user has them.
//!
//! A proxied call is one dialog with two ends; each leg of a call that Carillon controls is a dialog of its own between a phone and
//! Carillon.

use cluster_api::callcontrol::v1::{Call, Leg, call, leg, outcome};
use sip_message::Uri;

use super::{Dialog, Far, Side};
use crate::intake::user_aor;
use crate::repository::digest;

/// Whose calls it may be: the addresses of record of its legs and of who had them, each once.
pub fn users(call: &Call) -> Vec<String> {
    let had = call.legs.iter().flat_map(|leg| leg.users.iter().filter_map(|uri| user_aor(uri)));
    let mut users: Vec<String> = call.legs.iter().filter_map(called).chain(had).collect();
    users.sort_unstable();
    users.dedup();
    users
}

/// The revision of a call.
pub fn revision(call: &Call) -> u64 {
    call.etag.parse().unwrap_or_default()
}

/// The dialogs that a user has in a call, those that are over among them.
pub fn dialogs_of(aor: &str, call: &Call) -> Vec<Dialog> {
    let is_proxied = call.kind() == call::Kind::Proxied;
    let is_of_user = |leg: &Leg| {
        called(leg).as_deref() == Some(aor)
            || leg.users.iter().any(|uri| user_aor(uri).as_deref() == Some(aor))
    };
    let of_user = call.legs.iter().enumerate().filter(|(_, leg)| is_of_user(leg));
    let begun = of_user.filter(|(_, leg)| leg.state() != leg::State::Waiting && !leg.sip_call_id.is_empty());
    let told = begun.map(|(at, leg)| {
        let mut dialog = dialog(call, at, leg, is_proxied);
        if holder(leg).as_deref() != Some(aor) {
            // Its phones ring no more, or never did: the call was led on to another user.
            dialog.set_far(Far::Cancelled);
        }
        dialog
    });
    told.collect()
}

/// Whom a leg was for.
fn called(leg: &Leg) -> Option<String> {
    user_aor(&leg.party.as_ref()?.uri)
}

/// Who has it.
fn holder(leg: &Leg) -> Option<String> {
    leg.users.last().map_or_else(|| called(leg), |uri| user_aor(uri))
}

fn dialog(call: &Call, at: usize, leg: &Leg, is_proxied: bool) -> Dialog {
    let other = other(call, leg);
    let their_tag = match is_proxied {
        true => other.map(|other| other.remote_tag.clone()).unwrap_or_default(),
        false => leg.local_tag.clone(),
    };
    // Where a request of a third phone has to go to find the other end of the dialog: that of a leg is Carillon's own.
    let their_target = other.filter(|_| is_proxied).map(|other| contact(&other.remote_target));
    let has_both = !leg.remote_tag.is_empty() && !their_tag.is_empty();
    Dialog {
        id: format!("d{:.15}", digest(&["dialog", &call.call_id, &leg.leg_id])),
        sip_call_id: leg.sip_call_id.clone(),
        local_tag: leg.remote_tag.clone(),
        remote_tag: their_tag,
        is_initiator: at == 0 && matches!(call.kind(), call::Kind::Proxied | call::Kind::Incoming),
        far: far(call, leg, has_both).into(),
        local: Some(side(leg, contact(&leg.remote_target))),
        remote: other.map(|other| side(other, their_target.unwrap_or_default())),
    }
}

/// Whom a leg is connected with: who is still there, or was.
fn other<'a>(call: &'a Call, leg: &Leg) -> Option<&'a Leg> {
    let mut others = call.legs.iter().filter(|other| other.leg_id != leg.leg_id);
    let live = others.clone().find(|other| other.state() != leg::State::Ended);
    live.or_else(|| others.next())
}

fn side(leg: &Leg, target: String) -> Side {
    let party = leg.party.as_ref();
    Side {
        identity: party.map(|party| party.uri.clone()).unwrap_or_default(),
        display_name: party.map(|party| party.display_name.clone()).unwrap_or_default(),
        target,
    }
}

fn contact(uri: &str) -> String {
    Uri::parse(uri.as_bytes()).map(|_| uri.to_owned()).unwrap_or_default()
}

/// RFC 4235 3.7.1, as far as a call tells.
fn far(call: &Call, leg: &Leg, has_both: bool) -> Far {
    match leg.state() {
        leg::State::Unspecified | leg::State::Waiting | leg::State::Dialing => Far::Trying,
        leg::State::Progressing | leg::State::Ringing if has_both => Far::Early,
        leg::State::Progressing | leg::State::Ringing => Far::Proceeding,
        leg::State::Answered | leg::State::Held => Far::Confirmed,
        leg::State::Ending if call.answer_time.is_some() => Far::Confirmed,
        leg::State::Ending => Far::Early,
        leg::State::Ended => why(call, leg),
    }
}

/// Why a leg is over.
fn why(call: &Call, leg: &Leg) -> Far {
    let Some(outcome) = &call.outcome else { return Far::Over };
    match (outcome.kind(), call.answer_time.is_some()) {
        (outcome::Kind::Completed, _) | (_, true) if outcome.ended_by == leg.leg_id => Far::LocalBye,
        (outcome::Kind::Completed, _) | (_, true) => Far::RemoteBye,
        (outcome::Kind::Cancelled, false) => Far::Cancelled,
        (outcome::Kind::Busy | outcome::Kind::Rejected, false) => Far::Rejected,
        (outcome::Kind::NoAnswer | outcome::Kind::Unreachable, false) => Far::TimedOut,
        (outcome::Kind::Failed, false) => Far::Failed,
        (outcome::Kind::Unspecified, false) => Far::Over,
    }
}

#[cfg(test)]
mod tests {
    use cluster_api::callcontrol::v1::{Outcome, Party};

    use super::*;

    fn party(user: &str) -> Option<Party> {
        Some(Party { uri: format!("sip:{user}@d:5060"), ..Party::default() })
    }

    fn leg(leg_id: &str, user: &str, state: leg::State) -> Leg {
        Leg {
            leg_id: leg_id.to_owned(),
            party: party(user),
            state: state.into(),
            sip_call_id: "call".to_owned(),
            local_tag: format!("ours-{leg_id}"),
            remote_tag: format!("tag-{user}"),
            remote_target: format!("sip:{user}@192.0.2.1"),
            ..Leg::default()
        }
    }

    fn call(kind: call::Kind, a: leg::State, b: leg::State) -> Call {
        let legs = vec![leg("a", "alice", a), leg("b", "bob", b)];
        Call { call_id: "c".to_owned(), kind: kind.into(), legs, etag: "7".to_owned(), ..Call::default() }
    }

    /// PKG-03: a third phone replaces the caller's end of what rings at bob.
    #[test]
    fn both_ends_of_a_proxied_call_are_one_dialog_with_tags_exchanged() {
        let ringing = call(call::Kind::Proxied, leg::State::Progressing, leg::State::Ringing);
        assert_eq!(users(&ringing), ["sip:alice@d", "sip:bob@d"]);
        assert_eq!(revision(&ringing), 7);
        let [alices, bobs] =
            ["alice", "bob"].map(|user| dialogs_of(&format!("sip:{user}@d"), &ringing).remove(0));
        assert!(alices.is_initiator && !bobs.is_initiator);
        assert_eq!((alices.far(), bobs.far()), (Far::Early, Far::Early));
        assert_eq!((bobs.local_tag.as_str(), bobs.remote_tag.as_str()), ("tag-bob", "tag-alice"));
        assert_eq!((alices.local_tag.as_str(), alices.remote_tag.as_str()), ("tag-alice", "tag-bob"));
        assert_eq!(bobs.remote.unwrap().target, "sip:alice@192.0.2.1");
        assert_ne!(alices.id, bobs.id);
    }

    /// PKG-03: a call that was led on is a dialog of who has it, and over for who had it.
    #[test]
    fn a_call_that_was_led_on_is_shown_at_who_has_it() {
        let mut led = call(call::Kind::Proxied, leg::State::Answered, leg::State::Answered);
        led.legs[1].users = vec!["sip:dave@d".to_owned(), "sip:carol@d".to_owned()];
        assert_eq!(users(&led), ["sip:alice@d", "sip:bob@d", "sip:carol@d", "sip:dave@d"]);
        let far = |user: &str| dialogs_of(&format!("sip:{user}@d"), &led).remove(0).far();
        assert_eq!(
            ["alice", "carol", "bob", "dave"].map(far),
            [Far::Confirmed, Far::Confirmed, Far::Cancelled, Far::Cancelled]
        );
    }

    /// PKG-03: a leg is a dialog with Carillon, whose end has Carillon's tag.
    #[test]
    fn a_leg_of_a_controlled_call_is_a_dialog_of_its_own() {
        let dialed = call(call::Kind::Dialed, leg::State::Answered, leg::State::Dialing);
        let alices = dialogs_of("sip:alice@d", &dialed).remove(0);
        assert!(!alices.is_initiator, "the phone was called");
        assert_eq!(alices.far(), Far::Confirmed);
        assert_eq!((alices.local_tag.as_str(), alices.remote_tag.as_str()), ("tag-alice", "ours-a"));
        assert_eq!(alices.remote.unwrap().target, "", "the other phone does not know this dialog");
        assert_eq!(dialogs_of("sip:bob@d", &dialed).remove(0).far(), Far::Trying);
        let waiting = call(call::Kind::Dialed, leg::State::Ringing, leg::State::Waiting);
        assert!(dialogs_of("sip:bob@d", &waiting).is_empty());
    }

    /// PKG-03
    #[test]
    fn an_end_has_its_reason() {
        let ended = |kind: outcome::Kind, ended_by: &str, was_answered: bool| {
            let outcome = Outcome { kind: kind.into(), ended_by: ended_by.to_owned(), ..Outcome::default() };
            let over = Call {
                outcome: Some(outcome),
                answer_time: was_answered.then(Default::default),
                ..call(call::Kind::Proxied, leg::State::Ended, leg::State::Ended)
            };
            dialogs_of("sip:bob@d", &over).remove(0).far()
        };
        assert_eq!(ended(outcome::Kind::Completed, "b", true), Far::LocalBye);
        assert_eq!(ended(outcome::Kind::Completed, "a", true), Far::RemoteBye);
        assert_eq!(ended(outcome::Kind::Cancelled, "a", false), Far::Cancelled);
        assert_eq!(ended(outcome::Kind::Busy, "b", false), Far::Rejected);
        assert_eq!(ended(outcome::Kind::NoAnswer, "carillon", false), Far::TimedOut);
    }
}
