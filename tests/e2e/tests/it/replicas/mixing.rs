//! A third party joins two who talk at the phone of one of them, which mixes: it has a call of its own for that, with its own dialog in Join.

use std::cell::RefCell;

use cluster_api::callcontrol::v1::call_control_client::CallControlClient;
use cluster_api::callcontrol::v1::call_event::Type;
use cluster_api::callcontrol::v1::{JoinRequest, Party, join_request};
use scripted_phone::{Happening, Remote, Script};
use test_support::{Carillon, Starting, TestPhone};

use crate::calls::{Watch, dial, hang_up};
use crate::wire::{Wire, header, status};

use super::{AT_ONCE, Cluster, SOON, count, is_ended_by_peer, until};

const SDP: &str =
    "v=0\r\no=bob 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

/// A phone that says what a test wants, in several calls at a time.
pub(super) struct Bob {
    pub(super) wire: Wire,
    pub(super) contact: String,
    /// Call-IDs of the calls that came.
    came: RefCell<Vec<String>>,
}

impl Bob {
    /// It is registered at this edge, whose domain wants no password.
    pub(super) fn registered(edge: &Carillon) -> Self {
        let wire = Wire::of(edge);
        let contact = format!("Contact: <sip:bob@{}>", wire.address());
        let lines = ["From: <sip:bob@localhost>;tag=r", "To: <sip:bob@localhost>", &contact];
        assert_eq!(status(&wire.answer_to(&wire.request("REGISTER sip:localhost", &lines))), 200);
        Self::on(wire, contact)
    }

    /// It has registered by this wire with this Contact.
    pub(super) fn on(wire: Wire, contact: String) -> Self {
        Self { wire, contact, came: RefCell::default() }
    }

    /// The next call, which is told that it rings.
    pub(super) fn called(&self) -> String {
        loop {
            let invite = self.wire.receive_request("INVITE");
            let call_id = header(&invite, "Call-ID").expect("every request has it").to_owned();
            if !self.came.borrow().contains(&call_id) {
                self.came.borrow_mut().push(call_id);
                self.wire.respond(&invite, "180 Ringing", &[&self.contact]);
                return invite;
            }
        }
    }

    /// Answers a call, and waits for the ACK.
    pub(super) fn accept(&self, invite: &str) {
        let lines = [&*self.contact, "Supported: join", "Content-Type: application/sdp"];
        self.wire.respond_with(invite, "200 OK", &lines, SDP);
        self.of(invite, "ACK");
    }

    /// The next request of this method in the dialog of a call that came.
    pub(super) fn of(&self, invite: &str, method: &str) -> String {
        loop {
            let request = self.wire.receive_request(method);
            if header(&request, "Call-ID") == header(invite, "Call-ID") {
                return request;
            }
        }
    }

    /// The end of a call that came.
    pub(super) fn hung_up_on(&self, invite: &str) {
        let bye = self.of(invite, "BYE");
        self.wire.respond(&bye, "200 OK", &[]);
    }
}

/// When the replica dies that was asked: while carol rings, while bob is asked, or when she is in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Dies {
    Ringing,
    AskingBob,
    Joined,
}

/// Carol joins alice and bob at bob's phone, and leaves again. The last of these processes is watched; the first one is asked, and dies
/// when there is another one.
async fn joins(calls: &mut [Carillon], alice: &mut TestPhone, bob: &Bob, carol: &mut TestPhone, dies: Dies) {
    let at = |point: Dies, calls: &mut [Carillon]| {
        if point == dies && calls.len() > 1 {
            calls[0].kill();
        }
    };
    let id = dial(&calls[0], &["--flow", "iv"]);
    let talks = bob.called();
    bob.accept(&talks);
    let last = calls.len() - 1;
    let mut watch = Watch::begin(&calls[last], &id, Some(String::new())).await;
    watch.until(Type::Connected).await;
    let request = JoinRequest {
        request_id: format!("join-{id}"),
        call_id: id.clone(),
        party: Some(Party { uri: "sip:carol@localhost".into(), ..Party::default() }),
        mixer: join_request::Mixer::Local.into(),
    };
    let mut api = CallControlClient::connect(calls[0].api.clone()).await.expect("the API is there");
    api.join(request).await.expect("they talk, and bob's phone mixes");
    until(&mut watch, Type::LegRinging, "c").await;
    at(Dies::Ringing, calls);
    let joins = bob.called();
    at(Dies::AskingBob, calls);
    let of = |name: &str| header(&talks, name).expect("every request has it");
    let from_tag = of("From").split_once(";tag=").expect("it has a tag").1;
    let dialog = format!("{};to-tag=w;from-tag={from_tag}", of("Call-ID"));
    assert_eq!(header(&joins, "Join"), Some(dialog.as_str()), "{joins}");
    assert!(header(&joins, "Require").is_some_and(|tags| tags.contains("join")), "{joins}");
    assert!(header(&joins, "From").is_some_and(|from| from.contains("sip:carol@localhost")), "{joins}");
    bob.accept(&joins);
    until(&mut watch, Type::PartyJoined, "c").await;
    at(Dies::Joined, calls);
    carol.wait_for("bob's phone", |h| *h == Happening::Connected).await;

    carol.act(Remote::Hangup).await;
    bob.hung_up_on(&joins);
    until(&mut watch, Type::PartyLeft, "c").await;
    hang_up(&calls[last], &id);
    bob.hung_up_on(&talks);
    alice.wait_for("BYE", is_ended_by_peer).await;
    watch.until(Type::Ended).await;
    for (kind, times) in [
        (Type::Connected, 1),
        (Type::PartyJoined, 1),
        (Type::LegAnswered, 4),
        (Type::LegEnded, 4),
        (Type::Ended, 1),
    ] {
        assert_eq!(count(&watch, kind), times, "{dies:?} {kind:?}: {:#?}", watch.seen);
    }
}

/// LAD-7, CCL-14, CCL-15, SCN-17: one process.
#[tokio::test(flavor = "multi_thread")]
async fn a_third_party_joins_at_the_phone_that_mixes() {
    let carillon = Starting::with(&["--auth", "none"], &[]).ready();
    let phone = async |name: &str, answer| {
        let script = Script { answer, ..Script::default() };
        TestPhone::registered(&carillon.sip, &format!("sip:{name}@localhost"), "", script).await
    };
    let (mut alice, mut carol) = (phone("alice", AT_ONCE).await, phone("carol", SOON).await);
    let bob = Bob::registered(&carillon);
    joins(&mut [carillon], &mut alice, &bob, &mut carol, Dies::Joined).await;
}

/// LAD-7, CCL-14, CCL-15, SCN-17, TPC-15, F4: the replica that was asked dies on the way, and the other one goes on: all happens once.
#[tokio::test(flavor = "multi_thread")]
async fn a_third_party_joins_at_a_phone_though_the_replica_that_was_asked_dies() {
    let mut cluster = Cluster::start(&[("CARILLON_AUTH", "none")]);
    let mut alice = cluster.phone("alice", 0, AT_ONCE).await;
    let mut carol = cluster.phone("carol", 0, SOON).await;
    let bob = Bob::registered(&cluster.edges[1]);
    for dies in [Dies::Ringing, Dies::AskingBob, Dies::Joined] {
        joins(&mut cluster.calls, &mut alice, &bob, &mut carol, dies).await;
        cluster.calls[0].restart();
    }
}
