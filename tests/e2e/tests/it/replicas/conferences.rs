//! Conferences at a mixer that is a process of its own.

use std::path::Path;

use cluster_api::callcontrol::v1::call_event::Type;
use cluster_api::callcontrol::v1::{JoinRequest, Party, join_request};
use scripted_phone::{Happening, Remote};
use test_support::{Sipp, free_port};

use crate::calls::{Watch, dial, hang_up};
use crate::wire::{Wire, header, status};

use super::{AT_ONCE, Cluster, SOON, count, is_ended_by_peer, is_incoming, until};

fn mixer() -> (Sipp, String) {
    let port = free_port();
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("sipp/mixer.xml");
    (Sipp::serves(&scenario, port), format!("sip:127.0.0.1:{port}"))
}

/// LAD-8, CCL-15, CCL-17, CCL-19, SCN-17, TPC-15, F4: the replica that was asked for a third party dies while that one's phone rings, when it
/// has answered, when the first of the two is asked to come, and when the conference is there: the other replica finishes it, and all happens once.
#[tokio::test(flavor = "multi_thread")]
async fn a_third_party_joins_though_the_replica_that_was_asked_dies() {
    let (mixer, at) = mixer();
    let mut cluster = Cluster::start(&[("CARILLON_CALL_CONTROL_MIXERS", &at)]);
    let mut alice = cluster.phone("alice", 0, AT_ONCE).await;
    let mut bob = cluster.phone("bob", 1, AT_ONCE).await;
    let mut carol = cluster.phone("carol", 0, SOON).await;
    let points = [
        (Type::LegRinging, "c"),
        (Type::LegAnswered, "c"),
        (Type::LegAnswered, "e"),
        (Type::PartyJoined, "c"),
    ];
    for (kind, leg) in points {
        let id = dial(&cluster.calls[0], &[]);
        let mut watch = Watch::begin(&cluster.calls[1], &id, Some(String::new())).await;
        watch.until(Type::Connected).await;
        let request = JoinRequest {
            request_id: format!("join-{id}"),
            call_id: id.clone(),
            party: Some(Party { uri: "sip:carol@localhost".into(), ..Party::default() }),
            mixer: join_request::Mixer::Central.into(),
        };
        cluster.api(0).await.join(request).await.expect("they talk");
        until(&mut watch, kind, leg).await;
        cluster.calls[0].kill();
        if kind != Type::PartyJoined {
            until(&mut watch, Type::PartyJoined, "c").await;
        }
        carol.wait_for("the ACK", |h| *h == Happening::Connected).await;
        for phone in [&mut alice, &mut bob] {
            phone.wait_for("the session with the mixer", |h| matches!(h, Happening::Changed { .. })).await;
        }
        let uri = format!("sip:conf-{id}@localhost");
        let told = watch.seen.last().and_then(|event| event.call.clone()).expect("every event has its call");
        assert_eq!(told.conference_uri.as_deref(), Some(uri.as_str()));
        assert_eq!(told.legs.len(), 6, "{told:?}");

        // Two remain when one leaves, and nobody when the application ends it
        carol.act(Remote::Hangup).await;
        until(&mut watch, Type::PartyLeft, "c").await;
        hang_up(&cluster.calls[1], &id);
        for phone in [&mut alice, &mut bob] {
            phone.wait_for("BYE", is_ended_by_peer).await;
        }
        watch.until(Type::Ended).await;
        for of_each_leg in [Type::LegAnswered, Type::LegEnded] {
            assert_eq!(count(&watch, of_each_leg), 6, "{kind:?} {leg}: {:#?}", watch.seen);
        }
        for once in [Type::Connected, Type::PartyJoined, Type::Ended] {
            assert_eq!(count(&watch, once), 1, "{kind:?} {leg}: {:#?}", watch.seen);
        }
        for _ in 0..3 {
            mixer.lines.wait_for("the BYE of each", |l| l.contains(&format!("mixer left sip:conf={id}")));
        }
        cluster.calls[0].restart();
    }
}

/// CCL-16, CCL-17, CCL-19: who calls the factory has a conference of its own, though both replicas die while the mixer is asked; a second
/// caller has another one. Each ends with the only one who is in.
#[tokio::test(flavor = "multi_thread")]
async fn the_factory_makes_a_conference_though_every_replica_dies() {
    let (mixer, at) = mixer();
    let variables = [
        ("CARILLON_CALL_CONTROL_MIXERS", at.as_str()),
        ("CARILLON_CALL_CONTROL_CONFERENCE_USER", "conference"),
    ];
    let mut cluster = Cluster::start(&variables);
    let mut alice = cluster.phone("alice", 0, AT_ONCE).await;
    let mut bob = cluster.phone("bob", 1, AT_ONCE).await;
    let mut uris = Vec::new();
    for phone in [&mut alice, &mut bob] {
        let mut watch = Watch::begin_all(&cluster.calls[1]).await;
        phone.act(Remote::Dial("sip:conference@localhost".into())).await;
        mixer.lines.wait_for("INVITE", |l| l.contains("mixer asked"));
        let id = watch.until(Type::Created).await.call_id;
        cluster.restart_call_control();
        phone.wait_for("the conference", |h| *h == Happening::Connected).await;
        mixer.lines.wait_for("ACK", |l| l.contains("mixer mixes"));
        let mut watch = Watch::begin(&cluster.calls[1], &id, Some(String::new())).await;
        let call = watch.until(Type::PartyJoined).await.call.expect("every event has its call");
        uris.push(call.conference_uri.expect("it is one"));
        phone.act(Remote::Hangup).await;
        watch.until(Type::Ended).await;
        mixer.lines.wait_for("BYE", |l| l.contains("mixer left"));
        assert_eq!(count(&watch, Type::Connected), 1, "{:#?}", watch.seen);
    }
    assert_ne!(uris[0], uris[1]);
}

