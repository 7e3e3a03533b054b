//! More datagrams than the edge can take: what is refused, and what passes all the same.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use sip_message::HeaderId;

use crate::peer::{response_to, values};
use crate::rig::Rig;
use crate::services::{FakeLocation, fork_to};
use crate::wires::{BATCH, EDGE, ROOM, Wires};

const ALICE: &str = "192.0.2.2:5060";
const BOB: &str = "192.0.2.3:5060";

/// OVL-03. The time is virtual: on a slow machine the edge would repeat its refusals, which nobody acknowledges, and each would count twice.
#[tokio::test(start_paused = true)]
async fn a_flood_is_refused_in_part_and_the_dialogs_pass() {
    let location = FakeLocation::planning(|_| fork_to(&[format!("sip:bob@{BOB}")]));
    let configure = |config: &mut edge::Config| {
        config.overload_interval = Duration::ZERO;
        // Only the queue is to decide: how fast this machine is does not.
        config.overload_delay = Duration::from_secs(3600);
    };
    let (_rig, wires) = Rig::on_wires(location, configure).await;
    let route = dialog(&wires).await;

    let mut flood = Vec::new();
    for number in 0..ROOM {
        let start = format!("INVITE sip:bob@{EDGE}");
        flood.push(if number % 10 == 0 {
            request(&format!("MESSAGE sip:bob@{BOB}"), "dialog", number, ";tag=bt", &route)
        } else if number % 10 == 1 {
            request(&format!("OPTIONS sip:{EDGE}"), "options", number, "", "")
        } else {
            request(&start, "flood", number, "", "")
        });
    }
    wires.bring(flood);

    let (mut passed, mut refused, mut taken, mut refused_options) = (0, 0, 0, 0);
    while passed < ROOM / 10 || refused + taken < ROOM / 10 * 8 {
        let (peer, message) = wires.sent().await;
        match (peer.to_string().as_str(), message.method_str(), message.status()) {
            (BOB, "MESSAGE", None) => passed += 1,
            (BOB, "INVITE", None) => taken += 1,
            (ALICE, "INVITE", Some(503)) => {
                assert!(!message.has(HeaderId::RetryAfter), "all would come again at once");
                refused += 1;
            }
            (ALICE, "OPTIONS", Some(503)) => refused_options += 1,
            (ALICE, "MESSAGE", Some(status)) => panic!("{status} to a dialog"),
            _ => {}
        }
    }
    // The batches that were taken while more than three quarters of the queue waited.
    let (most, half) = (ROOM / 4 / BATCH * BATCH / 10 * 8, ROOM / 2 / 10);
    assert!((most - 8..=most + 8 * 4).contains(&refused), "{refused} of {taken}");
    assert!(refused_options > refused / 8 && refused_options <= half, "{refused_options}");
}

/// Alice and Bob are connected; the Route of Alice.
async fn dialog(wires: &Wires) -> String {
    wires.bring(vec![request(&format!("INVITE sip:bob@{EDGE}"), "dialog", 0, "", "")]);
    let invite = loop {
        let (peer, message) = wires.sent().await;
        if peer.to_string() == BOB {
            break message;
        }
    };
    let contact = format!("Contact: <sip:bob@{BOB}>");
    wires.bring(vec![(BOB.parse().unwrap(), response_to(&invite, "200 OK", "bt", &[&contact]).into())]);
    loop {
        let (_, message) = wires.sent().await;
        if message.status() == Some(200) {
            return format!("Route: {}\r\n", values(&message, HeaderId::RecordRoute).join(", "));
        }
    }
}

/// A request of Alice.
fn request(start: &str, call: &str, number: usize, to_tag: &str, lines: &str) -> (SocketAddr, Bytes) {
    let method = start.split(' ').next().unwrap();
    let call_id = if call == "dialog" { call.to_owned() } else { format!("{call}{number}") };
    let text = format!(
        "{start} SIP/2.0\r\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bK{call}{number}{method}\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@example.com>;tag=at\r\nTo: <sip:bob@example.com>{to_tag}\r\nCall-ID: {call_id}\r\n\
         CSeq: {} {method}\r\nContact: <sip:alice@{ALICE}>\r\n{lines}Content-Length: 0\r\n\r\n",
        number + 1
    );
    (ALICE.parse().unwrap(), text.into())
}
