//! INVITEs with Join where no phone mixes (LAD-8): who joins is led to a conference, Carillon's own or that of a factory of others.

use cluster_api::callcontrol::v1::call_event::Type;
use scripted_phone::{Happening, Remote, Script};
use test_support::TestPhone;

use crate::calls::Watch;
use crate::wire::{Wire, header, status};

use super::{Cluster, count, is_ended_by_peer, until};

const SDP: &str = "Content-Type: application/sdp";
const CAROL: &str = "From: <sip:carol@localhost>;tag=c";
const PROVED: &str = "P-Asserted-Identity: <sip:carol@localhost>";

/// Alice, who called bob's anchored account and talks to him; and what his phone got.
struct Scene {
    cluster: Cluster,
    alice: TestPhone,
    bob: Wire,
    invite: String,
    id: String,
    watch: Watch,
}

impl Scene {
    async fn start(variables: &[(&str, &str)]) -> Self {
        let usual = [
            ("CARILLON_AUTH", "none"),
            ("CARILLON_EDGE_TRUSTED", "127.0.0.2/32"),
            ("CARILLON_CALL_CONTROL_TAKERS", "sip:carol@localhost"),
        ];
        let cluster = Cluster::start(&[&usual[..], variables].concat());
        cluster.registrar.account("sip:bob@localhost", "secret");
        cluster.anchor("bob");
        let at = &cluster.edges[0].sip;
        let mut alice = TestPhone::registered(at, "sip:alice@localhost", "secret", Script::default()).await;
        let bob = Wire::of(&cluster.edges[1]);
        let lines = ["From: <sip:bob@localhost>;tag=r", "To: <sip:bob@localhost>", &contact(&bob, "bob")];
        let registered = bob.request("REGISTER sip:localhost", &lines);
        assert_eq!(status(&bob.answer_to(&registered)), 200);
        let mut watch = Watch::begin_all(&cluster.calls[1]).await;
        alice.act(Remote::Dial("sip:bob@localhost".into())).await;
        let invite = bob.receive_request("INVITE");
        let allow = "Allow: INVITE, ACK, CANCEL, BYE, REFER, NOTIFY";
        bob.respond_with(&invite, "200 OK", &[&contact(&bob, "bob"), allow, SDP], &session(5000));
        bob.receive_request("ACK");
        alice.wait_for("the answer", |h| *h == Happening::Connected).await;
        let id = watch.until(Type::Connected).await.call_id;
        let watch = Watch::begin(&cluster.calls[1], &id, Some(String::new())).await;
        Self { cluster, alice, bob, invite, id, watch }
    }

    /// Carol's phone wants to join bob.
    fn join(&self, carol: &Wire) -> String {
        let tag = header(&self.invite, "From").and_then(|from| from.split(";tag=").nth(1)).expect("a tag");
        let call = header(&self.invite, "Call-ID").expect("a Call-ID");
        let join = format!("Join: {call};to-tag={tag};from-tag=w");
        let to = target(&self.invite);
        ask(carol, &to, &[&join])
    }
}

/// Carol's phone sends an INVITE there, with its offer. Its Call-ID.
fn ask(carol: &Wire, uri: &str, more: &[&str]) -> String {
    let (own, to) = (contact(carol, "carol"), format!("To: <{uri}>"));
    let lines = [&[CAROL, &to, &own, PROVED, SDP][..], more].concat();
    let (text, call_id) = carol.compose(&format!("INVITE {uri}"), &lines);
    let offer = session(6000);
    let length = format!("Content-Length: {}\r\n\r\n{offer}", offer.len());
    carol.send(&text.replace("Content-Length: 0\r\n\r\n", &length));
    call_id
}

fn session(port: u16) -> String {
    format!(
        "v=0\r\no=w 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
    )
}

fn contact(wire: &Wire, user: &str) -> String {
    format!("Contact: <sip:{user}@{}>", wire.address())
}

fn target(message: &str) -> String {
    let contact = header(message, "Contact").expect("a Contact");
    contact.trim_start_matches('<').split('>').next().unwrap_or_default().to_owned()
}

/// The ACK to a final answer that a wire got to its INVITE.
fn acknowledge(wire: &Wire, uri: &str, answer: &str) {
    let same = ["From", "To", "Call-ID"]
        .map(|name| format!("{name}: {}", header(answer, name).expect("all have it")));
    wire.request(&format!("ACK {uri}"), &[&same[0], &same[1], &same[2], "CSeq: 1 ACK"]);
}

