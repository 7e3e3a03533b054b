//! Runs the engine: event in, load, step, commit, acknowledge, carry the effects out, mark them done.
//!
//! Any replica runs any call. What one replica committed and did not finish, another finds among the due work after the lease
//! and finishes; doing it twice is harmless, because the store takes only one of two competing commits and an edge
//! recognises an effect that it knows.
//!
//! Start reading at [`Runner::apply`]; `carry` hands effects to edges, `due` finds work whose time has come, `lost` tells calls
//! that an edge is gone.

mod carry;
mod chain;
mod due;
mod lost;
mod receive;
mod referral;
mod slots;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cluster_rpc::{ConferencesLink, LocationLink};
use lifecycle::{Tasks, TooManyTasks};
use parking_lot::Mutex;
use store::StoreError;
use tokio::sync::Notify;

use self::chain::Chain;
use self::slots::{Slot, Slots};
use crate::callback::Callbacks;
use crate::config::Config;
use crate::counts::Counts;
use crate::edges::{EdgeView, Edges};
use crate::engine::call::{EdgeRef, NewCall};
use crate::engine::event::Event;
use crate::engine::{self, Context, StepError};
use crate::repository::{Known, Loaded, Repository, RequestUse};

/// How long nothing happens in a call before its record is only in the store: longer than a transaction that is answered at once, so that
/// nobody reads for the ACK what was written for the 2xx.
const QUIET: Duration = Duration::from_secs(15);

/// Everything that moves calls.
pub struct Runner {
    /// Calls in the store.
    pub repository: Repository,
    /// Counters.
    pub counts: Counts,
    /// What is remembered of callbacks beside the store.
    pub(crate) callbacks: Callbacks,
    config: Config,
    edges: Arc<dyn Edges>,
    /// What is true beyond the calls, and the list of edges that it was made with.
    context: Mutex<Option<(Arc<EdgeView>, Arc<Context>)>>,
    slots: Slots,
    tasks: Tasks,
    /// Whom the rosters of conferences are told.
    conferences: OnceLock<ConferencesLink>,
    /// Who knows what phones may call.
    location: OnceLock<LocationLink>,
    /// There is work that is due now.
    due_hurry: Notify,
    /// The list of edges may be another one. One task waits for that and tells all: those who waited for it themselves would be woken in
    /// an order of chance, and no run of the simulation could be repeated.
    edges_changed: Notify,
}

/// Why events were not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The call is unknown.
    #[error("the call is unknown")]
    Unknown,
    /// The call is over; this is how it ended.
    #[error("the call is over")]
    Over(Arc<Loaded>),
    /// Edges merely proxy the call.
    #[error("the call is merely proxied")]
    NotControlled,
    /// The engine refused an event; those before it are committed.
    #[error(transparent)]
    Refused(#[from] StepError),
    /// The request id was used before.
    #[error("the request id was used before")]
    RequestUsed(RequestUse),
    /// Others changed the same call again and again.
    #[error("too many changes of the same call at once")]
    Contended,
    /// The store failed; the change may or may not have happened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How events are applied.
#[derive(Clone, Copy, Debug, Default)]
pub struct How<'a> {
    /// The request id that this uses up.
    pub request: Option<&'a RequestUse>,
    /// Somebody is told that the events are kept: even when they change nothing, what is known must be durable.
    pub acknowledged: bool,
    /// The due entry of the call's timer was claimed and must be rewritten in any case.
    pub timer_claimed: bool,
}

impl Runner {
    /// Nothing runs yet; see [`Runner::start`](Self::start).
    pub fn new(
        repository: Repository,
        edges: Arc<dyn Edges>,
        config: Config,
        tasks: Tasks,
        counts: Counts,
    ) -> Arc<Runner> {
        let slots = Slots::new(config.cached_calls);
        let (callbacks, conferences, location) = (Callbacks::default(), OnceLock::new(), OnceLock::new());
        let (due_hurry, edges_changed) = (Notify::new(), Notify::new());
        Arc::new(Runner {
            repository,
            counts,
            callbacks,
            config,
            edges,
            context: Mutex::default(),
            slots,
            tasks,
            conferences,
            location,
            due_hurry,
            edges_changed,
        })
    }

    /// Rosters of conferences are told there from now on.
    pub(crate) fn tells(&self, conferences: ConferencesLink) {
        let _ = self.conferences.set(conferences);
    }

    /// What phones may call is asked there from now on.
    pub(crate) fn asks(&self, location: LocationLink) {
        let _ = self.location.set(location);
    }

    /// The way to the edges.
    pub(crate) fn edges(&self) -> &dyn Edges {
        &*self.edges
    }

