//! What a trunk asks of us and we of it: credentials, registrations, and whether its peers answer. The far side is a real Kamailio that
//! wants a digest of everybody.

use std::time::Instant;

use cluster_api::registrar::v1::trunks_client::TrunksClient;
use cluster_api::registrar::v1::{
    GetTrunkRequest, Trunk, TrunkCredentials, TrunkPeer, TrunkProbe, TrunkRegistration,
    TrunkRegistrationState, trunk_peer_health::State,
};
use scripted_phone::{Remote, Script};
use test_support::{Carillon, Kamailio, PATIENCE, Redis, TestPhone};

use crate::trunks::{CONNECTED, ENDED, alice, create, refused, trunk};
use crate::wire::{Wire, header};

const PASSWORD: &str = "zanzibar";

/// The domain of a Kamailio as a trunk, with credentials for its realm.
fn carrier(kamailio: &Kamailio, password: &str) -> Trunk {
    let credentials = TrunkCredentials {
        username: "carillon".into(),
        password: password.into(),
        realm: "peer.test".into(),
    };
    Trunk {
        domains: vec!["peer.test".into()],
        credentials: Some(credentials),
        ..trunk("carrier", kamailio.address, "+")
    }
}

fn registration() -> TrunkRegistration {
    TrunkRegistration {
        registrar_uri: "sip:peer.test".into(),
        aor: "sip:carillon@peer.test".into(),
        callee: "sip:alice@localhost".into(),
        expires: None,
    }
}

async fn get(carillon: &Carillon) -> Trunk {
    let mut client = TrunksClient::connect(carillon.api.clone()).await.expect("the API answers");
    let request = GetTrunkRequest { trunk_id: "carrier".into() };
    client.get_trunk(request).await.expect("the trunk").into_inner()
}

/// Looks at the trunk until it is so.
async fn until(carillon: &Carillon, what: &str, is_so: impl Fn(&Trunk) -> bool) -> Trunk {
    let started = Instant::now();
    loop {
        let trunk = get(carillon).await;
        if is_so(&trunk) {
            return trunk;
        }
        assert!(started.elapsed() < PATIENCE, "{what}: {trunk:?}");
        tokio::task::yield_now().await;
    }
}

fn is_registered(trunk: &Trunk) -> bool {
    trunk.registration_state.as_ref().is_some_and(|state| state.sip_status == 200)
}

/// AUT-13: Kamailio wants a digest for every call, by either algorithm: a user's call and a dialled leg get through with the trunk's
/// credentials and end normally, and a trunk whose credentials are wrong does not serve.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_gets_through_a_trunk_that_wants_a_digest() {
    for algorithm in ["MD5", "SHA-256"] {
        let carillon = Carillon::all_in_one();
        let kamailio = Kamailio::challenging("peer.test", "127.0.0.2", &carillon.sip, PASSWORD, algorithm);
        create(&carillon, carrier(&kamailio, PASSWORD)).await;
        let mut alice = alice(&carillon).await;
        let place = kamailio.address.to_string();
        let mut bob = TestPhone::registered(&place, "sip:+4930@peer.test", PASSWORD, Script::plain()).await;
        for uri in ["sip:+4930@localhost", "sip:+4930@peer.test"] {
            alice.act(Remote::Dial(uri.into())).await;
            bob.wait_for("the call", CONNECTED).await;
            alice.wait_for("the answer", CONNECTED).await;
            bob.act(Remote::Hangup).await;
            alice.wait_for("the end", ENDED).await;
            bob.wait_for("the end", ENDED).await;
        }
        let dial = ["dial", &alice.aor, "tel:+49-30"];
        assert!(carillon.command(&dial).status.success());
        alice.wait_for("the dialled call", CONNECTED).await;
        bob.wait_for("the dialled call", CONNECTED).await;
        alice.act(Remote::Hangup).await;
        bob.wait_for("the end", ENDED).await;
        alice.wait_for("the end", ENDED).await;

        let wrong = ["trunk", "set", "carrier", "--username", "carillon", "--realm", "peer.test"];
        assert!(carillon.command(&[&wrong[..], &["--password", "wrong"]].concat()).status.success());
        alice.act(Remote::Dial("sip:+4930@localhost".into())).await;
        assert_eq!(refused(&mut alice).await, 500, "and is not asked for the trunk's password");
    }
}

