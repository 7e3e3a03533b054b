//! REFER of a phone that is passed on to the other one.

use std::time::Duration;

use call_control::engine::call::{CallState, Flow, OutcomeKind};
use call_control::engine::claim::record::Place;
use call_control::engine::claim::takers::Takers;
use call_control::engine::effect::{Body, Header};
use call_control::engine::event::Event;
use call_control::engine::transfer::record::{DialogId, Refused, Word};

use crate::every_step::{StepOf, walk};
use crate::ladder::{Answer, Ladder, sdp};

/// CCL-02, CCL-03, CCL-06, CCL-07, LAD-9: bob's phone leads alice's, which calls carol itself; what it says of that, bob's is told; and who
/// asked hangs up.
#[test]
fn the_other_phone_is_asked_and_what_it_tells_is_told() {
    let mut t = begun();
    for step in BLIND {
        step(&mut t);
    }
    t.expect(
        "
        B>C REFER
        ! TransferStarted a
        C>A REFER 3 Refer-To: <sip:carol@example.com> Referred-By: <sip:bob@example.com>
        A>C 202 REFER
        C>B 200 REFER
        A>C NOTIFY <message/sipfrag: SIP/2.0 100 Trying>
        C>A 200 NOTIFY
        C>B NOTIFY 2 <message/sipfrag;version=2.0: SIP/2.0 100 Trying> Event: refer;id=101 Subscription-State: active;expires=180
        B>C 200 NOTIFY
        A>C NOTIFY <message/sipfrag: SIP/2.0 200 OK>
        ! TransferSucceeded a 200
        C>A 200 NOTIFY
        C>B NOTIFY 3 <message/sipfrag;version=2.0: SIP/2.0 200 OK> Event: refer;id=101 Subscription-State: terminated;reason=noresource
        B>C 200 NOTIFY
        B>C BYE
        ! LegEnded b 200
        ! LegEnded a 200
        ! Ended 200
        C>B 200 BYE
        C>A BYE 4
        A>C 200 BYE
        ",
    );
    let outcome = t.call.outcome.clone().expect("an outcome");
    assert_eq!((outcome.kind(), outcome.ended_by.as_str()), (OutcomeKind::Completed, "b"));
}

/// CCL-07, TPC-15: whatever the phones say, and wherever the application hangs up or the replica dies.
#[test]
fn every_branch_ends_once() {
    let refer: StepOf = |t| refer(t, CAROL, &[]);
    let accepted: StepOf = |t| t.reply("a", "REFER", 200);
    let branches: [(&str, Vec<StepOf>); 10] = [
        ("success", BLIND.to_vec()),
        ("refused", vec![refer, |t| t.reply("a", "REFER", 603)]),
        ("gone", vec![refer, |t| t.reply("a", "REFER", 481)]),
        (
            "busy",
            vec![
                refer,
                accepted,
                |t| notify(t, "terminated;reason=noresource", "SIP/2.0 486 Busy Here"),
                |t| t.reply("b", "NOTIFY", 200),
            ],
        ),
        (
            "the NOTIFY comes first",
            vec![refer, |t| notify(t, "active", "SIP/2.0 100 Trying"), accepted, |t| {
                notify(t, "terminated", "SIP/2.0 200 OK")
            }],
        ),
        ("no NOTIFY", vec![refer, accepted, |t| t.wait(Duration::from_secs(33))]),
        (
            "who asked hangs up",
            vec![refer, accepted, |t| drop(t.request("b", "BYE", None)), |t| {
                notify(t, "terminated", "SIP/2.0 200 OK")
            }],
        ),
        (
            "who asked hangs up in vain",
            vec![refer, |t| drop(t.request("b", "BYE", None)), accepted, |t| {
                notify(t, "terminated", "SIP/2.0 486 Busy Here")
            }],
        ),
        ("who was asked hangs up", vec![refer, accepted, |t| drop(t.request("a", "BYE", None))]),
        (
            "another call is sought in vain",
            vec![|t| crate::transfer::pass::refer(t, OF_OURS, &[]), |t| sought(t, None), accepted, |t| {
                notify(t, "terminated", "SIP/2.0 481 Call/Transaction Does Not Exist")
            }],
        ),
    ];
    for (name, steps) in branches {
        walk(name, begun, &steps);
    }
}

