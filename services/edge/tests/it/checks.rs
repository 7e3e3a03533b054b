//! Requests that are refused, or answered by the edge itself.

use std::time::Duration;

use cluster_api::registrar::v1::Refuse;
use cluster_api::registrar::v1::route_response::Plan;
use sip_message::HeaderId;
use tonic::Status;

use crate::calls::{ring, two_phones};
use crate::peer::{Peer, values};
use crate::rig::Rig;
use crate::services::{FakeLocation, fork_to};

/// IMI-01
#[tokio::test]
async fn options_to_the_edge_says_what_it_can_do() {
    let (_rig, alice, _) = edge().await;
    let answer = send(&alice, "OPTIONS sip:example.com", &[]).await;
    assert_eq!(answer.0, 200);
    assert_eq!(values(&answer.1, HeaderId::Supported), ["path", "gruu", "outbound", "100rel", "timer"]);
    assert_eq!(values(&answer.1, HeaderId::Accept), ["application/sdp"]);
    assert!(!answer.1.has(HeaderId::Allow), "a proxy forwards what it does not know");
}

/// UAC-01, UAC-02, UAC-04, UAC-05, PXY-02, PXY-06, PXY-05, MSG-02, REG-08
#[tokio::test]
async fn each_check_has_its_status() {
    let (_rig, alice, location) = edge().await;
    for (start, lines, status) in [
        ("REFER sip:example.com", &[][..], 405),
        ("FOO sip:example.com", &[], 501),
        ("options sip:example.com", &[], 501),
        ("OPTIONS sip:example.com", &["Require: foo"], 420),
        ("OPTIONS sip:example.com", &["Accept: text/nobody"], 406),
        ("OPTIONS sip:example.com", &["Accept: text/plain"], 200),
        ("OPTIONS sip:example.com", &["Accept:"], 200),
        ("OPTIONS sip:example.com", &["Proxy-Require: foo"], 420),
        ("REGISTER sip:example.com", &["Proxy-Require: foo"], 420),
        ("REGISTER tel:+4930123", &[], 416),
        ("REGISTER sip:example.com", &["Contact: *", "Contact: *", "Expires: 0"], 400),
        ("REGISTER sip:example.com", &["Contact: *, *", "Expires: 0"], 400),
        ("INVITE nobody:x", &[], 416),
        ("INVITE sip:bob@example.com", &["Max-Forwards: 0"], 483),
        ("INVITE sip:bob@example.com", &["Max-Breadth: 0"], 440),
        ("INVITE sip:bob@example.com", &["Proxy-Require: foo"], 420),
        ("INVITE sip:bob@example.com", &["Route: <sip:x"], 400),
        ("INVITE sip:bob@example.com", &["CSeq: 1 BYE"], 400),
    ] {
        let (seen, _) = send(&alice, start, lines).await;
        assert_eq!(seen, status, "{start} {lines:?}");
    }
    assert!(location.routed.lock().unwrap().is_empty(), "none of them needed a decision");
    assert!(location.registered.lock().unwrap().is_empty(), "nor the registrar");
}

/// UAC-01, UAC-02
#[tokio::test]
async fn a_refusal_says_what_would_do() {
    let (_rig, alice, _) = edge().await;
    let (_, refused) = send(&alice, "REFER sip:example.com", &[]).await;
    assert_eq!(values(&refused, HeaderId::Allow), ["OPTIONS", "REGISTER"]);
    let (_, refused) = send(&alice, "OPTIONS sip:example.com", &["Require: foo, 100rel, path"]).await;
    assert_eq!(values(&refused, HeaderId::Unsupported), ["foo"]);
    let (_, refused) =
        send(&alice, "REGISTER sip:example.com", &["Contact: *", "Contact: *", "Expires: 0"]).await;
    assert_eq!(refused.reason(), b"More Than One Contact");
    assert!(refused.first_str(HeaderId::Warning).unwrap().contains("Contact: more than one value"));
}

/// UAC-03: a body that the edge does not read is refused with what it would read.
#[tokio::test]
async fn a_refused_body_is_told_what_would_do() {
    let (_rig, alice, _) = edge().await;
    for (method, kind) in [
        ("OPTIONS", "text/x"),
        ("OPTIONS", "application/sdp\r\nContent-Encoding: gzip"),
        ("REGISTER", "text/plain"),
    ] {
        let mut text = format!(
            "{method} sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bK{}\r\nMax-Forwards: 70\r\n",
            alice.address(),
            kind.len()
        );
        for line in WHO {
            text.push_str(&format!("{line}\r\n"));
        }
        text.push_str(&format!("CSeq: 1 {method}\r\nContent-Type: {kind}\r\nContent-Length: 1\r\n\r\nx"));
        alice.raw(&text).await;
        let refused = alice.receive_past_100().await;
        assert_eq!(refused.status(), Some(415), "{method} {kind}");
        assert_eq!(values(&refused, HeaderId::Accept), ["application/sdp"]);
        assert_eq!(values(&refused, HeaderId::AcceptEncoding), ["identity"]);
        assert_eq!(values(&refused, HeaderId::AcceptLanguage), ["en"]);
    }
}

