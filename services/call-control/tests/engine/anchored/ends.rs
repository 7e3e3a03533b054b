//! Calls that end before they are answered, by whoever; and edges that die.

use std::time::Duration;

use call_control::engine::call::OutcomeKind;
use call_control::engine::effect::{Effect, Header, What};
use call_control::engine::event::{CallReceived, Command, Event, LegEvent};
use call_control::engine::leg::LegState;

use super::{called, connected, invite, rack, reliable_invite, said};
use crate::ladder::{Answer, Ladder, sdp};

fn cancel(reason: &[&str]) -> LegEvent {
    let reason = reason.iter().map(|value| value.to_string()).collect();
    LegEvent::Cancel { transaction: "a-invite".into(), reason }
}

fn ringing() -> Ladder {
    let mut t = called(invite());
    t.reply("b", "INVITE", 180);
    t.lines.clear();
    t
}

fn kind(t: &Ladder) -> (OutcomeKind, String) {
    let outcome = t.call.outcome.clone().expect("it has ended");
    (outcome.kind(), outcome.ended_by)
}

/// UAC-24, LAD-10: the caller cancels; its reason goes on.
#[test]
fn a_cancelled_call_stops_ringing() {
    let mut t = ringing();
    t.event("a", cancel(&["SIP;cause=200;text=\"Call completed elsewhere\"", "Q.850;cause=16"]));
    t.expect(
        "
        ! LegEnded a 487
        C>B CANCEL Reason: SIP;cause=200;text=\"Call completed elsewhere\", Q.850;cause=16
        C>A 487 INVITE
        C>A (released)
        ",
    );
    t.reply("b", "INVITE", 487);
    t.expect(
        "
        B>C 487 INVITE
        ! LegEnded b 487
        ! Ended 487
        C>B (released)
        ",
    );
    assert_eq!(kind(&t), (OutcomeKind::Cancelled, "a".into()));
    assert!(t.finished);
}

/// LAD-10 R3, R4: bob's answer and the caller's CANCEL cross, either way.
#[test]
fn a_cancel_that_crosses_the_answer() {
    let mut t = ringing();
    t.event("a", cancel(&[]));
    t.lines.clear();
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    assert_eq!(t.last("b", "ACK").1.cseq, 1);
    t.last("b", "BYE");

    let mut t = ringing();
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.lines.clear();
    t.event("a", cancel(&[]));
    assert!(t.lines.is_empty(), "it was answered: {:?}", t.lines);
    assert!(t.call.outcome.is_none());
}

/// UAC-18: a caller may end an early dialog by BYE.
#[test]
fn a_bye_before_the_answer_ends_the_call() {
    let mut t = ringing();
    t.request("a", "BYE", None);
    t.expect(
        "
        A>C BYE
        ! LegEnded a 487
        C>A 200 BYE
        C>A 487 INVITE
        C>B CANCEL Reason: SIP;cause=487;text=\"Request Terminated\"
        C>A (released)
        ",
    );
}

/// UAC-18: bob hangs up while alice's PRACK is awaited. She has cancelled nothing: to her he is not to be had.
#[test]
fn a_callee_that_hangs_up_before_the_2xx_leaves_is_not_to_be_had() {
    let mut t = called(reliable_invite());
    t.reply("b", "INVITE", Answer::new(183).reliable(1).sdp(&sdp(&["audio 5000"])));
    t.reply("b", "INVITE", 200);
    t.request("b", "BYE", None);
    assert_eq!(said(&t, "a-invite").status, 480);
    let mut t = ringing();
    t.reply("b", "INVITE", 487);
    assert_eq!(said(&t, "a-invite").status, 480);
}

