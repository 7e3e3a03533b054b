//! A callee with several phones.

use super::{called, invite, rack, reliable_invite, said};
use crate::ladder::{Answer, sdp};

/// UAC-17: the caller was shown the session of one phone and another one answers: to the caller it is another fork.
#[test]
fn another_fork_than_the_one_shown_has_another_tag() {
    let mut t = called(invite());
    t.reply("b", "INVITE", Answer::new(183).tag("b1").sdp(&sdp(&["audio 5000"])));
    let early = said(&t, "a-invite");
    assert!(early.body.is_some());
    t.reply("b", "INVITE", Answer::new(183).tag("b2").sdp(&sdp(&["audio 6000"])));
    let other = said(&t, "a-invite");
    assert_eq!(
        (other.to_tag.as_str(), other.body.is_some()),
        (early.to_tag.as_str(), false),
        "one at a time"
    );
    t.reply("b", "INVITE", Answer::new(200).tag("b2").sdp(&sdp(&["audio 6000"])));
    let answer = said(&t, "a-invite");
    assert_eq!(answer.status, 200);
    assert_ne!(answer.to_tag, early.to_tag);
    let text = String::from_utf8(answer.body.expect("an answer").content).expect("text");
    assert!(text.contains("m=audio 6000"), "{text}");
    t.ack("a", "a-invite", None);
    t.request("b", "BYE", None);
    assert_eq!(t.last("a", "BYE").1.from_tag, answer.to_tag);
}

/// PRK-04, PRK-06: the PRACK of the fork that was shown first is that of another dialog now, and nothing waits for it.
#[test]
fn the_answer_of_another_fork_does_not_wait_for_the_first() {
    let mut t = called(reliable_invite());
    t.reply("b", "INVITE", Answer::new(183).tag("b1").reliable(1).sdp(&sdp(&["audio 5000"])));
    let (first, early) = (rack(&t), said(&t, "a-invite"));
    t.reply("b", "INVITE", Answer::new(200).tag("b2").sdp(&sdp(&["audio 6000"])));
    let answer = said(&t, "a-invite");
    assert_eq!((answer.status, answer.body.is_some()), (200, true));
    assert_ne!(answer.to_tag, early.to_tag);
    t.lines.clear();
    t.prack("a", &first, None);
    t.expect("A>C PRACK\nC>A 481 PRACK");
    assert!(t.call.outcome.is_none());
}

/// The one that was shown answers: its session stands.
#[test]
fn the_fork_that_was_shown_keeps_its_tag() {
    let mut t = called(invite());
    t.reply("b", "INVITE", Answer::new(183).tag("b1").sdp(&sdp(&["audio 5000"])));
    let early = said(&t, "a-invite");
    t.reply("b", "INVITE", Answer::new(180).tag("b2"));
    t.reply("b", "INVITE", Answer::new(200).tag("b1").sdp(&sdp(&["audio 5000"])));
    let answer = said(&t, "a-invite");
    assert_eq!(answer.to_tag, early.to_tag);
    assert_eq!(answer.body, early.body, "the same answer (RFC 3261 13.2.1)");
}
