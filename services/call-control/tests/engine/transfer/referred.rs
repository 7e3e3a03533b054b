//! REFER of a phone, which Carillon does itself.

use call_control::engine::Redirects;
use call_control::engine::call::CallState;
use call_control::engine::effect::Header;
use call_control::engine::transfer::record::Word;

use crate::ladder::{Answer, Ladder, sdp};

/// CCL-02, CCL-03, CCL-06, CCL-07, SCN-15: bob leads alice to carol; alice sees a re-INVITE and nothing else.
#[test]
fn carillon_does_what_the_phone_asks_for() {
    let mut t = Ladder::connected("call-1");
    refer(&mut t, "<sip:carol@example.com>", &[("Referred-By", "<sip:bob@example.com>")]);
    t.reply("b", "NOTIFY", 200);
    t.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        B>C REFER
        ! TransferStarted a
        ! LegDialing c
        C>B 200 REFER
        C>B NOTIFY 2 <message/sipfrag;version=2.0: SIP/2.0 100 Trying> Event: refer;id=101 Subscription-State: active;expires=180
        C>C INVITE 1 Referred-By: <sip:bob@example.com>
        B>C 200 NOTIFY
        C>C 200 INVITE sdp1[audio:6000]
        ! LegAnswered c 200
        C>A INVITE 3 sdp3[audio:6000]
        A>C 200 INVITE sdp1[audio:4000]
        ! TransferSucceeded a 200
        ! PartyJoined c
        ! PartyLeft b
        ! LegEnded b 200
        C>A ACK 3
        C>C ACK 1 sdp1[audio:4000]
        C>B NOTIFY 3 <message/sipfrag;version=2.0: SIP/2.0 200 OK> Event: refer;id=101 Subscription-State: terminated;reason=noresource
        C>B BYE 4
        ",
    );
}

/// CCL-07: the phone that asked is told why, and has its call.
#[test]
fn a_target_that_is_busy_is_notified() {
    let mut t = Ladder::connected("call-1");
    refer(&mut t, "<sip:carol@example.com>", &[]);
    t.lines.clear();
    t.reply("c", "INVITE", 486);
    t.expect(
        "
        C>C 486 INVITE
        ! TransferFailed a 486
        ! LegEnded c 486
        C>B NOTIFY 3 <message/sipfrag;version=2.0: SIP/2.0 486 Busy Here> Event: refer;id=101 Subscription-State: terminated;reason=noresource
        C>C (released)
        ",
    );
    assert_eq!(t.call.state(), CallState::Answered);
    // A subscription that the phone has dropped is no dialog that is gone (RFC 5057)
    t.reply("b", "NOTIFY", 481);
    assert_eq!(t.call.state(), CallState::Answered);
}

/// CCL-05: RFC 7614: `nosub` in Require is enough, and Require is its place in REFER alone.
#[test]
fn a_phone_that_requires_that_there_be_no_subscription_has_none() {
    let mut t = Ladder::connected("call-1");
    refer(&mut t, "<sip:carol@example.com>", &[("Require", "nosub")]);
    t.expect("B>C REFER\n! TransferStarted a\n! LegDialing c\nC>B 200 REFER\nC>C INVITE 1");
    let mut t = Ladder::connected("call-1");
    refer(&mut t, "<sip:carol@example.com>", &[("Require", "explicitsub")]);
    t.expect("B>C REFER\nC>B 420 REFER Unsupported: explicitsub");
    t.request_with("b", "INFO", None, vec![Header::new("Require", "nosub")]);
    t.expect("B>C INFO\nC>B 420 INFO Unsupported: nosub");
}

/// CCL-05
#[test]
fn a_phone_that_wants_no_notify_gets_none() {
    let mut t = Ladder::connected("call-1");
    refer(&mut t, "<sip:carol@example.com>", &[("Refer-Sub", "false")]);
    t.reply("c", "INVITE", 486);
    t.expect(
        "
        B>C REFER
        ! TransferStarted a
        ! LegDialing c
        C>B 200 REFER Refer-Sub: false
        C>C INVITE 1
        C>C 486 INVITE
        ! TransferFailed a 486
        ! LegEnded c 486
        C>C (released)
        ",
    );
}

