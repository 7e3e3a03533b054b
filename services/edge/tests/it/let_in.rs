//! What the mark of a dialog opens to who knows it, which are both sides of the dialog and nobody else. PXY-27, ADR 10

use std::sync::Arc;
use std::time::Duration;

use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Refuse, RouteRequest};
use sip_message::{HeaderId, Message};

use crate::peer::{Peer, text, values};
use crate::rig::Rig;
use crate::services::{FakeLocation, fork_to};

/// What a UA does also outside a dialog, or when it looks at no tags.
const BEGINNING: [&str; 7] = ["INVITE", "MESSAGE", "REFER", "SUBSCRIBE", "NOTIFY", "OPTIONS", "FOO"];
/// What only a dialog gives a meaning.
const WITHIN: [&str; 5] = ["ACK", "PRACK", "INFO", "UPDATE", "BYE"];

/// PXY-27: a side leads nobody anywhere under a name that is not one of the two, in whichever direction.
#[tokio::test]
async fn the_mark_of_a_dialog_opens_nothing_under_another_name() {
    let call = Call::new().await;
    let victim = call.rig.peer().await;
    let (alice, bob) = ("From: <sip:alice@example.com>;tag=at", "From: <sip:bob@example.com>;tag=bt");
    for method in BEGINNING {
        for (from, to) in [
            ("From: <sip:mallory@example.org>;tag=at", "To: <sip:bob@example.com>;tag=bt"),
            (alice, "To: <sip:victim@example.com>;tag=bt"),
            (alice, "To: <sip:victim@example.com>"),
            ("From: <sip:mallory@example.org>;tag=bt", "To: <sip:alice@example.com>;tag=at"),
            (bob, "To: <sip:victim@example.com>;tag=at"),
        ] {
            let status = call.send(&call.alice, method, &victim, from, to).await.status();
            assert_eq!(status, Some(403), "{method} {from} {to}");
        }
    }
    victim.expect_nothing().await;
}

/// PXY-26: each side under its name reaches the other, however it writes the two; and what needs the dialog does under any.
#[tokio::test]
async fn both_sides_pass_by_the_mark_of_their_dialog() {
    let call = Call::new().await;
    for method in BEGINNING.into_iter().chain(WITHIN) {
        for (from, to) in [
            (
                "From: \"A\" <sip:alice@EXAMPLE.com;user=phone>;tag=at",
                "To: <sips:bob@example.com:5061>;tag=bt",
            ),
            ("From: <sip:bob@example.com>;tag=bt", "To: <sip:%61lice@example.com>;tag=at"),
        ] {
            call.passes(method, from, to).await;
        }
    }
    // RFC 4916 4.2
    for method in WITHIN {
        call.passes(method, "From: <sip:carol@example.com>;tag=bt", "To: <sip:alice@example.com>;tag=at")
            .await;
        call.passes(method, "From: <sip:alice@example.com>;tag=at", "To: <sip:carol@example.com>;tag=bt")
            .await;
    }
    assert_eq!(call.location.routed.lock().unwrap().len(), 1, "nothing but the first INVITE was asked about");
}

/// PXY-27, RFC 4916: who takes another name and proves it goes on along the route of the dialog.
#[tokio::test]
async fn who_proves_to_be_somebody_goes_on_under_another_name() {
    let call = Call::new().await;
    *call.location.identity.lock().unwrap() = "sip:carol@example.com".into();
    call.passes("INVITE", "From: <sip:carol@example.com>;tag=bt", "To: <sip:alice@example.com>;tag=at").await;
    assert_eq!(call.location.routed.lock().unwrap().len(), 2);
}

/// PXY-27: a dialog that is over is not opened for ever, and one that goes on longer than anybody thought still ends.
#[tokio::test]
async fn the_mark_of_a_dialog_opens_it_for_a_time() {
    let call = Call::new().await;
    let (from, to) = ("From: <sip:alice@example.com>;tag=at", "To: <sip:bob@example.com>;tag=bt");
    // The hour in which it began counts as a whole one.
    call.rig.goes_on(Duration::from_secs(3600));
    call.passes("INVITE", from, to).await;
    call.rig.goes_on(Duration::from_secs(3600));
    for method in BEGINNING {
        let status = call.send(&call.alice, method, &call.bob, from, to).await.status();
        assert_eq!(status, Some(403), "{method}");
    }
    for method in WITHIN {
        call.passes(method, from, to).await;
    }
}

/// A call between Alice and Bob, whom the registrar knew then and does not let anybody reach since.
struct Call {
    rig: Rig,
    location: Arc<FakeLocation>,
    alice: Peer,
    bob: Peer,
    route: String,
    number: std::cell::Cell<u32>,
}

impl Call {
    async fn new() -> Self {
        let bob = Peer::unbound().await;
        let contact = format!("sip:bob@{}", bob.address());
        let plan = move |request: &RouteRequest| match request.request_uri.as_str() {
            "sip:bob@example.com" => fork_to(std::slice::from_ref(&contact)),
            _ if request.from_uri.contains("carol") => Plan::Relay(cluster_api::registrar::v1::Relay {}),
            _ => Plan::Refuse(Refuse { status: 403, ..Refuse::default() }),
        };
        let location = FakeLocation::planning(plan);
        let hours = |config: &mut edge::Config| config.dialog_lifetime = Duration::from_secs(3600);
        let rig = Rig::configured(location.clone(), hours).await;
        let (alice, bob) = (rig.peer().await, bob.toward(rig.address));
        let contact = format!("Contact: <sip:alice@{}>", alice.address());
        let lines =
            ["From: <sip:alice@example.com>;tag=at", "To: <sip:bob@example.com>", "Call-ID: c1", &contact];
        alice.request("INVITE sip:bob@example.com", "a1", &lines).await;
        let invite = bob.receive_request("INVITE").await;
        bob.respond(&invite, "200 OK", "bt", &[&format!("Contact: <sip:bob@{}>", bob.address())]).await;
        let answered = alice.receive_status(200).await;
        let route = format!("Route: {}", values(&answered, HeaderId::RecordRoute).join(", "));
        assert!(route.contains(";d="), "{route}");
        Self { rig, location, alice, bob, route, number: 1.into() }
    }

    async fn request(&self, by: &Peer, method: &str, target: &Peer, from: &str, to: &str) -> String {
        let number = self.number.get() + 1;
        self.number.set(number);
        let (branch, cseq) = (format!("n{number}"), format!("CSeq: {number} {method}"));
        let uri = format!("{method} sip:x@{}", target.address());
        by.request(&uri, &branch, &[from, to, "Call-ID: c1", &self.route, &cseq]).await;
        cseq
    }

    /// Sends a request to somebody along the route of the call, and waits for its answer.
    async fn send(&self, by: &Peer, method: &str, target: &Peer, from: &str, to: &str) -> Message {
        let cseq = self.request(by, method, target, from, to).await;
        loop {
            let answer = by.receive_past_100().await;
            if text(&answer).contains(&cseq) {
                return answer;
            }
        }
    }

    /// Sends a request along the route of the call, which reaches Bob.
    async fn passes(&self, method: &str, from: &str, to: &str) {
        let cseq = self.request(&self.alice, method, &self.bob, from, to).await;
        loop {
            let request = self.bob.receive().await;
            if text(&request).contains(&cseq) {
                if method != "ACK" {
                    self.bob.respond(&request, "200 OK", "", &[]).await;
                }
                return;
            }
        }
    }
}
