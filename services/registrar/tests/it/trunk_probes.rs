//! OPTIONS to peers of trunks, and what they change.

use std::time::Duration;

use cluster_api::registrar::v1::{
    RouteRequest, Trunk, TrunkProbe, route_response::Plan, trunk_peer_health::State,
};

use crate::far_side::{FarSide, answer, pass, shown, until};
use crate::rig::{Phone, Rig, targets};
use crate::trunks::{create, trunk, update};

async fn state(rig: &Rig, peer: usize, wanted: State) {
    until("the state of the peer", async || {
        (shown(rig, "t").await.health[peer].state() == wanted).then_some(())
    })
    .await;
}

/// DNS-05, F23: a peer that fails twice in a row is left out until it answers, whatever it answers; where all are out, all are tried.
#[tokio::test(start_paused = true)]
async fn a_peer_that_fails_is_left_out_until_it_answers() {
    let rig = Rig::new();
    let far = FarSide::new("e1", |send| send.request_uri.contains("good").then(|| answer(404)));
    far.lives(&rig).await;
    let _working = [far.keeps(&rig.replicas[0]), far.keeps(&rig.replicas[1])];
    let probe = Some(TrunkProbe { interval: None, failures: 2 });
    let peers = ["sip:bad.example", "sip:good.example"];
    create(&rig, Trunk { probe, ..trunk("t", &peers, &["+"]) }).await.unwrap();
    let phone = Phone::of(&rig, "alice", "d");
    let route = async || {
        let mut phone = phone.clone();
        phone.registrar = rig.replicas[1].clone();
        phone.send_route(RouteRequest { internal: true, ..phone.route_request("tel:+49") }).await
    };
    state(&rig, 1, State::Up).await;
    pass(10).await;
    assert_eq!(far.sent().len(), 2, "one replica asks each peer once");
    assert_eq!(targets(&route().await).len(), 2, "one failure is none");
    assert_eq!(shown(&rig, "t").await.health[0].state(), State::Unknown);

    rig.clock.advance(Duration::from_secs(34));
    state(&rig, 0, State::Down).await;
    assert_eq!(targets(&route().await), [["sip:+49@good.example;user=phone"]]);

    far.answers(|_| Some(answer(503)));
    for _ in 0..2 {
        rig.clock.advance(Duration::from_secs(34));
        pass(10).await;
    }
    state(&rig, 1, State::Down).await;
    assert_eq!(targets(&route().await).len(), 2, "where all are out, all are tried");

    far.answers(|_| Some(answer(200)));
    rig.clock.advance(Duration::from_secs(34));
    state(&rig, 0, State::Up).await;
    assert_eq!(shown(&rig, "t").await.health[0].sip_status, 200);

    // without a probe nobody knows
    let sent = far.sent().len();
    update(&rig, Trunk { disabled: true, ..trunk("t", &[], &[]) }).await.unwrap();
    rig.clock.advance(Duration::from_secs(34));
    pass(10).await;
    assert_eq!(far.sent().len(), sent, "a trunk that is out of use is not asked");
    assert_eq!(shown(&rig, "t").await.health[0].state(), State::Unknown);
}

/// What asks one peer goes to that peer, not to who stands in for it.
#[tokio::test]
async fn a_probe_goes_to_the_peer_that_it_is_for() {
    let rig = Rig::new();
    let far = Trunk { domains: vec!["far.example".into()], ..trunk("t", &["sip:one.example"], &[]) };
    create(&rig, far).await.unwrap();
    let phone = Phone::of(&rig, "alice", "d");
    let options = RouteRequest {
        internal: true,
        method: "OPTIONS".into(),
        trunk: "t".into(),
        ..phone.route_request("sip:far.example")
    };
    assert!(matches!(phone.send_route(options).await.plan, Some(Plan::Relay(_))));
}
