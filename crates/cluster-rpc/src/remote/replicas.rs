//! All replicas of one service, and how a call finds one of them.

use std::{
    collections::HashMap,
    error::Error as _,
    future::Future,
    sync::{Arc, Weak},
    time::Duration,
};

use ambient::{Entropy, SystemEntropy};
use bytes::Bytes;
use lifecycle::Tasks;
use parking_lot::{Mutex, RwLock};
use prost::Message;
use telemetry::{Counter, Counters, Gauge, Histogram, Histograms, LATENCY_SECONDS, Metrics};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};
use tonic::{Code, Response, Status, TimeoutExpired, transport::Channel};

use super::{
    Config, Names, SystemNames,
    address::{Address, BadAddress},
    budget::Budget,
    discovery::{Found, urls},
    replica::Replica,
};
use crate::{
    conversation::{Batches, Line, LineMeters, Opened, Unheard},
    envelope::Envelope,
    reason::Reason,
    status::Refusal,
};

/// Pause before a call is repeated at a replica that was tried already; doubles each time.
const PAUSE: Duration = Duration::from_millis(25);

/// What links are made of.
#[derive(Clone)]
pub struct Wiring {
    /// Settings.
    pub config: Config,
    /// Where the task that looks names up runs.
    pub tasks: Tasks,
    /// Looks names up.
    pub names: Arc<dyn Names>,
    /// Decides between equals.
    pub entropy: Arc<dyn Entropy>,
    /// Counts calls.
    pub metrics: Metrics,
}

impl Wiring {
    /// The system's resolver and randomness, and the given rest.
    pub fn new(config: Config, tasks: Tasks, metrics: Metrics) -> Self {
        Self { config, tasks, names: Arc::new(SystemNames), entropy: Arc::new(SystemEntropy), metrics }
    }
}

/// Whether a call may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// Carried out twice it does no more than once.
    Idempotent,
    /// Repeated only when it surely was not carried out.
    Once,
}

/// All replicas of one service. Clones are the same.
#[derive(Clone)]
pub struct Replicas {
    inner: Arc<Inner>,
}

struct Inner {
    service: &'static str,
    config: Config,
    set: watch::Sender<Arc<[Arc<Replica>]>>,
    budget: Mutex<Budget>,
    entropy: Arc<dyn Entropy>,
    tasks: Tasks,
    meters: Meters,
}

/// How an rpc is asked over a stream of questions.
#[derive(Clone, Copy)]
pub(crate) struct Spoken {
    /// The name of the rpc in a question.
    pub(crate) rpc: &'static str,
    /// Opens a stream.
    pub(crate) open: fn(Channel, Envelope, Batches) -> Opened,
}

struct Meters {
    calls: Counters,
    seconds: Histograms,
    /// Of each rpc: those that went well, and the time of all.
    of_rpc: RwLock<HashMap<&'static str, (Counter, Histogram)>>,
    lines: LineMeters,
    retries: Counter,
    ejections: Counter,
    known: Gauge,
}

impl Replicas {
    /// The replicas of `service` at `addresses`. Nothing is connected yet. Names are looked up from now on by a task that ends
    /// with the last clone.
    ///
    /// # Errors
    /// When an address is unusable.
    pub fn new(service: &'static str, addresses: &[Address], wiring: &Wiring) -> Result<Self, BadAddress> {
        let inner = Arc::new(Inner {
            service,
            config: wiring.config.clone(),
            set: watch::Sender::new(Arc::from([])),
            budget: Mutex::new(Budget::new()),
            entropy: wiring.entropy.clone(),
            tasks: wiring.tasks.clone(),
            meters: Meters::new(service, &wiring.metrics),
        });
        let fixed = addresses.iter().filter_map(|address| match address {
            Address::Url(url) => Some(url.clone()),
            Address::Name { .. } => None,
        });
        inner.replace(fixed)?;
        if addresses.iter().any(|address| matches!(address, Address::Name { .. })) {
            let lookups = refresh(Arc::downgrade(&inner), addresses.to_vec(), wiring.names.clone());
            if let Err(full) = wiring.tasks.spawn_loop("discovery", lookups) {
                tracing::error!(service, error = %full, "names of the service are not looked up");
            }
        }
        Ok(Self { inner })
    }

    /// The URLs of the replicas known at present.
    pub fn urls(&self) -> Vec<String> {
        self.inner.set.borrow().iter().map(|replica| replica.url().to_owned()).collect()
    }

