//! Two who talk are moved to the mixer, and a third one joins them.

use std::time::Duration;

use call_control::engine::StepError;
use call_control::engine::call::{CallState, Flow};
use call_control::engine::conference::Mixing;
use call_control::engine::event::{Command, FailureCause, LegEvent, ResponseReceived};

use super::{answer, answered, connected, join, let_all_end, told};
use crate::ladder::{Answer, Ladder, sdp};

/// LAD-8, SCN-17, CCL-15, CCL-17: carol is called by the focus, and only when she is at the mixer the two are moved there.
#[test]
fn the_two_are_moved_when_the_third_one_is_there() {
    let mut t = connected();
    join(&mut t, "carol").expect("they talk");
    t.reply("c", "INVITE", 180);
    t.reply("c", "INVITE", answer(6000));
    t.reply("d", "INVITE", answer(7000));
    t.reply("e", "INVITE", answer(7002));
    t.reply("a", "INVITE", answer(4000));
    t.reply("f", "INVITE", answer(7004));
    t.reply("b", "INVITE", answer(5000));
    t.expect(
        "
        API join carol
        ! LegDialing c
        C>C INVITE 1 isfocus
        C>C 180 INVITE
        ! LegRinging c 180
        C>C 200 INVITE sdp1[audio:6000]
        ! LegAnswered c 200
        ! LegDialing d
        C>D INVITE 1 sdp1[audio:6000]
        D>C 200 INVITE sdp1[audio:7000]
        ! LegAnswered d 200
        ! LegDialing e
        C>D ACK 1
        C>C ACK 1 sdp1[audio:7000]
        C>E INVITE 1
        E>C 200 INVITE sdp1[audio:7002]
        ! LegAnswered e 200
        C>A INVITE 3 sdp3[audio:7002] isfocus
        A>C 200 INVITE sdp1[audio:4000]
        ! LegDialing f
        C>A ACK 3
        C>E ACK 1 sdp1[audio:4000]
        C>F INVITE 1
        F>C 200 INVITE sdp1[audio:7004]
        ! LegAnswered f 200
        C>B INVITE 2 sdp2[audio:7004] isfocus
        B>C 200 INVITE sdp1[audio:5000]
        ! PartyJoined c
        C>B ACK 2
        C>F ACK 1 sdp1[audio:5000]
        C>(roster) 1: alice in, bob in, carol in
        ",
    );
    assert_eq!(t.call.state(), CallState::Answered);
    let (_, invite) = t.last("f", "INVITE");
    assert_eq!(invite.request_uri, "sip:conf=call-1@mix1.example.com");
    let (_, dialed) = t.last("c", "INVITE");
    assert_eq!(dialed.from_uri, "sip:conf-call-1@192.0.2.1");
    let events = dialed.headers.iter().find(|header| header.name == "Allow-Events");
    assert_eq!(events.map(|header| header.value.as_str()), Some("conference, refer"));
}

/// TPC-07: what a phone changes of its session reaches the mixer and nobody else, and the mixer's answer comes back.
#[test]
fn each_of_them_is_connected_with_the_mixer() {
    let mut t = super::conferring();
    let hold = t.request("b", "INVITE", Some(&sdp(&["audio 5000 sendonly"])));
    t.reply("f", "INVITE", Answer::new(200).sdp(&sdp(&["audio 7004 recvonly"])));
    t.ack("b", &hold, None);
    t.request("c", "INFO", None);
    t.reply("d", "INFO", 200);
    t.expect(
        "
        B>C INVITE sdp1[audio:5000 sendonly]
        C>F INVITE 2 sdp2[audio:5000 sendonly]
        F>C 200 INVITE sdp1[audio:7004 recvonly]
        ! Held b
        C>F ACK 2
        C>B 200 INVITE sdp3[audio:7004 recvonly] isfocus
        C>(roster) 2: alice in, bob held, carol in
        B>C ACK
        C>C INFO
        ! InfoReceived c
        C>D INFO 2
        D>C 200 INFO
        C>C 200 INFO
        ",
    );
}

