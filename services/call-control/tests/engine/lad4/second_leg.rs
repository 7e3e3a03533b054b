//! LAD-4 f … l: what the second leg, the parties and forks do while it rings.

use std::time::Duration;

use call_control::engine::call::{Flow, OutcomeKind};
use call_control::engine::event::FailureCause;

use crate::lad4::{bob_rings, early};
use crate::ladder::{Answer, Ladder, sdp};

/// LAD-4 f, k: once the early session is agreed, offers of either side are relayed by UPDATE.
#[test]
fn early_offers_are_relayed() {
    let mut t = early();
    t.request("a", "UPDATE", Some(&sdp(&["audio 4000 sendonly"])));
    t.reply("b", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 5000 recvonly"])));
    t.request("b", "UPDATE", Some(&sdp(&["audio 5001"])));
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.reply("b", "INVITE", 200);
    t.expect(
        "
        A>C UPDATE sdp1[audio:4000 sendonly]
        C>B UPDATE 3 sdp2[audio:4000 sendonly]
        B>C 200 UPDATE sdp1[audio:5000 recvonly]
        ! Held a
        C>A 200 UPDATE sdp3[audio:5000 recvonly]
        B>C UPDATE sdp1[audio:5001]
        C>A UPDATE 3 sdp4[audio:5001]
        A>C 200 UPDATE sdp1[audio:4000]
        ! Unheld b
        C>B 200 UPDATE sdp3[audio:4000]
        B>C 200 INVITE
        ! LegAnswered b 200
        ! Connected 200
        C>B ACK 1
        ",
    );
}

/// F1: the way to a ringing phone is lost while leg a is asked: nobody refused, and it is told so once leg a has answered.
#[test]
fn a_phone_that_is_lost_while_the_other_is_asked_refused_nothing() {
    let mut t = bob_rings();
    t.silence("b", "INVITE", FailureCause::Transport);
    assert_eq!(t.call.outcome, None, "the answer to UPDATE is awaited");
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    let outcome = t.call.outcome.clone().expect("the end");
    let found = (outcome.kind(), outcome.sip_status, outcome.ended_by.as_str());
    assert_eq!(found, (OutcomeKind::Failed, 503, "carillon"));
}

/// LAD-4 g
#[test]
fn alice_is_gone() {
    for status in [481, 408] {
        let mut t = bob_rings();
        t.reply("a", "UPDATE", status);
        assert!(t.lines.iter().any(|line| line.starts_with("C>B CANCEL")));
    }
    let mut t = bob_rings();
    t.silence("a", "UPDATE", FailureCause::Timeout);
    t.reply("b", "INVITE", 487);
    t.expect(
        "
        A>C nothing to UPDATE: Timeout
        ! LegEnded a 408
        C>A BYE 3
        C>B CANCEL Reason: SIP;cause=408;text=\"Request Timeout\"
        B>C 487 INVITE
        ! LegEnded b 408
        ! Ended 408
        C>B (released)
        ",
    );
}

/// LAD-4 h
#[test]
fn bob_refuses_after_ringing() {
    let mut t = bob_rings();
    t.reply("b", "INVITE", 603);
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        B>C 603 INVITE
        A>C 200 UPDATE sdp1[audio:4000]
        ! LegEnded b 603
        ! LegEnded a 603
        ! Ended 603
        C>A BYE 3 Reason: SIP;cause=603;text=\"Decline\"
        C>B (released)
        ",
    );
    let mut t = early();
    t.reply("b", "INVITE", 486);
    t.expect(
        "
        B>C 486 INVITE
        ! LegEnded b 486
        ! LegEnded a 486
        ! Ended 486
        C>A BYE 3 Reason: SIP;cause=486;text=\"Busy Here\"
        C>B (released)
        ",
    );
    assert_eq!(t.call.outcome.clone().expect("an outcome").kind(), OutcomeKind::Busy);
}

