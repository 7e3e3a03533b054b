//! Rules of a user agent that hold in every flow: targets and routes, identities, odd statuses, bodies that are not understood.

use std::time::Duration;

use call_control::engine::call::{CallState, Flow, OutcomeKind};
use call_control::engine::effect::{Body, Header};

use crate::ladder::{Answer, Ladder, sdp};

/// UAC-14: unknown provisional responses count as 183, unknown final ones as the first of their class.
#[test]
fn unknown_statuses_count_by_their_class() {
    let mut t = Ladder::dial(Flow::Iv);
    for status in [199, 188, 155] {
        t.reply("a", "INVITE", status);
        assert_eq!(t.call.state(), CallState::Progressing);
    }
    t.reply("a", "INVITE", Answer::new(299).sdp(&sdp(&[])));
    assert!(t.last("a", "ACK").1.cseq == 1, "an unknown 2xx is a success");
    t.reply("b", "INVITE", 699);
    assert_eq!(t.call.outcome.expect("an outcome").kind(), OutcomeKind::Failed);
}

/// UAC-05: a tel URI that is not served is asked for as a sip URI, once; sips never becomes sip.
#[test]
fn a_telephone_number_becomes_a_sip_uri() {
    let mut t = Ladder::dial_to("tel:+15551234", "sip:bob@example.com", Flow::Iv, |policy| {
        policy.host = "example.com".into();
    });
    t.reply("a", "INVITE", 416);
    let (_, again) = t.last("a", "INVITE");
    assert_eq!((again.request_uri.as_str(), again.cseq), ("sip:+15551234@example.com;user=phone", 2));
    t.reply("a", "INVITE", 416);
    assert!(t.finished);

    let mut t = Ladder::dial_to("sips:alice@example.com", "sip:bob@example.com", Flow::Iv, |_| {});
    t.reply("a", "INVITE", 416);
    assert!(t.finished);
    let mut t = Ladder::dial_to("sips:alice@example.com", "sip:bob@example.com", Flow::Iv, |_| {});
    t.reply("a", "INVITE", Answer::new(302).contacts(&["<sip:alice@example.net>"]));
    assert!(t.finished, "a redirection does not take the security away");
}

/// UAC-15, UAC-16: the route set is the reversed Record-Route of the 2xx, whatever the 18x said.
#[test]
fn later_requests_follow_the_route_of_the_2xx() {
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", Answer::new(180).record_route(&["<sip:old;lr>"]));
    t.reply(
        "a",
        "INVITE",
        Answer::new(200).sdp(&sdp(&[])).record_route(&["<sip:p2;lr>", "<sip:p1;lr>"]).contact("sip:alice@pc"),
    );
    let (_, ack) = t.last("a", "ACK");
    assert_eq!(ack.route, ["<sip:p1;lr>", "<sip:p2;lr>"]);
    assert_eq!((ack.request_uri.as_str(), ack.to_tag.as_str()), ("sip:alice@pc", "a1"));
    assert_eq!(ack.flow, "flow");
}

/// UAC-23: the target moves with a 2xx, a reliable 18x or a request of the peer, never with an unreliable 18x.
#[test]
fn only_reliable_messages_move_the_target() {
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t.reply("b", "INVITE", Answer::new(180).contact("sip:first@b"));
    t.reply("b", "INVITE", Answer::new(183).contact("sip:second@b"));
    assert_eq!(t.call.legs[1].dialogs[0].remote_target, "sip:first@b");
    t.reply("b", "INVITE", Answer::new(183).reliable(1).contact("sip:third@b"));
    assert_eq!(t.last("b", "PRACK").1.request_uri, "sip:third@b");
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])).contact("sip:fourth@b"));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])).contact("sip:moved@a"));
    assert_eq!(t.last("b", "ACK").1.request_uri, "sip:fourth@b");
    t.request("b", "BYE", None);
    assert_eq!(t.last("a", "BYE").1.request_uri, "sip:moved@a");
}

