//! LAD-4 m … p, PRK-05: faults and crossings around PRACK, and both phones ringing at once.

use std::time::Duration;

use call_control::engine::call::Flow;
use call_control::engine::event::FailureCause;

use crate::lad4::{alice_is_up, bob_rings};
use crate::ladder::{Answer, Ladder, sdp};

/// LAD-4 m
#[test]
fn a_reliable_response_without_an_offer() {
    let mut t = alice_is_up();
    t.reply("b", "INVITE", Answer::new(180).reliable(3));
    t.reply("b", "PRACK", 200);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        B>C 180 INVITE RSeq 3
        ! LegRinging b 180
        C>B PRACK 2 RAck: 3 1 INVITE
        B>C 200 PRACK
        B>C 200 INVITE sdp1[audio:5000]
        ! LegAnswered b 200
        C>A INVITE 2 sdp2[audio:5000]
        A>C 200 INVITE sdp1[audio:4000]
        ! Connected 200
        C>B ACK 1 sdp1[audio:4000]
        C>A ACK 2
        ",
    );
}

/// LAD-4 n: whatever becomes of PRACK but a 2xx, the session cannot be, and nobody waits for RING to say so.
#[test]
fn prack_fails() {
    for (answer, told) in [
        (Some(481), "481 PRACK"),
        (Some(488), "488 PRACK"),
        (Some(500), "500 PRACK"),
        (None, "nothing to PRACK: Timeout"),
    ] {
        let mut t = bob_rings();
        t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
        match answer {
            Some(status) => t.reply("b", "PRACK", status),
            None => t.silence("b", "PRACK", FailureCause::Timeout),
        }
        t.reply("b", "INVITE", 487);
        t.expect(&format!(
            "
            A>C 200 UPDATE sdp1[audio:4000]
            ! RingbackStarted 180
            C>B PRACK 2 sdp1[audio:4000] RAck: 11 1 INVITE
            B>C {told}
            ! LegEnded a 500
            C>B CANCEL Reason: SIP;cause=500;text=\"PRACK failed\"
            C>A BYE 3 Reason: SIP;cause=500;text=\"PRACK failed\"
            B>C 487 INVITE
            ! LegEnded b 500
            ! Ended 500
            C>B (released)
            "
        ));
    }
    let mut t = bob_rings();
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.reply("b", "INVITE", 200);
    t.silence("b", "PRACK", FailureCause::Timeout);
    t.expect(
        "
        A>C 200 UPDATE sdp1[audio:4000]
        ! RingbackStarted 180
        C>B PRACK 2 sdp1[audio:4000] RAck: 11 1 INVITE
        B>C 200 INVITE
        ! LegAnswered b 200
        C>B ACK 1
        B>C nothing to PRACK: Timeout
        ! LegEnded a 500
        ! LegEnded b 500
        ! Ended 500
        C>A BYE 3 Reason: SIP;cause=500;text=\"PRACK failed\"
        C>B BYE 3 Reason: SIP;cause=500;text=\"PRACK failed\"
        ",
    );
}

/// LAD-4 10 before 9: Bob's 2xx overtakes the answer to PRACK.
#[test]
fn bob_answers_before_his_prack_is_answered() {
    let mut t = bob_rings();
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.reply("b", "INVITE", 200);
    t.reply("b", "PRACK", 200);
    t.expect(
        "
        A>C 200 UPDATE sdp1[audio:4000]
        ! RingbackStarted 180
        C>B PRACK 2 sdp1[audio:4000] RAck: 11 1 INVITE
        B>C 200 INVITE
        ! LegAnswered b 200
        C>B ACK 1
        B>C 200 PRACK
        ! Connected 200
        ",
    );
}

/// LAD-4 with a phone that breaks RFC 3262 3: its 2xx comes before its offer was answered.
#[test]
fn bob_answers_before_alice_does() {
    let mut t = bob_rings();
    t.reply("b", "INVITE", 200);
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.reply("b", "PRACK", 200);
    t.expect(
        "
        B>C 200 INVITE
        ! LegAnswered b 200
        A>C 200 UPDATE sdp1[audio:4000]
        ! RingbackStarted 180
        C>B PRACK 2 sdp1[audio:4000] RAck: 11 1 INVITE
        C>B ACK 1
        B>C 200 PRACK
        ! Connected 200
        ",
    );
}

