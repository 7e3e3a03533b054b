//! LAD-1 c … j: what can go wrong in Flow IV once the first leg is up.

use std::time::Duration;

use call_control::engine::call::{CallState, Flow, OutcomeKind};
use call_control::engine::event::FailureCause;

use crate::ladder::{Answer, Ladder, sdp};

/// LAD-1 c, TPC-05
#[test]
fn bob_is_busy() {
    let mut t = alice_is_up();
    t.reply("b", "INVITE", 486);
    t.reply("a", "BYE", 200);
    t.expect(
        "
        B>C 486 INVITE
        ! LegEnded b 486
        ! LegEnded a 486
        ! Ended 486
        C>A BYE 2 Reason: SIP;cause=486;text=\"Busy Here\"
        C>B (released)
        A>C 200 BYE
        ",
    );
    assert_eq!(t.call.outcome.clone().expect("an outcome").kind(), OutcomeKind::Busy);
}

/// LAD-1 d
#[test]
fn bob_does_not_answer() {
    let mut t = alice_is_up();
    t.reply("b", "INVITE", 180);
    t.wait(Duration::from_secs(61));
    t.reply("a", "BYE", 200);
    t.reply("b", "INVITE", 487);
    t.expect(
        "
        B>C 180 INVITE
        ! LegRinging b 180
        ... 32000 ms
        ... 28000 ms
        ! LegEnded a 480
        C>B CANCEL Reason: SIP;cause=480;text=\"No answer\"
        C>A BYE 2 Reason: SIP;cause=480;text=\"No answer\"
        A>C 200 BYE
        C>A (released)
        B>C 487 INVITE
        ! LegEnded b 480
        ! Ended 480
        C>B (released)
        ",
    );
    assert_eq!(t.call.outcome.clone().expect("an outcome").kind(), OutcomeKind::NoAnswer);
}

/// LAD-1 d, LAD-10 R3
#[test]
fn bob_answers_while_he_is_cancelled() {
    let mut t = alice_is_up();
    t.reply("b", "INVITE", 180);
    t.wait(Duration::from_secs(61));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.expect(
        "
        B>C 180 INVITE
        ! LegRinging b 180
        ... 32000 ms
        ... 28000 ms
        ! LegEnded a 480
        C>B CANCEL Reason: SIP;cause=480;text=\"No answer\"
        C>A BYE 2 Reason: SIP;cause=480;text=\"No answer\"
        B>C 200 INVITE sdp1[audio:5000]
        ! LegEnded b 480
        ! Ended 480
        C>B ACK 1 sdp1[audio:0]
        C>B BYE 2 Reason: SIP;cause=480;text=\"No answer\"
        ",
    );
}

/// LAD-1 d: 408 from the network.
#[test]
fn the_network_gives_up_on_bob() {
    let mut t = alice_is_up();
    t.reply("b", "INVITE", 408);
    t.expect(
        "
        B>C 408 INVITE
        ! LegEnded b 408
        ! LegEnded a 408
        ! Ended 408
        C>A BYE 2 Reason: SIP;cause=408;text=\"Request Timeout\"
        C>B (released)
        ",
    );
    assert_eq!(t.call.outcome.clone().expect("an outcome").kind(), OutcomeKind::Unreachable);
}

/// LAD-1 e
#[test]
fn alice_hangs_up_while_bob_rings() {
    let mut t = alice_is_up();
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
        C>B CANCEL Reason: SIP;cause=487;text=\"Request Terminated\"
        B>C 487 INVITE
        ! LegEnded b 487
        ! Ended 487
        C>B (released)
        ",
    );
    assert_eq!(t.call.outcome.clone().expect("an outcome").kind(), OutcomeKind::Cancelled);
}

/// LAD-1 e
#[test]
fn alice_hangs_up_when_bob_has_answered() {
    let mut t = bob_has_answered();
    t.request("a", "BYE", None);
    t.reply("b", "BYE", 200);
    t.reply("a", "INVITE", 481);
    t.expect(
        "
        A>C BYE
        ! LegEnded a 487
        ! LegEnded b 487
        ! Ended 487
        C>A 200 BYE
        C>B ACK 1 sdp1[audio:0]
        C>B BYE 2 Reason: SIP;cause=487;text=\"Request Terminated\"
        B>C 200 BYE
        A>C 481 INVITE
        ",
    );
}

