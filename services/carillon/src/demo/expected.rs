//! The ladders as the demo expects them: the messages of each leg in order, and which message of one leg waits for which
//! of the other.

use std::time::Duration;

use scripted_phone::Script;

use super::quick;
use crate::cli::Flow;
use crate::client::Gathered;

/// How a difference ends that a message still on its way would mend.
pub const MISSING: &str = "nothing came";

/// The name in the API.
pub fn name(flow: Flow) -> &'static str {
    match flow {
        Flow::Auto => "FLOW_AUTO",
        Flow::I => "FLOW_I",
        Flow::Iii => "FLOW_III",
        Flow::Iv => "FLOW_IV",
        Flow::Ringback => "FLOW_RINGBACK",
    }
}

/// The ladder that describes the flow.
pub fn ladder(flow: Flow) -> &'static str {
    match flow {
        Flow::Auto | Flow::Ringback => "LAD-4 (ringback by UPDATE and PRACK)",
        Flow::I => "LAD-3 (Flow I)",
        Flow::Iii => "LAD-2 (Flow III)",
        Flow::Iv => "LAD-1 (Flow IV)",
    }
}

/// How a phone behaves in the demo of a flow.
pub fn script(flow: Flow, phone: &str) -> Script {
    let ringback = matches!(flow, Flow::Auto | Flow::Ringback);
    let base = if ringback { Script::default() } else { Script::plain() };
    // Alice does without 100rel, as the ladder draws her; Bob's 180 has to be reliable for it.
    Script { reliable: ringback && phone == "bob", answer: quick(Duration::from_millis(400)), ..base }
}

/// To a phone (`>`), or from it (`<`).
type Leg = &'static [&'static str];

fn legs(flow: Flow) -> (Leg, Leg) {
    match flow {
        Flow::Auto | Flow::Ringback => (
            &[
                "> INVITE (SDP without media)",
                "< 180 INVITE",
                "< 200 INVITE (SDP without media)",
                "> ACK",
                "> UPDATE (Reason 180, tone + SDP)",
                "< 200 UPDATE (SDP)",
                "> BYE",
                "< 200 BYE",
            ],
            &[
                "> INVITE",
                "< 180 INVITE (RSeq 1, SDP)",
                "> PRACK (SDP)",
                "< 200 PRACK",
                "< 200 INVITE",
                "> ACK",
                "> BYE",
                "< 200 BYE",
            ],
        ),
        Flow::Iv => (
            &[
                "> INVITE (SDP without media)",
                "< 180 INVITE",
                "< 200 INVITE (SDP without media)",
                "> ACK",
                "> INVITE (SDP)",
                "< 200 INVITE (SDP)",
                "> ACK",
                "> BYE",
                "< 200 BYE",
            ],
            &["> INVITE", "< 180 INVITE", "< 200 INVITE (SDP)", "> ACK (SDP)", "> BYE", "< 200 BYE"],
        ),
        Flow::Iii => (
            &[
                "> INVITE",
                "< 180 INVITE",
                "< 200 INVITE (SDP)",
                "> ACK (SDP inactive)",
                "> INVITE (SDP)",
                "< 200 INVITE (SDP)",
                "> ACK",
                "> BYE",
                "< 200 BYE",
            ],
            &["> INVITE", "< 180 INVITE", "< 200 INVITE (SDP)", "> ACK (SDP)", "> BYE", "< 200 BYE"],
        ),
        Flow::I => (
            &["> INVITE", "< 180 INVITE", "< 200 INVITE (SDP)", "> ACK (SDP)", "> BYE", "< 200 BYE"],
            &["> INVITE (SDP)", "< 180 INVITE", "< 200 INVITE (SDP)", "> ACK", "> BYE", "< 200 BYE"],
        ),
    }
}

/// A phone, and the place of a message in its leg.
type Place = (&'static str, usize);

/// Pairs of which the first comes before the second.
fn order(flow: Flow) -> &'static [(Place, Place)] {
    match flow {
        Flow::Auto | Flow::Ringback => &[
            (("alice", 3), ("bob", 0)),
            (("bob", 1), ("alice", 4)),
            (("alice", 5), ("bob", 2)),
            (("alice", 6), ("bob", 6)),
        ],
        Flow::Iv | Flow::Iii => &[
            (("alice", 3), ("bob", 0)),
            (("bob", 2), ("alice", 4)),
            (("alice", 5), ("bob", 3)),
            (("bob", 3), ("alice", 6)),
            (("alice", 7), ("bob", 4)),
        ],
        Flow::I => &[(("alice", 2), ("bob", 0)), (("bob", 3), ("alice", 3)), (("alice", 4), ("bob", 4))],
    }
}

