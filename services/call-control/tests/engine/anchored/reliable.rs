//! Provisional responses to a caller that takes them reliably. RFC 3262

use std::time::Duration;

use call_control::engine::event::{CallReceived, LegEvent};

use super::{called, invite, rack, reliable_invite, said, value, without_timer};
use crate::ladder::{Answer, Ladder, sdp};

/// PRK-01: 100rel in Require or Supported makes them reliable; each has an RSeq one above the last, the first below 2^31.
#[test]
fn a_caller_that_can_is_told_reliably() {
    for (supported, require) in [(vec!["100rel".to_owned()], vec![]), (vec![], vec!["100rel".to_owned()])] {
        let mut t = called(CallReceived { supported, require, ..invite() });
        t.reply("b", "INVITE", 180);
        let first = said(&t, "a-invite");
        assert_eq!((first.status, value(&first.headers, "Require")), (180, Some("100rel")));
        let rseq: u32 = value(&first.headers, "RSeq").expect("RSeq").parse().expect("a number");
        assert!((1..1 << 31).contains(&rseq));
        t.prack("a", &rack(&t), None);
        t.reply("b", "INVITE", 182);
        let second = said(&t, "a-invite");
        assert_eq!(second.status, 182);
        assert_eq!(value(&second.headers, "RSeq"), Some((rseq + 1).to_string().as_str()));
    }
}

/// PRK-01: without 100rel nothing is reliable.
#[test]
fn a_caller_that_cannot_is_told_plainly() {
    let mut t = called(invite());
    t.reply("b", "INVITE", Answer::new(183).reliable(7).sdp(&sdp(&["audio 5000"])));
    let said = said(&t, "a-invite");
    assert_eq!((value(&said.headers, "Require"), value(&said.headers, "RSeq")), (None, None));
    assert!(said.body.is_some(), "the session is previewed");
}

/// PRK-02: an INVITE that requires what is switched off is refused.
#[test]
fn who_requires_reliability_where_there_is_none_is_refused() {
    let asked = CallReceived { require: vec!["100rel".into()], ..invite() };
    let mut t = Ladder::called(asked, |policy| {
        policy.unreliable = true;
        without_timer(policy);
    });
    t.expect(
        "
        A>C INVITE sdp1[audio:4000]
        ! Created
        ! LegEnded a 420
        ! Ended 420
        C>A 420 INVITE Unsupported: 100rel
        C>A (released)
        ",
    );
    let mut t = Ladder::called(reliable_invite(), |policy| policy.unreliable = true);
    t.reply("b", "INVITE", 180);
    assert_eq!(value(&said(&t, "a-invite").headers, "RSeq"), None);
    let supported = t.last("b", "INVITE").1.headers;
    assert_eq!(value(&supported, "Supported"), Some("timer, replaces, join, tdialog"));
}

/// PRK-03: a second one waits for the PRACK of the first.
#[test]
fn one_waits_for_the_prack_of_the_one_before() {
    let mut t = called(reliable_invite());
    t.reply("b", "INVITE", 180);
    t.lines.clear();
    t.reply("b", "INVITE", 182);
    t.reply("b", "INVITE", Answer::new(183).reliable(1).sdp(&sdp(&["audio 5000"])));
    t.expect(
        "
        B>C 182 INVITE
        ! LegProgress b 182
        B>C 183 INVITE sdp1[audio:5000] RSeq 1
        C>B PRACK 2 RAck: 1 1 INVITE
        ",
    );
    for status in [182, 183] {
        let before = rack(&t);
        t.prack("a", &before, None);
        assert_eq!(said(&t, "a-invite").status, status);
    }
    assert!(said(&t, "a-invite").body.is_some());
}

/// PRK-03: a caller that never acknowledges is answered 504, and bob stops ringing.
#[test]
fn a_caller_that_never_acknowledges_is_given_up() {
    let mut t = called(reliable_invite());
    t.reply("b", "INVITE", 180);
    let rseq: u32 = value(&said(&t, "a-invite").headers, "RSeq").expect("RSeq").parse().expect("a number");
    t.lines.clear();
    let missing = |rseq| LegEvent::PrackMissing { transaction: "a-invite".into(), rseq };
    t.event("a", missing(rseq - 1));
    assert!(t.lines.is_empty(), "an old one");
    t.event("a", missing(rseq));
    t.expect(
        "
        ! LegEnded a 504
        C>B CANCEL Reason: SIP;cause=504;text=\"No PRACK\"
        C>A 504 INVITE
        C>A (released)
        ",
    );
}

/// PRK-04: RSeq, CSeq number and method must all fit, and only once.
#[test]
fn a_prack_for_something_else_is_refused() {
    let mut t = called(reliable_invite());
    t.reply("b", "INVITE", 180);
    let right = rack(&t);
    let rseq: u32 = right.split(' ').next().expect("a number").parse().expect("a number");
    t.lines.clear();
    for wrong in
        [format!("{} 1 INVITE", rseq + 1), format!("{rseq} 2 INVITE"), format!("{rseq} 1 UPDATE"), "x".into()]
    {
        t.prack("a", &wrong, None);
        t.expect("A>C PRACK\nC>A 481 PRACK");
    }
    t.prack("a", &right, None);
    t.expect("A>C PRACK\nC>A 200 PRACK");
    t.prack("a", &right, None);
    t.expect("A>C PRACK\nC>A 481 PRACK");
}