/// LAD-9: a refusal of the other phone is that of Carillon, and the two go on.
#[test]
fn a_refusal_is_passed_back() {
    for (status, told) in [(603, 603), (405, 405), (420, 420), (429, 429)] {
        let mut t = begun();
        refer(&mut t, CAROL, &[]);
        t.lines.clear();
        t.reply("a", "REFER", status);
        t.expect(&format!("A>C {status} REFER\n! TransferFailed a {status}\nC>B {told} REFER"));
        assert_eq!(t.call.state(), CallState::Answered);
        let relayed = t.request("a", "INVITE", Some(&sdp(&["audio 4000 sendonly"])));
        t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000 recvonly"])));
        t.ack("a", &relayed, None);
    }
}

/// CCL-05: who wants no NOTIFY gets none; Carillon itself wants to know.
#[test]
fn a_phone_that_wants_to_hear_nothing_hears_nothing() {
    for (headers, answer) in [
        (vec![("Refer-Sub", "false")], "C>B 200 REFER Refer-Sub: false"),
        (vec![("Require", "nosub")], "C>B 200 REFER"),
    ] {
        let mut t = begun();
        refer(&mut t, CAROL, &headers);
        let (_, sent) = t.last("a", "REFER");
        assert!(!sent.headers.iter().any(|header| header.name == "Refer-Sub"), "{:?}", sent.headers);
        t.lines.clear();
        t.reply("a", "REFER", 200);
        notify(&mut t, "active", "SIP/2.0 180 Ringing");
        notify(&mut t, "terminated", "SIP/2.0 200 OK");
        t.expect(&format!(
            "
            A>C 200 REFER
            {answer}
            A>C NOTIFY <message/sipfrag: SIP/2.0 180 Ringing>
            C>A 200 NOTIFY
            A>C NOTIFY <message/sipfrag: SIP/2.0 200 OK>
            ! TransferSucceeded a 200
            C>A 200 NOTIFY
            "
        ));
    }
}

/// LAD-9, CCL-08: the dialog that bob's phone has with Carillon becomes the one that carol's phone has: its Call-ID, and its tag first.
#[test]
fn replaces_of_a_leg_of_ours_is_translated() {
    let place = |target: &str| Place {
        party_uri: "sip:carol@example.com".into(),
        target: target.into(),
        join: "far@h;to-tag=carols;from-tag=ours".into(),
        ..Place::default()
    };
    let headers = "Replaces=far%40h%3Bto-tag%3Dcarols%3Bfrom-tag%3Dours&Require=replaces";
    for (target, uri) in [
        ("sip:carol@192.0.2.7:5070", "sip:carol@example.com"),
        ("sip:carol@example.com;gr=urn:uuid:1", "sip:carol@example.com;gr=urn:uuid:1"),
    ] {
        let mut t = begun();
        refer(&mut t, OF_OURS, &[]);
        t.expect("B>C REFER\n! TransferStarted a\nC>(call-2) seek");
        let Some(Word::Seek(dialog)) = t.tells().pop().and_then(|tell| tell.word) else {
            panic!("it is sought")
        };
        let wanted = DialogId {
            call_id: "x@y".into(),
            to_tag: "one".into(),
            from_tag: "two".into(),
            early_only: false,
        };
        assert_eq!(dialog, wanted);
        sought(&mut t, Some(place(target)));
        let referrer = "Referred-By: <sip:bob@example.com>";
        t.expect(&format!("C>A REFER 3 Refer-To: <{uri}?{headers}> {referrer}"));
        // It may be told twice
        sought(&mut t, Some(place("sip:other@example.com")));
        t.expect("");
    }
}

