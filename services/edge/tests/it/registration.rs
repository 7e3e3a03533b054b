//! REGISTER through the edge.

use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Refuse, RegisterResponse, RegisteredContact};
use cluster_rpc::membership::View;
use sip_message::HeaderId;

use crate::peer::values;
use crate::rig::{Rig, only_member};
use crate::services::FakeLocation;
use crate::stream::Connection;

/// REG-12, REG-15, OBD-01
#[tokio::test]
async fn a_register_becomes_one_question_and_the_answer_lists_the_bindings() {
    let location = FakeLocation::registering(|request| RegisterResponse {
        status: 200,
        contacts: vec![RegisteredContact {
            uri: request.contacts[0].uri.clone(),
            params: request.contacts[0].params.clone(),
            expires: 60,
            ..RegisteredContact::default()
        }],
        ..RegisterResponse::default()
    });
    let rig = Rig::with(location.clone()).await;
    let phone = rig.peer().await;
    phone
        .request(
            "REGISTER sip:example.com",
            "r1",
            &[
                "From: <sip:alice@example.com>;tag=f",
                "To: <sip:alice@example.com>",
                "Call-ID: reg-1",
                "CSeq: 7 REGISTER",
                "Contact: <sip:alice@192.0.2.7>;audio;expires=60",
                "Supported: path, gruu",
            ],
        )
        .await;
    let answer = phone.receive_status(200).await;
    assert_eq!(values(&answer, HeaderId::Contact), ["<sip:alice@192.0.2.7>;audio;expires=60"]);
    assert!(answer.to().unwrap().tag().is_some());

    let asked = location.registered.lock().unwrap();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].cseq, asked[0].contacts[0].expires), (7, Some(60)));
    assert_eq!(asked[0].supported, ["path", "gruu"]);
    assert_eq!(asked[0].source.as_ref().unwrap().port, u32::from(phone.address().port()));
    assert!(!asked[0].flow.is_empty());
}

/// AUT-01, MSG-05, MSG-13
#[tokio::test]
async fn a_challenge_has_one_line_for_each_algorithm_and_is_given_again_to_a_repetition() {
    let location = FakeLocation::registering(|_| RegisterResponse {
        status: 401,
        challenges: vec!["Digest algorithm=SHA-256".into(), "Digest algorithm=MD5".into()],
        ..RegisterResponse::default()
    });
    let rig = Rig::with(location).await;
    let phone = rig.peer().await;
    let lines = [
        "From: <sip:alice@example.com>;tag=f",
        "To: <sip:alice@example.com>",
        "Call-ID: reg-2",
        "CSeq: 1 REGISTER",
    ];
    let mut tags = Vec::new();
    for _ in 0..2 {
        phone.request("REGISTER sip:example.com", "r1", &lines).await;
        let answer = phone.receive_status(401).await;
        let challenges: Vec<&[u8]> = answer.all(HeaderId::WwwAuthenticate).collect();
        assert_eq!(challenges, [&b"Digest algorithm=SHA-256"[..], b"Digest algorithm=MD5"]);
        tags.push(answer.to().unwrap().tag().unwrap().to_owned());
    }
    assert_eq!(tags[0], tags[1]);
}

/// REG-16: a Record-Route that somebody put on the way is neither used nor returned.
#[tokio::test]
async fn a_register_makes_no_route() {
    let location =
        FakeLocation::registering(|_| RegisterResponse { status: 200, ..RegisterResponse::default() });
    let rig = Rig::with(location).await;
    let phone = rig.peer().await;
    let lines = [
        "Record-Route: <sip:192.0.2.9;lr>",
        "From: <sip:alice@example.com>;tag=f",
        "To: <sip:alice@example.com>",
        "Call-ID: reg-4",
        "Contact: <sip:alice@192.0.2.7>",
    ];
    phone.request("REGISTER sip:example.com", "r1", &lines).await;
    let answer = phone.receive_status(200).await;
    assert!(!answer.has(HeaderId::RecordRoute));
}

