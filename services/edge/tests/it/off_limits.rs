//! Where the parties of a call, who may name any next hop, lead nobody.

use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Fork, Group, Target};
use sip_message::HeaderId;

use crate::peer::{Peer, text, values};
use crate::rig::{Rig, fast, only_member};
use crate::services::{FakeLocation, fork_to};
use crate::stream::Connection;

const FROM: &str = "From: <sip:alice@example.com>;tag=at";
const TO: &str = "To: <sip:bob@example.com>;tag=bt";

/// PXY-27: neither the Request-URI nor a further Route of a marked request, nor the Contact of a 3xx or of a binding, leads to what is
/// inside, to a sibling or to ourselves; to another phone they do.
#[tokio::test]
async fn no_party_of_a_call_leads_a_request_to_what_is_inside() {
    let [bob, inside, sibling, phone] =
        [Peer::unbound().await, Peer::unbound().await, Peer::unbound().await, Peer::unbound().await];
    let (closed, next) = (inside.address(), sibling.address());
    let (to_bob, to_inside) = (format!("sip:bob@{}", bob.address()), format!("sip:x@{closed}"));
    let targets = [to_bob.clone(), to_inside.clone()];
    let location = FakeLocation::planning(move |request| {
        let bound = usize::from(request.request_uri.starts_with("sip:inside"));
        let targets = vec![Target { uri: targets[bound].clone(), ..Target::default() }];
        let group = Group { targets, ring_time: None, cause: "contact".into() };
        Plan::Fork(Fork { groups: vec![group], recurse: true })
    });
    let rig = Rig::configured(location, |config| {
        fast(config);
        config.inside.push(closed);
    })
    .await;
    rig.learns(cluster_rpc::membership::View::fixed(vec![only_member(("edge-2", next))], vec![9; 32]));
    let alice = rig.peer().await;
    let [bob, inside, sibling, phone] = [bob, inside, sibling, phone].map(|peer| peer.toward(rig.address));

    let lines = [FROM, "To: <sip:bob@example.com>", "Call-ID: c1", "Contact: <sip:alice@192.0.2.9>"];
    alice.request("INVITE sip:bob@example.com", "a1", &lines).await;
    let invite = bob.receive_request("INVITE").await;
    bob.respond(&invite, "200 OK", "bt", &[&format!("Contact: <{to_bob}>")]).await;
    let answered = alice.receive_status(200).await;
    let marked = values(&answered, HeaderId::RecordRoute).into_iter().rev().collect::<Vec<_>>().join(", ");

    // Another spelling than the one that we know as ours.
    let myself = format!("sip:x@[::ffff:{}]:{}", rig.address.ip(), rig.address.port());
    let through = |next: std::net::SocketAddr| format!("{marked}, <sip:{next};lr>");
    for (number, (uri, route)) in [
        (to_inside.as_str(), marked.clone()),
        (&to_bob, through(closed)),
        (&format!("sip:x@{next}"), marked.clone()),
        (&to_bob, through(next)),
        (&myself, marked.clone()),
        ("sip:x@169.254.169.254:80", marked.clone()),
        ("sip:x@0.0.0.0:5060", marked.clone()),
    ]
    .into_iter()
    .enumerate()
    {
        let (cseq, route) = (format!("CSeq: {} INFO", number + 2), format!("Route: {route}"));
        alice
            .request(&format!("INFO {uri}"), &format!("i{number}"), &[FROM, TO, "Call-ID: c1", &route, &cseq])
            .await;
        let refused = loop {
            let answer = alice.receive_past_100().await;
            if answer.method_str() == "INFO" {
                break answer;
            }
        };
        assert!(refused.status() >= Some(400), "{uri} {route}: {}", text(&refused));
        alice
            .request(
                &format!("ACK {uri}"),
                &format!("k{number}"),
                &[FROM, TO, "Call-ID: c1", &route, "CSeq: 1 ACK"],
            )
            .await;
    }

    // The Contact of a binding, and that of a redirection, which is not followed.
    let lines = [FROM, "To: <sip:bob@example.com>", "Call-ID: c2"];
    alice.request("INVITE sip:inside@example.com", "b1", &lines).await;
    assert!(refusal(&alice, "c2").await >= 400);
    let lines = [FROM, "To: <sip:bob@example.com>", "Call-ID: c3"];
    alice.request("INVITE sip:bob@example.com", "b2", &lines).await;
    let invite = loop {
        let request = bob.receive().await;
        if request.is_request() && request.call_id() == Ok(b"c3") && request.method_str() == "INVITE" {
            break request;
        }
    };
    bob.respond(&invite, "302 Moved", "bt", &[&format!("Contact: <{to_inside}>")]).await;
    assert!(refusal(&alice, "c3").await >= 300);

    inside.expect_nothing().await;
    sibling.expect_nothing().await;
    for (there, count) in [("inside", 9), ("ourselves", 2), ("link_local", 2), ("no_element", 2)] {
        assert_eq!(rig.counted("edge_off_limits_total", there), count, "{there}");
    }

    let elsewhere = format!("Route: {}", through(phone.address()));
    alice
        .request(&format!("INFO {to_bob}"), "i9", &[FROM, TO, "Call-ID: c1", &elsewhere, "CSeq: 20 INFO"])
        .await;
    phone.receive_request("INFO").await;
}

async fn refusal(alice: &Peer, call_id: &str) -> u16 {
    loop {
        let answer = alice.receive_past_100().await;
        if answer.call_id() == Ok(call_id.as_bytes()) && answer.status() >= Some(200) {
            return answer.status().unwrap_or(0);
        }
    }
}

/// PXY-27, TRN-06: nor does a Via lead a response there whose connection is gone.
#[tokio::test]
async fn no_via_leads_a_response_to_what_is_inside() {
    let closed = std::net::TcpListener::bind("127.0.0.77:0").expect("loopback has free ports");
    closed.set_nonblocking(true).expect("a listener may be asked");
    let inside = closed.local_addr().expect("a listener has an address");
    let bob = Peer::unbound().await;
    let to_bob = format!("sip:bob@{}", bob.address());
    let location = FakeLocation::planning(move |_| fork_to(std::slice::from_ref(&to_bob)));
    let rig = Rig::configured(location, |config| config.inside.push(inside)).await;
    let bob = bob.toward(rig.address);
    let mut mallory = Connection::to(rig.address).await;
    let lines = [FROM, "To: <sip:bob@example.com>", "Call-ID: c1", "Contact: <sip:alice@192.0.2.9>"];
    mallory.request_from(&inside.to_string(), "INVITE sip:bob@example.com", "m1", &lines).await;
    let invite = bob.receive_request("INVITE").await;
    drop(mallory);
    // The edge learns of the end of the connection between two of them.
    while rig.counted("edge_off_limits_total", "inside") == 0 {
        bob.respond(&invite, "180 Ringing", "bt", &[]).await;
        let alice = rig.peer().await;
        alice.request("OPTIONS sip:example.com", "o1", &[FROM, "To: <sip:example.com>", "Call-ID: o1"]).await;
        alice.receive_status(200).await;
        let nobody = closed.accept().expect_err("nobody connects");
        assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
    }
}
