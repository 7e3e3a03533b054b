//! Holds of the application: each ends with one event, none lasts for ever, and phones' own holds are states beside them. SCN-14

use std::time::Duration;

use call_control::engine::StepError;
use call_control::engine::call::{CallState, Party};
use call_control::engine::event::{Command, Event, Method, Target};
use call_control::engine::report::{CallEvent, CallEventType};

use crate::anchored;
use crate::connected::connected;
use crate::ladder::{Answer, Ladder, sdp};

fn hold(t: &mut Ladder, leg: Option<&str>) -> Result<(), StepError> {
    t.take(&Event::Command(Command::Hold { leg_id: leg.map(str::to_owned), music: String::new() }))
}

fn unhold(t: &mut Ladder) -> Result<(), StepError> {
    t.take(&Event::Command(Command::Unhold { leg_id: None }))
}

fn answer(t: &mut Ladder, leg: &str, line: &str) {
    t.reply(leg, "INVITE", Answer::new(200).sdp(&sdp(&[line])));
}

/// Both legs are on hold by the application.
fn held(mut t: Ladder) -> Ladder {
    hold(&mut t, None).expect("the call is connected");
    answer(&mut t, "b", "audio 5000 inactive");
    answer(&mut t, "a", "audio 4000 inactive");
    assert_eq!(t.call.state(), CallState::Held);
    (t.lines, t.told) = (Vec::new(), Vec::new());
    t
}

/// What was told of holds: the event, its leg, its status, and who is behind it.
fn told(t: &Ladder) -> Vec<String> {
    let is_hold = |kind| {
        use CallEventType::{Held, HoldFailed, Unheld, UnholdFailed};
        matches!(kind, Held | HoldFailed | Unheld | UnholdFailed)
    };
    let line = |event: &CallEvent| {
        let leg = event.leg_id.as_deref().unwrap_or("-");
        format!("{:?} {leg} {} by {}", event.kind, event.sip_status, event.by)
    };
    t.told.iter().filter(|event| is_hold(event.kind)).map(line).collect()
}

/// SCN-14, UAC-22: who refused, with what, and what became of it.
#[test]
fn a_hold_ends_with_one_event_whoever_refuses() {
    let mut t = connected();
    hold(&mut t, None).expect("they talk");
    t.reply("a", "INVITE", 488);
    assert!(told(&t).is_empty(), "the other one may take it");
    t.reply("b", "INVITE", 603);
    assert_eq!(told(&t), ["HoldFailed a 488 by a"]);
    assert_eq!(t.call.state(), CallState::Answered);

    let mut t = connected();
    hold(&mut t, None).expect("they talk");
    t.reply("a", "INVITE", 488);
    answer(&mut t, "b", "audio 5000 inactive");
    assert_eq!(told(&t), ["Held b 488 by a"]);
    assert_eq!(t.call.state(), CallState::Held);
    hold(&mut t, None).expect("one of them is not on hold");
    answer(&mut t, "a", "audio 4000 inactive");
    assert_eq!(told(&t)[1..], ["Held - 0 by api"]);
    assert_eq!(hold(&mut t, None), Err(StepError::WrongState(CallState::Held)));

    let mut t = connected();
    hold(&mut t, Some("b")).expect("they talk");
    t.reply("b", "INVITE", 606);
    assert_eq!(told(&t), ["HoldFailed b 606 by b"]);
}

/// SCN-14: neither is an unhold that nobody takes, nor one that a phone takes without an offer.
#[test]
fn an_unhold_ends_with_one_event_whoever_refuses() {
    let mut t = held(connected());
    unhold(&mut t).expect("it is held");
    t.reply("b", "INVITE", 488);
    assert_eq!(told(&t), ["UnholdFailed b 488 by b"]);
    unhold(&mut t).expect("it is held");
    t.reply("b", "INVITE", 200);
    assert_eq!(told(&t)[1..], ["UnholdFailed b 488 by b"]);
    unhold(&mut t).expect("it is held");
    answer(&mut t, "b", "audio 5000");
    t.reply("a", "INVITE", 603);
    assert_eq!(told(&t)[2..], ["UnholdFailed a 603 by a"]);
    assert_eq!(t.call.state(), CallState::Held);
    unhold(&mut t).expect("it is held");
    answer(&mut t, "b", "audio 5000");
    answer(&mut t, "a", "audio 4000");
    assert_eq!(told(&t)[3..], ["Unheld - 0 by api"]);
}

