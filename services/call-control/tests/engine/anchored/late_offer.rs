//! A caller that leaves the offer to the callee.

use std::time::Duration;

use call_control::engine::event::CallReceived;

use super::{called, invite, rack, reliable_invite, value};
use crate::ladder::{Answer, sdp};

fn without_offer(invite: CallReceived) -> CallReceived {
    CallReceived { body: None, ..invite }
}

/// TPC-12: bob's offer is in the 200, the caller's answer in its ACK.
#[test]
fn the_answer_comes_in_the_ack() {
    let mut t = called(without_offer(invite()));
    t.reply("b", "INVITE", 180);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.ack("a", "a-invite", Some(&sdp(&["audio 4000"])));
    t.expect(
        "
        A>C INVITE
        ! Created
        ! LegDialing b
        C>B INVITE 1
        B>C 180 INVITE
        ! LegRinging b 180
        C>A 180 INVITE
        B>C 200 INVITE sdp1[audio:5000]
        ! LegAnswered b 200
        ! LegAnswered a 200
        C>A 200 INVITE sdp1[audio:5000]
        A>C ACK sdp1[audio:4000]
        ! Connected 200
        C>B ACK 1 sdp1[audio:4000]
        ",
    );
}

/// TPC-09: bob's 200 does not wait longer than the guard; the caller, who has not acknowledged, is not hung up on before.
#[test]
fn a_callee_does_not_wait_for_an_ack_that_does_not_come() {
    let mut t = called(without_offer(invite()));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.lines.clear();
    t.wait(Duration::from_secs(20));
    t.expect(
        "
        ... 20000 ms
        ! LegEnded b 504
        C>B ACK 1 sdp1[audio:0]
        C>B BYE 2 Reason: SIP;cause=504;text=\"Guard time passed\"
        ",
    );
    t.event("a", call_control::engine::event::LegEvent::AckMissing { transaction: "a-invite".into() });
    t.expect(
        "
        ! LegEnded a 504
        ! Ended 504
        C>A BYE 1 Reason: SIP;cause=504;text=\"Guard time passed\"
        ",
    );
}

/// An ACK without the answer leaves no session.
#[test]
fn an_ack_without_answer_ends_the_call() {
    let mut t = called(without_offer(invite()));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.lines.clear();
    t.ack("a", "a-invite", None);
    let outcome = t.call.outcome.clone().expect("it has ended");
    assert_eq!((outcome.sip_status, outcome.ended_by.as_str()), (488, "a"));
    t.last("a", "BYE");
    t.last("b", "BYE");
}

/// PRK-01, PRK-06, TPC-08: bob's offer in a reliable 183 goes on reliably, and the caller's PRACK brings the answer to bob's PRACK.
#[test]
fn an_early_offer_is_answered_in_prack() {
    let mut t = called(without_offer(reliable_invite()));
    t.lines.clear();
    t.reply("b", "INVITE", Answer::new(183).reliable(9).sdp(&sdp(&["audio 5000"])));
    assert!(t.sent.iter().all(|(_, _, sent)| sent.method != "PRACK"), "bob waits for the caller");
    let first = rack(&t);
    t.lines.clear();
    t.prack("a", &first, Some(&sdp(&["audio 4000"])));
    t.reply("b", "PRACK", 200);
    t.reply("b", "INVITE", 200);
    t.expect(
        "
        A>C PRACK sdp1[audio:4000]
        C>A 200 PRACK
        C>B PRACK 2 sdp1[audio:4000] RAck: 9 1 INVITE
        B>C 200 PRACK
        B>C 200 INVITE
        ! LegAnswered b 200
        ! LegAnswered a 200
        ! Connected 200
        C>B ACK 1
        C>A 200 INVITE
        ",
    );
}

/// RFC 3262 5: the PRACK for an offer has the answer.
#[test]
fn a_prack_without_answer_ends_the_call() {
    let mut t = called(without_offer(reliable_invite()));
    t.reply("b", "INVITE", Answer::new(183).reliable(9).sdp(&sdp(&["audio 5000"])));
    let first = rack(&t);
    t.lines.clear();
    t.prack("a", &first, None);
    t.expect(
        "
        A>C PRACK
        ! LegEnded a 488
        C>A 200 PRACK
        C>B CANCEL Reason: SIP;cause=488;text=\"No answer in PRACK\"
        C>A 488 INVITE
        C>A (released)
        ",
    );
}

/// An offer in a reliable 1xx could not be answered for a caller that takes none: bob is not invited to make one.
#[test]
fn a_callee_makes_no_early_offer_that_nobody_could_answer() {
    let of = |invite: CallReceived| {
        let t = called(without_offer(invite));
        value(&t.last("b", "INVITE").1.headers, "Supported").map(str::to_owned)
    };
    assert_eq!(of(invite()).as_deref(), Some("timer, replaces, join, tdialog"));
    assert_eq!(of(reliable_invite()).as_deref(), Some("100rel, timer, replaces, join, tdialog"));
}
