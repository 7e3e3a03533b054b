//! LAD-8 by the Join header, at a conference that is made elsewhere: the far party is moved there, who joins is led there, and the party
//! that is joined is led there by REFER or moved by re-INVITE.

use std::time::Duration;

use call_control::engine::call::Party;
use call_control::engine::call::{CallState, Flow};
use call_control::engine::conference::Mixer;
use call_control::engine::conference::Mixing;
use call_control::engine::effect::{Body, Header, What};
use call_control::engine::event::{Command, FailureCause};

use super::{Two, dialog, invite};
use crate::ladder::{Answer, Ladder, sdp};

const BOB: &str = "sip:bob@example.com";
const FOCUS: &str = "sip:conf42@conf.example.net";

/// LAD-8, CCL-15, SCN-17: as the ladder has it: factory, 302, REFER, NOTIFY, BYE; alice talks to the conference, and her BYE leaves it.
#[test]
fn the_other_party_is_led_there_by_refer() {
    let mut t = claimed(&["REFER"]);
    conference_made(&mut t);
    assert_eq!(redirected(&t.new), [format!("<{FOCUS}>;isfocus")]);
    t.named.reply("b", "REFER", 202);
    notify(&mut t.named, "active;expires=60", "SIP/2.0 100 Trying");
    notify(&mut t.named, "terminated;reason=noresource", "SIP/2.0 200 OK");
    t.named.reply("b", "BYE", 200);
    t.named.expect(
        "
        ! LegDialing c
        C>C INVITE 1
        C>C 200 INVITE sdp1[audio:7000]
        ! LegAnswered c 200
        C>A INVITE 3 sdp3[audio:7000]
        A>C 200 INVITE sdp1[audio:4000]
        ! TransferStarted b
        C>A ACK 3
        C>C ACK 1 sdp1[audio:4000]
        C>(in-9) meet sip:conf42@conf.example.net
        C>B REFER 2 Refer-To: <sip:conf42@conf.example.net> Referred-By: <sip:alice@example.com>
        B>C 202 REFER
        B>C NOTIFY <message/sipfrag: SIP/2.0 100 Trying>
        C>B 200 NOTIFY
        B>C NOTIFY <message/sipfrag: SIP/2.0 200 OK>
        ! TransferSucceeded b 200
        ! PartyLeft b
        ! LegEnded b 200
        C>B 200 NOTIFY
        C>B BYE 3
        B>C 200 BYE
        ",
    );
    let (_, made) = t.named.last("c", "INVITE");
    assert_eq!((made.request_uri.as_str(), made.from_uri.as_str()), (FACTORY, "sip:alice@example.com"));
    let (_, moved) = t.named.last("a", "INVITE");
    assert!(moved.is_focus && !moved.in_conference, "a focus is behind it, and it is none of Carillon's");
    let mut t = t.named;
    t.request("a", "INFO", None);
    t.reply("c", "INFO", 200);
    t.request("a", "BYE", None);
    t.expect(
        "
        A>C INFO
        ! InfoReceived a
        C>C INFO 2
        C>C 200 INFO
        C>A 200 INFO
        A>C BYE
        ! LegEnded a 200
        ! LegEnded c 200
        ! Ended 200
        C>A 200 BYE
        C>C BYE 3
        ",
    );
}

/// CCL-04, CCL-15, LAD-8 7: a phone with a GRUU that lists `tdialog` is sent the REFER outside its dialog.
#[test]
fn a_phone_with_a_gruu_is_led_outside_its_dialog() {
    let mut named = Ladder::dial(Flow::Iv);
    named.context.mixing = mixing();
    named.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    let bob = Answer::new(200).sdp(&sdp(&["audio 5000"])).allow(&["INVITE", "REFER", "NOTIFY", "BYE", "ACK"]);
    named.reply("b", "INVITE", bob.supported(&["tdialog"]).contact("sip:bob@example.com;gr=urn:uuid:1"));
    named.reply("a", "INVITE", answer(4000));
    let value = dialog(&named, "b", "");
    let mut t = Two::claim(named, invite(BOB, "Join", &value));
    conference_made(&mut t);
    let on = t.named.call.legs[1].clone();
    let (_, sent) = t.named.last("b", "REFER");
    let target = format!("{};local-tag={};remote-tag={}", on.sip_call_id, on.remote_tag, on.local_tag);
    let value = |name: &str| {
        sent.headers.iter().find(|header| header.name == name).map(|header| header.value.clone())
    };
    assert_eq!((value("Target-Dialog"), value("Require")), (Some(target), Some("tdialog".into())));
    assert_eq!((sent.to_tag.as_str(), value("Refer-To")), ("", Some(format!("<{FOCUS}>"))));
}

