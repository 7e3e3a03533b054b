//! What happens between connected parties: TPC-07, UAC-09, UAC-18, UAC-21, UAC-22, INFO, hold, session timer, credentials.

use std::time::Duration;

use call_control::engine::StepError;
use call_control::engine::call::{CallState, Flow, OutcomeKind};
use call_control::engine::effect::{Body, Header};
use call_control::engine::event::{Command, Event, LegEvent};

use crate::ladder::{Answer, Ladder, sdp};

/// TPC-07: hold by Alice is seen by Bob, and taken back.
#[test]
fn hold_by_a_phone_is_relayed() {
    let mut t = connected();
    let hold = t.request("a", "INVITE", Some(&sdp(&["audio 4000 sendonly"])));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000 recvonly"])));
    t.ack("a", &hold, None);
    assert_eq!(t.call.state(), CallState::Held);
    let resume = t.request("a", "UPDATE", Some(&sdp(&["audio 4000"])));
    t.reply("b", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    assert_eq!(t.call.state(), CallState::Answered);
    assert_ne!(hold, resume);
    t.expect(
        "
        A>C INVITE sdp1[audio:4000 sendonly]
        C>B INVITE 2 sdp2[audio:4000 sendonly]
        B>C 200 INVITE sdp1[audio:5000 recvonly]
        ! Held a
        C>B ACK 2
        C>A 200 INVITE sdp3[audio:5000 recvonly]
        A>C ACK
        A>C UPDATE sdp1[audio:4000]
        C>B UPDATE 3 sdp3[audio:4000]
        B>C 200 UPDATE sdp1[audio:5000]
        ! Unheld a
        C>A 200 UPDATE sdp4[audio:5000]
        ",
    );
}

/// TPC-07, OFA-08: a re-INVITE without SDP asks the other party for its offer; the answer comes in ACK.
#[test]
fn an_empty_reinvite_is_relayed_as_one() {
    let mut t = connected();
    let asked = t.request("a", "INVITE", None);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.ack("a", &asked, Some(&sdp(&["audio 4001"])));
    t.expect(
        "
        A>C INVITE
        C>B INVITE 2
        B>C 200 INVITE sdp1[audio:5000]
        C>A 200 INVITE sdp2[audio:5000]
        A>C ACK sdp1[audio:4001]
        C>B ACK 2 sdp2[audio:4001]
        ",
    );
}

/// UAC-22: a refused change leaves the session as it was, and the next one continues the versions.
#[test]
fn a_refused_change_changes_nothing() {
    let mut t = connected();
    t.request("a", "INVITE", Some(&sdp(&["video 4002"])));
    t.reply("b", "INVITE", 488);
    t.request("b", "INVITE", Some(&sdp(&["audio 5001"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        A>C INVITE sdp1[video:4002]
        C>B INVITE 2 sdp2[audio:0, video:4002]
        B>C 488 INVITE
        C>A 488 INVITE
        B>C INVITE sdp1[audio:5001]
        C>A INVITE 3 sdp3[audio:5001]
        A>C 200 INVITE sdp1[audio:4000]
        C>A ACK 3
        C>B 200 INVITE sdp3[audio:4000]
        ",
    );
    assert_eq!(t.call.state(), CallState::Answered);
}

/// UAC-22: 481 to a relayed re-INVITE ends the dialog, and so the call.
#[test]
fn a_party_that_is_gone_ends_the_call() {
    let mut t = connected();
    t.request("a", "INVITE", Some(&sdp(&["audio 4000 sendonly"])));
    t.reply("b", "INVITE", 481);
    t.expect(
        "
        A>C INVITE sdp1[audio:4000 sendonly]
        C>B INVITE 2 sdp2[audio:4000 sendonly]
        B>C 481 INVITE
        ! LegEnded b 481
        ! LegEnded a 481
        ! Ended 481
        C>B BYE 3
        C>A 480 INVITE
        C>A BYE 3 Reason: SIP;cause=481;text=\"Call/Transaction Does Not Exist\"
        ",
    );
}

/// UAC-21, TPC-06: both parties change the session at once.
#[test]
fn crossing_offers_are_refused_with_491() {
    let mut t = connected();
    t.request("a", "INVITE", Some(&sdp(&["audio 4000 sendonly"])));
    t.request("b", "INVITE", Some(&sdp(&["audio 5000 sendonly"])));
    t.reply("b", "INVITE", 491);
    t.expect(
        "
        A>C INVITE sdp1[audio:4000 sendonly]
        C>B INVITE 2 sdp2[audio:4000 sendonly]
        B>C INVITE sdp1[audio:5000 sendonly]
        C>B 491 INVITE
        B>C 491 INVITE
        C>A 491 INVITE
        ",
    );
}

/// UAC-21, UPD-03: a second request while the first one of the same phone is open.
#[test]
fn a_second_offer_of_the_same_phone_is_refused_with_500() {
    let mut t = connected();
    t.request("a", "INVITE", Some(&sdp(&["audio 4000 sendonly"])));
    t.request("a", "UPDATE", Some(&sdp(&["audio 4000"])));
    t.expect(
        "
        A>C INVITE sdp1[audio:4000 sendonly]
        C>B INVITE 2 sdp2[audio:4000 sendonly]
        A>C UPDATE sdp1[audio:4000]
        C>A 500 UPDATE Retry-After: 6
        ",
    );
}

/// UPD-02: without UPDATE on the other side, the phone is told to send a re-INVITE.
#[test]
fn update_toward_a_phone_without_it_is_refused_with_504() {
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])).allow(&["INVITE", "BYE"]));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.lines.clear();
    t.request("a", "UPDATE", Some(&sdp(&["audio 4000 sendonly"])));
    t.expect(
        "
        A>C UPDATE sdp1[audio:4000 sendonly]
        C>A 504 UPDATE
        ",
    );
}

