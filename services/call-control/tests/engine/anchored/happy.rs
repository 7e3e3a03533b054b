//! A call that is answered.

use call_control::engine::call::{CallState, OutcomeKind};
use call_control::engine::effect::Header;
use call_control::engine::event::CallReceived;

use super::{called, connected, invite, said, value};
use crate::ladder::{Answer, Ladder, sdp};

/// SCN-10, PRK-01: bob rings, answers, and hangs up; a caller without 100rel gets an unreliable 180.
#[test]
fn a_call_is_carried_on_as_two_dialogs() {
    let mut t = called(invite());
    t.expect(
        "
        A>C INVITE sdp1[audio:4000]
        ! Created
        ! LegDialing b
        C>B INVITE 1 sdp1[audio:4000]
        ",
    );
    assert_eq!(t.call.state(), CallState::Dialing);
    t.reply("b", "INVITE", 180);
    t.expect(
        "
        B>C 180 INVITE
        ! LegRinging b 180
        C>A 180 INVITE
        ",
    );
    assert_eq!(t.call.state(), CallState::Ringing);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.expect(
        "
        B>C 200 INVITE sdp1[audio:5000]
        ! LegAnswered b 200
        ! LegAnswered a 200
        ! Connected 200
        C>B ACK 1
        C>A 200 INVITE sdp1[audio:5000]
        ",
    );
    assert_eq!(t.call.state(), CallState::Answered);
    t.ack("a", "a-invite", None);
    t.request("b", "BYE", None);
    t.expect(
        "
        A>C ACK
        B>C BYE
        ! LegEnded b 200
        ! LegEnded a 200
        ! Ended 200
        C>B 200 BYE
        C>A BYE 1
        ",
    );
    t.reply("a", "BYE", 200);
    t.wait(std::time::Duration::from_secs(80));
    assert!(t.finished);
    let outcome = t.call.outcome.clone().expect("an outcome");
    assert_eq!((outcome.kind(), outcome.ended_by.as_str()), (OutcomeKind::Completed, "b"));
}

/// UAC-15: requests to the caller follow its Record-Route as it came, to its Contact, within its dialog.
#[test]
fn requests_to_the_caller_are_within_its_dialog() {
    let routed = CallReceived { record_route: vec!["<sip:p2;lr>".into(), "<sip:p1;lr>".into()], ..invite() };
    let mut t = called(routed);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.ack("a", "a-invite", None);
    t.request("b", "BYE", None);
    let (_, bye) = t.last("a", "BYE");
    assert_eq!(bye.route, ["<sip:p2;lr>", "<sip:p1;lr>"]);
    assert_eq!((bye.request_uri.as_str(), bye.to_tag.as_str()), ("sip:alice@phone.example", "at"));
    assert_eq!(
        (bye.from_uri.as_str(), bye.to_uri.as_str()),
        ("sip:bob@example.com", "sip:alice@example.com")
    );
    assert_eq!((bye.sip_call_id.as_str(), bye.flow.as_str()), ("call-of-alice", "flow"));
    assert_eq!(bye.from_tag, said(&t, "a-invite").to_tag, "the tag that its 200 had");
}

/// UAC-25: the other leg has a hop less and the same breadth, whoever calls is shown, and headers for bob go on.
#[test]
fn the_other_leg_is_the_callers() {
    let mut invite = CallReceived { max_forwards: 12, max_breadth: 7, ..invite() };
    invite.headers = [
        ("Subject", "lunch"),
        ("Alert-Info", "<urn:alert:source:internal>"),
        ("Diversion", "<sip:x@example.com>;reason=deflection"),
        ("Proxy-Authorization", "Digest secret"),
        ("P-Asserted-Identity", "<sip:boss@example.com>"),
    ]
    .map(|(name, value)| Header::new(name, value))
    .to_vec();
    let t = called(invite);
    let (_, invite) = t.last("b", "INVITE");
    assert_eq!((invite.max_forwards, invite.max_breadth), (11, 7));
    assert_eq!((invite.from_uri.as_str(), invite.from_display.as_str()), ("sip:alice@example.com", "Alice"));
    assert_eq!(
        (invite.request_uri.as_str(), invite.to_uri.as_str()),
        ("sip:bob@example.com", "sip:bob@example.com")
    );
    assert_ne!(invite.sip_call_id, "call-of-alice");
    assert_eq!(value(&invite.headers, "Subject"), Some("lunch"));
    assert_eq!(value(&invite.headers, "Alert-Info"), Some("<urn:alert:source:internal>"));
    assert!(value(&invite.headers, "Diversion").is_some());
    assert_eq!(value(&invite.headers, "Proxy-Authorization"), None);
    assert_eq!(value(&invite.headers, "P-Asserted-Identity"), None, "a phone does not say who it is");
}

