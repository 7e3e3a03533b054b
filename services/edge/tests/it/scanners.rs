//! Programs that look for SIP servers.

use std::net::SocketAddr;

use bytes::Bytes;
use cluster_api::registrar::v1::{Refuse, route_response::Plan};
use sip_message::HeaderId;

use crate::rig::Rig;
use crate::services::FakeLocation;
use crate::wires::{EDGE, Wires};

const EVE: &str = "192.0.2.66:5060";
const FRIEND: &str = "192.0.2.67:5060";

/// T18: a scanner hears nothing, and nobody is asked about it; others, and whom we trust, are answered.
#[tokio::test]
async fn a_scanner_is_not_answered() {
    let location = FakeLocation::planning(|_| Plan::Refuse(Refuse { status: 404, ..Refuse::default() }));
    let friend = "192.0.2.67/32".parse().unwrap();
    let (rig, wires) = Rig::on_wires(location.clone(), |config| config.trusted = vec![friend]).await;
    for agent in ["friendly-scanner", "FRIENDLY-Scanner", "sipcli/v1.8", "VaxSIPUserAgent/3.5"] {
        for method in ["OPTIONS", "REGISTER", "INVITE"] {
            wires.bring(vec![request(EVE, method, agent)]);
        }
    }
    // One is taken after the other: whoever is answered later would have been answered before.
    assert_eq!(answered(&wires, EVE, "Linphone/5").await, "Linphone/5");
    assert_eq!(answered(&wires, FRIEND, "friendly-scanner").await, "friendly-scanner");
    assert_eq!(rig.counted("edge_dropped_total", "scanner"), 12);
    assert!(location.registered.lock().unwrap().is_empty());
    assert!(location.routed.lock().unwrap().is_empty());
}

/// T18: the list is the operator's.
#[tokio::test]
async fn who_is_a_scanner_is_configured() {
    let location = FakeLocation::planning(|_| Plan::Refuse(Refuse { status: 404, ..Refuse::default() }));
    let (_rig, wires) = Rig::on_wires(location, |config| config.scanners = vec!["Bad".into()]).await;
    wires.bring(vec![request(EVE, "OPTIONS", "bad/1")]);
    assert_eq!(answered(&wires, EVE, "sipcli/v1.8").await, "sipcli/v1.8");
}

/// The Call-ID of the first answer that comes after this one asks.
async fn answered(wires: &Wires, from: &str, agent: &str) -> String {
    wires.bring(vec![request(from, "OPTIONS", agent)]);
    let (to, answer) = wires.sent().await;
    assert_eq!((to.to_string().as_str(), answer.status()), (from, Some(200)));
    answer.first_str(HeaderId::CallId).unwrap().to_owned()
}

fn request(from: &str, method: &str, agent: &str) -> (SocketAddr, Bytes) {
    let text = format!(
        "{method} sip:{EDGE} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{method}{}\r\nMax-Forwards: 70\r\n\
         From: <sip:a@example.com>;tag=1\r\nTo: <sip:a@example.com>\r\nCall-ID: {agent}\r\nCSeq: 1 {method}\r\n\
         User-Agent: {agent}\r\nContent-Length: 0\r\n\r\n",
        agent.len()
    );
    (from.parse().unwrap(), text.into())
}
