//! The place of a party in a connected call.

use call_control::engine::call::{CallState, OutcomeKind};
use call_control::engine::claim::takers::Takers;
use call_control::engine::effect::Header;
use call_control::engine::event::CallReceived;

use super::{Two, dialog, invite};
use crate::ladder::{Answer, Ladder, sdp};

/// CCL-09, CCL-10, LAD-9 7-9: carol takes bob's place: alice is sent a re-INVITE, carol gets 200, and bob BYE.
#[test]
fn the_new_party_takes_the_place_of_the_old_one() {
    let mut t = replacing("sip:bob@example.com", "");
    t.new.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])).tag("a1"));
    t.new.ack("a", "carol-invite", None);
    t.talk();
    t.new.expect(
        "
        A>C INVITE sdp1[audio:6000]
        ! Created
        C>(call-1) claim
        C>B INVITE 3 sdp3[audio:6000]
        B>C 200 INVITE sdp1[audio:4000] (tag a1)
        ! LegAnswered a 200
        ! Connected 200
        C>B ACK 3
        C>A 200 INVITE sdp1[audio:4000]
        C>(call-1) kept
        A>C ACK
        ",
    );
    t.named.expect(
        "
        C>(in-9) lent a
        ! LegEnded a 200
        ! LegEnded b 200
        ! Ended 200
        C>B BYE 2
        ",
    );
    let outcome = t.named.call.outcome.clone().expect("an outcome");
    assert_eq!(outcome.kind(), OutcomeKind::Completed);
    // From here on it is one call like any other
    assert_eq!(t.new.call.state(), CallState::Answered);
    t.new.request("b", "BYE", None);
    assert!(t.new.lines.iter().any(|line| line.starts_with("C>A BYE")), "{:#?}", t.new.lines);
}

/// CCL-10: a caller that makes no offer gets that of the far party.
#[test]
fn a_new_party_without_an_offer_is_made_one() {
    let named = Ladder::connected("call-1");
    let value = dialog(&named, "b", "");
    let late = CallReceived { body: None, ..invite("sip:bob@example.com", "Replaces", &value) };
    let mut t = Two::claim(named, late);
    t.new.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])).tag("a1"));
    t.new.ack("a", "carol-invite", Some(&sdp(&["audio 6000"])));
    t.talk();
    t.new.expect(
        "
        A>C INVITE
        ! Created
        C>(call-1) claim
        C>B INVITE 3
        B>C 200 INVITE sdp1[audio:4000] (tag a1)
        ! LegAnswered a 200
        C>A 200 INVITE sdp1[audio:4000]
        C>(call-1) kept
        A>C ACK sdp1[audio:6000]
        ! Connected 200
        C>B ACK 3 sdp3[audio:6000]
        ",
    );
}

/// CCL-11: the same user, whom a party has referred, and whom the operator lets.
#[test]
fn who_may_replace_is_one_of_three() {
    let named = || Ladder::connected("call-1");
    let value = dialog(&named(), "b", "");
    let mut referred = invite("sip:carol@example.com", "Replaces", &value);
    for by in ["<sip:bob@example.com>", "\"Alice\" <sip:alice@example.com>;cid=x"] {
        referred.headers.truncate(1);
        referred.headers.push(Header::new("Referred-By", by));
        let t = Two::claim(named(), referred.clone());
        assert_eq!(t.named.lines, ["C>(in-9) lent a"], "{by}");
    }
    let listed = invite("sip:carol@example.com", "Replaces", &value);
    let t = Two::claim_with(named(), listed, Takers::new(["sip:*@example.com"]).expect("patterns"));
    assert_eq!(t.named.lines, ["C>(in-9) lent a"]);
    let mut trusted = invite("", "Replaces", &value);
    trusted.is_trusted = true;
    trusted.headers.push(Header::new("P-Asserted-Identity", "<sip:bob@example.com>"));
    let t = Two::claim(named(), trusted);
    assert_eq!(t.named.lines, ["C>(in-9) lent a"]);
}

/// UAC-22, CCL-07: alice refuses the new session, and talks to bob as before.
#[test]
fn a_session_that_is_refused_leaves_the_call_as_it_was() {
    for (status, told) in [(488, 488), (603, 603), (407, 403)] {
        let mut t = replacing("sip:bob@example.com", "");
        t.new.lines.clear();
        t.new.reply("b", "INVITE", Answer::new(status).tag("a1"));
        t.talk();
        let refused = format!("C>A {told} INVITE");
        assert!(t.new.lines.contains(&refused), "{:#?}", t.new.lines);
        assert_eq!(t.new.call.state(), CallState::Ended);
        assert_eq!(t.named.call.state(), CallState::Answered);
        t.named.request("b", "INFO", None);
        assert!(t.named.lines.iter().any(|line| line.starts_with("C>A INFO")), "{:#?}", t.named.lines);
    }
}

/// LAD-7, LAD-9: a caller that gives up while the far party is asked: what that one says is undone.
#[test]
fn a_caller_that_cancels_gives_the_far_party_back() {
    let mut t = replacing("sip:bob@example.com", "");
    t.new.lines.clear();
    t.new.cancel("a", "carol-invite");
    t.talk();
    assert_eq!(t.named.call.state(), CallState::Answered);
    t.new.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])).tag("a1"));
    t.talk();
    t.new.expect(
        "
        A>C CANCEL
        ! LegEnded a 487
        C>A 487 INVITE
        C>A (released)
        B>C 200 INVITE sdp1[audio:4000] (tag a1)
        ! LegEnded b 200
        ! Ended 487
        C>B ACK 3
        C>(call-1) given back b
        C>B (released)
        ",
    );
    // Its session is another one now: the two are connected anew
    t.named.expect("C>(in-9) lent a\nC>B INVITE 2");
    t.named.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.named.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    assert_eq!(t.named.call.state(), CallState::Answered);
    assert_eq!(t.named.call.outcome, None);
}

/// LAD-9: the far party hangs up while it is asked: 603, and both calls are over.
#[test]
fn a_far_party_that_hangs_up_ends_both() {
    let mut t = replacing("sip:bob@example.com", "");
    t.new.lines.clear();
    t.new.request("b", "BYE", None);
    t.talk();
    assert!(t.new.lines.iter().any(|line| line.starts_with("C>A 603 INVITE")), "{:#?}", t.new.lines);
    assert_eq!(t.named.call.outcome.as_ref().map(|outcome| outcome.kind()), Some(OutcomeKind::Completed));
    assert!(t.named.lines.iter().any(|line| line.starts_with("C>B BYE")), "{:#?}", t.named.lines);
}

/// LAD-9: the party that is to be replaced hangs up meanwhile: the new one gets its place all the same.
#[test]
fn the_old_party_may_hang_up_first() {
    let mut t = replacing("sip:bob@example.com", "");
    t.named.request("b", "BYE", None);
    t.talk();
    t.new.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])).tag("a1"));
    t.new.ack("a", "carol-invite", None);
    t.talk();
    assert_eq!(t.new.call.state(), CallState::Answered);
    assert_eq!(t.named.call.state(), CallState::Ended);
}

fn replacing(identity: &str, more: &str) -> Two {
    let named = Ladder::connected("call-1");
    let value = dialog(&named, "b", more);
    Two::claim(named, invite(identity, "Replaces", &value))
}
