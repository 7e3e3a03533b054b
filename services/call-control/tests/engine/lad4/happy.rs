//! LAD-4 1-12: the ladder in which everything succeeds.

use call_control::engine::call::Flow;

use crate::lad4::{TONE, bob_rings};
use crate::ladder::{Answer, Ladder, sdp};

/// LAD-4 1-12, TPC-08, TPC-13
#[test]
fn alice_hears_ringback_while_bob_rings() {
    let mut t = Ladder::dial(Flow::Ringback);
    t.reply(
        "a",
        "INVITE",
        Answer::new(200).sdp(&sdp(&[])).accept(&["application/sdp", "multipart/mixed", TONE]),
    );
    t.reply("b", "INVITE", Answer::new(180).reliable(11).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.reply("b", "PRACK", 200);
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 9999"])));
    t.expect(
        "
        ! Created
        ! LegDialing a
        C>A INVITE 1 sdp1[]
        A>C 200 INVITE sdp1[]
        ! LegAnswered a 200
        ! LegDialing b
        C>A ACK 1
        C>B INVITE 1
        B>C 180 INVITE sdp1[audio:5000] RSeq 11
        ! LegRinging b 180
        C>A UPDATE 2 tone+sdp2[audio:5000] Reason: SIP;cause=180;text=\"Ringing\"
        A>C 200 UPDATE sdp1[audio:4000]
        ! RingbackStarted 180
        C>B PRACK 2 sdp1[audio:4000] RAck: 11 1 INVITE
        B>C 200 PRACK
        B>C 200 INVITE sdp1[audio:9999]
        ! LegAnswered b 200
        ! Connected 200
        C>B ACK 1
        ",
    );
}

/// TPC-13: the parts of the body and their dispositions.
#[test]
fn the_update_carries_an_optional_tone_and_a_required_session() {
    let t = bob_rings();
    let (_, update) = t.last("a", "UPDATE");
    let body = update.body.expect("a body");
    assert!(body.content_type.starts_with("multipart/mixed;boundary="));
    let text = String::from_utf8(body.content).expect("text");
    for part in [
        "Content-Type: audio/tone-info+xml\r\nContent-Disposition: render;handling=optional\r\n",
        "Content-Type: application/sdp\r\nContent-Disposition: session;handling=required\r\n",
        "<frequency hz=\"440\"/><frequency hz=\"480\"/>",
    ] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
}

/// LAD-4 and PRK-05: a repeated reliable 18x does not lead to a second UPDATE.
#[test]
fn repeats_of_the_reliable_response_are_dropped() {
    let mut t = bob_rings();
    t.reply("b", "INVITE", Answer::new(180).reliable(11).sdp(&sdp(&["audio 5000"])));
    t.expect(
        "
        B>C 180 INVITE sdp1[audio:5000] RSeq 11
        ",
    );
}

/// AUTO: ringback where Allow lists UPDATE.
#[test]
fn auto_chooses_by_alices_allow() {
    let mut t = Ladder::dial(Flow::Auto);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    assert_eq!(t.call.flow(), Flow::Ringback);
    let mut t = Ladder::dial(Flow::Auto);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])).allow(&["INVITE", "ACK", "BYE"]));
    assert_eq!(t.call.flow(), Flow::Iv);
}

/// LAD-1 6: in Flow IV the session goes along early too, without a tone.
#[test]
fn flow_iv_takes_a_reliable_offer_without_a_tone() {
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t.lines.clear();
    t.reply("b", "INVITE", Answer::new(183).reliable(1).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.expect(
        "
        B>C 183 INVITE sdp1[audio:5000] RSeq 1
        ! LegProgress b 183
        C>A UPDATE 2 sdp2[audio:5000] Reason: SIP;cause=183;text=\"Session Progress\"
        A>C 200 UPDATE sdp1[audio:4000]
        C>B PRACK 2 sdp1[audio:4000] RAck: 1 1 INVITE
        ",
    );
}
