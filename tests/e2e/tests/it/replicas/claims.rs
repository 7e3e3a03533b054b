//! INVITEs with Replaces of a phone that takes a call over: one that rings elsewhere, and one that is answered.

use cluster_api::callcontrol::v1::call_event::Type;
use cluster_api::callcontrol::v1::transfer_target::Target;
use cluster_api::callcontrol::v1::{TransferRequest, TransferTarget, transfer_request};
use scripted_phone::{Happening, Remote, Script};
use test_support::{Carillon, TestPhone};

use crate::calls::Watch;
use crate::wire::{Wire, header, status};

use super::{Cluster, count, until};

const SDP: &str = "Content-Type: application/sdp";

fn session(port: u16) -> String {
    format!(
        "v=0\r\no=w 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
    )
}

/// Alice and bob at different edges, and carol, who is trusted to say who she is and may take calls.
struct Scene {
    cluster: Cluster,
    alice: TestPhone,
    bob: Wire,
}

impl Scene {
    async fn start() -> Self {
        let cluster = Cluster::start(&[
            ("CARILLON_AUTH", "none"),
            ("CARILLON_EDGE_TRUSTED", "127.0.0.2/32"),
            ("CARILLON_CALL_CONTROL_TAKERS", "sip:carol@localhost"),
        ]);
        cluster.registrar.account("sip:bob@localhost", "secret");
        cluster.anchor("bob");
        let at = &cluster.edges[0].sip;
        let alice = TestPhone::registered(at, "sip:alice@localhost", "secret", Script::default()).await;
        let bob = Wire::of(&cluster.edges[1]);
        let lines = ["From: <sip:bob@localhost>;tag=r", "To: <sip:bob@localhost>", &contact(&bob, "bob")];
        let registered = bob.request("REGISTER sip:localhost", &lines);
        assert_eq!(status(&bob.answer_to(&registered)), 200);
        Self { cluster, alice, bob }
    }

    /// Alice calls, and bob's phone rings.
    async fn ringing(&mut self, watch: &mut Watch) -> String {
        self.alice.act(Remote::Dial("sip:bob@localhost".into())).await;
        let invite = self.bob.receive_request("INVITE");
        self.bob.respond(&invite, "180 Ringing", &[&contact(&self.bob, "bob")]);
        until(watch, Type::LegRinging, "b").await;
        invite
    }

    /// Carol, at the edge that does not carry bob's leg.
    fn carol(&self, invite: &str) -> Wire {
        let carries = |edge: &&Carillon| target(invite).contains(&edge.sip);
        let other = self.cluster.edges.iter().find(|edge| !carries(edge)).expect("there are two");
        Wire::at("127.0.0.2", other)
    }

    /// Carol says that she takes bob's place; what she is answered.
    fn takes(&self, by: &Wire, invite: &str, further: &str, identity: &[&str]) -> String {
        let tag = header(invite, "From").and_then(|from| from.split(";tag=").nth(1)).expect("a tag");
        let call = header(invite, "Call-ID").expect("a Call-ID");
        let replaces = format!("Replaces: {call};to-tag={tag};from-tag=w{further}");
        let start = format!("INVITE {}", target(invite));
        let own = contact(by, "carol");
        let to = format!("To: <{}>", target(invite));
        let lines = [&["From: <sip:carol@localhost>;tag=c", &to, &own, &replaces, SDP], identity].concat();
        let (text, call_id) = by.compose(&start, &lines);
        let offer = session(6000);
        by.send(&text.replace(
            "Content-Length: 0\r\n\r\n",
            &format!("Content-Length: {}\r\n\r\n{offer}", offer.len()),
        ));
        let answer = by.answer_to(&call_id);
        if status(&answer) == 200 {
            let same = ["From", "To", "Call-ID"]
                .map(|name| format!("{name}: {}", header(&answer, name).expect("all have it")));
            let lines = [same[0].as_str(), &same[1], &same[2], "CSeq: 1 ACK"];
            by.request(&format!("ACK {}", target(&answer)), &lines);
        }
        answer
    }

    /// Alice hangs up, and carol hears of it.
    async fn ends(&mut self, carol: &Wire, watch: &mut Watch) {
        self.alice.act(Remote::Hangup).await;
        let bye = carol.receive_request("BYE");
        carol.respond(&bye, "200 OK", &[]);
        watch.until(Type::Ended).await;
        assert_eq!(count(watch, Type::Ended), 1, "{:#?}", watch.seen);
    }
}

fn contact(wire: &Wire, user: &str) -> String {
    format!("Contact: <sip:{user}@{}>", wire.address())
}

fn target(message: &str) -> String {
    header(message, "Contact")
        .expect("a Contact")
        .trim_start_matches('<')
        .split('>')
        .next()
        .unwrap_or_default()
        .to_owned()
}

const CAROL: &[&str] = &["P-Asserted-Identity: <sip:carol@localhost>"];

