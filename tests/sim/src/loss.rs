//! What a network that loses, repeats and reorders datagrams does to REGISTER, INVITE, MESSAGE and BYE when nothing else is wrong: how
//! many end as they should, how long a call takes to be set up, and that nothing ever happens twice.
//!
//! Every way is as bad as the others: from the phone to its edge, between the edges, to the other phone, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call_control_server::CallControl as _;
use scripted_phone::{Answer, Happening, Script};
use sip_message::{Limits, Message};
use tokio::time::{Instant, sleep};
use tonic::Request;

use crate::cluster::{Cluster, DOMAIN};
use crate::network::Weather;
use crate::phones::VirtualPhone;
use crate::sabotage::Sabotage;

/// Phones of a run; half of them call the other half, and then the other way round.
const PHONES: u8 = 20;
/// What fault F10 asks for beside loss.
const REPEATED: u64 = 5;
const OVERTAKEN: u64 = 10;
/// A transaction has ended by then. RFC 3261 17.1.1.2, 17.1.2.2
const ENOUGH: Duration = Duration::from_secs(70);

/// How many of how many ended as they should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Begun.
    pub asked: usize,
    /// Ended as they should.
    pub done: usize,
}

/// What runs have shown.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// REGISTERs that were answered with 200.
    pub registers: Tally,
    /// INVITEs whose call was set up.
    pub calls: Tally,
    /// MESSAGEs that were answered with 200.
    pub messages: Tally,
    /// BYEs that were answered with 200.
    pub byes: Tally,
    /// From the first INVITE to the 200 at the caller; the phones answer at once.
    pub set_up: Vec<Duration>,
    /// What must not be at all: what happened twice, two answers to one request, a call that did not end.
    pub faults: Vec<String>,
}

impl Tally {
    fn count(&mut self, outcomes: &[Option<(Instant, bool)>]) {
        self.asked += outcomes.len();
        self.done += outcomes.iter().flatten().filter(|(_, done)| *done).count();
    }

    /// In thousandths of a percent, so that it can be compared.
    pub fn permille_hundredths(self) -> usize {
        self.done * 100_000 / self.asked.max(1)
    }

    fn add(&mut self, other: Self) {
        self.asked += other.asked;
        self.done += other.done;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = self.permille_hundredths();
        write!(f, "{} of {} ({}.{:03} %)", self.done, self.asked, share / 1_000, share % 1_000)
    }
}

impl Figures {
    /// Takes the figures of another run along.
    pub fn add(&mut self, other: Self) {
        self.registers.add(other.registers);
        self.calls.add(other.calls);
        self.messages.add(other.messages);
        self.byes.add(other.byes);
        self.set_up.extend(other.set_up);
        self.faults.extend(other.faults);
    }

    /// The time within which so many percent of the calls were set up.
    pub fn set_up_within(&self, percent: usize) -> Duration {
        let mut times = self.set_up.clone();
        times.sort();
        let at = (times.len() * percent).div_ceil(100).saturating_sub(1);
        times.get(at).copied().unwrap_or_default()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |percent| self.set_up_within(percent).as_millis();
        write!(
            f,
            "REGISTER {}, INVITE {}, MESSAGE {}, BYE {}; set up in {} ms (half), {} ms (95 %), {} ms (all); {} faults",
            self.registers,
            self.calls,
            self.messages,
            self.byes,
            millis(50),
            millis(95),
            millis(100),
            self.faults.len()
        )
    }
}

/// One run in which so many percent of the datagrams are lost.
pub async fn run(seed: u64, lost: u64) -> Figures {
    let cluster = Cluster::start(seed, PHONES, Sabotage::Nothing).await;
    cluster.network.keep();
    cluster.network.set_weather(Weather { lost, repeated: REPEATED, overtaken: OVERTAKEN });
    let mut figures = Figures::default();
    for phone in &cluster.phones {
        let script = Script { answer: Answer::After(Duration::ZERO), ..Script::plain() };
        phone.act(|phone, _| phone.set_script(script));
        phone.register();
    }
    let all: Vec<&VirtualPhone> = cluster.phones.iter().collect();
    let granted = outcomes(&all, Instant::now(), |news| match news {
        Happening::Registered(time) => Some(!time.is_zero()),
        Happening::RegisterFailed { .. } => Some(false),
        _ => None,
    });
    figures.registers.count(&granted.await);
    let (ones, others) = all.split_at(all.len() / 2);
    let mut tried = 0;
    for (callers, callees) in [(ones, others), (others, ones)] {
        tried += callers.len();
        talk(&mut figures, callers, callees).await;
    }
    cluster.network.set_weather(Weather::default());
    sleep(ENOUGH).await;
    figures.faults.extend(
        all.iter().filter(|phone| phone.has_call()).map(|phone| format!("{} has a call", phone.user)),
    );
    figures.faults.extend(two_answers(&cluster.network.kept()));
    figures.faults.extend(told_wrong(&cluster, tried).await);
    cluster.stop().await;
    figures
}

