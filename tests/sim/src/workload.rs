//! What is done to a cluster in one run: phones register, an application dials them in all flows and hangs up, and replicas of
//! call-control die and come back meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call_control_server::CallControl as _;
use scripted_phone::{Answer, Script};
use tokio::time::{sleep, timeout};
use tonic::{Code, Request, Status};

use crate::chance::Chance;
use crate::cluster::{Cluster, DOMAIN, REPLICAS};
use crate::invariants;
use crate::network::Weather;

const PHONES: u8 = 10;
const DIALS: u64 = 12;
const FLOWS: [cc::Flow; 5] = [cc::Flow::Auto, cc::Flow::I, cc::Flow::Iii, cc::Flow::Iv, cc::Flow::Ringback];

/// After this time everything that was begun is over: two rings of a minute, and twice the life of a transaction.
const QUIET: Duration = Duration::from_secs(240);

/// What is known of a run when it is over.
#[derive(Debug)]
pub struct Report {
    /// The weather there was.
    pub weather: Weather,
    /// Calls that were dialled.
    pub calls: Vec<String>,
    /// How many of them were answered by both.
    pub connected: usize,
    /// How often a replica of call-control died.
    pub crashes: usize,
    /// Everything that happened.
    pub trace: Vec<String>,
}

/// One run.
///
/// # Panics
/// When something does not hold that must.
pub async fn run(seed: u64) -> Report {
    let mut chance = Chance::new(seed, "workload");
    let cluster = Cluster::start(seed, PHONES).await;
    register(&cluster).await;
    let base = cluster.memory.record_count();
    let weather = Weather { lost: chance.below(21), repeated: 5, overtaken: 10 };
    cluster.network.set_weather(weather);
    let crashes = AtomicUsize::new(0);
    let working = async {
        let calls = work(&cluster, &mut chance).await;
        pause(&mut chance, 20_000).await;
        calls
    };
    let (calls, crashes) = tokio::select! {
        biased; // so that a run can be repeated
        calls = working => (calls, crashes.load(Ordering::Relaxed)),
        () = disturb(&cluster, Chance::new(seed, "crashes"), &crashes) => unreachable!("crashes have no end"),
    };
    for place in 0..REPLICAS {
        if cluster.replicas.at(place).is_none() {
            cluster.start_replica(place);
        }
    }
    for call in &calls {
        hang_up(&cluster, call).await;
    }
    sleep(QUIET).await;
    let connected = invariants::check(&cluster, &calls).await;
    invariants::check_base(&cluster, base).await;
    let trace = cluster.trace.lines();
    cluster.stop().await;
    Report { weather, calls, connected, crashes, trace }
}

/// Dials, and hangs some of the calls up; which calls it were.
async fn work(cluster: &Cluster, chance: &mut Chance) -> Vec<String> {
    let mut calls = Vec::new();
    for number in 0..DIALS {
        pause(chance, 10_000).await;
        set_scripts(cluster, chance);
        let call = dial(cluster, number, chance).await;
        if chance.percent(30) {
            pause(chance, 3_000).await;
            hang_up(cluster, &call).await;
        }
        calls.push(call);
    }
    calls
}

async fn register(cluster: &Cluster) {
    for phone in &cluster.phones {
        phone.act(|phone, now| phone.register(now));
    }
    let registered = async {
        while !cluster.phones.iter().all(|phone| phone.is_registered()) {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(60), registered).await.expect("every phone registers in fair weather");
}

/// Replicas die, whatever they are doing, and come back; now and then all are dead for a while.
async fn disturb(cluster: &Cluster, mut chance: Chance, crashes: &AtomicUsize) {
    loop {
        pause(&mut chance, 8_000).await;
        let place = chance.below(REPLICAS as u64) as usize;
        if cluster.replicas.at(place).is_some() {
            cluster.kill_replica(place).await;
            crashes.fetch_add(1, Ordering::Relaxed);
        } else {
            cluster.start_replica(place);
        }
    }
}

/// Gives phones that are free another character.
fn set_scripts(cluster: &Cluster, chance: &mut Chance) {
    for phone in &cluster.phones {
        let after = Duration::from_millis(chance.below(4_000));
        let answer = match chance.below(15) {
            // Longer than anybody waits. A phone gives up at last: if nothing of what it says arrives, no CANCEL ever comes.
            0 => Answer::Refuse(Duration::from_secs(90), 480),
            1 => Answer::Silent,
            2 => Answer::Refuse(after, chance.one_of(&[486, 480, 603, 500])),
            _ => Answer::After(after),
        };
        let hangup_after = chance.percent(60).then(|| Duration::from_millis(chance.between(200, 15_000)));
        let script = Script {
            answer,
            hangup_after,
            rings: chance.percent(80),
            progress_only: chance.percent(20),
            reliable: chance.percent(60),
            update: chance.percent(60),
            refuses_empty_offer: chance.percent(10),
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
    let call = persist(|| async {
        let replica = cluster.replicas.any()?;
        replica.ask(replica.service.api.dial(Request::new(request.clone()))).await
    });
    let call = call.await.expect("the request is right").into_inner();
    cluster.trace.note(format_args!("{} phone{from} phone{to} {}", call.call_id, flow.as_str_name()));
    call.call_id
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

async fn hang_up(cluster: &Cluster, call_id: &str) {
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
        // It was over.
        Err(status) if status.code() == Code::FailedPrecondition => {}
        Err(status) => panic!("{call_id} cannot be hung up: {status}"),
    }
}

/// Asks until there is an answer.
async fn persist<T, F>(mut ask: impl FnMut() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    let asking = async {
        loop {
            match ask().await {
                Err(status) if matches!(status.code(), Code::Unavailable | Code::Aborted) => {
                    sleep(Duration::from_millis(100)).await;
                }
                answer => return answer,
            }
        }
    };
    timeout(Duration::from_secs(30), asking).await.expect("call-control answers within 30 s")
}

async fn pause(chance: &mut Chance, millis: u64) {
    sleep(Duration::from_millis(chance.below(millis))).await;
}