/// AUT-13, PXY-27: we register with a digest; whoever calls the registered address there reaches our user, and after the trunk is out
/// of use, nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_brings_calls_in_until_the_trunk_is_out_of_use() {
    let carillon = Carillon::all_in_one();
    let kamailio = Kamailio::challenging("peer.test", "127.0.0.2", &carillon.sip, PASSWORD, "SHA-256");
    let mut alice = alice(&carillon).await;
    let place = kamailio.address.to_string();
    let mut bob = TestPhone::registered(&place, "sip:bob@peer.test", PASSWORD, Script::default()).await;
    create(&carillon, Trunk { registration: Some(registration()), ..carrier(&kamailio, PASSWORD) }).await;
    until(&carillon, "registered", is_registered).await;
    let listed = String::from_utf8(carillon.command(&["trunk", "list"]).stdout).expect("text");
    assert!(listed.contains("REGISTERED") && listed.contains("200"), "{listed}");
    assert!(!listed.contains(PASSWORD), "{listed}");

    bob.act(Remote::Dial("sip:carillon@peer.test".into())).await;
    alice.wait_for("the call", CONNECTED).await;
    bob.wait_for("the answer", CONNECTED).await;
    alice.act(Remote::Hangup).await;
    bob.wait_for("the end", ENDED).await;
    alice.wait_for("the end", ENDED).await;

    assert!(carillon.command(&["trunk", "set", "carrier", "--disabled", "true"]).status.success());
    let started = Instant::now();
    loop {
        bob.act(Remote::Dial("sip:carillon@peer.test".into())).await;
        match refused(&mut bob).await {
            404 => break,
            // until Kamailio has taken leave of us
            status => assert!(started.elapsed() < PATIENCE, "{status}"),
        }
    }
}

/// F1: two edges and Redis: the contact leads to an edge, which is killed; the other one registers, and calls come in through it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_outlives_the_edge_that_its_contact_leads_to() {
    let redis = Redis::start();
    let url = redis.url();
    let common = ["--redis", &url];
    let registrar =
        Carillon::serve(&[&["--roles", "registrar", "--id", "registrar-1"], &common[..]].concat());
    let at = format!("registrar={}", registrar.api);
    let calls = Carillon::serve(
        &[&["--roles", "call-control", "--id", "cc-1", "--peers", &at], &common[..]].concat(),
    );
    let cc = format!("call-control={}", calls.api);
    let edge = |id: &str| Carillon::serve(&["--roles", "edge", "--id", id, "--peers", &at, "--peers", &cc]);
    let mut edges = vec![edge("edge-1"), edge("edge-2")];
    let kamailio = Kamailio::challenging("peer.test", "127.0.0.2", &edges[0].sip, PASSWORD, "MD5");
    create(&registrar, Trunk { registration: Some(registration()), ..carrier(&kamailio, PASSWORD) }).await;
    let state = until(&registrar, "registered", is_registered).await.registration_state.expect("a state");
    let of = usize::from(state.edge_id == "edge-2");
    let mut dead = edges.remove(of);
    registrar.account("sip:alice@localhost", "secret");
    let mut alice =
        TestPhone::registered(&edges[0].sip, "sip:alice@localhost", "secret", Script::plain()).await;
    let place = kamailio.address.to_string();
    let mut bob = TestPhone::registered(&place, "sip:bob@peer.test", PASSWORD, Script::default()).await;
    dead.kill();
    let other = ["edge-2", "edge-1"][of];
    let has_moved = |state: &TrunkRegistrationState| state.sip_status == 200 && state.edge_id == other;
    until(&registrar, "the other edge", |trunk| trunk.registration_state.as_ref().is_some_and(has_moved))
        .await;
    bob.act(Remote::Dial("sip:carillon@peer.test".into())).await;
    alice.wait_for("the call", CONNECTED).await;
    bob.wait_for("the answer", CONNECTED).await;
}

/// DNS-05, F23: a peer that says 503 to OPTIONS gets no calls and comes back with its next answer; one that is silent or answers
/// garbage delays nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_serve_gets_no_calls_until_it_answers() {
    let carillon = Carillon::all_in_one();
    let [failing, good, garbled] = ["127.0.0.2", "127.0.0.3", "127.0.0.4"].map(|ip| Wire::at(ip, &carillon));
    let peer = |priority, wire: &Wire| TrunkPeer {
        uri: format!("sip:{};transport=udp", wire.address()),
        priority,
        weight: 0,
    };
    let interval = Some(prost_types::Duration { seconds: 5, nanos: 0 });
    let probe = Some(TrunkProbe { interval, failures: 1 });
    let peers = vec![peer(0, &failing), peer(1, &good)];
    create(&carillon, Trunk { probe, peers, ..trunk("carrier", "x", "+") }).await;
    create(&carillon, Trunk { probe, ..trunk("garbled", garbled.address(), "+99") }).await;
    garbled.receive_request("OPTIONS");
    garbled.send("SIP/2.0 200\r\n\r\n");
    let options = failing.receive_request("OPTIONS");
    failing.respond(&options, "503 Service Unavailable", &[]);
    good.respond(&good.receive_request("OPTIONS"), "404 Not Found", &[]);
    until(&carillon, "down", |trunk| trunk.health[0].state() == State::Down).await;
    let mut alice = alice(&carillon).await;
    alice.act(Remote::Dial("sip:+4930@localhost".into())).await;
    let invite = good.receive_request("INVITE");
    assert!(header(&invite, "Record-Route").is_some(), "{invite}");
    good.respond(&invite, "486 Busy Here", &[]);
    assert_eq!(refused(&mut alice).await, 486);
    failing.respond(&failing.receive_request("OPTIONS"), "405 Method Not Allowed", &[]);
    until(&carillon, "up", |trunk| trunk.health[0].state() == State::Up).await;
}
