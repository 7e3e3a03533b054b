//! Phones behind the address of a trunk's peer.

use cluster_api::{
    registrar::v1::{RouteRequest, RouteResponse, Trunk, TrunkCredentials},
    sip::v1::Source,
};

use crate::rig::{Phone, Rig, contact, source, status, targets};
use crate::trunks::{create, trunk, update};

fn from_peer(request: RouteRequest, port: u32) -> RouteRequest {
    RouteRequest { source: Some(Source { address: "192.0.2.77".into(), port, ..source() }), ..request }
}

/// PXY-27, AUT-12: behind one address there are a trunk and a phone of ours. Who registered from there, who brings credentials and who
/// wants out is the user, and proves it; a call of the user's that the trunk sends back is the trunk's.
#[tokio::test]
async fn a_phone_behind_the_address_of_a_trunk_is_its_users() {
    let rig = Rig::new();
    rig.account("alice").await;
    rig.account("bob").await;
    create(&rig, trunk("pstn", &["sip:192.0.2.77"], &[""])).await.unwrap();
    Phone::of(&rig, "bob", "d").register(&[contact("sip:bob@h")]).await;
    let mut alice = Phone::of(&rig, "alice", "d");
    let mut register = alice.request(&[contact("sip:alice@192.0.2.77:6000")]);
    register.source = Some(Source { address: "192.0.2.77".into(), port: 6000, ..source() });
    register.flow = "flow-a".into();
    assert_eq!(alice.register_as(register).await.status, 200);

    let to_bob = alice.route_request("sip:bob@d");
    assert_eq!(status(&alice.send_route(from_peer(to_bob.clone(), 6000)).await), 407, "her phone");
    let answered = alice.route_as(from_peer(to_bob.clone(), 6000)).await;
    assert_eq!((answered.identity.as_str(), targets(&answered)), ("sip:alice@d", vec![vec!["sip:bob@h"]]));

    let back: RouteResponse = alice.send_route(from_peer(to_bob, 5060)).await;
    assert_eq!((back.identity.as_str(), targets(&back)), ("", vec![vec!["sip:bob@h"]]), "the trunk");

    assert_eq!(back.trunk, "", "its challenges cannot be answered");
    let login =
        TrunkCredentials { username: "u".into(), password: "zanzibar".into(), ..TrunkCredentials::default() };
    update(&rig, Trunk { credentials: Some(login), ..trunk("pstn", &[], &[]) }).await.unwrap();
    let to_bob = alice.route_request("sip:bob@d");
    assert_eq!(alice.send_route(from_peer(to_bob.clone(), 5060)).await.trunk, "pstn");
    assert_eq!(alice.route_as(from_peer(to_bob, 6000)).await.trunk, "", "she is no trunk");

    let out = from_peer(alice.route_request("sip:+49301@d"), 7000);
    assert_eq!(status(&alice.send_route(out.clone()).await), 407, "only a user may");
    assert_eq!(targets(&alice.route_as(out).await), [["sip:+49301@192.0.2.77;user=phone"]]);

    let stranger = RouteRequest { from_uri: "sip:nobody@d".into(), ..alice.route_request("sip:+49301@d") };
    assert_eq!(status(&alice.send_route(from_peer(stranger, 5060)).await), 404);
}
