//! The most calls that an account or a trunk may have at a time.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::time::Duration;

use ambient::SeededEntropy;
use async_trait::async_trait;
use cluster_api::callcontrol::v1::check_calls_response::Standing;
use cluster_api::callcontrol::v1::proxied_calls_server::ProxiedCalls;
use cluster_api::callcontrol::v1::{
    CheckCallsRequest, CheckCallsResponse, EndOverdueRequest, EndOverdueResponse, ReportRequest,
    ReportResponse,
};
use cluster_api::registrar::v1::{
    Account, CreateTrunkRequest, ForwardingRules, ReleaseTrunkRequest, RouteRequest, RouteResponse,
    SeizeTrunkRequest, SetForwardingRequest, Trunk, UpdateAccountRequest, accounts_server::Accounts as _,
    forwarding_server::Forwarding as _, location_server::Location as _, route_response::Plan,
    seize_trunk_response::State, trunks_server::Trunks as _,
};
use cluster_api::sip::v1::Source;
use cluster_rpc::ProxiedCallsLink;
use parking_lot::Mutex;
use registrar::{Auth, Config, Deps, DomainConfig, Registrar};
use store::{RedisOptions, RedisStore};
use test_support::Redis;
use tonic::{Code, Request, Response, Status};

use crate::rig::{Phone, Rig, contact, source, status, targets};
use crate::trunks::{create, trunk, update};

/// Call-control: calls go on unless it was told otherwise.
#[derive(Default)]
pub struct FakeCalls {
    ended: Mutex<Vec<String>>,
    unheard: Mutex<Vec<String>>,
    is_away: AtomicBool,
}

#[async_trait]
impl ProxiedCalls for FakeCalls {
    async fn report(&self, _: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        Err(Status::unimplemented("nobody reports here"))
    }

    async fn check_calls(
        &self,
        request: Request<CheckCallsRequest>,
    ) -> Result<Response<CheckCallsResponse>, Status> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(Status::unavailable("told to"));
        }
        let standing = |(id, leg): (&String, &String)| match () {
            () if self.ended.lock().contains(id) => Standing::Ended,
            () if self.ended.lock().contains(&format!("{id} {leg}")) => Standing::Ended,
            () if self.unheard.lock().contains(id) => Standing::Unspecified,
            () => Standing::Live,
        };
        let CheckCallsRequest { call_ids, legs } = request.into_inner();
        let standings = call_ids.iter().zip(&legs).map(|leg| standing(leg).into()).collect();
        Ok(Response::new(CheckCallsResponse { standings }))
    }

    async fn end_overdue(
        &self,
        _: Request<EndOverdueRequest>,
    ) -> Result<Response<EndOverdueResponse>, Status> {
        Err(Status::unimplemented("no call has a longest time here"))
    }
}

fn rig() -> (Rig, Arc<FakeCalls>) {
    counting(Rig::new())
}

pub fn counting(rig: Rig) -> (Rig, Arc<FakeCalls>) {
    let calls = Arc::new(FakeCalls::default());
    for replica in &rig.replicas {
        replica.count_calls(ProxiedCallsLink::Local(calls.clone()));
    }
    (rig, calls)
}

async fn limited(rig: &Rig, name: &str, max_calls: u32) {
    let aor = format!("sip:{name}@d");
    let shown = rig.account_with(Account { aor, max_calls, ..Account::default() }).await;
    assert_eq!(shown.max_calls, max_calls);
    Phone::of(rig, name, "d").register(&[contact(&format!("sip:{name}@h"))]).await;
}

/// Somebody's call; the clock goes on a little with each.
async fn call(rig: &Rig, from: &str, to: &str, call_id: &str) -> RouteResponse {
    rig.clock.advance(Duration::from_millis(50));
    let mut phone = Phone::of(rig, from, "d");
    let request = RouteRequest { call_id: call_id.into(), ..phone.route_request(&format!("sip:{to}@d")) };
    phone.route_as(request).await
}

