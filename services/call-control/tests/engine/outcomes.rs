//! How a call ended and who ended it, as `call.proto` has it: a leg that said something, the application, or Carillon for a timer,
//! a guard, a lost component.

use std::time::Duration;

use call_control::engine::call::{Flow, OutcomeKind};
use call_control::engine::event::{Command, FailureCause};

use crate::ends::stages;
use crate::ladder::{Answer, Ladder, sdp};

type Story = (&'static str, fn() -> Ladder, (OutcomeKind, u32, &'static str));

/// TPC-05, TPC-15
#[test]
fn every_end_has_its_class_and_its_author() {
    for (name, story, expected) in STORIES {
        let t = story();
        let outcome = t.call.outcome.clone().unwrap_or_else(|| panic!("{name}: the call goes on"));
        assert_eq!((outcome.kind(), outcome.sip_status, outcome.ended_by.as_str()), expected, "{name}");
    }
}

/// TPC-15: a status line may end after the status; what the application reads then is the standard phrase.
#[test]
fn a_status_without_a_phrase_is_told_by_its_standard_one() {
    use call_control::engine::report::CallEventType::{Ended, LegAnswered, LegEnded, LegRinging};
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", Answer::new(180).unsaid());
    t.reply("a", "INVITE", Answer::new(200).unsaid().sdp(&sdp(&[])));
    t.reply("b", "INVITE", Answer::new(486).unsaid());
    let told = |kind| t.told.iter().filter(move |one| one.kind == kind).map(|one| one.sip_reason.as_str());
    assert_eq!(told(LegRinging).collect::<Vec<_>>(), ["Ringing"]);
    assert_eq!(told(LegAnswered).collect::<Vec<_>>(), ["OK"]);
    assert_eq!(told(LegEnded).collect::<Vec<_>>(), ["Busy Here", "Busy Here"]);
    assert_eq!(told(Ended).collect::<Vec<_>>(), ["Busy Here"]);
    // The same of a request inside the dialog, and of one that nobody answered.
    for silent in [false, true] {
        let mut t = Ladder::dial(Flow::Iv);
        t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
        t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
        match silent {
            false => t.reply("a", "INVITE", Answer::new(481).unsaid()),
            true => t.silence("a", "INVITE", FailureCause::Timeout),
        }
        let ended = t.told.last().expect("the end");
        let phrase = if silent { "Request Timeout" } else { "Call/Transaction Does Not Exist" };
        assert_eq!((ended.kind, ended.sip_reason.as_str()), (Ended, phrase));
    }
}

/// F1: whatever the lost edge was doing, the outcome is one and the same.
#[test]
fn a_lost_edge_ends_a_call_in_one_way_in_every_stage() {
    let mut ended = 0;
    for (name, mut t) in stages() {
        t.edge = ("e2".into(), 1);
        t.lose_edge("e1", 7);
        let Some(outcome) = t.call.outcome.clone() else { continue };
        ended += 1;
        let found = (outcome.kind(), outcome.sip_status, outcome.ended_by.as_str());
        assert_eq!(found, (OutcomeKind::Failed, 503, "carillon"), "{name}");
        assert_eq!(outcome.sip_reason, "Edge lost", "{name}");
    }
    assert!(ended > 5, "{ended} stages end");
}

