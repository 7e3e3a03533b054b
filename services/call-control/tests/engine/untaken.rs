//! INVITEs that no edge takes on.

use std::time::Duration;

use call_control::engine::call::{CallState, EdgeRef, Flow, OutcomeKind};
use call_control::engine::effect::{Effect, What};
use call_control::engine::event::{Carried, Command, Event};

use crate::ladder::{Answer, Ladder, sdp};

/// F1: no edge is there; no phone was asked, so none failed to answer.
#[test]
fn a_call_for_which_there_is_no_edge_ends() {
    for by_ring_time in [false, true] {
        let (mut t, effect) = bob_is_not_dialled();
        match by_ring_time {
            true => t.wait(Duration::from_secs(60)),
            false => t.take(&Event::NoEdge { effect }).expect("always taken"),
        }
        let outcome = t.call.outcome.clone().expect("it has ended");
        let found = (outcome.kind(), outcome.sip_status, outcome.ended_by.as_str());
        assert_eq!(found, (OutcomeKind::Failed, 503, "carillon"));
        assert_eq!(t.call.state(), CallState::Ended);
        assert!(!t.call.outbox.iter().any(|waiting| waiting.number == effect), "{:?}", t.call.outbox);
        t.lines.retain(|line| line.starts_with('!'));
        t.expect("! LegEnded b 503\n! LegEnded a 503\n! Ended 503");
    }
}

/// F1: the first INVITE of a call.
#[test]
fn nothing_is_left_of_a_call_of_which_nothing_went_out() {
    for is_hung_up in [false, true] {
        let (mut t, effect) = nobody_is_dialled();
        match is_hung_up {
            true => t.command(Command::Hangup { reason: String::new() }).expect("always taken"),
            false => t.take(&Event::NoEdge { effect }).expect("always taken"),
        }
        assert!(t.finished && t.call.outbox.is_empty() && t.due.is_none());
    }
}

/// The edge took the INVITE on and its word came late: it is cancelled there, and what answers all the same is ended.
#[test]
fn an_invite_that_an_edge_has_in_spite_of_that_is_cancelled_there() {
    for status in [180, 200] {
        let (mut t, effect) = bob_is_not_dialled();
        t.take(&Event::NoEdge { effect }).expect("always taken");
        t.edges_away = false;
        t.lines.clear();
        if status == 180 {
            let late = Carried { effect, edge_id: "e1".into(), edge_epoch: 7 };
            t.take(&Event::Carried(late.clone())).expect("always taken");
            t.expect("C>B CANCEL Reason: SIP;cause=503;text=\"No edge takes new work\"");
            t.take(&Event::Carried(late)).expect("always taken");
            t.expect("");
            t.reply("b", "INVITE", 180);
            t.reply("b", "INVITE", 487);
        } else {
            t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
            assert!(t.lines.iter().any(|line| line.starts_with("C>B CANCEL")), "{:?}", t.lines);
            assert!(t.lines.iter().any(|line| line.starts_with("C>B ACK")), "{:?}", t.lines);
            assert!(t.lines.iter().any(|line| line.starts_with("C>B BYE")), "{:?}", t.lines);
        }
        t.wait(Duration::from_secs(200));
        assert!(t.finished && t.call.outbox.is_empty(), "{status}: {:?}", t.lines);
        assert_eq!(t.lines.iter().filter(|line| line.starts_with("! Ended")).count(), 0);
    }
}

/// The edge that was to ring the phone is lost, or refuses, after the hang-up: no other one rings it.
#[test]
fn an_invite_of_a_call_that_is_hung_up_goes_to_no_other_edge() {
    for is_lost in [false, true] {
        let (mut t, effect) = nobody_is_dialled_by(&["e1", "e2"]);
        let named = t.call.outbox[0].edge_id.clone();
        t.command(Command::Hangup { reason: String::new() }).expect("always taken");
        assert_eq!(t.call.state(), CallState::Ending, "the edge may have it");
        match is_lost {
            true => t.lose_edge(&named, 7),
            false => t.take(&Event::NotCarried { effect }).expect("always taken"),
        }
        assert_eq!(t.call.state(), CallState::Ended);
        let is_release = |effect: &Effect| matches!(effect.what, Some(What::Release(_)));
        assert!(t.call.outbox.iter().all(is_release), "{:?}", t.call.outbox);
    }
}

/// Alice is up, and all edges are gone when bob is to be dialled.
fn bob_is_not_dialled() -> (Ladder, u64) {
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", 180);
    t.edges_away = true;
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    let (effect, _) = t.last("b", "INVITE");
    t.lines.clear();
    (t, effect)
}

fn nobody_is_dialled() -> (Ladder, u64) {
    nobody_is_dialled_by(&[])
}

/// The call is made and nothing is taken on.
fn nobody_is_dialled_by(edges: &[&str]) -> (Ladder, u64) {
    let edges = edges.iter().map(|id| EdgeRef { edge_id: (*id).to_owned(), edge_epoch: 7 }).collect();
    let mut t = Ladder::dial_untaken(Flow::Iv, edges);
    let (effect, _) = t.last("a", "INVITE");
    t.lines.clear();
    (t, effect)
}