/// LAD-10 R9
#[test]
fn cancel_of_a_reinvite_ends_only_the_reinvite() {
    let mut t = connected();
    let hold = t.request("a", "INVITE", Some(&sdp(&["audio 4000 sendonly"])));
    t.event("a", LegEvent::Cancel { transaction: hold, reason: Vec::new() });
    t.reply("b", "INVITE", 487);
    t.expect(
        "
        A>C INVITE sdp1[audio:4000 sendonly]
        C>B INVITE 2 sdp2[audio:4000 sendonly]
        C>B CANCEL
        B>C 487 INVITE
        C>A 487 INVITE
        ",
    );
    assert_eq!(t.call.state(), CallState::Answered);
}

/// UAC-18: BYE while a re-INVITE is open.
#[test]
fn bye_ends_what_is_pending_with_487() {
    let mut t = connected();
    t.request("a", "INVITE", Some(&sdp(&["audio 4000 sendonly"])));
    t.request("a", "BYE", None);
    t.reply("b", "INVITE", 487);
    t.reply("b", "BYE", 200);
    t.expect(
        "
        A>C INVITE sdp1[audio:4000 sendonly]
        C>B INVITE 2 sdp2[audio:4000 sendonly]
        A>C BYE
        ! LegEnded a 200
        ! LegEnded b 200
        ! Ended 200
        C>A 200 BYE
        C>A 487 INVITE
        C>B BYE 3
        B>C 487 INVITE
        B>C 200 BYE
        ",
    );
}

/// UAC-18: both hang up at once.
#[test]
fn crossing_byes_are_both_answered() {
    let mut t = connected();
    t.request("a", "BYE", None);
    t.request("b", "BYE", None);
    t.reply("b", "BYE", 481);
    t.expect(
        "
        A>C BYE
        ! LegEnded a 200
        ! LegEnded b 200
        ! Ended 200
        C>A 200 BYE
        C>B BYE 2
        B>C BYE
        C>B 200 BYE
        B>C 481 BYE
        ",
    );
}

/// UAC-09
#[test]
fn requests_that_fit_no_dialog_or_come_late_are_refused() {
    let mut t = connected();
    let tag = std::mem::replace(&mut t.call.legs[0].remote_tag, "stranger".into());
    t.request("a", "BYE", None);
    t.call.legs[0].remote_tag = tag;
    t.request("a", "OPTIONS", None);
    t.call.legs[0].dialogs[0].remote_cseq = Some(1_000);
    t.request("a", "BYE", None);
    t.expect(
        "
        A>C BYE
        C>A 481 BYE
        A>C OPTIONS
        C>A 200 OPTIONS
        A>C BYE
        C>A 500 BYE
        ",
    );
    assert_eq!(t.call.state(), CallState::Answered);
}

