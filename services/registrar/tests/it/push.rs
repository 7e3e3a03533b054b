//! Phones that are pushed (RFC 8599), as they register and as edges have them woken.

use std::sync::Arc;

use async_trait::async_trait;
use cluster_api::registrar::v1::{
    EndFlowsRequest, EndedFlow, ListBindingsRequest, RegisterContact, RegisterResponse, WakeRequest,
    WakeResponse, bindings_server::Bindings as _, location_server::Location as _, route_response::Plan,
    wake_response::State,
};
use lifecycle::Shutdown;
use registrar::{Config, Push, PushFailure, PushProvider, Registrar};
use tokio::sync::{Mutex, mpsc};
use tonic::Request;

use crate::rig::{Phone, Rig, contact, targets};

const PUSHED: &str = "sip:bob@192.0.2.9;pn-provider=acme;pn-param=app;pn-prid=token%3D1;transport=tcp";
const BARE: &str = "sip:bob@192.0.2.9;transport=tcp";

fn rig() -> Rig {
    Rig::with(Config { push_providers: vec!["acme".into(), "fcm".into()], ..Config::default() })
}

fn feature_caps(response: &RegisterResponse) -> Vec<&str> {
    let caps = response.headers.iter().filter(|header| header.name == "Feature-Caps");
    caps.map(|header| header.value.as_str()).collect()
}

/// Registers over a TCP connection of this name.
async fn register(phone: &mut Phone, contacts: &[RegisterContact], flow: &str) -> RegisterResponse {
    let mut request = phone.request(contacts);
    request.flow = flow.to_owned();
    request.source.as_mut().unwrap().transport = "tcp".to_owned();
    let response = phone.send(request).await;
    assert_eq!(response.status, 200);
    response
}

async fn end(registrar: &Registrar, flow: &str) {
    let flows = vec![EndedFlow { to_uri: "sip:bob@open".into(), flow: flow.into(), ..EndedFlow::default() }];
    registrar.end_flows(Request::new(EndFlowsRequest { flows })).await.unwrap();
}

async fn wake(registrar: &Registrar, id: &str, again: bool) -> WakeResponse {
    let request =
        WakeRequest { aor: "sip:bob@open".into(), binding_id: id.into(), again, ..WakeRequest::default() };
    registrar.wake(Request::new(request)).await.unwrap().into_inner()
}

/// The binding of a plan's only target, while its phone sleeps.
async fn asleep(phone: &mut Phone) -> String {
    let plan = phone.route("sip:bob@open").await.plan;
    let Some(Plan::Fork(fork)) = plan else { panic!("{plan:?}") };
    fork.groups[0].targets[0].wake.clone()
}

/// PSH-01: the service that the phone names stands in Feature-Caps, all of them where it asks which there are, and no other contact is
/// told; its own contact comes back as it was, and no request shows what it said.
#[tokio::test]
async fn a_service_that_is_known_is_told_and_kept_from_everybody_else() {
    let rig = rig();
    let mut phone = Phone::of(&rig, "bob", "open");
    let response = register(&mut phone, &[contact(PUSHED)], "tcp-1").await;
    assert_eq!(feature_caps(&response), ["*;+sip.pns=\"acme\""]);
    assert_eq!(response.contacts[0].uri, PUSHED);
    assert_eq!(targets(&phone.route("sip:bob@open").await), [[BARE]]);
    let list = ListBindingsRequest { aor: "sip:bob@open".into(), ..ListBindingsRequest::default() };
    let listed = rig.registrar().list_bindings(Request::new(list)).await.unwrap().into_inner();
    assert_eq!(listed.bindings[0].contact_uri, BARE);
    let asking =
        register(&mut phone, &[contact("sip:bob@192.0.2.9;transport=tcp;pn-provider")], "tcp-1").await;
    assert_eq!(feature_caps(&asking), ["*;+sip.pns=\"acme\"", "*;+sip.pns=\"fcm\""]);
    assert_eq!(asking.contacts.len(), 1, "it is the same contact");
    let plain = register(&mut phone, &[contact(BARE)], "tcp-1").await;
    assert_eq!((feature_caps(&plain), &*plain.contacts[0].uri), (Vec::new(), BARE));
}

/// PSH-01: 555 for a service that nobody here reaches; where nothing is pushed at all the phone is registered, and not told any.
#[tokio::test]
async fn a_service_that_is_not_known_is_refused() {
    let unknown = [contact("sip:bob@h;pn-provider=other;pn-prid=1")];
    let mut phone = Phone::of(&rig(), "bob", "open");
    assert_eq!(phone.register(&unknown).await.status, 555);
    let mut phone = Phone::of(&Rig::new(), "bob", "open");
    let response = phone.register(&unknown).await;
    assert_eq!((response.status, feature_caps(&response)), (200, Vec::new()));
    assert_eq!(targets(&phone.route("sip:bob@open").await), [["sip:bob@h"]]);
}

/// Takes each push and says what the test says.
struct Told {
    pushes: mpsc::UnboundedSender<Push>,
    outcomes: Mutex<mpsc::UnboundedReceiver<Result<(), PushFailure>>>,
}

