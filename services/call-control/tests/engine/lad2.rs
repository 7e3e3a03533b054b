//! LAD-2: Flow III, the first leg makes its own offer.

use std::time::Duration;

use call_control::engine::call::{Flow, OutcomeKind};

use crate::ladder::{Answer, Ladder, sdp};

/// LAD-2 1-10, TPC-03, OFA-03
#[test]
fn alice_waits_inactive_until_bob_answers() {
    let mut t = Ladder::dial(Flow::Iii);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1
        A>C 200 INVITE sdp1[audio:4000]
        ! LegAnswered a 200
        ! LegDialing b
        C>A ACK 1 sdp1[audio:9 inactive]
        C>B INVITE 1
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

/// LAD-2 6 and 8, TPC-04: lines are ordered as offer1, missing ones padded, new ones appended, and trimmed back.
#[test]
fn lines_are_matched_by_kind_and_padded() {
    let mut t = Ladder::dial(Flow::Iii);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000", "video 4002"])));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["application 5004", "audio 5000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000", "video 0", "application 0"])));
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1
        A>C 200 INVITE sdp1[audio:4000, video:4002]
        ! LegAnswered a 200
        ! LegDialing b
        C>A ACK 1 sdp1[audio:9 inactive, video:9 inactive]
        C>B INVITE 1
        B>C 200 INVITE sdp1[application:5004, audio:5000]
        ! LegAnswered b 200
        C>A INVITE 2 sdp2[audio:5000, video:0, application:5004]
        A>C 200 INVITE sdp1[audio:4000, video:0, application:0]
        ! Connected 200
        C>B ACK 1 sdp1[application:0, audio:4000]
        C>A ACK 2
        ",
    );
}

/// LAD-2 k
#[test]
fn without_a_common_codec_alice_is_not_asked() {
    let mut t = Ladder::dial(Flow::Iii);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["video 5000"])));
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1
        A>C 200 INVITE sdp1[audio:4000]
        ! LegAnswered a 200
        ! LegDialing b
        C>A ACK 1 sdp1[audio:9 inactive]
        C>B INVITE 1
        B>C 200 INVITE sdp1[video:5000]
        ! LegAnswered b 200
        ! LegEnded a 488
        ! LegEnded b 488
        ! Ended 488
        C>B ACK 1 sdp1[video:0]
        C>A BYE 2 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        C>B BYE 2 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        ",
    );
}

/// OFA-03: the offer in the first reliable response, the answer in PRACK.
#[test]
fn alice_offers_while_she_rings() {
    let mut t = Ladder::dial(Flow::Iii);
    t.reply("a", "INVITE", Answer::new(183).reliable(1).sdp(&sdp(&["audio 4000"])));
    t.reply("a", "PRACK", 200);
    t.reply("a", "INVITE", 200);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1
        A>C 183 INVITE sdp1[audio:4000] RSeq 1
        ! LegProgress a 183
        C>A PRACK 2 sdp1[audio:9 inactive] RAck: 1 1 INVITE
        A>C 200 PRACK
        A>C 200 INVITE
        ! LegAnswered a 200
        ! LegDialing b
        C>A ACK 1
        C>B INVITE 1
        B>C 200 INVITE sdp1[audio:5000]
        ! LegAnswered b 200
        C>A INVITE 3 sdp2[audio:5000]
        ",
    );
}

/// LAD-2 with the faults of its first steps.
#[test]
fn an_answer_without_an_offer_ends_the_call() {
    let mut t = Ladder::dial(Flow::Iii);
    t.reply("a", "INVITE", 200);
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1
        A>C 200 INVITE
        ! LegAnswered a 200
        ! LegEnded a 488
        ! Ended 488
        C>A ACK 1
        C>A BYE 2 Reason: SIP;cause=488;text=\"No offer\"
        ",
    );
    let mut t = Ladder::dial(Flow::Iii);
    t.reply("a", "INVITE", Answer::new(200).sdp("this is no session description"));
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1
        A>C 200 INVITE sdp[]
        ! LegAnswered a 200
        ! LegEnded a 488
        ! Ended 488
        C>A ACK 1
        C>A BYE 2 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        ",
    );
}

/// LAD-2 a
#[test]
fn alice_rejects() {
    let mut t = Ladder::dial(Flow::Iii);
    t.reply("a", "INVITE", 488);
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1
        A>C 488 INVITE
        ! LegEnded a 488
        ! Ended 488
        C>A (released)
        ",
    );
}

/// LAD-2 b, d
#[test]
fn nobody_answers() {
    let mut t = Ladder::dial(Flow::Iii);
    t.wait(Duration::from_secs(61));
    t.reply("a", "INVITE", 487);
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1
        ... 60000 ms
        C>A CANCEL Reason: SIP;cause=480;text=\"No answer\"
        A>C 487 INVITE
        ! LegEnded a 480
        ! Ended 480
        C>A (released)
        ",
    );
    let mut t = alice_is_up();
    t.wait(Duration::from_secs(61));
    t.reply("b", "INVITE", 487);
    t.expect(
        "
        ... 32000 ms
        ... 28000 ms
        ! LegEnded a 480
        C>B CANCEL Reason: SIP;cause=480;text=\"No answer\"
        C>A BYE 2 Reason: SIP;cause=480;text=\"No answer\"
        B>C 487 INVITE
        ! LegEnded b 480
        ! Ended 480
        C>B (released)
        ",
    );
}

