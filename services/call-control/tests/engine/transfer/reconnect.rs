//! LAD-5: one party hangs up, and the one that remains is connected with another one.

use std::time::Duration;

use call_control::engine::call::{CallState, Flow, OutcomeKind, Party};
use call_control::engine::event::{Command, FailureCause};

use crate::ladder::{Answer, Ladder, sdp};

/// LAD-5, TPC-07: bob hangs up, carol is called, and alice goes on with her.
#[test]
fn the_party_that_remains_is_connected_with_the_next_one() {
    let mut t = left_by("b");
    t.reply("c", "INVITE", 180);
    t.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        B>C BYE
        ! PartyLeft b
        ! LegEnded b 200
        ! TransferStarted a
        ! LegDialing c
        C>B 200 BYE
        C>C INVITE 1
        C>C 180 INVITE
        ! LegRinging c 180
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
    assert_eq!(t.call.state(), CallState::Answered);
}

/// LAD-5: whoever hangs up next ends the call: it happens once.
#[test]
fn a_call_is_reconnected_once() {
    let mut t = left_by("a");
    t.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000"])));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.lines.clear();
    t.request("c", "BYE", None);
    t.reply("b", "BYE", 200);
    assert!(t.lines.iter().any(|line| line == "! Ended 200"), "{:#?}", t.lines);
    let outcome = t.call.outcome.clone().expect("an outcome");
    assert_eq!((outcome.kind(), outcome.ended_by.as_str()), (OutcomeKind::Completed, "c"));
}

/// LAD-5: carol is busy, or does not answer: BYE to alice, with the Reason.
#[test]
fn a_party_that_is_not_to_be_had_ends_the_call_with_the_reason() {
    let mut t = left_by("b");
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
    let mut t = left_by("b");
    t.reply("c", "INVITE", 180);
    t.wait(Duration::from_secs(61));
    let bye = t.last("a", "BYE").1;
    let reason = bye.headers.iter().find(|header| header.name == "Reason").expect("a Reason");
    assert!(reason.value.starts_with("SIP;cause=480"), "{}", reason.value);
}

/// LAD-5: alice hangs up too, before carol has answered, or while she is asked.
#[test]
fn who_remains_may_hang_up_meanwhile() {
    let mut t = left_by("b");
    t.reply("c", "INVITE", 180);
    t.request("a", "BYE", None);
    assert!(t.lines.iter().any(|line| line.starts_with("C>C CANCEL")), "{:#?}", t.lines);
    t.reply("c", "INVITE", 487);
    assert_eq!(ends(&t), 1);

    let mut t = left_by("b");
    t.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000"])));
    t.request("a", "BYE", None);
    t.reply("c", "BYE", 200);
    assert_eq!(ends(&t), 1);
}

/// LAD-5: 491 is tried again; 488 and 481 let carol go; a 2xx that waits for too long ends both.
#[test]
fn who_remains_and_does_not_take_the_session_is_let_go_with_the_new_party() {
    let asked = || {
        let mut t = left_by("b");
        t.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000"])));
        t
    };
    let mut t = asked();
    t.reply("a", "INVITE", 491);
    t.wait(Duration::from_secs(5));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    assert_eq!(t.call.state(), CallState::Answered);
    let lost: [fn(&mut Ladder); 5] = [
        |t| t.reply("a", "INVITE", 488),
        |t| t.reply("a", "INVITE", 481),
        |t| t.silence("a", "INVITE", FailureCause::Timeout),
        |t| t.wait(Duration::from_secs(21)),
        |t| t.command(Command::Hangup { reason: String::new() }).expect("it goes on"),
    ];
    for lose in lost {
        let mut t = asked();
        lose(&mut t);
        assert!(t.lines.iter().any(|line| line.starts_with("C>C BYE")), "{:#?}", t.lines);
        assert_eq!(ends(&t), 1, "{:#?}", t.lines);
    }
}

/// What ends without anybody hanging up is not gone on with: nor what never began.
#[test]
fn only_a_party_that_hangs_up_is_replaced() {
    let mut t = connected();
    t.command(Command::Hangup { reason: String::new() }).expect("it goes on");
    assert!(t.call.legs.len() == 2 && t.call.outcome.is_some());
    let mut t = Ladder::dial_with(Flow::Iv, |policy| policy.reconnect_to = Some(carol()));
    t.reply("a", "INVITE", 486);
    assert!(t.call.legs.iter().all(|leg| leg.party != carol()));
}

fn carol() -> Party {
    Party { uri: "sip:carol@example.com".into(), ..Party::default() }
}

fn connected() -> Ladder {
    let mut t = Ladder::connected("call-1");
    t.call.policy.reconnect_to = Some(carol());
    t
}

/// Connected, and this party hung up.
fn left_by(leg: &str) -> Ladder {
    let mut t = connected();
    t.request(leg, "BYE", None);
    t
}

fn ends(t: &Ladder) -> usize {
    t.lines.iter().filter(|line| line.starts_with("! Ended")).count()
}