/// CCL-16, CCL-17, CCL-18, CCL-19, F4: alice has a conference; bob calls its URI by another edge, and the replica that takes that dies. A desk that may
/// asks the URI by OPTIONS, and by REFER adds carol and sends her away; somebody else may not. The URI of a conference that is over is nobody's.
#[tokio::test(flavor = "multi_thread")]
async fn the_uri_of_a_conference_is_called_asked_and_referred_to() {
    let (mixer, at) = mixer();
    let mut cluster = Cluster::start(&[
        ("CARILLON_CALL_CONTROL_MIXERS", at.as_str()),
        ("CARILLON_CALL_CONTROL_CONFERENCE_USER", "conference"),
        ("CARILLON_CALL_CONTROL_TAKERS", "sip:desk@localhost"),
        ("CARILLON_AUTH", "none"),
        ("CARILLON_EDGE_TRUSTED", "127.0.0.2/32"),
    ]);
    let mut alice = cluster.phone("alice", 0, AT_ONCE).await;
    let mut bob = cluster.phone("bob", 1, AT_ONCE).await;
    let mut carol = cluster.phone("carol", 1, AT_ONCE).await;
    let mut watch = Watch::begin_all(&cluster.calls[1]).await;
    alice.act(Remote::Dial("sip:conference@localhost".into())).await;
    let call = watch.until(Type::PartyJoined).await.call.expect("every event has its call");
    let uri = call.conference_uri.expect("it is one");
    alice.wait_for("the conference", |h| *h == Happening::Connected).await;
    mixer.lines.wait_for("alice", |l| l.contains("mixer mixes"));

    bob.act(Remote::Dial(uri.clone())).await;
    mixer.lines.wait_for("bob", |l| l.contains("mixer asked"));
    cluster.calls[0].kill();
    let joined = watch.until(Type::PartyJoined).await;
    assert_eq!(joined.call_id, call.call_id, "it is the same conference");
    bob.wait_for("the conference", |h| *h == Happening::Connected).await;
    cluster.calls[0].restart();

    let (desk, eve) = (Wire::at("127.0.0.2", &cluster.edges[0]), Wire::of(&cluster.edges[1]));
    let to = format!("To: <{uri}>");
    let asked = desk.answer_to(&desk.request(&format!("OPTIONS {uri}"), &[&to]));
    assert_eq!(status(&asked), 200, "{asked}");
    assert!(header(&asked, "Contact").is_some_and(|contact| contact.ends_with(";isfocus")), "{asked}");
    assert!(header(&asked, "Allow-Events").is_some_and(|events| events.contains("conference")), "{asked}");
    let refer = |wire: &Wire, target: &str| {
        let contact = format!("Contact: <sip:desk@{}>", wire.address());
        let target = format!("Refer-To: <{target}>");
        let who = ["From: <sip:desk@localhost>;tag=d", "P-Asserted-Identity: <sip:desk@localhost>"];
        let lines = [who[0], who[1], &to, &contact, &target, "Refer-Sub: false"];
        status(&wire.answer_to(&wire.request(&format!("REFER {uri}"), &lines)))
    };
    assert_eq!(refer(&eve, "sip:carol@localhost"), 403, "it says to be the desk, and nobody believes it");
    assert_eq!(refer(&desk, "sip:carol@localhost"), 200);
    carol.wait_for("the conference", |h| *h == Happening::Connected).await;
    watch.until(Type::PartyJoined).await;
    assert_eq!(refer(&eve, "sip:carol@localhost;method=BYE"), 403);
    assert_eq!(refer(&desk, "sip:carol@localhost;method=BYE"), 200);
    carol.wait_for("BYE", is_ended_by_peer).await;

    for phone in [&mut alice, &mut bob] {
        phone.act(Remote::Hangup).await;
    }
    watch.until(Type::Ended).await;
    for _ in 0..3 {
        mixer.lines.wait_for("the BYE of each", |l| l.contains("mixer left"));
    }
    bob.act(Remote::Dial(uri)).await;
    bob.wait_for("404", |h| matches!(h, Happening::Refused { status: 404, .. })).await;
}

/// CCL-15: no mixer is there: who was asked to join is let go, and the two talk on as before.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_mixer_that_answers_the_two_talk_on() {
    let nobody = format!("sip:127.0.0.1:{}", free_port());
    let cluster = Cluster::start(&[("CARILLON_CALL_CONTROL_MIXERS", &nobody)]);
    let alice = cluster.phone("alice", 0, AT_ONCE).await;
    let mut bob = cluster.phone("bob", 1, AT_ONCE).await;
    let mut carol = cluster.phone("carol", 1, AT_ONCE).await;
    let id = dial(&cluster.calls[0], &[]);
    let mut watch = Watch::begin(&cluster.calls[1], &id, Some(String::new())).await;
    watch.until(Type::Connected).await;
    let joined =
        tokio::task::block_in_place(|| cluster.calls[0].command(&["join", &id, "sip:carol@localhost"]));
    let told = String::from_utf8_lossy(&joined.stderr).into_owned();
    assert!(!joined.status.success() && told.contains("the others talk as before"), "{told}");
    carol.wait_for("the call", is_incoming).await;
    carol.wait_for("BYE", is_ended_by_peer).await;
    let ended = until(&mut watch, Type::LegEnded, "c").await;
    let call = ended.call.expect("every event has its call");
    assert_eq!(call.conference_uri, None);
    alice.act(Remote::Hangup).await;
    bob.wait_for("BYE", is_ended_by_peer).await;
    watch.until(Type::Ended).await;
    assert_eq!(count(&watch, Type::PartyJoined), 0);
}
