//! Who joins is mixed by a phone of the call.

use std::time::Duration;

use call_control::engine::StepError;
use call_control::engine::call::{CallState, Flow, OutcomeKind, Party};
use call_control::engine::conference::Mixer;
use call_control::engine::event::{Command, Event, Target};

use super::{answer, connected, told};
use crate::every_step::{StepOf, walk};
use crate::ladder::{Answer, Ladder, sdp};

/// LAD-7, CCL-14: carol is called, then bob's phone with its own dialog in Join and with what carol offers; bob's phone tells alice by
/// re-INVITE that it mixes.
#[test]
fn a_phone_that_mixes_is_called_for_who_joins() {
    let mut t = with_mixer("b");
    for step in JOINED {
        step(&mut t);
    }
    t.expect(
        "
        API join carol
        ! LegDialing c
        C>C INVITE 1
        C>C 200 INVITE sdp1[audio:6000]
        ! LegAnswered c 200
        ! LegDialing d
        C>D INVITE 1 sdp1[audio:6000] Join: BOBS
        B>C INVITE sdp1[audio:5002]
        C>A INVITE 3 sdp3[audio:5002]
        A>C 200 INVITE sdp1[audio:4000]
        C>A ACK 3
        C>B 200 INVITE sdp1[audio:4000]
        B>C ACK
        D>C 200 INVITE sdp1[audio:5004]
        ! LegAnswered d 200
        ! PartyJoined c
        C>D ACK 1
        C>C ACK 1 sdp1[audio:5004]
        "
        .replace("BOBS", &bobs_dialog(&t))
        .as_str(),
    );
    let (_, sent) = t.last("d", "INVITE");
    assert_eq!((sent.request_uri.as_str(), sent.flow.as_str()), ("sip:b1@phone.example", "flow"));
    assert_eq!(sent.from_uri, "sip:carol@example.com");
    assert!(sent.headers.iter().any(|header| header.name == "Require" && header.value == "join"));
    let (_, asked) = t.last("a", "INVITE");
    assert!(asked.is_focus, "alice is told who mixes");
    assert!(!sent.in_conference && !asked.in_conference, "Carillon is no focus");
    assert_eq!(t.call.state(), CallState::Answered);
}

/// LAD-7 11: two are left, and they are a call like any other.
#[test]
fn when_one_has_left_the_others_are_a_call_of_two() {
    let mut t = joined();
    t.request("c", "BYE", None);
    t.reply("d", "BYE", 200);
    t.expect(
        "
        C>C BYE
        ! PartyLeft c
        ! LegEnded c 200
        ! LegEnded d 200
        C>C 200 BYE
        C>D BYE 2
        D>C 200 BYE
        ",
    );
    let carol = Party { uri: "sip:carol@example.com".into(), ..Party::default() };
    t.transfer("a", Target::Party(carol)).expect("they talk");
    let mut t = joined();
    t.request("a", "BYE", None);
    assert_eq!(told(&t, &["Party", "Ended"]), ["! PartyLeft a"]);
    assert_eq!(t.call.state(), CallState::Answered);
    // carol and bob's phone are connected, and what one changes reaches the other
    t.lines.clear();
    let hold = t.request("d", "INVITE", Some(&sdp(&["audio 5004 sendonly"])));
    t.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000 recvonly"])));
    t.ack("d", &hold, None);
    assert_eq!(told(&t, &["Held"]), ["! Held d"]);
    t.request("c", "BYE", None);
    let outcome = t.call.outcome.clone().expect("an outcome");
    assert_eq!((outcome.kind(), outcome.ended_by.as_str()), (OutcomeKind::Completed, "c"));
}

/// LAD-7: the phone that mixes hangs up on the first one, and goes on with the other.
#[test]
fn who_mixes_may_leave_one_of_two() {
    let mut t = joined();
    t.request("b", "BYE", None);
    assert_eq!(told(&t, &["Party", "LegEnded"]), ["! PartyLeft b", "! LegEnded a 200", "! LegEnded b 200"]);
    t.request("d", "BYE", None);
    t.settle();
    assert_eq!(told(&t, &["Ended"]), ["! Ended 200"]);
    assert!(t.finished, "{:#?}", t.lines);
}

/// CCL-15: whoever refuses, nothing of the two changes.
#[test]
fn whoever_refuses_the_two_talk_on() {
    type Say = fn(&mut Ladder);
    let ways: [(&str, Say); 6] = [
        ("carol is busy", |t| t.reply("c", "INVITE", 486)),
        ("carol does not answer", |t| t.wait(Duration::from_secs(61))),
        ("carol offers nothing", |t| t.reply("c", "INVITE", 200)),
        ("bob's phone is asked in vain", |t| {
            t.reply("c", "INVITE", answer(6000));
            t.reply("d", "INVITE", 486);
        }),
        ("bob's phone says nothing", |t| {
            t.reply("c", "INVITE", answer(6000));
            t.wait(Duration::from_secs(21));
        }),
        ("bob's phone answers nonsense", |t| {
            t.reply("c", "INVITE", answer(6000));
            t.reply("d", "INVITE", Answer::new(200).sdp("nonsense"));
        }),
    ];
    for (name, say) in ways {
        let mut t = with_mixer("b");
        join(&mut t, "carol", Mixer::Local).expect("a phone mixes");
        say(&mut t);
        assert_eq!(told(&t, &["PartyJoined", "Ended"]), Vec::<String>::new(), "{name}");
        assert!(t.call.outcome.is_none() && t.call.conference.is_none(), "{name}");
        let info = t.request("a", "INFO", None);
        assert!(
            t.sent.iter().any(|(leg, _, request)| leg == "b" && request.method == "INFO"),
            "{name} {info}"
        );
        t.command(Command::Hold { leg_id: None, music: String::new() }).expect(name);
    }
}

