//! What the operator's own service says of calls that leave by a trunk: a real gRPC server stands for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use cluster_api::registrar::v1::{
    AuthorizeRequest, AuthorizeResponse, Charge, RouteRequest, SeizeTrunkRequest, SeizeTrunkResponse, Target,
    Trunk,
    authorize_response::Decision,
    location_server::Location as _,
    route_response::Plan,
    seize_trunk_response::State,
    spending_server::{Spending, SpendingServer},
};
use cluster_api::sip::v1::Source;
use cluster_rpc::{SpendingLink, Wiring, remote, server::incoming};
use lifecycle::Tasks;
use parking_lot::Mutex;
use registrar::{
    Config, ConfigError, Deps, MOST_PATIENCE, Registrar, Silent, SpendingConfig, SpendingService,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Notify,
};
use tonic::{Request, Response, Status, transport::Server};

use crate::rig::{Phone, Rig, source};
use crate::trunks::{create, trunk};

/// An operator's service: what it was asked, with the token that was shown, and what it says next; then that calls may go out.
#[derive(Default)]
pub struct Operator {
    asked: Mutex<Vec<(AuthorizeRequest, String)>>,
    says: Mutex<VecDeque<Says>>,
    /// Wakes whoever holds an answer back.
    goes_on: Notify,
}

pub enum Says {
    Decides(Decision, &'static str),
    Raw(i32),
    /// It may, for so many seconds.
    Lasts(i64),
    Fails(Status),
    /// Nothing before it is told to go on.
    Nothing,
}

#[tonic::async_trait]
impl Spending for Operator {
    async fn authorize(
        &self,
        request: Request<AuthorizeRequest>,
    ) -> Result<Response<AuthorizeResponse>, Status> {
        let token = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let token = token.unwrap_or_default().to_owned();
        self.asked.lock().push((request.into_inner(), token));
        let next = self.says.lock().pop_front();
        let mut max_duration = None;
        let (decision, reason) = match next {
            None => (Decision::Allow.into(), ""),
            Some(Says::Decides(decision, reason)) => (decision.into(), reason),
            Some(Says::Raw(number)) => (number, ""),
            Some(Says::Lasts(seconds)) => {
                max_duration = Some(prost_types::Duration { seconds, nanos: 0 });
                (Decision::Allow.into(), "")
            }
            Some(Says::Fails(status)) => return Err(status),
            Some(Says::Nothing) => {
                self.goes_on.notified().await;
                (Decision::Allow.into(), "")
            }
        };
        Ok(Response::new(AuthorizeResponse { decision, reason: reason.to_owned(), max_duration }))
    }
}

impl Operator {
    pub fn says(&self, answers: impl IntoIterator<Item = Says>) {
        self.says.lock().extend(answers);
    }

    /// The service behind a real socket; its URL.
    async fn serve(self: &Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = SpendingServer::from_arc(self.clone());
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming(listener)));
        url
    }
}

/// Long enough for any machine, and what is not answered at all takes it whole.
pub const SETTINGS: SpendingConfig =
    SpendingConfig { timeout: MOST_PATIENCE, silent: Silent::Deny, at_once: 256 };

fn config(spending: SpendingConfig) -> Config {
    Config { spending, ..Config::default() }
}

/// Registrars that ask at these URLs, and two trunks, the second with a limit.
async fn asking(spending: SpendingConfig, urls: &[&str]) -> Rig {
    let addresses: Vec<_> = urls.iter().map(|url| url.parse().unwrap()).collect();
    let rig = Rig::asking(config(spending), |metrics| {
        let wiring = Wiring::new(remote::Config::default(), Tasks::new("test", 100), metrics.clone());
        let token = "s3cret".to_owned().into();
        let service = SpendingService { addresses: addresses.clone(), token, authorities: None };
        assert!(!format!("{service:?}").contains("s3cret"));
        service.link(&spending, &wiring).unwrap()
    });
    create(&rig, trunk("world", &["sip:192.0.2.77"], &[""])).await.unwrap();
    rig
}

async fn seize(registrar: &Registrar, branch: &str, charge: Option<Charge>) -> SeizeTrunkResponse {
    let request = SeizeTrunkRequest {
        trunk: "world".into(),
        call_id: "call-1".into(),
        branch: branch.into(),
        over: Vec::new(),
        charge,
    };
    registrar.seize_trunk(Request::new(request)).await.unwrap().into_inner()
}

async fn state(rig: &Rig, branch: &str) -> State {
    seize(rig.registrar(), branch, None).await.state()
}

fn trunk_of(plan: Option<Plan>) -> Target {
    let Some(Plan::Fork(fork)) = plan else { panic!("a fork") };
    fork.groups[0].targets[0].clone()
}