/// CCL-01, CCL-06, T20: what is no good REFER, and where phones may not lead Carillon.
#[test]
fn a_bad_refer_is_refused_and_changes_nothing() {
    let carol = "<sip:carol@example.com>";
    let cases: [(&[(&str, &str)], u32); 10] = [
        (&[("Contact", "sip:b@p")], 400),
        (&[("Refer-To", carol)], 400),
        (&[("Contact", "sip:b@p"), ("Refer-To", carol), ("Refer-To", carol)], 400),
        (
            &[
                ("Contact", "sip:b@p"),
                ("Refer-To", carol),
                ("Referred-By", "<sip:x@y>"),
                ("Referred-By", "<sip:z@y>"),
            ],
            400,
        ),
        (&[("Contact", "sip:b@p"), ("Refer-To", "nothing")], 400),
        (&[("Contact", "sip:b@p"), ("Refer-To", "<mailto:carol@example.com>")], 416),
        (&[("Contact", "sip:b@p"), ("Refer-To", "<sip:carol@example.com;method=BYE>")], 603),
        (&[("Contact", "sip:b@p"), ("Refer-To", "<sip:carol@example.com?Replaces=x>")], 400),
        (&[("Contact", "sip:b@p"), ("Refer-To", "<sip:carol@127.0.0.1:6379>")], 403),
        (&[("Contact", "sip:b@p"), ("Refer-To", "<tel:+19005551234>")], 403),
    ];
    for (headers, status) in cases {
        let mut t = Ladder::connected("call-1");
        t.context.redirects = Redirects::within(["example.com"]);
        t.denied = headers.iter().any(|(_, value)| value.starts_with("<tel:"));
        let headers = headers.iter().map(|(name, value)| Header::new(name, value)).collect();
        t.request_with("b", "REFER", None, headers);
        t.expect(&format!("B>C REFER\nC>B {status} REFER"));
        assert_eq!(t.call.state(), CallState::Answered);
    }
}

/// CCL-01, T6: a number that the registrar lets the phone call is led to, written as `tel` too.
#[test]
fn a_phone_refers_to_a_number_by_its_tel_uri() {
    let mut t = Ladder::connected("call-1");
    t.context.redirects = Redirects::within(["example.com"]);
    refer(&mut t, "<tel:+4930>", &[("Refer-Sub", "false")]);
    assert_eq!(t.last("c", "INVITE").1.request_uri, "tel:+4930");
}

/// CCL-01: the subscription comes of a REFER alone.
#[test]
fn nobody_subscribes_to_refer_out_of_nothing() {
    let mut t = Ladder::connected("call-1");
    t.request_with("b", "SUBSCRIBE", None, vec![Header::new("Event", "refer;id=7")]);
    t.request_with("b", "SUBSCRIBE", None, vec![Header::new("Event", "dialog")]);
    t.expect(
        "
        B>C SUBSCRIBE
        C>B 403 SUBSCRIBE
        B>C SUBSCRIBE
        C>B 405 SUBSCRIBE
        ",
    );
}

/// One at a time, and not while a call is being set up.
#[test]
fn a_refer_that_comes_too_early_or_twice_may_come_again() {
    let mut t = Ladder::connected("call-1");
    refer(&mut t, "<sip:carol@example.com>", &[]);
    refer(&mut t, "<sip:dave@example.com>", &[]);
    assert!(
        t.lines.last().is_some_and(|line| line.starts_with("C>B 500 REFER Retry-After")),
        "{:#?}",
        t.lines
    );
    let started = t.lines.iter().filter(|line| line.contains("TransferStarted")).count();
    assert_eq!(started, 1);
}