/// UAC-01, UAC-02, PRK-04, IMI-04
#[test]
fn what_is_not_served_is_refused_properly() {
    let mut t = connected();
    t.request("a", "PRACK", None);
    t.request("a", "FOO", None);
    t.request("a", "REFER", None);
    t.request("a", "NOTIFY", None);
    t.request("a", "SUBSCRIBE", None);
    t.request_with("a", "INFO", None, vec![Header::new("Info-Package", "x")]);
    t.expect(
        "
        A>C PRACK
        C>A 481 PRACK
        A>C FOO
        C>A 501 FOO
        A>C REFER
        C>A 400 REFER
        A>C NOTIFY
        C>A 481 NOTIFY
        A>C SUBSCRIBE
        C>A 405 SUBSCRIBE
        A>C INFO
        C>A 469 INFO Recv-Info:
        ",
    );
}

/// SCN-14: one leg is held, while the other one's session stays as it is, and taken back.
#[test]
fn one_leg_is_held_alone() {
    let mut t = connected();
    let of = |leg: &str| Some(leg.to_owned());
    t.take(&Event::Command(Command::Hold { leg_id: of("a"), music: String::new() })).expect("they talk");
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000 inactive"])));
    assert_eq!(t.call.state(), CallState::Held);
    let again = t.take(&Event::Command(Command::Hold { leg_id: of("a"), music: String::new() }));
    assert_eq!(again, Err(StepError::WrongState(CallState::Held)));
    t.take(&Event::Command(Command::Hold { leg_id: of("b"), music: String::new() }))
        .expect("the other one is not held");
    t.reply("b", "INVITE", 488);
    t.take(&Event::Command(Command::Unhold { leg_id: of("a") })).expect("it is held");
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.expect(
        "
        C>A INVITE 3 sdp3[audio:5000 inactive]
        A>C 200 INVITE sdp1[audio:4000 inactive]
        ! Held a
        C>A ACK 3
        C>B INVITE 2 sdp2[audio:4000 inactive]
        B>C 488 INVITE
        ! HoldFailed b 488
        C>A INVITE 4
        A>C 200 INVITE sdp1[audio:4000]
        C>B INVITE 3 sdp3[audio:4000]
        B>C 200 INVITE sdp1[audio:5000]
        ! Unheld a
        C>B ACK 3
        C>A ACK 4 sdp4[audio:5000]
        ",
    );
    let nobody = t.take(&Event::Command(Command::Hold { leg_id: of("x"), music: String::new() }));
    assert_eq!(nobody, Err(StepError::UnknownLeg("x".into())));
}

/// api: Hold and Unhold
#[test]
fn the_application_holds_and_resumes() {
    let mut t = connected();
    t.command(Command::Hold { leg_id: None, music: String::new() }).expect("the call is connected");
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000 inactive"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000 inactive"])));
    assert_eq!(t.call.state(), CallState::Held);
    assert_eq!(
        t.command(Command::Hold { leg_id: None, music: String::new() }),
        Err(StepError::WrongState(CallState::Held))
    );
    t.lines.pop();
    t.command(Command::Unhold { leg_id: None }).expect("the call is held");
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    assert_eq!(t.call.state(), CallState::Answered);
    t.expect(
        "
        API Hold { leg_id: None }
        C>A INVITE 3 sdp3[audio:5000 inactive]
        C>B INVITE 2 sdp2[audio:4000 inactive]
        B>C 200 INVITE sdp1[audio:5000 inactive]
        C>B ACK 2
        A>C 200 INVITE sdp1[audio:4000 inactive]
        ! Held
        C>A ACK 3
        API Unhold { leg_id: None }
        C>B INVITE 3
        B>C 200 INVITE sdp1[audio:5000]
        C>A INVITE 4 sdp4[audio:5000]
        A>C 200 INVITE sdp1[audio:4000]
        ! Unheld
        C>A ACK 4
        C>B ACK 3 sdp3[audio:4000]
        ",
    );
}