#[async_trait]
impl PushProvider for Told {
    async fn push(&self, push: &Push) -> Result<(), PushFailure> {
        self.pushes.send(push.clone()).unwrap();
        self.outcomes.lock().await.recv().await.unwrap()
    }
}

/// A rig whose first replica pushes by what the test holds.
fn pushing() -> (Rig, mpsc::UnboundedReceiver<Push>, mpsc::UnboundedSender<Result<(), PushFailure>>, Shutdown)
{
    let (pushes, pushed) = mpsc::unbounded_channel();
    let (outcome, outcomes) = mpsc::unbounded_channel();
    let provider = Arc::new(Told { pushes, outcomes: Mutex::new(outcomes) });
    let config = Config { push_providers: vec!["acme".into()], ..Config::default() };
    let rig = Rig::pushing(config, provider);
    let shutdown = Shutdown::new();
    tokio::spawn(rig.replicas[0].clone().run(shutdown.clone()));
    (rig, pushed, outcome, shutdown)
}

/// PSH-02: a phone whose connection ended sleeps and is bound still; it is pushed once for all who want it, and found awake by each of them
/// when it has registered elsewhere, with another contact, by another replica.
#[tokio::test(start_paused = true)]
async fn a_phone_that_sleeps_is_pushed_and_found_when_it_registers_anywhere() {
    let (rig, mut pushed, outcome, shutdown) = pushing();
    let mut phone = Phone::of(&rig, "bob", "open");
    register(&mut phone, &[contact(PUSHED)], "tcp-1").await;
    assert_eq!(asleep(&mut phone).await, "", "its connection lasts");
    end(rig.registrar(), "tcp-1").await;
    let id = asleep(&mut phone).await;
    let (one, two) = (rig.replicas[0].clone(), rig.replicas[0].clone());
    let waiting = [one, two].map(|replica| {
        let id = id.clone();
        tokio::spawn(async move { wake(&replica, &id, false).await })
    });
    let push = pushed.recv().await.unwrap();
    let said = [&*push.provider, &push.prid, &push.param, &push.aor];
    assert_eq!(said, ["acme", "token=1", "app", "sip:bob@open"]);
    outcome.send(Ok(())).unwrap();
    assert_eq!(wake(&rig.replicas[1], &id, true).await.state(), State::Asleep, "not yet");
    let mut elsewhere = Phone { registrar: rig.replicas[1].clone(), call_id: "new".into(), ..phone.clone() };
    let moved = PUSHED.replace("192.0.2.9", "192.0.2.77:6000");
    register(&mut elsewhere, &[contact(&moved)], "tcp-2").await;
    let found = wake(&rig.replicas[1], &id, true).await;
    assert_eq!(found.state(), State::Awake);
    let target = found.target.unwrap();
    assert_eq!(
        (&*target.uri, &*target.flow, &*target.wake),
        ("sip:bob@192.0.2.77:6000;transport=tcp", "tcp-2", "")
    );
    assert_eq!(
        targets(&phone.route("sip:bob@open").await).concat(),
        [&*target.uri],
        "one phone, one binding"
    );
    for waiting in waiting {
        assert!(matches!(waiting.await.unwrap().state(), State::Asleep | State::Awake));
    }
    assert!(pushed.try_recv().is_err(), "it was pushed once");
    shutdown.ask();
}

/// PSH-02: who waits hears at once that a phone cannot be pushed; and of a binding that is gone, and of a phone that is awake.
#[tokio::test(start_paused = true)]
async fn a_push_that_fails_is_told_to_who_waits() {
    let (rig, mut pushed, outcome, shutdown) = pushing();
    let mut phone = Phone::of(&rig, "bob", "open");
    register(&mut phone, &[contact(PUSHED)], "tcp-1").await;
    assert_eq!(wake(rig.registrar(), "1", false).await.state(), State::Awake);
    end(rig.registrar(), "tcp-1").await;
    outcome.send(Err(PushFailure("no such phone".into()))).unwrap();
    let lost = wake(rig.registrar(), "1", false).await;
    assert_eq!((lost.state(), &*lost.reason), (State::Lost, "no such phone"));
    assert!(pushed.recv().await.is_some());
    assert_eq!(wake(rig.registrar(), "9", false).await.state(), State::Lost);
    shutdown.ask();
}

/// PSH-02: nothing tells when a phone on datagrams falls asleep, so that it is pushed half a minute after its last REGISTER.
#[tokio::test]
async fn a_phone_on_datagrams_sleeps_when_nothing_was_heard_of_it() {
    let rig = rig();
    let mut phone = Phone::of(&rig, "bob", "open");
    phone.register(&[contact(PUSHED)]).await;
    rig.clock.advance(std::time::Duration::from_secs(29));
    assert_eq!(asleep(&mut phone).await, "");
    rig.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(asleep(&mut phone).await, "1");
    phone.register(&[contact(PUSHED)]).await;
    assert_eq!(asleep(&mut phone).await, "");
}