/// LAD-8, CCL-15: who takes no REFER, refuses it, does not get there, or says nothing more is moved by re-INVITE, in its own dialog.
#[test]
fn who_is_not_led_by_refer_is_moved_by_re_invite() {
    type Refuse = fn(&mut Ladder);
    let ways: [(&str, &[&str], Refuse); 7] = [
        ("no REFER in Allow", &[], |_| {}),
        ("405", &["REFER"], |t| t.reply("b", "REFER", 405)),
        ("603", &["REFER"], |t| t.reply("b", "REFER", 603)),
        ("NOTIFY 486", &["REFER"], |t| {
            t.reply("b", "REFER", 200);
            notify(t, "terminated;reason=noresource", "SIP/2.0 486 Busy Here");
        }),
        ("the subscription ends", &["REFER"], |t| {
            t.reply("b", "REFER", 200);
            notify(t, "terminated;reason=noresource", "SIP/2.0 100 Trying");
        }),
        ("no NOTIFY", &["REFER"], |t| {
            t.reply("b", "REFER", 200);
            t.wait(Duration::from_secs(33));
        }),
        ("no more NOTIFY", &["REFER"], |t| {
            t.reply("b", "REFER", 200);
            notify(t, "active;expires=60", "SIP/2.0 100 Trying");
            t.wait(Duration::from_secs(61));
        }),
    ];
    for (name, allow, refuse) in ways {
        let mut t = claimed(allow);
        conference_made(&mut t);
        let mut t = t.named;
        refuse(&mut t);
        let (_, second) = t.last("d", "INVITE");
        assert_eq!((second.request_uri.as_str(), second.from_uri.as_str()), (FOCUS, BOB), "{name}");
        t.lines.clear();
        t.reply("d", "INVITE", focus(7002));
        t.reply("b", "INVITE", answer(5000));
        t.expect(
            "
            D>C 200 INVITE sdp1[audio:7002]
            ! LegAnswered d 200
            C>B INVITE N sdp2[audio:7002]
            B>C 200 INVITE sdp1[audio:5000]
            C>B ACK N
            C>D ACK 1 sdp1[audio:5000]
            "
            .replace(" N", if allow.is_empty() { " 2" } else { " 3" })
            .as_str(),
        );
        let transfer: Vec<_> =
            t.told.iter().filter(|told| format!("{:?}", told.kind).starts_with("Transfer")).collect();
        assert_eq!(transfer.len(), 2 * allow.len(), "{name}: {transfer:?}");
        assert_eq!(t.call.state(), CallState::Answered, "{name}");
        // Each has a session with the conference, and the second one may leave alone
        t.request("b", "BYE", None);
        assert!(t.lines.iter().any(|line| line.starts_with("C>D BYE")), "{name}: {:#?}", t.lines);
        assert!(!t.lines.iter().any(|line| line.starts_with("! Ended")), "{name}");
    }
}

/// LAD-8, CCL-15: no conference comes of it, or alice does not take its session: 488, and the call is as it was.
#[test]
fn without_a_conference_nobody_joins() {
    type Fail = fn(&mut Ladder);
    let ways: [(&str, Fail); 7] = [
        ("403", |t| t.reply("c", "INVITE", 403)),
        ("480", |t| t.reply("c", "INVITE", 480)),
        ("503", |t| t.reply("c", "INVITE", 503)),
        ("nothing", |t| t.wait(Duration::from_secs(5))),
        ("no way", |t| t.silence("c", "INVITE", FailureCause::Transport)),
        ("no focus", |t| t.reply("c", "INVITE", answer(7000))),
        ("alice refuses", |t| {
            t.reply("c", "INVITE", focus(7000));
            t.reply("a", "INVITE", 488);
        }),
    ];
    for (name, fail) in ways {
        let mut t = claimed(&["REFER"]);
        fail(&mut t.named);
        t.talk();
        assert!(t.new.lines.contains(&"C>A 488 INVITE".to_owned()), "{name}: {:#?}", t.new.lines);
        assert!(redirected(&t.new).is_empty(), "{name}");
        assert_eq!(t.named.call.state(), CallState::Answered, "{name}");
        assert!(t.named.call.conference.is_none(), "{name}");
        t.named.command(Command::Hold { leg_id: None, music: String::new() }).expect(name);
    }
}

