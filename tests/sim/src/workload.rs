//! What is done to a cluster in one run: phones come and go, an application dials them in all flows and hangs up, and processes
//! are disturbed meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call_control_server::CallControl as _;
use cluster_rpc::{Reason, Refusal};
use scripted_phone::{Answer, Script};
use tokio::time::{sleep, timeout};
use tonic::{Code, Request, Status};

use crate::chance::Chance;
use crate::cluster::{Cluster, DOMAIN};
use crate::disturbance::{Counts, Kind, disturb, recover};
use crate::invariants::{self, Breaches};
use crate::ladders::{self, ANCHORED, Ladders};
use crate::network::Weather;
use crate::phones::{PATIENCE, VirtualPhone};
use crate::sabotage::Sabotage;

const PHONES: u8 = 10;
const DIALS: u64 = 12;
const FLOWS: [cc::Flow; 5] = [cc::Flow::Auto, cc::Flow::I, cc::Flow::Iii, cc::Flow::Iv, cc::Flow::Ringback];

/// After this time everything that was begun is over: two rings of 40 s, and twice the life of a transaction.
const QUIET: Duration = Duration::from_secs(160);

/// What is known of a run when it is over.
#[derive(Debug)]
pub struct Report {
    /// The weather there was.
    pub weather: Weather,
    /// Calls that were dialled.
    pub calls: Vec<String>,
    /// How many of them were answered by both.
    pub connected: usize,
    /// How often a party was led elsewhere, with success.
    pub led: usize,
    /// How often somebody came into a call or a conference.
    pub joined: usize,
    /// How often a hold took effect.
    pub held: usize,
    /// What else was taken on, by name.
    pub taken: BTreeMap<&'static str, usize>,
    /// How many promises to phones were looked at.
    pub promises: usize,
    /// How often each disturbance came.
    pub disturbances: BTreeMap<Kind, usize>,
    /// What did not hold that must.
    pub breaches: Breaches,
    /// Everything that happened.
    pub trace: Vec<String>,
}

/// One run, with a mistake that is made on purpose, or none.
///
/// # Panics
/// When an application or a phone gets no answer at all.
pub async fn run(seed: u64, sabotage: Sabotage) -> Report {
    run_with(seed, sabotage, Work::Dialled).await
}

/// One run in which parties are led to other phones and to parties of other calls meanwhile.
///
/// # Panics
/// As [`run`].
pub async fn run_led(seed: u64) -> Report {
    run_with(seed, Sabotage::Nothing, Work::Led).await
}

/// One run in which all is done to calls that can be, with a mistake that is made on purpose, or none.
///
/// # Panics
/// As [`run`].
pub async fn run_ladders(seed: u64, sabotage: Sabotage) -> Report {
    run_with(seed, sabotage, Work::Ladders).await
}

/// What is done in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Dialled,
    Led,
    Ladders,
}

