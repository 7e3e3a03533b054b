//! The one spawn: tasks are named, bounded, counted, and a panic in one of them ends nothing but itself.

use std::{
    any::Any,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio::{sync::oneshot, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::panics::LogLimit;

/// One poisoned message that comes again and again must not fill the log.
static PANICS: LogLimit = LogLimit::new();

/// The tasks of one service. Clones are the same set.
#[derive(Clone, Debug)]
pub struct Tasks {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    owner: &'static str,
    limit: usize,
    running: AtomicUsize,
    started: AtomicU64,
    refused: AtomicU64,
    panicked: AtomicU64,
    tracker: TaskTracker,
    /// Ends what has no end of its own.
    end_loops: CancellationToken,
    /// Ends everything; the parent of `end_loops`.
    abort: CancellationToken,
}

/// The set is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{owner}: no more than {limit} tasks at a time, so {task} was not started")]
pub struct TooManyTasks {
    /// Whose set it is.
    pub owner: &'static str,
    /// The task that was not started.
    pub task: &'static str,
    /// How many may run.
    pub limit: usize,
}

/// How a task ended without a result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskEnd {
    /// It panicked.
    #[error("the task panicked: {0}")]
    Panicked(String),
    /// It was stopped by [`Tasks::stop`].
    #[error("the task was stopped")]
    Stopped,
}

/// Counts of a set, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TasksSnapshot {
    /// Running now.
    pub running: usize,
    /// Most that may run.
    pub limit: usize,
    /// Started since the beginning.
    pub started: u64,
    /// Refused because the set was full.
    pub refused: u64,
    /// Ended by a panic.
    pub panicked: u64,
}

impl Tasks {
    /// An empty set that belongs to `owner` and holds at most `limit` tasks at a time.
    pub fn new(owner: &'static str, limit: usize) -> Self {
        let abort = CancellationToken::new();
        Self {
            inner: Arc::new(Inner {
                owner,
                limit,
                running: AtomicUsize::new(0),
                started: AtomicU64::new(0),
                refused: AtomicU64::new(0),
                panicked: AtomicU64::new(0),
                tracker: TaskTracker::new(),
                end_loops: abort.child_token(),
                abort,
            }),
        }
    }

    /// Starts `work`, which has an end: [`Tasks::stop`] waits for it. Dropping the returned [`Task`] lets it run on.
    ///
    /// # Errors
    /// When the set is full; the work is dropped without being polled.
    pub fn spawn<F>(&self, name: &'static str, work: F) -> Result<Task<F::Output>, TooManyTasks>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.start(name, work, self.inner.abort.clone())
    }

    /// Starts `work` that goes on until it is stopped: [`Tasks::stop`] ends it at its next await point instead of waiting.
    ///
    /// # Errors
    /// When the set is full; the work is dropped without being polled.
    pub fn spawn_loop<F>(&self, name: &'static str, work: F) -> Result<Task<F::Output>, TooManyTasks>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.start(name, work, self.inner.end_loops.clone())
    }

    fn start<F>(
        &self,
        name: &'static str,
        work: F,
        end: CancellationToken,
    ) -> Result<Task<F::Output>, TooManyTasks>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let slot = self.slot(name)?;
        let (report, result) = oneshot::channel();
        let inner = self.inner.clone();
        self.inner.tracker.spawn(async move {
            let _slot = slot;
            let caught = AssertUnwindSafe(work).catch_unwind();
            let end = match end.run_until_cancelled(caught).await {
                Some(Ok(output)) => Ok(output),
                Some(Err(panic)) => {
                    let message = panic_message(&*panic);
                    inner.panicked.fetch_add(1, Ordering::Relaxed);
                    if let Some(unsaid) = PANICS.admit(Instant::now()) {
                        tracing::error!(owner = inner.owner, task = name, %message, unsaid, "a task panicked");
                    }
                    Err(TaskEnd::Panicked(message))
                }
                None => Err(TaskEnd::Stopped),
            };
            // Nobody may be waiting for the result.
            let _ = report.send(end);
        });
        Ok(Task { result })
    }

    /// What is running and what happened so far.
    pub fn snapshot(&self) -> TasksSnapshot {
        let inner = &self.inner;
        TasksSnapshot {
            running: inner.running.load(Ordering::Relaxed),
            limit: inner.limit,
            started: inner.started.load(Ordering::Relaxed),
            refused: inner.refused.load(Ordering::Relaxed),
            panicked: inner.panicked.load(Ordering::Relaxed),
        }
    }

    /// Ends the loops and waits until nothing runs any more, at most `patience`; then stops what is left at its next await point.
    /// Returns how many had to be stopped. The set starts nothing afterwards that would not stop at once.
    pub async fn stop(&self, patience: Duration) -> usize {
        self.inner.tracker.close();
        self.inner.end_loops.cancel();
        if timeout(patience, self.inner.tracker.wait()).await.is_ok() {
            return 0;
        }
        let left = self.inner.running.load(Ordering::Relaxed);
        self.inner.abort.cancel();
        self.inner.tracker.wait().await;
        left
    }

    fn slot(&self, task: &'static str) -> Result<Slot, TooManyTasks> {
        let inner = &self.inner;
        if inner.running.fetch_add(1, Ordering::Relaxed) >= inner.limit {
            inner.running.fetch_sub(1, Ordering::Relaxed);
            inner.refused.fetch_add(1, Ordering::Relaxed);
            return Err(TooManyTasks { owner: inner.owner, task, limit: inner.limit });
        }
        inner.started.fetch_add(1, Ordering::Relaxed);
        Ok(Slot(inner.clone()))
    }
}

