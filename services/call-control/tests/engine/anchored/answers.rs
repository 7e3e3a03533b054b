//! In which response a caller gets the answer to its offer. RFC 3261 13.2.1, RFC 3262 5

use call_control::engine::effect::SendResponse;
use call_control::engine::event::CallReceived;

use super::{called, invite, rack, reliable_invite, said, value};
use crate::ladder::{Answer, sdp};

/// PRK-06, OFA-01: an answer that waits behind a 1xx without PRACK has not left: it is in the 2xx then (RFC 3261 13.2.1).
#[test]
fn the_2xx_has_the_answer_that_did_not_leave_before() {
    let mut t = called(reliable_invite());
    t.reply("b", "INVITE", 180);
    t.reply("b", "INVITE", Answer::new(183).reliable(1).sdp(&sdp(&["audio 5000"])));
    t.reply("b", "INVITE", 200);
    let answer = said(&t, "a-invite");
    assert_eq!((answer.status, text(&answer).contains("m=audio 5000")), (200, true));
}

/// PRK-03, PRK-06: what a full queue leaves out is a status, never the answer; and that is given once.
#[test]
fn a_full_queue_keeps_the_answer() {
    let mut t = called(reliable_invite());
    t.reply("b", "INVITE", 180);
    for status in [182, 181, 182] {
        t.reply("b", "INVITE", status);
    }
    t.reply("b", "INVITE", Answer::new(183).reliable(1).sdp(&sdp(&["audio 5000"])));
    for status in [181, 182, 181] {
        t.reply("b", "INVITE", status);
    }
    let mut given = 0;
    for _ in 0..4 {
        t.prack("a", &rack(&t), None);
        given += usize::from(said(&t, "a-invite").body.is_some());
    }
    assert_eq!(given, 1);
    t.prack("a", &rack(&t), None);
    t.reply("b", "INVITE", 200);
    let answer = said(&t, "a-invite");
    assert_eq!((answer.status, answer.body), (200, None));
}

/// OFA-01: what bob says of his session unreliably is no answer (RFC 3261 13.2.1): alice sees it as a preview, and gets what his
/// 200 says.
#[test]
fn a_preview_is_not_the_answer() {
    for asked in [invite(), reliable_invite()] {
        let mut t = called(asked);
        t.reply("b", "INVITE", 180);
        t.reply("b", "INVITE", Answer::new(183).sdp(&sdp(&["audio 5000"])));
        let preview = said(&t, "a-invite");
        assert!(text(&preview).contains("m=audio 5000"));
        assert_eq!(value(&preview.headers, "RSeq"), None);
        t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5002"])));
        let answer = said(&t, "a-invite");
        assert_eq!((answer.status, answer.to_tag == preview.to_tag), (200, true));
        assert!(text(&answer).contains("m=audio 5002"), "{}", text(&answer));
    }
}

/// OFA-01: a 200 that does not say it again leaves the preview as the answer.
#[test]
fn a_200_without_answer_confirms_the_preview() {
    let mut t = called(reliable_invite());
    t.reply("b", "INVITE", Answer::new(183).sdp(&sdp(&["audio 5000"])));
    t.reply("b", "INVITE", 200);
    assert!(text(&said(&t, "a-invite")).contains("m=audio 5000"));
}

/// PRK-01, OFA-01: a preview that then comes reliably is the answer, which the 200 does not repeat.
#[test]
fn a_preview_that_comes_reliably_is_the_answer() {
    let mut t = called(reliable_invite());
    t.reply("b", "INVITE", Answer::new(183).sdp(&sdp(&["audio 5000"])));
    t.reply("b", "INVITE", Answer::new(183).reliable(1).sdp(&sdp(&["audio 5002"])));
    let answer = said(&t, "a-invite");
    assert!(value(&answer.headers, "RSeq").is_some() && text(&answer).contains("m=audio 5002"));
    t.reply("b", "INVITE", Answer::new(183).sdp(&sdp(&["audio 5002"])));
    t.prack("a", &rack(&t), None);
    t.reply("b", "INVITE", 200);
    let success = said(&t, "a-invite");
    assert_eq!((success.status, success.body), (200, None));
}

/// PRK-01: who requires 100rel is told nothing unreliably, and reliably nothing that may change.
#[test]
fn who_requires_reliability_gets_no_preview() {
    let mut t = called(CallReceived { require: vec!["100rel".into()], ..invite() });
    t.reply("b", "INVITE", Answer::new(183).sdp(&sdp(&["audio 5000"])));
    let early = said(&t, "a-invite");
    assert_eq!((early.status, early.body.is_some()), (183, false));
    assert!(value(&early.headers, "RSeq").is_some());
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5002"])));
    assert!(text(&said(&t, "a-invite")).contains("m=audio 5002"));
}

fn text(said: &SendResponse) -> String {
    String::from_utf8(said.body.clone().map_or(Vec::new(), |body| body.content)).expect("text")
}
