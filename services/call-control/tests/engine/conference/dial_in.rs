//! The URI of a conference is called, asked and referred to from outside of any dialog: CCL-13, CCL-17, CCL-18.

use std::time::Duration;

use call_control::engine::effect::{Body, Header, What};
use call_control::engine::event::{CallReceived, LegEvent};

use super::{answer, conferring, conferring_until, connected, let_all_end, told};
use crate::ladder::{Ladder, sdp};
use call_control::engine::claim::takers::Takers;
use call_control::engine::conference::record::Ends;

const DAVE: &str = "in-dave";

/// A request for the conference by dave.
fn asked(method: &str) -> CallReceived {
    CallReceived {
        method: method.into(),
        transaction: format!("t-{method}"),
        request_uri: "sip:conf-call-1@192.0.2.1".into(),
        from_uri: "sip:dave@example.com".into(),
        from_tag: "dt".into(),
        to_uri: "sip:conf-call-1@192.0.2.1".into(),
        sip_call_id: "call-of-dave".into(),
        cseq: 1,
        contact: "sip:dave@phone.example".into(),
        max_forwards: 70,
        max_breadth: 60,
        identity: "sip:dave@example.com".into(),
        ..CallReceived::default()
    }
}

/// Gives it to the conference, as the first event of this leg.
fn ask(t: &mut Ladder, leg: &str, asked: CallReceived) {
    t.transactions.insert(asked.transaction.clone(), asked.method.clone());
    t.lines.push(format!("{}>C {}", leg.to_uppercase(), asked.method));
    t.event(leg, LegEvent::Incoming(Box::new(asked)));
}

fn invite() -> CallReceived {
    CallReceived { body: Some(Body::sdp(sdp(&["audio 8000"]).into_bytes())), ..asked("INVITE") }
}

/// The header by which the leg's dialog is named.
fn replaces(t: &Ladder, leg: &str, further: &str) -> Header {
    let on = t.call.legs.iter().find(|on| on.leg_id == leg).expect("the leg");
    let value = format!("{};to-tag={};from-tag={}{further}", on.sip_call_id, on.local_tag, on.remote_tag);
    Header::new("Replaces", value)
}

/// The status that was answered last, and its headers.
fn answered_last(t: &Ladder) -> (u32, Vec<Header>) {
    let responses = t.effects.iter().rev().filter_map(|effect| match &effect.what {
        Some(What::Respond(response)) => Some((response.status, response.headers.clone())),
        _ => None,
    });
    responses.into_iter().next().expect("an answer")
}

/// CCL-13, CCL-16, CCL-17: the offer goes to the mixer where the others are, its answer and `isfocus` in the 200; a Join is ignored. Whoever
/// came in like that is a member like any other.
#[test]
fn who_calls_the_uri_comes_in() {
    let mut t = conferring();
    let join = Header::new("Join", "nobody;to-tag=1;from-tag=2");
    ask(&mut t, DAVE, CallReceived { headers: vec![join], ..invite() });
    t.reply("h", "INVITE", answer(7006));
    t.ack(DAVE, "t-INVITE", None);
    t.expect(
        "
        IN-DAVE>C INVITE
        ! LegDialing h
        C>H INVITE 1 sdp1[audio:8000]
        C>(roster) 2: alice in, bob in, carol in, dave
        H>C 200 INVITE sdp1[audio:7006]
        ! LegAnswered h 200
        ! LegAnswered in-dave 200
        ! PartyJoined in-dave
        C>H ACK 1
        C>IN-DAVE 200 INVITE sdp1[audio:7006] isfocus
        C>(roster) 3: alice in, bob in, carol in, dave in
        IN-DAVE>C ACK
        ",
    );
    let (_, to_mixer) = t.last("h", "INVITE");
    assert_eq!(to_mixer.request_uri, "sip:conf=call-1@mix1.example.com");
    t.request(DAVE, "BYE", None);
    assert_eq!(told(&t, &["PartyLeft", "Ended"]), [format!("! PartyLeft {DAVE}")]);
    for leg in ["a", "b", "c"] {
        t.request(leg, "BYE", None);
    }
    assert_eq!(told(&t, &["Ended"]), ["! Ended 200"]);
    let_all_end(&mut t);
}

/// CCL-17: without an offer the mixer makes one, and the ACK has the answer.
#[test]
fn who_calls_without_an_offer_answers_that_of_the_mixer() {
    let mut t = conferring();
    ask(&mut t, DAVE, asked("INVITE"));
    t.reply("h", "INVITE", answer(7006));
    t.lines.clear();
    t.ack(DAVE, "t-INVITE", Some(&sdp(&["audio 8000"])));
    t.expect(
        "
        IN-DAVE>C ACK sdp1[audio:8000]
        C>H ACK 1 sdp1[audio:8000]
        ",
    );
}

