//! An announcement, and what becomes of the two when there is none.

use std::time::Duration;

use call_control::engine::call::CallState;
use call_control::engine::event::FailureCause;

use super::{Case, calling, connected, inactive, listening, ok, play, play_for, talk_again, told, unhold};
use crate::every_step::{StepOf, walk};
use crate::ladder::{Answer, sdp};

/// TPC-14, SCN-21: RFC 3725 10.2. Bob is on hold, alice is connected with the server, and when it hangs up the two talk again.
#[test]
fn a_party_hears_an_announcement_and_comes_back() {
    let mut t = listening();
    assert_eq!(t.call.state(), CallState::Held);
    let (_, invite) = t.last("c", "INVITE");
    assert_eq!(invite.request_uri, super::ANNC);
    t.request("c", "BYE", None);
    talk_again(&mut t);
    t.expect(
        "
        API play a
        C>B INVITE 2 sdp2[audio:4000 inactive]
        B>C 200 INVITE sdp1[audio:5000 inactive]
        ! Held b
        C>B ACK 2
        C>A INVITE 3
        A>C 200 INVITE sdp1[audio:4000]
        ! LegDialing c
        C>C INVITE 1 sdp1[audio:4000]
        C>C 200 INVITE sdp1[audio:7000]
        ! LegAnswered c 200
        ! PlayStarted a 200
        C>C ACK 1
        C>A ACK 3 sdp3[audio:7000]
        C>C BYE
        ! PlayEnded a 200
        ! LegEnded c 200
        C>C 200 BYE
        C>B INVITE 3
        B>C 200 INVITE sdp1[audio:5000]
        C>A INVITE 4 sdp4[audio:5000]
        A>C 200 INVITE sdp1[audio:4000]
        ! Unheld
        C>A ACK 4
        C>B ACK 3 sdp3[audio:4000]
        ",
    );
    assert_eq!(t.call.state(), CallState::Answered);
}

/// TPC-14: whatever the server says, or does not say: the offer that alice has made goes to bob, and the two are connected as before.
#[test]
fn a_server_that_does_not_play_changes_nothing() {
    let cases: [(u32, Case); 8] = [
        (404, ("refuses", |t| t.reply("c", "INVITE", 404))),
        (486, ("is busy", |t| t.reply("c", "INVITE", 486))),
        (503, ("cannot be reached", |t| t.silence("c", "INVITE", FailureCause::Transport))),
        (480, ("is silent", |t| t.wait(Duration::from_secs(4)))),
        (
            480,
            ("only rings", |t| {
                t.reply("c", "INVITE", 180);
                t.wait(Duration::from_secs(4));
            }),
        ),
        (488, ("answers without a session", |t| t.reply("c", "INVITE", 200))),
        (488, ("refuses every stream", |t| t.reply("c", "INVITE", ok(0)))),
        (488, ("answers nonsense", |t| t.reply("c", "INVITE", Answer::new(200).sdp("v=0 nonsense")))),
    ];
    for (status, (name, happens)) in cases {
        let mut t = calling();
        t.lines.clear();
        happens(&mut t);
        assert_eq!(told(&t, &["Play"]), [format!("! PlayEnded a {status}")], "{name}");
        assert!(t.last("b", "INVITE").1.body.is_some(), "{name}: bob gets alice's offer");
        t.reply("b", "INVITE", ok(5000));
        assert_eq!(t.last("a", "ACK").1.cseq, t.last("a", "INVITE").1.cseq, "{name}: alice has her answer");
        assert_eq!(told(&t, &["Unheld"]), ["! Unheld"], "{name}");
        assert_eq!(t.call.state(), CallState::Answered, "{name}");
        t.settle_server();
        t.request("a", "INFO", None);
        t.reply("b", "INFO", 200);
        t.request("a", "BYE", None);
        super::let_all_end(&mut t);
        assert_eq!(told(&t, &["Ended"]), ["! Ended 200"], "{name}");
    }
}

/// TPC-14, UAC-22: bob does not let himself be put on hold: nobody listens, and nothing has changed.
#[test]
fn who_cannot_be_put_on_hold_goes_on_talking() {
    let mut t = connected();
    play(&mut t).expect("they talk");
    t.reply("b", "INVITE", 488);
    t.expect(
        "
        API play a
        C>B INVITE 2 sdp2[audio:4000 inactive]
        B>C 488 INVITE
        ! PlayEnded a 488
        ",
    );
    assert_eq!(t.call.state(), CallState::Answered);
    t.request("a", "INFO", None);
    t.reply("b", "INFO", 200);
}

