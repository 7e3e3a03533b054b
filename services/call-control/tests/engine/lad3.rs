//! LAD-3: Flow I, the second leg is an automaton.

use std::time::Duration;

use call_control::engine::call::{Flow, OutcomeKind};

use crate::ladder::{Answer, Ladder, sdp};

/// LAD-3 1-7, TPC-02
#[test]
fn the_automaton_answers_alices_offer() {
    let mut t = Ladder::dial(Flow::I);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000", "video 4002"])));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000", "video 0"])));
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1
        A>C 200 INVITE sdp1[audio:4000, video:4002]
        ! LegAnswered a 200
        ! LegDialing b
        C>B INVITE 1 sdp1[audio:4000, video:4002]
        B>C 200 INVITE sdp1[audio:5000, video:0]
        ! LegAnswered b 200
        ! Connected 200
        C>B ACK 1
        C>A ACK 1 sdp1[audio:5000, video:0]
        ",
    );
}

/// LAD-3 4 with an early answer, PRK-05
#[test]
fn the_automaton_answers_early() {
    let mut t = alice_waits();
    t.reply("b", "INVITE", Answer::new(183).reliable(7).sdp(&sdp(&["audio 5000"])));
    t.reply("b", "PRACK", 200);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 9999"])));
    t.expect(
        "
        B>C 183 INVITE sdp1[audio:5000] RSeq 7
        ! LegProgress b 183
        C>B PRACK 2 RAck: 7 1 INVITE
        C>A ACK 1 sdp1[audio:5000]
        B>C 200 PRACK
        B>C 200 INVITE sdp1[audio:9999]
        ! LegAnswered b 200
        ! Connected 200
        C>B ACK 1
        ",
    );
}

/// LAD-3 4 with forks: another fork than the one whose early answer Alice has got is asked for an offer of its own.
#[test]
fn another_fork_of_the_automaton_answers() {
    let mut t = alice_waits();
    t.reply("b", "INVITE", Answer::new(183).reliable(7).sdp(&sdp(&["audio 5000"])));
    t.reply("b", "INVITE", Answer::new(183).tag("b2").reliable(7).sdp(&sdp(&["audio 6000"])));
    t.reply("b", "INVITE", Answer::new(200).tag("b2"));
    t.reply("b", "INVITE", Answer::new(200).tag("b2").sdp(&sdp(&["audio 6000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        B>C 183 INVITE sdp1[audio:5000] RSeq 7
        ! LegProgress b 183
        C>B PRACK 2 RAck: 7 1 INVITE
        C>A ACK 1 sdp1[audio:5000]
        B>C 183 INVITE sdp1[audio:6000] (tag b2) RSeq 7
        C>B PRACK 3 RAck: 7 1 INVITE
        B>C 200 INVITE (tag b2)
        ! LegAnswered b 200
        C>B ACK 1
        C>B INVITE 4
        B>C 200 INVITE sdp1[audio:6000] (tag b2)
        C>A INVITE 2 sdp2[audio:6000]
        A>C 200 INVITE sdp1[audio:4000]
        ! Connected 200
        C>B ACK 4 sdp1[audio:4000]
        C>A ACK 2
        ",
    );
}

/// LAD-3 a
#[test]
fn alice_rejects() {
    let mut t = Ladder::dial(Flow::I);
    t.reply("a", "INVITE", 486);
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1
        A>C 486 INVITE
        ! LegEnded a 486
        ! Ended 486
        C>A (released)
        ",
    );
}

/// LAD-3 b
#[test]
fn alice_does_not_answer() {
    let mut t = Ladder::dial(Flow::I);
    t.wait(Duration::from_secs(61));
    t.reply("a", "INVITE", 487);
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1
        ... 60000 ms
        C>A CANCEL Reason: SIP;cause=480;text=\"No answer\"
        A>C 487 INVITE
        ! LegEnded a 480
        ! Ended 480
        C>A (released)
        ",
    );
}

/// LAD-3 c
#[test]
fn the_automaton_refuses() {
    for status in [486, 488, 503] {
        let mut t = alice_waits();
        t.reply("b", "INVITE", status);
        let (_, ack) = t.last("a", "ACK");
        let body = ack.body.expect("a 2xx must be acknowledged with an answer before BYE");
        assert!(String::from_utf8_lossy(&body.content).contains("m=audio 0 "));
        let (_, bye) = t.last("a", "BYE");
        assert!(bye.headers.iter().any(|header| header.value.starts_with(&format!("SIP;cause={status};"))));
    }
    let mut t = alice_waits();
    t.reply("b", "INVITE", 486);
    t.expect(
        "
        B>C 486 INVITE
        ! LegEnded b 486
        ! LegEnded a 486
        ! Ended 486
        C>A ACK 1 sdp1[audio:0]
        C>A BYE 2 Reason: SIP;cause=486;text=\"Busy Here\"
        C>B (released)
        ",
    );
}

/// LAD-3 d, TPC-02, TPC-09: a phone that rings as one with a user does is no automaton, and is refused when the guard fires.
#[test]
fn the_guard_fires_while_the_automaton_only_rings() {
    let mut t = alice_waits();
    t.reply("b", "INVITE", 180);
    t.wait(Duration::from_secs(20));
    t.reply("b", "INVITE", 487);
    t.expect(
        "
        B>C 180 INVITE
        ! LegRinging b 180
        ... 20000 ms
        ! LegEnded a 480
        C>A ACK 1 sdp1[audio:0]
        C>B CANCEL Reason: SIP;cause=480;text=\"No answer\"
        C>A BYE 2 Reason: SIP;cause=480;text=\"No answer\"
        B>C 487 INVITE
        ! LegEnded b 480
        ! Ended 480
        C>B (released)
        ",
    );
    assert_eq!(t.call.outcome.clone().expect("an outcome").kind(), OutcomeKind::NoAnswer);
}

/// TPC-02: only who asks for Flow I gets it. Left to Carillon, the first phone is offered a session and the second one makes its own.
#[test]
fn the_flow_is_never_chosen_for_the_application() {
    for allow in [&["INVITE", "ACK", "BYE"][..], &["INVITE", "ACK", "BYE", "UPDATE", "PRACK"]] {
        for inactive_first in [false, true] {
            let mut t = Ladder::dial_with(Flow::Auto, |policy| policy.inactive_first = inactive_first);
            assert!(t.last("a", "INVITE").1.body.is_some());
            t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])).allow(allow));
            assert!(t.last("b", "INVITE").1.body.is_none());
            assert!(matches!(t.call.flow(), Flow::Iv | Flow::Ringback), "{allow:?}");
        }
    }
}

