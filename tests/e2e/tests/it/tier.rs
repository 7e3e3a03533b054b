//! Two edges of one tier as processes of their own, each with an address of its own.

use std::time::Instant;

use cluster_api::callcontrol::v1::call_event;
use scripted_phone::{Happening, Script};
use serde_json::Value;
use test_support::{Carillon, PATIENCE, Redis, TestPhone};

use crate::calls::{Watch, dial, outcome};
use crate::wire::{Wire, header, status};

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

/// F1, LAD-1, OBD-05, OBD-07: Alice sits behind a NAT at one edge, the other one carries her leg and dies. She is called from where she
/// registered, and ends the call through her own edge.
// The sockets of Alice block: Bob needs a thread of his own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_ends_its_call_through_its_own_edge_when_the_one_that_carried_it_is_dead() {
    let mut tier = Tier::start();
    let alice = tier.alice();
    let mut bob = TestPhone::registered(&tier.own.sip, "sip:bob@localhost", "", Script::default()).await;
    let (id, invite) = tier.dialled(&alice);
    alice.respond_with(&invite, "200 OK", &[CONTACT, "Content-Type: application/sdp"], SDP);
    alice.receive_request("ACK");
    bob.wait_for("the call", |h| *h == Happening::Connected).await;
    tier.carrying.kill();

    let leg = header(&invite, "Contact").expect("an INVITE has a Contact").trim_matches(['<', '>']);
    let of = |name: &str| header(&invite, name).expect("every request has it");
    let dialog = [
        format!("From: {};tag=w", of("To")),
        format!("To: {}", of("From")),
        format!("Call-ID: {}", of("Call-ID")),
    ];
    let dialog: Vec<&str> = dialog.iter().map(String::as_str).collect();
    let bye = alice.request(&format!("BYE {leg}"), &dialog);
    let answer = alice.answer_to(&bye);
    assert_eq!(status(&answer), 200, "{answer}");
    bob.wait_for("the end", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
    let outcome: Value = outcome(&tier.call_control, &id).await;
    assert_eq!(outcome["kind"], "COMPLETED", "{outcome}");
}

/// F1, LAD-1, OBD-07: the other way round: Alice's own edge dies while she rings, and the one that carries her leg lives. The call ends
/// clearly, and what cannot be cancelled any more is told by BYE.
#[tokio::test]
async fn a_phone_stops_ringing_when_its_own_edge_dies() {
    let mut tier = Tier::start();
    let alice = tier.alice();
    let (id, invite) = tier.dialled(&alice);
    alice.respond(&invite, "180 Ringing", &[CONTACT]);
    let mut watch = Watch::begin(&tier.call_control, &id, Some(String::new())).await;
    watch.until(call_event::Type::LegRinging).await;
    tier.own.kill();
    let outcome = outcome(&tier.call_control, &id).await;
    let found = (&outcome["kind"], &outcome["sip_status"], &outcome["ended_by"]);
    assert_eq!(found, (&"FAILED".into(), &503.into(), &"carillon".into()), "{outcome}");
    let bye = alice.receive_request("BYE");
    assert_eq!(header(&bye, "Call-ID"), header(&invite, "Call-ID"));
    assert!(header(&bye, "Via").is_some_and(|via| via.contains(&tier.carrying.sip)), "{bye}");
}

/// What Alice registers: an address that only her edge can make something of.
const CONTACT: &str = "Contact: <sip:alice@df7jal23ls0d.invalid>";

/// One edge that carries legs and one that has Alice's flow, and what they need.
struct Tier {
    carrying: Carillon,
    own: Carillon,
    call_control: Carillon,
    _registrar: Carillon,
    _redis: Redis,
}

impl Tier {
    fn start() -> Self {
        let redis = Redis::start();
        let serve = |role: &str, id: &str, peers: &[&str]| {
            let mut arguments = vec!["--roles", role, "--id", id, "--auth", "none"];
            arguments.extend(peers.iter().flat_map(|peer| ["--peers", *peer]));
            if role != "edge" {
                arguments.extend(["--redis", redis.url().leak()]);
            }
            Carillon::serve(&arguments)
        };
        let registrar = serve("registrar", "registrar-1", &[]);
        let at = format!("registrar={}", registrar.api);
        let call_control = serve("call-control", "call-control-1", &[&at]);
        let peers = [at.as_str(), &format!("call-control={}", call_control.api)];
        let (carrying, own) = (serve("edge", "edge-1", &peers), serve("edge", "edge-2", &peers));
        Self { carrying, own, call_control, _registrar: registrar, _redis: redis }
    }

    fn alice(&self) -> Wire {
        let alice = Wire::of(&self.own);
        let registered = alice.request("REGISTER sip:localhost", &["To: <sip:alice@localhost>", CONTACT]);
        assert_eq!(status(&alice.answer_to(&registered)), 200);
        alice
    }

    /// A call whose first leg comes to Alice through her own edge from the other one, and the INVITE of it.
    fn dialled(&self, alice: &Wire) -> (String, String) {
        // Tried again and again: call-control spreads legs over the edges, which learn within a second where the other one listens and
        // tell nobody that they know.
        let started = Instant::now();
        loop {
            let id = dial(&self.call_control, &["--flow", "i"]);
            let invite = alice.receive_request("INVITE");
            let says = |name: &str, edge: &Carillon| {
                header(&invite, name).is_some_and(|value| value.contains(&edge.sip))
            };
            if says("Contact", &self.carrying) && says("Via", &self.own) {
                return (id, invite);
            }
            assert!(started.elapsed() < PATIENCE, "never by the other edge through Alice's own: {invite}");
            alice.respond(&invite, "486 Busy Here", &[]);
            alice.receive_request("ACK");
        }
    }
}
