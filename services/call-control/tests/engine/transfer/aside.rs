//! REFER outside the dialog of a leg, by Target-Dialog.

use call_control::engine::call::{CallState, Flow, Party};
use call_control::engine::claim::takers::Takers;
use call_control::engine::effect::{Body, Header};
use call_control::engine::event::{Event, FailureCause, Method, RequestReceived, Target};
use call_control::engine::transfer::record::Word;

use crate::every_step::{StepOf, walk};
use crate::ladder::{Answer, Ladder, sdp};

/// CCL-04, CCL-03, LAD-9: a REFER with the dialog of the leg in Target-Dialog is one in that dialog; its NOTIFYs go in the dialog that it
/// made.
#[test]
fn a_refer_outside_the_dialog_is_known_by_its_target_dialog() {
    let mut t = Ladder::connected("call-1");
    refer(&mut t, |_| {});
    t.expect(
        "
        B>C REFER (aside)
        ! TransferStarted a
        ! LegDialing c
        C>B 200 REFER
        C>B NOTIFY 2 <message/sipfrag;version=2.0: SIP/2.0 100 Trying> Event: refer;id=7 Subscription-State: active;expires=180
        C>C INVITE 1
        ",
    );
    let (_, notify) = t.last("b", "NOTIFY");
    assert_eq!((notify.sip_call_id.as_str(), notify.to_tag.as_str()), ("aside@phone", "theirs"));
    assert_eq!((notify.request_uri.as_str(), notify.flow.as_str()), ("sip:bob@phone.example", "flow"));
    assert_eq!(
        (notify.from_uri.as_str(), notify.to_uri.as_str()),
        ("sip:cc.call-1.b@edge", "sip:bob@example.com")
    );
    assert_eq!(notify.route, ["<sip:p2;lr>", "<sip:p1;lr>"]);
    assert!(!notify.from_tag.is_empty() && notify.from_tag != t.call.legs[1].local_tag);
    t.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    let (_, last) = t.last("b", "NOTIFY");
    assert_eq!(last.from_tag, notify.from_tag);
    assert!(String::from_utf8_lossy(&last.body.expect("a fragment").content).contains("200 OK"));
}

/// CCL-04: who does not name the dialog leads nobody in it.
#[test]
fn another_target_dialog_authorises_nobody() {
    type Spoil = fn(&mut RequestReceived);
    let ways: [(&str, Spoil, u32); 6] = [
        ("none", |r| r.headers.retain(|header| header.name != "Target-Dialog"), 403),
        ("two", |r| r.headers.push(r.headers[0].clone()), 403),
        ("the tags the other way round", |r| swap_tags(&mut r.headers[0]), 403),
        ("another call", |r| r.headers[0].value = "x@y;local-tag=1;remote-tag=2".into(), 403),
        ("nonsense", |r| r.headers[0].value = ";;;".into(), 403),
        ("an extension that is not there", |r| r.require.push("foo".into()), 420),
    ];
    for (name, spoil, status) in ways {
        let mut t = Ladder::connected("call-1");
        refer(&mut t, spoil);
        let answer =
            t.lines.iter().find(|line| line.ends_with("REFER") || line.contains("Unsupported")).cloned();
        assert!(
            answer.as_ref().is_some_and(|line| line.starts_with(&format!("C>B {status} REFER"))),
            "{name}: {answer:?}"
        );
        assert_eq!(t.call.state(), CallState::Answered, "{name}");
    }
    let mut t = Ladder::connected("call-1");
    refer(&mut t, |r| r.method = "OPTIONS".into());
    assert_eq!(t.lines.last().map(String::as_str), Some("C>B 481 OPTIONS"));
}

/// CCL-04, CCL-11: who knows the dialog and is not its user leads nobody in it: who is proved, or asserted by a neighbour that is believed, or,
/// where nobody has to prove anything, who says so.
#[test]
fn only_the_user_of_a_leg_leads_from_outside() {
    type Who = fn(&mut RequestReceived);
    const STRANGER: &str = "sip:mallory@example.com";
    let ways: [(&str, Who, u32); 9] = [
        ("bob, proved", |r| r.identity = "sip:bob@example.com".into(), 200),
        ("mallory, proved", |r| r.identity = STRANGER.into(), 403),
        ("the far party", |r| r.identity = "sip:alice@example.com".into(), 403),
        ("who the operator lets", |r| r.identity = "sip:desk@example.com".into(), 200),
        ("mallory, unproved", |r| r.from_uri = STRANGER.into(), 403),
        ("says to be who the operator lets", |r| r.from_uri = "sip:desk@example.com".into(), 403),
        ("bob, asserted", |r| asserts(r, "<sip:bob@example.com>", true), 200),
        ("mallory, asserted", |r| asserts(r, "<sip:mallory@example.com>", true), 403),
        ("asserted by anybody", |r| asserts(r, "<sip:desk@example.com>", false), 200),
    ];
    for (name, who, status) in ways {
        let mut t = Ladder::connected("call-1");
        t.context.takers = Takers::new(["sip:desk@example.com"]).expect("a pattern");
        refer(&mut t, who);
        let answer = format!("C>B {status} REFER");
        assert!(t.lines.contains(&answer), "{name}: {:#?}", t.lines);
        assert_eq!(t.lines.iter().any(|line| line.contains("TransferStarted")), status == 200, "{name}");
    }
    // RFC 5627: the phone of a user who was called by another name
    let mut t = Ladder::dial_to("sip:alice@example.com", "sip:sales@example.com", Flow::Iv, |_| {});
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    let contact = "sip:bob@example.com;gr=urn:uuid:2";
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])).contact(contact));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    refer(&mut t, |r| r.identity = "sip:bob@example.com".into());
    assert!(t.lines.contains(&"C>B 200 REFER".to_owned()), "{:#?}", t.lines);
}