/// LAD-1 f, TPC-06, UPD-02, UPD-03, OFA-02
#[test]
fn alices_own_offers_come_too_early() {
    let mut t = alice_is_up();
    t.request("a", "INVITE", Some(&sdp(&["audio 4000 sendonly"])));
    t.request("a", "UPDATE", Some(&sdp(&["audio 4000 sendonly"])));
    t.request("a", "UPDATE", None);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.request("a", "INVITE", Some(&sdp(&["audio 4000 sendonly"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.request("a", "INVITE", Some(&sdp(&["audio 4000 sendonly"])));
    t.expect(
        "
        A>C INVITE sdp1[audio:4000 sendonly]
        C>A 491 INVITE
        A>C UPDATE sdp1[audio:4000 sendonly]
        C>A 491 UPDATE
        A>C UPDATE
        C>A 200 UPDATE
        B>C 200 INVITE sdp1[audio:5000]
        ! LegAnswered b 200
        C>A INVITE 2 sdp2[audio:5000]
        A>C INVITE sdp1[audio:4000 sendonly]
        C>A 491 INVITE
        A>C 200 INVITE sdp1[audio:4000]
        ! Connected 200
        C>B ACK 1 sdp1[audio:4000]
        C>A ACK 2
        A>C INVITE sdp1[audio:4000 sendonly]
        C>B INVITE 2 sdp2[audio:4000 sendonly]
        ",
    );
}

/// LAD-1 g
#[test]
fn alice_refuses_the_session() {
    for status in [488, 606, 415] {
        let mut t = bob_has_answered();
        t.reply("a", "INVITE", status);
        t.expect(&format!(
            "
            A>C {status} INVITE
            ! LegEnded a {status}
            ! LegEnded b {status}
            ! Ended {status}
            C>B ACK 1 sdp1[audio:0]
            C>A BYE 3 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
            C>B BYE 2 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
            "
        ));
    }
}

/// LAD-1 g, UAC-21
#[test]
fn glare_with_alice_is_waited_out() {
    let mut t = bob_has_answered();
    t.reply("a", "INVITE", 491);
    let waits = t.due.expect("a retry") - t.now;
    assert!(
        (2_100..=4_000).contains(&waits.as_millis()) && waits.as_millis().is_multiple_of(10),
        "{waits:?}"
    );
    t.wait(Duration::from_secs(4));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        A>C 491 INVITE
        ... 3220 ms
        C>A INVITE 3 sdp2[audio:5000]
        A>C 200 INVITE sdp1[audio:4000]
        ! Connected 200
        C>B ACK 1 sdp1[audio:4000]
        C>A ACK 3
        ",
    );
}

/// UAC-21: 50 glares, all within the owner's window, in steps of 10 ms, and not all the same.
#[test]
fn the_owner_of_the_call_id_waits_between_2_1_and_4_seconds() {
    let mut waits = Vec::new();
    for _ in 0..5 {
        let mut t = bob_has_answered();
        while t.call.outcome.is_none() && waits.len() < 50 {
            t.reply("a", "INVITE", 491);
            let wait = (t.due.expect("a retry or the guard") - t.now).as_millis();
            waits.push(wait);
            t.wait(Duration::from_millis(wait as u64));
        }
    }
    waits.dedup();
    assert!(waits.len() > 10);
    assert!(waits.iter().all(|wait| *wait <= 4_000 && wait.is_multiple_of(10)), "{waits:?}");
}

/// LAD-1 g
#[test]
fn alice_is_gone_when_the_session_comes() {
    let mut t = bob_has_answered();
    t.reply("a", "INVITE", 481);
    t.expect(
        "
        A>C 481 INVITE
        ! LegEnded a 481
        ! LegEnded b 481
        ! Ended 481
        C>A BYE 3
        C>B ACK 1 sdp1[audio:0]
        C>B BYE 2 Reason: SIP;cause=481;text=\"Call/Transaction Does Not Exist\"
        ",
    );
    let mut t = bob_has_answered();
    t.silence("a", "INVITE", FailureCause::Timeout);
    t.expect(
        "
        A>C nothing to INVITE: Timeout
        ! LegEnded a 408
        ! LegEnded b 408
        ! Ended 408
        C>A BYE 3
        C>B ACK 1 sdp1[audio:0]
        C>B BYE 2 Reason: SIP;cause=408;text=\"Request Timeout\"
        ",
    );
}

/// LAD-1 g, TPC-09
#[test]
fn the_guard_fires_when_alice_does_not_answer_the_session() {
    let mut t = bob_has_answered();
    t.wait(Duration::from_secs(21));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        ... 20000 ms
        ! LegEnded a 504
        ! LegEnded b 504
        ! Ended 504
        C>B ACK 1 sdp1[audio:0]
        C>A BYE 3 Reason: SIP;cause=504;text=\"Guard time passed\"
        C>B BYE 2 Reason: SIP;cause=504;text=\"Guard time passed\"
        A>C 200 INVITE sdp1[audio:4000]
        C>A ACK 2
        ",
    );
}

/// LAD-1 h
#[test]
fn alice_refuses_every_stream() {
    let mut t = bob_has_answered();
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 0"])));
    t.expect(
        "
        A>C 200 INVITE sdp1[audio:0]
        ! LegEnded a 488
        ! LegEnded b 488
        ! Ended 488
        C>B ACK 1 sdp1[audio:0]
        C>A ACK 2
        C>A BYE 3 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        C>B BYE 2 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        ",
    );
}

/// LAD-1 h, UAC-11: key presses alone are no conversation, unless that is what was offered.
#[test]
fn alice_has_none_of_the_codecs_and_answers_with_key_presses() {
    let presses = |port: u16| {
        let line = "RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000\r\n";
        sdp(&[&format!("audio {port}")]).replace("RTP/AVP 0\r\n", line)
    };
    let mut t = bob_has_answered();
    t.reply("a", "INVITE", Answer::new(200).sdp(&presses(4000)));
    t.expect(
        "
        A>C 200 INVITE sdp1[audio:4000]
        ! LegEnded a 488
        ! LegEnded b 488
        ! Ended 488
        C>B ACK 1 sdp1[audio:4000]
        C>A ACK 2
        C>A BYE 3 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        C>B BYE 2 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        ",
    );
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t.reply("b", "INVITE", Answer::new(200).sdp(&presses(5000)));
    t.reply("a", "INVITE", Answer::new(200).sdp(&presses(4000)));
    assert_eq!(t.call.state(), CallState::Answered);
}

/// LAD-1 i, UAC-17
#[test]
fn bob_forks() {
    let mut t = bob_has_answered();
    t.reply("b", "INVITE", Answer::new(200).tag("b2").sdp(&sdp(&["audio 6000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        B>C 200 INVITE sdp1[audio:6000] (tag b2)
        C>B ACK 1 sdp1[audio:0]
        C>B BYE 2
        A>C 200 INVITE sdp1[audio:4000]
        ! Connected 200
        C>B ACK 1 sdp1[audio:4000]
        C>A ACK 2
        ",
    );
}

/// LAD-1 j
#[test]
fn bob_hangs_up_before_he_was_acknowledged() {
    let mut t = bob_has_answered();
    t.request("b", "BYE", None);
    t.expect(
        "
        B>C BYE
        ! LegEnded b 487
        ! LegEnded a 487
        ! Ended 487
        C>B 200 BYE
        C>B ACK 1 sdp1[audio:0]
        C>A BYE 3 Reason: SIP;cause=487;text=\"Request Terminated\"
        ",
    );
}

/// TPC-04
#[test]
fn lines_that_alice_lacks_are_refused_and_kept_in_place() {
    let mut t = alice_is_up();
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["video 5002", "audio 5000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["video 0", "audio 4000"])));
    t.request("b", "INVITE", Some(&sdp(&["video 5002", "audio 5000 sendonly"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["video 0", "audio 4000 recvonly"])));
    t.expect(
        "
        B>C 200 INVITE sdp1[video:5002, audio:5000]
        ! LegAnswered b 200
        C>A INVITE 2 sdp2[video:5002, audio:5000]
        A>C 200 INVITE sdp1[video:0, audio:4000]
        ! Connected 200
        C>B ACK 1 sdp1[video:0, audio:4000]
        C>A ACK 2
        B>C INVITE sdp1[video:5002, audio:5000 sendonly]
        C>A INVITE 3 sdp3[video:5002, audio:5000 sendonly]
        A>C 200 INVITE sdp1[video:0, audio:4000 recvonly]
        C>A ACK 3
        C>B 200 INVITE sdp2[video:0, audio:4000 recvonly]
        ",
    );
}

fn alice_is_up() -> Ladder {
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t.lines.clear();
    t
}

fn bob_has_answered() -> Ladder {
    let mut t = alice_is_up();
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.lines.clear();
    t
}
