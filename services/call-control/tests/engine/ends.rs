//! Every stage against what can end it: hang-up by the application, BYE of either party, the death of the edge.

use std::time::Duration;

use call_control::engine::call::{CallState, Flow};
use call_control::engine::event::Command;

use crate::ladder::{Answer, Ladder, sdp};

/// Hang-up in every stage: CANCEL, ACK and BYE, or BYE, whichever fits each leg.
#[test]
fn the_application_hangs_up_in_every_stage() {
    let mut t = every_stage(|t| {
        t.command(Command::Hangup { reason: String::new() }).expect("a hang-up is always taken");
        t.lines.remove(0);
        true
    });
    t.expect(
        "
        -- IV: alice is dialled
        C>A CANCEL
        -- IV: alice rings
        C>A CANCEL
        -- IV: bob is dialled
        ! LegEnded a 487
        C>B CANCEL
        C>A BYE 2
        -- IV: bob rings
        ! LegEnded a 487
        C>B CANCEL
        C>A BYE 2
        -- IV: alice is asked
        ! LegEnded a 487
        ! LegEnded b 487
        ! Ended 487
        C>B ACK 1 sdp1[audio:0]
        C>A BYE 3
        C>B BYE 2
        -- IV: alice is asked again later
        ! LegEnded a 487
        ! LegEnded b 487
        ! Ended 487
        C>B ACK 1 sdp1[audio:0]
        C>A BYE 3
        C>B BYE 2
        -- a change is relayed
        ! LegEnded a 200
        ! LegEnded b 200
        ! Ended 200
        C>A 487 INVITE
        C>A BYE 3
        C>B BYE 3
        -- connected
        ! LegEnded a 200
        ! LegEnded b 200
        ! Ended 200
        C>A BYE 3
        C>B BYE 2
        -- ringback: alice is updated
        ! LegEnded a 487
        C>B CANCEL
        C>A BYE 3
        -- ringback: PRACK is out
        ! LegEnded a 487
        C>B CANCEL
        C>A BYE 3
        -- ringback: the session is early
        ! LegEnded a 487
        C>B CANCEL
        C>A BYE 3
        -- ringback: another fork is asked for an offer
        ! LegEnded a 487
        ! LegEnded b 487
        ! Ended 487
        C>A BYE 3
        C>B BYE 4
        -- I: the automaton is dialled
        ! LegEnded a 487
        C>A ACK 1 sdp1[audio:0]
        C>B CANCEL
        C>A BYE 2
        ",
    );
}

/// TPC-07, LAD-1 e, LAD-3 e, LAD-4 j
#[test]
fn alice_hangs_up_in_every_stage() {
    let mut t = every_stage(|t| bye(t, "a"));
    t.expect(
        "
        -- IV: bob is dialled
        ! LegEnded a 487
        C>A 200 BYE
        C>B CANCEL Reason: SIP;cause=487;text=\"Request Terminated\"
        -- IV: bob rings
        ! LegEnded a 487
        C>A 200 BYE
        C>B CANCEL Reason: SIP;cause=487;text=\"Request Terminated\"
        -- IV: alice is asked
        ! LegEnded a 487
        ! LegEnded b 487
        ! Ended 487
        C>A 200 BYE
        C>B ACK 1 sdp1[audio:0]
        C>B BYE 2 Reason: SIP;cause=487;text=\"Request Terminated\"
        -- IV: alice is asked again later
        ! LegEnded a 487
        ! LegEnded b 487
        ! Ended 487
        C>A 200 BYE
        C>B ACK 1 sdp1[audio:0]
        C>B BYE 2 Reason: SIP;cause=487;text=\"Request Terminated\"
        -- a change is relayed
        ! LegEnded a 200
        ! LegEnded b 200
        ! Ended 200
        C>A 200 BYE
        C>A 487 INVITE
        C>B BYE 3
        C>A (released)
        -- connected
        ! LegEnded a 200
        ! LegEnded b 200
        ! Ended 200
        C>A 200 BYE
        C>B BYE 2
        C>A (released)
        -- ringback: alice is updated
        ! LegEnded a 487
        C>A 200 BYE
        C>B CANCEL Reason: SIP;cause=487;text=\"Request Terminated\"
        -- ringback: PRACK is out
        ! LegEnded a 487
        C>A 200 BYE
        C>B CANCEL Reason: SIP;cause=487;text=\"Request Terminated\"
        -- ringback: the session is early
        ! LegEnded a 487
        C>A 200 BYE
        C>B CANCEL Reason: SIP;cause=487;text=\"Request Terminated\"
        -- ringback: another fork is asked for an offer
        ! LegEnded a 487
        ! LegEnded b 487
        ! Ended 487
        C>A 200 BYE
        C>B BYE 4 Reason: SIP;cause=487;text=\"Request Terminated\"
        -- I: the automaton is dialled
        ! LegEnded a 487
        C>A 200 BYE
        C>A ACK 1 sdp1[audio:0]
        C>B CANCEL Reason: SIP;cause=487;text=\"Request Terminated\"
        ",
    );
}

