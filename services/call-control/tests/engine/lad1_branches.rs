//! LAD-1 a … j: what can go wrong in Flow IV.

use std::time::Duration;

use call_control::engine::call::{Flow, OutcomeKind};
use call_control::engine::event::{Command, FailureCause};

use crate::ladder::{Answer, Ladder, sdp};

/// LAD-1 a
#[test]
fn alice_rejects_and_bob_is_never_called() {
    for (status, kind) in [
        (486, OutcomeKind::Busy),
        (480, OutcomeKind::Unreachable),
        (603, OutcomeKind::Rejected),
        (404, OutcomeKind::Unreachable),
        (499, OutcomeKind::Failed),
    ] {
        let mut t = Ladder::dial(Flow::Iv);
        t.reply("a", "INVITE", status);
        t.expect(&format!(
            "
            ! Created
            ! LegDialing a
            C>A INVITE 1 sdp1[]
            A>C {status} INVITE
            ! LegEnded a {status}
            ! Ended {status}
            C>A (released)
            "
        ));
        let outcome = t.call.outcome.clone().expect("an outcome");
        assert_eq!((outcome.kind(), outcome.sip_status, outcome.ended_by.as_str()), (kind, status, "a"));
        assert!(t.finished);
    }
}

/// LAD-1 a, AUT-05, AUT-13, UAC-13
#[test]
fn a_challenge_is_answered_once() {
    let mut t = Ladder::dial(Flow::Iv);
    let challenge = r#"Digest realm="example.com", nonce="n1", qop="auth", algorithm=MD5"#;
    t.reply("a", "INVITE", Answer::new(407).challenge(challenge));
    let (_, again) = t.last("a", "INVITE");
    assert_eq!((again.cseq, again.to_tag.as_str()), (2, ""));
    t.reply("a", "INVITE", Answer::new(407).challenge(challenge));
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1 sdp1[]
        A>C 407 INVITE
        C>A INVITE 2 sdp1[] Proxy-Authorization: nc=00000001
        A>C 407 INVITE
        ! LegEnded a 407
        ! Ended 407
        C>A (released)
        ",
    );
}

/// AUT-08, AUT-13
#[test]
fn a_stale_nonce_is_replaced_and_the_realm_is_remembered() {
    let mut t = Ladder::dial(Flow::Iv);
    let challenge = r#"Digest realm="example.com", nonce="n1", qop="auth", algorithm=MD5"#;
    t.reply("a", "INVITE", Answer::new(407).challenge(challenge));
    let stale = r#"Digest realm="example.com", nonce="n2", qop="auth", algorithm=MD5, stale=true"#;
    t.reply("a", "INVITE", Answer::new(407).challenge(stale));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t.command(Command::Hangup { reason: String::new() }).expect("a hang-up is always taken");
    t.reply("b", "INVITE", 487);
    t.reply("a", "BYE", 200);
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1 sdp1[]
        A>C 407 INVITE
        C>A INVITE 2 sdp1[] Proxy-Authorization: nc=00000001
        A>C 407 INVITE
        C>A INVITE 3 sdp1[] Proxy-Authorization: nc=00000001
        A>C 200 INVITE sdp1[]
        ! LegAnswered a 200
        ! LegDialing b
        C>A ACK 3 Proxy-Authorization: nc=00000001
        C>B INVITE 1
        API Hangup { reason: \"\" }
        ! LegEnded a 487
        C>A BYE 4 Proxy-Authorization: nc=00000002
        C>B CANCEL
        B>C 487 INVITE
        ! LegEnded b 487
        ! Ended 487
        C>B (released)
        A>C 200 BYE
        ",
    );
}

/// UAC-13: a challenge of an unknown realm is reported, not answered.
#[test]
fn a_challenge_without_credentials_is_reported() {
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", Answer::new(401).challenge(r#"Digest realm="other", nonce="n""#));
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1 sdp1[]
        A>C 401 INVITE
        ! LegEnded a 401
        ! Ended 401
        C>A (released)
        ",
    );
}

/// LAD-1 a, UAC-12
#[test]
fn redirections_are_followed_by_q_and_end() {
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", Answer::new(302).contacts(&["<sip:low@x>;q=0.2", "<sip:high@x>;q=0.9"]));
    assert_eq!(t.last("a", "INVITE").1.request_uri, "sip:high@x");
    t.reply("a", "INVITE", Answer::new(302).contacts(&["<sip:alice@example.com>", "<sip:high@x>"]));
    assert_eq!(t.last("a", "INVITE").1.request_uri, "sip:low@x");
    assert_eq!(t.last("a", "INVITE").1.cseq, 3);
    t.reply("a", "INVITE", 404);
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1 sdp1[]
        A>C 302 INVITE
        C>A INVITE 2 sdp1[]
        A>C 302 INVITE
        C>A INVITE 3 sdp1[]
        A>C 404 INVITE
        ! LegEnded a 404
        ! Ended 404
        C>A (released)
        ",
    );
}

