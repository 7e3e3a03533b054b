//! Who answers for the numbers that a call is led to.

use std::sync::Arc;

use cluster_api::edge::v1::SendRequest;
use cluster_api::edge::v1::carry_request::What as Effect;
use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Fork, Group, Redirect, Refuse, RouteRequest, Target};

use crate::forwarding::{INVITE, uri_of};
use crate::legs::invite;
use crate::peer::Peer;
use crate::rig::Rig;
use crate::services::FakeLocation;

const BOB: &str = "sip:bob@example.com";

/// T6, FWD-03, FWD-05, PXY-21: the registrar is told whose forwarding, redirection or contact leads to a number; one that may not be
/// called is as one that cannot be reached.
#[tokio::test]
async fn the_registrar_is_told_who_leads_a_call_elsewhere() {
    let (rig, location, phone) = rig().await;
    let alice = rig.peer().await;
    // forwarded, redirected, registered, redirected after it was forwarded
    for (user, answer, led_by) in [
        ("busy", Some(("486 Busy Here", vec![])), BOB),
        ("moved", Some(("302 Moved", vec!["Contact: <sip:+33@example.com>"])), BOB),
        ("contact", None, BOB),
        ("forwarded", None, "sip:list@example.com"),
        ("far", Some(("302 Moved", vec!["Contact: <sip:+33@example.com>"])), BOB),
    ] {
        location.routed.lock().unwrap().clear();
        let call = format!("Call-ID: {user}");
        let lines = [INVITE[0], INVITE[1], &call];
        alice.request(&format!("INVITE sip:{user}@example.com"), user, &lines).await;
        if let Some((status, lines)) = &answer {
            let at_phone = phone.receive_request("INVITE").await;
            phone.respond(&at_phone, status, "bt", lines).await;
            phone.receive_request("ACK").await;
        }
        let expected = if user == "busy" { 486 } else { 480 };
        let mut status = 181;
        while status < 200 {
            status = alice.receive_past_100().await.status().unwrap_or(0);
        }
        assert_eq!(status, expected, "{user}");
        let ack = format!("ACK sip:{user}@example.com");
        alice.request(&ack, user, &lines).await;
        let asked = location.routed.lock().unwrap().pop().unwrap();
        assert_eq!(asked.request_uri, "sip:+33@example.com", "{user}");
        assert_eq!((asked.led_by.as_str(), asked.referred_by.as_str()), (led_by, ""), "{user}");
    }
}

/// T6: a leg that is called because a phone said so says whose word it was; what its callee leads to is the callee's.
#[tokio::test]
async fn a_leg_says_on_whose_word_it_is_called() {
    let (rig, location, phone) = rig().await;
    let to = |user: &str| SendRequest {
        request_uri: format!("sip:{user}@example.com"),
        referred_by: "sip:alice@example.com".into(),
        ..invite()
    };
    rig.carry(1, Effect::Send(to("+33"))).await;
    rig.events.next().await;
    let word = |asked: &RouteRequest| (asked.led_by.clone(), asked.referred_by.clone());
    let asked: Vec<_> = location.routed.lock().unwrap().drain(..).map(|asked| word(&asked)).collect();
    assert_eq!(asked, [(String::new(), "sip:alice@example.com".to_owned())]);
    let sip_call_id = "leg-2".into();
    rig.carry(2, Effect::Send(SendRequest { sip_call_id, ..to("busy") })).await;
    let at_phone = phone.receive_request("INVITE").await;
    phone.respond(&at_phone, "486 Busy Here", "bt", &[]).await;
    rig.events.next().await;
    let last = location.routed.lock().unwrap().pop().unwrap();
    assert_eq!((last.request_uri.as_str(), last.led_by.as_str()), ("sip:+33@example.com", BOB));
}

async fn rig() -> (Rig, Arc<FakeLocation>, Peer) {
    let phone = Peer::unbound().await;
    let uri = uri_of(&phone);
    let location = FakeLocation::planning(move |asked: &RouteRequest| plan(&asked.request_uri, &uri));
    let rig = Rig::with(location.clone()).await;
    let phone = phone.toward(rig.address);
    (rig, location, phone)
}

fn plan(to: &str, phone: &str) -> Plan {
    let number = "sip:+33@example.com";
    let contact = |uri: &str| Target { uri: uri.into(), aor: BOB.into(), ..Target::default() };
    let forward = |uri: &str| Target { uri: uri.into(), led_by: BOB.into(), ..Target::default() };
    let group = |cause: &str, target| Group { targets: vec![target], cause: cause.into(), ring_time: None };
    let groups = match to.trim_start_matches("sip:").split('@').next().unwrap() {
        "busy" => vec![group("contact", contact(phone)), group("forward-busy", forward(number))],
        "moved" => vec![group("contact", contact(phone))],
        "contact" => vec![group("contact", contact(number))],
        "forwarded" => vec![group("forward-unconditional", forward("sip:list@example.com"))],
        // an account whose callers are only told its contacts
        "list" => return Plan::Redirect(Redirect { status: 302, contacts: vec![format!("<{number}>")] }),
        "far" => vec![group("forward-unconditional", forward(phone))],
        _ => return Plan::Refuse(Refuse { status: 480, ..Refuse::default() }),
    };
    Plan::Fork(Fork { groups, recurse: true })
}
