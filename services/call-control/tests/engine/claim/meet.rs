//! LAD-8 by the Join header, over a mixer of Carillon's: who joins is led to a conference, and when it is there the two are moved.

use std::time::Duration;

use call_control::engine::call::{CallState, Flow};
use call_control::engine::claim::ask::claim_of;
use call_control::engine::claim::takers::Takers;
use call_control::engine::conference::Mixing;
use call_control::engine::effect::{Body, Header, What};
use call_control::engine::event::{CallReceived, Command, Event, LegEvent};
use call_control::engine::transfer::record::Word;

use super::{Two, dialog, invite};
use crate::ladder::{Answer, Ladder, sdp};

const BOB: &str = "sip:bob@example.com";
const CAROL: &str = "in-carol";

/// LAD-8, CCL-13, CCL-15, SCN-17: 302 to the conference, which nobody of the two has come to yet; she calls it with the same Join, and comes
/// in like anybody; then the two are moved, and not before.
#[test]
fn who_joins_is_led_to_the_conference_and_the_two_follow() {
    let mut t = claimed();
    assert_eq!(redirected(&t.new), ["<sip:conf-call-1@192.0.2.1>;isfocus"]);
    t.named.expect("C>(in-9) meet sip:conf-call-1@192.0.2.1");
    assert_eq!(t.new.call.state(), CallState::Ended);
    let mut t = t.named;
    t.request("a", "INFO", None);
    t.reply("b", "INFO", 200);
    t.lines.clear();
    come(&mut t, CAROL);
    t.reply("d", "INVITE", answer(7000));
    t.ack(CAROL, "carol-again", None);
    t.reply("e", "INVITE", answer(7002));
    t.reply("a", "INVITE", answer(4000));
    t.reply("f", "INVITE", answer(7004));
    t.reply("b", "INVITE", answer(5000));
    t.expect(
        "
        IN-CAROL>C INVITE
        ! LegDialing d
        C>D INVITE 1 sdp1[audio:6000]
        D>C 200 INVITE sdp1[audio:7000]
        ! LegAnswered d 200
        ! LegAnswered in-carol 200
        ! LegDialing e
        C>D ACK 1
        C>IN-CAROL 200 INVITE sdp1[audio:7000] isfocus
        C>E INVITE 1
        IN-CAROL>C ACK
        E>C 200 INVITE sdp1[audio:7002]
        ! LegAnswered e 200
        C>A INVITE 3 sdp3[audio:7002] isfocus
        A>C 200 INVITE sdp1[audio:4000]
        ! LegDialing f
        C>A ACK 3
        C>E ACK 1 sdp1[audio:4000]
        C>F INVITE 1
        F>C 200 INVITE sdp1[audio:7004]
        ! LegAnswered f 200
        C>B INVITE 3 sdp2[audio:7004] isfocus
        B>C 200 INVITE sdp1[audio:5000]
        ! PartyJoined in-carol
        C>B ACK 3
        C>F ACK 1 sdp1[audio:5000]
        C>(roster) 1: alice in, bob in, carol in
        ",
    );
    assert_eq!(t.call.state(), CallState::Answered);
    // Who joins a conference that is there is led to it
    let value = dialog(&t, "b", "");
    let again = Two::claim(t, invite(BOB, "Join", &value));
    assert_eq!(redirected(&again.new), ["<sip:conf-call-1@192.0.2.1>;isfocus"]);
}

/// CCL-11, CCL-14, CCL-15: who may not join, or names no dialog, is led nowhere, and nothing is begun.
#[test]
fn a_stranger_is_not_led_to_the_conference() {
    for (identity, more, status) in [("sip:mallory@example.com", "", 403), ("", "", 403), (BOB, "x", 481)] {
        let named = connected();
        let value = dialog(&named, "b", more);
        let t = Two::claim(named, invite(identity, "Join", &value));
        assert!(t.new.lines.contains(&format!("C>A {status} INVITE")), "{:#?}", t.new.lines);
        assert_eq!(t.named.lines, [format!("C>(in-9) refused {status}")]);
        assert!(t.named.call.conference.is_none());
    }
}