/// LAD-3 d
#[test]
fn the_automaton_answers_while_it_is_cancelled() {
    let mut t = alice_waits();
    t.reply("b", "INVITE", 180);
    t.wait(Duration::from_secs(20));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.expect(
        "
        B>C 180 INVITE
        ! LegRinging b 180
        ... 20000 ms
        ! LegEnded a 480
        C>A ACK 1 sdp1[audio:0]
        C>B CANCEL Reason: SIP;cause=480;text=\"No answer\"
        C>A BYE 2 Reason: SIP;cause=480;text=\"No answer\"
        B>C 200 INVITE sdp1[audio:5000]
        ! LegEnded b 480
        ! Ended 480
        C>B ACK 1
        C>B BYE 2 Reason: SIP;cause=480;text=\"No answer\"
        ",
    );
}

/// LAD-3 e
#[test]
fn alice_hangs_up_before_her_answer_was_acknowledged() {
    let mut t = alice_waits();
    t.reply("b", "INVITE", 180);
    t.request("a", "BYE", None);
    t.reply("b", "INVITE", 487);
    t.expect(
        "
        B>C 180 INVITE
        ! LegRinging b 180
        A>C BYE
        ! LegEnded a 487
        C>A 200 BYE
        C>A ACK 1 sdp1[audio:0]
        C>B CANCEL Reason: SIP;cause=487;text=\"Request Terminated\"
        B>C 487 INVITE
        ! LegEnded b 487
        ! Ended 487
        C>B (released)
        ",
    );
}

/// LAD-3 f
#[test]
fn alice_cannot_change_the_session_yet() {
    let mut t = alice_waits();
    t.request("a", "INVITE", Some(&sdp(&["audio 4000"])));
    t.expect(
        "
        A>C INVITE sdp1[audio:4000]
        C>A 491 INVITE
        ",
    );
}

/// LAD-3 with a refusing answer.
#[test]
fn the_automaton_refuses_every_stream() {
    let mut t = alice_waits();
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 0"])));
    t.expect(
        "
        B>C 200 INVITE sdp1[audio:0]
        ! LegAnswered b 200
        ! LegEnded b 488
        ! LegEnded a 488
        ! Ended 488
        C>B ACK 1
        C>A ACK 1 sdp1[audio:0]
        C>B BYE 2 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        C>A BYE 2 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        ",
    );
}

/// OFA-03: an offer in a reliable 18x cannot wait for the automaton, so the call goes on as Flow III.
#[test]
fn alice_offers_while_she_rings() {
    let mut t = Ladder::dial(Flow::I);
    t.reply("a", "INVITE", Answer::new(183).reliable(1).sdp(&sdp(&["audio 4000"])));
    t.reply("a", "PRACK", 200);
    t.reply("a", "INVITE", 200);
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1
        A>C 183 INVITE sdp1[audio:4000] RSeq 1
        ! LegProgress a 183
        C>A PRACK 2 sdp1[audio:9 inactive] RAck: 1 1 INVITE
        A>C 200 PRACK
        A>C 200 INVITE
        ! LegAnswered a 200
        ! LegDialing b
        C>A ACK 1
        C>B INVITE 1
        ",
    );
}

fn alice_waits() -> Ladder {
    let mut t = Ladder::dial(Flow::I);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.lines.clear();
    t
}