const STORIES: [Story; 21] = [
    ("the first phone is busy", || refused("a", 486), (OutcomeKind::Busy, 486, "a")),
    ("the first phone declines", || refused("a", 603), (OutcomeKind::Rejected, 603, "a")),
    ("the second phone is busy everywhere", || refused("b", 600), (OutcomeKind::Busy, 600, "b")),
    ("the second phone is unknown", || refused("b", 404), (OutcomeKind::Unreachable, 404, "b")),
    ("the second phone is not registered", || refused("b", 480), (OutcomeKind::Unreachable, 480, "b")),
    ("the second phone refuses the media", || refused("b", 488), (OutcomeKind::Failed, 488, "b")),
    ("the second phone gives up after ringing", || rang_and("b", 480), (OutcomeKind::NoAnswer, 480, "b")),
    ("a proxy gives up after ringing", || rang_and("b", 408), (OutcomeKind::NoAnswer, 408, "b")),
    ("the first phone rings too long", || rings_too_long("a"), (OutcomeKind::NoAnswer, 480, "carillon")),
    ("the second phone rings too long", || rings_too_long("b"), (OutcomeKind::NoAnswer, 480, "carillon")),
    ("the second phone says nothing", || silent("b"), (OutcomeKind::Unreachable, 408, "carillon")),
    ("there is no way to the second phone", || unsent("b"), (OutcomeKind::Unreachable, 503, "carillon")),
    ("the application hangs up while it rings", hung_up, (OutcomeKind::Cancelled, 487, "api")),
    ("the first phone hangs up while it rings", given_up, (OutcomeKind::Cancelled, 487, "a")),
    ("the first phone takes no stream", refused_streams, (OutcomeKind::Failed, 488, "a")),
    ("the first phone refuses the session", refused_session, (OutcomeKind::Failed, 488, "a")),
    ("the first phone never answers the session", guard, (OutcomeKind::Failed, 504, "carillon")),
    ("the second phone makes no offer", no_offer, (OutcomeKind::Failed, 488, "b")),
    ("a phone hangs up the connected call", || bye("b"), (OutcomeKind::Completed, 200, "b")),
    ("the connected call lasts too long", too_long, (OutcomeKind::Completed, 200, "carillon")),
    ("a phone of the connected call is gone", gone, (OutcomeKind::Failed, 481, "b")),
];

fn dialled(leg: &str) -> Ladder {
    let mut t = Ladder::dial(Flow::Iv);
    if leg == "b" {
        t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    }
    t
}

fn refused(leg: &str, status: u32) -> Ladder {
    let mut t = dialled(leg);
    t.reply(leg, "INVITE", status);
    if leg == "a" && status == 488 {
        t.reply(leg, "INVITE", status);
    }
    t
}

fn rang_and(leg: &str, status: u32) -> Ladder {
    let mut t = dialled(leg);
    t.reply(leg, "INVITE", 180);
    t.reply(leg, "INVITE", status);
    t
}

fn rings_too_long(leg: &str) -> Ladder {
    let mut t = dialled(leg);
    t.reply(leg, "INVITE", 180);
    t.wait(Duration::from_secs(61));
    t
}

fn silent(leg: &str) -> Ladder {
    let mut t = dialled(leg);
    t.silence(leg, "INVITE", FailureCause::Timeout);
    t
}

fn unsent(leg: &str) -> Ladder {
    let mut t = dialled(leg);
    t.silence(leg, "INVITE", FailureCause::Transport);
    t
}

fn hung_up() -> Ladder {
    let mut t = dialled("b");
    t.reply("b", "INVITE", 180);
    t.command(Command::Hangup { reason: String::new() }).expect("always possible");
    t
}

fn given_up() -> Ladder {
    let mut t = dialled("b");
    t.reply("b", "INVITE", 180);
    t.request("a", "BYE", None);
    t
}

/// The second phone has answered, the first one is asked for the session.
fn asked() -> Ladder {
    let mut t = dialled("b");
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t
}

fn refused_streams() -> Ladder {
    let mut t = asked();
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 0"])));
    t
}

fn refused_session() -> Ladder {
    let mut t = asked();
    t.reply("a", "INVITE", 488);
    t
}

fn guard() -> Ladder {
    let mut t = asked();
    t.wait(Duration::from_secs(21));
    t
}

fn no_offer() -> Ladder {
    let mut t = dialled("b");
    t.reply("b", "INVITE", 200);
    t
}

fn connected_with(max_duration_ms: u64) -> Ladder {
    let mut t = Ladder::dial_with(Flow::Iv, |policy| policy.max_duration_ms = max_duration_ms);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t
}

fn bye(leg: &str) -> Ladder {
    let mut t = connected_with(0);
    t.request(leg, "BYE", None);
    t
}

fn too_long() -> Ladder {
    let mut t = connected_with(5_000);
    t.wait(Duration::from_secs(6));
    t
}

fn gone() -> Ladder {
    let mut t = connected_with(0);
    t.request("a", "INVITE", Some(&sdp(&["audio 4000 sendonly"])));
    t.reply("b", "INVITE", 481);
    t
}