/// UAC-12: 305 names a proxy, the target stays.
#[test]
fn a_305_goes_through_the_proxy() {
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", Answer::new(305).contacts(&["<sip:proxy@x;lr>"]));
    let (_, again) = t.last("a", "INVITE");
    assert_eq!(
        (again.request_uri.as_str(), again.route),
        ("sip:alice@example.com", vec!["<sip:proxy@x;lr>".into()])
    );
    t.reply("a", "INVITE", Answer::new(305).contacts(&["<sip:proxy@x;lr>"]));
    assert!(t.finished);
}

/// UAC-12: by policy redirections are reported.
#[test]
fn without_leave_a_redirection_is_the_end() {
    let mut t = Ladder::dial_with(Flow::Iv, |policy| policy.max_redirects = 0);
    t.reply("a", "INVITE", Answer::new(302).contacts(&["<sip:high@x>"]));
    assert!(t.finished);
    assert_eq!(t.call.outcome.expect("an outcome").sip_status, 302);
}

/// LAD-1 a and design: 488 to the offer without lines, then to the inactive line.
#[test]
fn a_phone_that_refuses_the_first_offer_is_asked_in_other_forms() {
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", 488);
    t.reply("a", "INVITE", 488);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1 sdp1[]
        A>C 488 INVITE
        C>A INVITE 2 sdp2[audio:9 inactive]
        A>C 488 INVITE
        C>A INVITE 3
        A>C 200 INVITE sdp1[audio:4000]
        ! LegAnswered a 200
        ! LegDialing b
        C>A ACK 3 sdp3[audio:9 inactive]
        C>B INVITE 1
        ",
    );
}

/// LAD-1 b
#[test]
fn alice_does_not_answer() {
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", 180);
    t.wait(Duration::from_secs(61));
    t.reply("a", "INVITE", 487);
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1 sdp1[]
        A>C 180 INVITE
        ! LegRinging a 180
        ... 60000 ms
        C>A CANCEL Reason: SIP;cause=480;text=\"No answer\"
        A>C 487 INVITE
        ! LegEnded a 480
        ! Ended 480
        C>A (released)
        ",
    );
    assert_eq!(t.call.outcome.clone().expect("an outcome").kind(), OutcomeKind::NoAnswer);
}

/// LAD-1 b, LAD-10 R3
#[test]
fn alice_answers_while_she_is_cancelled() {
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", 180);
    t.wait(Duration::from_secs(61));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t.reply("a", "BYE", 200);
    t.wait(Duration::from_secs(33));
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1 sdp1[]
        A>C 180 INVITE
        ! LegRinging a 180
        ... 60000 ms
        C>A CANCEL Reason: SIP;cause=480;text=\"No answer\"
        A>C 200 INVITE sdp1[]
        ! LegEnded a 480
        ! Ended 480
        C>A ACK 1
        C>A BYE 2 Reason: SIP;cause=480;text=\"No answer\"
        A>C 200 BYE
        ... 32000 ms
        C>A (released)
        ",
    );
    assert!(t.finished);
}

/// LAD-1 b, LAD-10 R1: nothing at all, the edge's timer B ends it.
#[test]
fn a_silent_phone_counts_as_408() {
    let mut t = Ladder::dial(Flow::Iv);
    t.silence("a", "INVITE", FailureCause::Timeout);
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1 sdp1[]
        A>C nothing to INVITE: Timeout
        ! LegEnded a 408
        ! Ended 408
        C>A (released)
        ",
    );
}

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

/// LAD-1 f, TPC-06
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
            C>A BYE 3 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
            C>B ACK 1 sdp1[audio:0]
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
    assert!((2_100..=4_000).contains(&waits.as_millis()) && waits.as_millis() % 10 == 0, "{waits:?}");
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
    assert!(waits.iter().all(|wait| *wait <= 4_000 && wait % 10 == 0), "{waits:?}");
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
        C>A BYE 3 Reason: SIP;cause=504;text=\"Guard time passed\"
        C>B ACK 1 sdp1[audio:0]
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
