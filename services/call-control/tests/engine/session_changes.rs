//! Changes of a running session (RFC 3725 7, 11): each kind of change, from either party, by re-INVITE and by UPDATE.

use call_control::engine::call::{CallState, Flow};
use call_control::engine::effect::{Body, SendRequest, What};

use crate::ladder::{Answer, Ladder, sdp};

/// One change: what the party that asks offers, what the other answers, and which m= lines each of them sees.
struct Change {
    name: &'static str,
    offer: String,
    answer: String,
    asked: &'static [&'static str],
    answered: &'static [&'static str],
}

fn changes() -> Vec<Change> {
    let elsewhere = |text: String| text.replace("198.51.100.9", "203.0.113.5");
    let with_codecs = |line: &str, codecs: &str| {
        let maps = "a=rtpmap:8 PCMA/8000\r\na=rtpmap:96 opus/48000/2\r\n";
        sdp(&[line]).replace("RTP/AVP 0\r\n", &format!("RTP/AVP {codecs}\r\n{maps}"))
    };
    vec![
        Change {
            name: "another port",
            offer: sdp(&["audio 4100"]),
            answer: sdp(&["audio 5100"]),
            asked: &["audio 4100 RTP/AVP 0"],
            answered: &["audio 5100 RTP/AVP 0"],
        },
        Change {
            name: "another address",
            offer: elsewhere(sdp(&["audio 4100"])),
            answer: elsewhere(sdp(&["audio 5100"])),
            asked: &["audio 4100 RTP/AVP 0"],
            answered: &["audio 5100 RTP/AVP 0"],
        },
        Change {
            name: "more codecs",
            offer: with_codecs("audio 4100", "0 8 96"),
            answer: with_codecs("audio 5100", "8 96"),
            asked: &["audio 4100 RTP/AVP 0 8 96"],
            answered: &["audio 5100 RTP/AVP 8 96"],
        },
        Change {
            name: "fewer codecs",
            offer: with_codecs("audio 4100", "96"),
            answer: with_codecs("audio 5100", "96"),
            asked: &["audio 4100 RTP/AVP 96"],
            answered: &["audio 5100 RTP/AVP 96"],
        },
        Change {
            name: "a line more, refused",
            offer: sdp(&["audio 4100", "video 4200"]),
            answer: sdp(&["audio 5100", "video 0"]),
            asked: &["audio 4100 RTP/AVP 0", "video 4200 RTP/AVP 0"],
            answered: &["audio 5100 RTP/AVP 0", "video 0 RTP/AVP 0"],
        },
        Change {
            name: "the line again, taken",
            offer: sdp(&["audio 4100", "video 4200"]),
            answer: sdp(&["audio 5100", "video 5200"]),
            asked: &["audio 4100 RTP/AVP 0", "video 4200 RTP/AVP 0"],
            answered: &["audio 5100 RTP/AVP 0", "video 5200 RTP/AVP 0"],
        },
        Change {
            name: "a line less",
            offer: sdp(&["audio 4100", "video 0"]),
            answer: sdp(&["audio 5100", "video 0"]),
            asked: &["audio 4100 RTP/AVP 0", "video 0 RTP/AVP 0"],
            answered: &["audio 5100 RTP/AVP 0", "video 0 RTP/AVP 0"],
        },
        Change {
            // Lines cannot vanish (RFC 3264 8): the other party sees them with port 0.
            name: "no m= lines",
            offer: sdp(&[]),
            answer: sdp(&["audio 0", "video 0"]),
            asked: &["audio 0 RTP/AVP 0", "video 0 RTP/AVP 0"],
            answered: &[],
        },
        Change {
            name: "the lines again",
            offer: sdp(&["audio 4100", "video 4200"]),
            answer: sdp(&["audio 5100", "video 5200"]),
            asked: &["audio 4100 RTP/AVP 0", "video 4200 RTP/AVP 0"],
            answered: &["audio 5100 RTP/AVP 0", "video 5200 RTP/AVP 0"],
        },
    ]
}

/// TPC-12, TPC-07, OFA-05
#[test]
fn every_change_reaches_the_other_party_and_its_answer_comes_back() {
    for (from, to) in [("a", "b"), ("b", "a")] {
        for method in ["INVITE", "UPDATE"] {
            let mut t = connected();
            for change in changes() {
                let case = format!("{} by {method} of {from}", change.name);
                let before = t.effects.len();
                let asked = t.request(from, method, Some(&change.offer));
                let offer = text(t.last(to, method).1.body.as_ref(), &case);
                assert_eq!(lines(&offer, "m="), change.asked, "{case}");
                assert_eq!(lines(&offer, "c="), lines(&change.offer, "c="), "{case}");
                assert_eq!(lines(&offer, "a=rtpmap"), lines(&change.offer, "a=rtpmap"), "{case}");
                t.reply(to, method, Answer::new(200).sdp(&change.answer));
                let answer = text(answered(&t, before).as_ref(), &case);
                assert_eq!(lines(&answer, "m="), change.answered, "{case}");
                assert_eq!(lines(&answer, "c="), lines(&change.answer, "c="), "{case}");
                if method == "INVITE" {
                    assert_eq!(t.last(to, "ACK").1.cseq, t.last(to, "INVITE").1.cseq, "{case}");
                    t.ack(from, &asked, None);
                }
                assert_eq!(t.call.state(), CallState::Answered, "{case}");
            }
        }
    }
}

