//! Requests of a phone inside its dialog: in which order they are taken, what they meet there, and what of a refusal reaches them.

use std::time::Duration;

use call_control::engine::call::{CallState, Flow};
use call_control::engine::effect::{Body, What};

use crate::ladder::{Answer, Ladder, sdp};

/// UAC-09: the number of every request is learnt, whatever it was; a lower one and the same one are refused, and gaps are fine.
#[test]
fn numbers_that_do_not_rise_are_refused() {
    for (last, refused, taken) in [(101, [100, 101], 102), (101, [1, 101], 900), (7, [6, 7], 8)] {
        let mut t = connected();
        t.count_on("a", last);
        t.request("a", "OPTIONS", None);
        for number in refused {
            t.count_on("a", number);
            t.request("a", "BYE", None);
        }
        assert_eq!(t.call.state(), CallState::Answered, "the dialog lives");
        t.count_on("a", taken);
        t.request("a", "INFO", None);
        t.expect(
            "
            A>C OPTIONS
            C>A 200 OPTIONS
            A>C BYE
            C>A 500 BYE
            A>C BYE
            C>A 500 BYE
            A>C INFO
            ! InfoReceived a
            C>B INFO 2
            ",
        );
        t.count_on("a", taken + 1);
        t.request("a", "BYE", None);
        assert_eq!(t.call.state(), CallState::Ended);
    }
}

/// UAC-09: also a request that is refused uses its number up.
#[test]
fn a_refused_request_uses_its_number_up() {
    let mut t = connected();
    t.count_on("a", 40);
    t.request("a", "FOO", None);
    t.count_on("a", 40);
    t.request("a", "BYE", None);
    t.expect("A>C FOO\nC>A 501 FOO\nA>C BYE\nC>A 500 BYE");
    // Each leg counts by itself.
    t.count_on("b", 39);
    t.request("b", "BYE", None);
    assert_eq!(t.call.state(), CallState::Ended);
}

/// UAC-21, UPD-02, UPD-03: what a request meets while one of ours, or an earlier one of the same phone, runs in its dialog.
#[test]
fn a_change_that_meets_another_is_refused() {
    let offer = sdp(&["audio 4000 sendonly"]);
    let requests = [("INVITE", Some(&*offer)), ("INVITE", None), ("UPDATE", Some(&*offer)), ("UPDATE", None)];
    type Start = fn() -> Ladder;
    let cases: [(&str, Start, [&str; 4]); 9] = [
        ("our INVITE with an offer", || ours("INVITE", true), ["491", "491", "491", "200"]),
        ("our INVITE without one", || ours("INVITE", false), ["491", "491", "491", "200"]),
        ("our UPDATE", || ours("UPDATE", true), ["491", "491", "491", "200"]),
        ("our refresh by INVITE", refreshing, ["491", "491", "491", "200"]),
        ("our INVITE, answered and not acknowledged", unacknowledged, ["491", "491", "500", "200"]),
        ("their INVITE with an offer", || theirs("INVITE", true), ["500", "500", "500", "200"]),
        ("their INVITE without one", || theirs("INVITE", false), ["500", "500", "500", "200"]),
        ("their INVITE, answered with our offer", offered, ["491", "491", "491", "200"]),
        ("their UPDATE", || theirs("UPDATE", true), ["500", "500", "500", "500"]),
    ];
    for (name, start, expected) in cases {
        for ((method, sdp), status) in requests.into_iter().zip(expected) {
            let mut t = start();
            let before = t.effects.len();
            t.request("a", method, sdp);
            let case =
                format!("{name}: {method} {}", if sdp.is_some() { "with an offer" } else { "without" });
            assert_eq!(t.effects.len(), before + 1, "{case}: nothing else happens, {:?}", t.lines);
            let Some(What::Respond(response)) = t.effects.last().and_then(|effect| effect.what.clone())
            else {
                panic!("{case}: no answer");
            };
            assert_eq!(response.status.to_string(), status, "{case}");
            let wait = response.headers.iter().find(|header| header.name == "Retry-After");
            match wait.map(|wait| wait.value.parse::<u32>()) {
                Some(Ok(seconds)) => assert!(status == "500" && seconds <= 10, "{case}: {seconds}"),
                other => assert!(status != "500" && other.is_none(), "{case}: {other:?}"),
            }
            assert_eq!(t.call.state(), CallState::Answered, "{case}");
        }
    }
}

