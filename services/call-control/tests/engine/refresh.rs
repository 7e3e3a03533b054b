//! A refresh of the session that is refused (RFC 4028 7.4, 10): it is repeated while there is time, and then the session is over.

use std::time::Duration;

use call_control::engine::call::{CallState, Flow};
use call_control::engine::effect::Header;
use call_control::engine::event::{Command, FailureCause};

use crate::ladder::{Answer, Ladder, sdp};

/// TMR-02: a phone that names a time is asked again then, and the session goes on.
#[test]
fn a_refused_refresh_is_repeated_when_the_phone_says() {
    for status in [480, 500, 503] {
        let mut t = refreshing(1_800);
        t.reply("a", "UPDATE", Answer::new(status).retry_after(30));
        t.wait(Duration::from_secs(29));
        assert_eq!(refreshes(&t), 1, "{status}: not before");
        t.wait(Duration::from_secs(1));
        assert_eq!(refreshes(&t), 2, "{status}");
        t.reply("a", "UPDATE", Answer::new(200).header("Session-Expires", "1800;refresher=uac"));
        // What the refusal left of the old interval is over by then.
        t.wait(Duration::from_secs(899));
        assert_eq!((refreshes(&t), t.call.state()), (2, CallState::Answered), "{status}");
        t.wait(Duration::from_secs(1));
        assert_eq!(refreshes(&t), 3, "{status}: from half of the new interval on");
        t.reply("a", "UPDATE", Answer::new(200).header("Session-Expires", "1800;refresher=uac"));
        t.wait(Duration::from_secs(899));
        assert_eq!(t.call.state(), CallState::Answered, "{status}");
    }
}

/// TMR-02, TMR-03: the same refusal is not provoked all the time, and a session that is not refreshed ends with its interval.
#[test]
fn a_refresh_that_is_always_refused_ends_the_call_with_the_interval() {
    for status in [403, 488, 500, 503, 603] {
        let mut t = refreshing(90);
        let mut tries = Vec::new();
        for second in 45..90 {
            if refreshes(&t) > tries.len() {
                tries.push(second);
                t.reply("a", "UPDATE", status);
            }
            assert_eq!(t.call.state(), CallState::Answered, "{status}");
            t.wait(Duration::from_secs(1));
        }
        assert_eq!(tries, [45, 68, 79, 89], "{status}");
        t.lines.retain(|line| !line.starts_with("..."));
        let at = t.lines.iter().position(|line| line.starts_with('!')).expect("the call ends");
        t.lines.drain(..at);
        t.expect(
            "
            ! LegEnded a 408
            ! LegEnded b 408
            ! Ended 408
            C>A BYE 7 Reason: SIP;cause=408;text=\"Session expired\"
            C>B BYE 2 Reason: SIP;cause=408;text=\"Session expired\"
            ",
        );
    }
}

/// TMR-02: a time after the end of the session is not waited for.
#[test]
fn nothing_is_repeated_after_the_session_is_over() {
    for after in [45, 46, 3_600] {
        let mut t = refreshing(90);
        t.reply("a", "UPDATE", Answer::new(503).retry_after(after));
        t.wait(Duration::from_secs(44));
        assert_eq!((refreshes(&t), t.call.state()), (1, CallState::Answered), "{after}");
        t.wait(Duration::from_secs(1));
        assert_eq!((refreshes(&t), t.call.state()), (1, CallState::Ended), "{after}");
    }
}

/// TMR-02: who asks for another try at once is not asked all the time.
#[test]
fn a_phone_that_names_no_time_worth_waiting_for_is_not_flooded() {
    let mut t = refreshing(1_800);
    for tries in 1..5 {
        t.reply("a", "UPDATE", Answer::new(503).retry_after(0));
        t.wait(Duration::from_secs(9));
        assert_eq!(refreshes(&t), tries);
        t.wait(Duration::from_secs(1));
        assert_eq!(refreshes(&t), tries + 1);
    }
}

/// TMR-02, UAC-21: after 491 the refresh waits as any re-INVITE of the owner of the Call-ID does.
#[test]
fn a_refresh_that_crosses_another_request_is_repeated_soon() {
    let mut t = refreshing(1_800);
    t.reply("a", "UPDATE", 491);
    t.wait(Duration::from_millis(2_099));
    assert_eq!(refreshes(&t), 1);
    t.wait(Duration::from_millis(1_901));
    assert_eq!(refreshes(&t), 2);
}