/// CCL-15: whoever is asked and does not come changes nothing for the two who talk.
#[test]
fn a_third_one_who_is_not_to_be_had_changes_nothing() {
    for status in [486, 603, 404] {
        let mut t = connected();
        join(&mut t, "carol").expect("they talk");
        t.request("a", "INFO", None);
        t.reply("b", "INFO", 200);
        t.reply("c", "INVITE", status);
        assert_eq!(told(&t, &["LegEnded", "Party", "Ended"]), [format!("! LegEnded c {status}")]);
        assert!(t.call.conference.is_none());
        t.lines.clear();
        t.request("a", "BYE", None);
        t.reply("b", "BYE", 200);
        assert_eq!(told(&t, &["Ended"]), ["! Ended 200"]);
    }
}

/// LAD-8: a party that refuses to be moved stays, and so does everybody else: who was moved before comes back.
#[test]
fn a_party_that_refuses_the_mixer_keeps_its_call() {
    let mut t = answered(connected());
    t.reply("d", "INVITE", answer(7000));
    t.reply("e", "INVITE", answer(7002));
    t.reply("a", "INVITE", answer(4000));
    t.reply("f", "INVITE", answer(7004));
    t.lines.clear();
    t.reply("b", "INVITE", 488);
    t.reply("b", "INVITE", answer(5000));
    t.reply("a", "INVITE", answer(4000));
    t.expect(
        r#"
        B>C 488 INVITE
        ! LegEnded e 488
        ! LegEnded f 488
        ! LegEnded c 488
        ! LegEnded d 488
        C>E BYE 2
        C>F ACK 1 sdp1[audio:0]
        C>F BYE 2
        C>C BYE 2 Reason: SIP;cause=488;text="Not Acceptable Here"
        C>D BYE 2
        C>B INVITE 3
        B>C 200 INVITE sdp1[audio:5000]
        C>A INVITE 4 sdp4[audio:5000]
        A>C 200 INVITE sdp1[audio:4000]
        C>A ACK 4
        C>B ACK 3 sdp3[audio:4000]
        "#,
    );
    assert_eq!(t.call.state(), CallState::Answered);
    assert!(t.call.conference.is_none());
}

/// LAD-8: the next mixer is asked when one refuses, and all go to the one that answered.
#[test]
fn a_mixer_that_refuses_is_passed_over() {
    let mut t = answered(connected());
    t.reply("d", "INVITE", 503);
    t.reply("d", "INVITE", answer(7000));
    let (_, invite) = t.last("d", "INVITE");
    assert_eq!(invite.request_uri, "sip:conf=call-1@mix2.example.com;transport=tcp");
    let (_, next) = t.last("e", "INVITE");
    assert_eq!(next.request_uri, "sip:conf=call-1@mix2.example.com;transport=tcp");
    t.reply("e", "INVITE", 503);
    assert_eq!(
        told(&t, &["LegEnded", "Party"]),
        ["! LegEnded e 503", "! LegEnded c 503", "! LegEnded d 503"]
    );
    assert_eq!(t.call.state(), CallState::Answered);
}

/// The same of one that says nothing: nobody waits for its INVITE to time out. What it says late is ended.
#[test]
fn a_mixer_that_says_nothing_is_passed_over() {
    let mut t = answered(connected());
    let (first, _) = t.last("d", "INVITE");
    t.lines.clear();
    t.wait(Duration::from_secs(5));
    t.reply("d", "INVITE", answer(7000));
    t.expect(
        "
        ... 4000 ms
        C>D CANCEL
        C>D INVITE 2 sdp1[audio:6000]
        D>C 200 INVITE sdp1[audio:7000]
        ! LegAnswered d 200
        ! LegDialing e
        C>D ACK 2
        C>C ACK 1 sdp1[audio:7000]
        C>E INVITE 1
        ",
    );
    t.lines.clear();
    let late = ResponseReceived {
        effect: first,
        status: 200,
        method: "INVITE".into(),
        cseq: 1,
        to_tag: "late".into(),
        contact: "sip:late@mix1.example.com".into(),
        ..ResponseReceived::default()
    };
    t.event("d", LegEvent::Response(late));
    t.expect(
        "
        C>D ACK 1
        C>D BYE 3
        ",
    );
}

