//! Which session descriptions are offers and answers, and how an offer is refused in each carrier (RFC 6337 2.2, 2.3).

use call_control::engine::call::Flow;
use call_control::engine::effect::Body;

use crate::ladder::{Answer, Ladder, sdp};

/// Alice is up with nothing to say, Bob is dialled.
fn alice_is_up(flow: Flow) -> Ladder {
    let mut t = Ladder::dial(flow);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t.lines.clear();
    t
}

fn connected() -> Ladder {
    let mut t = alice_is_up(Flow::Iv);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.lines.clear();
    t
}

/// OFA-01: a description in an unreliable 18x is a preview; the offer is the one in the 2xx.
#[test]
fn a_description_in_an_unreliable_response_is_no_offer() {
    let mut t = alice_is_up(Flow::Ringback);
    t.reply("b", "INVITE", Answer::new(183).sdp(&sdp(&["audio 5000"])));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 6000"])));
    t.expect(
        "
        B>C 183 INVITE sdp1[audio:5000]
        ! LegProgress b 183
        B>C 200 INVITE sdp1[audio:6000]
        ! LegAnswered b 200
        C>A INVITE 2 sdp2[audio:6000]
        ",
    );
}

/// OFA-01: after offer and answer in a reliable 18x and PRACK, the description in the 2xx is none.
#[test]
fn a_description_in_a_later_response_is_ignored() {
    let mut t = alice_is_up(Flow::Ringback);
    t.reply("b", "INVITE", Answer::new(180).reliable(1).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.reply("b", "PRACK", 200);
    t.lines.clear();
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 7000"])));
    t.expect(
        "
        B>C 200 INVITE sdp1[audio:7000]
        ! LegAnswered b 200
        ! Connected 200
        C>B ACK 1
        ",
    );
    let dialog = &t.call.legs[1].dialogs[0];
    assert!(String::from_utf8_lossy(&dialog.remote_sdp).contains("audio 5000"));
}

/// OFA-01: INFO carries anything, and no offer.
#[test]
fn a_description_in_another_request_is_no_offer() {
    let mut t = connected();
    let before: Vec<_> = t.call.legs.iter().map(|leg| leg.dialogs[0].remote_sdp.clone()).collect();
    let body = Body::sdp(sdp(&["audio 7000"]).into_bytes());
    t.request_with("a", "INFO", Some(body), Vec::new());
    t.reply("b", "INFO", 200);
    let after: Vec<_> = t.call.legs.iter().map(|leg| leg.dialogs[0].remote_sdp.clone()).collect();
    assert_eq!(before, after);
    t.request("b", "BYE", None);
    assert!(t.lines.iter().all(|line| !line.starts_with("C>A INVITE") && !line.starts_with("C>B UPDATE")));
}

/// OFA-07: an offer in INVITE or UPDATE is refused by 488, and the session stays.
#[test]
fn an_offer_in_a_request_is_refused_by_488() {
    for method in ["INVITE", "UPDATE"] {
        let mut t = connected();
        t.request("a", method, Some(&sdp(&["audio 4002"])));
        t.reply("b", method, 488);
        let answered = format!("C>A 488 {method}");
        assert!(t.lines.contains(&answered), "{method}: {:#?}", t.lines);
        assert_eq!(t.call.outcome, None, "{method}");
    }
}

/// OFA-07: an offer in a 2xx cannot be refused: it is answered, every line refused, and BYE follows.
#[test]
fn an_offer_in_a_2xx_is_answered_and_the_leg_ended() {
    let mut t = alice_is_up(Flow::Iv);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.lines.clear();
    t.reply("a", "INVITE", 488);
    t.expect(
        "
        A>C 488 INVITE
        ! LegEnded a 488
        ! LegEnded b 488
        ! Ended 488
        C>B ACK 1 sdp1[audio:0]
        C>A BYE 3 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        C>B BYE 2 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        ",
    );
}

/// OFA-07: an offer in a reliable 18x is answered in PRACK, every line refused, and CANCEL follows.
#[test]
fn an_offer_in_a_reliable_response_is_answered_in_prack_and_the_leg_cancelled() {
    let mut t = alice_is_up(Flow::Ringback);
    t.reply("b", "INVITE", Answer::new(180).reliable(1).sdp(&sdp(&["audio 5000"])));
    t.lines.clear();
    t.reply("a", "UPDATE", 488);
    t.reply("b", "PRACK", 200);
    t.reply("b", "INVITE", 487);
    t.expect(
        "
        A>C 488 UPDATE
        ! LegEnded a 488
        C>B PRACK 2 sdp1[audio:0] RAck: 1 1 INVITE
        C>B CANCEL Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        C>A BYE 3 Reason: SIP;cause=488;text=\"Not Acceptable Here\"
        B>C 200 PRACK
        B>C 487 INVITE
        ! LegEnded b 488
        ! Ended 488
        C>B (released)
        ",
    );
}

/// OFA-02: an UPDATE of Bob that crosses the PRACK with our answer is told to come again, and the answer is not lost.
#[test]
fn an_update_that_crosses_prack_is_refused_with_500() {
    let mut t = alice_is_up(Flow::Ringback);
    t.reply("b", "INVITE", Answer::new(180).reliable(1).sdp(&sdp(&["audio 5000"])));
    t.lines.clear();
    // Before the answer: his offer is still open.
    t.request("b", "UPDATE", Some(&sdp(&["audio 5002"])));
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    // The PRACK with the answer is on its way.
    t.request("b", "UPDATE", Some(&sdp(&["audio 5004"])));
    t.reply("b", "PRACK", 200);
    t.request("b", "UPDATE", Some(&sdp(&["audio 5006"])));
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        B>C UPDATE sdp1[audio:5002]
        C>B 500 UPDATE Retry-After: 6
        A>C 200 UPDATE sdp1[audio:4000]
        ! RingbackStarted 180
        C>B PRACK 2 sdp1[audio:4000] RAck: 1 1 INVITE
        B>C UPDATE sdp1[audio:5004]
        C>B 500 UPDATE Retry-After: 6
        B>C 200 PRACK
        B>C UPDATE sdp1[audio:5006]
        C>A UPDATE 3 sdp3[audio:5006]
        A>C 200 UPDATE sdp1[audio:4000]
        C>B 200 UPDATE sdp1[audio:4000]
        ",
    );
}

/// UPD-02, UAC-11: an UPDATE whose offer cannot be used at all is refused at once, and the session stays.
#[test]
fn an_update_that_cannot_be_used_is_refused_with_488() {
    let mut t = connected();
    t.request("a", "UPDATE", Some("not a description"));
    t.expect(
        "
        A>C UPDATE sdp[]
        C>A 488 UPDATE Warning: 399 192.0.2.1 \"The session description cannot be read\"
        ",
    );
    t.request("a", "UPDATE", Some(&sdp(&["audio 4002"])));
    t.reply("b", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    assert_eq!(t.lines.last().map(String::as_str), Some("C>A 200 UPDATE sdp2[audio:5000]"));
}

/// UAC-11: the asker is told what of its offer the other party could not use.
#[test]
fn the_warnings_of_a_refusal_reach_the_asker() {
    for (method, warning) in [
        ("INVITE", "304 phone.example \"Media type not available\""),
        ("UPDATE", "305 phone.example \"Incompatible media format\""),
    ] {
        let mut t = connected();
        t.request("a", method, Some(&sdp(&["audio 4002", "video 4004"])));
        t.reply("b", method, Answer::new(488).header("Server", "phone").header("Warning", warning));
        assert_eq!(t.lines.last(), Some(&format!("C>A 488 {method} Warning: {warning}")));
    }
}
