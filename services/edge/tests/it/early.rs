//! An edge that was started anew and has no lease yet, and so not the key of the cluster.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster_api::callcontrol::v1::leg_event::What;
use cluster_api::edge::v1::legs_server::Legs;
use cluster_api::edge::v1::{carry_request::What as Effect, requests_server::Requests};
use cluster_rpc::membership::View;
use cluster_rpc::{Reason, Refusal};
use sip_endpoint::{DatagramSocket, SystemDns};
use tokio::time::Instant;
use tonic::Request;

use crate::exchanges::exchange;
use crate::legs::{in_dialog, invite, request};
use crate::peer::{Peer, text};
use crate::rig::{Rig, only_member};
use crate::services::{FakeLocation, fork_to};
use crate::tier::{KEY, NOWHERE, Tier, lines, reversed};
use crate::wires::{EDGE, Wires};

/// F1, PXY-26, PXY-27: the edge of a call dies and comes back: what it cannot judge yet it does not refuse.
#[tokio::test]
async fn a_request_of_a_dialog_waits_for_the_key_by_which_it_is_let_in() {
    let tier = Tier::of_two().await;
    let alice = tier.entry.peer().await;
    let bob = tier.registered(NOWHERE).await;
    alice.request("INVITE sip:bob@example.com", "a1", &lines(&alice)).await;
    let invite = bob.receive_request("INVITE").await;
    bob.respond(&invite, "200 OK", "bt", &[&format!("Contact: <{NOWHERE}>")]).await;
    let route = format!("Route: {}", reversed(&alice.receive_status(200).await));
    let Tier { entry, holder, .. } = tier;
    drop(entry);
    let fresh = early(FakeLocation::planning(|_| unreachable!("nothing is asked")), |_| {}, None).await;
    let alice = alice.toward(fresh.address);
    let dialog = [
        "From: <sip:alice@example.com>;tag=at",
        "To: <sip:bob@example.com>;tag=bt",
        "Call-ID: c1",
        &route,
        "CSeq: 2 BYE",
    ];
    alice.request(&format!("BYE {NOWHERE}"), "a2", &dialog).await;
    until_kept(&fresh, 1).await;
    let members = [("edge-1", fresh.address), ("edge-2", holder.address)].map(only_member).to_vec();
    holder.learns(View::fixed(members.clone(), KEY.to_vec()));
    fresh.learns(View::fixed(members, KEY.to_vec()));
    let bye = bob.receive_request("BYE").await;
    bob.respond(&bye, "200 OK", "", &[]).await;
    let answer = alice.receive_past_100().await;
    assert_eq!(answer.status(), Some(200), "{}", text(&answer));
    until_kept(&fresh, 0).await;
}

/// F1, OBD-07: call-control and the others are told to ask elsewhere or again, and what they ask then is done.
#[tokio::test]
async fn what_other_services_have_to_send_waits_for_the_first_lease() {
    let bob = Peer::unbound().await;
    let uri = format!("sip:bob@{}", bob.address());
    let rig = early(FakeLocation::planning(move |_| fork_to(std::slice::from_ref(&uri))), |_| {}, None).await;
    let bob = bob.toward(rig.address);
    let unreachable = |status: &tonic::Status| {
        Refusal::read(status).is_some_and(|refusal| refusal.reason() == Reason::EdgeUnreachable)
    };
    for send in [invite(), in_dialog("BYE", 2, &bob), in_dialog("ACK", 1, &bob)] {
        let refused = rig.legs.carry(Request::new(request(1, Effect::Send(send)))).await.expect_err("no key");
        assert!(unreachable(&refused), "{refused}");
    }
    let refused = rig.requests.exchange(Request::new(exchange("m1", "MESSAGE"))).await.expect_err("no key");
    assert!(unreachable(&refused), "{refused}");
    rig.learns(View::fixed(Vec::new(), KEY.to_vec()));
    rig.carry(1, Effect::Send(invite())).await;
    bob.receive_request("INVITE").await;
}