/// CCL-09, CCL-10, CCL-11, CCL-17: a member calls from another phone and takes its own place: in first, then the old phone is hung up on.
/// Who made the conference has still made it.
#[test]
fn a_member_moves_to_another_phone() {
    let mut t = conferring_until(Ends::Creator);
    let moved = CallReceived {
        identity: "sip:alice@example.com".into(),
        from_uri: "sip:alice@example.com".into(),
        headers: vec![replaces(&t, "a", "")],
        ..invite()
    };
    ask(&mut t, DAVE, moved);
    t.reply("h", "INVITE", answer(7006));
    t.ack(DAVE, "t-INVITE", None);
    assert_eq!(told(&t, &["Party", "Ended"]), [format!("! PartyJoined {DAVE}"), "! PartyLeft a".into()]);
    assert!(
        t.lines.contains(&"C>A BYE 3".to_owned()) || t.lines.iter().any(|line| line.starts_with("C>A BYE"))
    );
    t.request(DAVE, "BYE", None);
    assert_eq!(told(&t, &["Ended"]), ["! Ended 200"], "the creator has left");
    let_all_end(&mut t);
}

/// CCL-09, CCL-10, CCL-11: who may not take a place, or names none, is refused, and nothing of it is kept.
#[test]
fn who_may_not_take_a_place_is_refused() {
    let t = conferring();
    let [of_alice, early] = ["", ";early-only"].map(|further| replaces(&t, "a", further));
    let unknown = Header::new("Replaces", "x;to-tag=1;from-tag=2");
    let join = Header::new("Join", "x;to-tag=1;from-tag=2");
    let alice = "sip:alice@example.com";
    for (headers, identity, status) in [
        (vec![of_alice.clone()], "sip:dave@example.com", 403),
        (vec![of_alice.clone()], "", 403),
        (vec![early], alice, 486),
        (vec![unknown], alice, 481),
        (vec![of_alice.clone(), of_alice.clone()], alice, 400),
        (vec![of_alice, join], alice, 400),
        (vec![Header::new("Replaces", "x;to-tag=1")], alice, 400),
    ] {
        let mut t = conferring();
        ask(&mut t, DAVE, CallReceived { headers, identity: identity.into(), ..invite() });
        assert_eq!(answered_last(&t).0, status, "{:?}", t.lines);
        assert_eq!(t.call.legs.len(), 6);
        assert!(t.call.outbox.is_empty(), "{:?}", t.call.outbox);
    }
}

/// CCL-17: what a focus says of itself to who only asks.
#[test]
fn who_asks_by_options_is_told_that_it_is_a_focus() {
    let mut t = conferring();
    ask(&mut t, DAVE, asked("OPTIONS"));
    let (status, headers) = answered_last(&t);
    let of =
        |name: &str| headers.iter().find(|header| header.name == name).map(|header| header.value.as_str());
    assert_eq!((status, of("Allow-Events")), (200, Some("conference, refer")));
    assert!(of("Allow").is_some_and(|allow| allow.contains("REFER")), "{headers:?}");
    assert!(
        of("Supported").is_some_and(|tags| tags.contains("replaces") && tags.contains("join")),
        "{headers:?}"
    );
    let is_focus = t.effects.iter().rev().find_map(|effect| match &effect.what {
        Some(What::Respond(response)) => Some(response.in_conference),
        _ => None,
    });
    assert_eq!(is_focus, Some(true));
    assert_eq!(t.call.legs.len(), 6, "nothing is kept of it");
}

/// CCL-17: a call that is no conference, or another one, is not to be called.
#[test]
fn what_is_no_conference_is_not_found() {
    for method in ["INVITE", "OPTIONS", "REFER"] {
        let mut t = connected();
        ask(&mut t, DAVE, asked(method));
        assert_eq!(answered_last(&t).0, 404, "{method}");
        assert_eq!(t.call.legs.len(), 2);
        let mut t = conferring();
        let other = "sip:conf-call-2@192.0.2.1".into();
        ask(&mut t, DAVE, CallReceived { request_uri: other, ..asked(method) });
        assert_eq!(answered_last(&t).0, 404, "{method}");
    }
    let mut t = conferring();
    ask(&mut t, DAVE, asked("MESSAGE"));
    assert_eq!(answered_last(&t).0, 405);
    let mut t = conferring();
    ask(&mut t, DAVE, CallReceived { require: vec!["foo".into(), "nosub".into()], ..asked("REFER") });
    let (status, headers) = answered_last(&t);
    assert_eq!((status, headers), (420, vec![Header::new("Unsupported", "foo")]));
}

