//! The Redis engine.
//!
//! Reads and claims go over one connection, commits over [`lane`]s, wakeups over a subscription ([`notify`]). Needs
//! Redis 6.2 or later, and of its commands: EVAL, EVALSHA, GET, MGET, DEL, HMGET, ZRANGE, TIME, WAIT, INFO, PUBLISH, SUBSCRIBE, PING and
//! what the scripts in `lua/` call. Never KEYS or SCAN.

mod advice;
mod clock;
mod lane;
mod layout;
mod link;
mod notify;
mod options;
mod replicas;
mod reply;
mod script;
mod target;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::redis::{Cmd, Pipeline, Value};
use async_trait::async_trait;

use self::clock::ServerClock;
use self::lane::Lane;
use self::link::{Link, Server, Task};
use self::notify::Notifier;
pub use self::options::RedisOptions;
use self::replicas::WantedReplicas;
use self::script::{Arg, CLAIM, INDEX, Invocation, LOG_READ};
pub use self::target::BadRedisUrl;
use self::target::Target;
use crate::{
    Batch, CommitOutcome, Cursor, Due, IndexPage, Key, LogEntry, Partition, Store, StoreError, Versioned,
    Wakeups,
};

/// Entries of an index or log in one answer at most.
const PAGE: usize = 1000;
/// How far what this process takes for the server's time may be from it. Whether an entry is due, the server says.
const CLOCKS_APART: Duration = Duration::from_secs(1);
/// How long a read waits for a new connection after it found the old one broken.
const SECOND_CHANCE: Duration = Duration::from_millis(100);

/// The store in a Redis server, behind Sentinels, or in a cluster.
pub struct RedisStore {
    server: Server,
    reads: Arc<Link>,
    lanes: Vec<(Arc<Link>, Lane)>,
    notifier: Arc<Notifier>,
    /// End with the store.
    _tasks: Vec<Task>,
}

/// What happened at the store's bounds, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedisCounters {
    /// Commits refused because the queue in front of a connection was full.
    pub queue_overflows: u64,
    /// Connections made, the first ones included.
    pub connects: u64,
}

impl RedisStore {
    /// Whether [`connect`](Self::connect) would take this URL; nothing is connected.
    ///
    /// # Errors
    /// When the URL or the certificates cannot be used.
    pub fn check(url: &str, options: &RedisOptions) -> Result<(), BadRedisUrl> {
        Target::parse(url, options).map(drop)
    }

    /// Begins to connect in the background; until that succeeds every request fails with
    /// [`StoreError::Unavailable`]. Must be called inside a tokio runtime.
    ///
    /// URLs: `redis://[user:password@]host:port[/db]`, `rediss://…`, `unix:///path`,
    /// `redis+sentinel://[user:password@]host:port,host:port/master[/db]`, `redis+cluster://[user:password@]host:port,…`;
    /// the last two also with `rediss+`.
    ///
    /// # Errors
    /// When the URL or the certificates cannot be used.
    pub fn connect(url: &str, options: RedisOptions) -> Result<RedisStore, BadRedisUrl> {
        let target = Target::parse(url, &options)?;
        let server = Server {
            wanted: Arc::new(WantedReplicas::new(options.wait_replicas, &target)),
            target: Arc::new(target),
            options: Arc::new(options),
            clock: Arc::new(ServerClock::new()),
            outage: Arc::default(),
            place: target::place(url).into(),
        };
        let mut tasks = Vec::new();
        let (reads, task) = Link::for_reads(server.clone());
        tasks.push(task);
        let mut lanes = Vec::new();
        for number in 0..server.options.lanes.max(1) {
            let (link, task) = Link::for_commits(number, server.clone());
            tasks.push(task);
            let (lane, task) = Lane::open(Arc::clone(&link), server.clone());
            tasks.push(task);
            lanes.push((link, lane));
        }
        let notifier = Notifier::new();
        tasks.push(Task::spawn(Arc::clone(&notifier).run(server.clone())));
        Ok(RedisStore { server, reads, lanes, notifier, _tasks: tasks })
    }

    /// Waits until every connection is up.
    pub async fn wait_ready(&self) {
        self.reads.wait_up().await;
        for (link, _) in &self.lanes {
            link.wait_up().await;
        }
    }

    /// What happened so far.
    pub fn counters(&self) -> RedisCounters {
        let lanes = || self.lanes.iter();
        RedisCounters {
            queue_overflows: lanes().map(|(_, lane)| lane.overflows()).sum(),
            connects: self.reads.connects() + lanes().map(|(link, _)| link.connects()).sum::<u64>(),
        }
    }

    /// One command that may be asked twice. When the connection is found broken and a new one is there soon, asks again.
    async fn ask(&self, command: Cmd, key: &str) -> Result<Value, StoreError> {
        match self.ask_once(&command, key).await {
            Err(StoreError::Unavailable { reason }) => {
                match tokio::time::timeout(SECOND_CHANCE, self.reads.wait_up()).await {
                    Ok(()) => self.ask_once(&command, key).await,
                    Err(_) => Err(StoreError::Unavailable { reason }),
                }
            }
            result => result,
        }
    }

