//! LAD-4 l, n: a fork of leg b that rang reliably is over, and its INVITE goes on, because others ring too.

use call_control::engine::call::OutcomeKind;
use call_control::engine::event::FailureCause;

use crate::lad4::bob_rings;
use crate::ladder::{Answer, Ladder, sdp};

/// Bob's fork rang, and Alice's answer to its offer is on its way in PRACK.
fn answered_by_prack() -> Ladder {
    let mut t = bob_rings();
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.lines.clear();
    t
}

/// LAD-4 n, PRK-04: another phone rings besides, so the one that does not take PRACK is given up alone; the other one rings with an offer
/// of its own.
#[test]
fn the_fork_whose_prack_fails_is_given_up_alone_while_another_rings() {
    for how in ["481", "488", "silence", "no way"] {
        let mut t = answered_by_prack();
        t.reply("b", "INVITE", Answer::new(180).tag("b2"));
        match how {
            "481" => t.reply("b", "PRACK", 481),
            "488" => t.reply("b", "PRACK", 488),
            "silence" => t.silence("b", "PRACK", FailureCause::Timeout),
            _ => t.silence("b", "PRACK", FailureCause::Transport),
        }
        t.lines.clear();
        t.reply("b", "INVITE", Answer::new(180).tag("b2").reliable(31).sdp(&sdp(&["audio 7000"])));
        t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
        t.reply("b", "PRACK", 200);
        t.reply("b", "INVITE", Answer::new(200).tag("b2"));
        t.expect(
            "
            B>C 180 INVITE sdp1[audio:7000] (tag b2) RSeq 31
            C>A UPDATE 3 tone+sdp3[audio:7000] Reason: SIP;cause=180;text=\"Ringing\"
            A>C 200 UPDATE sdp1[audio:4000]
            C>B PRACK 3 sdp1[audio:4000] RAck: 31 1 INVITE
            B>C 200 PRACK
            B>C 200 INVITE (tag b2)
            ! LegAnswered b 200
            ! Connected 200
            C>B ACK 1
            ",
        );
        assert_eq!(t.last("b", "ACK").1.to_tag, "b2", "{how}");
    }
}

/// LAD-4 l, n: the next target rang before that was known, so its offer was refused: it is asked for another one.
#[test]
fn the_next_target_is_asked_for_an_offer_when_its_first_one_was_refused() {
    let mut t = answered_by_prack();
    let (first, _) = t.last("b", "PRACK");
    t.reply("b", "INVITE", Answer::new(180).tag("b2").reliable(31).sdp(&sdp(&["audio 7000"])));
    t.reply("b", "PRACK", 200);
    t.answer_to("b", first, 481);
    t.reply("b", "INVITE", Answer::new(200).tag("b2"));
    t.reply("b", "INVITE", Answer::new(200).tag("b2").sdp(&sdp(&["audio 7000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        B>C 180 INVITE sdp1[audio:7000] (tag b2) RSeq 31
        C>B PRACK 3 sdp1[audio:0] RAck: 31 1 INVITE
        B>C 200 PRACK
        B>C 481 PRACK
        B>C 200 INVITE (tag b2)
        ! LegAnswered b 200
        C>B ACK 1
        C>B INVITE 4
        B>C 200 INVITE sdp1[audio:7000] (tag b2)
        C>A INVITE 3 sdp3[audio:7000]
        A>C 200 INVITE sdp1[audio:4000]
        ! Connected 200
        C>B ACK 4 sdp2[audio:4000]
        C>A ACK 3
        ",
    );
}

/// LAD-4 l, n: PRACK fails with both of two phones, in either order: nobody rings any more, and the call ends as with one.
#[test]
fn the_call_ends_when_prack_fails_with_the_last_fork() {
    for second_first in [false, true] {
        let mut t = answered_by_prack();
        let (first, _) = t.last("b", "PRACK");
        t.reply("b", "INVITE", Answer::new(180).tag("b2").reliable(31).sdp(&sdp(&["audio 7000"])));
        let (second, _) = t.last("b", "PRACK");
        let order = if second_first { [second, first] } else { [first, second] };
        t.answer_to("b", order[0], 481);
        assert!(t.call.outcome.is_none(), "the other one rings");
        t.lines.clear();
        t.answer_to("b", order[1], 481);
        let outcome = t.call.outcome.clone().expect("nobody rings any more");
        assert_eq!((outcome.kind(), outcome.sip_status), (OutcomeKind::Failed, 500));
        t.expect(
            "
            B>C 481 PRACK
            ! LegEnded a 500
            C>B CANCEL Reason: SIP;cause=500;text=\"PRACK failed\"
            C>A BYE 3 Reason: SIP;cause=500;text=\"PRACK failed\"
            ",
        );
    }
}

/// LAD-4 l, n: the one whose PRACK failed answers all the same, and is asked for an offer.
#[test]
fn a_fork_that_was_given_up_may_still_answer() {
    let mut t = answered_by_prack();
    t.reply("b", "INVITE", Answer::new(180).tag("b2"));
    t.reply("b", "PRACK", 488);
    t.lines.clear();
    t.reply("b", "INVITE", 200);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        B>C 200 INVITE
        ! LegAnswered b 200
        C>B ACK 1
        C>B INVITE 3
        B>C 200 INVITE sdp1[audio:5000]
        C>A INVITE 3 sdp2[audio:5000]
        A>C 200 INVITE sdp1[audio:4000]
        ! Connected 200
        C>B ACK 3 sdp1[audio:4000]
        C>A ACK 3
        ",
    );
}

/// LAD-4 h, n: another one rings besides, so what leg b's INVITE says in the end is the outcome, not what became of PRACK.
#[test]
fn the_refusal_of_the_invite_is_the_outcome_of_forks() {
    let mut t = answered_by_prack();
    t.reply("b", "INVITE", Answer::new(180).tag("b2"));
    t.reply("b", "PRACK", 481);
    t.reply("b", "INVITE", 486);
    assert_eq!(t.call.outcome.expect("an outcome").kind(), OutcomeKind::Busy);
}
