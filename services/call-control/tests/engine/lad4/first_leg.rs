//! LAD-4 a … f: what the first leg makes of ringback.

use std::time::Duration;

use call_control::engine::call::Flow;

use crate::lad4::{TONE, alice_is_up, bob_rings};
use crate::ladder::{Answer, Ladder, sdp};

/// LAD-4 a
#[test]
fn bob_rings_without_100rel_and_alice_takes_the_tone() {
    let mut t = Ladder::dial(Flow::Ringback);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])).accept(&["application/sdp", TONE]));
    t.lines.clear();
    t.reply("b", "INVITE", 180);
    t.reply("a", "UPDATE", 200);
    t.reply("b", "INVITE", 180);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        B>C 180 INVITE
        ! LegRinging b 180
        C>A UPDATE 2 tone Reason: SIP;cause=180;text=\"Ringing\"
        A>C 200 UPDATE
        ! RingbackStarted
        B>C 180 INVITE
        B>C 200 INVITE sdp1[audio:5000]
        ! LegAnswered b 200
        C>A INVITE 3 sdp2[audio:5000]
        A>C 200 INVITE sdp1[audio:4000]
        ! Connected 200
        C>B ACK 1 sdp1[audio:4000]
        C>A ACK 3
        ",
    );
}

/// LAD-4 a: many carriers send 183 and never 180.
#[test]
fn progress_without_ringing_starts_the_tone_too() {
    let mut t = Ladder::dial(Flow::Ringback);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])).accept(&["application/sdp", TONE]));
    t.lines.clear();
    t.reply("b", "INVITE", Answer::new(183).sdp(&sdp(&["audio 5000"])));
    t.expect(
        "
        B>C 183 INVITE sdp1[audio:5000]
        ! LegProgress b 183
        C>A UPDATE 2 tone Reason: SIP;cause=183;text=\"Session Progress\"
        ",
    );
}

/// LAD-4 a: the tone is still on its way when Bob answers; the session waits for its turn.
#[test]
fn the_session_waits_for_the_tone() {
    let mut t = Ladder::dial(Flow::Ringback);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])).accept(&["application/sdp", TONE]));
    t.lines.clear();
    t.reply("b", "INVITE", 180);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "UPDATE", 415);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        B>C 180 INVITE
        ! LegRinging b 180
        C>A UPDATE 2 tone Reason: SIP;cause=180;text=\"Ringing\"
        B>C 200 INVITE sdp1[audio:5000]
        ! LegAnswered b 200
        A>C 415 UPDATE
        C>A INVITE 3 sdp2[audio:5000]
        A>C 200 INVITE sdp1[audio:4000]
        ! Connected 200
        C>B ACK 1 sdp1[audio:4000]
        C>A ACK 3
        ",
    );
}

/// LAD-4 a: no tone, no noise about it.
#[test]
fn alice_without_tones_hears_silence() {
    let mut t = alice_is_up();
    t.reply("b", "INVITE", 180);
    t.expect(
        "
        B>C 180 INVITE
        ! LegRinging b 180
        ",
    );
}

/// LAD-4 a: 420 to Supported or Require, INVITE again without the extension.
#[test]
fn bob_does_not_know_100rel() {
    let mut t = alice_is_up();
    t.reply("b", "INVITE", Answer::new(420).header("Unsupported", "100rel"));
    let (_, again) = t.last("b", "INVITE");
    assert_eq!(again.cseq, 2);
    let supported = again.headers.iter().find(|header| header.name == "Supported").expect("other extensions");
    assert_eq!(supported.value, "timer, replaces, join, tdialog");
    t.reply("b", "INVITE", Answer::new(420).header("Unsupported", "100rel"));
    t.expect(
        "
        B>C 420 INVITE
        C>B INVITE 2
        B>C 420 INVITE
        ! LegEnded b 420
        ! LegEnded a 420
        ! Ended 420
        C>A BYE 2 Reason: SIP;cause=420;text=\"Bad Extension\"
        C>B (released)
        ",
    );
}

