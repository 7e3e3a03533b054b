//! Calls that are not answered: INVITEs that cannot be served, and what the callee's refusals become.

use call_control::engine::call::OutcomeKind;
use call_control::engine::effect::{Body, Header};
use call_control::engine::event::{CallReceived, FailureCause};

use super::{called, invite, said, value, without_timer};
use crate::ladder::{Answer, Ladder, sdp};

/// UAC-25: the last hop is spent, and no leg is made; so a call that meets itself ends.
#[test]
fn a_call_without_hops_is_refused() {
    for hops in [0, 1] {
        let t = called(CallReceived { max_forwards: hops, ..invite() });
        assert_eq!(said(&t, "a-invite").status, 483);
        assert_eq!(t.call.legs.len(), 1);
    }
    let t = called(CallReceived { max_forwards: 2, ..invite() });
    assert_eq!(t.last("b", "INVITE").1.max_forwards, 1);
}

/// LAD-6: the service that calls back answers no call, whatever it offers or requires.
#[test]
fn the_service_that_calls_back_is_not_available() {
    let to = |uri: &str| CallReceived { request_uri: uri.into(), require: vec!["foo".into()], ..invite() };
    let t = called(to("sip:callback@example.com"));
    assert_eq!(said(&t, "a-invite").status, 480);
    assert_eq!(t.call.legs.len(), 1);
    assert_eq!(said(&called(to("sip:callback2@example.com")), "a-invite").status, 420);
}

/// UAC-02: an extension that is required and unknown.
#[test]
fn an_unknown_extension_is_named() {
    let t = called(CallReceived { require: vec!["foo".into(), "100rel".into()], ..invite() });
    let said = said(&t, "a-invite");
    assert_eq!((said.status, value(&said.headers, "Unsupported")), (420, Some("foo")));
}

/// UAC-08: 421 only where the operator demands an extension, and naming it.
#[test]
fn a_demanded_extension_is_asked_for() {
    let demanding = |supported: &[&str]| {
        let supported = supported.iter().map(|tag| tag.to_string()).collect();
        Ladder::called(CallReceived { supported, ..invite() }, |policy| policy.demands_timer = true)
    };
    let refused = said(&demanding(&["100rel"]), "a-invite");
    assert_eq!((refused.status, value(&refused.headers, "Require")), (421, Some("timer")));
    assert!(demanding(&["timer"]).call.outcome.is_none());
    assert!(called(invite()).call.outcome.is_none(), "by default nothing is demanded");
}

/// UAC-10: what is encrypted for somebody else is 493; where it may be ignored, it is.
#[test]
fn an_encrypted_body_cannot_be_read() {
    let body = |content_type: &str, content: &str| {
        Some(Body {
            content_type: content_type.into(),
            content: content.as_bytes().to_vec(),
            ..Body::default()
        })
    };
    let enveloped = "application/pkcs7-mime;smime-type=enveloped-data;name=smime.p7m";
    let t = called(CallReceived { body: body(enveloped, "\u{30}secret"), ..invite() });
    assert_eq!(said(&t, "a-invite").status, 493);
    let mixed = |handling: &str| {
        let text = format!(
            "--b\r\nContent-Type: application/sdp\r\n\r\n{}\r\n--b\r\nContent-Type: {enveloped}\r\n\
             Content-Disposition: attachment;handling={handling}\r\n\r\nsecret\r\n--b--\r\n",
            sdp(&["audio 4000"])
        );
        called(CallReceived { body: body("multipart/mixed;boundary=b", &text), ..invite() })
    };
    assert_eq!(said(&mixed("required"), "a-invite").status, 493);
    assert!(mixed("optional").call.outcome.is_none());
}

