//! Commits on their way to the server.
//!
//! With replicas to wait for, a group commits at a time: the commits that came while the last flush was under way leave together,
//! in one pipeline with one WAIT at its end. WAIT counts the writes of its own connection, does not block inside scripts, and
//! holds up everything behind it on the connection: therefore lanes are connections of their own, with one flush under way on
//! each.
//!
//! Without replicas a commit is sent by whoever asks for it. The connection writes together what several send at a time, and
//! nobody is woken in between.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ::redis::{Cmd, Pipeline, RedisError, Value};
use futures_util::future::join_all;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::link::{Link, Server, Task};
use super::reply::{self, Connection};
use super::script::Invocation;
use crate::{CommitOutcome, Partition, StoreError};

/// Commits in one pipeline at most.
const FLUSH: usize = 256;

/// The sending side of a lane.
pub(super) struct Lane {
    link: Arc<Link>,
    server: Server,
    /// To the task that flushes groups.
    queue: mpsc::Sender<Commit>,
    /// A place each for commits that were sent at once.
    places: Semaphore,
    overflows: AtomicU64,
}

struct Commit {
    invocation: Invocation,
    partition: Partition,
    queued: Instant,
    reply: oneshot::Sender<Result<CommitOutcome, StoreError>>,
}

impl Lane {
    pub(super) fn open(link: Arc<Link>, server: Server) -> (Lane, Task) {
        let room = server.options.queue.max(1);
        let (queue, receiver) = mpsc::channel(room);
        let task = Task::spawn(run(Arc::clone(&link), server.clone(), receiver));
        (Lane { link, server, queue, places: Semaphore::new(room), overflows: AtomicU64::new(0) }, task)
    }

    pub(super) async fn commit(
        &self,
        partition: Partition,
        invocation: Invocation,
    ) -> Result<CommitOutcome, StoreError> {
        if self.server.wanted.get() == 0 {
            let Ok(_place) = self.places.try_acquire() else { return Err(self.overflow()) };
            return alone(&self.link, &self.server, &invocation).await;
        }
        let (sender, receiver) = oneshot::channel();
        let commit = Commit { invocation, partition, queued: Instant::now(), reply: sender };
        if self.queue.try_send(commit).is_err() {
            return Err(self.overflow());
        }
        receiver.await.unwrap_or_else(|_| Err(StoreError::unavailable("the store is shut down")))
    }

    fn overflow(&self) -> StoreError {
        self.overflows.fetch_add(1, Ordering::Relaxed);
        StoreError::unavailable("too many commits wait for Redis")
    }

    /// Commits refused because the queue was full.
    pub(super) fn overflows(&self) -> u64 {
        self.overflows.load(Ordering::Relaxed)
    }
}

/// One commit by itself.
async fn alone(link: &Link, server: &Server, invocation: &Invocation) -> Result<CommitOutcome, StoreError> {
    // The server may have lost its scripts (restart, failover); it keeps what EVAL brings.
    for form in [Invocation::evalsha, Invocation::eval] {
        let (mut connection, life) = link.connection()?;
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.add_command(form(invocation));
        let values = connection.send(pipeline, &invocation.keys[0]).await;
        match values.map_err(|error| told(link, server, life, &error))?.pop() {
            Some(value) if reply::is_no_script(&value) => {}
            Some(Value::ServerError(error)) => return Err(told(link, server, life, &error.into())),
            Some(value) => return reply::commit(value),
            None => return Err(StoreError::Corrupt { reason: "no answer to a command".to_owned() }),
        }
    }
    Err(StoreError::unavailable("Redis does not keep scripts"))
}

async fn run(link: Arc<Link>, server: Server, mut queue: mpsc::Receiver<Commit>) {
    let mut commits = Vec::with_capacity(FLUSH);
    while queue.recv_many(&mut commits, FLUSH).await > 0 {
        flush(&link, &server, std::mem::take(&mut commits)).await;
    }
}

