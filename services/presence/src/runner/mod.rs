//! Runs subscriptions: what happened in, load, step, commit, acknowledge, send.
//!
//! Any replica runs any subscription. A NOTIFY is sent by who committed it; when that one dies, the due entry of the commit makes
//! another replica ask after it, at the same edge and by the same id, so that the phone gets it once.
//!
//! Start reading at [`Runner::apply`]; `send` is the NOTIFY on its way, `fan_out` tells all watchers of a change, `due` finds what
//! is left over, `feed` and `follow_calls` read what other services say.

mod conference;
mod dialogs;
mod due;
mod fan_out;
mod feed;
mod follow_calls;
mod followed;
mod gone;
mod lease;
mod lists;
mod live_calls;
mod publish;
mod refreshed;
mod send;
mod waiting;

pub use self::fan_out::Origin;
pub use self::followed::{RENEW as FOLLOW_AGAIN, read_entry};
pub use self::refreshed::look_ms;

use std::collections::HashSet;
use std::sync::Arc;

use ambient::Entropy;
use lifecycle::{Tasks, TooManyTasks};
use parking_lot::Mutex;
use store::StoreError;

use self::live_calls::LiveCalls;
use crate::calls::Calls;
use crate::config::Config;
use crate::counts::Counts;
use crate::edges::Edges;
use crate::engine::{Event, Package, Subscription};
use crate::registrations::Registrations;
use crate::repository::{Change, Loaded, Read, Repository, Saved, Seeker, names};

/// Changes of the number of watchers wait for each other within a replica; so many resources do not.
const STRIPES: usize = 64;

/// Everything that moves subscriptions.
pub struct Runner {
    /// The records.
    pub repository: Repository,
    /// Settings.
    pub config: Config,
    /// Counters.
    pub counts: Counts,
    pub(crate) edges: Arc<dyn Edges>,
    pub(crate) registrations: Arc<dyn Registrations>,
    calls: Arc<dyn Calls>,
    live_calls: LiveCalls,
    /// This life of this replica.
    life: String,
    pub(crate) tasks: Tasks,
    /// NOTIFYs and SUBSCRIBEs that this replica is sending, by the number that each has in its record.
    pub(crate) sending: Mutex<HashSet<(String, u32)>>,
    pub(crate) entropy: Arc<dyn Entropy>,
    stripes: Vec<tokio::sync::Mutex<()>>,
}

/// What was read before something is applied.
#[derive(Default)]
pub struct Known<'a> {
    /// The subscription.
    pub subscription: Option<Loaded>,
    /// What it is about, when it is looked at and is none to a list.
    pub read: Option<&'a Read>,
}

