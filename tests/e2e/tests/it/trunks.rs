//! Trunks and other domains with a static route, as operators set them up: over gRPC, with real phones, a real peer, and real refusals.

use std::io::Write;
use std::net::UdpSocket;

use cluster_api::callcontrol::v1::call_control_client::CallControlClient;
use cluster_api::callcontrol::v1::{DialRequest, Flow, ListCallsRequest, Party};
use cluster_api::registrar::v1::trunks_client::TrunksClient;
use cluster_api::registrar::v1::{CreateTrunkRequest, Trunk, TrunkPeer, TrunkPrefix};
use scripted_phone::{Happening, Remote, Script};
use test_support::{Carillon, Kamailio, TestPhone};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::wire::{Wire, header, status};

/// Carillon whose silent peers cost 1.3 s.
fn impatient() -> Carillon {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let text = "[sip]\nt1 = \"20ms\"\nt2 = \"160ms\"\nt4 = \"200ms\"\n[call_control]\nguard = \"1s\"\n";
    file.write_all(text.as_bytes()).unwrap();
    Carillon::serve(&["--config", file.path().to_str().unwrap()])
}

pub async fn create(carillon: &Carillon, trunk: Trunk) {
    let mut client = TrunksClient::connect(carillon.api.clone()).await.expect("the API answers");
    let request = CreateTrunkRequest { request_id: trunk.trunk_id.clone(), trunk: Some(trunk) };
    client.create_trunk(request).await.expect("a good trunk");
}

/// A trunk at one address for the numbers of one prefix.
pub fn trunk(name: &str, place: impl std::fmt::Display, prefix: &str) -> Trunk {
    Trunk {
        trunk_id: name.into(),
        peers: vec![TrunkPeer { uri: format!("sip:{place};transport=udp"), ..TrunkPeer::default() }],
        prefixes: vec![TrunkPrefix { prefix: prefix.into(), ..TrunkPrefix::default() }],
        ..Trunk::default()
    }
}

pub async fn alice(carillon: &Carillon) -> TestPhone {
    carillon.account("sip:alice@localhost", "secret");
    TestPhone::registered(&carillon.sip, "sip:alice@localhost", "secret", Script::plain()).await
}

pub async fn refused(phone: &mut TestPhone) -> u16 {
    match phone.wait_for("the refusal", |h| matches!(h, Happening::Refused { .. })).await {
        Happening::Refused { status, .. } => status,
        other => panic!("{other:?}"),
    }
}

pub const CONNECTED: fn(&Happening) -> bool = |happening| *happening == Happening::Connected;
pub const ENDED: fn(&Happening) -> bool = |happening| matches!(happening, Happening::Ended { .. });

/// PXY-27: an own user who has proved to be one calls a number, which goes out by the trunk of the longest prefix without the
/// user's credentials. A stranger's call does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_own_user_calls_a_number_by_a_trunk() {
    let carillon = Carillon::all_in_one();
    let [germany, world] = ["127.0.0.2", "127.0.0.3"].map(|ip| Wire::at(ip, &carillon));
    create(&carillon, trunk("world", world.address(), "")).await;
    create(&carillon, trunk("germany", germany.address(), "+49")).await;
    let mut alice = alice(&carillon).await;
    alice.act(Remote::Dial("sip:+49-30-1234@localhost;user=phone".into())).await;
    let request = germany.receive_request("INVITE");
    let start = format!("INVITE sip:+49301234@{};transport=udp;user=phone SIP/2.0\r\n", germany.address());
    assert!(request.starts_with(&start), "{request}");
    assert_eq!(header(&request, "Proxy-Authorization"), None);
    assert!(header(&request, "Record-Route").is_some(), "{request}");
    germany.respond(&request, "486 Busy Here", &[]);
    assert_eq!(refused(&mut alice).await, 486);
    germany.receive_request("ACK");
    world.expect_nothing();

    let stranger = Wire::at("127.0.0.9", &carillon);
    for (from, expected) in [("sip:alice@localhost", 407), ("sip:eve@elsewhere.test", 407)] {
        let from = format!("From: <{from}>;tag=s");
        let call_id = stranger.request("MESSAGE sip:+49301234@localhost;user=phone", &[&from]);
        assert_eq!(status(&stranger.answer_to(&call_id)), expected);
    }
    germany.expect_nothing();
}