/// LAD-4 b
#[test]
fn alice_lacks_update() {
    let mut t = Ladder::dial(Flow::Ringback);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])).allow(&["INVITE", "ACK", "BYE"]));
    t.lines.clear();
    t.reply("b", "INVITE", Answer::new(180).reliable(1).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])).allow(&["INVITE"]));
    t.expect(
        "
        B>C 180 INVITE sdp1[audio:5000] RSeq 1
        ! LegRinging b 180
        C>A INVITE 2 tone+sdp2[audio:5000] Reason: SIP;cause=180;text=\"Ringing\"
        A>C 200 INVITE sdp1[audio:4000]
        ! RingbackStarted 180
        C>A ACK 2
        C>B PRACK 2 sdp1[audio:4000] RAck: 1 1 INVITE
        ",
    );
}

/// LAD-4 b, c: UPDATE refused by a phone that did not say so before, or that must ask its user.
#[test]
fn a_refused_update_becomes_a_reinvite() {
    for status in [405, 501, 504] {
        let mut t = bob_rings();
        t.reply("a", "UPDATE", status);
        t.expect(&format!(
            "A>C {status} UPDATE\nC>A INVITE 3 tone+sdp2[audio:5000] Reason: SIP;cause=180;text=\"Ringing\""
        ));
        t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
        t.reply("b", "PRACK", 200);
        t.reply("b", "INVITE", 200);
        assert!(t.lines.contains(&"! Connected 200".to_owned()));
    }
}

/// LAD-4 c with GUARD
#[test]
fn the_reinvite_is_not_answered_in_time() {
    let mut t = bob_rings();
    t.reply("a", "UPDATE", 504);
    t.wait(Duration::from_secs(20));
    t.reply("b", "PRACK", 200);
    t.reply("b", "INVITE", 487);
    t.expect(
        "
        A>C 504 UPDATE
        C>A INVITE 3 tone+sdp2[audio:5000] Reason: SIP;cause=180;text=\"Ringing\"
        ... 20000 ms
        ! LegEnded a 504
        C>B PRACK 2 sdp1[audio:0] RAck: 11 1 INVITE
        C>B CANCEL Reason: SIP;cause=504;text=\"Guard time passed\"
        C>A BYE 4 Reason: SIP;cause=504;text=\"Guard time passed\"
        B>C 200 PRACK
        B>C 487 INVITE
        ! LegEnded b 504
        ! Ended 504
        C>B (released)
        ",
    );
}

/// LAD-4 d: the application learns what Alice said; CANCEL does not wait for the answer to PRACK, which Bob may never send.
#[test]
fn alice_cannot_take_the_session() {
    for status in [488, 606] {
        let mut t = bob_rings();
        t.reply("a", "UPDATE", status);
        t.reply("b", "PRACK", 200);
        t.reply("b", "INVITE", 487);
        t.expect(&format!(
            "
            A>C {status} UPDATE
            ! LegEnded a {status}
            C>B PRACK 2 sdp1[audio:0] RAck: 11 1 INVITE
            C>B CANCEL Reason: SIP;cause=488;text=\"Not Acceptable Here\"
            C>A BYE 3 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
            B>C 200 PRACK
            B>C 487 INVITE
            ! LegEnded b {status}
            ! Ended {status}
            C>B (released)
            "
        ));
    }
}

/// LAD-4 d: Bob answers while his offer is being refused.
#[test]
fn bob_answers_while_his_offer_is_refused() {
    let mut t = bob_rings();
    t.reply("a", "UPDATE", 488);
    t.lines.clear();
    t.reply("b", "INVITE", 200);
    t.reply("b", "PRACK", 200);
    t.expect(
        "
        B>C 200 INVITE
        ! LegEnded b 488
        ! Ended 488
        C>B ACK 1
        C>B BYE 3 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        B>C 200 PRACK
        ",
    );
}

