//! What an edge leaves as it came, what it adds, and how far a request may branch.

use sip_message::{HeaderId, Message};

use crate::forwarding::{INVITE, uri_of};
use crate::peer::{Peer, response_to, text, values};
use crate::rig::Rig;
use crate::services::{FakeLocation, fork_to};

/// PXY-11: bodies and what is not understood pass byte for byte, there and back; what the edge adds and takes is known.
#[tokio::test]
async fn a_message_passes_as_it_came() {
    let (_rig, alice, [bob]) = forking().await;
    let body = "v=0\r\n\r\n--x\r\n\t\u{fffd}é;,\"\\ \r\n..";
    let odd = "X-Odd :  a ,b;\"c\r\n k:   100rel\r\nDate: no date\r\ns:\r\nContent-Type: text/x;y=\"z\"\r\n";
    // The folded line begins with white space and belongs to the one before.
    let asked = format!(
        "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKa1\r\n{odd}{}\r\nCSeq: 1 INVITE\r\n\
         Max-Forwards: 70\r\nContact: <{}>\r\nContent-Length: {}\r\n\r\n{body}",
        alice.address(),
        INVITE.join("\r\n"),
        uri_of(&alice),
        body.len()
    );
    alice.raw(&asked).await;
    let at_bob = bob.receive_request("INVITE").await;
    let untouched = |line: &str| !line.starts_with("Via:") && !line.starts_with("Max-Forwards:");
    let (mut came, mut went) = (lines(&asked), lines(&text(&at_bob)));
    came.remove(0);
    assert_eq!(went.remove(0), format!("INVITE {} SIP/2.0", uri_of(&bob)));
    let added = ["Record-Route:", "Max-Breadth: 60"];
    came.retain(|line| untouched(line));
    went.retain(|line| untouched(line) && !added.iter().any(|name| line.starts_with(name)));
    assert_eq!(went, came);

    let answer = response_to(&at_bob, "200 Fine, \"thanks\"", "bt", &[]);
    let answer = answer
        .replace("Content-Length: 0\r\n\r\n", &format!("{odd}Content-Length: {}\r\n\r\n{body}", body.len()));
    bob.raw(&answer).await;
    let at_alice = alice.receive_status(200).await;
    let (mut came, went) = (lines(&answer), lines(&text(&at_alice)));
    let own_via = came.iter().position(|line| line.starts_with("Via:")).expect("it was copied");
    came.remove(own_via);
    assert_eq!(went, came);
}

/// PXY-12: only what can form a dialog is recorded, each value with `lr`; within a dialog nothing is.
#[tokio::test]
async fn only_what_forms_a_dialog_is_recorded() {
    let (_rig, alice, [bob]) = forking().await;
    let contact = format!("Contact: <{}>", uri_of(&alice));
    for (number, (method, is_recorded)) in [
        ("INVITE", true),
        ("SUBSCRIBE", true),
        ("REFER", true),
        ("MESSAGE", false),
        ("OPTIONS", false),
        ("INFO", false),
        ("PUBLISH", false),
        ("FOO", false),
    ]
    .into_iter()
    .enumerate()
    {
        let call_id = format!("Call-ID: r{number}");
        let lines = [INVITE[0], INVITE[1], &call_id, &contact];
        alice.request(&format!("{method} sip:bob@example.com"), &format!("r{number}"), &lines).await;
        let request = past(&bob, method).await;
        let recorded = values(&request, HeaderId::RecordRoute);
        assert_eq!(!recorded.is_empty(), is_recorded, "{method}");
        assert!(recorded.iter().all(|value| value.contains(";lr")), "{recorded:?}");
        bob.respond(&request, "486 Busy Here", "bt", &[]).await;
        alice.receive_status(486).await;
    }
}

/// PXY-05: what a request may branch into is shared out among those that ring at once, and used again when one has failed.
#[tokio::test]
async fn a_request_branches_no_further_than_it_may() {
    let (_rig, alice, phones) = forking::<3>().await;
    let mut lines = INVITE.to_vec();
    lines.push("Max-Breadth: 2");
    alice.request("INVITE sip:bob@example.com", "b1", &lines).await;
    let breadth = |request: &Message| request.number(HeaderId::MaxBreadth);
    let first = phones[0].receive_request("INVITE").await;
    let second = phones[1].receive_request("INVITE").await;
    assert_eq!((breadth(&first), breadth(&second)), (Ok(Some(1)), Ok(Some(1))));
    phones[2].expect_nothing().await;
    phones[1].respond(&second, "486 Busy Here", "t1", &[]).await;
    let third = phones[2].receive_request("INVITE").await;
    assert_eq!(breadth(&third), Ok(Some(1)));
}

/// PXY-03: one way of a fork that leads back ends there, and the other phone rings on.
#[tokio::test]
async fn a_branch_that_loops_ends_and_the_others_go_on() {
    let (_rig, alice, [relay, carol]) = forking().await;
    alice.request("INVITE sip:bob@example.com", "l1", &INVITE).await;
    let (out, at_carol) = (relay.receive_request("INVITE").await, carol.receive_request("INVITE").await);
    let vias: Vec<String> = values(&out, HeaderId::Via).iter().map(|via| format!("Via: {via}")).collect();
    let back: Vec<&str> = vias.iter().map(String::as_str).chain(INVITE).collect();
    relay.request("INVITE sip:bob@example.com", "back", &back).await;
    loop {
        let answer = relay.receive_past_100().await;
        if answer.status() == Some(482) {
            break;
        }
    }
    relay.respond(&out, "482 Loop Detected", "rt", &[]).await;
    carol.expect_nothing().await;
    carol.respond(&at_carol, "200 OK", "ct", &[]).await;
    alice.receive_status(200).await;
}

/// An edge whose registrar sends everything to all of these at once.
async fn forking<const N: usize>() -> (Rig, Peer, [Peer; N]) {
    let mut phones = Vec::new();
    for _ in 0..N {
        phones.push(Peer::unbound().await);
    }
    let uris: Vec<String> = phones.iter().map(uri_of).collect();
    let rig = Rig::with(FakeLocation::planning(move |_| fork_to(&uris))).await;
    let alice = rig.peer().await;
    let phones: Vec<Peer> = phones.into_iter().map(|phone| phone.toward(rig.address)).collect();
    (rig, alice, phones.try_into().unwrap_or_else(|_| unreachable!("as many as were bound")))
}

/// The next request of this method; the ACK of an earlier one may come first.
async fn past(phone: &Peer, method: &str) -> Message {
    loop {
        let message = phone.receive().await;
        if message.method_str() == method {
            return message;
        }
    }
}

/// A message as lines, its body being the last of them.
fn lines(message: &str) -> Vec<String> {
    let (head, body) = message.split_once("\r\n\r\n").expect("the head ends");
    let fields =
        head.replace("\r\n ", "\u{0}").split("\r\n").map(|line| line.replace('\u{0}', "\r\n ")).collect();
    [fields, vec![body.to_owned()]].concat()
}