    /// Makes one call: `attempt` sends it over the channel it is given, with what the [`Envelope`] adds. A replica that does not
    /// answer is replaced by another one as long as deadline, number of attempts and retry budget allow.
    ///
    /// # Errors
    /// What the service refused with, unchanged; or `SERVICE_UNAVAILABLE` or `DEADLINE_EXCEEDED` when none answered.
    pub async fn call<T, F, Sent>(&self, rpc: &'static str, kind: CallKind, attempt: F) -> Result<T, Status>
    where
        F: FnMut(Channel, Envelope) -> Sent,
        Sent: Future<Output = Result<Response<T>, Status>>,
    {
        self.call_within(None, rpc, kind, attempt).await
    }

    /// As [`Replicas::call`], for a call that may take another time than the configured one; one attempt may use all of it.
    ///
    /// # Errors
    /// As [`Replicas::call`].
    pub async fn call_within<T, F, Sent>(
        &self,
        limit: Option<Duration>,
        rpc: &'static str,
        kind: CallKind,
        mut attempt: F,
    ) -> Result<T, Status>
    where
        F: FnMut(Channel, Envelope) -> Sent,
        Sent: Future<Output = Result<Response<T>, Status>>,
    {
        let token = self.inner.config.token.as_ref();
        let attempt = |replica: Arc<Replica>, limit| {
            let sent = attempt(replica.channel(), Envelope::new(limit, token));
            async { sent.await.map(Response::into_inner) }
        };
        self.inner.finish(limit, rpc, kind, attempt).await
    }

    /// As [`Replicas::call`], by a question over the replica's stream where it has one.
    pub(crate) async fn ask<Q, A, F, Sent>(
        &self,
        spoken: Spoken,
        rpc: &'static str,
        kind: CallKind,
        request: &Q,
        call: F,
    ) -> Result<A, Status>
    where
        Q: Message,
        A: Message + Default,
        F: Fn(Channel, Envelope) -> Sent,
        Sent: Future<Output = Result<Response<A>, Status>>,
    {
        let inner = &*self.inner;
        let encoded = Bytes::from(request.encode_to_vec());
        let call = &call;
        let attempt = |replica: Arc<Replica>, limit| {
            let encoded = encoded.clone();
            async move {
                if let Some(line) = replica.line(|| inner.open(&replica, spoken)) {
                    match line.ask(spoken.rpc, encoded, limit).await {
                        Ok(answer) => {
                            return A::decode(answer).map_err(|error| Status::internal(error.to_string()));
                        }
                        Err(Unheard::Failed(status)) => return Err(status),
                        Err(Unheard::Call) => {}
                    }
                }
                let envelope = Envelope::new(limit, inner.config.token.as_ref());
                call(replica.channel(), envelope).await.map(Response::into_inner)
            }
        };
        inner.finish(None, rpc, kind, attempt).await
    }

    /// A channel to one replica, for streams.
    ///
    /// # Errors
    /// When no replica is found within the deadline.
    pub async fn channel(&self) -> Result<Channel, Status> {
        let inner = &*self.inner;
        let found = timeout(inner.config.deadline, inner.pick(&[])).await;
        found.map(|replica| replica.channel()).map_err(|_| inner.late())
    }

    /// The same with what a request for a stream carries.
    pub(crate) async fn lasting(&self) -> Result<(Channel, Envelope), Status> {
        Ok((self.channel().await?, Envelope::lasting(self.inner.config.token.as_ref())))
    }
}

impl Inner {
    /// Attempts until the deadline, and counts the outcome.
    async fn finish<T, F, Sent>(
        &self,
        limit: Option<Duration>,
        rpc: &'static str,
        kind: CallKind,
        attempt: F,
    ) -> Result<T, Status>
    where
        F: FnMut(Arc<Replica>, Duration) -> Sent,
        Sent: Future<Output = Result<T, Status>>,
    {
        let begun = Instant::now();
        let deadline = begun + limit.unwrap_or(self.config.deadline);
        let one = limit.unwrap_or(self.config.attempt);
        let outcome = match timeout_at(deadline, self.attempts(kind, deadline, one, attempt)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.late()),
        };
        self.meters.count(self.service, rpc, begun.elapsed(), outcome.as_ref().err());
        outcome
    }

    /// A new stream of questions to a replica; `None` when there are too many tasks for it.
    fn open(&self, replica: &Replica, spoken: Spoken) -> Option<Arc<Line>> {
        let (channel, envelope) = (replica.channel(), Envelope::lasting(self.config.token.as_ref()));
        let (line, hearing) =
            Line::new(self.meters.lines.clone(), |batches| (spoken.open)(channel, envelope, batches));
        match self.tasks.spawn_loop("conversation", hearing) {
            Ok(_) => Some(line),
            Err(full) => {
                tracing::error!(service = self.service, error = %full, "no stream, every question is a call");
                None
            }
        }
    }