/// LAD-2 c
#[test]
fn bob_is_busy() {
    let mut t = alice_is_up();
    t.reply("b", "INVITE", 486);
    t.expect(
        "
        B>C 486 INVITE
        ! LegEnded b 486
        ! LegEnded a 486
        ! Ended 486
        C>A BYE 2 Reason: SIP;cause=486;text=\"Busy Here\"
        C>B (released)
        ",
    );
    assert_eq!(t.call.outcome.clone().expect("an outcome").kind(), OutcomeKind::Busy);
}

/// LAD-2 e
#[test]
fn alice_hangs_up_when_bob_has_answered() {
    let mut t = bob_has_answered();
    t.request("a", "BYE", None);
    t.expect(
        "
        A>C BYE
        ! LegEnded a 487
        ! LegEnded b 487
        ! Ended 487
        C>A 200 BYE
        C>B ACK 1 sdp1[audio:0]
        C>B BYE 2 Reason: SIP;cause=487;text=\"Request Terminated\"
        ",
    );
}

/// LAD-2 f
#[test]
fn alices_own_offer_comes_too_early() {
    let mut t = bob_has_answered();
    t.request("a", "INVITE", Some(&sdp(&["audio 4000"])));
    t.expect(
        "
        A>C INVITE sdp1[audio:4000]
        C>A 491 INVITE
        ",
    );
}

/// LAD-2 g, h
#[test]
fn alice_refuses_the_session() {
    let mut t = bob_has_answered();
    t.reply("a", "INVITE", 488);
    t.expect(
        "
        A>C 488 INVITE
        ! LegEnded a 488
        ! LegEnded b 488
        ! Ended 488
        C>B ACK 1 sdp1[audio:0]
        C>A BYE 3 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        C>B BYE 2 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        ",
    );
    let mut t = bob_has_answered();
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 0"])));
    t.expect(
        "
        A>C 200 INVITE sdp1[audio:0]
        ! LegEnded a 488
        ! LegEnded b 488
        ! Ended 488
        C>B ACK 1 sdp1[audio:0]
        C>A ACK 2
        C>A BYE 3 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        C>B BYE 2 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        ",
    );
    let mut t = bob_has_answered();
    t.wait(Duration::from_secs(20));
    t.expect(
        "
        ... 20000 ms
        ! LegEnded a 504
        ! LegEnded b 504
        ! Ended 504
        C>B ACK 1 sdp1[audio:0]
        C>A BYE 3 Reason: SIP;cause=504;text=\"Guard time passed\"
        C>B BYE 2 Reason: SIP;cause=504;text=\"Guard time passed\"
        ",
    );
}

/// LAD-2 i, j
#[test]
fn bob_forks_or_leaves() {
    let mut t = bob_has_answered();
    t.reply("b", "INVITE", Answer::new(200).tag("b2").sdp(&sdp(&["audio 6000"])));
    t.request("b", "BYE", None);
    t.expect(
        "
        B>C 200 INVITE sdp1[audio:6000] (tag b2)
        C>B ACK 1 sdp1[audio:0]
        C>B BYE 2
        B>C BYE
        ! LegEnded b 487
        ! LegEnded a 487
        ! Ended 487
        C>B 200 BYE
        C>B ACK 1 sdp1[audio:0]
        C>A BYE 3 Reason: SIP;cause=487;text=\"Request Terminated\"
        ",
    );
}

fn alice_is_up() -> Ladder {
    let mut t = Ladder::dial(Flow::Iii);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.lines.clear();
    t
}

fn bob_has_answered() -> Ladder {
    let mut t = alice_is_up();
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.lines.clear();
    t
}

/// LAD-2 6, UPD-02: the first phone allows UPDATE, and is asked by re-INVITE all the same; the answer goes into PRACK.
#[test]
fn alice_is_asked_by_reinvite_when_bob_rings_with_his_offer() {
    let mut t = Ladder::dial(Flow::Iii);
    t.reply(
        "a",
        "INVITE",
        Answer::new(200).allow(&["INVITE", "ACK", "BYE", "UPDATE"]).sdp(&sdp(&["audio 4000"])),
    );
    t.lines.clear();
    t.reply("b", "INVITE", Answer::new(183).reliable(1).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.reply("b", "PRACK", 200);
    t.reply("b", "INVITE", 200);
    t.expect(
        "
        B>C 183 INVITE sdp1[audio:5000] RSeq 1
        ! LegProgress b 183
        C>A INVITE 2 sdp2[audio:5000] Reason: SIP;cause=183;text=\"Session Progress\"
        A>C 200 INVITE sdp1[audio:4000]
        C>A ACK 2
        C>B PRACK 2 sdp1[audio:4000] RAck: 1 1 INVITE
        B>C 200 PRACK
        B>C 200 INVITE
        ! LegAnswered b 200
        ! Connected 200
        C>B ACK 1
        ",
    );
}