/// PRK-06, TPC-09: bob has his ACK and waits for alice's PRACK: not longer than the guard.
#[test]
fn an_answer_does_not_wait_for_a_prack_for_ever() {
    let mut t = called(reliable_invite());
    t.reply("b", "INVITE", Answer::new(183).reliable(1).sdp(&sdp(&["audio 5000"])));
    let right = rack(&t);
    t.reply("b", "INVITE", 200);
    let mut told = t.clone();
    told.prack("a", &right, None);
    told.ack("a", "a-invite", None);
    told.wait(Duration::from_secs(60));
    assert!(told.call.outcome.is_none(), "what has left is not waited for");
    t.prack("a", "1 1 INVITE", None);
    t.lines.clear();
    t.wait(Duration::from_secs(20));
    assert_eq!(said(&t, "a-invite").status, 504);
    t.last("b", "BYE");
}

/// UAC-20: the caller said how long it waits.
#[test]
fn an_invite_expires() {
    let asked = CallReceived { headers: vec![Header::new("Expires", "2")], ..invite() };
    let mut t = called(asked);
    t.reply("b", "INVITE", 180);
    t.lines.clear();
    t.wait(Duration::from_secs(2));
    t.expect(
        "
        ... 2000 ms
        ! LegEnded a 487
        C>B CANCEL Reason: SIP;cause=487;text=\"Request Terminated\"
        C>A 487 INVITE
        C>A (released)
        ",
    );
    assert_eq!(kind(&t), (OutcomeKind::NoAnswer, "carillon".into()));
    let answered = CallReceived { headers: vec![Header::new("Expires", "2")], ..invite() };
    let mut t = called(answered);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.ack("a", "a-invite", None);
    t.wait(Duration::from_secs(10));
    assert!(t.call.outcome.is_none(), "an answered one does not");
}

/// The callee rings for too long.
#[test]
fn nobody_answers() {
    let mut t = ringing();
    t.wait(Duration::from_secs(60));
    assert_eq!(said(&t, "a-invite").status, 480);
    assert_eq!(kind(&t), (OutcomeKind::NoAnswer, "carillon".into()));
}