/// TPC-10: the controller shows itself, on behalf of the other party; a caller id replaces that toward both.
#[test]
fn the_controller_does_not_pretend_to_be_a_party() {
    let t = Ladder::dial(Flow::Iv);
    let (_, invite) = t.last("a", "INVITE");
    assert_eq!(invite.from_uri, "sip:controller@example.com");
    assert_eq!(invite.from_display, "controller on behalf of sip:bob@example.com");

    let mut t = Ladder::dial_with(Flow::Iv, |policy| {
        policy.caller_id = "sip:+15550000@example.com".into();
        policy.caller_name = "Sales".into();
    });
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    for leg in ["a", "b"] {
        let (_, invite) = t.last(leg, "INVITE");
        assert_eq!(
            (&*invite.from_uri, &*invite.from_display),
            ("sip:+15550000@example.com", "Sales"),
            "{leg}"
        );
    }
}

/// TPC-11: the inactive line of an IPv6 controller is at a name that reaches nobody.
#[test]
fn an_inactive_line_is_at_an_address_that_reaches_nobody() {
    let text = |host: &str| {
        let t = Ladder::dial_with(Flow::Iv, |policy| {
            policy.inactive_first = true;
            policy.host = host.into();
        });
        String::from_utf8(t.last("a", "INVITE").1.body.expect("an offer").content).expect("text")
    };
    assert!(text("192.0.2.1").contains("c=IN IP4 0.0.0.0\r\n"));
    assert!(text("2001:db8::1").contains("c=IN IP6 black-hole.invalid\r\n"));
    assert!(text("192.0.2.1").contains("a=inactive\r\n"));
}

/// UAC-25: a call that another request caused goes on with its hop budget.
#[test]
fn the_hop_budget_is_handed_on() {
    let mut t = Ladder::dial_with(Flow::Iv, |policy| policy.max_forwards = 17);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    assert_eq!(t.last("a", "INVITE").1.max_forwards, 17);
    assert_eq!(t.last("b", "INVITE").1.max_forwards, 17);
    assert_eq!(t.last("a", "ACK").1.max_forwards, 0, "within a dialog the usual number");
}

/// UAC-03, UAC-11: bodies that are not understood, and descriptions that cannot be read.
#[test]
fn unknown_bodies_are_refused_with_what_is_accepted() {
    let mut t = connected();
    let text = Body {
        content_type: "text/x".into(),
        content_disposition: String::new(),
        content: b"hello".to_vec(),
    };
    let packed = Body { content_type: "application/sdp".into(), ..text.clone() };
    t.request_with("a", "INVITE", Some(text.clone()), Vec::new());
    t.request_with("a", "INVITE", Some(packed), vec![Header::new("Content-Encoding", "gzip")]);
    t.request_with(
        "a",
        "UPDATE",
        Some(Body { content_disposition: "render;handling=optional".into(), ..text }),
        Vec::new(),
    );
    t.request("a", "INVITE", Some("not a description"));
    let may_be = "Accept: application/sdp, multipart/mixed Accept-Encoding: identity Accept-Language: en";
    t.expect(&format!(
        "
        A>C INVITE <text/x: hello>
        C>A 415 INVITE {may_be}
        A>C INVITE sdp[]
        C>A 415 INVITE {may_be}
        A>C UPDATE <text/x: hello>
        C>A 200 UPDATE
        A>C INVITE sdp[]
        C>A 488 INVITE Warning: 399 192.0.2.1 \"The session description cannot be read\"
        ",
    ));
}

/// OFA-05: the version rises with every change and stays where nothing changed.
#[test]
fn versions_rise_only_with_changes() {
    let mut t = connected();
    for (lines, version) in [
        (["audio 5000 sendonly"], 3),
        (["audio 5000"], 4),
        (["audio 5002"], 5),
        (["audio 5002"], 5),
        (["audio 5002 inactive"], 6),
    ] {
        let asked = t.request("b", "INVITE", Some(&sdp(&lines)));
        let offer = t.last("a", "INVITE").1.body.expect("an offer");
        let origin = String::from_utf8(offer.content).expect("text");
        assert_eq!(
            origin.lines().nth(1).and_then(|line| line.split(' ').nth(2)),
            Some(version.to_string().as_str())
        );
        t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
        t.ack("b", &asked, None);
    }
}

