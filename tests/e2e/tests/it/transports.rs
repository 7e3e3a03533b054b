//! Phones on TLS, WebSocket and WebSocket inside TLS, beside those on UDP and TCP.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use scripted_phone::{Answer, Happening, Remote, Script, Wire};
use test_support::{Authority, Baresip, Carillon, Starting, TestPhone, binary};

use crate::calls::{dial, hang_up};
use crate::wire::{Wire as Datagrams, status};

/// Every listener, with a certificate for `localhost`.
pub fn serving(authority: &Authority, variables: &[(&str, &str)]) -> Carillon {
    let arguments = listeners(authority);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let carillon = Starting::with(&arguments, variables).ready();
    for user in ["alice", "bob"] {
        carillon.account(&format!("sip:{user}@localhost"), "secret");
    }
    carillon
}

/// The arguments for them.
pub fn listeners(authority: &Authority) -> Vec<String> {
    let own = authority.issue("localhost", &["localhost"]);
    let file = |path: &Path| path.to_str().expect("an UTF-8 path").to_owned();
    let files = [("--tls-cert", own.certificate), ("--tls-key", own.key), ("--tls-ca", authority.file())];
    let files = files.iter().flat_map(|(flag, path)| [(*flag).to_owned(), file(path)]);
    let listeners = ["tls", "ws", "wss"].map(|scheme| format!("{scheme}://127.0.0.1:0"));
    files.chain(listeners.into_iter().flat_map(|listener| ["--sip".to_owned(), listener])).collect()
}

fn at_once() -> Script {
    Script { answer: Answer::After(Duration::ZERO), ..Script::default() }
}

pub async fn phone(carillon: &Carillon, authority: &Authority, user: &str, wire: Wire) -> TestPhone {
    let aor = format!("sip:{user}@localhost");
    match wire {
        Wire::Udp => TestPhone::registered(&carillon.sip, &aor, "secret", at_once()).await,
        Wire::Tcp | Wire::Tls | Wire::Ws | Wire::Wss => {
            TestPhone::on(carillon, wire, authority, &aor, "secret", at_once()).await
        }
    }
}

pub async fn connected(phone: &mut TestPhone) {
    phone.wait_for("the call", |h| matches!(h, Happening::Connected)).await;
}

pub async fn ended(phone: &mut TestPhone) -> Happening {
    phone.wait_for("the end", |h| matches!(h, Happening::Ended { .. })).await
}

/// TRN-09, TRN-10, TRN-11, TRN-12, TRN-06: a call between each two kinds, begun by one and ended by the other, each side by its own
/// connection.
#[tokio::test(flavor = "multi_thread")]
async fn phones_of_every_kind_call_each_other() {
    let authority = Authority::new();
    let carillon = serving(&authority, &[("CARILLON_SIP_ORIGINS", "https://phone.example")]);
    for (caller, callee) in [
        (Wire::Ws, Wire::Udp),
        (Wire::Udp, Wire::Ws),
        (Wire::Tls, Wire::Udp),
        (Wire::Udp, Wire::Tls),
        (Wire::Tls, Wire::Tcp),
        (Wire::Wss, Wire::Tls),
        (Wire::Ws, Wire::Wss),
    ] {
        let mut alice = phone(&carillon, &authority, "alice", caller).await;
        let mut bob = phone(&carillon, &authority, "bob", callee).await;
        alice.act(Remote::Dial("sip:bob@localhost".into())).await;
        connected(&mut alice).await;
        connected(&mut bob).await;
        bob.act(Remote::Hangup).await;
        ended(&mut alice).await;
        ended(&mut bob).await;
        for phone in [&alice, &bob] {
            phone.act(Remote::Unregister).await;
        }
        alice.wait_for("its leave", |h| matches!(h, Happening::Registered(_))).await;
        bob.wait_for("its leave", |h| matches!(h, Happening::Registered(_))).await;
    }
    assert_eq!(carillon.metric("carillon_edge_sip_total{event=\"internal_panics\"}"), 0.0);
}

/// TPC-12, TRN-12: the same phones, dialled by the application.
#[tokio::test(flavor = "multi_thread")]
async fn phones_of_every_kind_are_dialled() {
    let authority = Authority::new();
    let carillon = serving(&authority, &[]);
    for (a, b) in [(Wire::Ws, Wire::Tls), (Wire::Wss, Wire::Tcp), (Wire::Tls, Wire::Udp)] {
        let mut alice = phone(&carillon, &authority, "alice", a).await;
        let mut bob = phone(&carillon, &authority, "bob", b).await;
        let id = dial(&carillon, &[]);
        connected(&mut alice).await;
        connected(&mut bob).await;
        hang_up(&carillon, &id);
        ended(&mut alice).await;
        ended(&mut bob).await;
        for phone in [&mut alice, &mut bob] {
            phone.act(Remote::Unregister).await;
            phone.wait_for("its leave", |h| matches!(h, Happening::Registered(_))).await;
        }
    }
}