/// T6: before a call leaves by a trunk the operator's service is asked, with the token, who calls what by which trunk; it allows the call,
/// or denies it in words that can do no harm.
#[tokio::test]
async fn the_operators_service_decides_about_calls_that_cost_money() {
    let operator = Arc::new(Operator::default());
    let rig = asking(SETTINGS, &[&operator.serve().await]).await;
    rig.account("alice").await;
    let target = trunk_of(Phone::of(&rig, "alice", "d").route("sip:+49(30)1@d;user=phone").await.plan);
    assert_eq!(target.seize, "world", "also of a trunk whose calls are not counted");
    let charge = target.charge.clone();
    assert_eq!(seize(rig.registrar(), "b1", charge.clone()).await.state(), State::Seized);
    let (asked, token) = operator.asked.lock().pop().unwrap();
    let expected = AuthorizeRequest {
        call_id: "call-1".into(),
        leg: "b1".into(),
        account: "sip:alice@d".into(),
        domain: "d".into(),
        caller: "sip:alice@d".into(),
        called: "sip:+49(30)1@d;user=phone".into(),
        number: "+49301".into(),
        trunk: "world".into(),
    };
    assert_eq!((asked, &*token), (expected, "Bearer s3cret"));
    operator.says([Says::Decides(Decision::Deny, "Credit\r\nX: y\" Exhausted")]);
    let denied = seize(rig.registrar(), "b2", charge).await;
    assert_eq!((denied.state(), &*denied.reason), (State::Denied, "CreditX: y Exhausted"));
    assert_eq!(["allowed", "denied"].map(|outcome| rig.counted("registrar_spending_total", outcome)), [1, 1]);
}

/// T6: who pays is who proved to call; of what call-control calls, whom it calls for; and a stranger's word is nobody's account. Calls
/// among users and what begins no call cost nothing.
#[tokio::test]
async fn a_call_is_charged_to_who_proved_to_make_it_or_had_it_made() {
    let operator = Arc::new(Operator::default());
    let rig = asking(SETTINGS, &[&operator.serve().await]).await;
    rig.account("alice").await;
    let phone = Phone::of(&rig, "alice", "d");
    let payer = async |request: RouteRequest| {
        let charge = trunk_of(phone.send_route(request).await.plan).charge;
        charge.map(|charge| (charge.account, charge.caller))
    };
    let number = || phone.route_request("tel:+49301");
    let paid = |account: &str, caller: &str| Some((account.to_owned(), caller.to_owned()));
    let dialled = RouteRequest { internal: true, ..number() };
    assert_eq!(payer(dialled.clone()).await, paid("sip:alice@d", "sip:alice@d"));
    let elsewhere = RouteRequest { from_uri: "sip:far@elsewhere.example".into(), ..dialled.clone() };
    assert_eq!(payer(elsewhere).await, paid("", "sip:far@elsewhere.example"));
    let led = RouteRequest { led_by: "sip:bob@d".into(), ..dialled.clone() };
    rig.account("bob").await;
    assert_eq!(payer(led).await, paid("sip:bob@d", "sip:alice@d"), "who forwards pays");
    let referred = RouteRequest { referred_by: "sip:bob@d".into(), ..dialled.clone() };
    assert_eq!(payer(referred).await, paid("sip:bob@d", "sip:alice@d"), "who refers pays");
    let trusted = RouteRequest { source: Some(Source { trusted: true, ..source() }), ..number() };
    assert_eq!(payer(trusted).await, paid("", "sip:alice@d"), "what a neighbour writes is no proof");
    let text = RouteRequest { method: "MESSAGE".into(), ..dialled };
    assert_eq!(payer(text).await, None);
    assert!(
        operator.asked.lock().is_empty(),
        "a plan costs nothing: it is asked about when the call goes out"
    );
}

/// T6: a service that says nothing, is not there, is none or says what nobody knows decides nothing: then the settings do.
#[tokio::test]
async fn what_the_operators_service_does_not_decide_the_settings_do() {
    let operator = Arc::new(Operator::default());
    let url = operator.serve().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let garbage = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let babbling = format!("http://{}", garbage.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = garbage.accept().await {
            tokio::spawn(async move {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await;
                let _ = stream.read(&mut [0; 64]).await;
            });
        }
    });
    let closed = format!("http://{closed}");
    for (silent, expected) in [(Silent::Deny, State::Undecided), (Silent::Allow, State::Seized)] {
        let settings = SpendingConfig { silent, ..SETTINGS };
        for (case, url, says, outcome) in [
            ("silent", &url, Some(Says::Nothing), "silent"),
            ("refusing", &url, Some(Says::Fails(Status::permission_denied("no token"))), "failed"),
            ("of another version", &url, Some(Says::Raw(99)), "failed"),
            ("undecided", &url, Some(Says::Raw(0)), "failed"),
            ("away", &closed, None, "silent"),
            ("no gRPC", &babbling, None, "silent"),
        ] {
            operator.says(says);
            let rig = asking(settings, &[url]).await;
            assert_eq!(state(&rig, "b").await, expected, "{case}");
            assert_eq!(rig.counted("registrar_spending_total", outcome), 1, "{case}");
        }
        operator.goes_on.notify_waiters();
    }
}

