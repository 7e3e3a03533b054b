//! LAD-1 a and b: the first leg does not come about in Flow IV; what another attempt can heal.

use std::time::Duration;

use call_control::engine::Redirects;
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

/// RFC 3261 13.2.1: a 2xx that does not answer the offer ends the call in every flow, and Bob is never rung.
#[test]
fn an_offer_that_alice_does_not_answer_ends_the_call() {
    for (flow, body) in
        [(Flow::Iv, ""), (Flow::Iv, "no session\r\n"), (Flow::Ringback, ""), (Flow::I, ""), (Flow::Iii, "")]
    {
        let mut t = Ladder::dial(flow);
        t.lines.clear();
        let answer = Answer::new(200);
        t.reply("a", "INVITE", if body.is_empty() { answer } else { answer.sdp(body) });
        t.reply("a", "BYE", 200);
        let after: Vec<&str> = t.lines.iter().skip(1).map(String::as_str).collect();
        let reason = if flow == Flow::Iv || flow == Flow::Ringback { "No answer in 2xx" } else { "No offer" };
        let bye = format!("C>A BYE 2 Reason: SIP;cause=488;text=\"{reason}\"");
        let expected =
            ["! LegAnswered a 200", "! LegEnded a 488", "! Ended 488", "C>A ACK 1", &bye, "A>C 200 BYE"];
        assert_eq!(after, expected, "{flow:?} {body:?}");
        assert_eq!(t.call.legs.len(), 1, "{flow:?}: Bob was called");
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
        C>B CANCEL
        C>A BYE 4 Proxy-Authorization: nc=00000002
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

/// LAD-1 a: a phone leads Carillon to users of our domains only, neither by 302 nor by 305 to a host of its choice.
#[test]
fn a_redirection_leads_to_our_own_users_only() {
    for (status, contacts, next) in [
        (302, vec!["<sip:alice@192.0.2.9:6379>", "<tel:+19005551234>"], None),
        (
            302,
            vec!["<sip:alice@192.0.2.9>;q=0.9", "<sip:carol@example.com>;q=0.1"],
            Some("sip:carol@example.com"),
        ),
        (305, vec!["<sip:192.0.2.9:6379;lr>"], None),
    ] {
        let mut t = Ladder::dial(Flow::Iv);
        t.context.redirects = Redirects::within(["example.com"]);
        t.reply("a", "INVITE", Answer::new(status).contacts(&contacts));
        match next {
            Some(next) => assert_eq!(t.last("a", "INVITE").1.request_uri, next),
            None => {
                assert!(t.finished, "{contacts:?} was followed");
                assert_eq!(t.call.outcome.expect("an outcome").sip_status, status);
            }
        }
    }
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

/// ALC-10: the number that is dialled is lent: who has it is called by its own name, in To as well, in this INVITE and in all that follows; a
/// 3xx of that phone leads to where a 3xx leads, and a number that leads to a number to nobody.
#[test]
fn a_number_that_is_lent_is_named_to_nobody() {
    let mut t = Ladder::dial_to("tel:+13125550100", "sip:bob@example.com", Flow::Iv, |_| {});
    t.lines.clear();
    t.reply("a", "INVITE", Answer::new(302).callee("sip:line200@office.example"));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t.expect(
        "
        A>C 302 INVITE
        C>A INVITE 2 sdp1[]
        A>C 200 INVITE sdp1[]
        ! LegAnswered a 200
        ! LegDialing b
        C>A ACK 2
        C>B INVITE 1
        ",
    );
    t.request("a", "BYE", None);
    for (leg, _, sent) in t.sent.iter().filter(|(leg, ..)| leg == "a").skip(1) {
        assert_eq!(sent.to_uri, "sip:line200@office.example", "{leg} {}", sent.method);
        assert!(!format!("{sent:?}").contains("3125550100"), "{sent:?}");
    }
    assert_eq!(t.last("a", "INVITE").1.request_uri, "sip:line200@office.example");

    let mut t = Ladder::dial_to("tel:+13125550100", "sip:bob@example.com", Flow::Iv, |_| {});
    t.reply("a", "INVITE", Answer::new(302).callee("tel:+13125550101"));
    t.reply("a", "INVITE", Answer::new(302).callee("tel:+13125550102"));
    assert_eq!(t.call.outcome.as_ref().map(|outcome| outcome.sip_status), Some(302));
}