/// TMR-01, TMR-02: an interval that has become too small is raised, and the request says that it may not fall again.
#[test]
fn a_refresh_is_repeated_with_the_interval_that_the_phone_wants() {
    let mut t = refreshing(90);
    t.reply("a", "UPDATE", Answer::new(422).header("Min-SE", "600"));
    t.wait(Duration::from_secs(23));
    let (_, again) = t.last("a", "UPDATE");
    let value = |name: &str| {
        let header = again.headers.iter().find(|header| header.name == name);
        header.map(|header| header.value.clone())
    };
    assert_eq!(value("Session-Expires").as_deref(), Some("600;refresher=uac"));
    assert_eq!(value("Min-SE").as_deref(), Some("600"));
    t.reply("a", "UPDATE", Answer::new(200).header("Session-Expires", "600;refresher=uac"));
    t.wait(Duration::from_secs(299));
    assert_eq!((refreshes(&t), t.call.state()), (2, CallState::Answered));
    t.wait(Duration::from_secs(1));
    assert_eq!(refreshes(&t), 3);
}

/// TMR-02: without a way to the phone, and after the edge died with the answer, there is another try.
#[test]
fn a_refresh_that_was_not_heard_is_repeated() {
    let mut t = refreshing(90);
    t.silence("a", "UPDATE", FailureCause::Transport);
    t.wait(Duration::from_secs(23));
    assert_eq!(refreshes(&t), 2);
    t.edge = ("e2".into(), 1);
    t.lose_edge("e1", 7);
    t.wait(Duration::from_secs(12));
    assert_eq!((refreshes(&t), t.call.state()), (3, CallState::Answered));
}

/// TMR-02, UPD-02: a phone that lists UPDATE and does not take it is refreshed by re-INVITE at once, and from then on.
#[test]
fn a_refresh_that_the_phone_does_not_know_is_done_by_invite() {
    for status in [405, 501] {
        let mut t = refreshing(90);
        let before = t.sent.len();
        t.reply("a", "UPDATE", status);
        assert_eq!(t.sent.len(), before + 1, "{status}: {:?}", t.lines);
        let (_, invite) = t.last("a", "INVITE");
        assert_eq!((refreshes(&t), t.sent[before].2.method.as_str()), (1, "INVITE"), "{status}");
        let is_timer =
            |header: &&Header| header.name == "Session-Expires" && header.value == "90;refresher=uac";
        assert_eq!(invite.headers.iter().filter(is_timer).count(), 1, "{status}");
        let basic = || Answer::new(200).sdp(&sdp(&["audio 4000"])).allow(&["INVITE", "BYE"]);
        t.reply("a", "INVITE", basic().header("Session-Expires", "90;refresher=uac"));
        t.wait(Duration::from_secs(46));
        assert_eq!((refreshes(&t), t.last("a", "INVITE").1.cseq), (1, invite.cseq + 1), "{status}");
        // Not even that is known: the session ends with its interval.
        t.reply("a", "INVITE", status);
        t.wait(Duration::from_secs(9));
        assert_eq!(t.last("a", "INVITE").1.cseq, invite.cseq + 1, "{status}: no flood");
        t.wait(Duration::from_secs(80));
        assert_eq!((refreshes(&t), t.call.state()), (1, CallState::Ended), "{status}");
    }
}

/// UAC-22: a phone that no longer knows the dialog, or says nothing, is not asked again.
#[test]
fn a_refresh_to_a_phone_that_is_gone_ends_the_call_at_once() {
    for status in [408, 481] {
        let mut t = refreshing(1_800);
        t.reply("a", "UPDATE", status);
        assert_eq!(t.call.state(), CallState::Ended, "{status}");
    }
    let mut t = refreshing(1_800);
    t.silence("a", "UPDATE", FailureCause::Timeout);
    assert_eq!(t.call.state(), CallState::Ended);
}