#[tokio::test]
async fn a_callee_with_as_many_calls_as_it_may_is_busy() {
    let (rig, calls) = rig();
    rig.account("alice").await;
    limited(&rig, "bob", 2).await;
    for id in ["c1", "c2", "c1"] {
        assert_eq!(targets(&call(&rig, "alice", "bob", id).await), [["sip:bob@h"]], "{id}");
    }
    let Some(Plan::Refuse(refuse)) = call(&rig, "alice", "bob", "c3").await.plan else { panic!("a refusal") };
    assert_eq!((refuse.status, refuse.headers[0].name.as_str()), (486, "Warning"));
    // what is no call, is none of a dialog, or is not counted by anybody goes on
    let mut phone = Phone::of(&rig, "alice", "d");
    let message = RouteRequest { method: "MESSAGE".into(), ..phone.route_request("sip:bob@d") };
    assert_eq!(status(&phone.route_as(message).await), 0);
    let leg = |call_id: &str, in_dialog| RouteRequest {
        call_id: call_id.into(),
        internal: true,
        in_dialog,
        ..phone.route_request("sip:bob@d")
    };
    assert_eq!(status(&phone.send_route(leg("c4", true)).await), 0);
    assert_eq!(status(&phone.send_route(leg("c4", false)).await), 486, "a leg of call-control is a call too");
    // the end of a call makes room, once, also at another replica
    calls.ended.lock().push("c2".into());
    rig.clock.advance(Duration::from_millis(50));
    let other = rig.replicas[1].route(Request::new(leg("c4", false))).await.unwrap().into_inner();
    assert_eq!(status(&other), 0);
    assert_eq!(status(&call(&rig, "alice", "bob", "c5").await), 486);
}

#[tokio::test]
async fn a_caller_with_as_many_calls_as_it_may_makes_no_other() {
    let (rig, calls) = rig();
    rig.account("bob").await;
    Phone::of(&rig, "bob", "d").register(&[contact("sip:bob@h")]).await;
    limited(&rig, "alice", 1).await;
    limited(&rig, "carol", 1).await;
    assert_eq!(status(&call(&rig, "alice", "nobody", "c0").await), 404, "nothing began");
    assert_eq!(status(&call(&rig, "alice", "bob", "c1").await), 0);
    let Some(Plan::Refuse(refuse)) = call(&rig, "alice", "bob", "c2").await.plan else { panic!("a refusal") };
    assert_eq!(refuse.status, 503);
    assert!(refuse.headers.iter().all(|header| header.name == "Warning"), "{:?}", refuse.headers);
    assert_eq!(status(&call(&rig, "bob", "alice", "c2").await), 486, "calls in both directions count");
    calls.ended.lock().push("c1".into());
    // a call that is refused by its callee takes no room
    assert_eq!(status(&call(&rig, "bob", "carol", "c3").await), 0);
    assert_eq!(status(&call(&rig, "alice", "carol", "c4").await), 486);
    calls.is_away.store(true, Ordering::SeqCst);
    assert_eq!(status(&call(&rig, "alice", "bob", "c5").await), 0);
}

/// FWD-03: a rule for the busy callee is one for this too.
#[tokio::test]
async fn a_call_too_many_goes_where_those_of_a_busy_callee_go() {
    let (rig, _calls) = rig();
    rig.account("alice").await;
    limited(&rig, "bob", 1).await;
    let rules = ForwardingRules { busy: Some("sip:desk@d".into()), ..ForwardingRules::default() };
    let request =
        SetForwardingRequest { request_id: String::new(), aor: "sip:bob@d".into(), rules: Some(rules) };
    rig.registrar().set_forwarding(Request::new(request)).await.unwrap();
    assert_eq!(targets(&call(&rig, "alice", "bob", "c1").await), [["sip:bob@h"], ["sip:desk@d"]]);
    let Some(Plan::Fork(fork)) = call(&rig, "alice", "bob", "c2").await.plan else { panic!("a fork") };
    let [group] = &fork.groups[..] else { panic!("{fork:?}") };
    assert_eq!((group.cause.as_str(), group.targets[0].uri.as_str()), ("forward-busy", "sip:desk@d"));
}

/// Nothing is dropped on a guess: not while call-control is silent, and not a call that may be about to be told.
#[tokio::test]
async fn calls_that_are_not_known_to_be_over_go_on() {
    let (rig, calls) = rig();
    rig.account("alice").await;
    limited(&rig, "bob", 1).await;
    calls.unheard.lock().push("c1".into());
    assert_eq!(status(&call(&rig, "alice", "bob", "c1").await), 0);
    assert_eq!(status(&call(&rig, "alice", "bob", "c2").await), 486);
    rig.clock.advance(Duration::from_secs(10));
    calls.is_away.store(true, Ordering::SeqCst);
    assert_eq!(status(&call(&rig, "alice", "bob", "c2").await), 486);
    calls.is_away.store(false, Ordering::SeqCst);
    assert_eq!(status(&call(&rig, "alice", "bob", "c2").await), 0);
}