/// What differs; nothing when every step was as expected.
pub fn compare(flow: Flow, seen: &Gathered) -> Vec<String> {
    let (alice, bob) = legs(flow);
    let mut differences = Vec::new();
    let mut places = Vec::new();
    for (phone, expected) in [("alice", alice), ("bob", bob)] {
        let leg: Vec<(usize, String)> = seen
            .messages()
            .enumerate()
            .filter(|(_, m)| m.from == phone || m.to == phone)
            .map(|(at, m)| (at, format!("{} {}", if m.to == phone { '>' } else { '<' }, m.label)))
            .collect();
        for (step, wanted) in expected.iter().enumerate() {
            match leg.get(step) {
                None => differences
                    .push(format!("{phone}, step {}: expected \"{wanted}\", nothing came", step + 1)),
                Some((_, label)) if !matches(label, wanted) => {
                    differences
                        .push(format!("{phone}, step {}: expected \"{wanted}\", saw \"{label}\"", step + 1));
                }
                Some((at, _)) => places.push(((phone, step), *at)),
            }
        }
        for (_, label) in leg.iter().skip(expected.len()) {
            differences.push(format!("{phone}: \"{label}\" was not expected"));
        }
    }
    let place = |of: (&str, usize)| places.iter().find(|(p, _)| *p == of).map(|(_, at)| *at);
    for (first, second) in order(flow) {
        if let (Some(a), Some(b)) = (place(*first), place(*second))
            && a > b
        {
            differences.push(format!(
                "step {} of {} came after step {} of {}",
                first.1 + 1,
                first.0,
                second.1 + 1,
                second.0
            ));
        }
    }
    differences
}

/// The words in brackets are compared too, except of BYE, whose Reason may be worded freely.
fn matches(label: &str, wanted: &str) -> bool {
    label == wanted
        || (wanted.ends_with(" BYE") && label.strip_prefix(wanted).is_some_and(|rest| rest.starts_with(" (")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::LadderMessage;

    fn seen(labels: &[(&str, &str)]) -> Gathered {
        Gathered::of(labels.iter().map(|(leg, label)| {
            let (way, label) = label.split_at(2);
            let (from, to) = if way == "> " { ("edge", *leg) } else { (*leg, "edge") };
            LadderMessage {
                from: from.into(),
                to: to.into(),
                label: label.into(),
                ..LadderMessage::default()
            }
        }))
    }

    fn flow_i() -> Vec<(&'static str, &'static str)> {
        let (alice, bob) = legs(Flow::I);
        let mut all: Vec<_> = alice[..3].iter().map(|l| ("alice", *l)).collect();
        all.extend(bob[..4].iter().map(|l| ("bob", *l)));
        all.extend(alice[3..].iter().map(|l| ("alice", *l)));
        all.extend(bob[4..].iter().map(|l| ("bob", *l)));
        all
    }

    /// LAD-1 … LAD-4: what goes to one phone after something went to the other is held to that order too.
    #[test]
    fn two_messages_of_carillon_to_different_phones_that_changed_places_are_told() {
        for flow in [Flow::Ringback, Flow::Iv, Flow::Iii] {
            let (alice, bob) = legs(flow);
            let mut all: Vec<_> = alice[..3].iter().map(|l| ("alice", *l)).collect();
            all.extend([("bob", bob[0]), ("alice", alice[3])]);
            let differences = compare(flow, &seen(&all));
            assert!(
                differences.contains(&"step 4 of alice came after step 1 of bob".into()),
                "{differences:?}"
            );
        }
        let mut acks = flow_i();
        let (to_bob, to_alice) = (6, 7);
        assert_eq!((acks[to_bob], acks[to_alice].0), (("bob", "> ACK"), "alice"));
        acks.swap(to_bob, to_alice);
        assert_eq!(compare(Flow::I, &seen(&acks)), ["step 4 of bob came after step 4 of alice"]);
    }

    #[test]
    fn the_expected_ladder_has_no_differences() {
        assert_eq!(compare(Flow::I, &seen(&flow_i())), Vec::<String>::new());
    }

    #[test]
    fn a_missing_a_wrong_a_late_and_a_surplus_message_are_each_told() {
        let mut missing = flow_i();
        missing.pop();
        assert!(compare(Flow::I, &seen(&missing))[0].contains("nothing came"));
        let mut wrong = flow_i();
        wrong[2].1 = "< 200 INVITE";
        assert!(compare(Flow::I, &seen(&wrong))[0].contains("saw \"< 200 INVITE\""));
        let mut surplus = flow_i();
        surplus.push(("bob", "> BYE"));
        assert!(compare(Flow::I, &seen(&surplus))[0].contains("not expected"));
        let (alice, bob) = legs(Flow::I);
        let early: Vec<_> =
            bob.iter().map(|l| ("bob", *l)).chain(alice.iter().map(|l| ("alice", *l))).collect();
        assert!(compare(Flow::I, &seen(&early)).iter().any(|d| d.contains("came after")));
    }
}
