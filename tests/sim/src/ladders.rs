//! What can be done to calls besides dialling them: phones of anchored accounts call by themselves, and parties are led elsewhere, joined,
//! held, taken over by other phones, called back, sent digits, and reached by numbers that are lent.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call_control_server::CallControl as _;
use scripted_phone::{Answer, Happening, Script};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Request, Status};

use crate::chance::Chance;
use crate::cluster::{CALLBACK, Cluster, DOMAIN, FACTORY};
use crate::links::Replica;
use crate::workload::persist;

/// Phones whose calls run through call-control whoever calls; only they call by themselves.
pub const ANCHORED: u8 = 5;
/// How long a callback is tried.
const CALLBACK_LASTS: i64 = 30;

/// Asks any replica until it answers.
macro_rules! ask {
    ($cluster:expr, $rpc:ident, $request:expr) => {{
        let request = $request;
        persist(|| async {
            let replica: Replica = $cluster.replicas.any()?;
            replica.ask(replica.service.api.$rpc(Request::new(request.clone()))).await
        })
        .await
        .map(tonic::Response::into_inner)
    }};
}

/// Somebody who does all that.
pub struct Ladders<'a> {
    cluster: &'a Cluster,
    chance: Chance,
    steps: u64,
    /// Phones that wanted a place in another call, and since when.
    claims: Vec<(usize, Instant)>,
    /// Numbers that were lent.
    lent: usize,
    /// What was taken on, by name.
    taken: BTreeMap<&'static str, usize>,
}

impl<'a> Ladders<'a> {
    /// Nothing is done yet.
    pub fn new(cluster: &'a Cluster, chance: Chance) -> Self {
        Self { cluster, chance, steps: 0, claims: Vec::new(), lent: 0, taken: BTreeMap::new() }
    }

    /// Does something.
    pub async fn step(&mut self) {
        self.steps += 1;
        self.set_mixers();
        let (what, done) = match self.chance.below(26) {
            0..6 => ("call", self.call_somebody()),
            6 => ("factory", self.dial_from(format!("sip:{FACTORY}@{DOMAIN}"))),
            7 => ("dial in", self.dial_in().await),
            8..12 => ("join", self.join().await),
            12..14 => ("hold", self.hold().await),
            14..17 => ("claim", self.claim()),
            17..19 => ("refer", self.refer()),
            19..21 => ("info", self.info().await),
            21 => ("call back", self.call_back().await),
            22 => ("call in", self.dial_from(format!("sip:{CALLBACK}@{DOMAIN}"))),
            23 => ("number", self.call_lent_number().await),
            _ => ("lead", self.lead().await),
        };
        self.cluster.trace.note(format_args!("{what}: {done:?}"));
        if done.is_some_and(|done| done.is_ok()) {
            *self.taken.entry(what).or_default() += 1;
        }
    }

    /// Records that outlast a run: a registrar remembers for a day what a request id was used for, and what number came of it.
    pub fn lasting_records(&self) -> usize {
        2 * self.lent
    }