/// PRK-06: the 2xx waits while the answer in a reliable 1xx is not acknowledged, and has no session of its own.
#[test]
fn the_2xx_waits_for_the_prack_of_a_session() {
    let mut t = called(reliable_invite());
    t.reply("b", "INVITE", Answer::new(183).reliable(1).sdp(&sdp(&["audio 5000"])));
    let first = rack(&t);
    t.lines.clear();
    t.reply("b", "INVITE", 200);
    t.expect(
        "
        B>C 200 INVITE
        ! LegAnswered b 200
        C>B ACK 1
        ",
    );
    t.prack("a", &first, None);
    t.expect(
        "
        A>C PRACK
        ! LegAnswered a 200
        ! Connected 200
        C>A 200 PRACK
        C>A 200 INVITE
        ",
    );
}

/// PRK-06: one without a session does not hold it back (RFC 3262 3).
#[test]
fn the_2xx_does_not_wait_for_the_prack_of_a_mere_ringing() {
    let mut t = called(reliable_invite());
    t.reply("b", "INVITE", 180);
    t.lines.clear();
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.expect(
        "
        B>C 200 INVITE sdp1[audio:5000]
        ! LegAnswered b 200
        ! LegAnswered a 200
        ! Connected 200
        C>B ACK 1
        C>A 200 INVITE sdp1[audio:5000]
        ",
    );
}

/// UPD-01, CCL-12, IMI-05: a reliable 1xx with a session says what Carillon can do, UPDATE among it.
#[test]
fn a_reliable_session_says_that_it_may_be_updated() {
    let mut t = called(reliable_invite());
    t.reply("b", "INVITE", Answer::new(183).reliable(1).sdp(&sdp(&["audio 5000"])));
    let said = said(&t, "a-invite");
    assert!(said.body.is_some());
    assert!(value(&said.headers, "Allow").is_some_and(|allow| allow.contains("UPDATE")));
    assert!(value(&said.headers, "Supported").is_some_and(|tags| tags.contains("tdialog")));
    assert_eq!(value(&said.headers, "Recv-Info"), Some(""));
}

/// UPD-02, UPD-03, TPC-07: an early session is changed by UPDATE, once it is acknowledged; before that by nobody.
#[test]
fn an_early_session_is_updated_across() {
    let mut t = called(reliable_invite());
    t.reply("b", "INVITE", Answer::new(183).reliable(1).sdp(&sdp(&["audio 5000"])));
    t.reply("b", "PRACK", 200);
    t.lines.clear();
    t.request("b", "UPDATE", Some(&sdp(&["audio 5002"])));
    t.expect("B>C UPDATE sdp1[audio:5002]\nC>B 491 UPDATE");
    t.prack("a", &rack(&t), None);
    t.lines.clear();
    t.request("b", "UPDATE", Some(&sdp(&["audio 5002"])));
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.request("a", "UPDATE", Some(&sdp(&["audio 4002"])));
    t.reply("b", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 5002"])));
    t.expect(
        "
        B>C UPDATE sdp1[audio:5002]
        C>A UPDATE 1 sdp2[audio:5002]
        A>C 200 UPDATE sdp1[audio:4000]
        C>B 200 UPDATE sdp1[audio:4000]
        A>C UPDATE sdp1[audio:4002]
        C>B UPDATE 3 sdp2[audio:4002]
        B>C 200 UPDATE sdp1[audio:5002]
        C>A 200 UPDATE sdp2[audio:5002]
        ",
    );
}

/// PRK-04: a PRACK may carry a further offer (RFC 3262 5), which the other party answers.
#[test]
fn an_offer_in_prack_goes_across() {
    let mut t = called(reliable_invite());
    t.reply("b", "INVITE", Answer::new(183).reliable(1).sdp(&sdp(&["audio 5000"])));
    t.reply("b", "PRACK", 200);
    t.lines.clear();
    t.prack("a", &rack(&t), Some(&sdp(&["audio 4002"])));
    t.reply("b", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 5002"])));
    t.expect(
        "
        A>C PRACK sdp1[audio:4002]
        C>B UPDATE 3 sdp2[audio:4002]
        B>C 200 UPDATE sdp1[audio:5002]
        C>A 200 PRACK sdp2[audio:5002]
        ",
    );
}

/// UAC-26: who waits is told again: each minute, or after 2.5 minutes where that is reliable.
#[test]
fn a_caller_that_waits_is_told_again() {
    let patient = |asked| Ladder::called(asked, |policy| policy.ring_timeout_ms = 600_000);
    let mut t = patient(invite());
    t.reply("b", "INVITE", 182);
    t.lines.clear();
    t.wait(Duration::from_secs(240));
    t.expect(
        "
        ... 60000 ms
        C>A 182 INVITE
        ... 60000 ms
        C>A 182 INVITE
        ... 60000 ms
        C>A 182 INVITE
        ... 60000 ms
        C>A 182 INVITE
        ",
    );
    let mut t = patient(reliable_invite());
    t.reply("b", "INVITE", 180);
    let first = rack(&t);
    t.prack("a", &first, None);
    t.lines.clear();
    t.wait(Duration::from_secs(149));
    assert!(t.lines.is_empty());
    t.wait(Duration::from_secs(1));
    assert_eq!(said(&t, "a-invite").status, 180);
    assert_ne!(rack(&t), first, "it is a further one");
}
