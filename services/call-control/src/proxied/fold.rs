//! What reports make of a proxied call: a pure function.
//!
//! Reports of different edges may come in any order; the call only ever goes forward, and ends once.

use cluster_api::callcontrol::v1 as wire;
use wire::call::State;
use wire::call_event::Type;
use wire::proxied_call_event::Type as Reported;

use super::call::ProxiedCall;
use super::story::{Happened, Teller};
use crate::engine::call::Seen;
use crate::engine::time::Moment;
use crate::wire::{moment, timestamp};

/// Users to whom a call was led that are remembered.
const MOST_USERS: usize = 8;

/// Who reports.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    pub(crate) edge_id: String,
    pub(crate) edge_epoch: u64,
}

/// Takes one report; tells what applications learn from it, nothing for a duplicate or what came too late.
pub(crate) fn fold(
    call: &mut Option<ProxiedCall>,
    reporter: &Reporter,
    event: &wire::ProxiedCallEvent,
    now: Moment,
    teller: &mut Teller,
) {
    let time = match moment(event.time.as_ref()) {
        unset if unset.millis() == 0 => now,
        time => time,
    };
    let record = call.get_or_insert_with(|| {
        let call = begin(event, time);
        tell(teller, &call, event, time, &[(Type::Created, None), (Type::LegDialing, CALLEE)]);
        ProxiedCall { call, ..ProxiedCall::default() }
    });
    if !is_new(&mut record.seen, reporter, event.number) {
        return;
    }
    let before = record.call.state();
    record.learn(reporter, event, time);
    // One of several phones that answered is not the one that the call is with.
    let is_of_call = before != State::Answered || event.to_tag.is_empty() || event.to_tag == record.with();
    let call = &mut record.call;
    let mut is_led_on = false;
    if let [a, b] = &mut call.legs[..] {
        // Who proxies the INVITE, not who happens to see a later request.
        if a.edge_id.is_empty() || event.r#type() == Reported::Started {
            for leg in [&mut *a, &mut *b] {
                leg.edge_id.clone_from(&reporter.edge_id);
            }
        }
        if is_of_call && !event.to_tag.is_empty() {
            b.remote_tag.clone_from(&event.to_tag);
        }
        for (leg, contact) in [(&mut *a, &event.from_contact), (&mut *b, &event.to_contact)] {
            if is_of_call && !contact.is_empty() {
                leg.remote_target.clone_from(contact);
            }
        }
        if is_of_call && !event.target.is_empty() {
            b.remote_target.clone_from(&event.target);
        }
        if is_of_call {
            is_led_on = led_to(b, &event.to_aor);
        }
        if is_of_call && event.sip_status > 0 {
            b.sip_status = event.sip_status;
        }
    }
    let state = before;
    match event.r#type() {
        Reported::Ringing if event.sip_status != 180 && state == State::Dialing => {
            set(call, State::Progressing, wire::leg::State::Progressing);
            tell(teller, call, event, time, &[(Type::LegProgress, CALLEE)]);
        }
        Reported::Ringing
            if event.sip_status == 180 && matches!(state, State::Dialing | State::Progressing) =>
        {
            set(call, State::Ringing, wire::leg::State::Ringing);
            tell(teller, call, event, time, &[(Type::LegRinging, CALLEE)]);
        }
        // Another user's phone rings in place of the one that did: its lamp is lit now, not with the answer. An edge tells so of a few
        // phones of a call.
        Reported::Ringing if is_led_on && matches!(state, State::Progressing | State::Ringing) => {
            let kind = if event.sip_status == 180 { Type::LegRinging } else { Type::LegProgress };
            tell(teller, call, event, time, &[(kind, CALLEE)]);
        }
        Reported::Answered if matches!(state, State::Dialing | State::Progressing | State::Ringing) => {
            answer(call, event, time, teller);
            if let Some(held) = record.held_end.take()
                && record.leaves(&held.to_tag)
            {
                end(&mut record.call, &held, moment(held.time.as_ref()).max(time), teller);
            }
        }
        // The answer is on its way from another edge: BYE was answered before it was told.
        Reported::Ended
            if matches!(state, State::Dialing | State::Progressing | State::Ringing)
                && (200..300).contains(&event.sip_status) =>
        {
            record.held_end.get_or_insert_with(|| event.clone());
        }
        Reported::Ended if state == State::Answered => {
            if record.leaves(&event.to_tag) {
                end(&mut record.call, event, time, teller);
            }
        }
        Reported::Ended if state != State::Ended => end(call, event, time, teller),
        Reported::Unspecified
        | Reported::Started
        | Reported::Ringing
        | Reported::Answered
        | Reported::Refreshed
        | Reported::Ended => {}
    }
}