    async fn ask_once(&self, command: &Cmd, key: &str) -> Result<Value, StoreError> {
        let (mut connection, life) = self.reads.connection()?;
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.add_command(command.clone());
        let values = connection
            .send(pipeline, key)
            .await
            .map_err(|error| lane::told(&self.reads, &self.server, life, &error))?;
        match values.into_iter().next() {
            Some(value) if reply::is_no_script(&value) => Ok(value),
            Some(Value::ServerError(error)) => {
                Err(lane::told(&self.reads, &self.server, life, &error.into()))
            }
            Some(value) => Ok(value),
            None => Err(StoreError::Corrupt { reason: "no answer to a command".to_owned() }),
        }
    }

    /// One script outside the lanes: reads and claims, which nobody acknowledges to anyone.
    async fn run(&self, invocation: Invocation) -> Result<Value, StoreError> {
        let key = &invocation.keys[0];
        let value = self.ask(invocation.evalsha(), key).await?;
        if reply::is_no_script(&value) {
            return self.ask(invocation.eval(), key).await;
        }
        Ok(value)
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn get(&self, key: &Key) -> Result<Option<Versioned>, StoreError> {
        let name = layout::record(&key.partition, &key.name);
        let mut command = Cmd::with_capacity(2, name.len() + 8);
        command.arg("GET").arg(&name);
        reply::record(self.ask(command, &name).await?)
    }

    async fn get_many(
        &self,
        partition: &Partition,
        names: &[String],
    ) -> Result<Vec<Option<Versioned>>, StoreError> {
        crate::batch::check_names(names)?;
        let Some(first) = names.first() else { return Ok(Vec::new()) };
        let mut command = Cmd::with_capacity(1 + names.len(), names.len() * 64);
        command.arg("MGET");
        for name in names {
            command.arg(layout::record(partition, name));
        }
        reply::records(self.ask(command, &layout::record(partition, first)).await?)
    }

    async fn commit(&self, batch: Batch) -> Result<CommitOutcome, StoreError> {
        crate::batch::check_limits(&batch)?;
        let partition = batch.partition.clone();
        let lane = crate::key::fnv1a(partition.as_str().as_bytes()) as usize % self.lanes.len();
        let invocation = layout::commit(batch, &self.server.options.logs);
        self.lanes[lane].1.commit(partition, invocation).await
    }

    async fn index(
        &self,
        partition: &Partition,
        index: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<IndexPage, StoreError> {
        let limit = limit.min(PAGE);
        let from = after.map_or(Arg::Short("-"), |after| Arg::Text(format!("({after}")));
        let keys = layout::index(partition, index).into();
        let value = self
            .run(Invocation { script: &INDEX, keys, args: vec![from, Arg::Text(limit.to_string())] })
            .await?;
        reply::page(value, limit)
    }

    async fn due_claim(
        &self,
        partition: &Partition,
        queue: &str,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        // Most looks find nothing, and a command costs a tenth of a script.
        let next = self.due_next(partition, queue).await?;
        if next.is_none_or(|next| next > self.now() + CLOCKS_APART) {
            return Ok(Vec::new());
        }
        let [times, payloads] = layout::queue(partition, queue);
        let keys = vec![times, payloads, layout::meta(partition)];
        let args = vec![Arg::Text(lease.as_millis().to_string()), Arg::Text(limit.min(PAGE).to_string())];
        reply::claims(self.run(Invocation { script: &CLAIM, keys, args }).await?)
    }

    async fn due_next(&self, partition: &Partition, queue: &str) -> Result<Option<SystemTime>, StoreError> {
        let [times, _] = layout::queue(partition, queue);
        let mut command = Cmd::new();
        command.arg("ZRANGE").arg(&times).arg("0").arg("0").arg("WITHSCORES");
        let millis = reply::score(self.ask(command, &times).await?)?;
        Ok(millis.map(|millis| UNIX_EPOCH + Duration::from_millis(millis)))
    }

    async fn log_read(
        &self,
        partition: &Partition,
        log: &str,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let keys = vec![layout::log(partition, log), layout::meta(partition)];
        let from = after.map_or(Arg::Short(""), |after| Arg::Text(after.to_string()));
        let args = vec![Arg::Text(log.to_owned()), from, Arg::Text(limit.clamp(1, PAGE).to_string())];
        reply::entries(self.run(Invocation { script: &LOG_READ, keys, args }).await?, after)
    }

    async fn log_tail(&self, partition: &Partition, log: &str) -> Result<Cursor, StoreError> {
        let meta = layout::meta(partition);
        let mut command = Cmd::new();
        command.arg("HMGET").arg(&meta).arg(format!("n:{log}")).arg(format!("t:{log}"));
        reply::tail(self.ask(command, &meta).await?)
    }

    fn watch_log(&self, partition: &Partition, log: &str) -> Wakeups {
        self.notifier.watch(layout::channel(partition), Some(log))
    }

    fn watch(&self, partition: &Partition) -> Wakeups {
        self.notifier.watch(layout::channel(partition), None)
    }

    fn now(&self) -> SystemTime {
        self.server.clock.now()
    }

    fn is_ready(&self) -> bool {
        self.reads.is_up() && self.lanes.iter().all(|(link, _)| link.is_up())
    }
}