/// TMR-01: a session interval that is too small is raised once.
#[test]
fn the_session_interval_is_raised_to_min_se() {
    let mut t = Ladder::dial_with(Flow::Iv, |policy| policy.session_expires_s = 90);
    t.reply("a", "INVITE", Answer::new(422).header("Min-SE", "600"));
    let (_, again) = t.last("a", "INVITE");
    for name in ["Session-Expires", "Min-SE"] {
        let values: Vec<&str> = again
            .headers
            .iter()
            .filter(|header| header.name == name)
            .map(|header| header.value.as_str())
            .collect();
        assert_eq!(values, ["600"], "{name}");
    }
    t.reply("a", "INVITE", Answer::new(422).header("Min-SE", "900"));
    assert!(t.finished);
}

/// UAC-13: who says when to come back is not asked again, then or earlier; the outcome goes to the application, which may.
#[test]
fn a_leg_that_names_a_time_is_not_tried_before_it() {
    for status in [480, 486, 503, 600, 603] {
        for leg in ["a", "b"] {
            let mut t = Ladder::dial(Flow::Iv);
            if leg == "b" {
                t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
            }
            t.reply(leg, "INVITE", Answer::new(status).retry_after(30));
            assert!(t.call.outcome.is_some(), "{status} on {leg}");
            t.wait(Duration::from_secs(60));
            let invites = t.sent.iter().filter(|(on, _, sent)| on == leg && sent.method == "INVITE");
            assert_eq!(invites.count(), 1, "{status} on {leg}");
        }
    }
}

/// UAC-13: the same within a dialog, where only 491 and 500 are tried again.
#[test]
fn a_party_that_names_a_time_is_not_asked_within_the_dialog_before_it() {
    for status in [480, 486, 503, 600, 603] {
        let mut t = connected();
        let asked = t.request("b", "INVITE", Some(&sdp(&["audio 5000 sendonly"])));
        t.reply("a", "INVITE", Answer::new(status).retry_after(30));
        t.ack("b", &asked, None);
        let before = t.sent.len();
        t.wait(Duration::from_secs(60));
        assert_eq!(t.sent.len(), before, "{status}");
    }
}

/// UAC-12, UAC-13: a redirection goes on to its other contacts, and never back to one that named a time.
#[test]
fn a_contact_that_names_a_time_is_left_for_the_others() {
    let mut t = Ladder::dial(Flow::Iv);
    let contacts = ["<sip:x@example.com>", "<sip:y@example.com>"];
    t.reply("a", "INVITE", Answer::new(302).contacts(&contacts));
    assert_eq!(t.last("a", "INVITE").1.request_uri, "sip:x@example.com");
    t.reply("a", "INVITE", Answer::new(503).retry_after(30));
    assert_eq!(t.last("a", "INVITE").1.request_uri, "sip:y@example.com");
    t.reply("a", "INVITE", Answer::new(302).contacts(&contacts));
    assert!(t.finished);
    assert_eq!(t.sent.iter().filter(|(_, _, sent)| sent.method == "INVITE").count(), 3);
}

/// UAC-02: Require may name what Supported lists, and nothing else.
#[test]
fn an_extension_that_is_not_advertised_is_refused() {
    let mut t = connected();
    for (tag, status) in
        [("timer", "200"), ("100rel", "200"), ("replaces", "200"), ("Join", "200"), ("gruu", "420")]
    {
        t.lines.clear();
        t.request_with("a", "UPDATE", None, vec![Header::new("Require", tag)]);
        let unsupported = if status == "420" { format!(" Unsupported: {tag}") } else { String::new() };
        t.expect(&format!("A>C UPDATE\nC>A {status} UPDATE{unsupported}"));
    }
}

/// UPD-01, CCL-12, IMI-05: headers of every INVITE that Carillon sends.
#[test]
fn every_invite_says_what_carillon_can_do() {
    let mut t = Ladder::dial(Flow::Ringback);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    for (leg, accept) in [("a", "application/sdp, multipart/mixed"), ("b", "application/sdp")] {
        let (_, invite) = t.last(leg, "INVITE");
        let value = |name: &str| {
            let header = invite.headers.iter().find(|header| header.name == name).expect("the header");
            header.value.clone()
        };
        assert_eq!(value("Supported"), "100rel, timer, replaces, join, tdialog");
        assert_eq!(value("Accept"), accept);
        assert_eq!(
            value("Allow"),
            "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, REFER, NOTIFY"
        );
        assert_eq!(value("Session-Expires"), "1800");
        assert_eq!(value("Recv-Info"), "");
    }
}

fn connected() -> Ladder {
    let mut t = Ladder::dial(Flow::Iv);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.lines.clear();
    t
}