    /// How often each was taken on; of claims, how often the phone was connected.
    pub fn taken(&self) -> BTreeMap<&'static str, usize> {
        let mut taken = self.taken.clone();
        let is_connected = |(phone, since): &&(usize, Instant)| {
            let news = self.cluster.phones[*phone].news_since(*since);
            let ends = |what: &&Happening| {
                matches!(what, Happening::Connected | Happening::Refused { .. } | Happening::Ended { .. })
            };
            news.iter().map(|(_, what)| what).find(ends) == Some(&Happening::Connected)
        };
        taken.insert("claimed", self.claims.iter().filter(is_connected).count());
        taken
    }

    fn set_mixers(&mut self) {
        for desk in self.cluster.mixers.iter().chain([&self.cluster.carrier]) {
            let after = Duration::from_millis(self.chance.below(1_500));
            let answer = match self.chance.below(12) {
                0 => Answer::Silent,
                1 => Answer::Refuse(after, self.chance.one_of(&[486, 503])),
                _ => Answer::After(after),
            };
            let long = Duration::from_millis(self.chance.between(500, 20_000));
            let hangup_after = self.chance.percent(15).then_some(long);
            desk.set_script(Script { answer, hangup_after, ..Script::plain() });
        }
    }

    /// A party to be called: mostly a phone, sometimes a number behind the trunk.
    fn party(&mut self) -> String {
        if self.chance.percent(25) {
            return format!("sip:+4930{}@{DOMAIN}", self.chance.below(1_000_000));
        }
        format!("sip:phone{}@{DOMAIN}", self.chance.below(self.cluster.phones.len() as u64))
    }

    /// A phone that calls by itself, and has nothing else to do.
    fn caller(&mut self) -> Option<usize> {
        let free = |phone: &usize| !self.cluster.phones[*phone].has_call();
        let free: Vec<usize> = (0..usize::from(ANCHORED)).filter(free).collect();
        (!free.is_empty()).then(|| self.chance.one_of(&free))
    }

    fn dial_from(&mut self, uri: String) -> Option<Result<(), Status>> {
        let phone = self.caller()?;
        self.cluster.trace.note(format_args!("phone{phone} calls {uri}"));
        self.cluster.phones[phone].act(|phone, now| phone.dial(now, &uri));
        Some(Ok(()))
    }

    fn call_somebody(&mut self) -> Option<Result<(), Status>> {
        let uri = self.party();
        self.dial_from(uri)
    }

    /// A call that goes on, mostly one that is answered.
    async fn live(&mut self) -> Option<cc::Call> {
        let all = cc::ListCallsRequest { page_size: 1_000, ..Default::default() };
        let mut calls = ask!(self.cluster, list_calls, all).ok()?.calls;
        let only_answered = self.chance.percent(85);
        calls.retain(|call| match call.state() {
            cc::call::State::Answered => true,
            cc::call::State::Ended => false,
            _ => !only_answered,
        });
        (!calls.is_empty()).then(|| calls.swap_remove(self.chance.below(calls.len() as u64) as usize))
    }

    /// One of its legs, mostly one that is up.
    fn leg_of(&mut self, call: &cc::Call) -> Option<String> {
        let is_up = |leg: &&cc::Leg| leg.state() == cc::leg::State::Answered;
        let up: Vec<&str> = call.legs.iter().filter(is_up).map(|leg| leg.leg_id.as_str()).collect();
        (!up.is_empty()).then(|| self.chance.one_of(&up).to_owned())
    }

    async fn dial_in(&mut self) -> Option<Result<(), Status>> {
        let call = self.live().await?;
        self.dial_from(format!("sip:conf-{}@{DOMAIN}", call.call_id))
    }

    async fn join(&mut self) -> Option<Result<(), Status>> {
        use cc::join_request::Mixer;
        let call = self.live().await?;
        let mixer = self.chance.one_of(&[Mixer::Auto, Mixer::Local, Mixer::Central, Mixer::Central]);
        let request = cc::JoinRequest {
            request_id: format!("join-{}", self.steps),
            call_id: call.call_id,
            party: Some(cc::Party { uri: self.party(), ..cc::Party::default() }),
            mixer: mixer.into(),
        };
        self.cluster.trace.note(format_args!("{request:?}"));
        Some(ask!(self.cluster, join, request).map(drop))
    }

    async fn hold(&mut self) -> Option<Result<(), Status>> {
        let call = self.live().await?;
        let leg_id = if self.chance.percent(50) { self.leg_of(&call) } else { None };
        let (request_id, call_id) = (format!("hold-{}", self.steps), call.call_id);
        let held = ask!(
            self.cluster,
            hold,
            cc::HoldRequest { request_id, call_id: call_id.clone(), leg_id: leg_id.clone(), music: None }
        );
        if self.chance.percent(70) {
            sleep(Duration::from_millis(self.chance.below(3_000))).await;
            let request_id = format!("unhold-{}", self.steps);
            let unheld = ask!(self.cluster, unhold, cc::UnholdRequest { request_id, call_id, leg_id });
            self.cluster.trace.note(format_args!("lifted: {:?}", unheld.map(drop)));
        }
        Some(held.map(drop))
    }

    /// A phone wants the place of another one, or to join it.
    fn claim(&mut self) -> Option<Result<(), Status>> {
        let phone = self.caller()?;
        let others = self.cluster.phones.iter().enumerate().filter(|(number, _)| *number != phone);
        let dialogs: Vec<_> = others.filter_map(|(number, other)| Some((number, other.dialog()?))).collect();
        if dialogs.is_empty() {
            return None;
        }
        let (of, dialog) = &dialogs[self.chance.below(dialogs.len() as u64) as usize];
        let join = self.chance.percent(40);
        let uri = format!("sip:phone{of}@{DOMAIN}");
        self.cluster.trace.note(format_args!("phone{phone} claims {of} {dialog:?} join {join}"));
        self.cluster.phones[phone].act(|phone, now| phone.claim(now, &uri, join, dialog));
        self.claims.push((phone, Instant::now()));
        Some(Ok(()))
    }

    /// A phone sends the other side of its call elsewhere.
    fn refer(&mut self) -> Option<Result<(), Status>> {
        let talks = |phone: &usize| self.cluster.phones[*phone].dialog().is_some();
        let talking: Vec<usize> = (0..self.cluster.phones.len()).filter(talks).collect();
        if talking.is_empty() {
            return None;
        }
        let (phone, uri) = (self.chance.one_of(&talking), self.party());
        self.cluster.trace.note(format_args!("phone{phone} refers to {uri}"));
        self.cluster.phones[phone].act(|phone, now| phone.refer(now, &uri));
        Some(Ok(()))
    }

    async fn info(&mut self) -> Option<Result<(), Status>> {
        let call = self.live().await?;
        let leg_id = self.leg_of(&call)?;
        let (request_id, call_id) = (format!("info-{}", self.steps), call.call_id);
        if self.chance.percent(50) {
            let digits = "42#".to_owned();
            let request = cc::SendDtmfRequest { request_id, call_id, leg_id, digits, duration: None };
            return patiently(async { ask!(self.cluster, send_dtmf, request).map(drop) }).await;
        }
        let content_type = "application/dtmf-relay".to_owned();
        let body = bytes::Bytes::from_static(b"Signal=1\r\nDuration=100\r\n");
        let request =
            cc::SendInfoRequest { request_id, call_id, leg_id, content_type, body, ..Default::default() };
        patiently(async { ask!(self.cluster, send_info, request).map(drop) }).await
    }

    async fn call_back(&mut self) -> Option<Result<(), Status>> {
        let party = |uri: String| Some(cc::Party { uri, ..cc::Party::default() });
        let from = self.chance.below(self.cluster.phones.len() as u64);
        let request = cc::RequestCallbackRequest {
            request_id: format!("callback-{}", self.steps),
            from: party(format!("sip:phone{from}@{DOMAIN}")),
            to: party(self.party()),
            expires: Some(prost_types::Duration { seconds: CALLBACK_LASTS, nanos: 0 }),
            attempts: 2,
            ..Default::default()
        };
        Some(ask!(self.cluster, request_callback, request).map(drop))
    }

    /// A number is lent for a phone, and called.
    async fn call_lent_number(&mut self) -> Option<Result<(), Status>> {
        let contact = format!("sip:phone{}@{DOMAIN}", self.chance.below(self.cluster.phones.len() as u64));
        let request_id = format!("lend-{}", self.steps);
        let request = cc::AllocateNumberRequest { request_id, contacts: vec![contact], ..Default::default() };
        let lent = match ask!(self.cluster, allocate_number, request) {
            Ok(lent) => lent,
            Err(status) => return Some(Err(status)),
        };
        self.lent += 1;
        let number = lent.number.trim_start_matches("tel:");
        self.dial_from(format!("sip:{number}@{DOMAIN}"))
    }

    /// A party is led to somebody else, or to a party of another call.
    async fn lead(&mut self) -> Option<Result<(), Status>> {
        let (call, other) = (self.live().await?, self.live().await?);
        let (leg_id, other_leg_id) = (self.leg_of(&call)?, self.leg_of(&other)?);
        let (request_id, call_id) = (format!("lead-{}", self.steps), call.call_id);
        if call_id != other.call_id && self.chance.percent(60) {
            let other_call_id = other.call_id;
            let request = cc::BridgeRequest { request_id, call_id, leg_id, other_call_id, other_leg_id };
            return Some(ask!(self.cluster, bridge, request).map(drop));
        }
        let target =
            Some(cc::TransferTarget { target: Some(cc::transfer_target::Target::Uri(self.party())) });
        let method = cc::transfer_request::Method::Auto.into();
        let request = cc::TransferRequest { request_id, call_id, leg_id, target, method };
        Some(ask!(self.cluster, transfer, request).map(drop))
    }
}

