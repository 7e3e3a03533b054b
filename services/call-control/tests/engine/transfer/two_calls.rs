//! Bridge and attended transfer: a leg of another call.

use call_control::engine::call::{CallState, OutcomeKind};
use call_control::engine::event::{Command, Event, Target};
use call_control::engine::leg::LegState;

use crate::ladder::{Answer, Ladder, sdp};

/// Two calls that talk to each other; everything is said twice.
struct Two {
    one: Ladder,
    two: Ladder,
}

impl Two {
    fn connected() -> Two {
        Two { one: Ladder::connected("call-1"), two: Ladder::connected("call-2") }
    }

    /// What was told arrives, until nothing more is said.
    fn talk(&mut self) {
        loop {
            let (from_one, from_two) = (self.one.tells(), self.two.tells());
            if from_one.is_empty() && from_two.is_empty() {
                return;
            }
            for (tells, from, to) in
                [(from_one, "call-1", &mut self.two), (from_two, "call-2", &mut self.one)]
            {
                for tell in tells {
                    let word = tell.word.expect("a word");
                    let told = Event::Told { from: from.into(), operation: tell.operation, word };
                    to.take(&told).expect("what is told is taken");
                    let shown = |t: &Ladder| t.lines.iter().filter(|line| !line.starts_with("C>(")).count();
                    let before = shown(to);
                    to.take(&told).expect("and again");
                    assert_eq!(shown(to), before, "what is told twice does nothing more");
                }
            }
        }
    }

    fn bridge(&mut self) {
        let target = Target::Leg { call_id: "call-2".into(), leg_id: "b".into() };
        self.one.transfer("a", target).expect("they talk");
        self.talk();
    }
}

/// LAD-9, SCN-15: the two that stay are connected, and the others are let go.
#[test]
fn two_parties_of_two_calls_are_connected() {
    let mut t = Two::connected();
    t.bridge();
    t.one.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.one.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.talk();
    t.one.expect(
        "
        API transfer a
        ! TransferStarted a
        C>(call-2) borrow
        C>A INVITE 3
        A>C 200 INVITE sdp1[audio:4000]
        C>C INVITE 2 sdp1[audio:4000]
        C>C 200 INVITE sdp1[audio:5000] (tag b1)
        ! TransferSucceeded a 200
        ! PartyJoined c
        ! PartyLeft b
        ! LegEnded b 200
        C>C ACK 2
        C>A ACK 3 sdp2[audio:5000]
        C>(call-2) kept
        C>B BYE 2
        ",
    );
    t.two.expect(
        "
        C>(call-1) lent b
        ! LegEnded b 200
        ! LegEnded a 200
        ! Ended 200
        C>A BYE 3
        ",
    );
    let outcome = t.two.call.outcome.clone().expect("an outcome");
    assert_eq!((outcome.kind(), outcome.ended_by.as_str()), (OutcomeKind::Completed, "api"));
    // From here on it is one call like any other
    t.one.request("c", "BYE", None);
    assert_eq!(t.one.call.state(), CallState::Ended);
}

/// The dialog goes on where it was: its tags, its Call-ID, its numbers, the o= line of its session.
#[test]
fn the_phone_sees_one_dialog() {
    let mut t = Two::connected();
    let before = t.two.call.legs[1].clone();
    t.bridge();
    t.one.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    let (_, invite) = t.one.last("c", "INVITE");
    assert_eq!(invite.sip_call_id, before.sip_call_id);
    assert_eq!((invite.from_tag, invite.to_tag), (before.local_tag, before.remote_tag));
    assert_eq!(invite.cseq, before.last_cseq + 1);
}

/// CCL-07: the party of the other call refuses: it goes back, and alice talks to bob as before.
#[test]
fn a_party_that_refuses_goes_back_to_its_call() {
    let mut t = Two::connected();
    t.bridge();
    t.one.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.one.reply("c", "INVITE", 488);
    t.one.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.talk();
    t.one.expect(
        "
        API transfer a
        ! TransferStarted a
        C>(call-2) borrow
        C>A INVITE 3
        A>C 200 INVITE sdp1[audio:4000]
        C>C INVITE 2 sdp1[audio:4000]
        C>C 488 INVITE (tag b1)
        ! TransferFailed a 488
        ! LegEnded c 200
        C>(call-2) given back c
        C>B INVITE 2 sdp1[audio:4000]
        C>C (released)
        B>C 200 INVITE sdp1[audio:5000]
        C>B ACK 2
        C>A ACK 3 sdp2[audio:5000]
        ",
    );
    assert_eq!((t.one.call.state(), t.two.call.state()), (CallState::Answered, CallState::Answered));
    t.two.lines.clear();
    t.two.request("a", "INFO", None);
    assert_eq!(t.two.last("b", "INFO").1.cseq, 3, "the numbers of the dialog go on");
}