/// LAD-8, CCL-11, CCL-13, CCL-15, SCN-17, T20, TPC-15, F4: who may not join is refused. Carol is led by 302 to a conference of Carillon's, calls it after
/// the replica that led her has died, and comes in; then alice and bob are moved to the mixer in their dialogs, and hear that it is a focus.
#[tokio::test(flavor = "multi_thread")]
async fn who_joins_is_led_to_a_conference_though_the_replica_dies() {
    let mixer = Wire::facing("127.0.0.1", ([127, 0, 0, 1], 9).into());
    let mut scene =
        Scene::start(&[("CARILLON_CALL_CONTROL_MIXERS", &format!("sip:{}", mixer.address()))]).await;
    let mallory = Wire::of(&scene.cluster.edges[0]);
    let refused = mallory.answer_to(&scene.join(&mallory));
    assert_eq!(status(&refused), 403, "it says to be carol, and nobody believes it: {refused}");
    let carol = Wire::at("127.0.0.2", &scene.cluster.edges[0]);
    let led = carol.answer_to(&scene.join(&carol));
    assert_eq!(status(&led), 302, "{led}");
    let id = scene.id.clone();
    let uri = format!("sip:conf-{id}@localhost");
    assert_eq!(header(&led, "Contact"), Some(format!("<{uri}>;isfocus").as_str()));
    acknowledge(&carol, &target(&scene.invite), &led);
    scene.cluster.calls[0].kill();

    let asked = ask(&carol, &uri, &["Join: whatever;to-tag=1;from-tag=2"]);
    let mixes = |port: u16, is_offered: bool| {
        let invite = mixer.receive_request("INVITE");
        assert!(invite.starts_with(&format!("INVITE sip:conf={id}@")), "{invite}");
        assert_eq!(invite.contains("m=audio"), is_offered, "{invite}");
        mixer.respond_with(&invite, "200 OK", &[&contact(&mixer, "mixer"), SDP], &session(port));
        invite
    };
    mixes(7000, true);
    let came = carol.answer_to(&asked);
    assert_eq!(status(&came), 200, "{came}");
    assert!(came.contains("m=audio 7000"), "{came}");
    assert!(header(&came, "Contact").is_some_and(|contact| contact.ends_with(";isfocus")), "{came}");
    acknowledge(&carol, &target(&came), &came);
    mixes(7002, false);
    scene.alice.wait_for("the mixer", |h| matches!(h, Happening::Changed { .. })).await;
    mixes(7004, false);
    let moved = scene.bob.receive_request("INVITE");
    assert!(moved.contains("m=audio 7004"), "{moved}");
    assert!(header(&moved, "Contact").is_some_and(|contact| contact.ends_with(";isfocus")), "{moved}");
    scene.bob.respond_with(&moved, "200 OK", &[&contact(&scene.bob, "bob"), SDP], &session(5002));
    let joined = scene.watch.until(Type::PartyJoined).await;
    let call = joined.call.expect("every event has its call");
    assert_eq!((call.conference_uri.as_deref(), call.legs.len()), (Some(uri.as_str()), 6));

    for wire in [&carol, &scene.bob] {
        let on = if std::ptr::eq(wire, &carol) { &came } else { &moved };
        let same = |name: &str| header(on, name).expect("all have it").to_owned();
        let (from, to) = match status(on) {
            200 => (same("From"), same("To")),
            _ => (same("To"), same("From")),
        };
        let lines = [format!("From: {from}"), format!("To: {to}"), format!("Call-ID: {}", same("Call-ID"))];
        let bye =
            wire.request(&format!("BYE {}", target(on)), &[&lines[0], &lines[1], &lines[2], "CSeq: 20 BYE"]);
        assert_eq!(status(&wire.answer_to(&bye)), 200);
    }
    scene.alice.act(Remote::Hangup).await;
    scene.watch.until(Type::Ended).await;
    for once in [Type::PartyJoined, Type::Ended] {
        assert_eq!(count(&scene.watch, once), 1, "{:#?}", scene.watch.seen);
    }
}

