//! LAD-7: who joins is mixed by the phone of a party.

use call_control::engine::call::{CallState, Flow};
use call_control::engine::effect::{SendRequest, What};

use super::{Two, dialog, invite};
use crate::ladder::{Answer, Ladder, sdp};

const BOB: &str = "sip:bob@example.com";

/// CCL-13, CCL-14, LAD-7: alice's phone mixes: it is called with the dialog as it knows it, and is the focus for who joins.
#[test]
fn the_phone_that_mixes_is_called_with_its_own_dialog() {
    let named = with_mixer("a");
    let value = dialog(&named, "b", "");
    let mut t = Two::claim(named, invite(BOB, "Join", &value));
    assert_eq!(t.named.lines, ["C>(in-9) place"]);
    let (_, sent) = t.new.last("b", "INVITE");
    let alice = &t.named.call.legs[0];
    let join = format!("{};to-tag={};from-tag={}", alice.sip_call_id, alice.remote_tag, alice.local_tag);
    assert_eq!((header(&sent, "Join"), header(&sent, "Require")), (Some(join.as_str()), Some("join")));
    assert_eq!(sent.request_uri, "sip:a1@phone.example");
    assert_eq!((sent.from_uri.as_str(), sent.flow.as_str()), ("sip:carol@example.com", "flow"));
    let focus = ["<sip:a1@phone.example>;isfocus"];
    t.new.reply("b", "INVITE", Answer::new(180).contacts(&focus));
    assert!(is_focus(&t.new, "180"));
    t.new.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4002"])).contacts(&focus));
    t.new.ack("a", "carol-invite", None);
    assert!(is_focus(&t.new, "200"));
    assert_eq!(t.new.call.state(), CallState::Answered);
    assert_eq!(t.named.call.state(), CallState::Answered);
}

/// LAD-7: the named party's own phone mixes when the far one does not.
#[test]
fn the_other_phone_mixes_when_the_far_one_does_not() {
    let named = with_mixer("b");
    let value = dialog(&named, "b", "");
    let t = Two::claim(named, invite(BOB, "Join", &value));
    assert_eq!(t.new.last("b", "INVITE").1.request_uri, "sip:b1@phone.example");
}

/// CCL-13: an early dialog is joined like a confirmed one.
#[test]
fn an_early_dialog_is_joined_too() {
    let mut named = Ladder::dial(Flow::Iv);
    named.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])).supported(&["join"]));
    named.reply("b", "INVITE", 180);
    let value = dialog(&named, "b", "");
    let t = Two::claim(named, invite(BOB, "Join", &value));
    assert_eq!(t.new.last("b", "INVITE").1.request_uri, "sip:a1@phone.example");
}

/// CCL-15: no phone mixes, and there is no mixer.
#[test]
fn without_a_mixer_nobody_joins() {
    let named = Ladder::connected("call-1");
    let value = dialog(&named, "b", "");
    let t = Two::claim(named, invite(BOB, "Join", &value));
    assert!(t.new.lines.contains(&"C>A 488 INVITE".to_owned()), "{:#?}", t.new.lines);
}

/// LAD-7, each branch: what the phone that mixes says goes to who joins, and the call is untouched.
#[test]
fn a_join_that_fails_leaves_the_call_untouched() {
    for (status, told) in [(486, 486), (603, 603), (488, 488), (481, 481), (403, 403)] {
        let mut t = joining();
        t.new.reply("b", "INVITE", status);
        assert!(
            t.new.lines.iter().any(|line| line.starts_with(&format!("C>A {told} INVITE"))),
            "{status}: {:#?}",
            t.new.lines
        );
        assert_eq!(t.named.call.state(), CallState::Answered);
        assert!(t.named.sent.iter().all(|(_, _, sent)| sent.method != "BYE"));
    }
    let mut t = joining();
    t.new.reply("b", "INVITE", 180);
    t.new.cancel("a", "carol-invite");
    t.new.reply("b", "INVITE", 487);
    assert!(t.new.lines.contains(&"C>B CANCEL".to_owned()), "{:#?}", t.new.lines);
    assert_eq!((t.new.call.state(), t.named.call.state()), (CallState::Ended, CallState::Answered));
}

/// CCL-14, LAD-7 4 and 11: the re-INVITE of the phone that mixes goes across with isfocus, and without it when it is over.
#[test]
fn the_other_party_learns_who_mixes_and_when_it_is_over() {
    let mut t = with_mixer("a");
    for (is_focus, port) in [(true, "audio 4002"), (false, "audio 4004")] {
        let asked = t.request_of_focus("a", &sdp(&[port]), is_focus);
        assert_eq!(t.last("b", "INVITE").1.is_focus, is_focus);
        t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
        t.ack("a", &asked, None);
    }
}

fn is_focus(t: &Ladder, status: &str) -> bool {
    let responses = t.effects.iter().rev().filter_map(|effect| match &effect.what {
        Some(What::Respond(response)) => Some(response),
        _ => None,
    });
    let mut of_status = responses.filter(|response| response.status.to_string() == status);
    of_status.next().expect("a response").is_focus
}

fn header<'a>(sent: &'a SendRequest, name: &str) -> Option<&'a str> {
    sent.headers.iter().find(|header| header.name == name).map(|header| header.value.as_str())
}

fn joining() -> Two {
    let named = with_mixer("a");
    let value = dialog(&named, "b", "");
    let mut t = Two::claim(named, invite(BOB, "Join", &value));
    t.new.lines.clear();
    t
}

/// Alice and bob are connected, and the phone of one of them mixes.
fn with_mixer(leg: &str) -> Ladder {
    let tags = |on: &str| if on == leg { &["join", "replaces"][..] } else { &["replaces"] };
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])).supported(tags("a")));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])).supported(tags("b")));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])).supported(tags("a")));
    t.lines.clear();
    t
}
