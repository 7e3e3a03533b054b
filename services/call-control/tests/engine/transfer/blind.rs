//! Blind transfer by re-INVITE.

use std::time::Duration;

use call_control::engine::StepError;
use call_control::engine::call::{CallState, OutcomeKind, Party};
use call_control::engine::event::{Command, FailureCause, Target};

use crate::ladder::{Answer, Ladder, sdp};

/// LAD-5, CCL-07, SCN-15: carol is dialled, alice is asked for the answer to her offer, and then bob is let go.
#[test]
fn the_party_that_is_dialled_takes_the_place_of_the_one_that_leaves() {
    let mut t = begun();
    t.reply("c", "INVITE", 180);
    t.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.reply("b", "BYE", 200);
    t.expect(
        "
        API transfer a
        ! TransferStarted a
        ! LegDialing c
        C>C INVITE 1
        C>C 180 INVITE
        ! LegRinging c 180
        C>C 200 INVITE sdp1[audio:6000]
        ! LegAnswered c 200
        C>A INVITE 3 sdp3[audio:6000]
        A>C 200 INVITE sdp1[audio:4000]
        ! TransferSucceeded a 200
        ! PartyJoined c
        ! PartyLeft b
        ! LegEnded b 200
        C>A ACK 3
        C>C ACK 1 sdp1[audio:4000]
        C>B BYE 2
        B>C 200 BYE
        ",
    );
    assert_eq!(t.call.state(), CallState::Answered);
}

/// TPC-07: the new two are connected like any other: what one changes reaches the other, and who hangs up ends the call.
#[test]
fn the_new_two_are_a_call_like_any_other() {
    let mut t = moved();
    let hold = t.request("c", "INVITE", Some(&sdp(&["audio 6000 sendonly"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000 recvonly"])));
    t.ack("c", &hold, None);
    t.command(Command::Unhold { leg_id: None }).expect("it is held");
    t.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.request("a", "BYE", None);
    t.reply("c", "BYE", 200);
    t.expect(
        "
        C>C INVITE sdp1[audio:6000 sendonly]
        C>A INVITE 4 sdp4[audio:6000 sendonly]
        A>C 200 INVITE sdp1[audio:4000 recvonly]
        ! Held c
        C>A ACK 4
        C>C 200 INVITE sdp2[audio:4000 recvonly]
        C>C ACK
        API Unhold { leg_id: None }
        C>C INVITE 2
        C>C 200 INVITE sdp1[audio:6000]
        C>A INVITE 5 sdp5[audio:6000]
        A>C 200 INVITE sdp1[audio:4000]
        ! Unheld
        C>A ACK 5
        C>C ACK 2 sdp3[audio:4000]
        A>C BYE
        ! LegEnded a 200
        ! LegEnded c 200
        ! Ended 200
        C>A 200 BYE
        C>C BYE 3
        C>C 200 BYE
        ",
    );
    let outcome = t.call.outcome.clone().expect("an outcome");
    assert_eq!((outcome.kind(), outcome.ended_by.as_str()), (OutcomeKind::Completed, "a"));
}

/// The same where the first one leaves.
#[test]
fn the_first_party_may_be_the_one_that_leaves() {
    let mut t = connected();
    t.transfer("b", carol()).expect("they talk");
    t.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000", "video 6002"])));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000", "video 0"])));
    t.lines.clear();
    t.request("c", "INVITE", Some(&sdp(&["audio 6000", "video 6002"])));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000", "video 0"])));
    t.expect(
        "
        C>C INVITE sdp1[audio:6000, video:6002]
        C>B INVITE 3 sdp2[audio:6000, video:6002]
        B>C 200 INVITE sdp1[audio:5000, video:0]
        C>B ACK 3
        C>C 200 INVITE sdp1[audio:5000, video:0]
        ",
    );
}

/// CCL-07: while carol rings, the two talk, and when she is not to be had they go on.
#[test]
fn a_target_that_is_not_to_be_had_changes_nothing() {
    for (status, reason) in [(486, "Busy Here"), (603, "Decline"), (404, "")] {
        let mut t = begun();
        t.lines.clear();
        t.reply("c", "INVITE", status);
        t.request("a", "INFO", None);
        t.reply("b", "INFO", 200);
        assert!(reason.is_empty() || t.told.iter().any(|event| event.sip_reason == reason));
        t.expect(&format!(
            "
            C>C {status} INVITE
            ! TransferFailed a {status}
            ! LegEnded c {status}
            C>C (released)
            A>C INFO
            ! InfoReceived a
            C>B INFO 2
            B>C 200 INFO
            C>A 200 INFO
            "
        ));
        assert_eq!(t.call.state(), CallState::Answered);
    }
}

