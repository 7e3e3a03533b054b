//! Music on hold (RFC 5359 2.3).

use call_control::engine::StepError;
use call_control::engine::call::{CallState, Party};
use call_control::engine::event::{Command, FailureCause, Method, Target};

use super::{Case, connected, hold_with_music, inactive, let_all_end, ok, told, unhold};
use crate::every_step::{StepOf, walk};
use crate::ladder::{Ladder, sdp};

/// Bob hears music, alice is on hold.
fn bob_hears() -> Ladder {
    let mut t = connected();
    hold_with_music(&mut t, Some("b")).expect("they talk");
    t.reply("a", "INVITE", inactive(4000));
    t.reply("b", "INVITE", ok(5000));
    t.reply("c", "INVITE", ok(7000));
    t
}

/// Both hear music.
fn both_hear() -> Ladder {
    let mut t = connected();
    hold_with_music(&mut t, None).expect("they talk");
    t.reply("a", "INVITE", ok(4000));
    t.reply("b", "INVITE", ok(5000));
    t.reply("c", "INVITE", ok(7000));
    t.reply("d", "INVITE", ok(7002));
    t
}

/// SCN-14: RFC 5359 2.3. Who is held is connected with the music, and with the other one again after Unhold.
#[test]
fn who_is_held_hears_music() {
    let mut t = bob_hears();
    assert_eq!(t.last("c", "INVITE").1.request_uri, super::MUSIC);
    assert_eq!(t.call.state(), CallState::Held);
    unhold(&mut t).expect("the call is on hold");
    t.reply("c", "BYE", 200);
    t.reply("b", "INVITE", ok(5000));
    t.reply("a", "INVITE", ok(4000));
    t.expect(
        r#"
        API hold Some("b") with music
        C>A INVITE 3 sdp3[audio:5000 inactive]
        A>C 200 INVITE sdp1[audio:4000 inactive]
        ! Held a
        C>A ACK 3
        C>B INVITE 2
        B>C 200 INVITE sdp1[audio:5000]
        ! LegDialing c
        C>C INVITE 1 sdp1[audio:5000]
        C>C 200 INVITE sdp1[audio:7000]
        ! LegAnswered c 200
        ! PlayStarted b 200
        ! Held b
        C>C ACK 1
        C>B ACK 2 sdp2[audio:7000]
        API unhold
        ! PlayEnded b 200
        ! LegEnded c 200
        C>C BYE 2
        C>B INVITE 3
        C>C 200 BYE
        B>C 200 INVITE sdp1[audio:5000]
        C>A INVITE 4 sdp4[audio:5000]
        A>C 200 INVITE sdp1[audio:4000]
        ! Unheld
        C>A ACK 4
        C>B ACK 3 sdp3[audio:4000]
        "#,
    );
    assert_eq!(t.call.state(), CallState::Answered);
}

/// SCN-14: with the whole call on hold each of the two hears music, by a leg of its own.
#[test]
fn both_hear_music() {
    let mut t = both_hear();
    assert_eq!(told(&t, &["Play", "Held"]), ["! PlayStarted a 200", "! PlayStarted b 200", "! Held"]);
    t.request("b", "BYE", None);
    let_all_end(&mut t);
    assert_eq!(told(&t, &["PlayEnded", "Ended"]), ["! PlayEnded a 487", "! PlayEnded b 487", "! Ended 200"]);
}

/// SCN-14: without music the hold is a plain one: the session of who is held is inactive.
#[test]
fn a_silent_server_leaves_a_plain_hold() {
    let cases: [Case; 4] = [
        ("refuses", |t| t.reply("c", "INVITE", 404)),
        ("is silent", |t| t.wait(std::time::Duration::from_secs(4))),
        ("cannot be reached", |t| t.silence("c", "INVITE", FailureCause::Transport)),
        ("refuses every stream", |t| t.reply("c", "INVITE", ok(0))),
    ];
    for (name, happens) in cases {
        let mut t = connected();
        hold_with_music(&mut t, Some("b")).expect("they talk");
        t.reply("a", "INVITE", inactive(4000));
        t.reply("b", "INVITE", ok(5000));
        t.lines.clear();
        happens(&mut t);
        assert_eq!(told(&t, &["Play"]).len(), 1, "{name}");
        assert_eq!(told(&t, &["Held"]), ["! Held b"], "{name}");
        let ack = t.last("b", "ACK").1.body.expect("an answer");
        assert!(String::from_utf8_lossy(&ack.content).contains("a=inactive"), "{name}");
        assert_eq!(t.call.state(), CallState::Held, "{name}");
        t.settle_server();
        unhold(&mut t).expect("the call is on hold");
        t.reply("b", "INVITE", ok(5000));
        t.reply("a", "INVITE", ok(4000));
        assert_eq!(t.call.state(), CallState::Answered, "{name}");
    }
}

