//! Who comes into a conference and leaves it, and how it ends.

use call_control::engine::StepError;
use call_control::engine::call::{CallState, OutcomeKind};
use call_control::engine::conference::record::Ends;
use call_control::engine::event::Command;

use super::{answer, conferring, conferring_until, join, let_all_end, told};
use crate::ladder::{Answer, sdp};

/// RFC 4579 5.4: one more is called, and goes to the same mixer. SCN-17
#[test]
fn one_more_joins() {
    let mut t = conferring();
    join(&mut t, "dave").expect("they confer");
    t.reply("g", "INVITE", answer(8000));
    t.reply("h", "INVITE", answer(7006));
    t.expect(
        "
        API join dave
        ! LegDialing g
        C>G INVITE 1 isfocus
        C>(roster) 2: alice in, bob in, carol in, dave
        G>C 200 INVITE sdp1[audio:8000]
        ! LegAnswered g 200
        ! LegDialing h
        C>H INVITE 1 sdp1[audio:8000]
        H>C 200 INVITE sdp1[audio:7006]
        ! LegAnswered h 200
        ! PartyJoined g
        C>H ACK 1
        C>G ACK 1 sdp1[audio:7006]
        C>(roster) 3: alice in, bob in, carol in, dave in
        ",
    );
}

/// One who does not come is told of by the end of its leg, and the others go on.
#[test]
fn one_who_does_not_come_changes_nothing() {
    let mut t = conferring();
    join(&mut t, "dave").expect("they confer");
    t.reply("g", "INVITE", 486);
    assert_eq!(told(&t, &["LegEnded", "Party", "Ended"]), ["! LegEnded g 486"]);
    assert_eq!(t.call.state(), CallState::Answered);
}

/// CCL-19: the last one's BYE ends the conference.
#[test]
fn the_conference_ends_with_the_last_one() {
    let mut t = conferring();
    t.request("a", "BYE", None);
    t.reply("e", "BYE", 200);
    t.expect(
        "
        A>C BYE
        ! PartyLeft a
        ! LegEnded a 200
        ! LegEnded e 200
        C>A 200 BYE
        C>E BYE 2
        C>(roster) 2: bob in, carol in
        E>C 200 BYE
        ",
    );
    t.request("c", "BYE", None);
    assert_eq!(told(&t, &["Party", "Ended"]), ["! PartyLeft c"]);
    t.request("b", "BYE", None);
    assert_eq!(told(&t, &["Party", "Ended"]), ["! PartyLeft c", "! PartyLeft b", "! Ended 200"]);
    let outcome = t.call.outcome.clone().expect("an outcome");
    assert_eq!((outcome.kind(), outcome.ended_by.as_str()), (OutcomeKind::Completed, "b"));
    let_all_end(&mut t);
}

/// CCL-19: by policy it ends when who made it leaves: BYE to all.
#[test]
fn the_conference_may_end_with_who_made_it() {
    let mut t = conferring_until(Ends::Creator);
    t.request("b", "BYE", None);
    assert_eq!(told(&t, &["Ended"]), Vec::<String>::new());
    t.request("a", "BYE", None);
    assert_eq!(told(&t, &["Ended"]), ["! Ended 200"]);
    assert!(t.lines.iter().any(|line| line.starts_with("C>C BYE")), "{:?}", t.lines);
    let_all_end(&mut t);
}

/// A phone without the mixer hears nobody: it is let go, and the others go on.
#[test]
fn who_loses_the_mixer_has_left() {
    let mut t = conferring();
    t.request("f", "BYE", None);
    t.reply("b", "BYE", 200);
    assert_eq!(
        told(&t, &["Party", "LegEnded", "Ended"]),
        ["! PartyLeft b", "! LegEnded b 200", "! LegEnded f 200"]
    );
    assert_eq!(t.call.state(), CallState::Answered);
}

/// CCL-16: one of them is put on hold and taken off it by the application; all at once are not.
#[test]
fn one_of_them_is_held() {
    let mut t = conferring();
    assert_eq!(
        t.command(Command::Hold { leg_id: None, music: String::new() }),
        Err(StepError::WrongState(CallState::Answered))
    );
    t.command(Command::Hold { leg_id: Some("b".into()), music: String::new() }).expect("it is in");
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000 inactive"])));
    t.command(Command::Unhold { leg_id: Some("b".into()) }).expect("it is held");
    t.reply("b", "INVITE", answer(5000));
    t.reply("f", "INVITE", answer(7004));
    assert_eq!(told(&t, &["Held", "Unheld"]), ["! Held b", "! Unheld b"]);
}
