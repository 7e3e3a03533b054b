//! Transfer by REFER to the phone.

use std::time::Duration;

use call_control::engine::call::{CallState, Flow, OutcomeKind, Party};
use call_control::engine::effect::{Body, Header};
use call_control::engine::event::{FailureCause, Method, Target};
use call_control::engine::stage::Stage;

use crate::ladder::{Answer, Ladder, sdp};

/// CCL-02, CCL-03, LAD-9 4–11: 202 counts as 200, and the call is let go when the phone says that it has succeeded.
#[test]
fn a_phone_that_was_referred_calls_itself() {
    let mut t = referred(Method::Auto);
    t.reply("a", "REFER", 202);
    notify(&mut t, "refer", "active;expires=60", "SIP/2.0 100 Trying");
    notify(&mut t, "refer;id=3", "active;expires=60", "SIP/2.0 180 Ringing");
    notify(&mut t, "refer", "terminated;reason=noresource", "SIP/2.0 200 OK");
    t.reply("a", "BYE", 200);
    t.reply("b", "BYE", 200);
    t.expect(
        "
        API transfer a
        ! TransferStarted a
        C>A REFER 3 Refer-To: <sip:carol@example.com> Referred-By: <sip:bob@example.com>
        A>C 202 REFER
        A>C NOTIFY <message/sipfrag: SIP/2.0 100 Trying>
        C>A 200 NOTIFY
        A>C NOTIFY <message/sipfrag: SIP/2.0 180 Ringing>
        C>A 200 NOTIFY
        A>C NOTIFY <message/sipfrag: SIP/2.0 200 OK>
        ! TransferSucceeded a 200
        ! LegEnded a 200
        ! LegEnded b 200
        ! Ended 200
        C>A 200 NOTIFY
        C>A BYE 4
        C>B BYE 2
        A>C 200 BYE
        B>C 200 BYE
        ",
    );
    let outcome = t.call.outcome.clone().expect("an outcome");
    assert_eq!((outcome.kind(), outcome.ended_by.as_str()), (OutcomeKind::Completed, "api"));
}

/// CCL-07: the target is busy, and the two go on.
#[test]
fn a_refused_target_leaves_the_call_as_it_was() {
    let mut t = referred(Method::Refer);
    t.reply("a", "REFER", 200);
    t.lines.clear();
    notify(&mut t, "refer", "terminated;reason=noresource", "SIP/2.0 486 Busy Here");
    t.request("a", "INFO", None);
    t.expect(
        "
        A>C NOTIFY <message/sipfrag: SIP/2.0 486 Busy Here>
        ! TransferFailed a 486
        C>A 200 NOTIFY
        A>C INFO
        ! InfoReceived a
        C>B INFO 2
        ",
    );
    assert_eq!(t.call.state(), CallState::Answered);
}

/// CCL-03, EVT-05: the NOTIFY may come before the answer to the REFER.
#[test]
fn an_early_notify_counts() {
    let mut t = referred(Method::Refer);
    notify(&mut t, "refer", "active", "SIP/2.0 100 Trying");
    t.reply("a", "REFER", 200);
    notify(&mut t, "refer", "terminated", "SIP/2.0 200 OK");
    assert_eq!(ends(&t), ["! TransferSucceeded a 200"]);
}

/// LAD-9: a phone that does not do it is sent a re-INVITE instead, under AUTO; asked for REFER alone, the transfer fails.
#[test]
fn a_phone_that_refuses_refer_is_moved_by_carillon() {
    for status in [403, 405, 420, 429, 501, 603] {
        let mut t = referred(Method::Auto);
        t.reply("a", "REFER", status);
        t.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000"])));
        t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
        assert_eq!(ends(&t), ["! TransferSucceeded a 200"], "{status}");
        let started = t.lines.iter().filter(|line| line.contains("TransferStarted")).count();
        assert_eq!((started, t.call.state()), (1, CallState::Answered), "{status}");
        let mut t = referred(Method::Refer);
        t.reply("a", "REFER", status);
        assert_eq!(ends(&t), [format!("! TransferFailed a {status}")]);
        assert_eq!(t.call.state(), CallState::Answered);
    }
}

/// AUTO asks only phones that allow it.
#[test]
fn a_phone_without_refer_is_not_asked() {
    let mut t = Ladder::connected("call-1");
    t.transfer_by("a", carol(), Method::Auto).expect("they talk");
    assert!(!t.sent.iter().any(|(_, _, request)| request.method == "REFER"));
}