/// LAD-9, CCL-08: attended, to another call of Carillon's: the far party of that call comes, and no phone sees a Replaces.
#[test]
fn replaces_of_a_leg_of_ours_leads_to_the_other_party_of_its_call() {
    let mut t = Ladder::connected("call-1");
    let to = "<sip:cc.call-2.a@edge.example?Replaces=x%40y%3Bto-tag%3Done%3Bfrom-tag%3Dtwo&Require=replaces>";
    refer(&mut t, to, &[]);
    let tells = t.tells();
    let (call_id, word) = (tells[0].call_id.as_str(), tells[0].word.clone());
    let Some(Word::Borrow(wanted)) = word else { panic!("{word:?}") };
    let dialog = wanted.replaces.expect("a dialog");
    assert_eq!(
        (call_id, &*dialog.call_id, &*dialog.to_tag, &*dialog.from_tag),
        ("call-2", "x@y", "one", "two")
    );
}

/// CCL-08, RFC 5589 7.3: the same when the target is named by its address of record, also where nobody may be called there.
#[test]
fn replaces_of_a_leg_of_ours_is_known_by_the_dialog_and_not_by_the_uri() {
    let mut t = Ladder::connected("call-1");
    t.replaces_in = "call-2".into();
    t.context.redirects = Redirects::within(["elsewhere.example"]);
    refer(&mut t, "<sip:carol@example.com?Replaces=x%40y%3Bto-tag%3Done%3Bfrom-tag%3Dtwo>", &[]);
    let tells = t.tells();
    let Some(Word::Borrow(wanted)) = &tells[0].word else { panic!("{tells:?}") };
    let dialog = wanted.replaces.as_ref().expect("a dialog");
    assert_eq!((tells[0].call_id.as_str(), dialog.call_id.as_str()), ("call-2", "x@y"));
    assert!(!t.lines.iter().any(|line| line.starts_with("C>C INVITE")), "{:#?}", t.lines);
}

/// CCL-06, LAD-9 7, MSG-17: Replaces of a dialog that is none of ours goes with the INVITE, and nothing else that the URI says.
#[test]
fn replaces_of_another_dialog_goes_with_the_invite() {
    let mut t = Ladder::connected("call-1");
    let evil = ["From", "Call-ID", "CSeq", "Via", "Record-Route", "Route", "Subject", "Contact", "body"];
    let more: String = evil.iter().map(|name| format!("&{name}=x")).collect();
    refer(&mut t, &format!("<sip:carol@example.com?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2{more}>"), &[]);
    let (_, invite) = t.last("c", "INVITE");
    let value =
        |name: &str| invite.headers.iter().find(|header| header.name == name).map(|header| &*header.value);
    assert_eq!((value("Replaces"), value("Require")), (Some("x;to-tag=1;from-tag=2"), Some("replaces")));
    for name in evil {
        assert_eq!(value(name), None, "{name}");
    }
    assert_eq!(invite.request_uri, "sip:carol@example.com");
}

/// T6: the INVITE says on whose word it is sent; a number that the phone may not call is refused before anything happens.
#[test]
fn a_phone_answers_for_where_it_leads() {
    let mut t = Ladder::connected("call-1");
    let target = ("Refer-To", "<sip:+33123@example.com>");
    let headers = [("Contact", "sip:bob@phone.example"), target];
    let headers: Vec<Header> = headers.iter().map(|(name, value)| Header::new(name, value)).collect();
    t.denied = true;
    t.request_with("b", "REFER", None, headers);
    t.expect("B>C REFER\nC>B 403 REFER");
    t.denied = false;
    refer(&mut t, "<sip:carol@example.com>", &[]);
    let (_, invite) = t.last("c", "INVITE");
    assert_eq!(invite.referred_by, "sip:bob@example.com");
    assert_eq!(t.last("a", "INVITE").1.referred_by, "", "the application's own");
}

fn refer(t: &mut Ladder, to: &str, more: &[(&str, &str)]) {
    let mut headers = vec![Header::new("Contact", "sip:bob@phone.example"), Header::new("Refer-To", to)];
    headers.extend(more.iter().map(|(name, value)| Header::new(name, value)));
    t.request_with("b", "REFER", None, headers);
}