/// PRK-05: each attempt of the INVITE counts its reliable responses anew, from wherever the phone begins.
#[test]
fn the_numbers_of_reliable_responses_begin_anew_with_the_next_invite() {
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", Answer::new(183).reliable(700));
    t.reply("a", "INVITE", Answer::new(183).reliable(701));
    t.reply("a", "PRACK", 200);
    t.reply("a", "INVITE", 488);
    t.lines.clear();
    for rseq in [5, 5, 6, 5, 4] {
        t.reply("a", "INVITE", Answer::new(183).reliable(rseq));
    }
    let acknowledged: Vec<&str> =
        t.lines.iter().filter_map(|line| line.split_once("RAck: ")).map(|(_, rack)| rack).collect();
    let invite = t.last("a", "INVITE").1.cseq;
    assert_eq!(acknowledged, [format!("5 {invite} INVITE"), format!("6 {invite} INVITE")]);
    assert!(invite > 1);
}

/// UAC-03: the asker is told which bodies the other party would take.
#[test]
fn what_would_do_reaches_the_asker() {
    let text = || Body {
        content_type: "text/x".into(),
        content_disposition: String::new(),
        content: b"hello".to_vec(),
    };
    let refusal = || {
        Answer::new(415)
            .accept(&["application/sdp", "text/plain;q=0.5"])
            .header("Server", "phone")
            .header("Accept-Encoding", "gzip")
            .header("Accept-Language", "de")
    };
    for method in ["INVITE", "UPDATE", "INFO", "MESSAGE"] {
        let mut t = connected();
        match method {
            "INVITE" | "UPDATE" => t.request("a", method, Some(&sdp(&["audio 4002"]))),
            _ => t.request_with("a", method, Some(text()), Vec::new()),
        };
        t.reply("b", method, refusal());
        let what = "Accept: application/sdp, text/plain;q=0.5 Accept-Encoding: gzip Accept-Language: de";
        let told = t.lines.last();
        assert_eq!(told, Some(&format!("C>A 415 {method} {what}")));
    }
    // Another refusal says nothing about bodies.
    let mut t = connected();
    t.request("a", "INVITE", Some(&sdp(&["audio 4002"])));
    t.reply("b", "INVITE", Answer::new(488).accept(&["application/sdp"]).header("Accept-Encoding", "gzip"));
    let Some(What::Respond(response)) = t.effects.last().and_then(|effect| effect.what.clone()) else {
        panic!("no answer");
    };
    assert_eq!(response.headers, []);
}

/// A request of the second phone is on its way to the first.
fn ours(method: &str, offers: bool) -> Ladder {
    let mut t = connected();
    t.request("b", method, offers.then_some(&*sdp(&["audio 5000 sendonly"])));
    assert_eq!(t.last("a", method).1.body.is_some(), offers);
    t
}

/// Nobody but Carillon changes anything: it refreshes the session of the first phone, which does not take UPDATE.
fn refreshing() -> Ladder {
    let mut t = Ladder::dial(Flow::Iv);
    let basic = |lines: &[&str]| Answer::new(200).sdp(&sdp(lines)).allow(&["INVITE", "BYE"]);
    t.reply("a", "INVITE", basic(&[]));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "INVITE", basic(&["audio 4000"]).header("Session-Expires", "90;refresher=uac"));
    let before = t.sent.len();
    t.wait(Duration::from_secs(45));
    assert_eq!(t.sent.len(), before + 1);
    t
}

/// The first phone has made the offer that the second asked for, which has not answered it yet.
fn unacknowledged() -> Ladder {
    let mut t = ours("INVITE", false);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t
}

/// A change by the first phone is on its way to the second.
fn theirs(method: &str, offers: bool) -> Ladder {
    let mut t = connected();
    t.request("a", method, offers.then_some(&*sdp(&["audio 4000 sendonly"])));
    t
}

/// The first phone has got the offer that it asked for, and has not acknowledged it.
fn offered() -> Ladder {
    let mut t = theirs("INVITE", false);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t
}

fn connected() -> Ladder {
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.lines.clear();
    t
}