/// api: Unhold that a party refuses leaves the call on hold.
#[test]
fn a_refused_resume_leaves_the_call_held() {
    let mut t = connected();
    t.command(Command::Hold { leg_id: None, music: String::new() }).expect("the call is connected");
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000 inactive"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000 inactive"])));
    t.command(Command::Unhold { leg_id: None }).expect("the call is held");
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.lines.clear();
    t.reply("a", "INVITE", 488);
    t.expect(
        "
        A>C 488 INVITE
        ! UnholdFailed a 488
        C>B ACK 3 sdp3[audio:9 inactive]
        ",
    );
    assert_eq!(t.call.state(), CallState::Held);
}

/// api: Hangup and its Reason; max_duration.
#[test]
fn the_call_ends_by_command_or_after_its_longest_time() {
    let mut t = connected();
    t.command(Command::Hangup { reason: "shift is over".into() }).expect("a hang-up is always taken");
    t.expect(
        "
        API Hangup { reason: \"shift is over\" }
        ! LegEnded a 200
        ! LegEnded b 200
        ! Ended 200
        C>A BYE 3 Reason: Q.850;cause=16;text=\"shift is over\"
        C>B BYE 2 Reason: Q.850;cause=16;text=\"shift is over\"
        ",
    );
    let outcome = t.call.outcome.clone().expect("an outcome");
    assert_eq!((outcome.kind(), outcome.ended_by.as_str()), (OutcomeKind::Completed, "api"));

    let mut t = connected_with(|policy| policy.max_duration_ms = 600_000);
    t.wait(Duration::from_secs(601));
    t.lines.retain(|line| !line.starts_with("..."));
    t.expect(
        "
        ! LegEnded a 200
        ! LegEnded b 200
        ! Ended 200
        C>A BYE 3 Reason: Q.850;cause=31;text=\"Maximum duration\"
        C>B BYE 2 Reason: Q.850;cause=31;text=\"Maximum duration\"
        ",
    );
}

/// TMR-02, TMR-03: Carillon refreshes when it is the refresher, and ends the call when the peer does not.
#[test]
fn sessions_are_refreshed_or_expire() {
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])).header("Session-Expires", "90;refresher=uas"));
    t.reply(
        "b",
        "INVITE",
        Answer::new(200).sdp(&sdp(&["audio 5000"])).header("Session-Expires", "120;refresher=uac"),
    );
    t.reply(
        "a",
        "INVITE",
        Answer::new(200).sdp(&sdp(&["audio 4000"])).header("Session-Expires", "90;refresher=uas"),
    );
    t.lines.clear();
    t.wait(Duration::from_secs(50));
    t.request_with("a", "UPDATE", None, vec![Header::new("Session-Expires", "90;refresher=uac")]);
    t.wait(Duration::from_secs(11));
    t.reply("b", "UPDATE", Answer::new(200).header("Session-Expires", "120;refresher=uac"));
    t.wait(Duration::from_secs(50));
    t.lines.retain(|line| !line.starts_with("..."));
    t.expect(
        "
        A>C UPDATE
        C>A 200 UPDATE
        C>B UPDATE 2
        B>C 200 UPDATE
        ! LegEnded a 408
        ! LegEnded b 408
        ! Ended 408
        C>A BYE 3 Reason: SIP;cause=408;text=\"Session expired\"
        C>B BYE 3 Reason: SIP;cause=408;text=\"Session expired\"
        ",
    );
}

