//! A party that rings is picked up by somebody else: SCN-19, CCL-10.

use call_control::engine::call::{CallState, Flow};
use call_control::engine::event::CallReceived;

use super::{Two, dialog, invite};
use crate::ladder::{Answer, Ladder, sdp};

const BOB: &str = "sip:bob@example.com";

/// CCL-10, SCN-19: alice calls, bob's phone rings, and bob takes it at another one: 200 there, CANCEL here.
#[test]
fn a_call_that_rings_is_taken_at_another_phone() {
    let mut named = anchored();
    named.reply("b", "INVITE", 180);
    let value = dialog(&named, "b", ";early-only");
    let mut t = Two::claim(named, invite(BOB, "Replaces", &value));
    t.new.ack("a", "carol-invite", None);
    t.talk();
    t.named.reply("b", "INVITE", 487);
    t.named.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000"])).tag("ct"));
    t.named.ack("a", "a-invite", None);
    t.talk();
    t.new.expect(
        "
        A>C INVITE sdp1[audio:6000]
        ! Created
        C>(call-of-alice) claim
        ! LegAnswered a 200
        C>A 200 INVITE sdp1[audio:9 inactive]
        A>C ACK
        C>(call-of-alice) lent a
        ! LegEnded a 200
        ! Ended 200
        C>A (released)
        "
        .replace("call-of-alice", "in-1")
        .as_str(),
    );
    t.named.expect(
        "
        C>(in-9) pick up
        ! PartyJoined c
        ! PartyLeft b
        C>B CANCEL Reason: SIP;cause=200;text=\"Call completed elsewhere\"
        C>C INVITE 1 sdp2[audio:4000]
        B>C 487 INVITE
        ! LegEnded b 200
        C>B (released)
        C>C 200 INVITE sdp1[audio:6000] (tag ct)
        ! LegAnswered a 200
        ! Connected 200
        C>C ACK 1
        C>A 200 INVITE sdp1[audio:6000]
        C>(in-9) kept
        A>C ACK
        ",
    );
    assert_eq!(t.named.call.state(), CallState::Answered);
    t.named.request("c", "BYE", None);
    assert!(t.named.lines.iter().any(|line| line.starts_with("C>A BYE")), "{:#?}", t.named.lines);
    assert_eq!(t.named.call.state(), CallState::Ended);
}

/// The phone that rang answered first: who came too late is let go again.
#[test]
fn who_picks_up_too_late_is_let_go() {
    let mut named = anchored();
    named.reply("b", "INVITE", 180);
    let value = dialog(&named, "b", "");
    let mut t = Two::claim(named, invite(BOB, "Replaces", &value));
    t.named.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.named.ack("a", "a-invite", None);
    t.new.ack("a", "carol-invite", None);
    t.talk();
    assert_eq!(t.named.call.state(), CallState::Answered);
    assert!(t.new.lines.iter().any(|line| line.starts_with("C>A BYE")), "{:#?}", t.new.lines);
    t.new.reply("a", "BYE", 200);
    assert_eq!(t.new.call.state(), CallState::Ended);
}

/// The new party does not take the session: the caller is told, and nobody is left behind.
#[test]
fn a_pickup_without_a_session_ends_the_call() {
    let mut named = anchored();
    named.reply("b", "INVITE", 180);
    let value = dialog(&named, "b", "");
    let mut t = Two::claim(named, invite(BOB, "Replaces", &value));
    t.new.ack("a", "carol-invite", None);
    t.talk();
    t.named.reply("c", "INVITE", Answer::new(488).tag("ct"));
    t.named.reply("b", "INVITE", 487);
    t.named.reply("c", "BYE", Answer::new(200).tag("ct"));
    t.talk();
    assert!(t.named.lines.iter().any(|line| line.starts_with("C>A 488 INVITE")), "{:#?}", t.named.lines);
    assert_eq!((t.named.call.state(), t.new.call.state()), (CallState::Ended, CallState::Ended));
}

/// Of a call that Carillon makes: while leg b rings, and while leg a does.
#[test]
fn either_party_of_a_dialled_call_is_picked_up() {
    let mut named = Ladder::dial(Flow::Iv);
    named.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    named.reply("b", "INVITE", 180);
    let value = dialog(&named, "b", "");
    let mut t = Two::claim(named, invite(BOB, "Replaces", &value));
    t.new.ack("a", "carol-invite", None);
    t.talk();
    t.named.reply("b", "INVITE", 487);
    t.named.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.named.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000"])).tag("ct"));
    t.talk();
    assert_eq!((t.named.call.state(), t.new.call.state()), (CallState::Answered, CallState::Ended));
    assert!(t.named.lines.contains(&"! Connected 200".to_owned()), "{:#?}", t.named.lines);

    let mut named = Ladder::dial(Flow::Iv);
    named.reply("a", "INVITE", 180);
    let value = dialog(&named, "a", ";early-only");
    let mut t = Two::claim(named, invite("sip:alice@example.com", "Replaces", &value));
    t.new.ack("a", "carol-invite", None);
    t.talk();
    t.named.reply("a", "INVITE", 487);
    // The one who picked up is leg b, and bob is dialled on leg c
    t.named.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])).tag("c1"));
    t.named.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000"])).tag("ct"));
    t.talk();
    assert_eq!((t.named.call.state(), t.new.call.state()), (CallState::Answered, CallState::Ended));
}

/// Who picks up and hangs up before it is connected.
#[test]
fn who_picks_up_may_hang_up_at_once() {
    for before_ack in [true, false] {
        let mut named = anchored();
        named.reply("b", "INVITE", 180);
        let value = dialog(&named, "b", "");
        let mut t = Two::claim(named, invite(BOB, "Replaces", &value));
        if !before_ack {
            t.new.ack("a", "carol-invite", None);
            t.talk();
        }
        t.new.request("a", "BYE", None);
        if before_ack {
            t.new.ack("a", "carol-invite", None);
        }
        t.talk();
        if before_ack {
            assert_eq!(t.named.call.state(), CallState::Ringing);
        } else {
            t.named.reply("c", "INVITE", Answer::new(481).tag("ct"));
            t.named.reply("b", "INVITE", 487);
            t.talk();
            assert!(
                t.named.lines.iter().any(|line| line.starts_with("C>A 480 INVITE")),
                "{:#?}",
                t.named.lines
            );
            assert_eq!(t.named.call.state(), CallState::Ended);
        }
        assert_eq!(t.new.call.state(), CallState::Ended, "{:#?}", t.new.lines);
    }
}

fn anchored() -> Ladder {
    let alice = CallReceived {
        from_uri: "sip:alice@example.com".into(),
        from_tag: "at".into(),
        sip_call_id: "call-of-alice".into(),
        transaction: "a-invite".into(),
        request_uri: BOB.into(),
        contact: "sip:alice@phone.example".into(),
        headers: Vec::new(),
        body: Some(call_control::engine::effect::Body::sdp(sdp(&["audio 4000"]).into_bytes())),
        ..invite("", "Subject", "x")
    };
    let mut t = Ladder::called(alice, |policy| policy.session_expires_s = 0);
    t.lines.clear();
    t
}