/// LAD-8, UAC-20: a mixer that refuses, one that is silent, and a caller that cancels: that one does not come in, and the others go on.
#[test]
fn who_does_not_get_to_the_mixer_leaves_the_others_alone() {
    for way in ["refused", "silent", "cancelled"] {
        let mut t = conferring();
        ask(&mut t, DAVE, invite());
        match way {
            "refused" => t.reply("h", "INVITE", 503),
            "silent" => t.wait(Duration::from_secs(5)),
            _ => t.event(DAVE, LegEvent::Cancel { transaction: "t-INVITE".into(), reason: Vec::new() }),
        }
        let status = answered_last(&t).0;
        assert!(status >= 480 && (way != "cancelled" || status == 487), "{way}: {status}");
        assert_eq!(told(&t, &["PartyJoined", "PartyLeft", "Ended"]), Vec::<String>::new(), "{way}");
        assert_eq!(told(&t, &["LegEnded in-dave"]).len(), 1, "{way}: {:?}", t.lines);
    }
}

/// CCL-18: a user who is in adds somebody from another device, and is told how that goes; the next one takes the place of its leg, so that
/// the record does not grow. Applications see no leg of it.
#[test]
fn who_is_in_adds_somebody_from_outside_and_is_told() {
    let mut t = conferring();
    let refer = |tag: &str| CallReceived {
        transaction: format!("t-{tag}"),
        from_tag: tag.to_owned(),
        identity: "sip:bob@example.com".into(),
        headers: vec![Header::new("Refer-To", "<sip:erin@example.com>")],
        ..asked("REFER")
    };
    ask(&mut t, "in-1", refer("one"));
    t.reply("in-1", "NOTIFY", 200);
    t.reply("h", "INVITE", 486);
    t.reply("in-1", "NOTIFY", 200);
    t.expect(
        "
        IN-1>C REFER
        ! LegDialing h
        C>IN-1 200 REFER
        C>IN-1 NOTIFY 1 <message/sipfrag;version=2.0: SIP/2.0 100 Trying> Event: refer;id=1 Subscription-State: active;expires=180
        C>H INVITE 1 isfocus
        C>(roster) 2: alice in, bob in, carol in, erin
        IN-1>C 200 NOTIFY
        H>C 486 INVITE
        ! LegEnded h 486
        C>IN-1 NOTIFY 2 <message/sipfrag;version=2.0: SIP/2.0 486 Busy Here> Event: refer;id=1 Subscription-State: terminated;reason=noresource
        C>(roster) 3: alice in, bob in, carol in
        C>H (released)
        IN-1>C 200 NOTIFY
        C>IN-1 (released)
        ",
    );
    let legs = t.call.legs.len();
    ask(&mut t, "in-2", refer("two"));
    assert_eq!(t.call.legs.len(), legs + 1, "the leg of who is called, and no other");
    assert!(!t.call.legs.iter().any(|leg| leg.leg_id == "in-1"));
}

/// CCL-18: who made the conference, or is let by the operator, sends others away; who is neither in nor let may do nothing. RFC 4488: nobody is
/// told who does not want to be.
#[test]
fn only_who_may_sends_others_away_from_outside() {
    for (identity, status) in [
        ("sip:alice@example.com", 200),
        ("sip:desk@example.com", 200),
        ("sip:bob@example.com", 403),
        ("sip:mallory@example.com", 403),
        ("", 403),
    ] {
        let mut t = conferring();
        t.context.takers = Takers::new(["sip:desk@example.com"]).expect("a user");
        let headers = vec![
            Header::new("Refer-To", "<sip:carol@example.com;method=BYE>"),
            Header::new("Refer-Sub", "false"),
        ];
        ask(&mut t, DAVE, CallReceived { identity: identity.into(), headers, ..asked("REFER") });
        let (said, headers) = answered_last(&t);
        assert_eq!(said, status, "{identity}");
        let left = told(&t, &["PartyLeft"]);
        assert_eq!(
            left,
            if status == 200 { vec!["! PartyLeft c".to_owned()] } else { Vec::new() },
            "{identity}"
        );
        let is_silent = headers.iter().any(|header| header.name == "Refer-Sub" && header.value == "false");
        assert_eq!(is_silent, status == 200);
        assert_eq!(t.call.legs.len(), 6, "nothing is kept of who asked");
    }
}
