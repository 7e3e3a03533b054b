//! What an edge tells of a call afterwards.

use cluster_api::edge::v1::carry_request::What as Effect;
use cluster_api::trace::v1::traces_server::Traces;
use cluster_api::trace::v1::{Arrow, Decision, GetLadderRequest, Ladder, ladder_step::What};
use tonic::{Code, Request, Status};

use crate::legs::{in_dialog, invite, one_phone};
use crate::rig::Rig;
use crate::services::{FakeLocation, fork_to};

#[tokio::test]
async fn the_ladder_of_a_leg_shows_messages_and_decisions_in_order_by_either_id() {
    let (rig, bob) = one_phone().await;
    rig.carry(1, Effect::Send(invite())).await;
    let invite = bob.receive_request("INVITE").await;
    bob.respond(&invite, "180 Ringing", "bt", &[]).await;
    let contact = format!("Contact: <sip:bob@{}>", bob.address());
    bob.respond(&invite, "200 OK", "bt", &[&contact]).await;
    rig.response().await;
    rig.response().await;
    rig.carry(2, Effect::Send(in_dialog("ACK", 1, &bob))).await;
    bob.receive_request("ACK").await;

    let ladder = rig.ladder("call-1").await.unwrap();
    let arrows = [
        ("edge-1", "bob", "INVITE", 0),
        ("bob", "edge-1", "INVITE", 180),
        ("bob", "edge-1", "INVITE", 200),
        ("edge-1", "bob", "ACK", 0),
    ];
    assert_eq!(
        summary(&ladder),
        arrows.map(|(from, to, method, status)| (from.into(), to.into(), method.into(), status))
    );
    assert_eq!(ladder.call_id, "call-1");
    let participants: Vec<_> = ladder.participants.iter().map(|who| (who.name.as_str(), who.ours)).collect();
    assert_eq!(participants, [("edge-1", true), ("bob", false)]);
    let first: Vec<_> = decisions(&ladder).into_iter().map(|decision| (decision.by, decision.what)).collect();
    assert_eq!(first[0], ("call-control".into(), "leg a: send INVITE".into()));
    assert!(first.iter().any(|(by, what)| by == "registrar" && what == "fork to 1 target"), "{first:?}");
    assert!(matches!(&ladder.steps[0].what, Some(What::Decision(_))), "why comes before what");

    let [sip_call_id] = &ladder.sip_call_ids[..] else { panic!("one leg has one Call-ID: {ladder:?}") };
    assert_eq!(rig.ladder(sip_call_id).await.unwrap(), ladder);
}

#[tokio::test]
async fn a_forwarded_call_is_found_by_its_call_id_with_names_masks_and_repetitions() {
    let bob = crate::peer::Peer::unbound().await;
    let uri = format!("sip:bob@{}", bob.address());
    let rig = Rig::with(FakeLocation::planning(move |_| fork_to(std::slice::from_ref(&uri)))).await;
    let (alice, bob) = (rig.peer().await, bob.toward(rig.address));
    let lines = [
        "From: <sip:alice@example.com>;tag=a",
        "To: <sip:bob@example.com>",
        "Call-ID: c1",
        "Proxy-Authorization: Digest username=\"alice\", response=\"0a1b2c\"",
    ];
    alice.request("MESSAGE sip:bob@example.com", "1", &lines).await;
    let request = bob.receive_request("MESSAGE").await;
    bob.respond(&request, "200 OK", "bt", &[]).await;
    alice.receive_status(200).await;
    alice.request("MESSAGE sip:bob@example.com", "1", &lines).await;
    alice.receive_status(200).await;
    alice
        .request(
            "MESSAGE sip:bob@example.com",
            "2",
            &["From: <sip:alice@example.com>;tag=a", "To: <sip:bob@example.com>", "Call-ID: c10"],
        )
        .await;
    bob.receive_request("MESSAGE").await;

    let ladder = rig.ladder("c1").await.unwrap();
    let expected = [
        ("alice", "edge-1", 0, false),
        ("edge-1", "bob", 0, false),
        ("bob", "edge-1", 200, false),
        ("edge-1", "alice", 200, false),
        ("alice", "edge-1", 0, true),
        ("edge-1", "alice", 200, true),
    ];
    let found: Vec<_> = arrows(&ladder)
        .into_iter()
        .map(|arrow| (arrow.from, arrow.to, arrow.status, arrow.retransmission))
        .collect();
    assert_eq!(found, expected.map(|(from, to, status, again)| (from.into(), to.into(), status, again)));
    let text = String::from_utf8(arrows(&ladder)[0].text.to_vec()).unwrap();
    assert!(text.contains("username=\"alice\", response=********"), "{text}");
    assert_eq!(ladder.call_id, "", "no call of call-control");
}

#[tokio::test]
async fn text_is_only_shown_when_asked_for_and_unknown_calls_are_not_found() {
    let (rig, bob) = one_phone().await;
    rig.carry(1, Effect::Send(invite())).await;
    bob.receive_request("INVITE").await;
    let request = GetLadderRequest { call_id: "call-1".into(), with_text: false };
    let ladder = rig.traces.get_ladder(Request::new(request)).await.unwrap().into_inner();
    assert!(
        arrows(&ladder).iter().all(|arrow| arrow.text.is_empty() && arrow.summary.starts_with("INVITE sip:"))
    );
    assert_eq!(rig.ladder("call-2").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(rig.ladder("").await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn an_edge_that_captures_nothing_works_all_the_same() {
    let phone = crate::peer::Peer::unbound().await;
    let uri = format!("sip:bob@{}", phone.address());
    let location = FakeLocation::planning(move |_| fork_to(std::slice::from_ref(&uri)));
    let rig = Rig::configured(location, |config| config.limits.captured_messages = 0).await;
    let bob = phone.toward(rig.address);
    rig.carry(1, Effect::Send(invite())).await;
    bob.receive_request("INVITE").await;
    assert_eq!(rig.ladder("call-1").await.unwrap_err().code(), Code::NotFound);
}

impl Rig {
    async fn ladder(&self, call_id: &str) -> Result<Ladder, Status> {
        let request = GetLadderRequest { call_id: call_id.into(), with_text: true };
        self.traces.get_ladder(Request::new(request)).await.map(tonic::Response::into_inner)
    }
}

fn arrows(ladder: &Ladder) -> Vec<Arrow> {
    let arrows = ladder.steps.iter().filter_map(|step| match &step.what {
        Some(What::Arrow(arrow)) => Some(arrow.clone()),
        _ => None,
    });
    arrows.collect()
}

fn decisions(ladder: &Ladder) -> Vec<Decision> {
    let decisions = ladder.steps.iter().filter_map(|step| match &step.what {
        Some(What::Decision(decision)) => Some(decision.clone()),
        _ => None,
    });
    decisions.collect()
}

fn summary(ladder: &Ladder) -> Vec<(String, String, String, u32)> {
    let arrows = arrows(ladder).into_iter();
    arrows.map(|arrow| (arrow.from, arrow.to, arrow.method, arrow.status)).collect()
}
