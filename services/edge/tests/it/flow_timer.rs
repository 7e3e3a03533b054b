//! Phones that keep their flow, and what becomes of one that falls silent.

use std::sync::Arc;
use std::time::Duration;

use cluster_api::registrar::v1::{RegisterResponse, RegisteredContact};
use cluster_api::sip::v1::Header;
use sip_message::HeaderId;

use crate::peer::values;
use crate::rig::Rig;
use crate::services::FakeLocation;
use crate::stream::Connection;

/// OBD-06: told by datagrams to be heard of every 29 s, a phone that sends keep-alives or anything else stays, and the binding of one
/// that is silent goes.
#[tokio::test(start_paused = true)]
async fn a_phone_on_datagrams_that_falls_silent_loses_its_binding() {
    let location = registrar();
    let rig = Rig::with(location.clone()).await;
    let phone = rig.peer().await;
    phone.request("REGISTER sip:example.com", "b1", &OUTBOUND).await;
    assert_eq!(values(&phone.receive_status(200).await, HeaderId::FlowTimer), ["29"]);
    for keep_alive in ["\r\n\r\n", "\r\n\r\n"] {
        tokio::time::sleep(Duration::from_secs(29)).await;
        phone.raw(keep_alive).await;
    }
    tokio::time::sleep(Duration::from_secs(29)).await;
    phone.expect_nothing().await;
    tokio::time::sleep(Duration::from_secs(33)).await;
    assert_eq!(rig.counted("edge_ended_flows_total", "silent"), 0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let flow = location.registered.lock().unwrap()[0].flow.clone();
    let ended = location.ended(1).await;
    assert_eq!((&*ended[0].to_uri, &ended[0].flow), ("sip:bob@example.com", &flow));
    assert_eq!(rig.counted("edge_ended_flows_total", "silent"), 1);
}

/// OBD-06: a connection that falls silent is closed, and all that was registered over it is gone; one that sends keep-alives is not.
#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed() {
    let location = registrar();
    let rig = Rig::configured(location.clone(), |config| config.flow_timer = Duration::from_secs(60)).await;
    let (mut silent, mut kept) = (Connection::to(rig.address).await, Connection::to(rig.address).await);
    for phone in [&mut silent, &mut kept] {
        phone.request("REGISTER sip:example.com", "b1", &OUTBOUND).await;
        assert_eq!(values(&phone.receive_status(200).await, HeaderId::FlowTimer), ["60"]);
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    kept.keep_alive().await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    silent.expect_end().await;
    assert_eq!(location.ended(1).await.len(), 1);
    kept.request("REGISTER sip:example.com", "b2", &OUTBOUND).await;
    kept.receive_status(200).await;
    assert_eq!(rig.counted("edge_ended_flows_total", "silent"), 1);
}

/// OBD-06: no Flow-Timer where outbound is not applied, where the edge asks for none, and in the answer to who unregisters.
#[tokio::test(start_paused = true)]
async fn who_keeps_no_flow_is_told_no_time() {
    let location = registrar();
    let rig = Rig::with(location.clone()).await;
    let phone = rig.peer().await;
    for (branch, lines) in [("b1", PLAIN.as_slice()), ("b2", &GONE)] {
        phone.request("REGISTER sip:example.com", branch, lines).await;
        assert_eq!(values(&phone.receive_status(200).await, HeaderId::FlowTimer), [""; 0], "{branch}");
    }
    let rig = Rig::configured(location, |config| config.flow_timer = Duration::ZERO).await;
    let phone = rig.peer().await;
    phone.request("REGISTER sip:example.com", "b3", &OUTBOUND).await;
    assert_eq!(values(&phone.receive_status(200).await, HeaderId::FlowTimer), [""; 0]);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(rig.counted("edge_ended_flows_total", "silent"), 0);
}

const FROM: &str = "From: <sip:bob@example.com>;tag=b";
const TO: &str = "To: <sip:bob@example.com>";
const OUTBOUND: [&str; 5] = [
    FROM,
    TO,
    "Call-ID: r1",
    "Contact: <sip:bob@192.0.2.7:5060>;+sip.instance=\"<urn:uuid:1>\";reg-id=1",
    "Supported: outbound",
];
const PLAIN: [&str; 4] = [FROM, TO, "Call-ID: r1", "Contact: <sip:bob@192.0.2.7:5060>"];
const GONE: [&str; 6] = [OUTBOUND[0], OUTBOUND[1], OUTBOUND[2], OUTBOUND[3], OUTBOUND[4], "Expires: 0"];

/// Applies outbound where it is supported, as the registrar does.
fn registrar() -> Arc<FakeLocation> {
    FakeLocation::registering(|request| {
        let is_bound = request.expires != Some(0);
        let bound = request.contacts.iter().filter(|_| is_bound);
        let contacts =
            bound.map(|contact| RegisteredContact { uri: contact.uri.clone(), ..Default::default() });
        let required =
            request.supported.iter().map(|tag| Header { name: "Require".into(), value: tag.clone() });
        RegisterResponse {
            status: 200,
            contacts: contacts.collect(),
            headers: required.collect(),
            ..RegisterResponse::default()
        }
    })
}