/// The call that is asked tells where the far party is, and how its phone knows the dialog; of what it does not know it says so.
#[test]
fn a_call_that_is_asked_names_its_other_end() {
    let mut t = Ladder::connected("call-2");
    let (a, b) = (t.call.legs[0].clone(), t.call.legs[1].clone());
    let seek = |to_tag: &str| {
        Word::Seek(DialogId {
            call_id: a.sip_call_id.clone(),
            to_tag: to_tag.into(),
            from_tag: a.remote_tag.clone(),
            early_only: false,
        })
    };
    let ask = |t: &mut Ladder, word| {
        t.take(&Event::Told { from: "call-1".into(), operation: 3, word }).expect("it is always taken");
        let tell = t.tells().pop().expect("it answers");
        assert_eq!((tell.call_id.as_str(), tell.operation), ("call-1", 3));
        tell.word
    };
    let Some(Word::Found(place)) = ask(&mut t, seek(&a.local_tag)) else { panic!("it is there") };
    assert_eq!(place.join, format!("{};to-tag={};from-tag={}", b.sip_call_id, b.remote_tag, b.local_tag));
    assert_eq!(
        (place.party_uri.as_str(), place.target.as_str()),
        ("sip:bob@example.com", "sip:b1@phone.example")
    );
    assert!(matches!(ask(&mut t, seek("other")), Some(Word::Refused(refused)) if refused.status == 481));
    t.request("b", "BYE", None);
    assert!(matches!(ask(&mut t, seek(&a.local_tag)), Some(Word::Refused(refused)) if refused.status == 481));
}

/// LAD-9: a call that does not answer, or is gone, is asked by the INVITE itself.
#[test]
fn what_is_not_known_is_passed_as_it_came() {
    type Say = fn(&mut Ladder);
    let ways: [(&str, Say); 2] =
        [("a refusal", |t| sought(t, None)), ("silence", |t| t.wait(Duration::from_secs(11)))];
    for (name, say) in ways {
        let mut t = begun();
        refer(&mut t, OF_OURS, &[]);
        say(&mut t);
        let (_, sent) = t.last("a", "REFER");
        let refer_to = sent.headers.iter().find(|header| header.name == "Refer-To").expect(name);
        assert_eq!(refer_to.value, OF_OURS, "{name}");
    }
}

/// Nobody is asked for whom nothing is wanted any more.
#[test]
fn who_hangs_up_while_the_other_call_is_sought_ends_the_call() {
    for leg in ["a", "b"] {
        let mut t = begun();
        refer(&mut t, OF_OURS, &[]);
        t.request(leg, "BYE", None);
        t.settle();
        assert_eq!(t.call.state(), CallState::Ended);
        assert!(!t.sent.iter().any(|(_, _, request)| request.method == "REFER"), "{leg}");
        let refused: Vec<_> = t.lines.iter().filter(|line| line.ends_with(" REFER")).cloned().collect();
        assert_eq!(refused, ["B>C REFER", "C>B 487 REFER"], "{leg}");
    }
}

/// By policy, and only to a phone that can: else Carillon does it.
#[test]
fn a_phone_that_cannot_or_may_not_is_not_asked() {
    let dials = |t: &mut Ladder, to: &str| {
        refer(t, to, &[]);
        assert!(!t.sent.iter().any(|(_, _, request)| request.method == "REFER"));
        assert!(t.lines.iter().any(|line| line == "C>B 200 REFER"), "{:#?}", t.lines);
    };
    let mut others = begun();
    others.context.referrers = Takers::new(["sip:*@example.org"]).expect("a pattern");
    dials(&mut others, CAROL);
    let mut old = talking(&["INVITE", "ACK", "BYE", "CANCEL"], &["replaces"]);
    dials(&mut old, CAROL);
    let mut plain = talking(&PHONE, &["timer"]);
    dials(&mut plain, "<sip:carol@example.com?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2>");
    let mut plain = talking(&PHONE, &["timer"]);
    refer(&mut plain, CAROL, &[]);
    assert!(plain.sent.iter().any(|(_, _, request)| request.method == "REFER"));
}

/// CCL-01: what is no REFER is passed to nobody.
#[test]
fn a_bad_refer_goes_no_further() {
    for (to, status) in [("<mailto:c@d>", 416), ("<sip:c@d;method=BYE>", 603), ("<sip:c@d?Replaces=x>", 400)]
    {
        let mut t = begun();
        refer(&mut t, to, &[]);
        t.expect(&format!("B>C REFER\nC>B {status} REFER"));
    }
}

