//! ALLOCATE, and calls to a number that is lent: what the registrar is asked, and what it says as messages.

use std::net::SocketAddr;

use bytes::Bytes;
use cluster_api::callcontrol::v1::leg_event::What;
use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{AllocateResponse, HandToCallControl, LendNumber, LentNumber};
use cluster_api::sip::v1::Header;
use sip_message::{HeaderId, Message};

use crate::rig::Rig;
use crate::services::FakeLocation;
use crate::wires::Wires;

const ALICE: &str = "192.0.2.7:5060";

async fn gateway() -> (std::sync::Arc<FakeLocation>, Rig, Wires) {
    let location = FakeLocation::planning(|_| Plan::Lend(LendNumber {}));
    let (rig, wires) = Rig::on_wires(location.clone(), |_| {}).await;
    let lent = LentNumber { number: "+13235554258".to_owned(), ..LentNumber::default() };
    *location.lends.lock().unwrap() =
        AllocateResponse { status: 200, lent: Some(lent), expires: 180, ..AllocateResponse::default() };
    (location, rig, wires)
}

fn send(wires: &Wires, text: &str) {
    let alice: SocketAddr = ALICE.parse().unwrap();
    wires.bring(vec![(alice, Bytes::from(text.to_owned()))]);
}

async fn answer(wires: &Wires, text: &str) -> Message {
    send(wires, text);
    loop {
        let (_, message) = wires.sent().await;
        if message.status().is_some_and(|status| status >= 200) {
            return message;
        }
    }
}