    async fn attempts<T, F, Sent>(
        &self,
        kind: CallKind,
        deadline: Instant,
        one: Duration,
        mut attempt: F,
    ) -> Result<T, Status>
    where
        F: FnMut(Arc<Replica>, Duration) -> Sent,
        Sent: Future<Output = Result<T, Status>>,
    {
        self.budget.lock().first_call();
        let mut tried: Vec<Arc<Replica>> = Vec::new();
        loop {
            let replica = self.pick(&tried).await;
            if tried.iter().any(|earlier| Arc::ptr_eq(earlier, &replica)) {
                sleep(PAUSE.saturating_mul(1 << tried.len().min(6))).await;
            }
            let limit = one.min(deadline.saturating_duration_since(Instant::now()));
            let answered = {
                let _busy = replica.busy();
                timeout(limit, attempt(replica.clone(), limit)).await
            };
            let failure = match answered {
                Ok(Ok(response)) => {
                    replica.succeeded();
                    return Ok(response);
                }
                Ok(Err(status)) => Failure::of(status),
                Err(_) => Failure::Silence,
            };
            if failure.is_of_the_replica() {
                if replica.failed(Instant::now().into_std(), &self.config) {
                    self.meters.ejections.inc();
                    tracing::warn!(service = self.service, replica = replica.url(), "replica left alone");
                }
            } else {
                replica.succeeded();
            }
            tried.push(replica);
            if !failure.may_repeat(kind)
                || tried.len() >= self.config.attempts as usize
                || !self.budget.lock().pay_retry()
            {
                return Err(self.status(failure));
            }
            self.meters.retries.inc();
        }
    }

    /// A replica for the next attempt: one that behaves and was not tried, the less busy of two drawn; else the one that is
    /// left alone for the shortest time; else one that was tried. Waits while none is known.
    async fn pick(&self, tried: &[Arc<Replica>]) -> Arc<Replica> {
        if let Some(replica) = self.choose(&self.set.borrow(), tried) {
            return replica;
        }
        let mut sets = self.set.subscribe();
        loop {
            if let Some(replica) = self.choose(&sets.borrow_and_update(), tried) {
                return replica;
            }
            // The sender lives as long as `self`, so this only returns on a change.
            let _ = sets.changed().await;
        }
    }

    fn choose(&self, set: &[Arc<Replica>], tried: &[Arc<Replica>]) -> Option<Arc<Replica>> {
        let now = Instant::now().into_std();
        let fresh: Vec<_> =
            set.iter().filter(|one| !tried.iter().any(|other| Arc::ptr_eq(one, other))).collect();
        let good: Vec<_> = fresh.iter().copied().filter(|one| one.available(now)).collect();
        let draw = |count: usize| self.entropy.below(count as u64) as usize;
        match good.len() {
            0 => {
                let all = if fresh.is_empty() { set.iter().collect() } else { fresh };
                all.into_iter().min_by_key(|one| one.remaining(now)).cloned()
            }
            1 => Some(good[0].clone()),
            count => {
                let first = draw(count);
                let second = (first + 1 + draw(count - 1)) % count;
                Some(
                    if good[second].load() < good[first].load() { good[second] } else { good[first] }.clone(),
                )
            }
        }
    }

    /// Knows exactly these from now on; those known before keep their connection and their record.
    fn replace(&self, urls: impl IntoIterator<Item = String>) -> Result<(), BadAddress> {
        let before = self.set.borrow().clone();
        let mut set: Vec<Arc<Replica>> = Vec::new();
        for url in urls {
            if set.iter().any(|replica| replica.url() == url) {
                continue;
            }
            let known = before.iter().find(|replica| replica.url() == url).cloned();
            set.push(known.map_or_else(|| Replica::new(&url, &self.config).map(Arc::new), Ok)?);
        }
        self.meters.known.set(i64::try_from(set.len()).unwrap_or(i64::MAX));
        self.set.send_replace(set.into());
        Ok(())
    }

    fn status(&self, failure: Failure) -> Status {
        match failure {
            Failure::Refused(status) => status,
            Failure::Broken(status) => {
                let message = format!("the {} service cannot be reached: {}", self.service, status.message());
                Refusal::new(Reason::ServiceUnavailable, message).into()
            }
            Failure::Silence => self.late(),
        }
    }