/// DNS-05, SCN-09: a gateway that is silent and one that answers 503 are followed by the next one; who is busy is not called by
/// another one again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_trunk_stands_in_for_one_that_does_not_serve() {
    let carillon = impatient();
    let silent = UdpSocket::bind("127.0.0.2:0").unwrap();
    let [failing, busy, unused] = ["127.0.0.3", "127.0.0.4", "127.0.0.5"].map(|ip| Wire::at(ip, &carillon));
    let places = [silent.local_addr().unwrap(), failing.address(), busy.address(), unused.address()];
    for (priority, place) in (0..).zip(places) {
        create(&carillon, Trunk { priority, ..trunk(&format!("trunk-{priority}"), place, "+") }).await;
    }
    let mut alice = alice(&carillon).await;
    alice.act(Remote::Dial("sip:+1201555@localhost".into())).await;
    let request = failing.receive_request("INVITE");
    silent.recv(&mut [0; 4096]).expect("the silent one was asked first");
    failing.respond(&request, "503 Service Unavailable", &[]);
    let request = busy.receive_request("INVITE");
    busy.respond(&request, "486 Busy Here", &[]);
    assert_eq!(refused(&mut alice).await, 486);
    unused.expect_nothing();
}

/// A dialled party is reached by the trunk that the application names, whatever routing would choose.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialled_party_is_reached_by_the_trunk_that_it_names() {
    let carillon = Carillon::all_in_one();
    let [usual, named] = ["127.0.0.2", "127.0.0.3"].map(|ip| Wire::at(ip, &carillon));
    create(&carillon, trunk("usual", usual.address(), "")).await;
    create(&carillon, trunk("named", named.address(), "+999")).await;
    let mut alice = alice(&carillon).await;
    let mut client = CallControlClient::connect(carillon.api.clone()).await.expect("the API answers");
    let to = Party { uri: "tel:+49-30-1234".into(), trunk: Some("named".into()), ..Party::default() };
    let from = Party { uri: alice.aor.clone(), ..Party::default() };
    let flow = Flow::Iii.into();
    let request = DialRequest { from: Some(from), to: Some(to), flow, ..DialRequest::default() };
    client.dial(request).await.expect("a good call");
    let request = named.receive_request("INVITE");
    let start = format!("INVITE sip:+49301234@{};transport=udp;user=phone SIP/2.0\r\n", named.address());
    assert!(request.starts_with(&start), "{request}");
    named.respond(&request, "486 Busy Here", &[]);
    named.receive_request("ACK");
    alice.wait_for("the end", ENDED).await;
    usual.expect_nothing();
}

/// API 1, 2: who names a trunk that is not there, or not in use, is told so at once, and no phone rings for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_that_is_not_in_use_is_no_way_to_dial() {
    let carillon = Carillon::all_in_one();
    let gateway = Wire::at("127.0.0.2", &carillon);
    create(&carillon, Trunk { disabled: true, ..trunk("closed", gateway.address(), "") }).await;
    let alice = alice(&carillon).await;
    let mut client = CallControlClient::connect(carillon.api.clone()).await.expect("the API answers");
    let party = |uri: &str, trunk: Option<&str>| {
        Some(Party { uri: uri.into(), trunk: trunk.map(str::to_owned), ..Party::default() })
    };
    for (from, to, told) in [
        (None, Some("misspelt"), "to.trunk: there is no trunk \"misspelt\" in use"),
        (None, Some("closed"), "to.trunk: there is no trunk \"closed\" in use"),
        (Some("misspelt"), None, "from.trunk: there is no trunk \"misspelt\" in use"),
    ] {
        let request = DialRequest {
            from: party(&alice.aor, from),
            to: party("tel:+4930", to),
            request_id: "the-same".into(),
            ..DialRequest::default()
        };
        let refused = client.dial(request).await.expect_err(told);
        assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, told));
        let reason = refused.get_details_error_info().expect("a reason");
        assert_eq!(reason.reason, "TRUNK_NOT_FOUND");
    }
    let listed = client.list_calls(ListCallsRequest::default()).await.expect("listed").into_inner();
    assert_eq!(listed.calls, []);
    gateway.expect_nothing();
}

