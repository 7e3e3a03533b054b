//! Hang-up by the application in every state, what becomes of legs that are ended, and which class an unanswered leg has.

use std::time::Duration;

use call_control::engine::StepError;
use call_control::engine::call::{CallState, Flow, OutcomeKind};
use call_control::engine::effect::What;
use call_control::engine::event::{Command, FailureCause};
use call_control::engine::leg::LegState;

use crate::ends::stages;
use crate::ladder::{Answer, Ladder, sdp};

/// TPC-15: in whatever state the application hangs up, and whatever the phones then say, ENDED comes once and says who it was.
#[test]
fn a_hang_up_ends_the_call_in_every_state() {
    for (name, start) in all_states() {
        for (how, phones) in PHONES {
            let case = format!("{name}, the phones {how}");
            let mut t = start.clone();
            let was_connected = t.call.answer_ms != 0;
            t.command(Command::Hangup { reason: String::new() }).expect("always possible");
            assert!(matches!(t.call.state(), CallState::Ending | CallState::Ended), "{case}");
            let expected = if was_connected {
                (OutcomeKind::Completed, 200, "OK", "api")
            } else {
                (OutcomeKind::Cancelled, 487, "Request Terminated", "api")
            };
            // A second one changes nothing.
            t.command(Command::Hangup { reason: "again".into() }).expect("always possible");
            phones(&mut t);
            t.wait(Duration::from_secs(200));
            let outcome = t.call.outcome.clone().expect("an outcome");
            let found =
                (outcome.kind(), outcome.sip_status, outcome.sip_reason.as_str(), outcome.ended_by.as_str());
            assert_eq!(found, expected, "{case}");
            let ended: Vec<&String> = t.lines.iter().filter(|line| line.starts_with("! Ended")).collect();
            assert_eq!(ended, [&format!("! Ended {}", expected.1)], "{case}: {:#?}", t.lines);
            assert_eq!((t.call.state(), t.finished), (CallState::Ended, true), "{case}");
            for leg in &t.call.legs {
                let over = format!("! LegEnded {} ", leg.leg_id);
                let count = t.lines.iter().filter(|line| line.starts_with(&over)).count();
                assert_eq!((count, leg.state()), (1, LegState::Ended), "{case}, leg {}", leg.leg_id);
            }
            let is_told = |line: &&String| line.contains(" BYE ") || line.contains(" CANCEL");
            assert!(!t.lines.iter().filter(is_told).any(|line| line.contains("Reason")), "{case}");
            assert_eq!(
                t.command(Command::Hold { leg_id: None, music: String::new() }),
                Err(StepError::WrongState(CallState::Ended)),
                "{case}"
            );
        }
    }
}

/// TPC-15: a call that ends already ends for its first cause.
#[test]
fn a_hang_up_does_not_change_why_a_call_ended() {
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t.reply("b", "INVITE", 180);
    t.request("a", "BYE", None);
    assert_eq!(t.call.state(), CallState::Ending);
    t.command(Command::Hangup { reason: "enough".into() }).expect("always possible");
    t.reply("b", "INVITE", 487);
    let outcome = t.call.outcome.clone().expect("an outcome");
    assert_eq!((outcome.kind(), outcome.ended_by.as_str()), (OutcomeKind::Cancelled, "a"));
    assert_eq!(t.lines.iter().filter(|line| line.starts_with("! Ended")).count(), 1);
    assert_eq!(t.lines.iter().filter(|line| line.contains("CANCEL")).count(), 1);
}

/// TPC-15: nothing is left to wake up for when the call is over, however long it might have lasted.
#[test]
fn a_call_that_is_over_waits_for_nothing() {
    let mut t = Ladder::dial_with(Flow::Iv, |policy| policy.max_duration_ms = 3_600_000);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    let session = Answer::new(200).sdp(&sdp(&["audio 4000"])).header("Session-Expires", "1800;refresher=uac");
    t.reply("a", "INVITE", session);
    t.wait(Duration::from_secs(60));
    assert!(t.due.is_some());
    t.command(Command::Hangup { reason: String::new() }).expect("always possible");
    t.reply("a", "BYE", 200);
    t.reply("b", "BYE", 200);
    assert!(t.finished);
    assert_eq!(t.due, None);
}

/// TPC-05: once the parties were connected, a phone that is not there any more is a failure and no unanswered call.
#[test]
fn a_phone_that_vanishes_from_a_connected_call_is_a_failure() {
    let endings: [(Phones, u32, &str); 3] = [
        (("is silent", |t| t.silence("b", "INVITE", FailureCause::Timeout)), 408, "carillon"),
        (("is not reached by its proxy", |t| t.reply("b", "INVITE", 408)), 408, "b"),
        (("has forgotten", |t| t.reply("b", "INVITE", 481)), 481, "b"),
    ];
    for ((name, then), status, by) in endings {
        let mut t = stages().into_iter().find(|(name, _)| *name == "a change is relayed").expect("a stage").1;
        then(&mut t);
        let outcome = t.call.outcome.clone().expect("an outcome");
        let found = (outcome.kind(), outcome.sip_status, outcome.ended_by.as_str());
        assert_eq!(found, (OutcomeKind::Failed, status, by), "{name}");
    }
}