/// TPC-14: alice makes no offer: bob, who is on hold, is connected with her again.
#[test]
fn who_makes_no_offer_listens_to_nothing() {
    for refusal in [Answer::new(488), Answer::new(603), Answer::new(200)] {
        let mut t = connected();
        play(&mut t).expect("they talk");
        t.reply("b", "INVITE", inactive(5000));
        t.reply("a", "INVITE", refusal);
        assert_eq!(told(&t, &["Play", "LegDialing"]).len(), 1, "no server is called");
        assert_eq!(t.call.state(), CallState::Held);
        talk_again(&mut t);
        assert_eq!(t.call.state(), CallState::Answered);
        assert_eq!(told(&t, &["Held", "Unheld"]), ["! Held b", "! Unheld"]);
    }
}

/// TPC-14, UAC-21: both are busy for a moment, and asked again.
#[test]
fn a_crossing_change_is_waited_for() {
    let mut t = connected();
    play(&mut t).expect("they talk");
    t.reply("b", "INVITE", 491);
    t.wait(Duration::from_secs(4));
    t.reply("b", "INVITE", inactive(5000));
    t.reply("a", "INVITE", 491);
    t.wait(Duration::from_secs(4));
    t.reply("a", "INVITE", ok(4000));
    t.reply("c", "INVITE", ok(7000));
    assert_eq!(told(&t, &["Play"]), ["! PlayStarted a 200"]);
}

/// TPC-14: what goes on for longer than it was to last, by more than 5 s, Carillon ends.
#[test]
fn an_announcement_that_does_not_end_is_ended() {
    let mut t = connected();
    play_for(&mut t, "a", 60_000).expect("they talk");
    t.reply("b", "INVITE", inactive(5000));
    t.reply("a", "INVITE", ok(4000));
    t.reply("c", "INVITE", ok(7000));
    t.wait(Duration::from_millis(64_900));
    assert_eq!(told(&t, &["PlayEnded"]), Vec::<String>::new());
    t.wait(Duration::from_millis(200));
    assert_eq!(told(&t, &["PlayEnded"]), ["! PlayEnded a 200"]);
    t.reply("c", "BYE", 200);
    talk_again(&mut t);
    assert_eq!(t.call.state(), CallState::Answered);
}

/// TPC-14: the application ends it early.
#[test]
fn unhold_ends_an_announcement() {
    let mut t = listening();
    t.lines.clear();
    unhold(&mut t).expect("she listens");
    t.reply("c", "BYE", 200);
    talk_again(&mut t);
    t.expect(
        "
        API unhold
        ! PlayEnded a 200
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
        ",
    );
}

/// TPC-14: the lines of who listens and of the server are matched to each other, and those of the two to each other again afterwards.
#[test]
fn a_server_without_video_leaves_the_video_of_the_two() {
    let mut t = connected();
    play(&mut t).expect("they talk");
    t.reply("b", "INVITE", inactive(5000));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000", "video 4002"])));
    t.reply("c", "INVITE", Answer::new(200).sdp(&sdp(&["audio 7000", "video 0"])));
    t.lines.clear();
    t.request("c", "BYE", None);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000", "video 5002"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000", "video 4002"])));
    t.expect(
        "
        C>C BYE
        ! PlayEnded a 200
        ! LegEnded c 200
        C>C 200 BYE
        C>B INVITE 3
        B>C 200 INVITE sdp1[audio:5000, video:5002]
        C>A INVITE 4 sdp4[audio:5000, video:5002]
        A>C 200 INVITE sdp1[audio:4000, video:4002]
        ! Unheld
        C>A ACK 4
        C>B ACK 3 sdp3[audio:4000, video:4002]
        ",
    );
}

/// TPC-14, TPC-15: at every step the application hangs up once, and the replica dies once.
#[test]
fn an_announcement_survives_the_death_of_a_replica_at_every_step() {
    let steps: &[StepOf] = &[
        |t| play(t).expect("they talk"),
        |t| t.reply("b", "INVITE", inactive(5000)),
        |t| t.reply("a", "INVITE", ok(4000)),
        |t| t.reply("c", "INVITE", ok(7000)),
        |t| drop(t.request("c", "BYE", None)),
        |t| t.reply("b", "INVITE", ok(5000)),
        |t| t.reply("a", "INVITE", ok(4000)),
    ];
    walk("announcement", connected, steps);
    let refused: &[StepOf] = &[
        |t| play(t).expect("they talk"),
        |t| t.reply("b", "INVITE", inactive(5000)),
        |t| t.reply("a", "INVITE", ok(4000)),
        |t| t.reply("c", "INVITE", 503),
        |t| t.reply("b", "INVITE", ok(5000)),
    ];
    walk("announcement, refused", connected, refused);
}
