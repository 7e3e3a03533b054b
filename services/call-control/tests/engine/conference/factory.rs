//! Who calls the factory gets a conference of its own: CCL-16.

use call_control::engine::call::{CallState, OutcomeKind};
use call_control::engine::effect::{Body, What};
use call_control::engine::event::{CallReceived, FailureCause, LegEvent};

use super::{answer, join, let_all_end, told};
use crate::ladder::{Ladder, sdp};

/// CCL-16, CCL-17: the caller's offer goes to the mixer, and the 200 has the conference as its Contact.
#[test]
fn a_call_to_the_factory_makes_a_conference() {
    let mut t = called(true);
    t.reply("b", "INVITE", answer(7000));
    t.ack("a", "a-invite", None);
    t.expect(
        "
        A>C INVITE sdp1[audio:4000]
        ! Created
        ! LegDialing b
        C>B INVITE 1 sdp1[audio:4000]
        B>C 200 INVITE sdp1[audio:7000]
        ! LegAnswered b 200
        ! LegAnswered a 200
        ! Connected 200
        ! PartyJoined a
        C>B ACK 1
        C>A 200 INVITE sdp1[audio:7000] isfocus
        C>(roster) 1: alice in
        A>C ACK
        ",
    );
    let (_, invite) = t.last("b", "INVITE");
    assert_eq!(invite.request_uri, "sip:conf=in-1@mix1.example.com");
    assert_eq!(t.call.conference.as_ref().expect("a conference").uri, "sip:conf-in-1@192.0.2.1");
    assert_eq!(t.call.state(), CallState::Answered);
}

/// SCN-17, CCL-18: it is a conference like any other: others join, by gRPC too.
#[test]
fn others_join_what_the_factory_made() {
    let mut t = called(true);
    t.reply("b", "INVITE", answer(7000));
    t.ack("a", "a-invite", None);
    join(&mut t, "carol").expect("it is there");
    t.reply("c", "INVITE", answer(6000));
    t.reply("d", "INVITE", answer(7002));
    assert_eq!(told(&t, &["PartyJoined"]), ["! PartyJoined a", "! PartyJoined c"]);
    t.request("a", "BYE", None);
    t.request("c", "BYE", None);
    assert_eq!(told(&t, &["Ended"]), ["! Ended 200"]);
    let_all_end(&mut t);
}

/// An INVITE without an offer: the mixer's goes to the caller, and its ACK has the answer.
#[test]
fn a_caller_without_offer_answers_that_of_the_mixer() {
    let mut t = called(false);
    t.reply("b", "INVITE", answer(7000));
    t.ack("a", "a-invite", Some(&sdp(&["audio 4000"])));
    t.expect(
        "
        A>C INVITE
        ! Created
        ! LegDialing b
        C>B INVITE 1
        B>C 200 INVITE sdp1[audio:7000]
        ! LegAnswered b 200
        ! LegAnswered a 200
        ! Connected 200
        ! PartyJoined a
        C>A 200 INVITE sdp1[audio:7000] isfocus
        C>(roster) 1: alice in
        A>C ACK sdp1[audio:4000]
        C>B ACK 1 sdp1[audio:4000]
        ",
    );
}

/// LAD-8: no mixer serves: the caller is refused, and there is no conference.
#[test]
fn without_a_mixer_the_caller_is_refused() {
    let mut t = called(true);
    t.reply("b", "INVITE", 503);
    t.silence("b", "INVITE", FailureCause::Transport);
    let refusals = t.effects.iter().filter_map(|effect| match &effect.what {
        Some(What::Respond(response)) => Some(response.status),
        _ => None,
    });
    assert_eq!(refusals.collect::<Vec<_>>(), [500]);
    let outcome = t.call.outcome.clone().expect("an outcome");
    assert_eq!((outcome.kind(), outcome.sip_status), (OutcomeKind::Failed, 503));
    let_all_end(&mut t);
}

/// UAC-20: who does not want it any more gets 487, and the mixer CANCEL.
#[test]
fn a_caller_that_cancels_has_no_conference() {
    let mut t = called(true);
    t.event("a", LegEvent::Cancel { transaction: "a-invite".into(), reason: Vec::new() });
    assert!(t.lines.iter().any(|line| line.starts_with("C>A 487 INVITE")), "{:?}", t.lines);
    assert!(t.lines.iter().any(|line| line.starts_with("C>B CANCEL")), "{:?}", t.lines);
    t.reply("b", "INVITE", 487);
    let_all_end(&mut t);
}

fn called(offers: bool) -> Ladder {
    let invite = CallReceived {
        transaction: "a-invite".into(),
        request_uri: "sip:conference@example.com".into(),
        from_uri: "sip:alice@example.com".into(),
        from_tag: "at".into(),
        to_uri: "sip:conference@example.com".into(),
        sip_call_id: "call-of-alice".into(),
        cseq: 1,
        contact: "sip:alice@phone.example".into(),
        max_forwards: 70,
        max_breadth: 60,
        body: offers.then(|| Body::sdp(sdp(&["audio 4000"]).into_bytes())),
        ..CallReceived::default()
    };
    Ladder::called(invite, |policy| policy.session_expires_s = 0)
}