async fn flush(link: &Link, server: &Server, commits: Vec<Commit>) {
    // Nobody waits any more for what is older than the longest wait: the peer has been told 503 or has asked again.
    let (fresh, stale): (Vec<_>, Vec<_>) = commits.into_iter().partition(|commit| {
        commit.queued.elapsed() < server.options.response_timeout && !commit.reply.is_closed()
    });
    for commit in stale {
        let _ = commit.reply.send(Err(StoreError::unavailable("waited too long in front of Redis")));
    }
    if server.target.is_cluster() {
        let mut groups: HashMap<Partition, Vec<Commit>> = HashMap::new();
        for commit in fresh {
            groups.entry(commit.partition.clone()).or_default().push(commit);
        }
        join_all(groups.into_values().map(|group| send(link, server, group))).await;
    } else if !fresh.is_empty() {
        send(link, server, fresh).await;
    }
}

/// Sends commits of one slot (or of one server) and answers all of them.
async fn send(link: &Link, server: &Server, commits: Vec<Commit>) {
    let unknown = round(link, server, commits, Invocation::evalsha).await;
    if !unknown.is_empty() {
        // The server lost its scripts (restart, failover); it has not run these, and keeps what EVAL brings.
        let rest = round(link, server, unknown, Invocation::eval).await;
        for commit in rest {
            let _ = commit.reply.send(Err(StoreError::unavailable("Redis does not keep scripts")));
        }
    }
}

/// One pipeline; returns the commits whose script the server did not know.
async fn round(
    link: &Link,
    server: &Server,
    commits: Vec<Commit>,
    form: impl Fn(&Invocation) -> Cmd,
) -> Vec<Commit> {
    let (options, wanted) = (&server.options, server.wanted.get());
    let sent = match link.connection() {
        Err(error) => Err(error),
        Ok((mut connection, life)) => {
            let mut pipeline = Pipeline::with_capacity(commits.len() + 1);
            for commit in &commits {
                pipeline.add_command(form(&commit.invocation));
            }
            let mut wait = Cmd::new();
            wait.arg("WAIT").arg(wanted).arg(options.wait_timeout.as_millis() as u64);
            pipeline.add_command(wait);
            let values = connection.send(pipeline, &commits[0].invocation.keys[0]).await;
            values.map(|values| (values, life)).map_err(|error| told(link, server, life, &error))
        }
    };
    let (mut values, life) = match sent {
        Ok(sent) => sent,
        Err(error) => {
            for commit in commits {
                let _ = commit.reply.send(Err(error.clone()));
            }
            return Vec::new();
        }
    };
    let replicated = match values.pop() {
        Some(Value::Int(confirmed)) if confirmed >= i64::from(wanted) => Ok(()),
        Some(Value::Int(confirmed)) => {
            Err(StoreError::Unreplicated { confirmed: u32::try_from(confirmed).unwrap_or(0), wanted })
        }
        Some(Value::ServerError(error)) => Err(told(link, server, life, &error.into())),
        _ => Err(StoreError::Corrupt { reason: "WAIT gave no number".to_owned() }),
    };
    let mut unknown = Vec::new();
    let mut values = values.into_iter();
    for commit in commits {
        let result = match values.next() {
            Some(value) if reply::is_no_script(&value) => {
                unknown.push(commit);
                continue;
            }
            Some(Value::ServerError(error)) => Err(told(link, server, life, &error.into())),
            Some(value) => reply::commit(value).and_then(|outcome| replicated.clone().map(|()| outcome)),
            None => Err(StoreError::Corrupt { reason: "fewer answers than commands".to_owned() }),
        };
        let _ = commit.reply.send(result);
    }
    unknown
}

/// The caller's error; the link hears of it when the connection is of no use any more.
pub(super) fn told(link: &Link, server: &Server, life: u64, error: &RedisError) -> StoreError {
    let (error, connection) = reply::failure(error, &server.options);
    if connection == Connection::Broken {
        link.report_broken(life, &error);
    }
    error
}