/// PXY-27, PXY-12: calls between the users of two servers, Kamailio being the other one, in both directions and ended from either side;
/// its users get no further than to ours, and nobody else comes in by their name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_of_kamailio_and_ours_call_each_other_and_nobody_is_relayed() {
    let carillon = Carillon::all_in_one();
    let kamailio = Kamailio::serving("peer.test", "127.0.0.2", &carillon.sip);
    let gateway = Wire::at("127.0.0.3", &carillon);
    create(&carillon, trunk("pstn", gateway.address(), "")).await;
    let domains = vec!["peer.test".to_owned()];
    create(&carillon, Trunk { domains, prefixes: vec![], ..trunk("peer", kamailio.address, "") }).await;
    let mut alice = alice(&carillon).await;
    let place = kamailio.address.to_string();
    let mut bob = TestPhone::registered(&place, "sip:bob@peer.test", "", Script::default()).await;

    alice.act(Remote::Dial("sip:bob@peer.test".into())).await;
    bob.wait_for("the call", CONNECTED).await;
    alice.wait_for("the answer", CONNECTED).await;
    bob.act(Remote::Hangup).await;
    alice.wait_for("the end", ENDED).await;
    bob.wait_for("the end", ENDED).await;

    bob.act(Remote::Dial("sip:alice@localhost".into())).await;
    alice.wait_for("the call", CONNECTED).await;
    bob.wait_for("the answer", CONNECTED).await;
    alice.act(Remote::Hangup).await;
    bob.wait_for("the end", ENDED).await;
    alice.wait_for("the end", ENDED).await;

    // what Kamailio does not know it passes to us
    for (uri, status) in [("sip:eve@elsewhere.test", 403), ("sip:+4930@localhost", 404)] {
        bob.act(Remote::Dial(uri.into())).await;
        assert_eq!(refused(&mut bob).await, status, "{uri}");
    }
    gateway.expect_nothing();
    let stranger = Wire::at("127.0.0.9", &carillon);
    let call_id = stranger.request("MESSAGE sip:alice@localhost", &["From: <sip:bob@peer.test>;tag=s"]);
    assert_eq!(status(&stranger.answer_to(&call_id)), 407);
}

/// What an operator does by commands.
#[test]
fn the_command_adds_shows_disables_and_deletes_trunks() {
    let carillon = Carillon::all_in_one();
    let trunk = |arguments: &[&str]| {
        let done = carillon.command(&[&["trunk"], arguments].concat());
        let text = String::from_utf8_lossy(if done.status.success() { &done.stdout } else { &done.stderr });
        (done.status.code(), text.into_owned())
    };
    let peer = ["--peer", "sip:192.0.2.7;transport=tcp"];
    let add =
        [&["add", "carrier", "--prefix", "+49", "--prefix", "", "--domain", "peer.test"], &peer[..]].concat();
    assert_eq!(trunk(&add).0, Some(0));
    let (_, listed) = trunk(&["list"]);
    for part in ["carrier", "sip:192.0.2.7;transport=tcp", "+49 *", "peer.test"] {
        assert!(listed.contains(part), "{part} in {listed}");
    }
    let (status, refusal) = trunk(&add);
    assert_eq!(status, Some(1));
    assert!(refusal.contains("there is a trunk carrier"), "{refusal}");
    assert!(trunk(&["set", "carrier", "--disabled", "true", "--json"]).1.contains("\"disabled\":true"));
    assert_eq!(trunk(&["delete", "carrier"]).0, Some(0));
    assert_eq!(trunk(&["delete", "carrier"]).0, Some(1));
    assert!(!trunk(&["list"]).1.contains("carrier"));
}