/// CCL-07
#[test]
fn a_target_that_does_not_answer_is_cancelled() {
    let mut t = begun();
    t.reply("c", "INVITE", 180);
    t.lines.clear();
    t.wait(Duration::from_secs(61));
    t.reply("c", "INVITE", 487);
    t.expect(
        "
        ... 32000 ms
        ... 28000 ms
        ! TransferFailed a 480
        C>C CANCEL Reason: SIP;cause=480;text=\"No answer\"
        C>C 487 INVITE
        ! LegEnded c 480
        C>C (released)
        ",
    );
    assert_eq!(t.call.state(), CallState::Answered);
}

/// UAC-22: alice refuses the session with carol, and keeps the one with bob.
#[test]
fn a_transferee_that_refuses_keeps_its_session() {
    let mut t = begun();
    t.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000"])));
    t.lines.clear();
    t.reply("a", "INVITE", 488);
    t.reply("c", "BYE", 200);
    t.expect(
        "
        A>C 488 INVITE
        ! TransferFailed a 488
        ! LegEnded c 488
        C>C ACK 1 sdp1[audio:0]
        C>C BYE 2 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        C>C 200 BYE
        ",
    );
    assert_eq!(t.call.state(), CallState::Answered);
}

/// UAC-21: alice changes her session with bob at that moment.
#[test]
fn a_crossing_offer_is_waited_for() {
    let mut t = begun();
    t.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000"])));
    t.lines.clear();
    t.reply("a", "INVITE", 491);
    t.wait(Duration::from_secs(5));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    assert!(t.lines.iter().any(|line| line == "! TransferSucceeded a 200"), "{:#?}", t.lines);
}

/// TPC-09: alice says nothing at all to the re-INVITE: carol's 2xx does not wait for ever.
#[test]
fn the_guard_ends_a_transfer_that_the_transferee_ignores() {
    let mut t = begun();
    t.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000"])));
    t.lines.clear();
    t.wait(Duration::from_secs(21));
    t.expect(
        "
        ... 20000 ms
        ! TransferFailed a 504
        ! LegEnded c 504
        C>C ACK 1 sdp1[audio:0]
        C>C BYE 2 Reason: SIP;cause=504;text=\"Guard time passed\"
        ",
    );
    // She answers at last: her session with bob is made anew
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        A>C 200 INVITE sdp1[audio:4000]
        C>A ACK 3
        C>B INVITE 2
        B>C 200 INVITE sdp1[audio:5000]
        C>A INVITE 4 sdp4[audio:5000]
        A>C 200 INVITE sdp1[audio:4000]
        C>A ACK 4
        C>B ACK 2 sdp1[audio:4000]
        ",
    );
}

/// LAD-9: the transferor hangs up before the target has answered: the transfer goes on without it.
#[test]
fn who_leaves_need_not_wait() {
    let mut t = begun();
    t.request("b", "BYE", None);
    t.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        API transfer a
        ! TransferStarted a
        ! LegDialing c
        C>C INVITE 1
        B>C BYE
        ! PartyLeft b
        ! LegEnded b 200
        C>B 200 BYE
        C>C 200 INVITE sdp1[audio:6000]
        ! LegAnswered c 200
        C>A INVITE 3 sdp3[audio:6000]
        A>C 200 INVITE sdp1[audio:4000]
        ! TransferSucceeded a 200
        ! PartyJoined c
        C>A ACK 3
        C>C ACK 1 sdp1[audio:4000]
        ",
    );
}

/// And when nothing comes of it there is nobody to go back to.
#[test]
fn a_transfer_that_fails_after_the_transferor_left_ends_the_call() {
    let mut t = begun();
    t.request("b", "BYE", None);
    t.lines.clear();
    t.reply("c", "INVITE", 486);
    t.reply("a", "BYE", 200);
    t.expect(
        "
        C>C 486 INVITE
        ! TransferFailed a 486
        ! LegEnded c 486
        ! LegEnded a 200
        ! Ended 200
        C>A BYE 3 Reason: SIP;cause=486;text=\"Busy Here\"
        C>C (released)
        A>C 200 BYE
        ",
    );
}

