//! What phones and the application do while an announcement is on its way, or heard.

use call_control::engine::StepError;
use call_control::engine::call::{CallState, Party};
use call_control::engine::event::{Command, FailureCause, Method, Target};

use super::{calling, connected, inactive, let_all_end, listening, ok, play, told, unhold};
use crate::ladder::{Answer, Ladder, sdp};

/// Each step of an announcement.
fn stages() -> [(&'static str, Ladder); 4] {
    let mut waiting = connected();
    play(&mut waiting).expect("they talk");
    let mut asking = waiting.clone();
    asking.reply("b", "INVITE", inactive(5000));
    [
        ("bob is asked", waiting),
        ("alice is asked", asking),
        ("the server is called", calling()),
        ("alice listens", listening()),
    ]
}

/// TPC-14, TPC-15: either party hangs up, is gone, or the application does, at every step: the call ends once, and with it all legs.
#[test]
fn whoever_hangs_up_ends_the_call() {
    for (stage, t) in stages() {
        for by in ["a", "b", "api"] {
            let mut t = t.clone();
            t.lines.clear();
            match by {
                "api" => {
                    t.command(Command::Hangup { reason: String::new() }).expect("it can always be ended")
                }
                leg => drop(t.request(leg, "BYE", None)),
            }
            t.settle();
            let_all_end(&mut t);
            assert_eq!(told(&t, &["Ended"]), ["! Ended 200"], "{stage}, {by}");
            assert_eq!(told(&t, &["PlayEnded"]), ["! PlayEnded a 487"], "{stage}, {by}");
        }
    }
}

/// TPC-14: a party that is gone ends the call, too.
#[test]
fn a_party_that_is_gone_ends_the_call() {
    for (asked, at) in [("b", 0), ("a", 1)] {
        for is_silent in [true, false] {
            let (_, mut t) = stages()[at].clone();
            match is_silent {
                true => t.silence(asked, "INVITE", FailureCause::Timeout),
                false => t.reply(asked, "INVITE", 481),
            }
            let_all_end(&mut t);
            assert_eq!(told(&t, &["Ended"]).len(), 1, "{asked}");
            assert_eq!(told(&t, &["PlayEnded"]).len(), 1, "{asked}");
        }
    }
}

/// TPC-14: an operation that does not fit is refused: as a conflict while an announcement is on its way or heard, with the state when
/// the call is on hold.
#[test]
fn no_other_operation_begins_meanwhile() {
    for (stage, mut t) in stages() {
        let carol = Target::Party(Party { uri: "sip:carol@example.com".into(), ..Party::default() });
        let before = t.call.clone();
        assert_eq!(play(&mut t), Err(StepError::Conflict), "{stage}");
        assert_eq!(t.transfer_by("a", carol, Method::Reinvite), Err(StepError::Conflict), "{stage}");
        let hold = Command::Hold { leg_id: Some("a".into()), music: String::new() };
        assert_eq!(t.command(hold), Err(StepError::Conflict), "{stage}");
        if stage != "alice listens" {
            assert_eq!(unhold(&mut t), Err(StepError::Conflict), "{stage}");
        }
        assert_eq!(t.call, before, "{stage}");
    }
    let mut t = connected();
    t.command(Command::Hold { leg_id: Some("b".into()), music: String::new() }).expect("they talk");
    t.reply("b", "INVITE", inactive(5000));
    assert_eq!(play(&mut t), Err(StepError::WrongState(CallState::Held)));
    let unknown = Command::Play { leg_id: "x".into(), uri: super::ANNC.into(), limit_ms: 0 };
    assert_eq!(t.command(unknown), Err(StepError::UnknownLeg("x".into())));
}

/// TPC-14, TPC-07: who listens and the server may change their session; who is on hold may, and stays on hold.
#[test]
fn sessions_are_changed_between_those_who_have_one() {
    let mut t = listening();
    t.lines.clear();
    let moved = t.request("a", "INVITE", Some(&sdp(&["audio 4004"])));
    t.reply("c", "INVITE", ok(7000));
    t.ack("a", &moved, None);
    let held = t.request("b", "INVITE", Some(&sdp(&["audio 5004"])));
    t.ack("b", &held, None);
    let own = t.request("c", "INVITE", Some(&sdp(&["audio 7004"])));
    t.reply("a", "INVITE", ok(4004));
    t.ack("c", &own, None);
    t.expect(
        "
        A>C INVITE sdp1[audio:4004]
        C>C INVITE 2 sdp2[audio:4004]
        C>C 200 INVITE sdp1[audio:7000]
        C>C ACK 2
        C>A 200 INVITE sdp3[audio:7000]
        A>C ACK
        B>C INVITE sdp1[audio:5004]
        C>B 200 INVITE sdp3[audio:9 inactive]
        B>C ACK
        C>C INVITE sdp1[audio:7004]
        C>A INVITE 4 sdp4[audio:7004]
        A>C 200 INVITE sdp1[audio:4004]
        C>A ACK 4
        C>C 200 INVITE sdp2[audio:4004]
        C>C ACK
        ",
    );
    assert_eq!(t.call.state(), CallState::Held);
}

/// TPC-14: keys that the party presses go to the server; what the server has found out goes to the application, not to the phone.
#[test]
fn keys_go_to_the_server_and_results_to_the_application() {
    let mut t = listening();
    t.lines.clear();
    t.request("a", "INFO", None);
    t.reply("c", "INFO", 200);
    t.request("c", "INFO", None);
    t.request("b", "INFO", None);
    t.expect(
        "
        A>C INFO
        ! InfoReceived a
        C>C INFO 2
        C>C 200 INFO
        C>A 200 INFO
        C>C INFO
        ! InfoReceived c
        C>C 200 INFO
        B>C INFO
        ! InfoReceived b
        C>B 200 INFO
        ",
    );
}

/// TPC-14, UAC-22: alice's re-INVITE is with the server when that hangs up: she is answered, and the two are connected again.
#[test]
fn a_server_that_leaves_in_the_middle_of_a_change_ends_no_call() {
    let mut t = listening();
    t.request("a", "INVITE", Some(&sdp(&["audio 4004"])));
    t.request("c", "BYE", None);
    assert!(t.lines.iter().any(|line| line.starts_with("C>A 480 INVITE")), "{:#?}", t.lines);
    t.reply("c", "INVITE", 481);
    t.reply("b", "INVITE", ok(5000));
    t.reply("a", "INVITE", ok(4000));
    assert_eq!(t.call.state(), CallState::Answered);
}

/// TPC-14: the edge of the server's leg dies while it is called, and while it plays.
#[test]
fn the_edge_of_the_server_dies() {
    let mut t = calling();
    t.edge = ("e2".into(), 1);
    t.lose_edge("e1", 7);
    assert_eq!(told(&t, &["PlayEnded"]), ["! PlayEnded a 503"]);
    let mut t = listening();
    t.edge = ("e2".into(), 1);
    t.lose_edge("e1", 7);
    assert_eq!(told(&t, &["PlayEnded"]), Vec::<String>::new(), "a confirmed dialog goes on by any edge");
    t.request("c", "BYE", None);
    assert_eq!(told(&t, &["PlayEnded"]), ["! PlayEnded a 200"]);
}

/// TPC-14: a 2xx of the server crosses the CANCEL: it is acknowledged and ended.
#[test]
fn a_server_that_answers_too_late_is_let_go() {
    let mut t = calling();
    t.wait(std::time::Duration::from_secs(4));
    t.reply("b", "INVITE", ok(5000));
    t.lines.clear();
    t.reply("c", "INVITE", ok(7000));
    t.reply("c", "BYE", Answer::new(200));
    t.expect(
        "
        C>C 200 INVITE sdp1[audio:7000]
        ! LegEnded c 480
        C>C ACK 1
        C>C BYE 2
        C>C 200 BYE
        ",
    );
    assert_eq!(t.call.state(), CallState::Answered);
}