/// CCL-09, CCL-10, CCL-11, SCN-19, TPC-15, F4: bob's phone rings. Who has proved to be nobody may not take the call, though it says to be carol;
/// carol takes it after the replica that led it has died: bob's phone is silent, and she talks to alice.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_rings_is_picked_up_though_its_replica_dies() {
    let mut scene = Scene::start().await;
    let mut watch = Watch::begin_all(&scene.cluster.calls[1]).await;
    let invite = scene.ringing(&mut watch).await;
    let (mallory, carol) = (Wire::of(&scene.cluster.edges[1]), scene.carol(&invite));
    let refused = scene.takes(&mallory, &invite, ";early-only", CAROL);
    assert_eq!(status(&refused), 403, "{refused}");
    let wrong = scene.takes(&carol, &invite, "x;early-only", CAROL);
    assert_eq!(status(&wrong), 481, "no dialog has that tag: {wrong}");

    let id = watch.seen[0].call_id.clone();
    let mut watch = Watch::begin(&scene.cluster.calls[1], &id, Some(String::new())).await;
    scene.cluster.calls[0].kill();
    let taken = scene.takes(&carol, &invite, ";early-only", CAROL);
    assert_eq!(status(&taken), 200, "{taken}");
    let cancel = scene.bob.receive_request("CANCEL");
    assert!(header(&cancel, "Reason").is_some_and(|reason| reason.contains("cause=200")), "{cancel}");
    scene.bob.respond(&cancel, "200 OK", &[]);
    scene.bob.respond(&invite, "487 Request Terminated", &[]);
    let asked = carol.receive_request("INVITE");
    let carols = contact(&carol, "carol");
    carol.respond_with(&asked, "200 OK", &[&carols, SDP], &session(6000));
    carol.receive_request("ACK");
    until(&mut watch, Type::PartyJoined, "c").await;
    scene.alice.wait_for("the answer", |h| *h == Happening::Connected).await;
    scene.ends(&carol, &mut watch).await;
}

/// CCL-08, CCL-09, CCL-10, CCL-11, SCN-15, TPC-15, F4: bob has answered: `early-only` is refused with 486 and changes nothing; without it
/// carol takes his place, though the replica dies before, and bob is hung up on.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_answered_is_taken_over_though_its_replica_dies() {
    let mut scene = Scene::start().await;
    let mut watch = Watch::begin_all(&scene.cluster.calls[1]).await;
    let invite = scene.ringing(&mut watch).await;
    let bobs = contact(&scene.bob, "bob");
    scene.bob.respond_with(&invite, "200 OK", &[&bobs, SDP], &session(5000));
    scene.bob.receive_request("ACK");
    scene.alice.wait_for("the answer", |h| *h == Happening::Connected).await;
    let carol = scene.carol(&invite);
    let late = scene.takes(&carol, &invite, ";early-only", CAROL);
    assert_eq!(status(&late), 486, "{late}");

    let id = watch.seen[0].call_id.clone();
    let mut watch = Watch::begin(&scene.cluster.calls[1], &id, Some(String::new())).await;
    scene.cluster.calls[0].kill();
    let taken = scene.takes(&carol, &invite, "", CAROL);
    assert_eq!(status(&taken), 200, "{taken}");
    assert!(taken.contains("m=audio"), "alice's answer: {taken}");
    let bye = scene.bob.receive_request("BYE");
    scene.bob.respond(&bye, "200 OK", &[]);
    watch.until(Type::Ended).await;
    // Alice is in carol's call now
    let new = target(&taken).trim_start_matches("sip:cc.").split(".a@").next().expect("a call").to_owned();
    let mut watch = Watch::begin(&scene.cluster.calls[1], &new, Some(String::new())).await;
    watch.until(Type::Connected).await;
    scene.ends(&carol, &mut watch).await;
}

/// SCN-19, CCL-08, CCL-09, TPC-15, F4: RFC 5359 2.15 and 2.16. Alice is parked: led from bob to a phone that keeps her, and bob is hung up on;
/// the replica that did it dies, and carol picks her up from there by Replaces. The park is hung up on, and the two talk.
#[tokio::test(flavor = "multi_thread")]
async fn a_party_is_parked_and_picked_up_though_its_replica_dies() {
    let mut scene = Scene::start().await;
    let park = Wire::of(&scene.cluster.edges[0]);
    scene.cluster.registrar.account("sip:park-7@localhost", "secret");
    let parks = contact(&park, "park-7");
    let lines = ["From: <sip:park-7@localhost>;tag=r", "To: <sip:park-7@localhost>", &parks];
    assert_eq!(status(&park.answer_to(&park.request("REGISTER sip:localhost", &lines))), 200);
    let mut watch = Watch::begin_all(&scene.cluster.calls[1]).await;
    let invite = scene.ringing(&mut watch).await;
    let bobs = contact(&scene.bob, "bob");
    scene.bob.respond_with(&invite, "200 OK", &[&bobs, SDP], &session(5000));
    scene.bob.receive_request("ACK");
    scene.alice.wait_for("the answer", |h| *h == Happening::Connected).await;

    let id = watch.seen.last().expect("it rang").call_id.clone();
    let mut watch = Watch::begin(&scene.cluster.calls[1], &id, Some(String::new())).await;
    let target = Target::Uri("sip:park-7@localhost".into());
    let request = TransferRequest {
        request_id: "park".into(),
        call_id: id.clone(),
        leg_id: "a".into(),
        target: Some(TransferTarget { target: Some(target) }),
        method: transfer_request::Method::Reinvite.into(),
    };
    scene.cluster.api(0).await.transfer(request).await.expect("they talk");
    let parked = park.receive_request("INVITE");
    scene.cluster.calls[0].kill();
    park.respond_with(&parked, "200 OK", &[&parks, SDP], &session(7000));
    park.receive_request("ACK");
    let bye = scene.bob.receive_request("BYE");
    scene.bob.respond(&bye, "200 OK", &[]);
    until(&mut watch, Type::TransferSucceeded, "a").await;

    let carol = scene.carol(&parked);
    let taken = scene.takes(&carol, &parked, "", CAROL);
    assert_eq!(status(&taken), 200, "{taken}");
    let bye = park.receive_request("BYE");
    park.respond(&bye, "200 OK", &[]);
    watch.until(Type::Ended).await;
    let new =
        self::target(&taken).trim_start_matches("sip:cc.").split(".a@").next().expect("a call").to_owned();
    let mut watch = Watch::begin(&scene.cluster.calls[1], &new, Some(String::new())).await;
    watch.until(Type::Connected).await;
    scene.ends(&carol, &mut watch).await;
}
