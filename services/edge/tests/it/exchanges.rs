//! Single requests for other services.

use cluster_api::edge::v1::requests_server::Requests;
use cluster_api::edge::v1::{ExchangeRequest, SendRequest};
use cluster_api::sip::v1::Header;
use sip_message::HeaderId;
use tonic::{Code, Request};

use crate::peer::{Peer, values};
use crate::rig::Rig;
use crate::services::{FakeLocation, fork_to};

/// IMI-02
#[tokio::test]
async fn a_request_is_sent_once_and_its_answer_given_to_all_who_ask() {
    let (rig, bob) = one_phone().await;
    let asked = exchange("x1", "MESSAGE");
    let (first, second, served) = tokio::join!(
        rig.requests.exchange(Request::new(asked.clone())),
        rig.requests.exchange(Request::new(asked.clone())),
        async {
            let message = bob.receive_request("MESSAGE").await;
            assert!(!message.has(HeaderId::Contact));
            bob.respond(&message, "202 Accepted", "bt", &["X-Seen: yes"]).await;
        }
    );
    let () = served;
    let first = first.unwrap().into_inner();
    assert_eq!((first.status, first.to_tag.as_str(), first.local), (202, "bt", false));
    assert!(first.headers.iter().any(|header| header.name == "X-Seen" && header.value == "yes"));
    assert_eq!(second.unwrap().into_inner(), first);
    assert_eq!(rig.requests.exchange(Request::new(asked)).await.unwrap().into_inner(), first);
    bob.expect_nothing().await;
}

#[tokio::test]
async fn a_notify_names_presence_as_its_contact() {
    let (rig, bob) = one_phone().await;
    let mut asked = exchange("x1", "NOTIFY");
    let request = asked.request.as_mut().unwrap();
    request.to_tag = "bt".into();
    request.request_uri = format!("sip:bob@{}", bob.address());
    let (answer, ()) = tokio::join!(rig.requests.exchange(Request::new(asked)), async {
        let notify = bob.receive_request("NOTIFY").await;
        let contact = values(&notify, HeaderId::Contact).concat();
        assert!(contact.starts_with(&format!("<sip:carillon-presence@{};gr;d=", rig.address)), "{contact}");
        bob.respond(&notify, "481 No", "", &[]).await;
    });
    assert_eq!(answer.unwrap().into_inner().status, 481);
    // What is sent to that Contact goes to presence.
    let lines = ["From: <sip:bob@example.com>;tag=bt", "To: <sip:p@example.com>;tag=pt", "Call-ID: s1"];
    bob.request(&format!("SUBSCRIBE sip:carillon-presence@{}", rig.address), "s1", &lines).await;
    bob.receive_status(202).await;
}

/// ALC-02, ALC-11: a gateway is asked for a number as RFC 3261 8.1.1 has it, with the Contacts of the borrower and no body; an ask that is
/// repeated has the same answer.
#[tokio::test]
async fn a_gateway_is_asked_for_a_number_in_proper_form() {
    let (rig, gateway) = one_phone().await;
    let mut asked = exchange("number-1", "ALLOCATE");
    let request = asked.request.as_mut().unwrap();
    request.contact = "<sip:line200@office.example>;expires=180, <sip:b@office.example>;expires=180".into();
    request.headers = vec![Header::new("Allocate-For", "<tel:+18475550000>")];
    let (answer, allocate) = tokio::join!(rig.requests.exchange(Request::new(asked.clone())), async {
        let allocate = gateway.receive_request("ALLOCATE").await;
        gateway.respond(&allocate, "200 OK", "gt", &["Contact: <tel:+13235554258>;expires=180"]).await;
        allocate
    });
    let answer = answer.unwrap().into_inner();
    assert_eq!(
        (answer.status, &answer.contacts[..]),
        (200, &["<tel:+13235554258>;expires=180".to_owned()][..])
    );
    assert_eq!(rig.requests.exchange(Request::new(asked)).await.unwrap().into_inner(), answer);
    assert_eq!(
        values(&allocate, HeaderId::Contact),
        ["<sip:line200@office.example>;expires=180", "<sip:b@office.example>;expires=180"]
    );
    let via = values(&allocate, HeaderId::Via).concat();
    assert!(via.contains(";branch=z9hG4bK"), "{via}");
    assert!(allocate.from().unwrap().tag().is_some() && allocate.to().unwrap().tag().is_none());
    assert_eq!(allocate.cseq().unwrap().number, 1);
    assert!(allocate.body().is_empty());
    assert_eq!(allocate.fields().filter(|field| field.name == b"Allocate-For").count(), 1);
}