/// Each of the first calls one of the others, sends it a message, and hangs up.
async fn talk(figures: &mut Figures, callers: &[&VirtualPhone], callees: &[&VirtualPhone]) {
    let start = Instant::now();
    for (caller, callee) in callers.iter().zip(callees) {
        caller.act(|phone, now| phone.dial(now, &aor(callee)));
    }
    let set_up = outcomes(callers, start, |news| match news {
        Happening::Connected => Some(true),
        Happening::Refused { .. } | Happening::Ended { .. } => Some(false),
        _ => None,
    });
    let set_up = set_up.await;
    figures.calls.count(&set_up);
    let times = set_up.iter().flatten().filter(|(_, done)| *done);
    figures.set_up.extend(times.map(|(at, _)| *at - start));

    let messages = Instant::now();
    for (caller, callee) in callers.iter().zip(callees) {
        caller.act(|phone, now| phone.message(now, &aor(callee), &format!("from {}", caller.user)));
    }
    let answered = outcomes(callers, messages, |news| match news {
        Happening::Messaged { status } => Some(*status == 200),
        _ => None,
    });
    figures.messages.count(&answered.await);

    let hang_up = Instant::now();
    let up: Vec<&VirtualPhone> = callers
        .iter()
        .zip(&set_up)
        .filter(|(_, up)| matches!(up, Some((_, true))))
        .map(|(phone, _)| *phone)
        .collect();
    callers.iter().for_each(|phone| phone.act(scripted_phone::Phone::hangup));
    let ended = outcomes(&up, hang_up, |news| match news {
        Happening::Ended { reason, .. } => Some(reason == "hung up"),
        _ => None,
    });
    figures.byes.count(&ended.await);
    // Who was hung up on may have heard it late, and not yet been told that its answer arrived.
    sleep(ENOUGH).await;
    for (caller, callee) in callers.iter().zip(callees) {
        let news = callee.news_since(start);
        let count = |wanted: fn(&Happening) -> bool| news.iter().filter(|(_, news)| wanted(news)).count();
        let rang = count(|news| matches!(news, Happening::Incoming { .. }));
        let read = count(|news| matches!(news, Happening::Message { .. }));
        if rang > 1 || read > 1 {
            figures.faults.push(format!(
                "{} rang {rang} times for one call of {}, {read} messages",
                callee.user, caller.user
            ));
        }
    }
}

fn aor(phone: &VirtualPhone) -> String {
    format!("sip:{}@{DOMAIN}", phone.user)
}

/// What became of something that each of these phones did, and when it was told.
async fn outcomes(
    phones: &[&VirtualPhone],
    from: Instant,
    end: impl Fn(&Happening) -> Option<bool>,
) -> Vec<Option<(Instant, bool)>> {
    let first = |phone: &&VirtualPhone| {
        phone.news_since(from).into_iter().find_map(|(at, news)| Some((at, end(&news)?)))
    };
    loop {
        let known: Vec<_> = phones.iter().map(first).collect();
        if known.iter().all(Option::is_some) || from.elapsed() > ENOUGH {
            return known;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Requests of phones that got two different final answers.
fn two_answers(sent: &[(SocketAddr, Bytes)]) -> Vec<String> {
    let mut answers: BTreeMap<(SocketAddr, String, String), BTreeSet<(u16, String)>> = BTreeMap::new();
    for (to, bytes) in sent.iter().filter(|(to, _)| to.ip().to_string().starts_with("10.1.")) {
        let Ok(message) = Message::parse(bytes.clone(), &Limits::default()) else { continue };
        let (Some(status @ 200..), Ok(via)) = (message.status(), message.top_via()) else { continue };
        let key = (*to, via.branch.unwrap_or_default().to_owned(), message.method_str().to_owned());
        let tag = message
            .to()
            .ok()
            .and_then(|to| to.tag().map(|tag| String::from_utf8_lossy(tag.as_ref()).into_owned()));
        answers.entry(key).or_default().insert((status, tag.unwrap_or_default()));
    }
    let double = answers.into_iter().filter(|(_, answers)| answers.len() > 1);
    double.map(|(request, answers)| format!("{request:?} was answered {answers:?}")).collect()
}

/// Calls that were told twice, or never ended, or that nobody made.
async fn told_wrong(cluster: &Cluster, tried: usize) -> Vec<String> {
    use cc::call_event::Type;
    let replica = cluster.replicas.at(0).expect("all replicas run");
    let all = cc::ListCallsRequest { page_size: 1_000, ..Default::default() };
    let calls = replica.service.api.list_calls(Request::new(all)).await.expect("a list").into_inner().calls;
    let mut wrong = Vec::new();
    if calls.len() > tried {
        wrong.push(format!("{} calls are listed, {tried} were made", calls.len()));
    }
    for call in &calls {
        let events = cluster.watcher.of(&call.call_id);
        for once in [Type::Created, Type::Ended] {
            let count = events.iter().filter(|event| event.r#type() == once).count();
            if count != 1 {
                wrong.push(format!("{} has {count} times {}", call.call_id, once.as_str_name()));
            }
        }
        let connected = events.iter().filter(|event| event.r#type() == Type::Connected).count();
        if connected > 1 {
            wrong.push(format!("{} was connected {connected} times", call.call_id));
        }
    }
    wrong
}