/// LAD-8, CCL-03, CCL-04, CCL-15, SCN-17, TPC-15, F4: the conference is made by a factory of others: alice is moved there, carol is led there, and
/// bob is asked by REFER to call it, while the replica that led them dies; he is hung up on when he says that he is there. Alice talks to the
/// conference until she hangs up.
#[tokio::test(flavor = "multi_thread")]
async fn a_conference_made_elsewhere_has_all_three_though_the_replica_dies() {
    let mixer = Wire::facing("127.0.0.1", ([127, 0, 0, 1], 9).into());
    let factory = format!("sip:conf-factory@{}", mixer.address());
    let mut scene = Scene::start(&[("CARILLON_CALL_CONTROL_CONFERENCE_FACTORY", &factory)]).await;
    let carol = Wire::at("127.0.0.2", &scene.cluster.edges[0]);
    let asked = scene.join(&carol);
    let made = mixer.receive_request("INVITE");
    assert!(made.starts_with(&format!("INVITE {factory} ")), "{made}");
    let focus = format!("sip:conf42@{}", mixer.address());
    let is_focus = format!("Contact: <{focus}>;isfocus");
    mixer.respond_with(&made, "200 OK", &[&is_focus, SDP], &session(7000));
    scene.alice.wait_for("the conference", |h| matches!(h, Happening::Changed { .. })).await;
    let answer = mixer.receive_request("ACK");
    assert!(answer.contains("m=audio"), "alice's answer: {answer}");
    let led = carol.answer_to(&asked);
    assert_eq!((status(&led), header(&led, "Contact")), (302, Some(&is_focus["Contact: ".len()..])), "{led}");
    acknowledge(&carol, &target(&scene.invite), &led);

    let refer = scene.bob.receive_request("REFER");
    scene.cluster.calls[0].kill();
    assert_eq!(header(&refer, "Refer-To"), Some(format!("<{focus}>").as_str()));
    assert!(header(&refer, "Referred-By").is_some_and(|by| by.contains("alice")), "{refer}");
    scene.bob.respond(&refer, "202 Accepted", &[&contact(&scene.bob, "bob")]);
    let tell = |number: u32, state: &str, fragment: &str| {
        let same = |name: &str| header(&refer, name).expect("all have it").to_owned();
        let to = format!("To: {}", same("From"));
        let from = format!("From: {}", same("To"));
        let call = format!("Call-ID: {}", same("Call-ID"));
        let (state, cseq) = (format!("Subscription-State: {state}"), format!("CSeq: {number} NOTIFY"));
        let own = contact(&scene.bob, "bob");
        let lines = [&from, &to, &call, &cseq, "Event: refer", &state, &own, "Content-Type: message/sipfrag"];
        let (text, call_id) = scene.bob.compose(&format!("NOTIFY {}", target(&refer)), &lines);
        let length = format!("Content-Length: {}\r\n\r\n{fragment}", fragment.len());
        scene.bob.send(&text.replace("Content-Length: 0\r\n\r\n", &length));
        assert_eq!(status(&scene.bob.answer_to(&call_id)), 200);
    };
    tell(10, "active;expires=60", "SIP/2.0 100 Trying\r\n");
    tell(11, "terminated;reason=noresource", "SIP/2.0 200 OK\r\n");
    let bye = scene.bob.receive_request("BYE");
    scene.bob.respond(&bye, "200 OK", &[]);
    until(&mut scene.watch, Type::PartyLeft, "b").await;

    scene.alice.act(Remote::Hangup).await;
    let bye = mixer.receive_request("BYE");
    mixer.respond(&bye, "200 OK", &[]);
    scene.watch.until(Type::Ended).await;
    for once in [Type::TransferStarted, Type::TransferSucceeded, Type::Ended] {
        assert_eq!(count(&scene.watch, once), 1, "{:#?}", scene.watch.seen);
    }
}

/// LAD-8, CCL-15: the factory refuses: 488 to who wanted to join, and the two talk on.
#[tokio::test(flavor = "multi_thread")]
async fn a_factory_that_refuses_leaves_the_call_as_it_was() {
    let mixer = Wire::facing("127.0.0.1", ([127, 0, 0, 1], 9).into());
    let factory = format!("sip:conf-factory@{}", mixer.address());
    let mut scene = Scene::start(&[("CARILLON_CALL_CONTROL_CONFERENCE_FACTORY", &factory)]).await;
    let carol = Wire::at("127.0.0.2", &scene.cluster.edges[0]);
    let asked = scene.join(&carol);
    let made = mixer.receive_request("INVITE");
    mixer.respond(&made, "403 Forbidden", &[]);
    let refused = carol.answer_to(&asked);
    assert_eq!(status(&refused), 488, "{refused}");
    acknowledge(&carol, &target(&scene.invite), &refused);
    let same = |name: &str| header(&scene.invite, name).expect("all have it").to_owned();
    let lines = [
        format!("From: {};tag=w", same("To")),
        format!("To: {}", same("From")),
        format!("Call-ID: {}", same("Call-ID")),
    ];
    let start = format!("BYE {}", target(&scene.invite));
    let bye = scene.bob.request(&start, &[&lines[0], &lines[1], &lines[2], "CSeq: 20 BYE"]);
    assert_eq!(status(&scene.bob.answer_to(&bye)), 200);
    scene.alice.wait_for("BYE", is_ended_by_peer).await;
    scene.watch.until(Type::Ended).await;
}