/// TRN-09: a phone that others wrote, with a certificate of an authority that it was told of.
#[test]
fn a_baresip_on_tls_and_one_on_udp_are_dialled_and_hung_up() {
    let authority = Authority::new();
    let carillon = serving(&authority, &[("CARILLON_REGISTRAR_ALGORITHMS", "MD5")]);
    let alice = Baresip::secured("alice", "secret", carillon.listener("tls"), &authority.file());
    let bob = Baresip::registered("bob", "secret", &carillon.sip, "udp");
    let id = dial(&carillon, &[]);
    for phone in [&alice, &bob] {
        phone.lines.wait_for("RTP", |l| l.contains("incoming rtp for 'audio' established"));
    }
    hang_up(&carillon, &id);
    for phone in [&alice, &bob] {
        phone.lines.wait_for("BYE", |l| l.contains("session closed"));
    }
    assert_eq!(carillon.metric("carillon_edge_sip_total{event=\"connections_opened\"}"), 0.0);
}

/// TRN-09: nothing with `sips` leaves in clear: who has only such a phone is not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_to_sips_does_not_reach_a_phone_in_clear() {
    let authority = Authority::new();
    let carillon = serving(&authority, &[]);
    let mut alice = phone(&carillon, &authority, "alice", Wire::Tls).await;
    let mut bob = phone(&carillon, &authority, "bob", Wire::Udp).await;
    alice.act(Remote::Dial("sips:bob@localhost".into())).await;
    let refused = alice.wait_for("a refusal", |h| matches!(h, Happening::Refused { .. })).await;
    assert!(matches!(refused, Happening::Refused { status: 480, .. }), "{refused:?}");
    alice.act(Remote::Dial("sip:bob@localhost".into())).await;
    connected(&mut bob).await;
    let invites =
        bob.seen().iter().filter(|h| matches!(h, Happening::Received(line) if line.starts_with("INVITE")));
    assert_eq!(invites.count(), 1);
}

/// TRN-09: nor where the registrar knows nothing of who is called: what goes along a Route in clear is held by the edge.
#[test]
fn a_request_to_sips_does_not_follow_a_route_in_clear() {
    let authority = Authority::new();
    let carillon = serving(&authority, &[("CARILLON_EDGE_TRUSTED", "127.0.0.0/8")]);
    let (neighbour, next) = (Datagrams::of(&carillon), Datagrams::of(&carillon));
    let route = format!("Route: <sip:{};lr>", next.address());
    for method in ["INVITE", "MESSAGE"] {
        let call_id = neighbour.request(&format!("{method} sips:bob@example.org"), &[&route]);
        assert_eq!(status(&neighbour.answer_to(&call_id)), 480);
        next.expect_nothing();
        // The way is open but for that.
        let call_id = neighbour.request(&format!("{method} sip:bob@example.org"), &[&route]);
        next.respond(&next.receive_request(method), "486 Busy Here", &[]);
        if method == "INVITE" {
            next.receive_request("ACK");
        }
        assert_eq!(status(&neighbour.answer_to(&call_id)), 486);
    }
}

/// SEC-04: a new certificate is shown after SIGHUP, a broken one never; the metric tells when it ends.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_renewed_without_a_restart() {
    let authority = Authority::new();
    let carillon = serving(&authority, &[]);
    let expiry = "carillon_tls_certificate_expiry_seconds{domain=";
    assert!(carillon.metric(&format!("{expiry}\"localhost\"}}")) > 1.8e9);
    let hang_up = || {
        let sent = Command::new("kill").args(["-HUP", &carillon.pid().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the process runs");
    };
    let renewed = authority.issue("localhost", &["localhost", "renewed.example"]);
    hang_up();
    carillon.log.wait_for("the new certificate", |l| l.contains("new TLS certificates"));
    assert!(carillon.metric(&format!("{expiry}\"renewed.example\"}}")) > 1.8e9);
    std::fs::write(&renewed.certificate, "nonsense").unwrap();
    hang_up();
    carillon.log.wait_for("what is wrong", |l| l.contains("cannot be used") && l.contains("localhost.crt"));
    assert_eq!(carillon.metric("carillon_tls_reloads_total{outcome=\"refused\"}"), 1.0);
    phone(&carillon, &authority, "alice", Wire::Tls).await;
}

/// A process says what is missing before it listens.
#[test]
fn a_listener_for_tls_without_a_certificate_is_told_at_the_start() {
    let mut serve = Command::new(binary());
    let done =
        serve.args(["serve", "--sip", "udp://127.0.0.1:0", "--sip", "tls://127.0.0.1:0"]).output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success() && told.contains("--tls-cert"), "{told}");
}
