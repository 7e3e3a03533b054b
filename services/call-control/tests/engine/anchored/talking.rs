//! Connected calls that a phone began are like any other, see `connected.rs`; here what differs, and both directions once.

use std::time::Duration;

use call_control::engine::call::CallState;
use call_control::engine::event::Command;

use super::{called, connected, invite};
use crate::ladder::{Answer, sdp};

/// TPC-07, SCN-10: holds, INFO and the end go across in both directions, with the session of each leg kept apart.
#[test]
fn what_one_party_does_the_other_sees() {
    let mut t = connected();
    let hold = t.request("a", "INVITE", Some(&sdp(&["audio 4000 sendonly"])));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000 recvonly"])));
    t.ack("a", &hold, None);
    t.expect(
        "
        A>C INVITE sdp1[audio:4000 sendonly]
        C>B INVITE 2 sdp2[audio:4000 sendonly]
        B>C 200 INVITE sdp1[audio:5000 recvonly]
        ! Held a
        C>B ACK 2
        C>A 200 INVITE sdp2[audio:5000 recvonly]
        A>C ACK
        ",
    );
    let info = t.request("b", "INFO", None);
    t.reply("a", "INFO", 200);
    t.expect(
        "
        B>C INFO
        ! InfoReceived b
        C>A INFO 1
        A>C 200 INFO
        C>B 200 INFO
        ",
    );
    assert!(!info.is_empty());
    t.request("a", "BYE", None);
    assert_eq!(t.last("b", "BYE").1.cseq, 3);
}

/// The application holds an anchored call and resumes it.
#[test]
fn the_application_holds_and_resumes() {
    let mut t = connected();
    t.command(Command::Hold { leg_id: None, music: String::new() }).expect("it is connected");
    for (leg, port) in [("a", "4000"), ("b", "5000")] {
        t.reply(leg, "INVITE", Answer::new(200).sdp(&sdp(&[&format!("audio {port} inactive")])));
    }
    assert_eq!(t.call.state(), CallState::Held);
    t.command(Command::Unhold { leg_id: None }).expect("it is held");
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    assert_eq!(t.call.state(), CallState::Answered);
}

/// TPC-06: bob changes the session before alice has acknowledged the first one.
#[test]
fn a_change_before_the_ack_is_asked_to_wait() {
    let mut t = called(invite());
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.lines.clear();
    t.request("b", "INVITE", Some(&sdp(&["audio 5002"])));
    t.expect("B>C INVITE sdp1[audio:5002]\nC>B 491 INVITE");
}

/// UAC-21: the caller made the Call-ID of its leg, so that Carillon is the one that waits for less.
#[test]
fn after_glare_the_side_that_was_called_asks_first() {
    let mut t = connected();
    t.command(Command::Hold { leg_id: None, music: String::new() }).expect("it is connected");
    t.reply("a", "INVITE", 491);
    let before = t.sent.len();
    t.wait(Duration::from_millis(2_000));
    assert!(t.sent[before..].iter().any(|(leg, _, sent)| leg == "a" && sent.method == "INVITE"));
}

/// INFO of a caller whose callee has not said anything yet.
#[test]
fn info_to_nobody_is_refused() {
    let mut t = called(invite());
    t.lines.clear();
    t.request("a", "INFO", None);
    t.expect("A>C INFO\n! InfoReceived a\nC>A 480 INFO");
}

/// UPD-02: an UPDATE without a session is answered at once, also before the call is.
#[test]
fn an_update_without_session_is_answered_at_once() {
    let mut t = called(invite());
    t.reply("b", "INVITE", 180);
    t.lines.clear();
    t.request("a", "UPDATE", None);
    t.expect("A>C UPDATE\nC>A 200 UPDATE");
}