/// LAD-1 j
#[test]
fn bob_hangs_up_in_every_stage() {
    let mut t = every_stage(|t| bye(t, "b"));
    t.expect(
        "
        -- IV: alice is asked
        ! LegEnded b 487
        ! LegEnded a 487
        ! Ended 487
        C>B 200 BYE
        C>B ACK 1 sdp1[audio:0]
        C>A BYE 3 Reason: SIP;cause=487;text=\"Request Terminated\"
        -- IV: alice is asked again later
        ! LegEnded b 487
        ! LegEnded a 487
        ! Ended 487
        C>B 200 BYE
        C>B ACK 1 sdp1[audio:0]
        C>A BYE 3 Reason: SIP;cause=487;text=\"Request Terminated\"
        -- a change is relayed
        ! LegEnded b 200
        ! LegEnded a 200
        ! Ended 200
        C>B 200 BYE
        C>A 487 INVITE
        C>A BYE 3
        -- connected
        ! LegEnded b 200
        ! LegEnded a 200
        ! Ended 200
        C>B 200 BYE
        C>A BYE 3
        C>B (released)
        -- ringback: alice is updated
        ! LegEnded a 487
        C>B 200 BYE
        C>B CANCEL Reason: SIP;cause=487;text=\"Request Terminated\"
        C>A BYE 3 Reason: SIP;cause=487;text=\"Request Terminated\"
        -- ringback: PRACK is out
        ! LegEnded a 487
        C>B 200 BYE
        C>B CANCEL Reason: SIP;cause=487;text=\"Request Terminated\"
        C>A BYE 3 Reason: SIP;cause=487;text=\"Request Terminated\"
        -- ringback: the session is early
        ! LegEnded a 487
        C>B 200 BYE
        C>B CANCEL Reason: SIP;cause=487;text=\"Request Terminated\"
        C>A BYE 3 Reason: SIP;cause=487;text=\"Request Terminated\"
        -- ringback: another fork is asked for an offer
        ! LegEnded b 487
        ! LegEnded a 487
        ! Ended 487
        C>B 200 BYE
        C>A BYE 3 Reason: SIP;cause=487;text=\"Request Terminated\"
        ",
    );
}

/// Design 5: confirmed legs go on, legs that ring end with a clear event; what rings is told by BYE.
#[test]
fn the_edge_dies_in_every_stage() {
    let mut t = every_stage(|t| {
        t.edge = ("e2".into(), 1);
        t.lose_edge("e1", 7);
        t.lines.remove(0);
        true
    });
    t.expect(
        "
        -- IV: alice is dialled
        ! LegEnded a 503
        ! Ended 503
        -- IV: alice rings
        ! LegEnded a 503
        ! Ended 503
        C>A BYE 2 Reason: SIP;cause=503;text=\"Edge lost\"
        -- IV: bob is dialled
        ! LegEnded b 503
        ! LegEnded a 503
        ! Ended 503
        C>A ACK 1
        C>A BYE 2 Reason: SIP;cause=503;text=\"Edge lost\"
        -- IV: bob rings
        ! LegEnded b 503
        ! LegEnded a 503
        ! Ended 503
        C>A ACK 1
        C>B BYE 2 Reason: SIP;cause=503;text=\"Edge lost\"
        C>A BYE 2 Reason: SIP;cause=503;text=\"Edge lost\"
        -- IV: alice is asked
        ! LegEnded a 503
        ! LegEnded b 503
        ! Ended 503
        C>A ACK 1
        C>B ACK 1 sdp1[audio:0]
        C>A BYE 3 Reason: SIP;cause=503;text=\"Edge lost\"
        C>B BYE 2 Reason: SIP;cause=503;text=\"Edge lost\"
        -- IV: alice is asked again later
        C>A ACK 1
        -- a change is relayed
        -- connected
        -- ringback: alice is updated
        ! LegEnded a 503
        ! LegEnded b 503
        ! Ended 503
        C>A ACK 1
        C>B BYE 2 Reason: SIP;cause=503;text=\"Edge lost\"
        C>A BYE 3 Reason: SIP;cause=503;text=\"Edge lost\"
        -- ringback: PRACK is out
        ! LegEnded b 503
        ! LegEnded a 503
        ! Ended 503
        C>A ACK 1
        C>B BYE 3 Reason: SIP;cause=503;text=\"Edge lost\"
        C>A BYE 3 Reason: SIP;cause=503;text=\"Edge lost\"
        -- ringback: the session is early
        ! LegEnded b 503
        ! LegEnded a 503
        ! Ended 503
        C>A ACK 1
        C>B BYE 3 Reason: SIP;cause=503;text=\"Edge lost\"
        C>A BYE 3 Reason: SIP;cause=503;text=\"Edge lost\"
        -- ringback: another fork is asked for an offer
        ! LegEnded b 503
        ! LegEnded a 503
        ! Ended 503
        C>A ACK 1
        C>B ACK 1
        C>B BYE 4 Reason: SIP;cause=503;text=\"Edge lost\"
        C>B BYE 5 Reason: SIP;cause=503;text=\"Edge lost\"
        C>A BYE 3 Reason: SIP;cause=503;text=\"Edge lost\"
        -- I: the automaton is dialled
        ! LegEnded b 503
        ! LegEnded a 503
        ! Ended 503
        C>A ACK 1 sdp1[audio:0]
        C>A BYE 2 Reason: SIP;cause=503;text=\"Edge lost\"
        ",
    );
}