/// A call that call-control takes over is counted by the id that it is given for that.
#[tokio::test]
async fn an_anchored_call_is_counted_by_its_own_id() {
    let (rig, calls) = rig();
    let account = Account { aor: "sip:alice@d".into(), max_calls: 1, anchor: true, ..Account::default() };
    rig.account_with(account).await;
    rig.account("bob").await;
    let first = call(&rig, "alice", "bob", "c1").await;
    assert!(matches!(first.plan, Some(Plan::CallControl(_))), "{first:?}");
    assert!(first.call_id.starts_with("in-"), "{first:?}");
    assert_eq!(status(&call(&rig, "alice", "bob", "c2").await), 503);
    calls.ended.lock().push(first.call_id);
    assert_eq!(status(&call(&rig, "alice", "bob", "c2").await), 0);
}

/// CCL-17: who calls a conference is counted by its leg there, as often as it comes in, and makes room by leaving.
#[tokio::test]
async fn who_calls_a_conference_is_counted_by_its_leg_there() {
    let (rig, calls) = counting(Rig::with(Config { conferences: true, ..Config::default() }));
    rig.account_with(Account { aor: "sip:alice@d".into(), max_calls: 2, ..Account::default() }).await;
    rig.account("bob").await;
    Phone::of(&rig, "bob", "d").register(&[contact("sip:bob@h")]).await;
    let first = call(&rig, "alice", "conf-c9", "c1").await;
    let Some(Plan::CallControl(to)) = &first.plan else { panic!("{first:?}") };
    assert_eq!(to.conference, "c9");
    let second = call(&rig, "alice", "conf-c9", "c2").await;
    assert!(first.call_id.starts_with("in-") && first.call_id != second.call_id, "{first:?} {second:?}");
    assert_eq!(status(&call(&rig, "alice", "conf-c9", "c3").await), 503);
    assert_eq!(status(&call(&rig, "alice", "bob", "c4").await), 503);
    // what is asked about is a leg of the call that is the conference
    calls.ended.lock().push(format!("c9 {}", first.call_id));
    assert_eq!(status(&call(&rig, "alice", "bob", "c4").await), 0);
    assert_eq!(status(&call(&rig, "alice", "bob", "c5").await), 503);
    let long = format!("conf-{}", "x".repeat(200));
    assert_eq!(status(&call(&rig, "alice", &long, "c6").await), 0, "call-control knows none of that name");
}

/// FWD-01: who only tells its contacts tells them, also when its calls are anchored or the caller's are.
#[tokio::test]
async fn an_anchored_account_that_redirects_is_not_called() {
    let (rig, _calls) = rig();
    for (name, redirect_only) in [("alice", false), ("bob", true)] {
        let aor = format!("sip:{name}@d");
        rig.account_with(Account { aor, redirect_only, anchor: true, ..Account::default() }).await;
    }
    Phone::of(&rig, "bob", "d").register(&[contact("sip:bob@h")]).await;
    let Some(Plan::Redirect(redirect)) = Phone::of(&rig, "alice", "d").route("sip:bob@d").await.plan else {
        panic!("a redirection")
    };
    assert_eq!((redirect.status, redirect.contacts), (302, vec!["<sip:bob@h>".to_owned()]));
}