/// The transferee hangs up: everybody is told.
#[test]
fn a_transferee_that_hangs_up_ends_all() {
    let mut t = begun();
    t.reply("c", "INVITE", 180);
    t.lines.clear();
    t.request("a", "BYE", None);
    t.reply("c", "INVITE", 487);
    t.expect(
        "
        A>C BYE
        ! TransferFailed a 487
        ! LegEnded a 200
        ! LegEnded b 200
        C>A 200 BYE
        C>C CANCEL
        C>B BYE 2
        C>C 487 INVITE
        ! LegEnded c 200
        ! Ended 200
        C>C (released)
        ",
    );
}

/// TPC-15: everything that can be lost on the way ends with one event.
#[test]
fn whatever_is_lost_there_is_one_end() {
    type Lose = fn(&mut Ladder);
    let ways: [(&str, Lose, u32); 5] = [
        ("no answer at all", |t| t.silence("c", "INVITE", FailureCause::Timeout), 408),
        ("no way", |t| t.silence("c", "INVITE", FailureCause::Transport), 503),
        ("the edge dies", |t| t.lose_edge("e1", 7), 503),
        ("a 2xx without offer", |t| t.reply("c", "INVITE", 200), 488),
        (
            "a hang-up by the application",
            |t| t.command(Command::Hangup { reason: String::new() }).expect("ok"),
            487,
        ),
    ];
    for (name, lose, status) in ways {
        let mut t = begun();
        lose(&mut t);
        let ends: Vec<_> = t.lines.iter().filter(|line| line.starts_with("! Transfer")).cloned().collect();
        assert_eq!(
            ends,
            ["! TransferStarted a".to_owned(), format!("! TransferFailed a {status}")],
            "{name}"
        );
    }
}

/// One operation at a time, and none in a call that has not begun or is over.
#[test]
fn operations_do_not_meet() {
    let mut t = begun();
    assert_eq!(t.transfer("a", carol()), Err(StepError::Conflict));
    assert_eq!(t.transfer("b", carol()), Err(StepError::Conflict));
    assert_eq!(t.command(Command::Hold { leg_id: None, music: String::new() }), Err(StepError::Conflict));
    assert_eq!(t.transfer("x", carol()), Err(StepError::UnknownLeg("x".into())));
    let mut t = Ladder::dial(call_control::engine::call::Flow::Iv);
    assert_eq!(t.transfer("a", carol()), Err(StepError::WrongState(CallState::Dialing)));
    let mut t = moved();
    assert_eq!(t.transfer("b", carol()), Err(StepError::WrongState(CallState::Answered)));
}

/// A party can be led on and on.
#[test]
fn a_party_that_came_can_be_led_elsewhere_too() {
    let mut t = moved();
    t.transfer("c", carol()).expect("they talk");
    t.reply("d", "INVITE", Answer::new(200).sdp(&sdp(&["audio 7000"])));
    t.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000"])));
    t.expect(
        "
        API transfer c
        ! TransferStarted c
        ! LegDialing d
        C>D INVITE 1
        D>C 200 INVITE sdp1[audio:7000]
        ! LegAnswered d 200
        C>C INVITE 2 sdp2[audio:7000]
        C>C 200 INVITE sdp1[audio:6000]
        ! TransferSucceeded c 200
        ! PartyJoined d
        ! PartyLeft a
        ! LegEnded a 200
        C>C ACK 2
        C>D ACK 1 sdp1[audio:6000]
        C>A BYE 4
        ",
    );
}

fn carol() -> Target {
    Target::Party(Party { uri: "sip:carol@example.com".into(), ..Party::default() })
}

fn connected() -> Ladder {
    Ladder::connected("call-1")
}

fn begun() -> Ladder {
    let mut t = connected();
    t.transfer("a", carol()).expect("they talk");
    t
}

fn moved() -> Ladder {
    let mut t = begun();
    t.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.reply("b", "BYE", 200);
    t.lines.clear();
    t
}
