//! LAD-4: ringback by UPDATE and PRACK.

use std::time::Duration;

use call_control::engine::call::{Flow, OutcomeKind};
use call_control::engine::event::FailureCause;

use crate::ladder::{Answer, Ladder, sdp};

const TONE: &str = "audio/tone-info+xml";

/// LAD-4 1-12, TPC-08, TPC-13
#[test]
fn alice_hears_ringback_while_bob_rings() {
    let mut t = Ladder::dial(Flow::Ringback);
    t.reply(
        "a",
        "INVITE",
        Answer::new(200).sdp(&sdp(&[])).accept(&["application/sdp", "multipart/mixed", TONE]),
    );
    t.reply("b", "INVITE", Answer::new(180).reliable(11).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.reply("b", "PRACK", 200);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 9999"])));
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1 sdp1[]
        A>C 200 INVITE sdp1[]
        ! LegAnswered a 200
        ! LegDialing b
        C>A ACK 1
        C>B INVITE 1
        B>C 180 INVITE sdp1[audio:5000] RSeq 11
        ! LegRinging b 180
        C>A UPDATE 2 tone+sdp2[audio:5000] Reason: SIP;cause=180;text=\"Ringing\"
        A>C 200 UPDATE sdp1[audio:4000]
        ! RingbackStarted 180
        C>B PRACK 2 sdp1[audio:4000] RAck: 11 1 INVITE
        B>C 200 PRACK
        B>C 200 INVITE sdp1[audio:9999]
        ! LegAnswered b 200
        ! Connected 200
        C>B ACK 1
        ",
    );
}

/// TPC-13: the parts of the body and their dispositions.
#[test]
fn the_update_carries_an_optional_tone_and_a_required_session() {
    let t = bob_rings();
    let (_, update) = t.last("a", "UPDATE");
    let body = update.body.expect("a body");
    assert!(body.content_type.starts_with("multipart/mixed;boundary="));
    let text = String::from_utf8(body.content).expect("text");
    for part in [
        "Content-Type: audio/tone-info+xml\r\nContent-Disposition: render;handling=optional\r\n",
        "Content-Type: application/sdp\r\nContent-Disposition: session;handling=required\r\n",
        "<frequency hz=\"440\"/><frequency hz=\"480\"/>",
    ] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
}

/// LAD-4 and PRK-05: a repeated reliable 18x does not lead to a second UPDATE.
#[test]
fn repeats_of_the_reliable_response_are_dropped() {
    let mut t = bob_rings();
    t.reply("b", "INVITE", Answer::new(180).reliable(11).sdp(&sdp(&["audio 5000"])));
    t.expect(
        "
        B>C 180 INVITE sdp1[audio:5000] RSeq 11
        ",
    );
}

/// AUTO: ringback where Allow lists UPDATE.
#[test]
fn auto_chooses_by_alices_allow() {
    let mut t = Ladder::dial(Flow::Auto);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    assert_eq!(t.call.flow(), Flow::Ringback);
    let mut t = Ladder::dial(Flow::Auto);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])).allow(&["INVITE", "ACK", "BYE"]));
    assert_eq!(t.call.flow(), Flow::Iv);
}

/// LAD-1 6: in Flow IV the session goes along early too, without a tone.
#[test]
fn flow_iv_takes_a_reliable_offer_without_a_tone() {
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t.lines.clear();
    t.reply("b", "INVITE", Answer::new(183).reliable(1).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        B>C 183 INVITE sdp1[audio:5000] RSeq 1
        ! LegProgress b 183
        C>A UPDATE 2 sdp2[audio:5000] Reason: SIP;cause=183;text=\"Session Progress\"
        A>C 200 UPDATE sdp1[audio:4000]
        C>B PRACK 2 sdp1[audio:4000] RAck: 1 1 INVITE
        ",
    );
}

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
    assert_eq!(supported.value, "replaces, join, tdialog, timer");
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
        C>A BYE 4 Reason: SIP;cause=504;text=\"Guard time passed\"
        C>B PRACK 2 sdp1[audio:0] RAck: 11 1 INVITE
        B>C 200 PRACK
        C>B CANCEL Reason: SIP;cause=504;text=\"Guard time passed\"
        B>C 487 INVITE
        ! LegEnded b 504
        ! Ended 504
        C>B (released)
        ",
    );
}

/// LAD-4 d
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
            ! LegEnded a 488
            C>A BYE 3 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
            C>B PRACK 2 sdp1[audio:0] RAck: 11 1 INVITE
            B>C 200 PRACK
            C>B CANCEL Reason: SIP;cause=488;text=\"Not Acceptable Here\"
            B>C 487 INVITE
            ! LegEnded b 488
            ! Ended 488
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
        C>A BYE 4 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        C>B PRACK 2 sdp1[audio:0, video:0] RAck: 11 1 INVITE
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
        C>A BYE 3 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        C>B PRACK 2 sdp1[audio:0] RAck: 11 1 INVITE
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

/// LAD-4 f, UAC-21
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

/// LAD-4 n
#[test]
fn prack_fails() {
    let mut t = bob_rings();
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.reply("b", "PRACK", 481);
    t.reply("b", "INVITE", 487);
    t.expect(
        "
        A>C 200 UPDATE sdp1[audio:4000]
        ! RingbackStarted 180
        C>B PRACK 2 sdp1[audio:4000] RAck: 11 1 INVITE
        B>C 481 PRACK
        ! LegEnded a 500
        C>A BYE 3 Reason: SIP;cause=500;text=\"PRACK failed\"
        C>B CANCEL Reason: SIP;cause=500;text=\"PRACK failed\"
        B>C 487 INVITE
        ! LegEnded b 500
        ! Ended 500
        C>B (released)
        ",
    );
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
        C>A BYE 3 Reason: SIP;cause=504;text=\"Guard time passed\"
        C>B PRACK 2 sdp1[audio:0] RAck: 11 1 INVITE
        B>C 200 PRACK
        C>B CANCEL Reason: SIP;cause=504;text=\"Guard time passed\"
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

fn alice_is_up() -> Ladder {
    let mut t = Ladder::dial(Flow::Ringback);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t.lines.clear();
    t
}

fn bob_rings() -> Ladder {
    let mut t = alice_is_up();
    t.reply("b", "INVITE", Answer::new(180).reliable(11).sdp(&sdp(&["audio 5000"])));
    t.lines.clear();
    t
}

fn early() -> Ladder {
    let mut t = bob_rings();
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.reply("b", "PRACK", 200);
    t.lines.clear();
    t
}