fn allocate(branch: &str, cseq: u32, lines: &str, body: &str) -> String {
    format!(
        "ALLOCATE sip:gw58.ca.pstn-gws.example SIP/2.0\r\nVia: SIP/2.0/UDP {ALICE};branch={branch}\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@example.com>;tag=at\r\nTo: <sip:gw58.ca.pstn-gws.example>\r\nCall-ID: a\r\n\
         CSeq: {cseq} ALLOCATE\r\n{lines}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// ALC-02, ALC-03, ALC-06: the answer has one Contact with one tel URI and its time, and a repetition is answered alike without
/// another question.
#[tokio::test(start_paused = true)]
async fn a_number_is_asked_for_and_told() {
    let (location, _rig, wires) = gateway().await;
    let lines = "Allocate-For: <tel:+18475550000>\r\nContact: <sip:line200@office.example>;q=0.5, <sip:b@office.example>\r\n\
                 Expires: 180\r\n";
    let text = allocate("z9hG4bKa", 1, lines, "");
    let told = answer(&wires, &text).await;
    assert_eq!(told.status(), Some(200));
    let contacts: Vec<&[u8]> = told.values(HeaderId::Contact).collect();
    assert_eq!(contacts, [&b"<tel:+13235554258>;expires=180"[..]]);
    assert!(told.to().unwrap().tag().is_some());
    assert_eq!(answer(&wires, &text).await.bytes(), told.bytes());
    let asked = location.lent.lock().unwrap().clone();
    let [asked] = &asked[..] else { panic!("asked once: {asked:?}") };
    assert_eq!(asked.contacts, ["<sip:line200@office.example>;q=0.5", "<sip:b@office.example>"]);
    assert_eq!((asked.allocate_for.as_str(), asked.expires), ("<tel:+18475550000>", Some(180)));
    assert_eq!((asked.ask.as_str(), asked.requester.as_str()), ("a 1 at", "sip:alice@example.com"));
}

/// ALC-11: the form in which the draft prints its example: a branch without the cookie, From without a tag, no Max-Forwards.
#[tokio::test(start_paused = true)]
async fn the_bare_form_of_the_draft_is_answered() {
    let (location, _rig, wires) = gateway().await;
    *location.identity.lock().unwrap() = "sip:line200@pbx.example".to_owned();
    let told = answer(
        &wires,
        &format!(
            "ALLOCATE sip:gw58.ca.pstn-gws.example SIP/2.0\r\nVia: SIP/2.0/UDP {ALICE}\r\nFrom: sip:line200@pbx.example\r\n\
             To: sip:gw58.ca.pstn-gws.example\r\nCall-ID: 70710@pbx.example\r\nCSeq: 1 ALLOCATE\r\n\
             Allocate-For: <tel:+18475550000>\r\nContact: <sip:line200@pbx.example>;expires=180\r\n\r\n"
        ),
    )
    .await;
    assert_eq!(told.status(), Some(200), "{told:?}");
    assert!(told.to().unwrap().tag().is_some());
    assert_eq!(location.lent.lock().unwrap()[0].requester, "sip:line200@pbx.example");
}

/// ALC-02: without a Contact, with a body, with an extension that is required.
#[tokio::test(start_paused = true)]
async fn what_asks_for_no_number_is_refused_here() {
    let (location, _rig, wires) = gateway().await;
    let contact = "Contact: <sip:line200@office.example>\r\n";
    let bodied = format!("{contact}Content-Type: text/plain\r\n");
    let required = format!("{contact}Require: magic\r\n");
    for (number, (lines, body, status)) in
        [("", "", 400), (bodied.as_str(), "x", 415), (required.as_str(), "", 420)].into_iter().enumerate()
    {
        let text = allocate(&format!("z9hG4bK{number}"), 1, lines, body);
        assert_eq!(answer(&wires, &text).await.status(), Some(status), "{lines}");
    }
    assert!(location.lent.lock().unwrap().is_empty());
}

/// ALC-02, ALC-07: a time that is none is not guessed at, and two numbers choose no pool.
#[tokio::test(start_paused = true)]
async fn what_can_be_read_in_two_ways_is_refused_with_words() {
    let (location, _rig, wires) = gateway().await;
    let contact = "Contact: <sip:line200@office.example>\r\n";
    let for_one = "Allocate-For: <tel:+18475550000>\r\n";
    for (number, (lines, word)) in [
        (format!("{contact}Expires: soon\r\n"), "Expires"),
        (format!("{contact}Expires: 60\r\nExpires: 90\r\n"), "Expires"),
        ("Contact: <sip:line200@office.example>;expires=soon\r\n".to_owned(), "Contact"),
        (format!("{contact}{for_one}{for_one}"), "Allocate-For"),
    ]
    .into_iter()
    .enumerate()
    {
        let told = answer(&wires, &allocate(&format!("z9hG4bK{number}"), 1, &lines, "")).await;
        assert_eq!(told.status(), Some(400), "{lines}");
        assert!(String::from_utf8_lossy(told.bytes()).contains(word), "{lines}: {told:?}");
    }
    assert!(location.lent.lock().unwrap().is_empty());
}

/// ALC-02: while a gateway elsewhere is asked the phone waits, and the registrar is asked again until there is an answer.
#[tokio::test(start_paused = true)]
async fn a_phone_waits_while_a_gateway_elsewhere_is_asked() {
    let (location, _rig, wires) = gateway().await;
    let lent = std::mem::take(&mut *location.lends.lock().unwrap());
    *location.later.lock().unwrap() = vec![lent];
    *location.lends.lock().unwrap() = AllocateResponse { pending: true, ..AllocateResponse::default() };
    let contact = "Contact: <sip:line200@office.example>\r\n";
    let told = answer(&wires, &allocate("z9hG4bKa", 1, contact, "")).await;
    assert_eq!(told.status(), Some(200));
    let asked = location.lent.lock().unwrap().clone();
    assert!(asked.len() == 2 && asked[0] == asked[1], "the same question: {asked:?}");
}

/// ALC-04, ALC-09: a refusal goes on as the registrar says it; one that did not answer is 503.
#[tokio::test(start_paused = true)]
async fn a_refusal_says_what_the_registrar_says() {
    let (location, _rig, wires) = gateway().await;
    let headers = vec![Header { name: "Min-Expires".to_owned(), value: "10".to_owned() }];
    *location.lends.lock().unwrap() =
        AllocateResponse { status: 423, headers, ..AllocateResponse::default() };
    let contact = "Contact: <sip:line200@office.example>;expires=5\r\n";
    let told = answer(&wires, &allocate("z9hG4bKa", 1, contact, "")).await;
    assert_eq!((told.status(), told.first(HeaderId::MinExpires)), (Some(423), Some(&b"10"[..])));
}

/// ALC-10: call-control is told whom to call, and nothing that names the number.
#[tokio::test(start_paused = true)]
async fn whoever_is_called_by_a_number_is_not_told_it() {
    let callee = "sip:line200@office.example".to_owned();
    let location = FakeLocation::planning(move |_| {
        Plan::CallControl(HandToCallControl { callee: callee.clone(), ..HandToCallControl::default() })
    });
    let (rig, wires) = Rig::on_wires(location, |_| {}).await;
    let number = "+13235554258";
    send(
        &wires,
        &format!(
            "INVITE sip:{number}@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bKi\r\nMax-Forwards: 70\r\n\
             From: <sip:alice@example.com>;tag=at\r\nTo: \"{number}\" <sip:{number}@example.com>\r\nCall-ID: c\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:alice@{ALICE}>\r\nSubject: lunch\r\nDiversion: <sip:{number}@example.com>\r\n\
             History-Info: <sip:{number}@example.com>;index=1\r\nContent-Length: 0\r\n\r\n"
        ),
    );
    let (_, event) = rig.events.next().await;
    let Some(What::Incoming(received)) = event.what else { panic!("a call begins: {event:?}") };
    assert_eq!(received.request_uri, "sip:line200@office.example");
    assert_eq!(
        received.to_uri,
        format!("sip:{number}@example.com"),
        "the caller's dialog is with what it called"
    );
    assert_eq!(received.to_display, "");
    let subjects: Vec<&str> = received.headers.iter().map(|header| header.name.as_str()).collect();
    assert!(subjects.contains(&"Subject"), "{subjects:?}");
    assert!(
        !received.headers.iter().any(|header| header.value.contains("3235554258")),
        "{:?}",
        received.headers
    );
}