/// T6: of two replicas one that is away is no obstacle.
#[tokio::test]
async fn another_replica_of_the_operators_service_is_asked() {
    let operator = Arc::new(Operator::default());
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let rig = asking(SETTINGS, &[&format!("http://{closed}"), &operator.serve().await]).await;
    for branch in ["b1", "b2", "b3"] {
        assert_eq!(state(&rig, branch).await, State::Seized);
    }
    assert_eq!(operator.asked.lock().len(), 3);
}

pub fn in_process(spending: SpendingConfig) -> (Arc<Operator>, impl Future<Output = Rig>) {
    let operator = Arc::new(Operator::default());
    let link = SpendingLink::Local(operator.clone());
    (operator, async move {
        let rig = Rig::asking(config(spending), |_| link.clone());
        create(&rig, trunk("world", &["sip:192.0.2.77"], &[""])).await.unwrap();
        rig
    })
}

/// T6: a service that is dead does not hold up every call: it is left alone for a while, then asked about one.
#[tokio::test(start_paused = true)]
async fn a_dead_service_is_left_alone_for_a_while() {
    let (operator, rig) = in_process(SETTINGS);
    let rig = rig.await;
    operator.says((0..4).map(|_| Says::Nothing));
    let begun = tokio::time::Instant::now();
    for _ in 0..3 {
        assert_eq!(state(&rig, "b").await, State::Undecided);
    }
    assert_eq!(begun.elapsed(), 3 * SETTINGS.timeout);
    for _ in 0..10 {
        assert_eq!(state(&rig, "b").await, State::Undecided);
    }
    assert_eq!(begun.elapsed(), 3 * SETTINGS.timeout, "nobody is waited for");
    assert_eq!(operator.asked.lock().len(), 3);
    tokio::time::advance(Duration::from_secs(1)).await;
    let (probe, beside) = tokio::join!(state(&rig, "b"), state(&rig, "c"));
    assert_eq!([probe, beside], [State::Undecided; 2]);
    assert_eq!(operator.asked.lock().len(), 4, "one is asked about");
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!([state(&rig, "b").await, state(&rig, "c").await], [State::Seized; 2], "it is back");
    assert_eq!(["silent", "open"].map(|outcome| rig.counted("registrar_spending_total", outcome)), [4, 11]);
}

/// T6: no more questions are open than may be, and one that is given up makes room.
#[tokio::test(start_paused = true)]
async fn so_many_questions_are_open_at_once() {
    let (operator, rig) = in_process(SpendingConfig { at_once: 1, ..SETTINGS });
    let rig = rig.await;
    operator.says([Says::Nothing]);
    let (first, second) = tokio::join!(biased; state(&rig, "b"), state(&rig, "c"));
    assert_eq!([first, second], [State::Undecided; 2]);
    assert_eq!(["silent", "full"].map(|outcome| rig.counted("registrar_spending_total", outcome)), [1, 1]);
    assert_eq!(state(&rig, "d").await, State::Seized);
}

/// T6: a call that has no room at its trunk costs nothing, and without a service nothing is asked.
#[tokio::test]
async fn only_calls_with_room_are_asked_about() {
    let (operator, rig) = in_process(SETTINGS);
    let rig = rig.await;
    let gone = SeizeTrunkRequest { trunk: "none".into(), branch: "b".into(), ..SeizeTrunkRequest::default() };
    let answer = rig.registrar().seize_trunk(Request::new(gone)).await.unwrap().into_inner();
    assert_eq!(answer.state(), State::Full);
    assert!(operator.asked.lock().is_empty());
    let plain = Rig::new();
    plain.account("alice").await;
    create(&plain, Trunk { ..trunk("world", &["sip:192.0.2.77"], &[""]) }).await.unwrap();
    let target = trunk_of(Phone::of(&plain, "alice", "d").route("tel:+49301").await.plan);
    assert_eq!((&*target.seize, target.charge), ("", None));
}

#[test]
fn a_service_is_not_waited_for_longer_than_the_registrar_is() {
    let longer = SpendingConfig { timeout: MOST_PATIENCE + Duration::from_millis(1), ..SETTINGS };
    for timeout in [longer, SpendingConfig { timeout: Duration::ZERO, ..SETTINGS }] {
        let store = Arc::new(store::MemoryStore::new(std::time::SystemTime::now));
        let entropy = Arc::new(ambient::SeededEntropy::new(1));
        let deps = Deps { store, entropy, metrics: telemetry::Metrics::new() };
        let refused = Registrar::build(config(timeout), deps).err();
        assert_eq!(refused, Some(ConfigError::Spending));
    }
}