/// REG-19: a contact that is an address of the tier would bring every call back; taking one back is no such thing.
#[tokio::test]
async fn a_contact_that_is_an_address_of_the_tier_is_refused() {
    let location =
        FakeLocation::registering(|_| RegisterResponse { status: 200, ..RegisterResponse::default() });
    let rig =
        Rig::configured(location.clone(), |config| config.aliases = vec!["sip.example.net".into()]).await;
    let sibling = "192.0.2.9:5070".parse().expect("an address");
    rig.learns(View::fixed([only_member(("edge-2", sibling))].to_vec(), vec![9; 32]));
    let phone = rig.peer().await;
    let mut number = 0;
    let own = format!("<sip:alice@{}>", rig.address);
    for (contact, status) in [
        (own.as_str(), 403),
        (&format!("{own};expires=0"), 200),
        (&format!("<sip:alice@192.0.2.7>, {own}"), 403),
        (&format!("<sip:alice@{};transport=tcp>", rig.address), 403),
        ("<sip:alice@SIP.example.net>", 403),
        ("<sip:alice@sip.example.net:5099>", 200),
        ("<sip:alice@192.0.2.9:5070>", 403),
        ("<sip:alice@192.0.2.9>", 200),
        ("<tel:+1555>", 200),
    ] {
        number += 1;
        let (call_id, contact) = (format!("Call-ID: loop-{number}"), format!("Contact: {contact}"));
        let lines =
            ["From: <sip:alice@example.com>;tag=f", "To: <sip:alice@example.com>", &call_id, &contact];
        phone.request("REGISTER sip:example.com", &format!("l{number}"), &lines).await;
        let answer = phone.receive_status(status).await;
        if status == 403 {
            assert_eq!(answer.reason(), b"Contact Leads Back To This Server");
        }
    }
    assert_eq!(location.registered.lock().unwrap().len(), 4);
}

/// REG-10
#[tokio::test]
async fn a_register_with_a_contact_that_cannot_be_read_is_refused_as_a_whole() {
    let location =
        FakeLocation::registering(|_| RegisterResponse { status: 200, ..RegisterResponse::default() });
    let rig = Rig::with(location.clone()).await;
    let phone = rig.peer().await;
    phone
        .request(
            "REGISTER sip:example.com",
            "r1",
            &[
                "From: <sip:alice@example.com>;tag=f",
                "To: <sip:alice@example.com>",
                "Call-ID: reg-3",
                "Contact: <sip:alice@192.0.2.7>, sip:alice@192.0.2.8?x=y",
            ],
        )
        .await;
    phone.receive_status(400).await;
    assert!(location.registered.lock().unwrap().is_empty());
}

/// REG-21: each 200, that to a query too, names the tier as it is reached by the phone's transport, and a request along it is one like
/// any other; who registers through another proxy is told nothing, nor is one that is refused.
#[tokio::test]
async fn a_registered_phone_is_told_the_way_of_its_requests() {
    let location = FakeLocation::full(
        |_| Ok(Plan::Refuse(Refuse { status: 404, ..Refuse::default() })),
        |request| {
            let status = if request.to_uri.contains("mallory") { 403 } else { 200 };
            RegisterResponse { status, ..RegisterResponse::default() }
        },
    );
    let rig = Rig::with(location.clone()).await;
    let phone = rig.peer().await;
    let told = async |branch: &str, user: &str, lines: &[&str], status: u16| {
        let (from, to) =
            (format!("From: <sip:{user}@example.com>;tag=f"), format!("To: <sip:{user}@example.com>"));
        let call_id = format!("Call-ID: {branch}");
        let all: Vec<&str> = [&*from, &*to, &*call_id].into_iter().chain(lines.iter().copied()).collect();
        phone.request("REGISTER sip:example.com", branch, &all).await;
        values(&phone.receive_status(status).await, HeaderId::ServiceRoute)
    };
    let route = format!("<sip:{};lr>", rig.address);
    assert_eq!(
        told("r1", "alice", &["Contact: <sip:alice@192.0.2.7>"], 200).await,
        std::slice::from_ref(&route)
    );
    assert_eq!(told("r2", "alice", &[], 200).await, std::slice::from_ref(&route));
    assert_eq!(told("r3", "alice", &["Path: <sip:p.example;lr>"], 200).await, [""; 0]);
    assert_eq!(told("r4", "mallory", &[], 403).await, [""; 0]);
    let along = format!("Route: {route}");
    let lines = ["From: <sip:alice@example.com>;tag=f", "To: <sip:bob@example.com>", "Call-ID: c1", &along];
    phone.request("INVITE sip:bob@example.com", "i1", &lines).await;
    phone.receive_status(404).await;
    assert_eq!(location.routed.lock().unwrap()[0].request_uri, "sip:bob@example.com");

    let mut connected = Connection::to(rig.address).await;
    let lines = ["From: <sip:alice@example.com>;tag=f", "To: <sip:alice@example.com>", "Call-ID: r5"];
    connected.request("REGISTER sip:example.com", "r5", &lines).await;
    let by_tcp = values(&connected.receive_status(200).await, HeaderId::ServiceRoute);
    assert_eq!(by_tcp, [format!("<sip:{};transport=tcp;lr>", rig.address)]);
}
