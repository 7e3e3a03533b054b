//! What names no dialog, or one that is not to be had: the call is undisturbed.

use std::time::Duration;

use call_control::engine::call::{CallState, Flow};
use call_control::engine::claim::takers::Takers;
use call_control::engine::claim::whose::{Named, Word};
use call_control::engine::effect::Header;
use call_control::engine::event::Command;
use call_control::engine::transfer::record::DialogId;

use super::{Two, dialog, invite};
use crate::ladder::{Answer, Ladder, sdp};

const BOB: &str = "sip:bob@example.com";

/// CCL-09, CCL-10, CCL-11, CCL-13: each way to be refused, by the call that is named.
#[test]
fn who_gets_no_place_is_told_why_and_the_call_goes_on() {
    let named = || Ladder::connected("call-1");
    let good = dialog(&named(), "b", "");
    let on_a = dialog(&named(), "a", "");
    let [call_id, local, remote] = parts(&good);
    let swapped = format!("{call_id};to-tag={remote};from-tag={local}");
    let cases: [(&str, &str, String, u32); 10] = [
        ("a stranger", "sip:mallory@example.com", good.clone(), 403),
        ("nobody", "", good.clone(), 403),
        ("the far party", "sip:alice@example.com", good.clone(), 403),
        ("another's leg", BOB, on_a, 403),
        ("tags swapped", BOB, swapped, 481),
        ("another tag", BOB, format!("{call_id};to-tag={local};from-tag=x"), 481),
        ("our tag unknown", BOB, format!("{call_id};to-tag=x;from-tag={remote}"), 481),
        ("another Call-ID", BOB, format!("x{call_id};to-tag={local};from-tag={remote}"), 481),
        ("no tags at all", BOB, format!("{call_id};to-tag=0;from-tag=0"), 481),
        ("only early", BOB, format!("{good};early-only"), 486),
    ];
    for (name, identity, value, status) in cases {
        for header in ["Replaces", "Join"] {
            let expected = match (header, status) {
                // RFC 3911 4: an early dialog is joined like any other; neither phone here has a mixer
                ("Join", 486) => 488,
                (_, status) => status,
            };
            let t = Two::claim(named(), invite(identity, header, &value));
            assert_eq!(t.named.lines, [format!("C>(in-9) refused {expected}")], "{header}: {name}");
            assert!(t.new.lines.contains(&format!("C>A {expected} INVITE")), "{name}: {:#?}", t.new.lines);
            assert_eq!(t.named.call.state(), CallState::Answered, "{name}");
            assert_eq!(t.new.call.state(), CallState::Ended, "{name}");
        }
    }
}

/// CCL-09, CCL-13: two headers, both, or one that cannot be read.
#[test]
fn what_is_said_badly_is_refused_before_anybody_is_asked() {
    let named = Ladder::connected("call-1");
    let good = dialog(&named, "b", "");
    let with = |headers: &[(&str, &str)]| {
        let mut invite = invite(BOB, "Subject", "x");
        invite.headers = headers.iter().map(|(name, value)| Header::new(name, value)).collect();
        invite
    };
    for headers in [
        &[("Replaces", good.as_str()), ("Replaces", good.as_str())][..],
        &[("Join", good.as_str()), ("Join", good.as_str())],
        &[("Replaces", good.as_str()), ("Join", good.as_str())],
        &[("Replaces", "x;to-tag=1")],
        &[("Join", "x")],
    ] {
        let call = Named::Call("call-1".into());
        let t = Ladder::claiming("in-9", with(headers), call, Takers::default());
        assert!(t.lines.contains(&"C>A 400 INVITE".to_owned()), "{headers:?}: {:#?}", t.lines);
        assert!(t.sent.is_empty());
    }
}

/// CCL-09, CCL-13: only an INVITE that begins a dialog may name another one.
#[test]
fn within_a_dialog_nothing_is_claimed() {
    let mut t = Ladder::connected("call-1");
    for name in ["Replaces", "Join"] {
        for method in ["INVITE", "UPDATE", "INFO", "REFER"] {
            t.request_with("b", method, None, vec![Header::new(name, "x;to-tag=1;from-tag=2")]);
            assert_eq!(t.lines.last(), Some(&format!("C>B 400 {method}")));
        }
    }
    assert_eq!(t.call.state(), CallState::Answered);
}

