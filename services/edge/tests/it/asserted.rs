//! Who somebody is said to be beside From.

use sip_message::{HeaderId, Message};

use crate::peer::{Peer, values};
use crate::rig::Rig;
use crate::services::{FakeLocation, fork_to};
use crate::tier::{NOWHERE, Tier, lines};

const ASSERTED: [&str; 4] = [
    "P-Asserted-Identity: \"The Boss\" <sip:boss@example.com>",
    "P-Preferred-Identity: <sip:boss@example.com>",
    "Remote-Party-ID: <sip:boss@example.com>;party=calling",
    "x-internal-Account: boss",
];

/// T11, SEC-03: RFC 3325 5: what a phone says of itself, or of who answers, reaches nobody; what it says in From is for the registrar.
#[tokio::test]
async fn a_phone_asserts_no_identity() {
    let (_rig, alice, bob) = edge("").await;
    assert_eq!(shown(&call(&alice, &bob, "a1", &ASSERTED).await), [0; 4]);
    let invite = call(&alice, &bob, "a2", &[]).await;
    bob.respond(&invite, "486 Busy Here", "bt", &ASSERTED).await;
    assert_eq!(shown(&alice.receive_status(486).await), [0; 4]);
}

/// T11: RFC 3325 5: a neighbour that the operator trusts is believed, in requests and responses, but what is to be private is shown to
/// no phone (7).
#[tokio::test]
async fn a_trusted_neighbour_asserts_what_it_likes_but_phones_see_nothing_private() {
    let (_rig, alice, bob) = edge("127.0.0.0/8").await;
    let invite = call(&alice, &bob, "a1", &ASSERTED).await;
    assert_eq!(shown(&invite), [1; 4]);
    bob.respond(&invite, "486 Busy Here", "bt", &ASSERTED).await;
    assert_eq!(shown(&alice.receive_status(486).await), [1; 4]);
    let private = [ASSERTED[0], "Privacy: critical; id"];
    assert_eq!(shown(&call(&alice, &bob, "a2", &private).await), [0; 4]);
    assert_eq!(shown(&call(&alice, &bob, "a3", &[ASSERTED[0], "Privacy: none"]).await), [1, 0, 0, 0]);
}

/// T11: the edge that has the phone believes the one that has looked at the request, and nobody who calls himself one.
#[tokio::test]
async fn an_edge_believes_another_one() {
    let trusting = |config: &mut edge::Config| config.trusted = vec!["127.0.0.0/8".parse().unwrap()];
    let tier = Tier::configured(trusting, |_| {}).await;
    let alice = tier.entry.peer().await;
    let bob = tier.registered(NOWHERE).await;
    let mut all = lines(&alice).to_vec();
    all.push(ASSERTED[0]);
    alice.request("INVITE sip:bob@example.com", "a1", &all).await;
    assert_eq!(shown(&bob.receive_request("INVITE").await), [1, 0, 0, 0]);
}

/// Alice and Bob at an edge that trusts these networks.
async fn edge(trusted: &str) -> (Rig, Peer, Peer) {
    let bob = Peer::unbound().await;
    let uri = format!("sip:bob@{}", bob.address());
    let location = FakeLocation::planning(move |_| fork_to(std::slice::from_ref(&uri)));
    let rig = Rig::configured(location, |config| {
        config.trusted = trusted.split_terminator(',').map(|network| network.parse().unwrap()).collect();
    })
    .await;
    let (alice, bob) = (rig.peer().await, bob.toward(rig.address));
    (rig, alice, bob)
}

async fn call(alice: &Peer, bob: &Peer, branch: &str, lines: &[&str]) -> Message {
    let call_id = format!("Call-ID: {branch}");
    let mut all = vec!["From: <sip:alice@example.com>;tag=at", "To: <sip:bob@example.com>", &call_id];
    all.extend(lines);
    alice.request("INVITE sip:bob@example.com", branch, &all).await;
    loop {
        let request = bob.receive().await;
        if request.method_str() == "INVITE" && request.call_id().ok() == Some(branch.as_bytes()) {
            return request;
        }
    }
}

/// How many of each.
fn shown(message: &Message) -> [usize; 4] {
    let [asserted, preferred, party] =
        [HeaderId::PAssertedIdentity, HeaderId::PPreferredIdentity, HeaderId::RemotePartyId]
            .map(|id| values(message, id).len());
    [asserted, preferred, party, message.named("X-Internal-Account").count()]
}
