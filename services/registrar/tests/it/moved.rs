//! What takes the place of a flow that is gone.

use std::time::Duration;

use cluster_api::registrar::v1::{
    EndFlowsRequest, EndedFlow, RegisterContact, RegisterRequest, Target, WakeRequest,
    location_server::Location as _, wake_response::State,
};
use cluster_api::sip::v1::Source;
use tonic::Request;

use crate::rig::{Phone, Rig, contact, source};

const INSTANCE: &str = "+sip.instance=\"<urn:uuid:1>\"";

/// Registers a contact of the device over a connection.
async fn register(phone: &mut Phone, uri: &str, params: &[&str], flow: &str) {
    let params = params.iter().map(|param| (*param).to_owned()).collect();
    let request = phone.request(&[RegisterContact { params, ..contact(uri) }]);
    let source = Source { transport: "tcp".into(), ..source() };
    let request = RegisterRequest {
        flow: flow.to_owned(),
        source: Some(source),
        supported: vec!["outbound".into(), "path".into()],
        ..request
    };
    assert_eq!(phone.send(request).await.status, 200);
}

/// What every replica says of a flow.
async fn after(rig: &Rig, aor: &str, flow: &str) -> (State, Option<Target>) {
    let mut said = Vec::new();
    for replica in &rig.replicas {
        let request = WakeRequest { aor: aor.into(), flow: flow.into(), ..WakeRequest::default() };
        let answer = replica.wake(Request::new(request)).await.unwrap().into_inner();
        said.push((answer.state(), answer.target));
    }
    assert!(said.iter().all(|one| *one == said[0]), "{said:?}");
    said.swap_remove(0)
}

async fn flow_after(rig: &Rig, flow: &str) -> Option<String> {
    after(rig, "", flow).await.1.map(|target| target.flow)
}

/// F1, F5: a device is found by a token alone, however its flow was lost: told by its edge, taken over by the same flow of the device, or
/// by another contact of a device that keeps none.
#[tokio::test(start_paused = true)]
async fn a_device_is_found_by_the_flow_that_it_had() {
    let rig = Rig::new();
    let mut bob = Phone::of(&rig, "bob", "open");
    register(&mut bob, "sip:b@h1", &[INSTANCE, "reg-id=1"], "one").await;
    register(&mut bob, "sip:b@h2", &[INSTANCE, "reg-id=1"], "two").await;
    assert_eq!(flow_after(&rig, "one").await.as_deref(), Some("two"), "taken over");
    let flows = vec![EndedFlow { to_uri: "sip:bob@open".into(), flow: "two".into(), life: None }];
    rig.registrar().end_flows(Request::new(EndFlowsRequest { flows })).await.unwrap();
    assert_eq!(after(&rig, "sip:bob@open", "two").await.0, State::Lost, "a call does not wait for it");
    register(&mut bob, "sip:b@h3", &[INSTANCE, "reg-id=1"], "three").await;
    for old in ["one", "two"] {
        assert_eq!(flow_after(&rig, old).await.as_deref(), Some("three"), "{old}");
    }
    let mut carol = Phone::of(&rig, "carol", "open");
    register(&mut carol, "sip:c@h1", &[INSTANCE], "four").await;
    register(&mut carol, "sip:c@h2", &[INSTANCE], "five").await;
    assert_eq!(flow_after(&rig, "four").await.as_deref(), Some("five"), "another contact");
    let (state, found) = after(&rig, "sip:carol@open", "four").await;
    assert_eq!((state, found.map(|target| target.aor)), (State::Awake, Some("sip:carol@open".into())));
    assert_eq!(after(&rig, "sip:bob@open", "four").await.0, State::Lost, "it is hers");
}

/// A flow is forgotten some hours after it was lost, and one that nobody had never leads anywhere.
#[tokio::test(start_paused = true)]
async fn a_flow_that_nobody_had_or_had_long_ago_leads_nowhere() {
    let rig = Rig::new();
    let mut bob = Phone::of(&rig, "bob", "open");
    register(&mut bob, "sip:b@h1", &[INSTANCE, "reg-id=1"], "one").await;
    register(&mut bob, "sip:b@h2", &[INSTANCE, "reg-id=1"], "two").await;
    register(&mut bob, "sip:b@h9", &["+sip.instance=\"<urn:uuid:9>\"", "reg-id=1"], "nine").await;
    assert_eq!(flow_after(&rig, "none").await, None);
    assert_eq!(flow_after(&rig, &"x".repeat(1_000)).await, None);
    rig.clock.advance(Duration::from_secs(4 * 3600 + 1));
    register(&mut bob, "sip:b@h2", &[INSTANCE, "reg-id=1"], "two").await;
    assert_eq!(flow_after(&rig, "one").await, None);
}