/// The end of the call, or of a phone, is the end of what was wished.
#[test]
fn a_hold_ends_with_its_call() {
    let mut t = connected();
    hold(&mut t, None).expect("they talk");
    t.command(Command::Hangup { reason: String::new() }).expect("always");
    assert_eq!(told(&t), ["HoldFailed - 487 by api"]);

    let mut t = connected();
    hold(&mut t, None).expect("they talk");
    t.reply("a", "INVITE", 481);
    assert_eq!(told(&t), ["HoldFailed a 481 by a"]);

    let mut t = held(connected());
    unhold(&mut t).expect("it is held");
    t.request("a", "BYE", None);
    assert_eq!(told(&t), ["UnholdFailed a 487 by a"]);
    assert_eq!(t.lines.iter().filter(|line| line.starts_with("! Ended")).count(), 1);
}

/// A phone that never has the time refuses: the call is locked for GUARD at most.
#[test]
fn what_a_phone_puts_off_is_asked_again_for_a_time_only() {
    for status in [491, 500] {
        let again = |t: &mut Ladder, leg: &str| {
            let after = (status == 500).then_some(2);
            let began = t.now;
            loop {
                t.reply(
                    leg,
                    "INVITE",
                    after.map_or(Answer::new(status), |s| Answer::new(status).retry_after(s)),
                );
                if t.told.iter().any(|event| event.sip_status == status) {
                    return t.now - began;
                }
                assert_eq!(hold(t, Some("a")), Err(StepError::Conflict));
                t.wait(Duration::from_secs(4));
            }
        };
        let guard = Duration::from_millis(connected().call.policy.guard_ms);
        let mut t = connected();
        hold(&mut t, Some("a")).expect("they talk");
        let took = again(&mut t, "a");
        assert_eq!(told(&t), [format!("HoldFailed a {status} by a")]);
        assert!(took <= guard && took > guard / 2, "{took:?}");
        hold(&mut t, Some("a")).expect("nothing is under way any more");

        let mut t = held(connected());
        unhold(&mut t).expect("it is held");
        again(&mut t, "b");
        assert_eq!(told(&t), [format!("UnholdFailed b {status} by b")]);
        unhold(&mut t).expect("nothing is under way any more");
    }
    // Who names a time that is too far away is not asked again
    let mut t = connected();
    hold(&mut t, Some("a")).expect("they talk");
    t.reply("a", "INVITE", Answer::new(500).retry_after(3_600));
    assert_eq!(told(&t), ["HoldFailed a 500 by a"]);
}

/// SCN-14, RFC 3264 6.1, RFC 6337 5.3: a phone's change of its session does not lift the application's hold, in a dialled call and in an
/// anchored one.
#[test]
fn the_hold_of_the_application_stands_whatever_phones_offer() {
    for connected in [connected as fn() -> Ladder, anchored::connected] {
        let mut t = held(connected());
        for (leg, method) in [("a", "INVITE"), ("b", "UPDATE")] {
            let asked = t.request(leg, method, Some(&sdp(&["audio 4002"])));
            if method == "INVITE" {
                t.ack(leg, &asked, None);
            }
            let leg = leg.to_uppercase();
            let said = t.lines.iter().rfind(|line| line.starts_with(&format!("C>{leg} 200 {method}")));
            assert!(said.is_some_and(|line| line.ends_with("[audio:9 inactive]")), "{:#?}", t.lines);
        }
        // An offer that is asked for is that of the hold, and its answer comes with ACK
        let asked = t.request("a", "INVITE", None);
        let said = t.lines.iter().rfind(|line| line.starts_with("C>A 200 INVITE"));
        assert!(said.is_some_and(|line| line.ends_with("[audio:9 inactive]")), "{:#?}", t.lines);
        t.ack("a", &asked, Some(&sdp(&["audio 4002 inactive"])));
        let is_for_another = |line: &&String| line.contains("C>A INVITE") || line.contains("C>B INVITE");
        assert_eq!(t.lines.iter().find(is_for_another), None, "nothing of it reaches the other one");
        assert!(told(&t).is_empty(), "{:?}", told(&t));
        assert_eq!(t.call.state(), CallState::Held);
        unhold(&mut t).expect("the hold stands, and nothing is under way");
        answer(&mut t, "b", "audio 5000");
        answer(&mut t, "a", "audio 4002");
        assert_eq!(told(&t), ["Unheld - 0 by api"]);
        assert_eq!(t.call.state(), CallState::Answered);
    }
}