/// A phone that tells nothing, or nonsense, leaves one clear end.
#[test]
fn whatever_the_phone_says_there_is_one_end() {
    type Say = fn(&mut Ladder);
    let ways: [(&str, Say, &str); 7] = [
        ("nothing", |t| t.wait(Duration::from_secs(181)), "! TransferFailed a 408"),
        (
            "an end without outcome",
            |t| notify(t, "refer", "terminated;reason=timeout", "x"),
            "! TransferFailed a 500",
        ),
        (
            "only that it tries",
            |t| {
                notify(t, "refer", "active;expires=20", "SIP/2.0 100 Trying");
                t.wait(Duration::from_secs(21));
            },
            "! TransferFailed a 408",
        ),
        (
            "the end twice",
            |t| {
                notify(t, "refer", "terminated", "SIP/2.0 603 Decline");
                notify(t, "refer", "terminated", "SIP/2.0 200 OK");
            },
            "! TransferFailed a 603",
        ),
        ("BYE", |t| drop(t.request("a", "BYE", None)), "! TransferFailed a 487"),
        (
            "nothing to REFER at all",
            |t| t.silence("a", "REFER", FailureCause::Timeout),
            "! TransferFailed a 408",
        ),
        ("481 to REFER", |t| t.reply("a", "REFER", 481), "! TransferFailed a 481"),
    ];
    for (name, say, end) in ways {
        let mut t = referred(Method::Refer);
        if !name.contains("REFER") {
            t.reply("a", "REFER", 200);
        }
        say(&mut t);
        assert_eq!(ends(&t), [end], "{name}");
    }
}

/// EVT-05: the first NOTIFY is waited for as long as a transaction lasts, and those that follow as long as the subscription.
#[test]
fn the_first_notify_comes_within_timer_n() {
    let mut t = referred(Method::Refer);
    t.wait(Duration::from_secs(40));
    t.reply("a", "REFER", 200);
    t.wait(Duration::from_millis(31_999));
    assert!(ends(&t).is_empty());
    t.wait(Duration::from_millis(2));
    assert_eq!(ends(&t), ["! TransferFailed a 408"]);
    let mut t = referred(Method::Refer);
    notify(&mut t, "refer", "active;expires=120", "SIP/2.0 100 Trying");
    t.reply("a", "REFER", 200);
    t.wait(Duration::from_secs(119));
    notify(&mut t, "refer", "terminated", "SIP/2.0 200 OK");
    assert_eq!(ends(&t), ["! TransferSucceeded a 200"]);
}

/// LAD-9: a phone that says for ever that it tries, and for how many years it will, has no more time than one that rings.
#[test]
fn a_phone_that_tries_for_ever_is_not_waited_for() {
    let mut t = referred(Method::Refer);
    t.reply("a", "REFER", 200);
    for _ in 0..11 {
        notify(&mut t, "refer", "active;expires=315360000", "SIP/2.0 180 Ringing");
        t.wait(Duration::from_secs(16));
        assert!(ends(&t).is_empty());
    }
    t.wait(Duration::from_secs(4));
    assert_eq!(ends(&t), ["! TransferFailed a 408"]);
    assert_eq!(t.call.state(), CallState::Answered);
    t.lines.clear();
    notify(&mut t, "refer", "terminated", "SIP/2.0 200 OK");
    assert_eq!(t.lines.last().map(String::as_str), Some("C>A 481 NOTIFY"));
    t.transfer_by("a", carol(), Method::Refer).expect("it can be tried again");
}

/// The same of a transfer that was begun before there was a bound: it counts from its next word on.
#[test]
fn a_transfer_of_an_older_record_ends_too() {
    let mut t = referred(Method::Refer);
    t.reply("a", "REFER", 200);
    let Some(Stage::Referring(referring)) = &mut t.call.stage else { panic!("{:?}", t.call.stage) };
    referring.until_ms = 0;
    for _ in 0..2 {
        notify(&mut t, "refer", "active;expires=315360000", "SIP/2.0 180 Ringing");
        t.wait(Duration::from_secs(90));
    }
    assert_eq!(ends(&t), ["! TransferFailed a 408"]);
}