fn asserts(request: &mut RequestReceived, value: &str, is_trusted: bool) {
    request.headers.push(Header::new("P-Asserted-Identity", value));
    request.is_trusted = is_trusted;
}

/// CCL-04, CCL-12: a phone with a GRUU that lists `tdialog` is sent REFER outside the dialog, and its NOTIFYs are known by the tag that it
/// was given; the first one makes the dialog, and no other one does.
#[test]
fn a_phone_with_a_gruu_is_referred_outside_the_dialog() {
    let mut t = referring("sip:alice@example.com;gr=urn:uuid:1", &["tdialog"]);
    let on = t.call.legs[0].clone();
    let target = format!("{};local-tag={};remote-tag={}", on.sip_call_id, on.remote_tag, on.local_tag);
    let (_, sent) = t.last("a", "REFER");
    let value =
        |name: &str| sent.headers.iter().find(|header| header.name == name).map(|header| &*header.value);
    assert_eq!((value("Target-Dialog"), value("Require")), (Some(target.as_str()), Some("tdialog")));
    assert_eq!(
        (sent.to_tag.as_str(), sent.request_uri.as_str()),
        ("", "sip:alice@example.com;gr=urn:uuid:1")
    );
    assert!(sent.sip_call_id != on.sip_call_id && sent.from_tag != on.local_tag);
    // EVT-05: before the answer to the REFER
    told(&mut t, "first", 1, "SIP/2.0 100 Trying");
    told(&mut t, "fork", 1, "SIP/2.0 200 OK");
    t.reply("a", "REFER", Answer::new(200).tag("first"));
    told(&mut t, "first", 1, "SIP/2.0 200 OK");
    let answers: Vec<_> =
        t.lines.iter().filter(|line| line.starts_with("C>A ") && line.ends_with("NOTIFY")).cloned().collect();
    assert_eq!(answers, ["C>A 200 NOTIFY", "C>A 481 NOTIFY", "C>A 500 NOTIFY"]);
    told(&mut t, "first", 2, "SIP/2.0 200 OK");
    assert!(t.lines.iter().any(|line| line == "! TransferSucceeded a 200"), "{:#?}", t.lines);
}

/// CCL-04: inside the dialog otherwise.
#[test]
fn other_phones_are_referred_in_the_dialog() {
    for (contact, supported) in
        [("sip:alice@192.0.2.1", &["tdialog"][..]), ("sip:alice@example.com;gr=urn:uuid:1", &["replaces"])]
    {
        let t = referring(contact, supported);
        let (_, sent) = t.last("a", "REFER");
        assert_eq!(sent.to_tag, t.call.legs[0].remote_tag, "{contact}");
        assert!(!sent.headers.iter().any(|header| header.name == "Target-Dialog"));
    }
}

/// What is said of a request outside the dialog is not about the dialog.
#[test]
fn the_call_outlives_a_refer_beside_it() {
    type Say = fn(&mut Ladder);
    let ways: [(Say, u32); 3] = [
        (|t| t.reply("a", "REFER", 481), 481),
        (|t| t.silence("a", "REFER", FailureCause::Timeout), 408),
        (|t| t.reply("a", "REFER", 403), 403),
    ];
    for (say, status) in ways {
        let mut t = referring("sip:alice@example.com;gr=urn:uuid:1", &["tdialog"]);
        say(&mut t);
        assert!(t.lines.contains(&format!("! TransferFailed a {status}")), "{:#?}", t.lines);
        assert_eq!(t.call.state(), CallState::Answered);
    }
}

/// TPC-15, LAD-9
#[test]
fn every_branch_ends_once() {
    let of_phone: Vec<StepOf> = vec![
        |t| refer(t, |_| {}),
        |t| t.reply("b", "NOTIFY", 200),
        |t| t.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000"]))),
        |t| t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"]))),
        |t| t.reply("b", "BYE", 200),
    ];
    walk("of a phone", || Ladder::connected("call-1"), &of_phone);
    let ours: Vec<StepOf> = vec![
        |t| told(t, "first", 1, "SIP/2.0 100 Trying"),
        |t| t.reply("a", "REFER", Answer::new(200).tag("first")),
        |t| told(t, "first", 2, "SIP/2.0 200 OK"),
        |t| t.reply("a", "BYE", 200),
    ];
    walk("ours", || referring("sip:alice@example.com;gr=urn:uuid:1", &["tdialog"]), &ours);
    let without: Vec<StepOf> = vec![
        |t| t.reply("a", "REFER", 200),
        |t| notify(t, "SIP/2.0 420 Bad Extension"),
        |t| t.reply("a", "REFER", 200),
        |t| notify(t, "SIP/2.0 200 OK"),
    ];
    walk("420", replacing, &without);
}