/// Design 5: a confirmed call goes on over another edge.
#[test]
fn a_connected_call_survives_its_edge() {
    let mut t = stages().remove(7).1;
    t.edge = ("e2".into(), 1);
    t.lose_edge("e1", 7);
    t.request("a", "BYE", None);
    t.reply("b", "BYE", 200);
    t.wait(Duration::from_secs(40));
    assert_eq!(t.call.state(), CallState::Ended);
    assert!(t.finished);
    assert_eq!(t.lines.iter().filter(|line| line.starts_with("! Ended")).count(), 1);
}

/// A BYE whose edge dies is sent again by another one.
#[test]
fn a_bye_is_repeated_when_its_edge_dies() {
    let mut t = stages().remove(7).1;
    t.command(Command::Hangup { reason: String::new() }).expect("a hang-up is always taken");
    t.lines.clear();
    t.edge = ("e2".into(), 1);
    t.wait(Duration::from_secs(33));
    t.lose_edge("e1", 7);
    t.expect(
        "
        edge e1 is lost
        C>A BYE 4
        C>B BYE 3
        ",
    );
    // ADR 18: the flow may have ended with the edge, and leads to where the phone is now.
    assert_eq!(["a", "b"].map(|leg| t.last(leg, "BYE").1.flow), ["flow", "flow"]);
}

/// Neither an answer nor a failure ever comes: the legs are given up, the call ends.
#[test]
fn nothing_waits_for_ever() {
    for (name, mut t) in stages() {
        t.command(Command::Hangup { reason: String::new() }).expect("a hang-up is always taken");
        t.wait(Duration::from_secs(200));
        assert!(t.finished, "{name}: {:?}", t.lines);
        assert_eq!(t.lines.iter().filter(|line| line.starts_with("! Ended")).count(), 1, "{name}");
    }
}

fn bye(t: &mut Ladder, leg: &str) -> bool {
    let has_dialog = t.call.legs.iter().any(|on| on.leg_id == leg && !on.remote_tag.is_empty());
    if has_dialog {
        t.request(leg, "BYE", None);
        t.lines.remove(0);
    }
    has_dialog
}

/// Runs the end against every stage and gathers the ladders.
fn every_stage(end: impl Fn(&mut Ladder) -> bool) -> Ladder {
    let mut all = Ladder::dial(Flow::Iv);
    all.lines.clear();
    for (name, mut t) in stages() {
        if end(&mut t) {
            all.lines.push(format!("-- {name}"));
            all.lines.append(&mut t.lines);
        }
    }
    all
}

/// Every stage, reached by the shortest way.
pub fn stages() -> Vec<(&'static str, Ladder)> {
    let ok = |lines: &[&str]| Answer::new(200).sdp(&sdp(lines));
    let mut stages = Vec::new();
    let mut keep = |name, t: &Ladder| {
        let mut t = t.clone();
        t.lines.clear();
        stages.push((name, t));
    };
    let mut t = Ladder::dial(Flow::Iv);
    keep("IV: alice is dialled", &t);
    t.reply("a", "INVITE", 180);
    keep("IV: alice rings", &t);
    t.reply("a", "INVITE", ok(&[]));
    keep("IV: bob is dialled", &t);
    let mut ringing = t.clone();
    t.reply("b", "INVITE", 180);
    keep("IV: bob rings", &t);
    t.reply("b", "INVITE", ok(&["audio 5000"]));
    keep("IV: alice is asked", &t);
    let mut waiting = t.clone();
    waiting.reply("a", "INVITE", 491);
    keep("IV: alice is asked again later", &waiting);
    t.reply("a", "INVITE", ok(&["audio 4000"]));
    t.wait(Duration::from_secs(33));
    let mut relaying = t.clone();
    relaying.request("a", "INVITE", Some(&sdp(&["audio 4000 sendonly"])));
    keep("a change is relayed", &relaying);
    keep("connected", &t);
    ringing.reply("b", "INVITE", Answer::new(180).reliable(1).sdp(&sdp(&["audio 5000"])));
    keep("ringback: alice is updated", &ringing);
    ringing.reply("a", "UPDATE", ok(&["audio 4000"]));
    keep("ringback: PRACK is out", &ringing);
    ringing.reply("b", "PRACK", 200);
    keep("ringback: the session is early", &ringing);
    ringing.reply("b", "INVITE", Answer::new(200).tag("b2"));
    keep("ringback: another fork is asked for an offer", &ringing);
    let mut t = Ladder::dial(Flow::I);
    t.reply("a", "INVITE", ok(&["audio 4000"]));
    keep("I: the automaton is dialled", &t);
    stages
}
