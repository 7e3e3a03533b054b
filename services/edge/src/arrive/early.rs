//! What comes before the edge has its first lease, and with it the key of the cluster.
//!
//! Until then nothing that an edge of this cluster wrote can be told from a forgery: not the mark of a dialog, nor a flow token in a
//! route, in a binding or in what call-control asks for; and what is written now nobody else could read. So nothing is decided. An
//! edge that was started anew has its lease after some tenths of a second, and what has waited goes on. When no registrar answers:
//!
//! | what came | what becomes of it |
//! |---|---|
//! | a request to a leg of call-control, or to presence | it is handled [`PATIENCE`] after the start: it needs no key |
//! | another one inside a dialog | it waits as long as its sender does, 64*T1: a refusal would end the call for one side alone |
//! | another one, CANCEL | it is refused [`PATIENCE`] after the start, so that its sender tries elsewhere |
//! | what other services have to send | they are told at once that this edge cannot be reached, and ask another or again |
//!
//! An ACK is dropped; the next repetition of the 2xx brings another.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cluster_rpc::membership::View;
use cluster_rpc::{Reason, Refusal};
use sip_endpoint::{Arrival, ServerKey};
use sip_message::{Message, Method};
use tonic::Status;

use crate::edge::{Cx, Edge, ServerUse, Timer};
use crate::reject::{Refused, Reject};

/// How long after its start an edge refuses nothing for want of the key: T2 of RFC 3261, the longest pause between repetitions of a
/// request that is no INVITE.
const PATIENCE: Duration = Duration::from_secs(4);

/// Requests that wait at once. Others get 503: they are more than arrive until a registrar that is alive has answered.
const MOST: usize = 10_000;

/// The time before the first lease.
#[derive(Debug)]
pub(crate) struct Early {
    /// When patience ends; `None` once the key is known.
    until: Option<Instant>,
    waiting: BTreeMap<u64, Waiting>,
    last: u64,
}

#[derive(Debug)]
struct Waiting {
    key: ServerKey,
    request: Message,
    arrival: Arrival,
}

impl Early {
    /// An edge that starts now and knows this much.
    pub(crate) fn new(now: Instant, view: &View) -> Self {
        let until = if is_known(view) { None } else { Some(now + PATIENCE) };
        Self { until, waiting: BTreeMap::new(), last: 0 }
    }

    /// Is the key of the cluster known?
    pub(crate) fn is_over(&self) -> bool {
        self.until.is_none()
    }

    /// What is left of the time in which nothing is refused.
    fn patience(&self, now: Instant) -> Option<Duration> {
        let left = self.until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Lets other services ask elsewhere, or again. What belongs to a dialog goes out in the end without its flow.
    ///
    /// # Errors
    /// When it cannot be sent yet.
    pub(crate) fn check(&self, now: Instant, initial: bool) -> Result<(), Status> {
        match self.patience(now) {
            None if self.is_over() || !initial => Ok(()),
            _ => Err(Refusal::new(Reason::EdgeUnreachable, "this edge has no lease yet").into()),
        }
    }
}

/// One that no registrar gave, and that is said to be complete, has no key.
fn is_known(view: &View) -> bool {
    view.current || !view.flow_key.is_empty()
}

impl Edge {
    /// How long a request may have to wait for the key, if at all. `passes_on`: it belongs to a dialog of others.
    pub(super) fn early_wait(&self, cx: &Cx<'_>, passes_on: bool) -> Option<Duration> {
        match passes_on {
            true => Some(64 * self.config.endpoint.transactions.timing.t1),
            false => self.early.patience(cx.now()),
        }
    }

    /// Keeps a request until the key is known, or the time is up.
    pub(super) fn keep_early(
        &mut self,
        cx: &mut Cx<'_>,
        key: ServerKey,
        request: Message,
        arrival: &Arrival,
        wait: Duration,
    ) -> Result<(), Box<Refused>> {
        if self.early.waiting.len() >= MOST {
            return Err(Refused::new(request, Reject::Full));
        }
        self.early.last += 1;
        self.early.waiting.insert(self.early.last, Waiting { key, request, arrival: *arrival });
        self.meters.early.set(self.early.waiting.len() as i64);
        self.servers.insert(key, ServerUse::Deciding);
        cx.set_timer(wait, Timer::Early(self.early.last));
        Ok(())
    }

    /// The same for a CANCEL of no INVITE here, which a sibling may have passed on. Gives it back when it need not wait.
    pub(crate) fn keep_early_cancel(
        &mut self,
        cx: &mut Cx<'_>,
        key: ServerKey,
        cancel: &Message,
        arrival: &Arrival,
    ) -> bool {
        let wait = self.early.patience(cx.now());
        wait.is_some_and(|wait| self.keep_early(cx, key, cancel.clone(), arrival, wait).is_ok())
    }

    /// A request has waited as long as it may.
    pub(crate) fn end_early_wait(&mut self, cx: &mut Cx<'_>, number: u64) {
        if let Some(waiting) = self.early.waiting.remove(&number) {
            self.meters.early.set(self.early.waiting.len() as i64);
            self.take_kept(cx, waiting);
        }
    }

    /// The list of members is there, or has changed: what has waited for it goes on, in the order in which it came.
    pub(crate) fn end_early(&mut self, cx: &mut Cx<'_>, view: &View) {
        if self.early.is_over() || !is_known(view) {
            return;
        }
        self.early.until = None;
        self.meters.early.set(0);
        for waiting in std::mem::take(&mut self.early.waiting).into_values() {
            self.take_kept(cx, waiting);
        }
    }

    fn take_kept(&mut self, cx: &mut Cx<'_>, Waiting { key, request, arrival }: Waiting) {
        // Cancelled or ended meanwhile: it was answered.
        if self.servers.get(&key) != Some(&ServerUse::Deciding) {
            return;
        }
        self.servers.remove(&key);
        match request.method() {
            Method::Cancel => self.take_astray_cancel(cx, key, &request, &arrival),
            _ => self.take(cx, key, request, &arrival, true),
        }
    }
}
