//! Phones that sleep until they are pushed (RFC 8599): which services push them, and the pushes that are under way.
//!
//! A push takes longer than a question to the registrar may, and several requests may want the same phone. So it is carried out beside
//! them, one for each binding at a time, and whoever asked looks on: [`wake`].

mod http;
pub(crate) mod params;
mod provider;
pub(crate) mod wake;

use std::{collections::HashMap, sync::Arc};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use lifecycle::Shutdown;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::{meters::Meters, record::PushRecord};

pub use http::{HttpPush, HttpPushConfig, HttpPushError, check_url};
pub use provider::{Push, PushFailure, PushProvider};

/// What became of a push; `None` while it is under way.
type Outcome = Option<Result<(), PushFailure>>;

/// A binding: address of record and id.
type Phone = (String, String);

/// The pushes of this replica.
pub(crate) struct Pushes {
    /// `pn-provider` values that are served.
    names: Vec<String>,
    provider: Option<Arc<dyn PushProvider>>,
    at_once: usize,
    jobs: mpsc::Sender<Job>,
    waiting: Mutex<Option<mpsc::Receiver<Job>>>,
    under_way: Mutex<HashMap<Phone, watch::Receiver<Outcome>>>,
    meters: Arc<Meters>,
}

struct Job {
    phone: Phone,
    push: Push,
    outcome: watch::Sender<Outcome>,
}

impl Pushes {
    pub(crate) fn new(names: Vec<String>, at_once: usize, queued: usize, meters: Arc<Meters>) -> Self {
        let (jobs, waiting) = mpsc::channel(queued.max(1));
        Self {
            names,
            provider: None,
            at_once: at_once.max(1),
            jobs,
            waiting: Mutex::new(Some(waiting)),
            under_way: Mutex::default(),
            meters,
        }
    }

    pub(crate) fn set_provider(&mut self, provider: Arc<dyn PushProvider>) {
        self.provider = Some(provider);
    }

    /// Whether a REGISTER that says this is refused: its phone could not be woken. Where nothing is pushed at all, its phone is told so
    /// by what the answer lacks. RFC 8599 5.6.1, 8.1
    pub(crate) fn refuses(&self, said: &PushRecord) -> bool {
        let is_served = |name: &String| name.eq_ignore_ascii_case(&said.provider);
        !self.names.is_empty() && !said.provider.is_empty() && !self.names.iter().any(is_served)
    }

    /// The values of Feature-Caps in the answer to who said this: the service it named, or all when it asks which there are.
    pub(crate) fn capabilities(&self, said: &[(String, PushRecord)]) -> Vec<String> {
        let is_meant = |name: &&String| {
            said.iter().any(|(_, push)| push.provider.is_empty() || name.eq_ignore_ascii_case(&push.provider))
        };
        self.names.iter().filter(is_meant).map(|name| format!("*;+sip.pns=\"{name}\"")).collect()
    }

    /// Begins a push, or joins the one that is under way for this phone. `None` when too many wait.
    fn ask(&self, phone: Phone, push: Push) -> Option<watch::Receiver<Outcome>> {
        let mut under_way = self.under_way.lock();
        if let Some(known) = under_way.get(&phone) {
            return Some(known.clone());
        }
        let (outcome, receiver) = watch::channel(None);
        if self.jobs.try_send(Job { phone: phone.clone(), push, outcome }).is_err() {
            self.meters.pushes.with_label_values(&["full"]).inc();
            return None;
        }
        under_way.insert(phone, receiver.clone());
        Some(receiver)
    }

    /// The push that is under way for a phone.
    fn joined(&self, phone: &Phone) -> Option<watch::Receiver<Outcome>> {
        self.under_way.lock().get(phone).cloned()
    }

    /// Carries pushes out, so many at once, until asked to stop.
    pub(crate) async fn work(&self, shutdown: &Shutdown) {
        let Some(mut jobs) = self.waiting.lock().take() else { return };
        let mut running = FuturesUnordered::new();
        loop {
            tokio::select! {
                // the end comes first, then what makes room
                biased;
                () = shutdown.asked() => return,
                Some(()) = running.next() => {}
                Some(job) = jobs.recv(), if running.len() < self.at_once => running.push(self.carry(job)),
            }
        }
    }

    async fn carry(&self, job: Job) {
        let outcome = match &self.provider {
            Some(provider) => provider.push(&job.push).await,
            None => Err(PushFailure("no push service is set".to_owned())),
        };
        let label = if outcome.is_ok() { "taken" } else { "failed" };
        self.meters.pushes.with_label_values(&[label]).inc();
        if let Err(error) = &outcome {
            tracing::warn!(provider = %job.push.provider, %error, "a phone was not pushed");
        }
        self.under_way.lock().remove(&job.phone);
        job.outcome.send_replace(Some(outcome));
    }
}
