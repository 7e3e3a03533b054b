//! Runs callbacks: what happened in, load, step, commit, then the request or the call that follows.

use std::sync::Arc;

use cluster_api::callcontrol::v1::NotifyRequest;
use store::{Partition, StoreError};
use tokio::time::Instant;

use super::machine::record::{Callback, State};
use super::machine::{Event, Known, Progress, Step};
use super::{call_of, notify};
use crate::config::millis_of;
use crate::engine::call::OutcomeKind;
use crate::repository::{Bounds, CallbackChange, Known as KnownCall, LoadedCallback, NotMade, RequestUse};
use crate::runner::{ApplyError, Runner};

/// Why something was not applied to a callback.
#[derive(Debug, thiserror::Error)]
pub enum CallbackError {
    /// There is none of this id.
    #[error("the callback is unknown")]
    Unknown,
    /// There are as many as this bound allows.
    #[error("there are as many callbacks as {0} allows")]
    Full(&'static str),
    /// The request id was used before.
    #[error("the request id was used before")]
    RequestUsed(RequestUse),
    /// Others changed it again and again.
    #[error("too many changes of the same callback at once")]
    Contended,
    /// The store failed; the change may or may not have happened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Runner {
    /// Commits a new callback, once for a request id, and begins to work on it.
    ///
    /// # Errors
    /// When there are too many, the request id stands for something else, or the store fails.
    pub(crate) async fn make_callback(
        self: &Arc<Self>,
        mut new: Callback,
        request: Option<RequestUse>,
    ) -> Result<Callback, CallbackError> {
        if let Some(request) = request {
            let used = self.repository.claim_request(request.clone()).await?;
            if used.fingerprint != request.fingerprint {
                return Err(CallbackError::RequestUsed(used));
            }
            new.callback_id = used.call_id;
        }
        let config = self.config();
        let in_partition = config.callbacks.div_ceil(self.repository.partitions().len()).max(1);
        let bounds = Bounds { of_user: config.callbacks_per_user, in_partition };
        match self.repository.make_callback(&new, bounds).await {
            Ok(made) => {
                self.due_now();
                Ok(made.callback)
            }
            Err(NotMade::Full(limit)) => {
                self.counts.callbacks.with_label_values(&[limit]).inc();
                Err(CallbackError::Full(limit))
            }
            Err(NotMade::Store(error)) => Err(error.into()),
        }
    }

    /// Applies what happened to a callback and starts what follows. `request` is the request id that this uses up.
    ///
    /// # Errors
    /// When it is unknown, or the store fails.
    pub(crate) async fn apply_callback(
        self: &Arc<Self>,
        id: &str,
        event: &Event<'_>,
        request: Option<&RequestUse>,
    ) -> Result<(LoadedCallback, Step), CallbackError> {
        for _ in 0..self.config().commit_attempts {
            let before = self.repository.load_callback(id).await?.ok_or(CallbackError::Unknown)?;
            let mut after = before.callback.clone();
            let known = self.known_of(&after).await?;
            let now_ms = millis_of(self.repository.now());
            let mut step = after.step(event, known, now_ms);
            let begins = step.dials && before.callback.state() == State::Waiting;
            let known = if begins { self.claim(&after).await? } else { known };
            if begins && (known.is_busy || known.are_talking) {
                // Another callback calls one of them, or has just done so: it waits for its turn
                after = before.callback.clone();
                step = after.step(event, known, now_ms);
            }
            let change = CallbackChange { before: &before, after, request };
            match self.repository.save_callback(change).await {
                Ok(saved) => {
                    if !before.callback.is_over() && saved.callback.is_over() {
                        let state = saved.callback.state().name();
                        self.counts.callbacks.with_label_values(&[state]).inc();
                    }
                    if before.callback.state() == State::Calling && saved.callback.state() != State::Calling {
                        self.release(&saved.callback).await;
                    }
                    self.follow(&saved.callback, step).await;
                    return Ok((saved, step));
                }
                Err(StoreError::Conflict) => {
                    if let Some(request) = request
                        && let Some(used) = self.repository.request_use(id, &request.request_id).await?
                    {
                        return Err(CallbackError::RequestUsed(used));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(CallbackError::Contended)
    }

    /// Claims the parties for the attempt that is about to begin. What is known of them then: nobody else is calling them, as long as they
    /// are claimed.
    async fn claim(&self, callback: &Callback) -> Result<Known, StoreError> {
        if !self.repository.claim_parties(callback).await? {
            return Ok(Known { is_busy: true, are_talking: false });
        }
        // Whoever had the claim before has made its call by now
        let since = Some(Instant::now());
        let known = self.callbacks.busy.known_since(&self.repository, callback, since).await?;
        if known.is_busy || known.are_talking {
            self.release(callback).await;
        }
        Ok(known)
    }

    /// The attempt is over, or does not begin.
    async fn release(&self, callback: &Callback) {
        if let Err(error) = self.repository.release_parties(callback).await {
            tracing::debug!(%error, "the parties of a callback are claimed until the claim lapses");
        }
    }

    /// What matters only while it waits.
    async fn known_of(&self, callback: &Callback) -> Result<Known, StoreError> {
        match callback.state() {
            State::Waiting | State::Calling => self.callbacks.busy.known(&self.repository, callback).await,
            State::Done | State::Expired | State::Cancelled | State::Unspecified => Ok(Known::default()),
        }
    }

    /// Does what a committed step asks for. What is not done when this replica dies, the due entry brings up again.
    async fn follow(self: &Arc<Self>, callback: &Callback, step: Step) {
        if step.dials
            && let Err(error) = self.create(call_of(callback, self.config()), None).await
            // It is there already
            && !matches!(error, ApplyError::Contended)
        {
            tracing::debug!(%error, callback.callback_id, "the call of a callback is not dialled yet");
        }
        if step.asks {
            self.send_for(callback);
        }
    }

    /// The time of a callback has come, or something happened to its call.
    ///
    /// # Errors
    /// When the store fails; it is claimed again then.
    pub(crate) async fn callback_is_due(
        self: &Arc<Self>,
        partition: &Partition,
        due_id: &str,
        id: &str,
    ) -> Result<(), ApplyError> {
        self.counts.due.with_label_values(&["callback"]).inc();
        let Some(loaded) = self.repository.load_callback(id).await? else {
            return Ok(self.repository.due_done(partition, due_id).await?);
        };
        if self.repository.is_forgettable(&loaded.callback) {
            return Ok(self.repository.forget_callback(&loaded).await?);
        }
        // Whoever sent it may have died; an edge knows what it has sent
        self.send_for(&loaded.callback);
        let progress = match loaded.callback.state() {
            State::Calling => {
                self.repository.claim_parties(&loaded.callback).await?;
                Some(self.progress_of(&loaded.callback.call_id).await?)
            }
            State::Waiting | State::Done | State::Expired | State::Cancelled | State::Unspecified => None,
        };
        let event = progress.map_or(Event::Look, Event::Called);
        match self.apply_callback(id, &event, None).await {
            // Of others who are at it, one commits the next due time.
            Ok(_)
            | Err(
                CallbackError::Unknown
                | CallbackError::Contended
                | CallbackError::Full(_)
                | CallbackError::RequestUsed(_),
            ) => Ok(()),
            Err(CallbackError::Store(error)) => Err(error.into()),
        }
    }

    async fn progress_of(&self, call_id: &str) -> Result<Progress, StoreError> {
        let Some(loaded) = self.repository.load(call_id).await? else { return Ok(Progress::Missing) };
        Ok(match &loaded.known {
            KnownCall::Live(call) => match &call.outcome {
                _ if call.answer_ms > 0 => Progress::Connected,
                Some(outcome) if call.end_ms > 0 => Progress::Ended(outcome.clone()),
                Some(_) | None => Progress::Running,
            },
            KnownCall::Over(call) if call.answer_time.is_some() => Progress::Connected,
            KnownCall::Over(call) => Progress::Ended(crate::wire::public::outcome_in(call.outcome.as_ref())),
            // No edge gives a call such an id
            KnownCall::Proxied(_) => Progress::Ended(crate::engine::call::Outcome {
                kind: OutcomeKind::Failed.into(),
                ..Default::default()
            }),
        })
    }

    /// Takes a NOTIFY for a callback; gives the status of its answer once everything that follows is committed.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn callback_notified(
        self: &Arc<Self>,
        notify: &NotifyRequest,
    ) -> Result<u32, CallbackError> {
        let id = &notify.callback_id;
        let Some(loaded) = self.repository.load_callback(id).await? else { return Ok(481) };
        let notify = match notify::read(&loaded.callback, notify) {
            Ok(notify) => notify,
            Err(status) => return Ok(status),
        };
        match self.apply_callback(id, &Event::Notified(&notify), None).await {
            Ok((_, step)) => Ok(step.reply),
            Err(CallbackError::Unknown) => Ok(481),
            Err(error) => Err(error),
        }
    }
}