/// LAD-6: the NOTIFYs of a subscription that a callback has go to call-control.
#[tokio::test]
async fn a_notify_for_a_callback_goes_to_call_control() {
    let (rig, bob) = one_phone().await;
    let mut asked = exchange("cb-1.1", "SUBSCRIBE");
    let request = asked.request.as_mut().unwrap();
    request.contact_user = "cb.0190-a".into();
    request.headers = vec![Header::new("Event", "dialog"), Header::new("Expires", "3600")];
    let (answer, contact) = tokio::join!(rig.requests.exchange(Request::new(asked)), async {
        let subscribe = bob.receive_request("SUBSCRIBE").await;
        let contact = values(&subscribe, HeaderId::Contact).concat();
        bob.respond(&subscribe, "200 OK", "bt", &["Expires: 600"]).await;
        contact
    });
    assert_eq!(answer.unwrap().into_inner().status, 200);
    assert!(contact.starts_with(&format!("<sip:cb.0190-a@{};gr;d=", rig.address)), "{contact}");
    let uri = contact.trim_matches(['<', '>']);
    let lines = [
        "From: <sip:bob@example.com>;tag=bt",
        "To: <sip:carillon@example.com>;tag=ct",
        "Call-ID: x-1",
        "Event: dialog",
        "Subscription-State: active;expires=600",
        "Contact: <sip:bob@192.0.2.9>",
    ];
    bob.request(&format!("NOTIFY {uri}"), "n1", &lines).await;
    bob.receive_status(200).await;
    let notified = rig.events.notified.lock().unwrap().clone();
    let [notify] = &notified[..] else { panic!("{notified:?}") };
    assert_eq!((notify.callback_id.as_str(), notify.sip_call_id.as_str()), ("0190-a", "x-1"));
    assert_eq!((notify.from_tag.as_str(), notify.to_tag.as_str()), ("bt", "ct"));
    let says = |name: &str| notify.headers.iter().find(|h| h.name == name).map(|h| h.value.clone());
    assert_eq!(says("Subscription-State").as_deref(), Some("active;expires=600"));
    // Nothing else is for a callback.
    bob.request(&format!("OPTIONS {uri}"), "o1", &lines[..3]).await;
    bob.receive_status(481).await;
}

#[tokio::test]
async fn a_request_without_a_way_is_answered_locally() {
    let location = FakeLocation::planning(|_| fork_to(&[String::from("sip:bob@127.0.0.1:9")]));
    let rig = Rig::with(location).await;
    let answer = rig.requests.exchange(Request::new(exchange("x1", "OPTIONS"))).await.unwrap().into_inner();
    assert_eq!((answer.status, answer.local), (503, true));
    let invite = rig.requests.exchange(Request::new(exchange("x2", "INVITE"))).await;
    assert_eq!(invite.unwrap_err().code(), Code::InvalidArgument);
}

async fn one_phone() -> (Rig, Peer) {
    let bob = Peer::unbound().await;
    let uri = format!("sip:bob@{}", bob.address());
    let rig = Rig::with(FakeLocation::planning(move |_| fork_to(std::slice::from_ref(&uri)))).await;
    let bob = bob.toward(rig.address);
    (rig, bob)
}

pub(crate) fn exchange(id: &str, method: &str) -> ExchangeRequest {
    let request = SendRequest {
        method: method.into(),
        request_uri: "sip:bob@example.com".into(),
        from_uri: "sip:carillon@example.com".into(),
        from_tag: "ct".into(),
        to_uri: "sip:bob@example.com".into(),
        sip_call_id: "x-1".into(),
        cseq: 1,
        ..SendRequest::default()
    };
    ExchangeRequest { exchange_id: id.into(), request: Some(request) }
}