/// CCL-03, EVT-05: a NOTIFY that does not say how the subscription is, or whose body is no fragment, is no word about the transfer.
#[test]
fn a_notify_that_is_none_is_refused_and_decides_nothing() {
    let state = Header::new("Subscription-State", "terminated;reason=noresource");
    let fragment = |content_type: &str| Body {
        content_type: content_type.into(),
        content_disposition: String::new(),
        content: b"SIP/2.0 200 OK\r\n".to_vec(),
    };
    let ways = [
        ("message/sipfrag", None, 400),
        ("message/sipfrag", Some(Header::new("Subscription-State", ";;")), 400),
        ("text/plain", Some(state.clone()), 415),
        ("message/sipfrag;version=3.0", Some(state.clone()), 415),
        ("", Some(state.clone()), 415),
    ];
    for (content_type, state, status) in ways {
        let mut t = referred(Method::Refer);
        t.reply("a", "REFER", 200);
        t.lines.clear();
        let headers = [Header::new("Event", "refer")].into_iter().chain(state).collect();
        t.request_with("a", "NOTIFY", Some(fragment(content_type)), headers);
        let answer = t.lines.last().cloned().unwrap_or_default();
        assert!(answer.starts_with(&format!("C>A {status} NOTIFY")), "{content_type}: {answer}");
        t.wait(Duration::from_secs(33));
        assert_eq!(ends(&t), ["! TransferFailed a 408"], "{content_type}");
    }
    for content_type in ["Message/SipFrag ; Version=\"2.0\"", "message/sipfrag"] {
        let mut t = referred(Method::Refer);
        t.reply("a", "REFER", 200);
        let headers = vec![Header::new("Event", "refer"), state.clone()];
        t.request_with("a", "NOTIFY", Some(fragment(content_type)), headers);
        assert_eq!(ends(&t), ["! TransferSucceeded a 200"], "{content_type}");
    }
}

/// NOTIFY that belongs to no REFER of ours, or to another one.
#[test]
fn a_notify_out_of_nothing_is_refused() {
    let mut t = referred(Method::Refer);
    t.reply("a", "REFER", 200);
    t.lines.clear();
    for event in ["presence", "refer;id=99", ""] {
        notify(&mut t, event, "active", "SIP/2.0 200 OK");
        assert_eq!(t.lines.pop().as_deref(), Some("C>A 481 NOTIFY"), "{event}");
    }
}

/// The transferor hangs up meanwhile: the phone that was asked goes on.
#[test]
fn who_leaves_need_not_wait_for_the_phone() {
    let mut t = referred(Method::Refer);
    t.reply("a", "REFER", 200);
    t.request("b", "BYE", None);
    assert_eq!(t.call.outcome, None);
    notify(&mut t, "refer", "terminated", "SIP/2.0 200 OK");
    assert_eq!(ends(&t), ["! TransferSucceeded a 200"]);
    let mut t = referred(Method::Refer);
    t.reply("a", "REFER", 200);
    t.request("b", "BYE", None);
    notify(&mut t, "refer", "terminated", "SIP/2.0 486 Busy Here");
    assert_eq!(ends(&t), ["! TransferFailed a 486"]);
    assert_eq!(t.call.state(), CallState::Ended);
}

fn notify(t: &mut Ladder, event: &str, state: &str, fragment: &str) {
    let body = Body {
        content_type: "message/sipfrag".into(),
        content_disposition: String::new(),
        content: format!("{fragment}\r\n").into_bytes(),
    };
    let headers = vec![Header::new("Event", event), Header::new("Subscription-State", state)];
    t.request_with("a", "NOTIFY", Some(body), headers);
}

fn ends(t: &Ladder) -> Vec<String> {
    let is_end = |line: &&String| {
        line.starts_with("! TransferS") && !line.contains("Started") || line.starts_with("! TransferF")
    };
    t.lines.iter().filter(is_end).cloned().collect()
}

fn carol() -> Target {
    Target::Party(Party { uri: "sip:carol@example.com".into(), ..Party::default() })
}

fn referred(method: Method) -> Ladder {
    let mut t = Ladder::dial(Flow::Iv);
    let allow = ["INVITE", "ACK", "BYE", "CANCEL", "REFER", "NOTIFY"];
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])).allow(&allow));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])).allow(&allow));
    t.lines.clear();
    t.transfer_by("a", carol(), method).expect("they talk");
    t
}
