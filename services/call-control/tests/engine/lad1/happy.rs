//! LAD-1 1-13: the call that succeeds, and what it leaves behind.

use std::time::Duration;

use call_control::engine::call::{CallState, Flow, OutcomeKind};

use crate::ladder::{Answer, Ladder, sdp};

/// LAD-1 1-13, TPC-01
#[test]
fn two_phones_are_connected_and_hang_up() {
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", 180);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t.reply("b", "INVITE", 180);
    assert_eq!(t.call.state(), CallState::Ringing);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    assert_eq!(t.call.state(), CallState::Answered);
    t.request("a", "BYE", None);
    t.reply("b", "BYE", 200);
    t.wait(Duration::from_secs(40));
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1 sdp1[]
        A>C 180 INVITE
        ! LegRinging a 180
        A>C 200 INVITE sdp1[]
        ! LegAnswered a 200
        ! LegDialing b
        C>A ACK 1
        C>B INVITE 1
        B>C 180 INVITE
        ! LegRinging b 180
        B>C 200 INVITE sdp1[audio:5000]
        ! LegAnswered b 200
        C>A INVITE 2 sdp2[audio:5000]
        A>C 200 INVITE sdp1[audio:4000]
        ! Connected 200
        C>B ACK 1 sdp1[audio:4000]
        C>A ACK 2
        A>C BYE
        ! LegEnded a 200
        ! LegEnded b 200
        ! Ended 200
        C>A 200 BYE
        C>B BYE 2
        B>C 200 BYE
        ... 32000 ms
        C>A (released)
        C>B (released)
        ",
    );
    assert!(t.finished);
    let outcome = t.call.outcome.expect("an outcome");
    assert_eq!((outcome.kind(), outcome.ended_by.as_str()), (OutcomeKind::Completed, "a"));
}