/// LAD-9: the target knows no Replaces: its call ends, and it is called without.
#[test]
fn a_target_without_replaces_is_called_anew() {
    let mut t = replacing();
    t.reply("a", "REFER", 200);
    t.lines.clear();
    notify(&mut t, "SIP/2.0 420 Bad Extension");
    t.expect(
        "
        A>C NOTIFY <message/sipfrag: SIP/2.0 420 Bad Extension>
        C>A 200 NOTIFY
        C>(call-2) give way
        C>A REFER 4 Refer-To: <sip:carol@phone> Referred-By: <sip:bob@example.com>
        ",
    );
    // Once
    t.reply("a", "REFER", 200);
    t.lines.clear();
    notify(&mut t, "SIP/2.0 420 Bad Extension");
    assert!(t.lines.contains(&"! TransferFailed a 420".to_owned()), "{:#?}", t.lines);
    let mut other = Ladder::connected("call-2");
    let word = Word::GiveWay(Default::default());
    for _ in 0..2 {
        other
            .take(&Event::Told { from: "call-1".into(), operation: 2, word: word.clone() })
            .expect("it is always taken");
    }
    let byes: Vec<_> = other.lines.iter().filter(|line| line.contains("BYE")).cloned().collect();
    assert_eq!(byes, ["C>A BYE 3", "C>B BYE 2"]);
}

fn replacing() -> Ladder {
    let mut t = Ladder::connected("call-1");
    let uri = "sip:carol@phone?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2&Require=replaces".to_owned();
    let party = Party { uri, ..Party::default() };
    t.transfer_by("a", Target::Replacing { party, call_id: "call-2".into() }, Method::Refer)
        .expect("they talk");
    t
}

fn referring(contact: &str, supported: &[&str]) -> Ladder {
    let mut t = Ladder::dial(Flow::Iv);
    let answer = |lines: &[&str]| Answer::new(200).sdp(&sdp(lines)).contact(contact).supported(supported);
    t.reply("a", "INVITE", answer(&[]));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "INVITE", answer(&["audio 4000"]));
    t.lines.clear();
    let carol = Target::Party(Party { uri: "sip:carol@example.com".into(), ..Party::default() });
    t.transfer_by("a", carol, Method::Refer).expect("they talk");
    t
}

/// bob's phone leads alice to carol.
fn refer(t: &mut Ladder, change: impl FnOnce(&mut RequestReceived)) {
    let on = &t.call.legs[1];
    let target = format!("{};local-tag={};remote-tag={}", on.sip_call_id, on.local_tag, on.remote_tag);
    let mut request = RequestReceived {
        transaction: "aside-1".into(),
        method: "REFER".into(),
        cseq: 7,
        sip_call_id: "aside@phone".into(),
        from_tag: "theirs".into(),
        from_uri: "sip:bob@example.com".into(),
        to_uri: "sip:cc.call-1.b@edge".into(),
        contact: "sip:bob@phone.example".into(),
        require: vec!["tdialog".into()],
        record_route: vec!["<sip:p2;lr>".into(), "<sip:p1;lr>".into()],
        headers: vec![
            Header::new("Target-Dialog", target),
            Header::new("Refer-To", "<sip:carol@example.com>"),
        ],
        ..RequestReceived::default()
    };
    change(&mut request);
    t.request_aside("b", request);
}

fn swap_tags(header: &mut Header) {
    header.value = header
        .value
        .replace("local-tag", "x-tag")
        .replace("remote-tag", "local-tag")
        .replace("x-tag", "remote-tag");
}

/// NOTIFY of alice's phone in the dialog beside.
fn told(t: &mut Ladder, tag: &str, cseq: u32, fragment: &str) {
    let (_, sent) = t.last("a", "REFER");
    let request = RequestReceived {
        transaction: format!("{tag}-{cseq}-{}", t.lines.len()),
        method: "NOTIFY".into(),
        cseq,
        sip_call_id: sent.sip_call_id,
        from_tag: tag.into(),
        to_tag: sent.from_tag,
        contact: "sip:alice@phone.example".into(),
        headers: vec![Header::new("Event", "refer"), Header::new("Subscription-State", "active;expires=60")],
        body: Some(fragment_of(fragment)),
        ..RequestReceived::default()
    };
    t.request_aside("a", request);
}

/// The same in the dialog of the leg.
fn notify(t: &mut Ladder, fragment: &str) {
    let headers = vec![Header::new("Event", "refer"), Header::new("Subscription-State", "terminated")];
    t.request_with("a", "NOTIFY", Some(fragment_of(fragment)), headers);
}

fn fragment_of(text: &str) -> Body {
    Body {
        content_type: "message/sipfrag".into(),
        content_disposition: String::new(),
        content: format!("{text}\r\n").into_bytes(),
    }
}