/// Why nothing was applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// There is no such subscription.
    #[error("the subscription is unknown")]
    Unknown,
    /// Others changed the same again and again.
    #[error("too many changes of the same subscription at once")]
    Contended,
    /// The store failed; the change may or may not have happened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Runner {
    /// Nothing runs yet; see [`Runner::start`].
    pub fn new(
        repository: Repository,
        (edges, registrations, calls): (Arc<dyn Edges>, Arc<dyn Registrations>, Arc<dyn Calls>),
        entropy: Arc<dyn Entropy>,
        config: Config,
        tasks: Tasks,
        counts: Counts,
    ) -> Arc<Runner> {
        Arc::new(Runner {
            repository,
            config,
            counts,
            edges,
            registrations,
            calls,
            live_calls: LiveCalls::default(),
            life: entropy.token(8),
            entropy,
            tasks,
            sending: Mutex::default(),
            stripes: (0..STRIPES).map(|_| tokio::sync::Mutex::default()).collect(),
        })
    }

    /// Starts to look for due work.
    ///
    /// # Errors
    /// When the set of tasks is full.
    pub fn start(self: &Arc<Self>) -> Result<(), TooManyTasks> {
        self.tasks.spawn_loop("due", Arc::clone(self).watch_due())?;
        self.tasks.spawn_loop("registrations", Arc::clone(self).follow_registrations())?;
        self.tasks.spawn_loop("calls", Arc::clone(self).follow_calls()).map(drop)
    }

    /// Gives a subscription what happened and commits what follows. `claimed`: its due entry was, and has to be rewritten.
    ///
    /// # Errors
    /// When there is no such subscription, or the store fails.
    pub async fn apply(
        self: &Arc<Self>,
        id: &str,
        event: &Event<'_>,
        claimed: bool,
    ) -> Result<Subscription, ApplyError> {
        self.apply_knowing(id, event, claimed, Known::default()).await
    }

    /// The same with what was read before: nothing of it is read again unless it has changed since.
    ///
    /// # Errors
    /// As [`Runner::apply`].
    pub async fn apply_knowing(
        self: &Arc<Self>,
        id: &str,
        event: &Event<'_>,
        claimed: bool,
        mut known: Known<'_>,
    ) -> Result<Subscription, ApplyError> {
        for _ in 0..self.config.commit_attempts {
            let before = match known.subscription.take() {
                Some(before) => before,
                None => self.repository.load(id).await?.ok_or(ApplyError::Unknown)?,
            };
            // One of a later version: its replicas will do it.
            let Some(package) = before.subscription.package() else { return Err(ApplyError::Unknown) };
            match self.apply_to(&before, package, event, claimed, known.read.take()).await {
                Err(StoreError::Conflict) => self.counts.conflicts.inc(),
                result => return Ok(result?),
            }
        }
        Err(ApplyError::Contended)
    }

    async fn apply_to(
        self: &Arc<Self>,
        before: &Loaded,
        package: Package,
        event: &Event<'_>,
        claimed: bool,
        known: Option<&Read>,
    ) -> Result<Subscription, StoreError> {
        let mut after = before.subscription.clone();
        // A list may have more to say than one notification has room for.
        if !claimed && !after.is_list && after.settle(event, self.repository.now_ms()) {
            let (before, is_over) = (Some(before), false);
            let change = Change { before, after: &after, package, read: None, head: None, is_over };
            self.repository.save(&change).await?;
            return Ok(after);
        }
        let Subscription { resource, is_list, .. } = &before.subscription;
        let own;
        let read = match (event, known) {
            (Event::Look, Some(read)) if !is_list => read,
            // RFC 6665 4.2.1.2: what a SUBSCRIBE is told is so then, whatever was heard of it
            (Event::Subscribe(_), _) if package.is_of_bindings() && !is_list => {
                own = self.topic_now(package, resource).await?;
                &own
            }
            (Event::Subscribe(_) | Event::Look | Event::Answered(..) | Event::NoResource, _) => {
                let seeker = before.subscription.seeks.then(|| Seeker::of(&before.subscription));
                own = self.repository.topic(package, resource, *is_list, seeker).await?;
                &own
            }
        };
        let step = after.step(event, &*read.topic, self.repository.now_ms());
        if !after.is_ended() && !step.is_over {
            self.seek(&after.watcher, &after.id, read.unsought.clone());
        }
        if after == before.subscription && !step.is_over && !claimed {
            return Ok(after);
        }
        let _turn = if step.is_over { Some(self.turn(&after.resource).await) } else { None };
        let head = match step.is_over {
            true => Some(self.repository.head(package, &after.resource).await?),
            false => None,
        };
        let change = Change {
            before: Some(before),
            after: &after,
            package,
            read: Some(read),
            head: head.as_ref(),
            is_over: step.is_over,
        };
        let saved = self.repository.save(&change).await?;
        self.tell_saved(package, &after.resource, saved);
        if after.seeks && step.is_over {
            self.release(&after.watcher, &after.id, read.elsewhere.clone());
        }
        if step.is_over {
            self.counts.subscriptions.with_label_values(&[package.name(), "ended"]).inc();
        }
        if step.sends {
            self.send(after.clone());
        }
        Ok(after)
    }

    /// Tells what else a commit has changed: those who watch the watchers of a resource, and those who watch where it is registered.
    pub fn tell_saved(self: &Arc<Self>, package: Package, resource: &str, saved: Saved) {
        if saved.tells_bindings {
            let name = names::bindings(package, resource);
            self.fan_out(package, resource, Origin::Commit(name, saved.version));
        }
        if saved.tells_watchers {
            let marker = names::state(Package::Winfo, resource);
            self.fan_out(Package::Winfo, resource, Origin::Commit(marker, saved.version));
        }
    }

    /// Looks at a subscription once more, in the background.
    pub fn look_again(self: &Arc<Self>, id: &str) {
        let (runner, id) = (Arc::clone(self), id.to_owned());
        let work = async move {
            if let Err(error) = runner.apply(&id, &Event::Look, false).await {
                tracing::debug!(%error, "a subscription is looked at when it is due");
            }
        };
        if self.tasks.spawn("look", work).is_err() {
            self.counts.limits.with_label_values(&["tasks"]).inc();
        }
    }

    /// The right to change how many watch a resource. Held across a commit: without it the replica would conflict with itself.
    pub async fn turn(&self, resource: &str) -> tokio::sync::MutexGuard<'_, ()> {
        let hash =
            resource.bytes().fold(0_usize, |hash, octet| hash.wrapping_mul(31).wrapping_add(octet.into()));
        self.stripes[hash % STRIPES].lock().await
    }
}