/// CCL-09: the dialog, or its call, is over.
#[test]
fn what_has_ended_is_declined() {
    let mut named = Ladder::connected("call-1");
    let value = dialog(&named, "b", "");
    named.command(Command::Hangup { reason: String::new() }).expect("a call");
    let t = Two::claim(named, invite(BOB, "Replaces", &value));
    assert!(t.new.lines.contains(&"C>A 603 INVITE".to_owned()), "{:#?}", t.new.lines);
    for (call, status) in [(Named::Over, 603), (Named::Unknown, 481), (Named::Nobody, 481)] {
        let t = Ladder::claiming("in-9", invite(BOB, "Replaces", &value), call, Takers::default());
        assert!(t.lines.contains(&format!("C>A {status} INVITE")), "{:#?}", t.lines);
    }
}

/// A call that an INVITE addresses by a leg, and without a word about a dialog, is nobody's.
#[test]
fn a_leg_cannot_be_called() {
    let mut plain = invite(BOB, "Subject", "x");
    plain.headers.clear();
    let t = Ladder::claiming("in-9", plain, Named::Nobody, Takers::default());
    assert!(t.lines.contains(&"C>A 404 INVITE".to_owned()), "{:#?}", t.lines);
}

/// CCL-09: a dialog that is merely proxied is its phone's to know: who is called by name gets the header.
#[test]
fn a_dialog_of_somebody_else_goes_to_the_phone() {
    for (header, tag) in [("Replaces", "replaces"), ("Join", "join")] {
        let mut by_name = invite(BOB, header, "x;to-tag=1;from-tag=2");
        by_name.request_uri = BOB.into();
        by_name.require = vec![tag.into()];
        let t = Ladder::claiming("in-9", by_name, Named::Nobody, Takers::default());
        let (_, sent) = t.last("b", "INVITE");
        let value = |name: &str| {
            sent.headers.iter().find(|header| header.name == name).map(|header| header.value.as_str())
        };
        assert_eq!((value(header), value("Require")), (Some("x;to-tag=1;from-tag=2"), Some(tag)));
        assert_eq!(sent.request_uri, BOB);
    }
}

/// CCL-09, CCL-11: a dialog as the phone of a leg knows it is that phone's to know, and its far place goes to who may have it. Who calls
/// somebody else by it, or is nobody to the two, gets no further.
#[test]
fn a_dialog_as_its_phone_knows_it_is_given_to_whom_it_may() {
    let named = Ladder::connected("call-1");
    let bobs = named.call.legs[1].clone();
    let value = format!("{};to-tag={};from-tag={}", bobs.sip_call_id, bobs.remote_tag, bobs.local_tag);
    let dialog = DialogId {
        call_id: bobs.sip_call_id.clone(),
        to_tag: bobs.remote_tag.clone(),
        from_tag: bobs.local_tag.clone(),
        early_only: false,
    };
    let Word::Last(at_phone) = named.call.word_on(&dialog, false) else {
        panic!("it is a dialog of the call")
    };
    assert_eq!(named.call.word_on(&dialog, true), Word::Last(Named::Call("call-1".into())));
    let referred = Header::new("Referred-By", "<sip:alice@example.com>");
    let cases = [
        ("the far party", "sip:alice@example.com", None, BOB, None),
        ("who was referred", "sip:carol@example.com", Some(referred), BOB, None),
        ("a stranger", "sip:mallory@example.com", None, BOB, Some(403)),
        ("nobody", "", None, BOB, Some(403)),
        ("another callee", "sip:alice@example.com", None, "sip:dave@example.com", Some(481)),
    ];
    for (name, identity, more, called, status) in cases {
        let mut invite = invite(identity, "Replaces", &value);
        invite.request_uri = called.into();
        invite.headers.extend(more);
        let t = Ladder::claiming("in-9", invite, at_phone.clone(), Takers::default());
        match status {
            Some(status) => {
                assert!(t.lines.contains(&format!("C>A {status} INVITE")), "{name}: {:#?}", t.lines);
                assert!(t.sent.is_empty(), "{name}: nobody is called");
            }
            None => {
                let (_, sent) = t.last("b", "INVITE");
                assert!(sent.headers.contains(&Header::new("Replaces", &value)), "{name}");
            }
        }
    }
    let mut over = named;
    over.request("b", "BYE", None);
    assert_eq!(over.call.word_on(&dialog, false), Word::Last(Named::Unknown));
}