    /// Something is due at once.
    pub(crate) fn due_now(&self) {
        self.due_hurry.notify_one();
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The tasks of the service.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Starts to look for due work and for lost edges.
    ///
    /// # Errors
    /// When the set of tasks is full.
    pub fn start(self: &Arc<Self>) -> Result<(), TooManyTasks> {
        self.tasks.spawn_loop("due", Arc::clone(self).watch_due())?;
        self.tasks.spawn_loop("lost-edges", Arc::clone(self).watch_edges())?;
        self.tasks.spawn_loop("quiet-calls", Arc::clone(self).forget_quiet_calls())?;
        Ok(())
    }

    async fn forget_quiet_calls(self: Arc<Self>) {
        loop {
            tokio::time::sleep(QUIET).await;
            self.slots.forget_quiet();
        }
    }

    /// Makes a call: committed when this returns, carried out afterwards.
    ///
    /// # Errors
    /// [`ApplyError::RequestUsed`] when the request id is known, and store errors.
    pub async fn create(
        self: &Arc<Self>,
        new: NewCall,
        request: Option<&RequestUse>,
    ) -> Result<Arc<Loaded>, ApplyError> {
        let call_id = new.call_id.clone();
        let step = engine::create(new, self.repository.now().into(), &self.context());
        let chain = Chain::begin(step, self.repository.now().into());
        let legs = chain.legs_with_effects();
        let change = chain.change(None, request);
        let loaded = match self.repository.save(change).await {
            Ok(loaded) => Arc::new(loaded),
            Err(StoreError::Conflict) => return Err(self.used_request(&call_id, request).await),
            Err(error) => return Err(error.into()),
        };
        self.counts.calls.inc();
        let slot = self.slots.get(&call_id);
        *slot.state.lock().await = Some(Arc::clone(&loaded));
        self.carry(&call_id, &slot, &loaded, &legs);
        Ok(loaded)
    }

    /// Gives events to a call and commits what follows from them. When this returns `Ok`, the events may be acknowledged.
    ///
    /// # Errors
    /// When the call is unknown or over, an event does not fit, or the store fails.
    pub async fn apply(
        self: &Arc<Self>,
        call_id: &str,
        events: &[Event],
        how: How<'_>,
    ) -> Result<Arc<Loaded>, ApplyError> {
        let slot = self.slots.get(call_id);
        let mut state = slot.state.lock().await;
        let context = self.context();
        for _ in 0..self.config.commit_attempts {
            let before = match state.take() {
                Some(loaded) => loaded,
                None => Arc::new(self.repository.load(call_id).await?.ok_or(ApplyError::Unknown)?),
            };
            let call = match &before.known {
                Known::Live(call) => call,
                Known::Proxied(_) => return Err(ApplyError::NotControlled),
                Known::Over(_) => {
                    self.slots.remove(call_id);
                    return Err(ApplyError::Over(before));
                }
            };
            // Given back when this is dropped before the commit, also by a caller that does not wait for it.
            let carried = slot.take_results();
            let mut chain = Chain::new(call, &before, self.repository.now().into());
            for event in carried.events() {
                // What an edge reports about an effect that the record no longer has changes nothing.
                let _ = chain.step(event, &context);
            }
            let refused = events.iter().find_map(|event| chain.step(event, &context).err());
            if how.timer_claimed {
                chain.rewrite_timer();
            }
            // What was refused has used no request id: whoever repeats it is refused again, or taken when it fits by then
            let request = how.request.filter(|_| refused.is_none());
            let is_idle = !chain.has_changed() && request.is_none();
            let result = if is_idle {
                let confirmed = match how.acknowledged {
                    true => self.repository.confirm(call_id, before.version).await,
                    false => Ok(()),
                };
                confirmed.map(|()| {
                    carried.settle();
                    Arc::clone(&before)
                })
            } else {
                let legs = chain.legs_with_effects();
                let finished = chain.is_finished();
                let saved = self.repository.save(chain.change(Some(&before), request)).await;
                saved.map(|loaded| {
                    let loaded = Arc::new(loaded);
                    if finished {
                        self.slots.remove(call_id);
                    }
                    carried.settle();
                    self.carry(call_id, &slot, &loaded, &legs);
                    loaded
                })
            };
            match result {
                Ok(loaded) => {
                    *state = Some(Arc::clone(&loaded));
                    return refused.map_or(Ok(loaded), |refused| Err(refused.into()));
                }
                Err(StoreError::Conflict) => {
                    if let Some(request) = how.request
                        && let Some(used) = self.repository.request_use(call_id, &request.request_id).await?
                    {
                        return Err(ApplyError::RequestUsed(used));
                    }
                    self.counts.conflicts.inc();
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(ApplyError::Contended)
    }

    /// What is true at this moment beyond the call.
    fn context(&self) -> Arc<Context> {
        let view = self.edges.view();
        let mut known = self.context.lock();
        if let Some((of, context)) = &*known
            && Arc::ptr_eq(of, &view)
        {
            return Arc::clone(context);
        }
        let edges =
            view.open().map(|life| EdgeRef { edge_id: life.id.clone(), edge_epoch: life.epoch }).collect();
        let context = Arc::new(Context {
            credentials: self.config.credentials.clone(),
            edges,
            redirects: self.config.redirects.clone(),
            callback_user: self.config.callback_user.clone(),
            takers: self.config.takers.clone(),
            referrers: self.config.referrers.clone(),
            mixing: self.config.mixing.clone(),
        });
        *known = Some((view, Arc::clone(&context)));
        context
    }

    /// Reads a call, from the store and not from memory.
    ///
    /// # Errors
    /// When the call is unknown or the store fails.
    pub async fn look(&self, call_id: &str) -> Result<Loaded, ApplyError> {
        self.repository.load(call_id).await?.ok_or(ApplyError::Unknown)
    }

    /// After a conflict over a new call: its id is fresh, so it must have been the request id.
    async fn used_request(&self, call_id: &str, request: Option<&RequestUse>) -> ApplyError {
        let Some(request) = request else { return ApplyError::Contended };
        match self.repository.request_use(call_id, &request.request_id).await {
            Ok(Some(used)) => ApplyError::RequestUsed(used),
            Ok(None) => ApplyError::Contended,
            Err(error) => error.into(),
        }
    }

    /// Starts to hand the effects of these legs to edges.
    fn carry(self: &Arc<Self>, call_id: &str, slot: &Arc<Slot>, loaded: &Loaded, legs: &[String]) {
        let Known::Live(call) = &loaded.known else { return slot.set_wanted(&[]) };
        slot.set_wanted(&call.outbox);
        let effects = call.outbox.iter().filter(|effect| legs.contains(&effect.leg_id)).cloned();
        self.start_carrying(call_id, slot, effects, false);
    }
}