/// UAC-03, UAC-04, UAC-11, TMR-01: bodies, answers and sessions that will not do.
#[test]
fn what_cannot_be_served_says_what_could() {
    let text = Body { content_type: "text/x".into(), content: b"hello".to_vec(), ..Body::default() };
    let asked = |change: &dyn Fn(&mut CallReceived)| {
        let mut invite = invite();
        change(&mut invite);
        said(&called(invite), "a-invite")
    };
    let unknown = asked(&|invite| invite.body = Some(text.clone()));
    assert_eq!((unknown.status, value(&unknown.headers, "Accept").is_some()), (415, true));
    let packed = asked(&|invite| invite.headers = vec![Header::new("Content-Encoding", "gzip")]);
    assert_eq!(packed.status, 415);
    let unread = asked(&|invite| invite.body = Some(Body::sdp(b"no session".to_vec())));
    assert_eq!((unread.status, value(&unread.headers, "Warning").is_some()), (488, true));
    let picky = asked(&|invite| invite.headers = vec![Header::new("Accept", "text/plain")]);
    assert_eq!(picky.status, 406);
    let short = asked(&|invite| {
        invite.headers = vec![Header::new("Session-Expires", "30")];
        invite.supported = vec!["timer".into()];
    });
    assert_eq!((short.status, value(&short.headers, "Min-SE")), (422, Some("90")));
    for fine in ["application/sdp, text/plain", "application/*;q=0.1", "*/*"] {
        let t = called(CallReceived { headers: vec![Header::new("Accept", fine)], ..invite() });
        assert!(t.call.outcome.is_none(), "{fine}");
    }
}

/// UAC-14, UAC-06, UAC-11: the callee's refusal is the caller's, but for what it could do nothing about.
#[test]
fn a_refusal_is_handed_on() {
    for (status, shown) in [
        (404, 404),
        (408, 408),
        (480, 480),
        (484, 484),
        (485, 485),
        (486, 486),
        (488, 488),
        (499, 499),
        (600, 600),
        (603, 603),
        (606, 606),
        (699, 699),
        (401, 403),
        (407, 403),
        (420, 500),
        (421, 500),
        (503, 500),
        (513, 513),
    ] {
        let mut t = called(invite());
        t.reply("b", "INVITE", 180);
        t.reply("b", "INVITE", status);
        if t.call.outcome.is_none() {
            // 420 is healed once (UAC-13)
            t.reply("b", "INVITE", status);
        }
        let refused = said(&t, "a-invite");
        assert_eq!(refused.status, shown, "{status}");
        let reason = value(&refused.headers, "Reason").unwrap_or_default();
        assert_eq!(reason.contains(&format!("cause={status}")), status != shown, "{status}: {reason}");
    }
}

/// UAC-11, UAC-13: why, and when to come back, goes with it; how to ask with other credentials does not.
#[test]
fn a_refusal_says_why_and_when() {
    let mut t = called(invite());
    let busy = Answer::new(486)
        .retry_after(30)
        .header("Warning", "399 h \"on the phone\"")
        .header("Reason", "Q.850;cause=17")
        .header("Server", "x");
    t.reply("b", "INVITE", busy);
    let refused = said(&t, "a-invite");
    let names: Vec<&str> = refused.headers.iter().map(|header| header.name.as_str()).collect();
    assert_eq!(names, ["Warning", "Reason", "Retry-After"]);
}

/// UAC-12: a redirection that may not be followed is the caller's to follow.
#[test]
fn a_redirection_that_is_not_followed_is_handed_on() {
    let mut t = Ladder::called(invite(), |policy| policy.max_redirects = 0);
    t.reply("b", "INVITE", Answer::new(302).contacts(&["<sip:carol@example.net>"]));
    let refused = said(&t, "a-invite");
    assert_eq!((refused.status, value(&refused.headers, "Contact")), (302, Some("<sip:carol@example.net>")));
}

/// A callee that is not reached at all.
#[test]
fn silence_becomes_a_refusal() {
    for (cause, status) in [(FailureCause::Timeout, 408), (FailureCause::Transport, 500)] {
        let mut t = Ladder::called(invite(), without_timer);
        t.silence("b", "INVITE", cause);
        assert_eq!(said(&t, "a-invite").status, status);
        let outcome = t.call.outcome.clone().expect("an outcome");
        assert_eq!((outcome.kind(), outcome.ended_by.as_str()), (OutcomeKind::Unreachable, "carillon"));
    }
}

/// MSG-17: what a Contact would put into the INVITE is not for who redirects to say.
#[test]
fn headers_of_a_redirection_stay_out_of_the_next_invite() {
    let mut t = called(invite());
    let contact = "<sip:carol@example.net?Route=%3Csip:evil%3E&Subject=x&From=%3Csip:eve@h%3E>";
    t.reply("b", "INVITE", Answer::new(302).contacts(&[contact]));
    let (_, next) = t.last("b", "INVITE");
    assert_eq!(next.request_uri, "sip:carol@example.net");
    let is_evil = |name: &str| ["Route", "Subject", "From"].contains(&name);
    assert!(next.headers.iter().all(|header| !is_evil(&header.name)), "{:?}", next.headers);
}