/// PXY-01, MSG-06
#[tokio::test]
async fn unknown_methods_and_broken_headers_are_forwarded() {
    let (bob, alice) = (Peer::unbound().await, Peer::unbound().await);
    let uri = format!("sip:bob@{}", bob.address());
    let rig = Rig::with(FakeLocation::planning(move |_| fork_to(std::slice::from_ref(&uri)))).await;
    let [alice, bob] = [alice, bob].map(|peer| peer.toward(rig.address));
    let mut lines = WHO.to_vec();
    lines.extend(["Date: no date", "X-Foo: bar;weird=1"]);
    alice.request("FOO sip:bob@example.com", "f1", &lines).await;
    let request = bob.receive_request("FOO").await;
    assert_eq!(request.named("x-foo").next(), Some(&b"bar;weird=1"[..]));
    assert_eq!(request.named("date").next(), Some(&b"no date"[..]));
    bob.respond(&request, "299 Fine", "bt", &[]).await;
    alice.receive_status(299).await;
}

/// PXY-03, PXY-04
#[tokio::test]
async fn a_request_that_comes_back_unchanged_is_a_loop_and_a_changed_one_a_spiral() {
    let relay = Peer::unbound().await;
    let uri = format!("sip:bob@{}", relay.address());
    let rig = Rig::with(FakeLocation::planning(move |_| fork_to(std::slice::from_ref(&uri)))).await;
    let (alice, relay) = (rig.peer().await, relay.toward(rig.address));
    alice.request("MESSAGE sip:bob@example.com", "m1", &WHO).await;
    let out = relay.receive_request("MESSAGE").await;
    let vias: Vec<String> = values(&out, HeaderId::Via).iter().map(|via| format!("Via: {via}")).collect();
    let mut lines: Vec<&str> = vias.iter().map(String::as_str).collect();
    lines.extend(WHO);
    relay.request("MESSAGE sip:bob@example.com", "back", &lines).await;
    let looped = relay.receive().await;
    assert_eq!(looped.status(), Some(482));
    relay.request("MESSAGE sip:bob@example.com;x=1", "spiral", &lines).await;
    assert_eq!(relay.receive().await.request_uri(), out.request_uri(), "a spiral goes on");
}

/// F11: the registrar does not answer.
#[tokio::test]
async fn without_a_decision_the_answer_is_503() {
    let location = FakeLocation::answering(|_| Err(Status::unavailable("down")));
    let rig = Rig::with(location).await;
    let alice = rig.peer().await;
    let (status, answer) = send(&alice, "INVITE sip:bob@example.com", &[]).await;
    assert_eq!(status, 503);
    let seconds: u32 = answer.first_str(HeaderId::RetryAfter).unwrap().parse().unwrap();
    assert!((1..=10).contains(&seconds));
}

/// Section 7 of the design: a draining edge takes nothing new, and what belongs to a dialog goes on.
#[tokio::test]
async fn a_draining_edge_refuses_what_is_new_and_serves_dialogs() {
    let (rig, alice, bob, _) = two_phones().await;
    let invite = ring(&alice, &bob).await;
    let route = format!("Route: {}", values(&invite, HeaderId::RecordRoute).join(", "));
    let contact = format!("Contact: <sip:bob@{}>", bob.address());
    bob.respond(&invite, "200 OK", "bt", &[&contact]).await;
    let answered = alice.receive_status(200).await;
    rig.drain.begin();
    let (status, answer) = send(&alice, "INVITE sip:bob@example.com", &[]).await;
    assert_eq!(status, 503);
    let seconds: u32 = answer.first_str(HeaderId::RetryAfter).unwrap().parse().unwrap();
    assert!((1..=10).contains(&seconds));
    let line = |name: &str, id| format!("{name}: {}", answered.first_str(id).unwrap());
    let (from, to) = (line("From", HeaderId::From), line("To", HeaderId::To));
    let call_id = line("Call-ID", HeaderId::CallId);
    alice.request(&format!("BYE sip:bob@{}", bob.address()), "b1", &[&from, &to, &call_id, &route]).await;
    let bye = bob.receive_request("BYE").await;
    assert!(!rig.drain.state().is_complete(), "{:?}", rig.drain.state());
    bob.respond(&bye, "200 OK", "", &[]).await;
    loop {
        // The 200 of the INVITE is repeated to a caller that does not acknowledge it.
        if alice.receive_status(200).await.method_str() == "BYE" {
            break;
        }
    }
}