/// LAD-8: bob takes neither REFER nor the session: alice comes back to him.
#[test]
fn who_takes_neither_keeps_the_call() {
    let mut t = claimed(&["REFER"]);
    conference_made(&mut t);
    let mut t = t.named;
    t.reply("b", "REFER", 405);
    t.reply("d", "INVITE", focus(7002));
    t.lines.clear();
    t.reply("b", "INVITE", 488);
    t.reply("b", "INVITE", answer(5000));
    t.reply("a", "INVITE", answer(4000));
    t.expect(
        "
        B>C 488 INVITE
        ! LegEnded c 488
        ! LegEnded d 488
        C>C BYE 2
        C>D ACK 1 sdp1[audio:0]
        C>D BYE 2
        C>B INVITE 4
        B>C 200 INVITE sdp1[audio:5000]
        C>A INVITE 4 sdp4[audio:5000]
        A>C 200 INVITE sdp1[audio:4000]
        C>A ACK 4
        C>B ACK 4 sdp3[audio:4000]
        ",
    );
    assert_eq!(t.call.state(), CallState::Answered);
}

/// LAD-8: bob hangs up while he is led: alice stays in the conference. What he says of the REFER then is nothing any more.
#[test]
fn who_hangs_up_meanwhile_leaves_the_other_one_there() {
    let mut t = claimed(&["REFER"]);
    conference_made(&mut t);
    let mut t = t.named;
    t.reply("b", "REFER", 200);
    t.lines.clear();
    t.request("b", "BYE", None);
    t.expect(
        "
        B>C BYE
        ! TransferFailed b 200
        ! PartyLeft b
        ! LegEnded b 200
        C>B 200 BYE
        ",
    );
    assert_eq!(t.call.state(), CallState::Answered);
    t.request("a", "INFO", None);
    assert_eq!(t.lines.last().map(String::as_str), Some("C>C INFO 2"));
}

/// LAD-8: alice hangs up, the application does, or the conference is over while bob is led: one end, one outcome of the REFER, nothing left.
#[test]
fn whatever_ends_meanwhile_ends_once() {
    type End = fn(&mut Ladder);
    let ways: [(&str, End, bool); 4] = [
        ("alice hangs up", |t| drop(t.request("a", "BYE", None)), true),
        (
            "the application",
            |t| t.command(Command::Hangup { reason: String::new() }).expect("it is there"),
            true,
        ),
        (
            "the edge dies",
            |t| {
                t.edge = ("e2".into(), 8);
                t.lose_edge("e1", 7);
                t.wait(Duration::from_secs(300));
            },
            false,
        ),
        (
            "the conference",
            |t| {
                drop(t.request("c", "BYE", None));
                t.reply("b", "INVITE", answer(5000));
                t.reply("a", "INVITE", answer(4000));
            },
            false,
        ),
    ];
    for (name, end, is_over) in ways {
        let mut t = claimed(&["REFER"]);
        conference_made(&mut t);
        let mut t = t.named;
        t.reply("b", "REFER", 200);
        t.lines.clear();
        end(&mut t);
        let count = |t: &Ladder, kind: &str| t.lines.iter().filter(|line| line.starts_with(kind)).count();
        assert_eq!(
            count(&t, "! TransferFailed b") + count(&t, "! TransferSucceeded b"),
            1,
            "{name}: {:#?}",
            t.lines
        );
        if is_over {
            assert_eq!(count(&t, "! Ended"), 1, "{name}");
        } else if t.call.outcome.is_none() {
            t.command(Command::Hangup { reason: String::new() }).expect("it is there");
        }
        crate::conference::let_all_end(&mut t);
        assert_eq!(count(&t, "! Ended"), 1, "{name}");
    }
}