/// TPC-12: a party that asks for an offer gets one of the other party, however much that changes.
#[test]
fn a_party_that_asks_for_an_offer_gets_the_other_partys() {
    for (from, to) in [("a", "b"), ("b", "a")] {
        let mut t = connected();
        for change in changes().into_iter().filter(|change| !change.answered.is_empty()) {
            let case = format!("{} asked for by {from}", change.name);
            let before = t.effects.len();
            let asked = t.request(from, "INVITE", None);
            let request: SendRequest = t.last(to, "INVITE").1;
            assert_eq!(request.body, None, "{case}");
            t.reply(to, "INVITE", Answer::new(200).sdp(&change.offer));
            let offer = text(answered(&t, before).as_ref(), &case);
            assert_eq!(lines(&offer, "m="), change.asked, "{case}");
            t.ack(from, &asked, Some(&change.answer));
            let ack = t.last(to, "ACK").1;
            assert_eq!(ack.cseq, request.cseq, "{case}");
            assert_eq!(lines(&text(ack.body.as_ref(), &case), "m="), change.answered, "{case}");
            assert_eq!(t.call.state(), CallState::Answered, "{case}");
        }
    }
}

/// TPC-12: a change that the other party refuses leaves the session as it was, and the next one succeeds.
#[test]
fn a_refused_change_does_not_stand_in_the_way_of_the_next() {
    for (from, to) in [("a", "b"), ("b", "a")] {
        for method in ["INVITE", "UPDATE"] {
            let mut t = connected();
            for change in changes() {
                let case = format!("{} by {method} of {from}", change.name);
                t.request(from, method, Some(&change.offer));
                t.reply(to, method, 488);
                let refused = format!("C>{} 488 {method}", from.to_uppercase());
                assert_eq!(t.lines.pop(), Some(refused), "{case}");
                assert_eq!(t.call.state(), CallState::Answered, "{case}");
            }
            t.request(from, method, Some(&sdp(&["audio 4100"])));
            let offer = text(t.last(to, method).1.body.as_ref(), method);
            assert_eq!(lines(&offer, "m="), ["audio 4100 RTP/AVP 0"], "what was refused left no lines");
        }
    }
}

/// TPC-07, OFA-06: both parties hold; the call is held until the second of them has taken its hold back.
#[test]
fn a_call_that_both_hold_is_held_until_both_have_resumed() {
    let mut t = connected();
    for (by, other, offer, answer, state) in [
        ("a", "b", "sendonly", "recvonly", CallState::Held),
        ("b", "a", "inactive", "inactive", CallState::Held),
        ("b", "a", "sendrecv", "sendonly", CallState::Held),
        ("a", "b", "sendrecv", "sendrecv", CallState::Answered),
        ("b", "a", "sendonly", "recvonly", CallState::Held),
        ("b", "a", "sendrecv", "sendrecv", CallState::Answered),
    ] {
        let line = |direction: &str| sdp(&[&format!("audio 4000 {direction}")]);
        let asked = t.request(by, "INVITE", Some(&line(offer)));
        t.reply(other, "INVITE", Answer::new(200).sdp(&line(answer)));
        t.ack(by, &asked, None);
        assert_eq!(t.call.state(), state, "{by} says {offer}, {other} {answer}");
    }
    let told: Vec<&String> = t.lines.iter().filter(|line| line.starts_with('!')).collect();
    assert_eq!(told, ["! Held a", "! Unheld a", "! Held b", "! Unheld b"]);
}

/// The body of the 2xx that went out since.
fn answered(t: &Ladder, before: usize) -> Option<Body> {
    let of = |what: &What| match what {
        What::Respond(response) if response.status == 200 => response.body.clone(),
        _ => None,
    };
    t.effects[before..].iter().filter_map(|effect| of(effect.what.as_ref()?)).next_back()
}

fn text(body: Option<&Body>, case: &str) -> String {
    let body = body.unwrap_or_else(|| panic!("{case}: no body"));
    String::from_utf8(body.content.clone()).expect("text")
}

fn lines<'a>(text: &'a str, prefix: &str) -> Vec<&'a str> {
    let prefix_length = if prefix.ends_with('=') { prefix.len() } else { 0 };
    text.lines().filter(|line| line.starts_with(prefix)).map(|line| &line[prefix_length..]).collect()
}

fn connected() -> Ladder {
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.lines.clear();
    t
}
