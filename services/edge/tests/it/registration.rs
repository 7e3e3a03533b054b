//! REGISTER through the edge.

use cluster_api::registrar::v1::{RegisterResponse, RegisteredContact};
use cluster_rpc::membership::View;
use sip_message::HeaderId;

use crate::peer::values;
use crate::rig::{Rig, only_member};
use crate::services::FakeLocation;

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