/// Accounts without a limit cost nothing more; a limit can be taken away, and none is set above what is counted.
#[tokio::test]
async fn only_accounts_with_a_limit_are_counted() {
    let (rig, calls) = rig();
    rig.account("alice").await;
    limited(&rig, "bob", 1).await;
    limited(&rig, "carol", 0).await;
    let update = |max_calls: u32| {
        let account = Account { aor: "sip:bob@d".into(), max_calls, ..Account::default() };
        let mask = prost_types::FieldMask { paths: vec!["max_calls".into()] };
        let request = UpdateAccountRequest {
            request_id: String::new(),
            account: Some(account),
            update_mask: Some(mask),
        };
        rig.registrar().update_account(Request::new(request))
    };
    assert_eq!(update(1_001).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(update(0).await.unwrap().into_inner().max_calls, 0);
    calls.is_away.store(true, Ordering::SeqCst);
    let request = |to: &str| {
        let phone = Phone::of(&rig, "alice", "d");
        RouteRequest { internal: true, call_id: "c".into(), ..phone.route_request(to) }
    };
    let phone = Phone::of(&rig, "alice", "d");
    phone.send_route(request("sip:carol@d")).await;
    rig.store.hook.count();
    for to in ["sip:bob@d", "sip:carol@d"] {
        assert_eq!(status(&phone.send_route(request(to)).await), 0);
        assert_eq!(rig.store.hook.count(), (1, 0), "one read, of the callee: {to}");
    }
}

fn wish(trunk: &str, call_id: &str, branch: &str) -> Request<SeizeTrunkRequest> {
    let over = Vec::new();
    Request::new(SeizeTrunkRequest {
        trunk: trunk.into(),
        call_id: call_id.into(),
        branch: branch.into(),
        over,
        charge: None,
    })
}

async fn has_room(replica: &Registrar, trunk: &str, call_id: &str, branch: &str) -> bool {
    let answer = replica.seize_trunk(wish(trunk, call_id, branch)).await.unwrap().into_inner();
    answer.state() == State::Seized
}

/// A leg that has left a call that goes on makes room.
#[tokio::test]
async fn a_leg_that_left_its_call_makes_room_at_its_trunk() {
    let (rig, calls) = rig();
    create(&rig, Trunk { max_calls: 2, ..trunk("pstn", &["sip:192.0.2.77"], &[""]) }).await.unwrap();
    let one = &rig.replicas[0];
    assert!(has_room(one, "pstn", "c1", "b1").await && has_room(one, "pstn", "c1", "b2").await);
    rig.clock.advance(Duration::from_millis(50));
    assert!(!has_room(one, "pstn", "c2", "b1").await);
    calls.ended.lock().push("c1 b1".to_owned());
    rig.clock.advance(Duration::from_millis(50));
    assert!(has_room(one, "pstn", "c2", "b1").await);
    rig.clock.advance(Duration::from_millis(50));
    assert!(!has_room(one, "pstn", "c3", "b1").await, "the other leg goes on");
}

/// A trunk carries as many legs as it may, out and in together and at all replicas; the end of a call and a branch that came to nothing
/// make room.
#[tokio::test]
async fn a_trunk_carries_as_many_legs_as_it_may() {
    let (rig, calls) = rig();
    rig.account("alice").await;
    Phone::of(&rig, "alice", "d").register(&[contact("sip:alice@h")]).await;
    let shown =
        create(&rig, Trunk { max_calls: 2, ..trunk("pstn", &["sip:192.0.2.77"], &[""]) }).await.unwrap();
    assert_eq!(shown.max_calls, 2);
    let Some(Plan::Fork(fork)) = call(&rig, "alice", "+4930", "c0").await.plan else { panic!("a fork") };
    assert_eq!(fork.groups[0].targets[0].seize, "pstn", "the edge asks when the branch begins");
    let [one, other] = [&rig.replicas[0], &rig.replicas[1]];
    assert!(has_room(one, "pstn", "c1", "b1").await && has_room(other, "pstn", "c1", "b1").await);
    assert!(has_room(other, "pstn", "c1", "b2").await, "each leg of a call has its place");
    rig.clock.advance(Duration::from_millis(50));
    assert!(!has_room(one, "pstn", "c2", "b1").await);
    // what comes in by it counts as well
    let phone = Phone::of(&rig, "alice", "d");
    let incoming = |call_id: &str| RouteRequest {
        from_uri: "sip:+4940@far.example".into(),
        call_id: call_id.into(),
        source: Some(Source { address: "192.0.2.77".into(), ..source() }),
        ..phone.route_request("sip:alice@d")
    };
    let Some(Plan::Refuse(refuse)) = phone.send_route(incoming("c3")).await.plan else { panic!("a refusal") };
    assert_eq!((refuse.status, refuse.reason.as_str()), (503, "Trunk Full"));
    assert!(refuse.headers.iter().all(|header| header.name == "Warning"), "{:?}", refuse.headers);
    let given_back = ReleaseTrunkRequest { trunk: "pstn".into(), call_id: "c1".into(), branch: "b2".into() };
    other.release_trunk(Request::new(given_back)).await.unwrap();
    assert_eq!(targets(&phone.send_route(incoming("c3")).await), [["sip:alice@h"]]);
    rig.clock.advance(Duration::from_millis(50));
    assert!(!has_room(one, "pstn", "c4", "b1").await);
    calls.ended.lock().push("c1".into());
    rig.clock.advance(Duration::from_millis(50));
    assert!(has_room(one, "pstn", "c4", "b1").await);
    // whose end nobody would know of has no room, nor has what is no longer there
    assert!(!has_room(one, "pstn", "", "b1").await && !has_room(one, "none", "c5", "b1").await);
    update(&rig, Trunk { disabled: true, ..trunk("pstn", &[], &[]) }).await.unwrap();
    assert!(!has_room(one, "pstn", "c5", "b1").await);
}

/// A trunk without a limit is not counted, and none is set that nobody could keep.
#[tokio::test]
async fn only_trunks_with_a_limit_are_counted() {
    let (rig, _calls) = rig();
    create(&rig, trunk("free", &["sip:192.0.2.77"], &["+"])).await.unwrap();
    rig.account("alice").await;
    let Some(Plan::Fork(fork)) = call(&rig, "alice", "+4930", "c0").await.plan else { panic!("a fork") };
    assert_eq!(fork.groups[0].targets[0].seize, "");
    for number in 0..10 {
        assert!(has_room(rig.registrar(), "free", &format!("c{number}"), "b").await);
    }
    let too_many = Trunk { max_calls: 1_001, ..trunk("many", &["sip:192.0.2.78"], &["+"]) };
    assert_eq!(create(&rig, too_many).await.unwrap_err().code(), Code::InvalidArgument);
    let nobody_counts = Rig::new();
    let limited = Trunk { max_calls: 1, ..trunk("limited", &["sip:192.0.2.78"], &["+"]) };
    assert_eq!(create(&nobody_counts, limited).await.unwrap_err().code(), Code::Unimplemented);
}

/// Over Redis, with two replicas that are asked at the same time: as many calls as may be, and not one more.
#[tokio::test]
async fn replicas_that_are_asked_at_once_let_no_call_too_many_pass() {
    let redis = Redis::start();
    let calls = Arc::new(FakeCalls::default());
    let mut replicas = Vec::new();
    for seed in 1..=2 {
        let store = Arc::new(RedisStore::connect(&redis.url(), RedisOptions::default()).expect("a url"));
        let entropy = Arc::new(SeededEntropy::new(seed));
        let deps = Deps { store, entropy, metrics: telemetry::Metrics::new() };
        let domain = DomainConfig { name: "open".into(), auth: Auth::None, ..DomainConfig::default() };
        let replica =
            Registrar::build(Config { domains: vec![domain], ..Config::default() }, deps).expect("it works");
        replica.count_calls(ProxiedCallsLink::Local(calls.clone()));
        replicas.push(replica);
    }
    let account = Account { aor: "sip:bob@open".into(), max_calls: 3, ..Account::default() };
    let request =
        cluster_api::registrar::v1::CreateAccountRequest { account: Some(account), ..Default::default() };
    // Redis may not be there yet
    while replicas[0].create_account(Request::new(request.clone())).await.is_err() {
        tokio::task::yield_now().await;
    }
    let limited = Trunk { max_calls: 3, ..trunk("pstn", &["sip:192.0.2.77"], &["+"]) };
    let request = CreateTrunkRequest { trunk: Some(limited), ..CreateTrunkRequest::default() };
    replicas[0].create_trunk(Request::new(request)).await.expect("a good trunk");
    let binding = cluster_api::registrar::v1::AddBindingRequest {
        aor: "sip:bob@open".into(),
        contact_uri: "sip:b@h".into(),
        ..Default::default()
    };
    use cluster_api::registrar::v1::bindings_server::Bindings as _;
    replicas[0].add_binding(Request::new(binding)).await.expect("a static contact");
    let ask = |number: usize| {
        let request = RouteRequest {
            method: "INVITE".into(),
            request_uri: "sip:bob@open".into(),
            from_uri: "sip:alice@open".into(),
            to_uri: "sip:bob@open".into(),
            sip_call_id: format!("{number}"),
            call_id: format!("c{number}"),
            cseq: 1,
            ..RouteRequest::default()
        };
        replicas[number % 2].route(Request::new(request))
    };
    let answers = futures_util::future::join_all((0..8).map(ask)).await;
    let passed: Vec<_> = answers.into_iter().map(|answer| status(&answer.unwrap().into_inner())).collect();
    assert_eq!(passed.iter().filter(|status| **status == 0).count(), 3, "{passed:?}");
    assert!(passed.iter().all(|status| [0, 486, 503].contains(status)), "{passed:?}");
    let seize = |number: usize| replicas[number % 2].seize_trunk(wish("pstn", &format!("c{number}"), "b"));
    let answers = futures_util::future::join_all((0..8).map(seize)).await;
    let seized: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().into_inner().state()).collect();
    assert_eq!(seized.iter().filter(|state| **state == State::Seized).count(), 3, "{seized:?}");
    calls.ended.lock().extend((0..8).map(|number| format!("c{number}")));
    let mut answer = status(&ask(9).await.unwrap().into_inner());
    // what was looked through just now is looked through again after a few milliseconds
    while answer == 486 {
        answer = status(&ask(9).await.unwrap().into_inner());
    }
    assert_eq!(answer, 0);
}
