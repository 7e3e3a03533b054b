//! REFER of a phone to the focus: CCL-18.

use call_control::engine::effect::Header;

use super::{answer, conferring, told};
use crate::ladder::Ladder;

/// CCL-18, CCL-03: alice adds dave and is told how that goes.
#[test]
fn a_phone_adds_somebody() {
    let mut t = conferring();
    refer(&mut t, "a", "<sip:dave@example.com>");
    t.reply("g", "INVITE", 180);
    t.reply("g", "INVITE", answer(8000));
    t.reply("h", "INVITE", answer(7006));
    t.expect(
        "
        A>C REFER
        ! LegDialing g
        C>A 200 REFER
        C>A NOTIFY 4 <message/sipfrag;version=2.0: SIP/2.0 100 Trying> Event: refer;id=101 Subscription-State: active;expires=180
        C>G INVITE 1 isfocus
        C>(roster) 2: alice in, bob in, carol in, dave
        G>C 180 INVITE
        ! LegRinging g 180
        G>C 200 INVITE sdp1[audio:8000]
        ! LegAnswered g 200
        ! LegDialing h
        C>H INVITE 1 sdp1[audio:8000]
        H>C 200 INVITE sdp1[audio:7006]
        ! LegAnswered h 200
        ! PartyJoined g
        C>H ACK 1
        C>G ACK 1 sdp1[audio:7006]
        C>A NOTIFY 5 <message/sipfrag;version=2.0: SIP/2.0 200 OK> Event: refer;id=101 Subscription-State: terminated;reason=noresource
        C>(roster) 3: alice in, bob in, carol in, dave in
        ",
    );
}

/// CCL-18: alice, who made the conference, removes carol; carol may remove herself alone.
#[test]
fn a_phone_removes_somebody() {
    let mut t = conferring();
    refer(&mut t, "c", "<sip:bob@example.com;method=BYE>");
    assert_eq!(told(&t, &["Party"]), Vec::<String>::new());
    t.lines.clear();
    refer(&mut t, "a", "<sip:carol@example.com;method=BYE>");
    t.expect(
        "
        A>C REFER
        ! PartyLeft c
        ! LegEnded c 200
        ! LegEnded d 200
        C>A 200 REFER
        C>A NOTIFY 4 <message/sipfrag;version=2.0: SIP/2.0 200 OK> Event: refer;id=101 Subscription-State: terminated;reason=noresource
        C>C BYE 2
        C>D BYE 2
        C>(roster) 2: alice in, bob in
        ",
    );
    refer(&mut t, "b", "<sip:bob@example.com;method=BYE>");
    assert_eq!(told(&t, &["PartyLeft"]), ["! PartyLeft b"]);
}

/// CCL-01, CCL-18: what is not understood is refused, and nobody is called or sent away.
#[test]
fn what_the_focus_does_not_do_is_refused() {
    for (target, status) in [
        ("<sip:nobody@example.com;method=BYE>", 404),
        ("<sip:dave@example.com;method=MESSAGE>", 603),
        ("<mailto:dave@example.com>", 416),
        ("<<", 400),
    ] {
        let mut t = conferring();
        refer(&mut t, "a", target);
        assert!(t.lines.iter().any(|line| line.starts_with(&format!("C>A {status} REFER"))), "{:?}", t.lines);
        assert_eq!(t.call.legs.len(), 6, "{target}");
    }
    let mut t = conferring();
    refer(&mut t, "d", "<sip:dave@example.com>");
    assert!(t.lines.iter().any(|line| line.starts_with("C>D 403 REFER")), "{:?}", t.lines);
}

fn refer(t: &mut Ladder, leg: &str, target: &str) {
    let headers =
        vec![Header::new("Refer-To", target), Header::new("Contact", format!("sip:{leg}@phone.example"))];
    t.request_with(leg, "REFER", None, headers);
}