/// LAD-4 o
#[test]
fn the_guard_comes_before_bobs_own_failure() {
    let mut t = bob_rings();
    t.wait(Duration::from_secs(20));
    t.reply("b", "PRACK", 200);
    t.reply("b", "INVITE", 487);
    t.expect(
        "
        ... 20000 ms
        ! LegEnded a 504
        C>B PRACK 2 sdp1[audio:0] RAck: 11 1 INVITE
        C>B CANCEL Reason: SIP;cause=504;text=\"Guard time passed\"
        C>A BYE 3 Reason: SIP;cause=504;text=\"Guard time passed\"
        B>C 200 PRACK
        B>C 487 INVITE
        ! LegEnded b 504
        ! Ended 504
        C>B (released)
        ",
    );
}

/// LAD-4 p, TPC-08
#[test]
fn both_ring_at_once_and_alice_is_only_updated() {
    let mut t = Ladder::dial_with(Flow::Ringback, |policy| policy.parallel = true);
    t.reply("a", "INVITE", Answer::new(183).reliable(5).sdp(&sdp(&[])));
    t.reply("a", "PRACK", 200);
    t.reply("b", "INVITE", Answer::new(180).reliable(11).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.reply("b", "PRACK", 200);
    t.reply("b", "INVITE", 200);
    t.reply("a", "INVITE", 200);
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1 sdp1[]
        A>C 183 INVITE sdp1[] RSeq 5
        ! LegProgress a 183
        ! LegDialing b
        C>A PRACK 2 RAck: 5 1 INVITE
        C>B INVITE 1
        A>C 200 PRACK
        B>C 180 INVITE sdp1[audio:5000] RSeq 11
        ! LegRinging b 180
        C>A UPDATE 3 tone+sdp2[audio:5000] Reason: SIP;cause=180;text=\"Ringing\"
        A>C 200 UPDATE sdp1[audio:4000]
        ! RingbackStarted 180
        C>B PRACK 2 sdp1[audio:4000] RAck: 11 1 INVITE
        B>C 200 PRACK
        B>C 200 INVITE
        ! LegAnswered b 200
        C>B ACK 1
        A>C 200 INVITE
        ! LegAnswered a 200
        ! Connected 200
        C>A ACK 1
        ",
    );
    let mut t = Ladder::dial_with(Flow::Ringback, |policy| policy.parallel = true);
    t.reply("a", "INVITE", Answer::new(183).reliable(5).sdp(&sdp(&[])).allow(&["INVITE"]));
    t.reply("a", "PRACK", 200);
    t.reply("b", "INVITE", Answer::new(180).reliable(11).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "UPDATE", 405);
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1 sdp1[]
        A>C 183 INVITE sdp1[] RSeq 5
        ! LegProgress a 183
        ! LegDialing b
        C>A PRACK 2 RAck: 5 1 INVITE
        C>B INVITE 1
        A>C 200 PRACK
        B>C 180 INVITE sdp1[audio:5000] RSeq 11
        ! LegRinging b 180
        C>A UPDATE 3 tone+sdp2[audio:5000] Reason: SIP;cause=180;text=\"Ringing\"
        A>C 405 UPDATE
        C>A CANCEL Reason: SIP;cause=405;text=\"Method Not Allowed\"
        C>B PRACK 2 sdp1[audio:0] RAck: 11 1 INVITE
        C>B CANCEL Reason: SIP;cause=405;text=\"Method Not Allowed\"
        ",
    );
}

/// PRK-05: RSeq 1, 3, 2: PRACK for 1, then 2, then 3; the jump is neither acknowledged nor used before.
#[test]
fn reliable_responses_are_acknowledged_in_order() {
    let mut t = alice_is_up();
    t.reply("b", "INVITE", Answer::new(183).reliable(1));
    t.reply("b", "INVITE", Answer::new(180).reliable(3));
    t.reply("b", "INVITE", Answer::new(182).reliable(2));
    t.expect(
        "
        B>C 183 INVITE RSeq 1
        ! LegProgress b 183
        C>B PRACK 2 RAck: 1 1 INVITE
        B>C 180 INVITE RSeq 3
        B>C 182 INVITE RSeq 2
        ! LegRinging b 180
        C>B PRACK 3 RAck: 2 1 INVITE
        C>B PRACK 4 RAck: 3 1 INVITE
        ",
    );
}

/// PRK-05: a later reliable response waits until the first one's offer is answered.
#[test]
fn a_second_reliable_response_waits_for_the_first_prack() {
    let mut t = bob_rings();
    t.reply("b", "INVITE", Answer::new(182).reliable(12));
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        B>C 182 INVITE RSeq 12
        ! LegProgress b 182
        A>C 200 UPDATE sdp1[audio:4000]
        ! RingbackStarted 180
        C>B PRACK 2 sdp1[audio:4000] RAck: 11 1 INVITE
        C>B PRACK 3 RAck: 12 1 INVITE
        ",
    );
}