/// One place in the set, given back when the task is dropped, however it ends.
struct Slot(Arc<Inner>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The result of a task, to be awaited or dropped.
#[derive(Debug)]
pub struct Task<T> {
    result: oneshot::Receiver<Result<T, TaskEnd>>,
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskEnd>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The sender goes without a result only with the runtime itself.
        Pin::new(&mut self.result).poll(context).map(|sent| sent.unwrap_or(Err(TaskEnd::Stopped)))
    }
}

pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn a_task_gives_its_result() {
        let tasks = Tasks::new("test", 1);
        assert_eq!(tasks.spawn("sum", async { 1 + 1 }).expect("there is room").await, Ok(2));
        assert_eq!(tasks.snapshot().started, 1);
    }

    /// F21: a poisoned message costs one task, not the process.
    #[tokio::test]
    async fn a_panic_is_counted_and_leaves_the_other_tasks_alone() {
        let tasks = Tasks::new("test", 2);
        let (release, released) = oneshot::channel::<()>();
        let other = tasks.spawn("other", async move { released.await.is_ok() }).expect("there is room");
        let bad = tasks.spawn("bad", async { panic!("poisoned") }).expect("there is room");
        assert_eq!(bad.await, Err::<(), _>(TaskEnd::Panicked("poisoned".into())));
        release.send(()).expect("the other task still waits");
        assert_eq!(other.await, Ok(true));
        assert_eq!(tasks.snapshot().panicked, 1);
    }

    #[tokio::test]
    async fn a_full_set_refuses_and_takes_again_when_one_ended() {
        let tasks = Tasks::new("test", 1);
        let (release, released) = oneshot::channel::<()>();
        let first = tasks.spawn("first", released).expect("there is room");
        let refused = tasks.spawn("second", async {}).map(drop);
        assert_eq!(refused, Err(TooManyTasks { owner: "test", task: "second", limit: 1 }));
        release.send(()).expect("the first task waits");
        assert_eq!(first.await, Ok(Ok(())));
        tasks.stop(Duration::from_secs(1)).await;
        assert_eq!(
            tasks.snapshot(),
            TasksSnapshot { running: 0, limit: 1, started: 1, refused: 1, panicked: 0 }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_does_not_wait_for_loops() {
        let tasks = Tasks::new("test", 2);
        let endless = tasks.spawn_loop("endless", pending::<()>()).expect("there is room");
        let work = tasks.spawn("work", tokio::time::sleep(Duration::from_secs(1))).expect("there is room");
        let start = tokio::time::Instant::now();
        assert_eq!(tasks.stop(Duration::from_secs(5)).await, 0);
        assert_eq!(start.elapsed(), Duration::from_secs(1), "as long as the work, not the whole patience");
        assert_eq!((work.await, endless.await), (Ok(()), Err(TaskEnd::Stopped)));
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_waits_first_and_then_ends_what_hangs() {
        let tasks = Tasks::new("test", 2);
        let hanging = tasks.spawn("hanging", pending::<()>()).expect("there is room");
        let quick = tasks.spawn("quick", tokio::time::sleep(Duration::from_secs(1))).expect("there is room");
        assert_eq!(tasks.stop(Duration::from_secs(5)).await, 1);
        assert_eq!(quick.await, Ok(()));
        assert_eq!(hanging.await, Err(TaskEnd::Stopped));
    }
}
