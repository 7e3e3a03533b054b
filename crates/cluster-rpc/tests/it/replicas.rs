//! Finding, choosing and leaving replicas.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use cluster_api::registrar::v1::{RegisterRequest, RouteRequest, location_client::LocationClient};
use cluster_rpc::{
    Address, Envelope, LocationLink, Reason, Refusal, Replicas, remote,
    remote::{CallKind, Names},
    trace,
};
use parking_lot::Mutex;
use telemetry::Redacted;
use tonic::{Code, Status};

use crate::rig::{Registrar, Script, link, quick, replicas, serve, slam, url, wiring};

#[tokio::test]
async fn a_link_within_the_process_and_one_over_tcp_answer_alike() {
    let registrar = Registrar::new(Script::Answer);
    let local = LocationLink::Local(registrar.clone());
    let remote = link(&[serve(registrar.clone(), None).await], quick());
    let over_tcp = remote.register(RegisterRequest::default()).await.expect("an answer");
    assert_eq!(local.register(RegisterRequest::default()).await.expect("an answer"), over_tcp);
    assert_eq!(registrar.calls(), 2);
}

#[tokio::test]
async fn a_refusal_crosses_the_wire_unchanged_and_is_not_repeated() {
    let registrar = Registrar::new(Script::Refuse);
    let link = link(&[serve(registrar.clone(), None).await], quick());
    let status = link.route(RouteRequest::default()).await.expect_err("it refuses");
    let refusal = Refusal::read(&status).expect("a refusal of ours");
    assert_eq!(refusal, Refusal::field(Reason::BadUri, "to_uri", "a sip URI"));
    assert_eq!(registrar.calls(), 1);
}

/// F2, F4: a replica that dies costs no call.
#[tokio::test]
async fn every_call_is_answered_while_one_of_two_replicas_slams_the_door() {
    let registrar = Registrar::new(Script::Answer);
    let link = link(&[slam().await, serve(registrar.clone(), None).await], quick());
    for _ in 0..20 {
        link.register(RegisterRequest::default()).await.expect("the living replica answers");
    }
    assert_eq!(registrar.calls(), 20);
}

#[tokio::test]
async fn a_replica_that_fails_is_left_alone() {
    let (sick, well) = (Registrar::new(Script::Unexplained), Registrar::new(Script::Answer));
    let addresses = [serve(sick.clone(), None).await, serve(well.clone(), None).await];
    let config = remote::Config { eject_after: 3, eject_for: Duration::from_secs(600), ..quick() };
    let link = link(&addresses, remote::Config { eject_at_most: Duration::from_secs(600), ..config });
    for _ in 0..50 {
        link.register(RegisterRequest::default()).await.expect("the well replica answers");
    }
    assert_eq!((sick.calls(), well.calls()), (3, 50));
}

#[tokio::test]
async fn a_silent_replica_leaves_time_for_another() {
    let (silent, well) = (Registrar::new(Script::Silent), Registrar::new(Script::Answer));
    let addresses = [serve(silent.clone(), None).await, serve(well.clone(), None).await];
    let link = link(&addresses, quick());
    for _ in 0..10 {
        link.register(RegisterRequest::default()).await.expect("the well replica answers");
    }
    assert_eq!(well.calls(), 10);
    assert!(silent.calls() > 0, "both are asked");
}

#[tokio::test]
async fn a_draining_replica_sends_even_unrepeatable_work_to_another() {
    let (draining, well) = (Registrar::new(Script::Drain), Registrar::new(Script::Answer));
    let addresses = [serve(draining.clone(), None).await, serve(well.clone(), None).await];
    let replicas = replicas(&addresses, quick());
    for _ in 0..10 {
        once(&replicas).await.expect("the other replica does it");
    }
    assert_eq!(well.calls(), 10);
    assert!(draining.calls() > 0, "both are asked");
}