/// What waits for the answer of a phone is not waited for as long as that may take.
async fn patiently(asked: impl Future<Output = Result<(), Status>>) -> Option<Result<(), Status>> {
    timeout(Duration::from_secs(20), asked).await.ok()
}

/// Ends what goes on: calls, callbacks that nobody asked for by gRPC (they last long), and whoever waits on the phone for an answer.
pub async fn end_all(cluster: &Cluster) {
    let waits = [cc::callback::State::Waiting, cc::callback::State::Calling].map(i32::from).to_vec();
    let filter = cc::CallbackFilter { states: waits, ..Default::default() };
    let asked = cc::ListCallbacksRequest { filter: Some(filter), page_size: 1_000, ..Default::default() };
    for callback in ask!(cluster, list_callbacks, asked).expect("a list").callbacks {
        let lasts = |at: Option<prost_types::Timestamp>| at.map_or(0, |at| at.seconds);
        if lasts(callback.expire_time) - lasts(callback.create_time) > CALLBACK_LASTS {
            let request =
                cc::CancelCallbackRequest { callback_id: callback.callback_id, ..Default::default() };
            let _ = ask!(cluster, cancel_callback, request);
        }
    }
    let all = cc::ListCallsRequest { page_size: 1_000, ..Default::default() };
    for call in ask!(cluster, list_calls, all).expect("a list").calls {
        if call.state() != cc::call::State::Ended {
            crate::workload::hang_up(cluster, &call.call_id).await;
        }
    }
    cluster.phones.iter().for_each(crate::phones::VirtualPhone::give_up);
}

/// The callbacks that are not over.
///
/// # Panics
/// When call-control does not answer.
pub async fn open_callbacks(cluster: &Cluster) -> Vec<String> {
    let asked = cc::ListCallbacksRequest { page_size: 1_000, ..Default::default() };
    let callbacks = ask!(cluster, list_callbacks, asked).expect("a list").callbacks;
    let is_open = |callback: &cc::Callback| {
        matches!(callback.state(), cc::callback::State::Waiting | cc::callback::State::Calling)
    };
    callbacks.into_iter().filter(is_open).map(|callback| format!("{callback:?}")).collect()
}