/// TMR-02, TMR-03: Session-Expires is written with spaces and capitals too, and each side keeps its part.
#[test]
fn the_refresher_is_read_in_every_spelling() {
    let mut t = connected();
    for value in ["90;refresher=uas", "90 ; refresher = uas", "90;Refresher=UAS", "90;x=y;REFRESHER=Uas"] {
        t.lines.clear();
        // The phone leaves the refreshing to Carillon.
        t.request_with("a", "UPDATE", None, vec![Header::new("Session-Expires", value)]);
        t.wait(Duration::from_secs(45));
        let refresh = t.last("a", "UPDATE").1;
        assert!(t.lines.iter().any(|line| line.starts_with("C>A UPDATE")), "{value}: {:#?}", t.lines);
        let told = refresh.headers.iter().find(|header| header.name == "Session-Expires");
        assert_eq!(told.map(|header| header.value.as_str()), Some("90;refresher=uac"), "{value}");
        t.reply("a", "UPDATE", Answer::new(200).header("Session-Expires", "90 ;Refresher = Uac"));
        assert_eq!(t.call.state(), CallState::Answered, "{value}");
    }
}

/// TMR-01: who asks for too short a session is told the least one; who would not understand that gets the least one.
#[test]
fn too_short_a_session_is_refused() {
    let mut t = connected();
    for (method, body) in [("UPDATE", None), ("INVITE", Some(Body::sdp(sdp(&["audio 4000"]).into())))] {
        t.lines.clear();
        let headers =
            vec![Header::new("Supported", "timer"), Header::new("Session-Expires", "60;refresher=uac")];
        t.request_with("a", method, body, headers);
        let answer = t.lines.iter().find(|line| line.starts_with("C>A 422"));
        assert!(answer.is_some_and(|line| line.contains("Min-SE: 90")), "{method}: {:#?}", t.lines);
        assert!(!t.lines.iter().any(|line| line.starts_with("C>B")), "nobody else is asked: {:#?}", t.lines);
    }
    t.lines.clear();
    t.request_with("a", "UPDATE", None, vec![Header::new("Session-Expires", "60;refresher=uac")]);
    assert!(t.lines.iter().any(|line| line.starts_with("C>A 200 UPDATE")), "{:#?}", t.lines);
}

/// TMR-02: without UPDATE the refresh is a re-INVITE with the same version.
#[test]
fn a_refresh_by_reinvite_keeps_the_version() {
    let mut t = Ladder::dial(Flow::Iv);
    let allow = ["INVITE", "BYE"];
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])).allow(&allow));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.reply(
        "a",
        "INVITE",
        Answer::new(200)
            .sdp(&sdp(&["audio 4000"]))
            .allow(&allow)
            .header("Session-Expires", "90;refresher=uac"),
    );
    t.lines.clear();
    t.wait(Duration::from_secs(45));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.lines.retain(|line| !line.starts_with("..."));
    t.expect(
        "
        C>A INVITE 3 sdp2[audio:5000]
        A>C 200 INVITE sdp1[audio:4000]
        C>A ACK 3
        ",
    );
}

/// RFC 3261 13.3.1.4: a 2xx of ours that is never acknowledged.
#[test]
fn a_missing_ack_ends_the_call() {
    let mut t = connected();
    let hold = t.request("a", "INVITE", Some(&sdp(&["audio 4000 sendonly"])));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000 recvonly"])));
    t.lines.clear();
    t.event("a", LegEvent::AckMissing { transaction: hold });
    t.expect(
        "
        ! LegEnded a 408
        ! LegEnded b 408
        ! Ended 408
        C>A BYE 3 Reason: SIP;cause=408;text=\"No ACK\"
        C>B BYE 3 Reason: SIP;cause=408;text=\"No ACK\"
        ",
    );
}

/// TPC-09: the asker never answers the offer that it asked for.
#[test]
fn the_guard_covers_relayed_offers() {
    let mut t = connected();
    t.request("a", "INVITE", None);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.lines.clear();
    t.wait(Duration::from_secs(20));
    t.expect(
        "
        ... 20000 ms
        ! LegEnded a 504
        ! LegEnded b 504
        ! Ended 504
        C>B ACK 2 sdp2[audio:0]
        C>A BYE 3 Reason: SIP;cause=504;text=\"Guard time passed\"
        C>B BYE 3 Reason: SIP;cause=504;text=\"Guard time passed\"
        ",
    );
}

pub(crate) fn connected() -> Ladder {
    connected_with(|_| {})
}

fn connected_with(change: impl FnOnce(&mut call_control::engine::call::Policy)) -> Ladder {
    let mut t = Ladder::dial_with(Flow::Iv, change);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.lines.clear();
    t
}