/// T19: two who want the same place: one gets it, and the other one may ask again.
#[test]
fn a_place_is_given_once() {
    let named = Ladder::connected("call-1");
    let value = dialog(&named, "b", "");
    let mut t = Two::claim(named, invite(BOB, "Replaces", &value));
    let second = Ladder::claiming(
        "in-8",
        invite(BOB, "Replaces", &value),
        Named::Call("call-1".into()),
        Takers::default(),
    );
    let mut again = Two { named: t.named.clone(), new: second };
    again.new.lines.clear();
    let tells = again.new.tells();
    let word = tells[0].word.clone().expect("a word");
    t.named
        .take(&call_control::engine::event::Event::Told { from: "in-8".into(), operation: 1, word })
        .expect("taken");
    assert_eq!(t.named.lines.last().map(String::as_str), Some("C>(in-8) refused 491"));
}

/// The call that is named says nothing: 504, and what it lends later goes back.
#[test]
fn a_call_that_does_not_answer_is_not_waited_for_forever() {
    let named = Ladder::connected("call-1");
    let value = dialog(&named, "b", "");
    let call = Named::Call("call-1".into());
    let new = Ladder::claiming("in-9", invite(BOB, "Replaces", &value), call, Takers::default());
    let mut t = Two { named, new };
    t.new.wait(Duration::from_secs(31));
    assert!(
        t.new.lines.contains(&"C>A 500 INVITE Reason: SIP;cause=504;text=\"Server Time-out\"".to_owned())
            || t.new.lines.contains(&"C>A 504 INVITE".to_owned()),
        "{:#?}",
        t.new.lines
    );
    t.talk();
    assert_eq!(t.named.call.state(), CallState::Answered);
    assert_eq!(t.new.call.state(), CallState::Ended);
}

/// CCL-10: a phone that calls is not replaced before it is answered.
#[test]
fn the_early_dialog_of_a_caller_is_not_replaced() {
    let alice = call_control::engine::event::CallReceived {
        from_uri: "sip:alice@example.com".into(),
        from_tag: "at".into(),
        sip_call_id: "call-of-alice".into(),
        transaction: "a-invite".into(),
        request_uri: BOB.into(),
        headers: Vec::new(),
        ..invite("", "Subject", "x")
    };
    let mut named = Ladder::called(alice, |_| {});
    named.reply("b", "INVITE", 180);
    let value = dialog(&named, "a", "");
    let t = Two::claim(named, invite("sip:alice@example.com", "Replaces", &value));
    assert!(t.new.lines.contains(&"C>A 481 INVITE".to_owned()), "{:#?}", t.new.lines);
    assert_eq!(t.named.call.state(), CallState::Ringing);
}

/// A confirmed dialog whose far party is still being called.
#[test]
fn a_call_that_is_being_set_up_may_be_asked_again() {
    let mut named = Ladder::dial(Flow::Iv);
    named.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    let value = dialog(&named, "a", "");
    let t = Two::claim(named, invite("sip:alice@example.com", "Replaces", &value));
    assert!(t.new.lines.contains(&"C>A 491 INVITE".to_owned()), "{:#?}", t.new.lines);
}

fn parts(value: &str) -> [String; 3] {
    let mut parts = value.split(';');
    let mut next = |name: &str| parts.next().expect("a part").trim_start_matches(name).to_owned();
    [next(""), next("to-tag="), next("from-tag=")]
}