/// The application hangs up at each stage.
#[test]
fn a_hang_up_fits_the_caller() {
    let hang_up = || Command::Hangup { reason: "closing time".into() };
    let mut t = called(invite());
    t.command(hang_up()).expect("a hang-up is always taken");
    assert_eq!(said(&t, "a-invite").status, 480);
    let mut t = ringing();
    t.command(hang_up()).expect("a hang-up is always taken");
    t.expect(
        "
        API Hangup { reason: \"closing time\" }
        ! LegEnded a 487
        C>B CANCEL Reason: Q.850;cause=16;text=\"closing time\"
        C>A 480 INVITE Reason: Q.850;cause=16;text=\"closing time\"
        C>A (released)
        ",
    );
    let mut t = connected();
    t.command(hang_up()).expect("a hang-up is always taken");
    t.expect(
        "
        API Hangup { reason: \"closing time\" }
        ! LegEnded a 200
        ! LegEnded b 200
        ! Ended 200
        C>A BYE 1 Reason: Q.850;cause=16;text=\"closing time\"
        C>B BYE 2 Reason: Q.850;cause=16;text=\"closing time\"
        ",
    );
}

/// TPC-15: the edge that holds the caller's INVITE dies: bob stops ringing, by another edge where need be.
#[test]
fn a_caller_whose_edge_dies_is_no_caller() {
    let mut t = ringing();
    t.edge = ("e2".into(), 8);
    t.lose_edge("e1", 7);
    assert_eq!(kind(&t), (OutcomeKind::Failed, "carillon".into()));
    t.last("b", "BYE");
    assert!(!t.lines.iter().any(|line| line.starts_with("C>A")), "there is nobody to answer: {:?}", t.lines);

    // Bob's leg is on another edge, which lives
    let mut t = called(invite());
    t.edge = ("e2".into(), 8);
    t.reply("b", "INVITE", 180);
    t.lines.clear();
    t.lose_edge("e1", 7);
    assert_eq!(kind(&t), (OutcomeKind::Failed, "carillon".into()));
    assert!(t.call.legs[0].state() == LegState::Ended);
}

/// TPC-15: the same before the ACK came. The caller may or may not have got the 2xx: both are told that it is over.
#[test]
fn an_answer_whose_edge_dies_ends_both_legs() {
    let mut t = ringing();
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.edge = ("e2".into(), 8);
    t.lose_edge("e1", 7);
    t.last("a", "BYE");
    t.last("b", "BYE");
}

/// TPC-15: a connected call does not need the edge that it began on.
#[test]
fn a_connected_call_outlives_its_edge() {
    let mut t = connected();
    t.edge = ("e2".into(), 8);
    t.lose_edge("e1", 7);
    assert!(t.call.outcome.is_none());
}

/// PRK-03: what waits for a PRACK goes with the call.
#[test]
fn a_refusal_does_not_wait_for_a_prack() {
    let mut t = called(reliable_invite());
    t.reply("b", "INVITE", 180);
    t.reply("b", "INVITE", 182);
    t.reply("b", "INVITE", 486);
    assert_eq!(said(&t, "a-invite").status, 486);
}

/// No ACK for the 2xx: both are hung up on (RFC 3261 13.3.1.4).
#[test]
fn a_caller_that_does_not_acknowledge_is_hung_up_on() {
    let mut t = ringing();
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.event("a", LegEvent::AckMissing { transaction: "a-invite".into() });
    t.last("a", "BYE");
    t.last("b", "BYE");
}

/// UAC-18: the edge refuses a response, whatever it has against it: the caller hears a plain 500, and nobody waits for anything.
#[test]
fn what_the_edge_refuses_to_say_is_said_plainly() {
    let refused = |t: &mut Ladder, transaction: &str| {
        let is_it = |effect: &&Effect| matches!(&effect.what, Some(What::Respond(one)) if one.transaction == transaction);
        let number = t.call.outbox.iter().rev().find(is_it).expect("a response that no edge has").number;
        t.take(&Event::NotCarried { effect: number }).expect("always taken");
    };
    let plain = |t: &Ladder, transaction: &str| {
        let said = said(t, transaction);
        (said.status, said.headers.is_empty(), said.body.is_none())
    };
    let answer = || Answer::new(200).sdp(&sdp(&["audio 5000"]));

    let mut t = ringing();
    t.edges_away = true;
    t.reply("b", "INVITE", 486);
    refused(&mut t, "a-invite");
    assert_eq!(plain(&t, "a-invite"), (500, true, true));
    let count = t.effects.len();
    refused(&mut t, "a-invite");
    assert_eq!(t.effects.len(), count, "one that refuses even that is not asked again");

    let mut t = ringing();
    t.edges_away = true;
    t.reply("b", "INVITE", answer());
    refused(&mut t, "a-invite");
    assert_eq!(plain(&t, "a-invite"), (500, true, true));
    assert_eq!(kind(&t), (OutcomeKind::Failed, "carillon".into()));
    assert!(t.call.legs[0].served.is_empty(), "no ACK is waited for");
    t.last("b", "BYE");

    // It has ended meanwhile
    let mut t = ringing();
    t.edges_away = true;
    t.reply("b", "INVITE", answer());
    t.request("b", "BYE", None);
    refused(&mut t, "a-invite");
    assert_eq!(plain(&t, "a-invite"), (500, true, true));
    assert_eq!(t.call.legs[0].state(), LegState::Ended);

    let mut t = called(reliable_invite());
    t.edges_away = true;
    t.reply("b", "INVITE", 180);
    refused(&mut t, "a-invite");
    assert_eq!(said(&t, "a-invite").status, 500);

    let mut t = called(invite());
    t.edges_away = true;
    t.reply("b", "INVITE", 180);
    refused(&mut t, "a-invite");
    assert!(t.call.outcome.is_none(), "the next one will do");

    let mut t = connected();
    t.edges_away = true;
    let asked = t.request("a", "SUBSCRIBE", None);
    refused(&mut t, &asked);
    assert_eq!(plain(&t, &asked), (500, true, true));
}