    fn late(&self) -> Status {
        let message = format!("the {} service did not answer in time", self.service);
        Refusal::new(Reason::DeadlineExceeded, message).into()
    }
}

/// Looks names up again and again, for as long as somebody holds the replicas.
async fn refresh(replicas: Weak<Inner>, addresses: Vec<Address>, names: Arc<dyn Names>) {
    let mut known: Vec<Found> = Vec::new();
    while let Some(inner) = replicas.upgrade() {
        let (secure, pause) = (inner.config.tls.is_some(), inner.config.refresh);
        let found = urls(&addresses, &*names, secure, &known).await;
        if found != known {
            let all = found.iter().flat_map(|found| found.urls.clone());
            if let Err(error) = inner.replace(all) {
                tracing::error!(service = inner.service, %error, "unusable replica");
            }
            known = found;
        }
        drop(inner);
        sleep(pause).await;
    }
}

/// How an attempt failed.
enum Failure {
    /// The service said no.
    Refused(Status),
    /// The connection could not be made or broke.
    Broken(Status),
    /// Nothing came in time.
    Silence,
}

impl Failure {
    fn of(status: Status) -> Self {
        if Refusal::read(&status).is_some() {
            return Self::Refused(status);
        }
        // A status that came over the wire has no source; one that the transport made has.
        match (status.code(), status.source().is_some()) {
            // Either side's own timer of this attempt was faster than ours.
            (_, true) if caused_by_timer(&status) => Self::Silence,
            (Code::Cancelled | Code::DeadlineExceeded, false) => Self::Silence,
            (_, true) | (Code::Unavailable, false) => Self::Broken(status),
            (_, false) => Self::Refused(status),
        }
    }

    fn is_of_the_replica(&self) -> bool {
        !matches!(self, Self::Refused(_))
    }

    fn may_repeat(&self, kind: CallKind) -> bool {
        match self {
            // A draining replica did nothing, so that another may do it, whatever it is.
            Self::Refused(status) => {
                Refusal::read(status).is_some_and(|refusal| refusal.reason() == Reason::Draining)
            }
            Self::Broken(_) | Self::Silence => kind == CallKind::Idempotent,
        }
    }
}

fn caused_by_timer(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<TimeoutExpired>() {
            return true;
        }
        cause = error.source();
    }
    false
}

impl Meters {
    fn new(service: &'static str, metrics: &Metrics) -> Self {
        let of_service = |counters: Counters| counters.with_label_values(&[service]);
        Self {
            calls: metrics.counters(
                "rpc_client_calls_total",
                "Calls to other services by outcome: a gRPC code.",
                &["service", "rpc", "outcome"],
            ),
            seconds: metrics.histograms(
                "rpc_client_seconds",
                "Time of calls to other services, all attempts together.",
                LATENCY_SECONDS,
                &["service", "rpc"],
            ),
            of_rpc: RwLock::default(),
            lines: LineMeters {
                open: metrics
                    .gauges(
                        "rpc_client_questions",
                        "Questions over streams that wait for their answers.",
                        &["service"],
                    )
                    .with_label_values(&[service]),
                opened: of_service(metrics.counters(
                    "rpc_client_streams_opened_total",
                    "Streams of questions opened.",
                    &["service"],
                )),
                full: of_service(metrics.counters(
                    "rpc_client_streams_full_total",
                    "Questions that found too many others waiting on their stream.",
                    &["service"],
                )),
            },
            retries: of_service(metrics.counters(
                "rpc_client_retries_total",
                "Attempts after the first one.",
                &["service"],
            )),
            ejections: of_service(metrics.counters(
                "rpc_client_ejections_total",
                "Replicas left alone because they failed.",
                &["service"],
            )),
            known: metrics
                .gauges("rpc_client_replicas", "Replicas known at present.", &["service"])
                .with_label_values(&[service]),
        }
    }

    fn count(&self, service: &str, rpc: &'static str, time: Duration, error: Option<&Status>) {
        if !self.of_rpc.read().contains_key(rpc) {
            let handles = (
                self.calls.with_label_values(&[service, rpc, "Ok"]),
                self.seconds.with_label_values(&[service, rpc]),
            );
            self.of_rpc.write().insert(rpc, handles);
        }
        if let Some((good, seconds)) = self.of_rpc.read().get(rpc) {
            seconds.observe(time.as_secs_f64());
            if error.is_none() {
                good.inc();
            }
        }
        if let Some(status) = error {
            self.calls.with_label_values(&[service, rpc, &format!("{:?}", status.code())]).inc();
        }
    }
}