/// SCN-14: music that ends leaves a plain hold; of two who hear it, the other one goes on hearing it.
#[test]
fn music_that_ends_leaves_a_plain_hold() {
    let mut t = both_hear();
    t.lines.clear();
    t.request("c", "BYE", None);
    t.reply("a", "INVITE", inactive(4000));
    t.expect(
        "
        C>C BYE
        ! PlayEnded a 200
        ! LegEnded c 200
        C>C 200 BYE
        C>A INVITE 4 sdp4[audio:7000 inactive]
        A>C 200 INVITE sdp1[audio:4000 inactive]
        C>A ACK 4
        ",
    );
    assert_eq!(t.call.state(), CallState::Held);
    unhold(&mut t).expect("the call is on hold");
    assert_eq!(told(&t, &["PlayEnded"]), ["! PlayEnded b 200"]);
    t.reply("b", "INVITE", ok(5000));
    t.reply("a", "INVITE", ok(4000));
    assert_eq!(t.call.state(), CallState::Answered);
}

/// SCN-14: who makes no offer is put on hold plainly.
#[test]
fn who_makes_no_offer_is_held_without_music() {
    let mut t = connected();
    hold_with_music(&mut t, Some("b")).expect("they talk");
    t.reply("a", "INVITE", inactive(4000));
    t.reply("b", "INVITE", 488);
    t.lines.clear();
    t.reply("b", "INVITE", inactive(5000));
    assert_eq!(told(&t, &["Held"]), ["! Held b"]);
    assert_eq!(t.call.state(), CallState::Held);
}

/// SCN-14, SCN-15: who hears music is led elsewhere, as after any hold: the music is over.
#[test]
fn who_hears_music_is_transferred() {
    let mut t = bob_hears();
    let carol = Target::Party(Party { uri: "sip:carol@example.com".into(), ..Party::default() });
    t.lines.clear();
    t.transfer_by("b", carol, Method::Reinvite).expect("they are on hold");
    assert_eq!(told(&t, &["PlayEnded"]), ["! PlayEnded b 200"]);
    t.reply("c", "BYE", 200);
    t.reply("d", "INVITE", ok(6000));
    t.reply("b", "INVITE", ok(5000));
    assert_eq!(told(&t, &["TransferSucceeded", "PartyLeft"]), ["! TransferSucceeded b 200", "! PartyLeft a"]);
    assert_eq!(t.call.state(), CallState::Answered);
}

/// SCN-14: while music is on its way nothing else begins; a call on hold is not put on hold again.
#[test]
fn a_hold_is_not_crossed() {
    let mut t = connected();
    hold_with_music(&mut t, Some("b")).expect("they talk");
    assert_eq!(hold_with_music(&mut t, None), Err(StepError::Conflict));
    assert_eq!(unhold(&mut t), Err(StepError::Conflict));
    let mut t = bob_hears();
    assert_eq!(hold_with_music(&mut t, None), Err(StepError::WrongState(CallState::Held)));
    assert_eq!(hold_with_music(&mut t, Some("b")), Err(StepError::WrongState(CallState::Held)));
    let nobody = Command::Unhold { leg_id: Some("x".into()) };
    assert_eq!(t.command(nobody), Err(StepError::UnknownLeg("x".into())));
    assert!(t.call.listening().is_some(), "a refused wish changes nothing");
}

/// SCN-14: what a held party changes of its session meanwhile stays between it and what it hears.
#[test]
fn the_other_one_hears_nothing_of_what_the_held_one_changes() {
    let mut t = bob_hears();
    t.lines.clear();
    let changed = t.request("b", "INVITE", Some(&sdp(&["audio 5004 sendonly"])));
    t.reply("c", "INVITE", crate::ladder::Answer::new(200).sdp(&sdp(&["audio 7000 recvonly"])));
    t.ack("b", &changed, None);
    assert!(t.lines.iter().all(|line| !line.starts_with("C>A")), "{:#?}", t.lines);
    assert_eq!(told(&t, &["Held", "Unheld"]), Vec::<String>::new());
}

/// SCN-14, TPC-15: at every step the application hangs up once, and the replica dies once.
#[test]
fn music_survives_the_death_of_a_replica_at_every_step() {
    let steps: &[StepOf] = &[
        |t| hold_with_music(t, None).expect("they talk"),
        |t| t.reply("a", "INVITE", ok(4000)),
        |t| t.reply("b", "INVITE", ok(5000)),
        |t| t.reply("c", "INVITE", ok(7000)),
        |t| t.reply("d", "INVITE", 503),
        |t| drop(t.request("c", "BYE", None)),
        |t| t.reply("a", "INVITE", inactive(4000)),
        |t| unhold(t).expect("the call is on hold"),
        |t| t.reply("b", "INVITE", ok(5000)),
        |t| t.reply("a", "INVITE", ok(4000)),
    ];
    walk("music", connected, steps);
}