/// The phone of this user rings or has answered: where that is another one than had the call, both are to know. Whether it is.
fn led_to(leg: &mut wire::Leg, aor: &str) -> bool {
    let called = leg.party.as_ref().map_or("", |party| &party.uri);
    let known = leg.users.last().map_or(called, String::as_str);
    if aor.is_empty() || known == aor {
        return false;
    }
    if leg.users.len() >= MOST_USERS {
        leg.users.remove(0);
    }
    leg.users.push(aor.to_owned());
    true
}

fn begin(event: &wire::ProxiedCallEvent, time: Moment) -> wire::Call {
    let party = |uri: &str, display_name: &str| {
        Some(wire::Party {
            uri: uri.to_owned(),
            display_name: display_name.to_owned(),
            ..wire::Party::default()
        })
    };
    let leg = |leg_id: &str, party: &Option<wire::Party>, tag: &str| wire::Leg {
        leg_id: leg_id.to_owned(),
        party: party.clone(),
        state: wire::leg::State::Dialing.into(),
        sip_call_id: event.sip_call_id.clone(),
        remote_tag: tag.to_owned(),
        ..wire::Leg::default()
    };
    let (from, to) = (party(&event.from_uri, &event.from_display), party(&event.to_uri, ""));
    wire::Call {
        call_id: event.call_id.clone(),
        state: State::Dialing.into(),
        kind: wire::call::Kind::Proxied.into(),
        legs: vec![leg("a", &from, &event.from_tag), leg("b", &to, &event.to_tag)],
        from,
        to,
        create_time: timestamp(time.millis()),
        ..wire::Call::default()
    }
}

/// The call is answered.
pub(super) fn answer(
    call: &mut wire::Call,
    event: &wire::ProxiedCallEvent,
    time: Moment,
    teller: &mut Teller,
) {
    set(call, State::Answered, wire::leg::State::Answered);
    call.answer_time = timestamp(time.millis());
    tell(teller, call, event, time, &[(Type::LegAnswered, CALLEE), (Type::Connected, None)]);
}

pub(super) fn end(call: &mut wire::Call, event: &wire::ProxiedCallEvent, time: Moment, teller: &mut Teller) {
    let answered = call.answer_time.is_some();
    let rang = matches!(call.state(), State::Progressing | State::Ringing);
    set(call, State::Ended, wire::leg::State::Ended);
    call.end_time = timestamp(time.millis());
    call.outcome = Some(wire::Outcome {
        kind: kind(answered, rang, event).into(),
        sip_status: if answered { 200 } else { event.sip_status },
        sip_reason: event.sip_reason.clone(),
        ended_by: event.ended_by.clone(),
    });
    let all = [(Type::LegEnded, CALLER), (Type::LegEnded, CALLEE), (Type::Ended, None)];
    tell(teller, call, event, time, &all);
}

/// The classes of the API.
fn kind(answered: bool, rang: bool, event: &wire::ProxiedCallEvent) -> wire::outcome::Kind {
    use wire::outcome::Kind;
    match (event.sip_status, event.ended_by.as_str()) {
        _ if answered => Kind::Completed,
        // No edge reported it: the edge is lost, or fell silent.
        (_, "carillon") if event.number == 0 => Kind::Failed,
        // Whatever phones said before or meanwhile.
        (_, "a") | (487, _) => Kind::Cancelled,
        (486 | 600, _) => Kind::Busy,
        (408 | 480, _) if rang => Kind::NoAnswer,
        (404 | 408 | 410 | 480 | 484 | 502..=504 | 604, _) => Kind::Unreachable,
        (401 | 403 | 407 | 603 | 607 | 608, _) => Kind::Rejected,
        _ => Kind::Failed,
    }
}

