//! What must be true when a run is over.

use std::collections::BTreeMap;

use super::phone::State;
use super::world::World;

pub fn check(world: &World) {
    assert!(world.is_finished, "the call is not finished: {:?}", world.call.state());
    let ends = world.history.iter().filter(|line| line.starts_with("! Ended")).count();
    assert_eq!(ends, 1, "ENDED was given {ends} times");
    events_are_given_once(world);
    holds_end_once(world);
    for phone in &world.phones {
        let name = &phone.tag;
        assert!(phone.faults.is_empty(), "{name}: {:?}", phone.faults);
        if phone.state == State::Dead {
            continue;
        }
        if phone.is_orphan && !world.heard.contains(&phone.tag) {
            continue; // its edge died before the engine knew of it
        }
        let is_told = phone.bye_came || phone.state == State::Over;
        for cseq in &phone.said_2xx {
            assert!(
                phone.acked.contains(cseq) || is_told,
                "{name}: 2xx {cseq} neither acknowledged nor ended"
            );
        }
        assert_eq!(phone.state, State::Over, "{name} is left in {:?}", phone.state);
        for request in &phone.own_requests {
            let (method, transaction) = (&request.method, &request.transaction);
            assert!(request.is_answered, "{name}: {method} {transaction} was never answered");
        }
    }
}

/// Each hold and each resume of the application that was taken on has one end. SCN-14
fn holds_end_once(world: &World) {
    let asked = |what: &str| world.history.iter().filter(|line| line.contains(what)).count();
    let told = |kind: &str, is_end: &dyn Fn(&str) -> bool| {
        let of_kind = world.history.iter().filter_map(|line| line.strip_prefix(kind));
        of_kind.filter(|rest| is_end(rest)).count()
    };
    // Of one that only one phone took, the other one's refusal is told
    let by_api = |rest: &str| rest.ends_with(" by api") || !rest.contains("/0 ");
    let held = told("! Held", &by_api) + told("! HoldFailed", &|_| true);
    assert_eq!(asked("API Hold"), held, "every hold ends once");
    let unheld = told("! Unheld", &by_api) + told("! UnholdFailed", &|_| true);
    assert_eq!(asked("API Unhold"), unheld, "every resume ends once");
}

/// Each type of event at most once for each leg; those of repeatable operations excepted.
fn events_are_given_once(world: &World) {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for line in world.history.iter().filter(|line| line.starts_with("! ")) {
        let subject = line.rsplit_once(" /").map_or(line.as_str(), |(subject, _)| subject);
        *counts.entry(subject).or_default() += 1;
    }
    for (event, count) in &counts {
        let is_operation = [
            "! Held",
            "! Unheld",
            "! HoldFailed",
            "! UnholdFailed",
            "! InfoReceived",
            "! Transfer",
            "! Play",
        ]
        .iter()
        .any(|kind| event.starts_with(kind));
        assert!(is_operation || *count == 1, "{event} was given {count} times");
    }
    let sum = |kind: &str| -> u32 {
        let of_kind = counts.iter().filter(|(event, _)| event.starts_with(kind));
        of_kind.map(|(_, count)| *count).sum()
    };
    let ended = sum("! TransferSucceeded") + sum("! TransferFailed");
    assert_eq!(sum("! TransferStarted"), ended, "every transfer ends once");
    // Who never came to it is told of by the end alone
    let plays: Vec<&String> = world.history.iter().filter(|line| line.starts_with("! Play")).collect();
    for leg in (0..world.call.legs.len()).map(super::edge::letter) {
        let mut listens = false;
        for line in plays.iter().filter(|line| line.split(' ').nth(2) == Some(leg.as_str())) {
            let begins = line.starts_with("! PlayStarted");
            assert!(!begins || !listens, "{leg} listens to two things at once");
            listens = begins;
        }
        assert!(!listens, "{leg} listens for ever");
    }
    for leg in (0..world.call.legs.len()).map(super::edge::letter) {
        let (dialled, ended) = (format!("! LegDialing {leg}"), format!("! LegEnded {leg}"));
        assert_eq!(counts.contains_key(dialled.as_str()), counts.contains_key(ended.as_str()), "leg {leg}");
    }
}
