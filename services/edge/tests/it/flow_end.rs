//! The end of connections over which phones registered.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cluster_api::registrar::v1::{EndedFlow, RegisterRequest, RegisterResponse, RegisteredContact};

use crate::rig::Rig;
use crate::services::FakeLocation;
use crate::stream::Connection;

/// Answers 200 with what is bound then, but 403 to Mallory.
fn registrar() -> Arc<FakeLocation> {
    FakeLocation::registering(|request| {
        let status = if request.to_uri.contains("mallory") { 403 } else { 200 };
        let bound = request.contacts.iter().filter(|contact| contact.expires.or(request.expires) != Some(0));
        let contacts =
            bound.map(|contact| RegisteredContact { uri: contact.uri.clone(), ..Default::default() });
        RegisterResponse { status, contacts: contacts.collect(), ..RegisterResponse::default() }
    })
}

async fn register(phone: &mut Connection, user: &str, branch: &str, lines: &[&str], status: u16) {
    let (from, to) =
        (format!("From: <sip:{user}@example.com>;tag=b"), format!("To: <sip:{user}@example.com>"));
    let mut all = vec![&*from, &*to, "Call-ID: r1"];
    all.extend(lines);
    phone.request("REGISTER sip:example.com", branch, &all).await;
    phone.receive_status(status).await;
}

const CONTACT: &str = "Contact: <sip:bob@df7jal23ls0d.invalid;transport=tcp>";
const ELSEWHERE: &str = "Contact: <sip:bob@192.0.2.1:5070>";

fn told(ended: &[EndedFlow]) -> Vec<(String, String)> {
    let mut told: Vec<_> = ended.iter().map(|ended| (ended.to_uri.clone(), ended.flow.clone())).collect();
    told.sort();
    told
}

fn expected(registered: &[RegisterRequest]) -> Vec<(String, String)> {
    registered.iter().map(|request| (request.to_uri.clone(), request.flow.clone())).collect()
}

/// OBD-05: the registrar is told of each address of record that was registered over a connection as soon as it ends, and again until it
/// has heard it; of none that was refused, unregistered, is reached elsewhere or through another proxy.
#[tokio::test]
async fn the_end_of_a_connection_is_told_to_the_registrar() {
    let location = registrar();
    let rig = Rig::with(location.clone()).await;
    let (mut first, mut second) = (Connection::to(rig.address).await, Connection::to(rig.address).await);
    register(&mut first, "bob", "b1", &[CONTACT], 200).await;
    register(&mut first, "carol", "b2", &[CONTACT], 200).await;
    register(&mut second, "dave", "b3", &[CONTACT], 200).await;
    let expected = expected(&location.registered.lock().unwrap());
    register(&mut first, "bob", "b4", &[CONTACT, "CSeq: 2 REGISTER"], 200).await;
    register(&mut first, "erin", "b5", &[CONTACT], 200).await;
    register(&mut first, "erin", "b6", &[CONTACT, "CSeq: 2 REGISTER", "Expires: 0"], 200).await;
    register(&mut first, "mallory", "b7", &[CONTACT], 403).await;
    register(&mut first, "peter", "b8", &[CONTACT, "Path: <sip:p@192.0.2.9;lr>", "Supported: path"], 200)
        .await;
    register(&mut first, "quinn", "b9", &[ELSEWHERE], 200).await;
    register(&mut first, "quinn", "b10", &["CSeq: 2 REGISTER"], 200).await;
    location.failing.store(2, Ordering::SeqCst);
    drop(first);
    assert_eq!(told(&location.ended(2).await), expected[..2]);
    assert_eq!(rig.counted("edge_ended_flows_total", "failed"), 2);
    drop(second);
    assert_eq!(told(&location.ended(3).await), expected);
    assert_eq!(rig.counted("edge_ended_flows_total", "lost"), 0);
}

/// OBD-05, section 7 of the design: an edge has told of the phones that it let go before its drain is complete.
#[tokio::test]
async fn who_is_let_go_at_the_end_is_told_before_it() {
    let location = registrar();
    let rig = Rig::with(location.clone()).await;
    let mut phones = Vec::new();
    for user in ["bob", "carol", "dave"] {
        let mut phone = Connection::to(rig.address).await;
        register(&mut phone, user, user, &[CONTACT], 200).await;
        phones.push(phone);
    }
    let mut expected = expected(&location.registered.lock().unwrap());
    expected.sort();
    rig.drain.begin();
    rig.drain.complete().await;
    assert_eq!(told(&location.ended(0).await), expected);
}

/// A registrar that does not answer keeps nobody from ending.
#[tokio::test]
async fn a_registrar_that_is_away_does_not_hold_the_end_up() {
    let location = registrar();
    let rig = Rig::with(location.clone()).await;
    let mut phone = Connection::to(rig.address).await;
    register(&mut phone, "bob", "b1", &[CONTACT], 200).await;
    location.failing.store(usize::MAX, Ordering::SeqCst);
    rig.drain.begin();
    phone.expect_end().await;
    rig.drain.complete().await;
}