/// LAD-8: no mixer at all: the third one is let go, and the two talk on.
#[test]
fn without_a_mixer_that_answers_nobody_comes() {
    type Lose = fn(&mut Ladder);
    let ways: [(&str, Lose); 4] = [
        ("both refuse", |t| {
            t.reply("d", "INVITE", 503);
            t.reply("d", "INVITE", 404);
        }),
        ("both are silent", |t| t.wait(Duration::from_secs(10))),
        ("no way to either", |t| {
            t.silence("d", "INVITE", FailureCause::Transport);
            t.silence("d", "INVITE", FailureCause::Transport);
        }),
        ("an answer without session", |t| t.reply("d", "INVITE", 200)),
    ];
    for (name, lose) in ways {
        let mut t = answered(connected());
        t.lines.clear();
        lose(&mut t);
        assert_eq!(told(&t, &["LegEnded c"]).len(), 1, "{name}");
        assert_eq!(told(&t, &["Party", "Ended"]), Vec::<String>::new(), "{name}");
        assert_eq!(t.call.state(), CallState::Answered, "{name}");
        assert!(t.call.conference.is_none(), "{name}");
        t.request("b", "BYE", None);
        let_all_end(&mut t);
    }
}

/// LAD-7, LAD-8: whoever hangs up, whatever is lost, at each step: one end for each leg, and nothing left.
#[test]
fn at_each_step_everything_may_end() {
    type Lose = fn(&mut Ladder);
    let ways: [(&str, Lose); 5] = [
        ("alice hangs up", |t| drop(t.request("a", "BYE", None))),
        ("bob hangs up", |t| drop(t.request("b", "BYE", None))),
        ("the application hangs up", |t| {
            t.command(Command::Hangup { reason: String::new() }).expect("it is there");
        }),
        ("the edge dies", |t| {
            t.edge = ("e2".into(), 8);
            t.lose_edge("e1", 7);
        }),
        ("time passes", |t| t.wait(Duration::from_secs(300))),
    ];
    let steps: [fn(&mut Ladder); 7] = [
        |t| join(t, "carol").expect("they talk"),
        |t| t.reply("c", "INVITE", answer(6000)),
        |t| t.reply("d", "INVITE", answer(7000)),
        |t| t.reply("e", "INVITE", answer(7002)),
        |t| t.reply("a", "INVITE", answer(4000)),
        |t| t.reply("f", "INVITE", answer(7004)),
        |t| t.reply("b", "INVITE", answer(5000)),
    ];
    for (name, lose) in ways {
        for count in 1..=steps.len() {
            let mut t = connected();
            t.lines.clear();
            steps[..count].iter().for_each(|step| step(&mut t));
            lose(&mut t);
            t.wait(Duration::from_secs(300));
            if t.call.outcome.is_none() {
                t.command(Command::Hangup { reason: String::new() }).expect("it is there");
            }
            let_all_end(&mut t);
            for leg in &t.call.legs {
                let ends =
                    t.lines.iter().filter(|line| line.starts_with(&format!("! LegEnded {}", leg.leg_id)));
                assert_eq!(ends.count(), 1, "{name} after step {count}: leg {}", leg.leg_id);
            }
            assert_eq!(told(&t, &["Ended"]).len(), 1, "{name} after step {count}");
            let joined = told(&t, &["PartyJoined"]).len();
            assert!(joined <= 1, "{name} after step {count}");
        }
    }
}

/// One operation at a time, and a refusal that says what is missing.
#[test]
fn what_does_not_fit_is_refused() {
    let mut t = connected();
    join(&mut t, "carol").expect("they talk");
    assert_eq!(join(&mut t, "dave"), Err(StepError::Conflict));
    assert_eq!(t.command(Command::Hold { leg_id: None, music: String::new() }), Err(StepError::Conflict));
    let mut t = Ladder::dial(Flow::Iv);
    assert_eq!(join(&mut t, "carol"), Err(StepError::NoMixer));
    t.context.mixing = Mixing { mixers: vec!["sip:mix".into()], ..Mixing::default() };
    assert_eq!(join(&mut t, "carol"), Err(StepError::WrongState(CallState::Dialing)));
}

/// LAD-8: a mixer that never says a word, not even about the CANCEL, keeps no call from its end for longer than two transactions last.
#[test]
fn a_silent_mixer_keeps_no_call_from_its_end() {
    let mut t = answered(connected());
    t.command(Command::Hangup { reason: String::new() }).expect("always");
    assert_eq!(t.call.state(), CallState::Ending, "the mixer may still answer");
    t.wait(Duration::from_secs(2 * 32 + 8));
    assert_eq!((t.call.state(), told(&t, &["Ended"]).len()), (CallState::Ended, 1));
}