async fn run_with(seed: u64, sabotage: Sabotage, kind: Work) -> Report {
    let mut chance = Chance::new(seed, "workload");
    let anchored = if kind == Work::Ladders { ANCHORED } else { 0 };
    let cluster = Cluster::with_anchored(seed, PHONES, anchored, sabotage).await;
    register(&cluster).await;
    if kind == Work::Ladders {
        // What counts calls is there from the beginning.
        cluster.places_at_trunk().await.expect("registrars answer in fair weather");
    }
    let base = cluster.memory.record_count();
    cluster.saboteur.begin();
    let weather = Weather { lost: chance.below(21), repeated: 5, overtaken: 10 };
    cluster.network.set_weather(weather);
    let counts = Counts::default();
    let mut ladders = Ladders::new(&cluster, Chance::new(seed, "ladders"));
    let working = async {
        let moving = move_phones(&cluster, Chance::new(seed, "phones"));
        tokio::select! {
            biased; // so that a run can be repeated
            calls = work(&cluster, &mut chance, kind, Chance::new(seed, "leading"), &mut ladders) => calls,
            () = moving => unreachable!("phones come and go without end"),
        }
    };
    let calls = tokio::select! {
        biased;
        calls = working => calls,
        () = disturb(&cluster, Chance::new(seed, "disturbances"), &counts) => unreachable!("there is no end"),
    };
    recover(&cluster).await;
    for call in &calls {
        hang_up(&cluster, call).await;
    }
    let (taken, base) = (ladders.taken(), base + ladders.lasting_records());
    if kind == Work::Ladders {
        // Callbacks may call while they last.
        for _ in 0..3 {
            ladders::end_all(&cluster).await;
            sleep(Duration::from_secs(20)).await;
        }
    }
    sleep(QUIET).await;
    cluster.network.set_weather(Weather::default());
    register(&cluster).await;
    let begun = if kind == Work::Ladders { invariants::Begun::Anyhow } else { invariants::Begun::Dialled };
    let mut breaches = invariants::check(&cluster, &calls, begun).await;
    let told = |kind: cc::call_event::Type| {
        cluster.watcher.all().iter().filter(|event| event.r#type() == kind).count()
    };
    let connected = told(cc::call_event::Type::Connected);
    let led = told(cc::call_event::Type::TransferSucceeded);
    let joined = told(cc::call_event::Type::PartyJoined);
    let held = told(cc::call_event::Type::Held);
    invariants::check_base(&cluster, base, &mut breaches).await;
    let (trace, promises) = (cluster.trace.lines(), cluster.bindings.broken().checked);
    cluster.stop().await;
    let disturbances = counts.into_inner();
    Report { weather, calls, connected, led, joined, held, taken, promises, disturbances, breaches, trace }
}

/// Dials, and hangs some of the calls up; which calls it were.
async fn work(
    cluster: &Cluster,
    chance: &mut Chance,
    kind: Work,
    mut leading: Chance,
    ladders: &mut Ladders<'_>,
) -> Vec<String> {
    let mut calls = Vec::new();
    let led_percent = if kind == Work::Led { 60 } else { 0 };
    for number in 0..DIALS {
        pause(chance, 10_000).await;
        set_scripts(cluster, chance, kind);
        let call = dial(cluster, number, chance).await;
        if chance.percent(if kind == Work::Ladders { 10 } else { 30 }) {
            pause(chance, 3_000).await;
            hang_up(cluster, &call).await;
        }
        calls.push(call);
        if kind == Work::Ladders {
            for _ in 0..4 {
                pause(&mut leading, 3_000).await;
                ladders.step().await;
            }
        }
        if leading.percent(led_percent) {
            pause(&mut leading, 6_000).await;
            lead(cluster, number, &calls, &mut leading).await;
        }
    }
    pause(chance, 20_000).await;
    calls
}

/// Leads a party of some call to another phone, or to a party of another call; most of these calls are in no state for it.
async fn lead(cluster: &Cluster, number: u64, calls: &[String], chance: &mut Chance) {
    let mut recent =
        |count: usize| calls[calls.len() - 1 - chance.below(count.min(calls.len()) as u64) as usize].clone();
    let (call_id, other_call_id) = (recent(3), recent(4));
    let mut leg = || chance.one_of(&["a", "b"]).to_owned();
    let (leg_id, other_leg_id) = (leg(), leg());
    let request_id = format!("lead-{number}");
    let to_other = chance.percent(60) && call_id != other_call_id;
    let uri = format!("sip:phone{}@{DOMAIN}", chance.below(cluster.phones.len() as u64));
    let led = persist(|| {
        let (request_id, call_id, leg_id) = (request_id.clone(), call_id.clone(), leg_id.clone());
        let (other_call_id, other_leg_id) = (other_call_id.clone(), other_leg_id.clone());
        let target = cc::transfer_target::Target::Uri(uri.clone());
        async move {
            let replica = cluster.replicas.any()?;
            if to_other {
                let request = cc::BridgeRequest { request_id, call_id, leg_id, other_call_id, other_leg_id };
                return replica.ask(replica.service.api.bridge(Request::new(request))).await;
            }
            let target = Some(cc::TransferTarget { target: Some(target) });
            let method = cc::transfer_request::Method::Auto.into();
            let request = cc::TransferRequest { request_id, call_id, leg_id, target, method };
            replica.ask(replica.service.api.transfer(Request::new(request))).await
        }
    });
    let said = led.await.map(|_| ()).map_err(|status| status.code());
    cluster.trace.note(format_args!("{call_id} {leg_id} is led to {other_call_id} or {uri}: {said:?}"));
}

async fn register(cluster: &Cluster) {
    for phone in &cluster.phones {
        phone.register();
    }
    let registered = async {
        while !cluster.phones.iter().all(VirtualPhone::is_registered) {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(60), registered).await.expect("every phone registers in fair weather");
}

/// Phones take their registration back and register again.
async fn move_phones(cluster: &Cluster, mut chance: Chance) {
    loop {
        pause(&mut chance, 15_000).await;
        let phone = &cluster.phones[chance.below(cluster.phones.len() as u64) as usize];
        if phone.is_registered() && chance.percent(40) {
            phone.unregister();
        } else {
            phone.register();
        }
    }
}

/// Gives phones that are free another character.
fn set_scripts(cluster: &Cluster, chance: &mut Chance, kind: Work) {
    for phone in &cluster.phones {
        let after = Duration::from_millis(chance.below(4_000));
        let answer = match chance.below(15) {
            // Longer than anybody waits. A phone gives up at last: if nothing of what it says arrives, no CANCEL ever comes.
            0 => Answer::Refuse(PATIENCE, 480),
            1 => Answer::Silent,
            2 => Answer::Refuse(after, chance.one_of(&[486, 480, 603, 500])),
            _ => Answer::After(after),
        };
        let (often, longest) = if kind == Work::Ladders { (40, 60_000) } else { (60, 15_000) };
        let hangup_after = chance.percent(often).then(|| Duration::from_millis(chance.between(200, longest)));
        let script = Script {
            answer,
            hangup_after,
            rings: chance.percent(80),
            progress_only: chance.percent(20),
            reliable: chance.percent(60),
            update: chance.percent(60),
            refuses_empty_offer: chance.percent(10),
            joins: kind == Work::Ladders && chance.percent(40),
            ..Script::default()
        };
        if !phone.has_call() {
            phone.act(|phone, _| phone.set_script(script));
        }
    }
}

/// Dials two phones as an application does: until it is told what became of it, always with the same request id.
async fn dial(cluster: &Cluster, number: u64, chance: &mut Chance) -> String {
    let (from, to) = two_phones(cluster, chance);
    let party = |number: usize| {
        Some(cc::Party { uri: format!("sip:phone{number}@{DOMAIN}"), ..cc::Party::default() })
    };
    let flow = chance.one_of(&FLOWS);
    let ring = prost_types::Duration { seconds: chance.between(5, 40) as i64, nanos: 0 };
    let request = cc::DialRequest {
        request_id: format!("dial-{number}"),
        from: party(from),
        to: party(to),
        flow: flow.into(),
        ring_timeout: Some(ring),
        ..cc::DialRequest::default()
    };
    let ask = || {
        persist(|| async {
            let replica = cluster.replicas.any()?;
            replica.ask(replica.service.api.dial(Request::new(request.clone()))).await
        })
    };
    let call_id = ask().await.expect("the request is right").into_inner().call_id;
    cluster.trace.note(format_args!("{call_id} phone{from} phone{to} {}", flow.as_str_name()));
    // Some applications forget that they were told.
    if chance.percent(30) {
        pause(chance, 3_000).await;
        let again = ask().await.map(|call| call.into_inner().call_id);
        cluster.trace.note(format_args!("{call_id} is asked for again: {again:?}"));
    }
    call_id
}

/// Two phones, mostly such that are free.
fn two_phones(cluster: &Cluster, chance: &mut Chance) -> (usize, usize) {
    let any = chance.percent(15);
    let mut phones: Vec<usize> = (0..cluster.phones.len()).collect();
    phones.retain(|phone| any || !cluster.phones[*phone].has_call());
    if phones.len() < 2 {
        return (0, 1);
    }
    let from = phones.swap_remove(chance.below(phones.len() as u64) as usize);
    (from, chance.one_of(&phones))
}

pub(crate) async fn hang_up(cluster: &Cluster, call_id: &str) {
    let request = cc::HangupRequest {
        request_id: format!("hangup-{call_id}"),
        call_id: call_id.to_owned(),
        reason: None,
    };
    let hung_up = persist(|| async {
        let replica = cluster.replicas.any()?;
        replica.ask(replica.service.api.hangup(Request::new(request.clone()))).await
    });
    match hung_up.await {
        Ok(_) => cluster.trace.note(format_args!("{call_id} is hung up")),
        // It was over. Whether it may be unknown is for the invariants to say.
        Err(status) if matches!(status.code(), Code::FailedPrecondition | Code::NotFound) => {}
        Err(status) => panic!("{call_id} cannot be hung up: {status}"),
    }
}

/// Asks until there is an answer.
pub(crate) async fn persist<T, F>(mut ask: impl FnMut() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    let asking = async {
        loop {
            match ask().await {
                Err(status)
                    if matches!(
                        status.code(),
                        Code::Unavailable | Code::Aborted | Code::DeadlineExceeded
                    ) && !is_final(&status) =>
                {
                    sleep(Duration::from_millis(100)).await;
                }
                answer => return answer,
            }
        }
    };
    timeout(Duration::from_secs(30), asking).await.expect("call-control answers within 30 s")
}

/// What is aborted because another operation is under way, or a phone refused, is not asked for again.
fn is_final(status: &Status) -> bool {
    let reason = Refusal::read(status).map(|refusal| refusal.reason());
    matches!(reason, Some(Reason::TransferPending | Reason::SipFailure))
}

async fn pause(chance: &mut Chance, millis: u64) {
    sleep(Duration::from_millis(chance.below(millis))).await;
}