/// SCN-15: RFC 5359 2.6. Bob's phone asks alice's to write to carol: that is for phones to do, and what it told is told; where REFERs are not
/// passed on it is refused.
#[test]
fn a_transfer_to_instant_messages_is_for_the_phones() {
    for (to, refusal) in [("<im:carol@example.com>", 416), ("<sip:carol@example.com;method=MESSAGE>", 603)] {
        let mut t = begun();
        refer(&mut t, to, &[]);
        t.reply("a", "REFER", 202);
        notify(&mut t, "terminated;reason=noresource", "SIP/2.0 200 OK");
        t.reply("b", "NOTIFY", 200);
        t.expect(&format!(
            "
            B>C REFER
            ! TransferStarted a
            C>A REFER 3 Refer-To: {to}
            A>C 202 REFER
            C>B 200 REFER
            A>C NOTIFY <message/sipfrag: SIP/2.0 200 OK>
            ! TransferSucceeded a 200
            C>A 200 NOTIFY
            C>B NOTIFY 2 <message/sipfrag;version=2.0: SIP/2.0 200 OK> Event: refer;id=101 Subscription-State: terminated;reason=noresource
            B>C 200 NOTIFY
            "
        ));
        assert_eq!(t.call.state(), CallState::Answered, "the two talk on");
        let mut t = begun();
        t.context.referrers = Takers::default();
        refer(&mut t, to, &[]);
        t.expect(&format!("B>C REFER\nC>B {refusal} REFER"));
    }
}

const CAROL: &str = "<sip:carol@example.com>";
const OF_OURS: &str =
    "<sip:cc.call-2.a@edge.example?Replaces=x%40y%3Bto-tag%3Done%3Bfrom-tag%3Dtwo&Require=replaces>";
const PHONE: [&str; 6] = ["INVITE", "ACK", "BYE", "CANCEL", "REFER", "NOTIFY"];

const BLIND: [StepOf; 8] = [
    |t| refer(t, CAROL, &[("Referred-By", "<sip:bob@example.com>")]),
    |t| t.reply("a", "REFER", 202),
    |t| notify(t, "active;expires=60", "SIP/2.0 100 Trying"),
    |t| t.reply("b", "NOTIFY", 200),
    |t| notify(t, "terminated;reason=noresource", "SIP/2.0 200 OK"),
    |t| t.reply("b", "NOTIFY", 200),
    |t| drop(t.request("b", "BYE", None)),
    |t| t.reply("a", "BYE", 200),
];

fn begun() -> Ladder {
    talking(&PHONE, &["replaces"])
}

fn talking(allow: &[&str], supported: &[&str]) -> Ladder {
    let mut t = Ladder::dial(Flow::Iv);
    t.context.referrers = Takers::new(["sip:*@example.com"]).expect("a pattern");
    let answer = |lines: &[&str]| Answer::new(200).sdp(&sdp(lines)).allow(allow).supported(supported);
    t.reply("a", "INVITE", answer(&[]));
    t.reply("b", "INVITE", answer(&["audio 5000"]));
    t.reply("a", "INVITE", answer(&["audio 4000"]));
    t.lines.clear();
    t
}

fn sought(t: &mut Ladder, place: Option<Place>) {
    let word = match place {
        Some(place) => Word::Found(place),
        None => Word::Refused(Refused { status: 481, reason: String::new() }),
    };
    let operation = t.call.operations;
    t.take(&Event::Told { from: "call-2".into(), operation, word }).expect("it is always taken");
}

pub fn refer(t: &mut Ladder, to: &str, more: &[(&str, &str)]) {
    let mut headers = vec![Header::new("Contact", "sip:bob@phone.example"), Header::new("Refer-To", to)];
    headers.extend(more.iter().map(|(name, value)| Header::new(name, value)));
    t.request_with("b", "REFER", None, headers);
}

fn notify(t: &mut Ladder, state: &str, fragment: &str) {
    let body = Body {
        content_type: "message/sipfrag".into(),
        content_disposition: String::new(),
        content: format!("{fragment}\r\n").into_bytes(),
    };
    let headers = vec![Header::new("Event", "refer"), Header::new("Subscription-State", state)];
    t.request_with("a", "NOTIFY", Some(body), headers);
}