/// LAD-7: A hangs up before anybody has come: nobody is left to talk to.
#[test]
fn who_is_called_for_nobody_is_hung_up_on() {
    let mut t = with_mixer("b");
    join(&mut t, "carol", Mixer::Local).expect("a phone mixes");
    t.request("a", "BYE", None);
    t.settle();
    assert_eq!(told(&t, &["Ended"]), ["! Ended 200"]);
    assert!(t.finished && t.lines.contains(&"C>C CANCEL".to_owned()), "{:#?}", t.lines);
}

/// API: what is asked for, and what there is.
#[test]
fn a_phone_is_asked_before_a_mixer_and_only_when_it_mixes() {
    let mut t = Ladder::connected("call-1");
    assert_eq!(join(&mut t, "carol", Mixer::Local), Err(StepError::NoLocalMixer));
    assert_eq!(join(&mut t, "carol", Mixer::Auto), Err(StepError::NoMixer));
    let mut central = connected();
    assert_eq!(join(&mut central, "carol", Mixer::Local), Err(StepError::NoLocalMixer));
    join(&mut central, "carol", Mixer::Auto).expect("there is a mixer");
    assert!(central.call.conference.is_some_and(|conference| !conference.local));
    for leg in ["a", "b"] {
        let mut t = with_mixer(leg);
        t.context.mixing = connected().context.mixing;
        join(&mut t, "carol", Mixer::Auto).expect("a phone mixes");
        t.reply("c", "INVITE", answer(6000));
        assert_eq!(t.last("d", "INVITE").1.request_uri, format!("sip:{leg}1@phone.example"));
        assert_eq!(join(&mut t, "dave", Mixer::Central), Err(StepError::Conflict));
    }
}

/// RFC 3911: one more is mixed by the same phone.
#[test]
fn one_more_joins_and_is_mixed_too() {
    let mut t = joined();
    join(&mut t, "dave", Mixer::Auto).expect("a phone mixes");
    t.reply("e", "INVITE", answer(8000));
    t.reply("f", "INVITE", answer(5006));
    assert_eq!(told(&t, &["PartyJoined"]), ["! PartyJoined e"]);
    t.request("a", "BYE", None);
    t.request("c", "BYE", None);
    assert_eq!(told(&t, &["Party", "Ended"]), ["! PartyJoined e", "! PartyLeft a", "! PartyLeft c"]);
    t.request("e", "BYE", None);
    t.settle();
    assert_eq!(told(&t, &["Ended"]), ["! Ended 200"]);
}

/// TPC-15, LAD-7
#[test]
fn every_branch_ends_once() {
    walk("joined", || with_mixer("b"), &JOINED);
    let refused: [StepOf; 3] =
        [JOINED[0], |t| t.reply("c", "INVITE", answer(6000)), |t| t.reply("d", "INVITE", 488)];
    walk("refused", || with_mixer("b"), &refused);
    let left: [StepOf; 4] = [
        |t| drop(t.request("a", "BYE", None)),
        |t| t.reply("b", "BYE", 200),
        |t| drop(t.request("d", "BYE", None)),
        |t| t.reply("c", "BYE", 200),
    ];
    walk("left", joined, &left);
}

const JOINED: [StepOf; 5] = [
    |t| join(t, "carol", Mixer::Local).expect("a phone mixes"),
    |t| t.reply("c", "INVITE", answer(6000)),
    |t| {
        t.request_of_focus("b", &sdp(&["audio 5002"]), true);
    },
    |t| {
        t.reply("a", "INVITE", answer(4000));
        t.ack("b", "b-101", None);
    },
    |t| {
        t.reply(
            "d",
            "INVITE",
            Answer::new(200).sdp(&sdp(&["audio 5004"])).contacts(&["<sip:d1@phone.example>;isfocus"]),
        )
    },
];

fn joined() -> Ladder {
    let mut t = with_mixer("b");
    JOINED.iter().for_each(|step| step(&mut t));
    t.lines.clear();
    t
}

/// alice and bob talk; the phone of this leg mixes.
fn with_mixer(leg: &str) -> Ladder {
    let mut t = Ladder::dial(Flow::Iv);
    let said = |of: &str, lines: &[&str]| {
        let answer = Answer::new(200).sdp(&sdp(lines));
        if of == leg { answer.supported(&["join"]) } else { answer }
    };
    t.reply("a", "INVITE", said("a", &[]));
    t.reply("b", "INVITE", said("b", &["audio 5000"]));
    t.reply("a", "INVITE", said("a", &["audio 4000"]));
    t.lines.clear();
    t
}

fn bobs_dialog(t: &Ladder) -> String {
    let bob = &t.call.legs[1];
    format!("{};to-tag={};from-tag={}", bob.sip_call_id, bob.remote_tag, bob.local_tag)
}

fn join(t: &mut Ladder, user: &str, mixer: Mixer) -> Result<(), StepError> {
    let party = Party { uri: format!("sip:{user}@example.com"), ..Party::default() };
    t.lines.push(format!("API join {user}"));
    t.take(&Event::Command(Command::Join { party, mixer }))
}