/// What cannot be lent, or is lent elsewhere, fails at once.
#[test]
fn a_call_that_cannot_lend_says_so() {
    let mut t = Two::connected();
    t.two.command(Command::Hangup { reason: String::new() }).expect("it lives");
    t.bridge();
    t.one.expect(
        "
        API transfer a
        ! TransferStarted a
        C>(call-2) borrow
        ! TransferFailed a 481
        ",
    );
    let mut t = Two::connected();
    t.two.request("a", "INVITE", Some(&sdp(&["audio 4000 sendonly"])));
    t.bridge();
    assert_eq!(t.one.lines.last().map(String::as_str), Some("! TransferFailed a 491"));
    assert_eq!(t.two.call.state(), CallState::Answered);
}

/// One wins when both calls want a leg of the other one.
#[test]
fn two_calls_that_want_each_other_do_not_both_fail() {
    let mut t = Two::connected();
    let of = |call: &str| Target::Leg { call_id: call.into(), leg_id: "b".into() };
    t.one.transfer("a", of("call-2")).expect("they talk");
    t.two.transfer("a", of("call-1")).expect("they talk");
    t.talk();
    let told = |t: &Ladder| t.lines.iter().filter(|line| line.starts_with("! TransferFailed")).count();
    assert_eq!((told(&t.one), told(&t.two)), (0, 1));
    t.one.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.one.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.talk();
    assert_eq!((t.one.call.state(), t.two.call.state()), (CallState::Answered, CallState::Ended));
}

/// The phone that was lent hangs up where it was: both calls learn of it.
#[test]
fn a_party_that_hangs_up_on_the_way_is_missed_by_both() {
    let mut t = Two::connected();
    t.bridge();
    t.two.request("b", "BYE", None);
    t.talk();
    t.one.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.two.expect(
        "
        C>(call-1) lent b
        B>C BYE
        C>B 200 BYE
        C>(call-1) hung up
        ! LegEnded b 200
        ! LegEnded a 200
        ! Ended 200
        C>A BYE 3
        ",
    );
    assert!(t.one.lines.iter().any(|line| line == "! TransferFailed a 487"), "{:#?}", t.one.lines);
    assert_eq!(t.one.call.state(), CallState::Answered);
}

/// The application hangs up the lender meanwhile: its other party goes at once, and the one that was lent when it is clear whose it is.
#[test]
fn a_lender_that_ends_leaves_nobody_behind() {
    let mut t = Two::connected();
    t.bridge();
    t.two.command(Command::Hangup { reason: String::new() }).expect("it lives");
    assert_eq!(t.two.call.state(), CallState::Ended);
    assert!(!t.two.finished, "somebody may come back");
    t.one.reply("a", "INVITE", 488);
    t.talk();
    let (_, bye) = t.two.last("b", "BYE");
    assert_eq!(bye.method, "BYE");
    assert_eq!(t.one.call.state(), CallState::Answered);
    assert_eq!(t.one.call.legs[2].state(), LegState::Ended);
}

/// The borrower ends: what was lent and not touched goes back.
#[test]
fn a_borrower_that_ends_gives_back() {
    let mut t = Two::connected();
    t.bridge();
    t.one.request("a", "BYE", None);
    t.talk();
    assert_eq!((t.one.call.state(), t.two.call.state()), (CallState::Ended, CallState::Answered));
    let mut t = Two::connected();
    t.bridge();
    t.one.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.one.command(Command::Hangup { reason: String::new() }).expect("it lives");
    t.talk();
    assert_eq!((t.one.call.state(), t.two.call.state()), (CallState::Ended, CallState::Ended));
    assert_eq!(t.one.last("c", "BYE").1.method, "BYE");
}

/// LAD-9: an attended transfer finds the far party by who is in both calls.
#[test]
fn the_far_party_of_the_other_call_comes() {
    for (leg, expected) in [("a", "b"), ("b", "a")] {
        let mut t = Two::connected();
        t.one.transfer(leg, Target::Call("call-2".into())).expect("they talk");
        t.talk();
        // In both calls alice is leg a and bob leg b
        let lent = t.two.call.legs.iter().find(|leg| leg.lent.is_some()).expect("a leg was lent");
        assert_ne!(lent.leg_id, expected, "who leaves is not the one that comes");
    }
}
