//! INFO and key presses between connected parties, and of the application: IMI-04, IMI-06.

use call_control::engine::StepError;
use call_control::engine::call::{CallState, Flow};
use call_control::engine::effect::{Body, Header};
use call_control::engine::event::{Command, Event, FailureCause};

use crate::connected::connected;
use crate::ladder::{Answer, Ladder, sdp};

/// IMI-06, TPC-07
#[test]
fn info_crosses_the_legs() {
    let mut t = connected();
    let digits = Body {
        content_type: "application/dtmf-relay".into(),
        content_disposition: String::new(),
        content: b"Signal=5".to_vec(),
    };
    t.request_with("a", "INFO", Some(digits.clone()), Vec::new());
    t.reply("b", "INFO", 200);
    t.take(&Event::Command(inform("b", digits.clone(), "1"))).expect("the leg is up");
    t.reply("b", "INFO", 415);
    let unknown = t.take(&Event::Command(inform("c", digits, "2")));
    assert_eq!(unknown, Err(StepError::UnknownLeg("c".into())));
    t.expect(
        "
        A>C INFO <application/dtmf-relay: Signal=5>
        ! InfoReceived a
        C>B INFO 2 <application/dtmf-relay: Signal=5>
        B>C 200 INFO
        C>A 200 INFO
        C>B INFO 3 <application/dtmf-relay: Signal=5>
        B>C 415 INFO
        ",
    );
}

/// IMI-04, IMI-06: the application finds what the phone answered, by its ticket.
#[test]
fn info_of_the_application_is_answered_by_the_phone() {
    let mut t = connected();
    let text =
        Body { content_type: "text/x".into(), content_disposition: String::new(), content: b"1".to_vec() };
    t.take(&Event::Command(inform("a", text.clone(), "one"))).expect("the leg is up");
    assert!(t.call.waits_for("one"));
    t.reply("a", "INFO", 415);
    assert!(!t.call.waits_for("one"));
    let answer = t.call.answers.last().expect("an answer").clone();
    assert_eq!((answer.ticket.as_str(), answer.sip_status), ("one", 415));
    assert_eq!(t.call.state(), CallState::Answered, "a refused INFO ends nothing");
    t.take(&Event::Command(inform("a", text.clone(), "two"))).expect("the leg is up");
    t.silence("a", "INFO", FailureCause::Timeout);
    assert_eq!(t.call.answers.last().map(|answer| answer.sip_status), Some(408));
    // Not more at once than are answered in any reasonable time
    for number in 0..8 {
        t.take(&Event::Command(inform("b", text.clone(), &number.to_string()))).expect("there is room");
    }
    assert_eq!(t.take(&Event::Command(inform("b", text, "9"))), Err(StepError::Conflict));
}

/// IMI-04: a package goes only to a phone that has said that it takes it.
#[test]
fn info_of_a_package_needs_recv_info() {
    let package = |leg_id: &str| Command::SendInfo {
        leg_id: leg_id.into(),
        body: None,
        package: "x-note".into(),
        ticket: "t".into(),
    };
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])).header("Recv-Info", "x-other, X-Note"));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    let none = StepError::NotTaken(String::new());
    assert_eq!(t.take(&Event::Command(package("b"))), Err(none));
    t.take(&Event::Command(package("a"))).expect("it takes it");
    let (_, info) = t.last("a", "INFO");
    assert!(info.headers.contains(&Header::new("Info-Package", "x-note")), "{:?}", info.headers);
}

/// IMI-06: key presses go one after the other, and a phone that takes none is not asked again.
#[test]
fn key_presses_are_sent_one_after_the_other() {
    let press = |digits: &str, ticket: &str| Command::SendKeys {
        leg_id: "b".into(),
        digits: digits.into(),
        duration_ms: 160,
        ticket: ticket.into(),
    };
    let mut t = connected();
    t.take(&Event::Command(press("1#", "k"))).expect("the leg is up");
    assert_eq!(t.take(&Event::Command(press("2", "l"))), Err(StepError::Conflict));
    t.reply("b", "INFO", 200);
    t.reply("b", "INFO", 200);
    t.take(&Event::Command(press("89", "m"))).expect("the others are through");
    t.reply("b", "INFO", 415);
    t.expect(
        "
        C>B INFO 2 <application/dtmf-relay: Signal=1\\r\\nDuration=160>
        B>C 200 INFO
        C>B INFO 3 <application/dtmf-relay: Signal=#\\r\\nDuration=160>
        B>C 200 INFO
        C>B INFO 4 <application/dtmf-relay: Signal=8\\r\\nDuration=160>
        B>C 415 INFO
        ",
    );
    let answers: Vec<_> = t.call.answers.iter().map(|answer| (&*answer.ticket, answer.sip_status)).collect();
    assert_eq!(answers, [("k", 200), ("m", 415)]);
}

fn inform(leg_id: &str, body: Body, ticket: &str) -> Command {
    Command::SendInfo {
        leg_id: leg_id.into(),
        body: Some(body),
        package: String::new(),
        ticket: ticket.into(),
    }
}

/// A phone that does not answer INFO stays in the call.
#[test]
fn unanswered_info_is_a_gateway_timeout() {
    let mut t = connected();
    t.request("a", "INFO", None);
    t.silence("b", "INFO", FailureCause::Timeout);
    t.expect(
        "
        A>C INFO
        ! InfoReceived a
        C>B INFO 2
        B>C nothing to INFO: Timeout
        C>A 504 INFO
        ",
    );
    assert_eq!(t.call.state(), CallState::Answered);
}