/// LAD-4 i
#[test]
fn bob_never_answers() {
    let mut t = early();
    t.wait(Duration::from_secs(60));
    t.reply("b", "INVITE", 487);
    t.expect(
        "
        ... 32000 ms
        ... 28000 ms
        ! LegEnded a 480
        C>B CANCEL Reason: SIP;cause=480;text=\"No answer\"
        C>A BYE 3 Reason: SIP;cause=480;text=\"No answer\"
        B>C 487 INVITE
        ! LegEnded b 480
        ! Ended 480
        C>B (released)
        ",
    );
    let mut t = early();
    t.wait(Duration::from_secs(60));
    t.reply("b", "INVITE", 200);
    t.expect(
        "
        ... 32000 ms
        ... 28000 ms
        ! LegEnded a 480
        C>B CANCEL Reason: SIP;cause=480;text=\"No answer\"
        C>A BYE 3 Reason: SIP;cause=480;text=\"No answer\"
        B>C 200 INVITE
        ! LegEnded b 480
        ! Ended 480
        C>B ACK 1
        C>B BYE 3 Reason: SIP;cause=480;text=\"No answer\"
        ",
    );
}

/// LAD-4 j
#[test]
fn alice_hangs_up() {
    let mut t = bob_rings();
    t.request("a", "BYE", None);
    t.reply("a", "UPDATE", 487);
    t.reply("b", "INVITE", 487);
    t.expect(
        "
        A>C BYE
        ! LegEnded a 487
        C>A 200 BYE
        C>B CANCEL Reason: SIP;cause=487;text=\"Request Terminated\"
        A>C 487 UPDATE
        B>C 487 INVITE
        ! LegEnded b 487
        ! Ended 487
        C>B (released)
        ",
    );
    let mut t = early();
    t.request("a", "BYE", None);
    t.reply("b", "INVITE", 200);
    t.expect(
        "
        A>C BYE
        ! LegEnded a 487
        C>A 200 BYE
        C>B CANCEL Reason: SIP;cause=487;text=\"Request Terminated\"
        B>C 200 INVITE
        ! LegEnded b 487
        ! Ended 487
        C>B ACK 1
        C>B BYE 3 Reason: SIP;cause=487;text=\"Request Terminated\"
        ",
    );
}

/// LAD-4 k, OFA-02, UPD-03
#[test]
fn bob_changes_his_mind_too_early() {
    let mut t = bob_rings();
    t.request("b", "UPDATE", Some(&sdp(&["audio 5001"])));
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.request("b", "UPDATE", Some(&sdp(&["audio 5001"])));
    t.expect(
        "
        B>C UPDATE sdp1[audio:5001]
        C>B 500 UPDATE Retry-After: 6
        A>C 200 UPDATE sdp1[audio:4000]
        ! RingbackStarted 180
        C>B PRACK 2 sdp1[audio:4000] RAck: 11 1 INVITE
        B>C UPDATE sdp1[audio:5001]
        C>B 500 UPDATE Retry-After: 6
        ",
    );
}

/// LAD-4 l, OFA-09
#[test]
fn a_second_fork_rings_and_answers() {
    let mut t = bob_rings();
    t.reply("b", "INVITE", Answer::new(180).tag("b2").reliable(1).sdp(&sdp(&["audio 6000"])));
    t.reply("b", "PRACK", 200);
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.reply("b", "PRACK", 200);
    t.reply("b", "INVITE", Answer::new(200).tag("b2"));
    t.reply("b", "INVITE", Answer::new(200).tag("b2").sdp(&sdp(&["audio 6000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        B>C 180 INVITE sdp1[audio:6000] (tag b2) RSeq 1
        C>B PRACK 2 sdp1[audio:0] RAck: 1 1 INVITE
        B>C 200 PRACK
        A>C 200 UPDATE sdp1[audio:4000]
        ! RingbackStarted 180
        C>B PRACK 3 sdp1[audio:4000] RAck: 11 1 INVITE
        B>C 200 PRACK
        B>C 200 INVITE (tag b2)
        ! LegAnswered b 200
        C>B ACK 1
        C>B INVITE 4
        B>C 200 INVITE sdp1[audio:6000] (tag b2)
        C>A INVITE 3 sdp3[audio:6000]
        A>C 200 INVITE sdp1[audio:4000]
        ! Connected 200
        C>B ACK 4 sdp2[audio:4000]
        C>A ACK 3
        ",
    );
}

/// LAD-4 l: the policy that avoids forks.
#[test]
fn forks_can_be_forbidden() {
    let mut t = Ladder::dial_with(Flow::Ringback, |policy| policy.no_fork = true);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    let (_, invite) = t.last("b", "INVITE");
    assert!(
        invite.headers.iter().any(|header| header.name == "Request-Disposition" && header.value == "no-fork")
    );
    let supported = invite.headers.iter().find(|header| header.name == "Supported").expect("Supported");
    assert!(supported.value.contains("100rel"));
    assert!(!invite.headers.iter().any(|header| header.name == "Require"));
}