/// LAD-8: she never comes: nothing was changed, and the next wish is taken. Until then nobody else changes the call.
#[test]
fn who_never_comes_has_changed_nothing() {
    let mut t = claimed().named;
    t.lines.clear();
    assert!(t.command(Command::Hold { leg_id: None, music: String::new() }).is_err());
    t.wait(Duration::from_secs(31));
    assert!(t.call.conference.is_some());
    t.wait(Duration::from_secs(2));
    assert!(t.call.conference.is_none());
    assert!(!t.lines.iter().any(|line| line.starts_with("C>") || line.starts_with('!')), "{:#?}", t.lines);
    t.command(Command::Hold { leg_id: None, music: String::new() }).expect("they talk");
    come(&mut t, "in-late");
    assert_eq!(answers(&t, "in-late"), [404]);
}

/// LAD-8: the mixer refuses, says nothing, or has no session; one of the two cannot be moved; she gives up: the two talk on as before.
#[test]
fn whatever_goes_wrong_the_two_talk_on() {
    type Lose = fn(&mut Ladder);
    let ways: [(&str, Lose); 6] = [
        ("the mixer refuses", |t| t.reply("d", "INVITE", 503)),
        ("the mixer is silent", |t| t.wait(Duration::from_secs(5))),
        ("the mixer answers without a session", |t| t.reply("d", "INVITE", 200)),
        ("she cancels", |t| t.cancel(CAROL, "carol-again")),
        ("alice refuses the mixer's session", |t| {
            t.reply("d", "INVITE", answer(7000));
            t.ack(CAROL, "carol-again", None);
            t.reply("e", "INVITE", answer(7002));
            t.reply("a", "INVITE", 488);
        }),
        ("bob refuses it, and alice comes back", |t| {
            t.reply("d", "INVITE", answer(7000));
            t.ack(CAROL, "carol-again", None);
            t.reply("e", "INVITE", answer(7002));
            t.reply("a", "INVITE", answer(4000));
            t.reply("f", "INVITE", answer(7004));
            t.reply("b", "INVITE", 488);
            t.reply("b", "INVITE", answer(5000));
            t.reply("a", "INVITE", answer(4000));
        }),
    ];
    for (name, lose) in ways {
        let mut t = claimed().named;
        come(&mut t, CAROL);
        t.lines.clear();
        lose(&mut t);
        let ended = t.lines.iter().filter(|line| line.starts_with("! LegEnded in-carol")).count();
        assert_eq!(ended, 1, "{name}: {:#?}", t.lines);
        assert!(t.call.conference.is_none(), "{name}");
        assert_eq!(t.call.state(), CallState::Answered, "{name}");
        assert!(!t.lines.iter().any(|line| line.contains("PartyJoined") || line == "! Ended"), "{name}");
        t.command(Command::Hold { leg_id: None, music: String::new() }).expect(name);
    }
}

/// One is awaited: another one who knows the URI comes when she is in, and asks nothing before.
#[test]
fn nobody_else_comes_meanwhile() {
    let mut t = claimed().named;
    let asked = CallReceived { method: "OPTIONS".into(), transaction: "o".into(), ..again() };
    t.transactions.insert("o".into(), "OPTIONS".into());
    t.event("in-o", LegEvent::Incoming(Box::new(asked)));
    assert_eq!(answers(&t, "in-o"), [404]);
    come(&mut t, CAROL);
    come(&mut t, "in-dave");
    assert_eq!(answers(&t, "in-dave"), [480]);
}

/// LAD-8: whoever hangs up while she is awaited, or while the two are moved, ends the call once, and nothing is left.
#[test]
fn at_each_step_the_call_may_end() {
    type Step = fn(&mut Ladder);
    let steps: [Step; 5] = [
        |t| come(t, CAROL),
        |t| t.reply("d", "INVITE", answer(7000)),
        |t| t.reply("e", "INVITE", answer(7002)),
        |t| t.reply("a", "INVITE", answer(4000)),
        |t| t.reply("f", "INVITE", answer(7004)),
    ];
    for leg in ["a", "b"] {
        for count in 0..=steps.len() {
            let mut t = claimed().named;
            steps[..count].iter().for_each(|step| step(&mut t));
            t.request(leg, "BYE", None);
            crate::conference::let_all_end(&mut t);
            let ends = t.lines.iter().filter(|line| line.starts_with("! Ended")).count();
            assert_eq!(ends, 1, "{leg} after step {count}: {:#?}", t.lines);
        }
    }
}