/// TMR-02: what Carillon answers names who refreshes, also while both timers of its own part run.
#[test]
fn an_answer_names_the_refresher() {
    use call_control::engine::effect::What;
    for (asked, told) in [("uas", "90;refresher=uas"), ("uac", "90;refresher=uac")] {
        let mut t = refreshing(1_800);
        t.reply("a", "UPDATE", 200);
        let asked = Header::new("Session-Expires", format!("90;refresher={asked}"));
        t.request_with("a", "UPDATE", None, vec![asked]);
        let Some(What::Respond(response)) = t.effects.last().and_then(|effect| effect.what.clone()) else {
            panic!("no answer");
        };
        let value = |name: &str| {
            let header = response.headers.iter().find(|header| header.name == name);
            header.map(|header| header.value.clone())
        };
        assert_eq!(value("Session-Expires").as_deref(), Some(told));
        assert_eq!(value("Require").is_some(), told.ends_with("uac"), "{told}");
    }
}

/// TMR-02, TMR-03: a change of the session keeps its timer going, whoever refreshes, and says who that is.
#[test]
fn a_change_of_the_session_refreshes_it() {
    for refresher in ["uac", "uas"] {
        for method in ["INVITE", "UPDATE"] {
            let case = format!("{method}, {refresher}");
            let mut t = Ladder::dial(Flow::Iv);
            t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
            t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
            let session = format!("600;refresher={refresher}");
            let up = || Answer::new(200).sdp(&sdp(&["audio 4000"])).header("Session-Expires", &session);
            t.reply("a", "INVITE", up());
            t.wait(Duration::from_secs(200));
            t.request("b", method, Some(&sdp(&["audio 5000 sendonly"])));
            let (_, change) = t.last("a", method);
            let told: Vec<&str> = change
                .headers
                .iter()
                .filter(|header| header.name == "Session-Expires")
                .map(|header| header.value.as_str())
                .collect();
            assert_eq!(told, [session.as_str()], "{case}");
            t.reply("a", method, up());
            let sent = t.sent.len();
            t.wait(Duration::from_secs(299));
            assert_eq!((t.sent.len(), t.call.state()), (sent, CallState::Held), "{case}: it begins anew");
            t.wait(Duration::from_secs(270));
            let refreshed =
                t.sent.iter().skip(sent).any(|(leg, _, one)| leg == "a" && one.method == "UPDATE");
            assert_eq!(refreshed, refresher == "uac", "{case}");
            assert_eq!(t.call.state() == CallState::Ended, refresher == "uas", "{case}: nobody refreshed it");
        }
    }
    // What is sent again says it once.
    let mut t = refreshing(1_800);
    t.reply("a", "UPDATE", Answer::new(200).header("Session-Expires", "1800;refresher=uac"));
    t.command(Command::Hold { leg_id: None, music: String::new() }).expect("the call is connected");
    t.reply("a", "INVITE", 491);
    let first = t.last("a", "INVITE").1.cseq;
    t.wait(Duration::from_secs(4));
    let (_, again) = t.last("a", "INVITE");
    assert_eq!(again.cseq, first + 1);
    assert_eq!(again.headers.iter().filter(|header| header.name == "Session-Expires").count(), 1);
    // The second leg has no timer, and gets none.
    let mut t = refreshing(1_800);
    t.reply("a", "UPDATE", Answer::new(200).header("Session-Expires", "1800;refresher=uac"));
    t.request("a", "INVITE", Some(&sdp(&["audio 4000 sendonly"])));
    let (_, change) = t.last("b", "INVITE");
    assert!(change.headers.iter().all(|header| header.name != "Session-Expires"));
}

/// A call whose first leg Carillon has just begun to refresh.
fn refreshing(interval: u32) -> Ladder {
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    let interval_of = format!("{interval};refresher=uac");
    t.reply(
        "a",
        "INVITE",
        Answer::new(200).sdp(&sdp(&["audio 4000"])).header("Session-Expires", &interval_of),
    );
    t.wait(Duration::from_secs(u64::from(interval / 2)));
    t.lines.clear();
    assert_eq!(refreshes(&t), 1);
    t
}

fn refreshes(t: &Ladder) -> usize {
    t.sent.iter().filter(|(leg, _, request)| leg == "a" && request.method == "UPDATE").count()
}
