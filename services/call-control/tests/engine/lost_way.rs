//! The way by which an INVITE was sent breaks under it, while the edge that carries the leg lives: another edge had the phone's flow.

use std::time::Duration;

use call_control::engine::call::{EdgeRef, Flow, OutcomeKind};
use call_control::engine::event::{Command, FailureCause};

use crate::ladder::{Answer, Ladder, sdp};

/// F1: no CANCEL follows the INVITE any more; what rings is told by BYE, by whatever way there is, and the call ends clearly.
#[test]
fn what_rings_at_the_end_of_a_broken_way_is_told_by_bye() {
    let mut t = bob_is_dialled();
    t.reply("b", "INVITE", 180);
    t.reply("b", "INVITE", Answer::new(183).tag("b2"));
    t.lines.clear();
    t.silence("b", "INVITE", FailureCause::Transport);
    t.expect(
        "
        B>C nothing to INVITE: Transport
        ! LegEnded b 503
        ! LegEnded a 503
        ! Ended 503
        C>B BYE 2 Reason: SIP;cause=503;text=\"Service Unavailable\"
        C>B BYE 3 Reason: SIP;cause=503;text=\"Service Unavailable\"
        C>A BYE 2 Reason: SIP;cause=503;text=\"Service Unavailable\"
        ",
    );
    let outcome = t.call.outcome.clone().expect("it has ended");
    assert_eq!(
        (outcome.kind(), outcome.sip_status, outcome.ended_by.as_str()),
        (OutcomeKind::Failed, 503, "carillon")
    );
    t.reply("b", "BYE", 200);
    t.reply("a", "BYE", 200);
    t.wait(Duration::from_secs(80));
    assert!(t.finished);
}

/// F1, LAD-10 R7: the CANCEL was on its way when it broke.
#[test]
fn a_phone_that_a_cancel_did_not_reach_is_told_by_bye() {
    let mut t = bob_is_dialled();
    t.reply("b", "INVITE", 180);
    t.command(Command::Hangup { reason: String::new() }).expect("a hang-up is always taken");
    t.lines.clear();
    t.silence("b", "INVITE", FailureCause::Transport);
    t.expect(
        "
        B>C nothing to INVITE: Transport
        ! LegEnded b 487
        ! Ended 487
        C>B BYE 2
        ",
    );
}

/// Without a response there is no dialog that a BYE could end, nor anything that rings.
#[test]
fn nothing_is_told_to_a_phone_that_said_nothing() {
    let mut t = bob_is_dialled();
    t.lines.clear();
    t.silence("b", "INVITE", FailureCause::Transport);
    assert!(!t.lines.iter().any(|line| line.starts_with("C>B BYE")), "{:?}", t.lines);
}

/// The way of an INVITE that was answered is not that of its dialog.
#[test]
fn an_answered_call_outlives_the_way_of_its_invite() {
    let mut t = bob_is_dialled();
    t.reply("b", "INVITE", 180);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.lines.clear();
    t.silence("b", "INVITE", FailureCause::Transport);
    t.expect("B>C nothing to INVITE: Transport");
}

/// F19: an edge that stood still for longer than its lease was given up, and goes on as the same life of it: what is sent by it then is sent
/// once.
#[test]
fn what_an_edge_takes_on_that_came_back_is_sent_once() {
    let mut t = Ladder::connected("call-1");
    let (edge_id, edge_epoch) = t.edge.clone();
    t.lose_edge(&edge_id, edge_epoch);
    t.context.edges = vec![EdgeRef { edge_id: edge_id.clone(), edge_epoch }];
    t.lines.clear();
    t.command(Command::Hangup { reason: String::new() }).expect("a hang-up is always taken");
    let byes = |t: &Ladder| t.lines.iter().filter(|line| line.contains(" BYE ")).count();
    assert_eq!(byes(&t), 2, "{:#?}", t.lines);
    // It is lost after all before the phones have answered
    t.edge = ("edge-2".into(), 1);
    t.context.edges = vec![EdgeRef { edge_id: "edge-2".into(), edge_epoch: 1 }];
    t.lose_edge(&edge_id, edge_epoch);
    assert_eq!(byes(&t), 4, "{:#?}", t.lines);
    t.reply("a", "BYE", 200);
    t.reply("b", "BYE", 200);
    t.wait(Duration::from_secs(80));
    assert!(t.finished, "{:#?}", t.lines);
}

fn bob_is_dialled() -> Ladder {
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t
}