/// RFC 4579 5.4, CCL-15: the factory may lead to the conference by 302, wherever phones may lead.
#[test]
fn the_factory_may_redirect() {
    for (contact, is_followed) in
        [("<sip:conf42@conf.example.net>;isfocus", true), ("<tel:+13125550100>", false)]
    {
        let mut named = connected(&["REFER"]);
        named.context.redirects = call_control::engine::Redirects::Never;
        let value = dialog(&named, "b", "");
        let mut t = Two::claim(named, invite(BOB, "Join", &value)).named;
        t.reply("c", "INVITE", Answer::new(302).contacts(&[contact]));
        assert_eq!(t.last("c", "INVITE").1.request_uri == FOCUS, is_followed, "{contact}");
        assert_eq!(t.call.conference.is_some(), is_followed, "{contact}");
    }
}

/// CCL-15, SCN-17: the application brings somebody in there too; the conference has the URI that its focus gave it.
#[test]
fn the_application_may_join_somebody_there() {
    let mut t = connected(&["REFER"]);
    let party = Party { uri: "sip:carol@example.com".into(), ..Party::default() };
    t.command(Command::Join { party, mixer: Mixer::Auto }).expect("they talk");
    t.reply("c", "INVITE", answer(6000));
    t.reply("d", "INVITE", focus(7000));
    t.reply("e", "INVITE", focus(7002));
    t.reply("a", "INVITE", answer(4000));
    t.reply("f", "INVITE", focus(7004));
    t.reply("b", "INVITE", answer(5000));
    assert_eq!(t.lines.iter().filter(|line| *line == "! PartyJoined c").count(), 1, "{:#?}", t.lines);
    assert_eq!(
        (t.last("d", "INVITE").1.request_uri.as_str(), t.last("e", "INVITE").1.request_uri.as_str()),
        (FACTORY, FOCUS)
    );
    assert_eq!(t.call.conference.as_ref().map(|conference| conference.uri.as_str()), Some(FOCUS));
    assert!(!t.lines.iter().any(|line| line.contains("(roster)")), "the roster is that of its focus");
    let is_focus = |t: &Ladder, leg: &str| {
        let (_, sent) = t.last(leg, "INVITE");
        (sent.is_focus, sent.in_conference)
    };
    assert_eq!((is_focus(&t, "a"), is_focus(&t, "b")), ((true, false), (true, false)));
}

const FACTORY: &str = "sip:conf-factory@conf.example.net";

fn mixing() -> Mixing {
    Mixing { elsewhere: FACTORY.into(), ..Mixing::default() }
}

/// Alice talks to bob, whose phone allows this besides.
fn connected(allow: &[&str]) -> Ladder {
    let mut t = Ladder::dial(Flow::Iv);
    t.context.mixing = mixing();
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    let allow = [&["INVITE", "ACK", "BYE", "CANCEL", "NOTIFY"], allow].concat();
    t.reply("b", "INVITE", answer(5000).allow(&allow));
    t.reply("a", "INVITE", answer(4000));
    t.lines.clear();
    t
}

/// Carol's phone has sent its INVITE with Join for bob's dialog.
fn claimed(allow: &[&str]) -> Two {
    let named = connected(allow);
    let value = dialog(&named, "b", "");
    let mut t = Two::claim(named, invite(BOB, "Join", &value));
    t.new.lines.clear();
    t
}

/// The factory has made one, and alice is there.
fn conference_made(t: &mut Two) {
    t.named.reply("c", "INVITE", focus(7000));
    t.named.reply("a", "INVITE", answer(4000));
    t.talk();
}

fn answer(port: u32) -> Answer {
    Answer::new(200).sdp(&sdp(&[&format!("audio {port}")]))
}

fn focus(port: u32) -> Answer {
    answer(port).contact(FOCUS).contacts(&[&format!("<{FOCUS}>;isfocus")])
}

fn notify(t: &mut Ladder, state: &str, fragment: &str) {
    let body = Body {
        content_type: "message/sipfrag".into(),
        content_disposition: String::new(),
        content: format!("{fragment}\r\n").into_bytes(),
    };
    let headers = vec![Header::new("Event", "refer"), Header::new("Subscription-State", state)];
    t.request_with("b", "NOTIFY", Some(body), headers);
}

fn redirected(t: &Ladder) -> Vec<String> {
    let said = t.effects.iter().filter_map(|effect| match &effect.what {
        Some(What::Respond(response)) if response.status == 302 => Some(response.headers.clone()),
        _ => None,
    });
    let contacts = said.flatten().filter(|header| header.name == "Contact");
    contacts.map(|header| header.value).collect()
}