fn set(call: &mut wire::Call, state: State, legs: wire::leg::State) {
    call.set_state(state);
    for leg in &mut call.legs {
        // The caller's side does not ring.
        let is_ringing_caller = legs == wire::leg::State::Ringing && leg.leg_id == "a";
        leg.set_state(if is_ringing_caller { wire::leg::State::Progressing } else { legs });
    }
}

/// The places of the legs.
const CALLER: Option<usize> = Some(0);
const CALLEE: Option<usize> = Some(1);

fn tell(
    teller: &mut Teller,
    call: &wire::Call,
    event: &wire::ProxiedCallEvent,
    time: Moment,
    events: &[(Type, Option<usize>)],
) {
    let (sip_status, sip_reason) = (event.sip_status, event.sip_reason.as_str());
    teller.tell(call, Happened { time, sip_status, sip_reason, events });
}

/// Notes the number; false when it was noted before.
fn is_new(seen: &mut Vec<Seen>, reporter: &Reporter, number: u64) -> bool {
    let known = seen
        .iter_mut()
        .find(|seen| seen.edge_id == reporter.edge_id && seen.edge_epoch == reporter.edge_epoch);
    match known {
        Some(seen) if number <= seen.number => false,
        Some(seen) => {
            seen.number = number;
            true
        }
        None => {
            let (edge_id, edge_epoch) = (reporter.edge_id.clone(), reporter.edge_epoch);
            seen.push(Seen { edge_id, edge_epoch, number });
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: u64, kind: Reported, sip_status: u32) -> wire::ProxiedCallEvent {
        wire::ProxiedCallEvent {
            number,
            call_id: "p".into(),
            r#type: kind.into(),
            from_uri: "sip:alice@example.com".into(),
            to_uri: "sip:bob@example.com".into(),
            sip_status,
            ..wire::ProxiedCallEvent::default()
        }
    }

    fn run(events: &[(&str, wire::ProxiedCallEvent)]) -> (Option<ProxiedCall>, Vec<Type>) {
        let mut call = None;
        let mut teller = Teller::default();
        for (edge, event) in events {
            let reporter = Reporter { edge_id: (*edge).into(), edge_epoch: 1 };
            fold(&mut call, &reporter, event, Moment::from_millis(1_700_000_000_000), &mut teller);
        }
        (call, teller.kinds())
    }

    #[test]
    fn a_call_is_told_from_beginning_to_end() {
        let (call, told) = run(&[
            ("e", event(1, Reported::Started, 0)),
            ("e", event(2, Reported::Ringing, 180)),
            ("e", event(3, Reported::Answered, 200)),
            ("e", wire::ProxiedCallEvent { ended_by: "b".into(), ..event(4, Reported::Ended, 0) }),
        ]);
        use Type::{Connected, Created, Ended, LegAnswered, LegDialing, LegEnded, LegRinging};
        let whole = [Created, LegDialing, LegRinging, LegAnswered, Connected, LegEnded, LegEnded, Ended];
        assert_eq!(told, whole);
        let call = call.expect("a call").call;
        let outcome = call.outcome.clone().expect("outcome");
        assert_eq!((outcome.kind(), outcome.ended_by.as_str()), (wire::outcome::Kind::Completed, "b"));
        assert_eq!(call.state(), State::Ended);
    }

    /// PKG-03: a call that is led on belongs to who has it, and nobody who had it is forgotten.
    #[test]
    fn a_call_that_is_led_on_is_of_who_takes_it() {
        let at =
            |aor: &str, event: wire::ProxiedCallEvent| wire::ProxiedCallEvent { to_aor: aor.into(), ..event };
        let users = |events: &[(&str, wire::ProxiedCallEvent)]| {
            let mut call = run(events).0.expect("a call").call;
            std::mem::take(&mut call.legs[1].users)
        };
        let begun = ("e", event(1, Reported::Started, 0));
        let rang = |number, aor| ("e", at(aor, event(number, Reported::Ringing, 180)));
        let plain = [begun.clone(), rang(2, "sip:bob@example.com"), rang(3, "")];
        assert!(users(&plain).is_empty(), "nothing is kept of the usual call");
        let taken = ("e", at("sip:carol@example.com", event(3, Reported::Answered, 200)));
        assert_eq!(
            users(&[begun.clone(), rang(2, "sip:bob@example.com"), taken.clone()]),
            ["sip:carol@example.com"]
        );
        let twice = [begun, rang(2, "sip:dave@example.com"), taken];
        assert_eq!(users(&twice), ["sip:dave@example.com", "sip:carol@example.com"]);
    }

    /// PKG-03: a call that is led on while it rings is told anew when it rings there; another phone of the same user is nothing new.
    #[test]
    fn a_call_that_rings_at_the_next_user_is_told_of_again() {
        let rang = |number, aor: &str, status| {
            let event = event(number, Reported::Ringing, status);
            ("e", wire::ProxiedCallEvent { to_aor: aor.into(), to_tag: format!("t{number}"), ..event })
        };
        let begun = ("e", event(1, Reported::Started, 0));
        let bob = |number| rang(number, "sip:bob@example.com", 180);
        let (call, told) = run(&[begun, bob(2), bob(3), rang(4, "sip:carol@example.com", 180), bob(5)]);
        use Type::{Created, LegDialing, LegRinging};
        assert_eq!(told, [Created, LegDialing, LegRinging, LegRinging, LegRinging]);
        let leg = call.expect("a call").call.legs.remove(1);
        assert_eq!((leg.users.len(), leg.remote_tag.as_str()), (2, "t5"));
    }

    /// A phone that sends 183 is reached, and rings when it says so; late progress changes nothing.
    #[test]
    fn progress_is_no_ringing() {
        let (call, told) = run(&[
            ("e", event(1, Reported::Started, 0)),
            ("e", event(2, Reported::Ringing, 183)),
            ("e", event(3, Reported::Ringing, 183)),
            ("e", event(4, Reported::Ringing, 180)),
            ("e", event(5, Reported::Ringing, 183)),
        ]);
        assert_eq!(told, [Type::Created, Type::LegDialing, Type::LegProgress, Type::LegRinging]);
        assert_eq!(call.expect("a call").call.state(), State::Ringing);
        let (call, told) =
            run(&[("e", event(1, Reported::Ringing, 183)), ("e", event(2, Reported::Answered, 200))]);
        assert_eq!(told.last(), Some(&Type::Connected));
        assert_eq!(call.expect("a call").call.state(), State::Answered);
    }

    #[test]
    fn duplicates_and_late_reports_of_another_edge_change_nothing() {
        let (_, once) = run(&[("e", event(1, Reported::Started, 0)), ("e", event(2, Reported::Ended, 486))]);
        let (call, told) = run(&[
            ("e", event(1, Reported::Started, 0)),
            ("e", event(1, Reported::Started, 0)),
            ("e", event(2, Reported::Ended, 486)),
            ("e", event(2, Reported::Ended, 486)),
            ("f", event(1, Reported::Answered, 200)),
            ("f", event(2, Reported::Ended, 0)),
        ]);
        assert_eq!(told, once);
        let outcome = call.expect("a call").call.outcome.expect("outcome");
        assert_eq!(outcome.kind(), wire::outcome::Kind::Busy);
    }

    fn of_phone(tag: &str, event: wire::ProxiedCallEvent) -> wire::ProxiedCallEvent {
        wire::ProxiedCallEvent { to_tag: tag.into(), target: format!("sip:{tag}"), ..event }
    }

    /// PXY-16: two phones answer, and the caller lets one of them go: the call is with the other one until that ends too, whichever
    /// goes first, and whether its answer or its end is told first.
    #[test]
    fn a_call_goes_on_with_the_phone_that_is_left() {
        use Type::{Connected, Ended, LegAnswered};
        let started = || ("e", event(1, Reported::Started, 0));
        let answered = |tag, number| ("e", of_phone(tag, event(number, Reported::Answered, 200)));
        let ended = |tag, edge, number| (edge, of_phone(tag, event(number, Reported::Ended, 200)));
        for (reports, left) in [
            (vec![answered("one", 2), answered("two", 3), ended("two", "f", 1)], "one"),
            (vec![answered("one", 2), answered("two", 3), ended("one", "f", 1)], "two"),
            (vec![answered("one", 2), ended("two", "f", 1), answered("two", 3)], "one"),
        ] {
            let mut reports = [vec![started()], reports].concat();
            let (call, told) = run(&reports);
            let call = call.expect("a call");
            assert_eq!((call.call.state(), call.with()), (State::Answered, left));
            assert_eq!(call.call.legs[1].remote_target, format!("sip:{left}"));
            assert_eq!(told.iter().filter(|kind| matches!(kind, LegAnswered | Connected)).count(), 2);
            assert!(!told.contains(&Ended), "{told:?}");
            reports.push(ended(left, "f", 2));
            let (call, told) = run(&reports);
            assert_eq!(call.expect("a call").call.state(), State::Ended);
            assert_eq!(told.iter().filter(|kind| **kind == Ended).count(), 1);
        }
    }

    /// The edge of the callee tells the end before that of the caller tells the answer: the call was answered, and is over.
    #[test]
    fn an_end_that_comes_before_the_answer_waits_for_it() {
        use wire::outcome::Kind;
        let end = wire::ProxiedCallEvent {
            ended_by: "b".into(),
            ..of_phone("one", event(1, Reported::Ended, 200))
        };
        let before = [("e", event(1, Reported::Started, 0)), ("f", end.clone())];
        let (held, told) = run(&before);
        let mut held = held.expect("a call");
        assert_eq!((held.call.state(), told.contains(&Type::Ended)), (State::Dialing, false));
        let now = Moment::from_millis(1_700_000_000_000);
        assert_eq!(held.due(now), now + std::time::Duration::from_secs(5));
        let answer = ("e", of_phone("one", event(2, Reported::Answered, 200)));
        let (call, told) = run(&[&before[..], &[answer]].concat());
        let outcome = call.expect("a call").call.outcome.expect("an outcome");
        assert_eq!((outcome.kind(), outcome.ended_by.as_str()), (Kind::Completed, "b"));
        assert!(told.contains(&Type::Connected) && told.last() == Some(&Type::Ended), "{told:?}");
        // or it never comes, because that edge is gone
        let told = held.end_unanswered(&end, now).kinds();
        assert_eq!(told.last(), Some(&Type::Ended));
        assert!(told.contains(&Type::Connected));
        let outcome = held.call.outcome.expect("an outcome");
        assert_eq!((outcome.kind(), outcome.sip_status), (Kind::Completed, 200));
    }

    #[test]
    fn outcomes_have_the_classes_of_the_api() {
        use wire::outcome::Kind;
        let outcome = |rang: bool, status: u32, ended_by: &str| {
            kind(
                false,
                rang,
                &wire::ProxiedCallEvent { ended_by: ended_by.into(), ..event(1, Reported::Ended, status) },
            )
        };
        assert_eq!(outcome(true, 480, "b"), Kind::NoAnswer);
        assert_eq!(outcome(false, 480, "b"), Kind::Unreachable);
        assert_eq!(outcome(false, 486, "b"), Kind::Busy);
        assert_eq!(outcome(true, 487, "a"), Kind::Cancelled);
        for said in [408, 480, 486, 600, 603] {
            assert_eq!(
                outcome(true, said, "a"),
                Kind::Cancelled,
                "one phone said {said}, and the caller gave up"
            );
        }
        assert_eq!(outcome(true, 603, "b"), Kind::Rejected);
        assert_eq!(outcome(false, 404, "carillon"), Kind::Unreachable);
        assert_eq!(outcome(false, 488, "b"), Kind::Failed);
    }
}