#[tokio::test]
async fn unrepeatable_work_is_not_repeated_when_it_may_have_been_done() {
    let silent = Registrar::new(Script::Silent);
    let replicas = replicas(&[serve(silent.clone(), None).await], quick());
    let status = once(&replicas).await.expect_err("nobody answers");
    assert_eq!(reason(&status), Reason::DeadlineExceeded);
    assert_eq!(silent.calls(), 1);
}

#[tokio::test]
async fn when_nobody_can_be_reached_the_reason_says_so() {
    let link = link(&[slam().await], quick());
    let status = link.register(RegisterRequest::default()).await.expect_err("nobody answers");
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(reason(&status), Reason::ServiceUnavailable);
    assert!(status.message().contains("registrar"), "{}", status.message());
}

#[tokio::test]
async fn a_link_shows_its_token_and_is_refused_without() {
    let registrar = Registrar::new(Script::Answer);
    let at = serve(registrar.clone(), Some("edge 0123456789abcdef cluster:write")).await;
    let status = link(std::slice::from_ref(&at), quick()).register(RegisterRequest::default()).await;
    assert_eq!(reason(&status.expect_err("no token")), Reason::Unauthenticated);
    let token = Some(Redacted::new("0123456789abcdef".to_owned()));
    let link = link(&[at], remote::Config { token, ..quick() });
    link.register(RegisterRequest::default()).await.expect("the token opens it");
    assert_eq!(registrar.calls(), 1);
}

#[tokio::test]
async fn the_trace_of_a_request_goes_on_at_the_other_side() {
    let registrar = Registrar::new(Script::Answer);
    let link = link(&[serve(registrar.clone(), None).await], quick());
    let context = trace::begin(&ambient::SeededEntropy::new(3), true);
    let call = link.register(RegisterRequest::default());
    trace::within(context, call).await.expect("an answer");
    let seen = registrar.traces.lock()[0].expect("within a trace");
    assert_eq!((seen.trace_id, seen.sampled), (context.trace_id, true));
}

#[tokio::test(start_paused = true)]
async fn replicas_behind_a_name_come_and_go_with_it() {
    let zone = Arc::new(Zone(Mutex::new(vec!["127.0.0.1:1"])));
    let mut wiring = wiring(remote::Config::default());
    wiring.names = zone.clone();
    let replicas = Replicas::new("registrar", &[url("dns://registrar:1")], &wiring).expect("a good address");
    let look = || tokio::time::sleep(wiring.config.refresh + Duration::from_millis(1));
    look().await;
    assert_eq!(replicas.urls(), ["http://127.0.0.1:1"]);
    *zone.0.lock() = vec!["127.0.0.2:1", "127.0.0.1:1"];
    look().await;
    assert_eq!(replicas.urls(), ["http://127.0.0.1:1", "http://127.0.0.2:1"]);
    zone.0.lock().clear();
    look().await;
    assert_eq!(replicas.urls().len(), 2, "an outage of DNS takes nobody away");
    drop(replicas);
    look().await;
    assert_eq!(wiring.tasks.snapshot().running, 0, "nobody looks up any more");
}

#[test]
fn an_unusable_address_is_refused_at_the_start() {
    assert!("registrar".parse::<Address>().is_err());
}

async fn once(replicas: &Replicas) -> Result<(), Status> {
    let attempt = |channel, envelope: Envelope| async move {
        LocationClient::new(channel).register(envelope.seal(RegisterRequest::default())).await
    };
    replicas.call("register", CallKind::Once, attempt).await.map(drop)
}

fn reason(status: &Status) -> Reason {
    Refusal::read(status).unwrap_or_else(|| panic!("a refusal of ours: {status:?}")).reason()
}

struct Zone(Mutex<Vec<&'static str>>);

#[async_trait]
impl Names for Zone {
    async fn lookup(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(self.0.lock().iter().map(|address| address.parse().expect("an address")).collect())
    }
}