/// PXY-27: a To tag and our name in Route make no dialog; only the mark that an edge put there does.
#[tokio::test]
async fn a_stranger_cannot_pretend_to_be_in_a_dialog() {
    let (rig, alice, _) = edge().await;
    let victim = rig.peer().await;
    let target = format!("sip:x@{}", victim.address());
    for mark in ["", ";d=AAAAAAAAAAAAAA"] {
        let route = format!("Route: <sip:{};lr{mark}>", rig.address);
        let lines = [
            "From: <sip:mallory@example.org>;tag=m",
            "To: <sip:x@example.com>;tag=t",
            "Call-ID: evil",
            &route,
        ];
        alice.request(&format!("INVITE {target}"), &format!("s{}", mark.len()), &lines).await;
        let status = alice.receive_past_100().await.status();
        assert!(status >= Some(400), "{status:?}");
    }
    victim.expect_nothing().await;
}

/// OVL-03: an edge whose rounds stay longer than it is let refuses what is new without Retry-After. Which delay that is, and for how
/// long, is shown in virtual time by the tests of `operate/pressure.rs`; here no round is short enough.
#[tokio::test]
async fn a_loop_that_cannot_keep_up_refuses_what_is_new() {
    let refuse = |_: &_| Plan::Refuse(Refuse { status: 404, ..Refuse::default() });
    let rig = Rig::configured(FakeLocation::planning(refuse), |config| {
        (config.overload_delay, config.overload_interval) = (Duration::ZERO, Duration::ZERO);
    })
    .await;
    let alice = rig.peer().await;
    let count = 80;
    for number in 0..count {
        let call_id = format!("Call-ID: heavy{number}");
        let lines = [WHO[0], WHO[1], &call_id];
        alice.request("MESSAGE sip:bob@example.com", &format!("h{number}"), &lines).await;
    }
    let mut refused = 0;
    for _ in 0..count {
        let answer = alice.receive_past_100().await;
        match answer.status() {
            // The first ones come before a round was measured.
            Some(404) => {}
            Some(503) => refused += 1,
            other => panic!("{other:?}"),
        }
        assert!(!answer.has(HeaderId::RetryAfter));
    }
    assert!(refused > 0);
}

/// PXY-27
#[tokio::test]
async fn a_route_to_somebody_else_is_obeyed_for_nobody_we_do_not_know() {
    let (rig, alice, _) = edge().await;
    let victim = rig.peer().await;
    let route = format!("Route: <sip:{};lr>, <sip:{};lr>", rig.address, victim.address());
    let (status, _) = send(&alice, "INVITE sip:bob@example.com", &[&route]).await;
    assert_eq!(status, 403);
    victim.expect_nothing().await;
}

/// UAC-09, LAD-10 R8
#[tokio::test]
async fn a_cancel_of_nothing_is_481() {
    let (_rig, alice, _) = edge().await;
    let (status, _) = send(&alice, "CANCEL sip:bob@example.com", &[]).await;
    assert_eq!(status, 481);
}

const WHO: [&str; 3] = ["From: <sip:alice@example.com>;tag=at", "To: <sip:bob@example.com>", "Call-ID: c1"];

/// An edge whose registrar finds Bob at an address where nobody is.
async fn edge() -> (Rig, Peer, std::sync::Arc<FakeLocation>) {
    let location = FakeLocation::planning(|_| fork_to(&["sip:bob@127.0.0.1:9".to_owned()]));
    let rig = Rig::with(location.clone()).await;
    let alice = rig.peer().await;
    (rig, alice, location)
}

/// Sends a request of its own Call-ID and gives back how it was answered.
async fn send(alice: &Peer, start: &str, more: &[&str]) -> (u16, sip_message::Message) {
    use ambient::Entropy;
    let token = ambient::SystemEntropy.token(8);
    let call_id = format!("Call-ID: {token}");
    let mut lines = vec![WHO[0], WHO[1], call_id.as_str()];
    lines.extend(more);
    alice.request(start, &token, &lines).await;
    // Answers to earlier INVITEs come again: nobody acknowledged them.
    loop {
        let answer = alice.receive_past_100().await;
        if answer.call_id() == Ok(token.as_bytes()) {
            return (answer.status().unwrap_or(0), answer);
        }
    }
}