/// F1, design 4: while no registrar answers, legs of call-control are served after a while, strangers are sent elsewhere, and a
/// party of a call is not told that it is over.
#[tokio::test(start_paused = true)]
async fn without_a_registrar_it_serves_what_needs_no_key() {
    let (rig, wires) = on_wires().await;
    let start = Instant::now();
    let phone = "192.0.2.9:5060".parse().expect("an address");
    let bring = |text: String| wires.bring(vec![(phone, Bytes::from(text))]);
    bring(said("MESSAGE", "sip:bob@example.com", "m1", ""));
    bring(said("BYE", &format!("sip:cc.call-1.a@{EDGE}"), "b1", ";tag=ct"));
    bring(said("BYE", "sip:bob@192.0.2.3", "b2", ";tag=bt"));
    bring(said("INVITE", "sip:bob@example.com", "i1", ""));
    bring(said("CANCEL", "sip:bob@example.com", "i1", ""));
    let What::Request(bye) = rig.events.next_what().await else { panic!("the leg gets its BYE") };
    assert_eq!((bye.method.as_str(), start.elapsed().as_secs()), ("BYE", 4));
    tokio::time::sleep(Duration::from_secs(40)).await;
    let mut answers: Vec<_> = wires.take_sent();
    answers.retain(|(_, message)| message.status() != Some(100));
    assert!(answers.iter().any(|(_, message)| message.status() == Some(487)), "what is cancelled has ended");
    let answers: BTreeSet<_> = answers
        .iter()
        .map(|(at, message)| {
            let branch = message.top_via().expect("it has a Via").branch.unwrap_or_default();
            let method = message.method_str().to_owned();
            (branch.trim_start_matches("z9hG4bK").to_owned(), method, message.status(), *at - start)
        })
        .map(|(branch, method, status, after)| (branch, method, status, after.as_secs()))
        .filter(|(.., status, _)| *status != Some(487))
        .collect();
    let answer =
        |branch: &str, method: &str, status, at| (branch.to_owned(), method.to_owned(), Some(status), at);
    let expected = [answer("i1", "CANCEL", 200, 0), answer("m1", "MESSAGE", 503, 4)];
    assert_eq!(answers, expected.into(), "the party of a call has given up itself");
    // What comes later need not wait.
    bring(said("MESSAGE", "sip:bob@example.com", "m2", ""));
    let (_, refused) = wires.sent().await;
    assert_eq!(refused.status(), Some(503), "{}", text(&refused));
}

/// There is room for so many.
#[tokio::test(start_paused = true)]
async fn requests_that_find_no_room_to_wait_are_refused() {
    let (rig, wires) = on_wires().await;
    for round in 0..101 {
        let batch = (0..100).map(|number| {
            let text = said("MESSAGE", "sip:bob@example.com", &format!("m{round}x{number}"), "");
            ("192.0.2.9:5060".parse().expect("an address"), Bytes::from(text))
        });
        wires.bring(batch.collect());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!((rig.shows("edge_early_requests"), wires.take_sent().len()), (10_000, 100));
    assert_eq!(rig.counted("edge_rejects_total", "full"), 100);
}

/// An edge that no registrar has told anything.
async fn early(
    location: Arc<FakeLocation>,
    configure: impl FnOnce(&mut edge::Config),
    socket: Option<Box<dyn DatagramSocket>>,
) -> Rig {
    let nothing = View { current: false, ..View::fixed(Vec::new(), Vec::new()) };
    Rig::knowing(nothing, location, Arc::new(SystemDns), configure, socket).await
}

async fn on_wires() -> (Rig, Wires) {
    let wires = Wires::default();
    let location = FakeLocation::planning(|_| unreachable!("nobody is asked"));
    let configure = |config: &mut edge::Config| {
        config.endpoint.listen[0].address = EDGE.parse().expect("an address");
        // So many come from one address here.
        config.limits.source_requests = 0;
    };
    (early(location, configure, Some(Box::new(wires.clone()))).await, wires)
}

async fn until_kept(rig: &Rig, count: u64) {
    let all = async {
        while rig.shows("edge_early_requests") != count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), all).await.expect("they are kept");
}

fn said(method: &str, uri: &str, branch: &str, to_tag: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@example.com>;tag=at\r\nTo: <sip:bob@example.com>{to_tag}\r\nCall-ID: {branch}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:alice@192.0.2.9>\r\nContent-Length: 0\r\n\r\n"
    )
}