/// UAC-17: a fork that answers after the leg is acknowledged and ended, and the call goes on, whatever becomes of that BYE.
#[test]
fn a_surplus_fork_is_ended_and_the_call_goes_on() {
    let fates: [Phones; 4] = [
        ("is answered", |t| t.reply("b", "BYE", Answer::new(200).tag("b2"))),
        ("is unknown there", |t| t.reply("b", "BYE", Answer::new(481).tag("b2"))),
        ("is not answered", |t| t.silence("b", "BYE", FailureCause::Timeout)),
        ("is forgotten", |_| {}),
    ];
    for (fate, then) in fates {
        let mut t = Ladder::dial(Flow::Iv);
        t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
        t.reply("b", "INVITE", Answer::new(180).tag("b2"));
        t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
        t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
        t.lines.clear();
        t.reply("b", "INVITE", Answer::new(200).tag("b2").sdp(&sdp(&["audio 5002"])));
        t.expect(
            "
            B>C 200 INVITE sdp1[audio:5002] (tag b2)
            C>B ACK 1 sdp1[audio:0]
            C>B BYE 2
            ",
        );
        let (_, bye) = t.last("b", "BYE");
        assert_eq!((bye.to_tag.as_str(), bye.request_uri.as_str()), ("b2", "sip:b2@phone.example"), "{fate}");
        // The same 2xx again: the edge repeats the ACK, and nobody is ended twice.
        t.reply("b", "INVITE", Answer::new(200).tag("b2").sdp(&sdp(&["audio 5002"])));
        assert_eq!(t.lines.len(), 1, "{fate}: {:?}", t.lines);
        then(&mut t);
        t.wait(Duration::from_secs(120));
        assert_eq!(t.call.state(), CallState::Answered, "{fate}");
        assert!(t.call.legs[1].pending.is_empty(), "{fate}: nothing is waited for");
        t.lines.clear();
        t.request("a", "BYE", None);
        assert_eq!(t.last("b", "BYE").1.to_tag, "b1", "{fate}");
        assert_eq!(t.lines.iter().filter(|line| line.starts_with("C>B BYE")).count(), 1, "{fate}");
        t.reply("b", "BYE", 200);
        t.wait(Duration::from_secs(60));
        assert!(t.finished, "{fate}");
        let released =
            t.effects.iter().filter(|effect| matches!(effect.what, Some(What::Release(_)))).count();
        assert_eq!(released, 2, "{fate}: each leg once");
    }
}

/// TPC-05: whoever showed any sign of life and then did not answer, did not answer.
#[test]
fn a_leg_with_progress_only_has_not_answered() {
    for leg in ["a", "b"] {
        for sign in [180, 181, 182, 183, 199] {
            for (status, kind) in [
                (408, OutcomeKind::NoAnswer),
                (480, OutcomeKind::NoAnswer),
                (487, OutcomeKind::NoAnswer),
                (486, OutcomeKind::Busy),
                (603, OutcomeKind::Rejected),
                (607, OutcomeKind::Rejected),
                (608, OutcomeKind::Rejected),
                (404, OutcomeKind::Unreachable),
                (500, OutcomeKind::Failed),
            ] {
                let mut t = Ladder::dial(Flow::Iv);
                if leg == "b" {
                    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
                }
                t.reply(leg, "INVITE", sign);
                t.reply(leg, "INVITE", status);
                let outcome = t.call.outcome.clone().expect("an outcome");
                let found = (outcome.kind(), outcome.sip_status, outcome.ended_by.as_str());
                assert_eq!(found, (kind, status, leg), "{sign} and then {status}");
            }
        }
    }
}

/// Every stage, and what else a call can be in when the application hangs up.
fn all_states() -> Vec<(&'static str, Ladder)> {
    let mut states = stages();
    let connected = states.iter().find(|(name, _)| *name == "connected").expect("a stage").1.clone();
    let mut t = connected.clone();
    t.command(Command::Hold { leg_id: None, music: String::new() }).expect("the call is connected");
    t.lines.clear();
    states.push(("hold is asked for", t.clone()));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000 inactive"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000 inactive"])));
    assert_eq!(t.call.state(), CallState::Held);
    t.lines.clear();
    states.push(("held", t.clone()));
    t.command(Command::Unhold { leg_id: None }).expect("the call is held");
    t.lines.clear();
    states.push(("the end of the hold is asked for", t));
    let mut t = connected;
    t.request("a", "INVITE", None);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.lines.clear();
    states.push(("an offer waits for its answer in ACK", t));
    states
}

/// Something that phones do.
type Phones = (&'static str, fn(&mut Ladder));

/// What phones make of the end.
const PHONES: [Phones; 4] = [
    ("say nothing", |_| {}),
    ("do as asked", |t| {
        every_open(t, "INVITE", 487);
        every_open(t, "BYE", 200);
    }),
    ("know nothing of it", |t| {
        every_open(t, "INVITE", 487);
        every_open(t, "BYE", 481);
    }),
    ("answer too late", |t| {
        every_open(t, "INVITE", 200);
        every_open(t, "BYE", 200);
    }),
];

/// Both phones answer their last request of this method, if they had one.
fn every_open(t: &mut Ladder, method: &str, status: u32) {
    for leg in ["a", "b"] {
        if t.sent.iter().any(|(on, _, request)| on == leg && request.method == method) {
            t.reply(leg, method, status);
        }
    }
}