/// UPD-01, CCL-12, IMI-05: the 2xx to a caller says what Carillon can do; EVT-01: and how a REFER goes on it tells of (RFC 6665 4.4.4).
#[test]
fn the_answer_says_what_carillon_can_do() {
    let mut t = called(invite());
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    let answer = said(&t, "a-invite");
    assert_eq!(
        value(&answer.headers, "Allow"),
        Some("INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, REFER, NOTIFY")
    );
    assert_eq!(value(&answer.headers, "Supported"), Some("100rel, timer, replaces, join, tdialog"));
    assert_eq!(value(&answer.headers, "Recv-Info"), Some(""));
    assert_eq!(value(&answer.headers, "Allow-Events"), Some("refer"));
}

/// UAC-08, TMR-02: what is applied is named in Require and was in Supported, and nobody is asked for more.
#[test]
fn an_extension_is_applied_only_to_who_has_it() {
    let answer = |supported: &[&str], headers: &[(&str, &str)]| {
        let asked = CallReceived {
            supported: supported.iter().map(|tag| tag.to_string()).collect(),
            headers: headers.iter().map(|(name, value)| Header::new(name, value)).collect(),
            ..invite()
        };
        let mut t = Ladder::called(asked, |_| {});
        t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
        let said = said(&t, "a-invite");
        let of = |name: &str| value(&said.headers, name).unwrap_or_default().to_owned();
        (of("Require"), of("Session-Expires"))
    };
    let pair = |require: &str, session: &str| (require.to_owned(), session.to_owned());
    assert_eq!(answer(&[], &[]), pair("", "1800;refresher=uas"));
    assert_eq!(answer(&["timer"], &[("Session-Expires", "600")]), pair("timer", "600;refresher=uac"));
    assert_eq!(answer(&["timer"], &[("x", "600;refresher=uas")]), pair("", "600;refresher=uas"));
    // A proxy has put it there, on behalf of a phone that knows nothing of it
    assert_eq!(answer(&[], &[("Session-Expires", "600")]), pair("", "600;refresher=uas"));
    assert_eq!(answer(&["timer"], &[("Min-SE", "3600")]), pair("", "3600;refresher=uas"));
}

/// TMR-02: a caller without session timers is asked whether it is still there.
#[test]
fn the_session_of_a_caller_is_refreshed() {
    let mut t = Ladder::called(invite(), |_| {});
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.ack("a", "a-invite", None);
    t.wait(std::time::Duration::from_secs(900));
    let (_, update) = t.last("a", "UPDATE");
    assert_eq!(value(&update.headers, "Session-Expires"), Some("1800;refresher=uac"));
    t.reply("a", "UPDATE", 481);
    assert!(t.call.outcome.is_some(), "its phone is gone");
}

/// UAC-18: a callee does not hang up before the ACK; bob, who hangs up at once, waits for alice.
#[test]
fn the_caller_is_not_hung_up_on_before_its_ack() {
    let mut t = called(invite());
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.lines.clear();
    t.request("b", "BYE", None);
    t.expect(
        "
        B>C BYE
        ! LegEnded b 200
        C>B 200 BYE
        ",
    );
    t.ack("a", "a-invite", None);
    t.expect(
        "
        A>C ACK
        ! LegEnded a 200
        ! Ended 200
        C>A BYE 1
        ",
    );
}

/// UAC-12: who is called may be redirected, as on any leg that Carillon dials.
#[test]
fn a_redirection_of_the_callee_is_followed() {
    let mut t = called(invite());
    t.reply("b", "INVITE", Answer::new(302).contacts(&["<sip:carol@example.com>"]));
    assert_eq!(t.last("b", "INVITE").1.request_uri, "sip:carol@example.com");
    assert!(t.call.outcome.is_none());
    connected();
}