/// CCL-15: neither a mixer nor a phone that mixes, or nobody who could be moved yet: 488. An operation under way: 491.
#[test]
fn who_cannot_be_moved_is_not_joined() {
    let plain = Ladder::connected("call-1");
    let mut early = Ladder::dial(Flow::Iv);
    early.context.mixing = mixing();
    early.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    early.reply("b", "INVITE", 180);
    let mut busy = connected();
    busy.request("a", "INVITE", Some(&sdp(&["audio 4002"])));
    for (named, status) in [(plain, 488), (early, 488), (busy, 491)] {
        let value = dialog(&named, "b", "");
        let t = Two::claim(named, invite(BOB, "Join", &value));
        assert_eq!(t.named.lines, [format!("C>(in-9) refused {status}")]);
        assert!(t.new.lines.contains(&format!("C>A {status} INVITE")), "{:#?}", t.new.lines);
    }
}

/// She gave up before she was told where to go: the call that she wanted to join is free again at once.
#[test]
fn who_gives_up_before_the_redirection_is_not_waited_for() {
    let mut t = connected();
    let value = dialog(&t, "b", "");
    let claim = claim_of(&invite(BOB, "Join", &value), &Takers::default()).expect("a Join").expect("one");
    t.take(&Event::Told { from: "in-9".into(), operation: 1, word: Word::Claim(claim) }).expect("taken");
    let told = t.effects.iter().find(|effect| matches!(effect.what, Some(What::Tell(_)))).expect("a word");
    let untold = Event::NotCarried { effect: told.number };
    let mut lost = t.clone();
    lost.call.outbox.push(told.clone());
    lost.take(&untold).expect("taken");
    assert!(lost.call.conference.is_none() && lost.call.state() == CallState::Answered);
}

fn mixing() -> Mixing {
    Mixing { mixers: vec!["sip:mix1.example.com".into()], ..Mixing::default() }
}

fn connected() -> Ladder {
    let mut t = Ladder::connected("call-1");
    t.context.mixing = mixing();
    t
}

/// Carol's phone has sent its INVITE with Join, and was answered.
fn claimed() -> Two {
    let named = connected();
    let value = dialog(&named, "b", "");
    Two::claim(named, invite(BOB, "Join", &value))
}

/// Her second INVITE.
fn again() -> CallReceived {
    let join = vec![Header::new("Join", "the-same;to-tag=1;from-tag=2")];
    CallReceived {
        transaction: "carol-again".into(),
        request_uri: "sip:conf-call-1@192.0.2.1".into(),
        cseq: 2,
        body: Some(Body::sdp(sdp(&["audio 6000"]).into_bytes())),
        ..CallReceived { headers: join, ..invite(BOB, "Join", "x;to-tag=1;from-tag=2") }
    }
}

fn come(t: &mut Ladder, leg: &str) {
    let asked = CallReceived { method: "INVITE".into(), ..again() };
    t.transactions.insert(asked.transaction.clone(), "INVITE".into());
    t.lines.push(format!("{}>C INVITE", leg.to_uppercase()));
    t.event(leg, LegEvent::Incoming(Box::new(asked)));
}

fn answer(port: u32) -> Answer {
    Answer::new(200).sdp(&sdp(&[&format!("audio {port}")]))
}

/// The statuses with which a leg was answered.
fn answers(t: &Ladder, leg: &str) -> Vec<u32> {
    let of_leg = t.effects.iter().filter(|effect| effect.leg_id == leg);
    let said = of_leg.filter_map(|effect| match &effect.what {
        Some(What::Respond(response)) => Some(response.status),
        _ => None,
    });
    said.collect()
}

/// The Contacts of the 302 of a call.
fn redirected(t: &Ladder) -> Vec<String> {
    let said = t.effects.iter().filter_map(|effect| match &effect.what {
        Some(What::Respond(response)) if response.status == 302 => Some(response.headers.clone()),
        _ => None,
    });
    let contacts = said.flatten().filter(|header| header.name == "Contact");
    contacts.map(|header| header.value).collect()
}