/// SCN-14: the hold of one leg, too; and the other party is not connected with anybody meanwhile.
#[test]
fn the_hold_of_one_leg_stands_for_both() {
    let mut t = connected();
    hold(&mut t, Some("a")).expect("they talk");
    answer(&mut t, "a", "audio 4000 inactive");
    for leg in ["a", "b"] {
        let asked = t.request(leg, "INVITE", Some(&sdp(&["audio 4002"])));
        t.ack(leg, &asked, None);
    }
    assert_eq!(t.call.state(), CallState::Held);
    assert_eq!(told(&t), ["Held a 0 by api"]);
}

/// SCN-14: a phone's own hold and the application's are two.
#[test]
fn a_phone_and_the_application_hold_for_themselves() {
    let offer = |t: &mut Ladder, leg: &str, line: &str| {
        let asked = t.request(leg, "INVITE", Some(&sdp(&[line])));
        if let Some(other) = t.lines.last().filter(|line| line.contains(" INVITE ") && line.starts_with("C>"))
        {
            let other = if other.starts_with("C>A") { "a" } else { "b" };
            if other != leg {
                answer(
                    t,
                    other,
                    if line.ends_with("sendonly") { "audio 5000 recvonly" } else { "audio 5000" },
                );
            }
        }
        t.ack(leg, &asked, None);
    };
    // The phone begins and ends while the application's hold stands
    let mut t = connected();
    offer(&mut t, "a", "audio 4000 sendonly");
    assert_eq!(told(&t), ["Held a 0 by a"]);
    let mut t = held(t);
    offer(&mut t, "a", "audio 4000");
    assert_eq!(t.call.state(), CallState::Held);
    unhold(&mut t).expect("the application's");
    answer(&mut t, "b", "audio 5000");
    answer(&mut t, "a", "audio 4000");
    assert_eq!(told(&t), ["Unheld - 0 by api"]);
    assert_eq!(t.call.state(), CallState::Answered);

    // It begins meanwhile, and ends later
    let mut t = held(connected());
    offer(&mut t, "a", "audio 4000 sendonly");
    unhold(&mut t).expect("the application's");
    answer(&mut t, "b", "audio 5000");
    answer(&mut t, "a", "audio 4000 sendonly");
    assert_eq!(told(&t), ["Unheld - 0 by api", "Held a 0 by a"]);
    assert_eq!(t.call.state(), CallState::Held);
    offer(&mut t, "a", "audio 4000");
    assert_eq!(told(&t)[2..], ["Unheld a 0 by a"]);
    assert_eq!(t.call.state(), CallState::Answered);
}

/// CCL-07: who is led elsewhere out of a hold is told of as off hold, and who is not stays there.
#[test]
fn a_transfer_out_of_a_hold_lifts_it_when_it_succeeds() {
    let lead = |t: &mut Ladder| {
        let target = Target::Party(Party { uri: "sip:carol@example.com".into(), ..Party::default() });
        t.command(Command::Transfer { leg_id: "a".into(), target, method: Method::Reinvite })
            .expect("they may");
        t.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000"])));
    };
    let mut t = held(connected());
    lead(&mut t);
    answer(&mut t, "a", "audio 4000");
    let kinds: Vec<_> = t.told.iter().map(|event| event.kind).collect();
    let at = |kind| kinds.iter().position(|one| *one == kind);
    assert!(
        at(CallEventType::Unheld).is_some()
            && at(CallEventType::Unheld) < at(CallEventType::TransferSucceeded)
    );
    assert_eq!(told(&t), ["Unheld - 0 by carillon"]);
    assert_eq!(t.call.state(), CallState::Answered);

    let mut t = held(connected());
    lead(&mut t);
    t.reply("a", "INVITE", 488);
    assert!(told(&t).is_empty(), "{:?}", told(&t));
    assert_eq!(t.call.state(), CallState::Held);
}