/// LAD-4 d, policy "patient"
#[test]
fn a_patient_controller_asks_once_more() {
    let mut t = Ladder::dial_with(Flow::Ringback, |policy| policy.patient = true);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t.lines.clear();
    t.reply("b", "INVITE", Answer::new(180).reliable(11).sdp(&sdp(&["audio 5000", "video 5002"])));
    t.reply("a", "UPDATE", 488);
    t.reply("a", "UPDATE", 488);
    t.expect(
        "
        B>C 180 INVITE sdp1[audio:5000, video:5002] RSeq 11
        ! LegRinging b 180
        C>A UPDATE 2 tone+sdp2[audio:5000, video:5002] Reason: SIP;cause=180;text=\"Ringing\"
        A>C 488 UPDATE
        C>A UPDATE 3 sdp2[audio:5000, video:5002] Reason: SIP;cause=180;text=\"Ringing\"
        A>C 488 UPDATE
        ! LegEnded a 488
        C>B PRACK 2 sdp1[audio:0, video:0] RAck: 11 1 INVITE
        C>B CANCEL Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        C>A BYE 4 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        ",
    );
}

/// LAD-4 d with an answer that refuses every stream
#[test]
fn alice_refuses_every_stream() {
    let mut t = bob_rings();
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 0"])));
    t.expect(
        "
        A>C 200 UPDATE sdp1[audio:0]
        ! LegEnded a 488
        C>B PRACK 2 sdp1[audio:0] RAck: 11 1 INVITE
        C>B CANCEL Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        C>A BYE 3 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        ",
    );
}

/// LAD-4 e
#[test]
fn alice_does_not_know_the_tone() {
    let mut t = bob_rings();
    t.reply("a", "UPDATE", 415);
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        A>C 415 UPDATE
        C>A UPDATE 3 sdp2[audio:5000] Reason: SIP;cause=180;text=\"Ringing\"
        A>C 200 UPDATE sdp1[audio:4000]
        C>B PRACK 2 sdp1[audio:4000] RAck: 11 1 INVITE
        ",
    );
}

/// LAD-4 e, TPC-13: linphone 5.1 does not see the session in a body of several parts, and answers as if there were none.
#[test]
fn alice_does_not_find_the_session_beside_the_tone() {
    let mut t = bob_rings();
    t.reply("a", "UPDATE", 200);
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        A>C 200 UPDATE
        C>A UPDATE 3 sdp2[audio:5000] Reason: SIP;cause=180;text=\"Ringing\"
        A>C 200 UPDATE sdp1[audio:4000]
        C>B PRACK 2 sdp1[audio:4000] RAck: 11 1 INVITE
        ",
    );
    let mut t = bob_rings();
    t.reply("a", "UPDATE", 200);
    t.reply("a", "UPDATE", 200);
    assert_eq!(t.call.outcome.expect("it is asked without the tone once").sip_status, 488);
}

/// LAD-4 e
#[test]
fn alice_asks_to_wait() {
    let mut t = bob_rings();
    t.reply("a", "UPDATE", Answer::new(500).retry_after(7));
    t.wait(Duration::from_secs(7));
    t.expect(
        "
        A>C 500 UPDATE
        ... 7000 ms
        C>A UPDATE 3 tone+sdp2[audio:5000] Reason: SIP;cause=180;text=\"Ringing\"
        ",
    );
}

/// LAD-4 f, UAC-21, UPD-03
#[test]
fn glare_with_alices_own_offer() {
    let mut t = bob_rings();
    t.request("a", "UPDATE", Some(&sdp(&["audio 4000"])));
    t.reply("a", "UPDATE", 491);
    t.wait(Duration::from_secs(4));
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.request("a", "INVITE", Some(&sdp(&["audio 4000 sendonly"])));
    t.expect(
        "
        A>C UPDATE sdp1[audio:4000]
        C>A 491 UPDATE
        A>C 491 UPDATE
        ... 3220 ms
        C>A UPDATE 3 tone+sdp2[audio:5000] Reason: SIP;cause=180;text=\"Ringing\"
        A>C 200 UPDATE sdp1[audio:4000]
        ! RingbackStarted 180
        C>B PRACK 2 sdp1[audio:4000] RAck: 11 1 INVITE
        A>C INVITE sdp1[audio:4000 sendonly]
        C>A 491 INVITE
        ",
    );
}
