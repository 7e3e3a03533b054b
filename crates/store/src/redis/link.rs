//! One connection that is kept alive: connected lazily, watched, replaced when it broke.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::redis::{Cmd, Pipeline, RedisError};
use backon::{BackoffBuilder, ExponentialBuilder};
use lifecycle::Outage;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use super::advice;
use super::clock::ServerClock;
use super::options::RedisOptions;
use super::replicas::WantedReplicas;
use super::reply;
use super::target::{Connection, Target};
use crate::StoreError;

/// How often an idle connection is tried: the time after which a silent death is noticed. Also refreshes the clock.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// A connection that lived shorter is followed by the next pause and not by the first: whatever ended it is still so.
const SETTLED: Duration = Duration::from_secs(5);
/// What a commit needs, asked of a key that there never is: a replica, or a server that cannot save, answers as it would answer a commit.
const MAY_WRITE: [&str; 2] = ["DEL", "carillon:{carillon}:none"];
/// The same for reads.
const MAY_READ: [&str; 2] = ["GET", "carillon:{carillon}:none"];

/// A connection slot. Whoever needs the server takes the connection there is, and fails at once when there is none.
pub(super) struct Link {
    name: String,
    /// What it is tried with.
    question: [&'static str; 2],
    state: Mutex<State>,
    broken: Notify,
    up: watch::Sender<bool>,
    connects: AtomicU64,
}

enum State {
    Up { connection: Connection, life: u64 },
    Down { why: String },
}

/// What the task behind every link needs.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) target: Arc<Target>,
    pub(super) options: Arc<RedisOptions>,
    pub(super) clock: Arc<ServerClock>,
    pub(super) wanted: Arc<WantedReplicas>,
    /// What all links say together of a server that is away.
    pub(super) outage: Arc<Outage>,
    /// Host and port, for the log.
    pub(super) place: Arc<str>,
}

/// Ends a task when dropped.
pub(super) struct Task(AbortHandle);

impl Task {
    pub(super) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Task {
        Task(tokio::spawn(future).abort_handle())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Link {
    /// Starts to connect in the background, for reads.
    pub(super) fn for_reads(server: Server) -> (Arc<Link>, Task) {
        Link::open("reads".to_owned(), MAY_READ, server)
    }

    /// Starts to connect in the background, for commits.
    pub(super) fn for_commits(number: usize, server: Server) -> (Arc<Link>, Task) {
        Link::open(format!("commits-{number}"), MAY_WRITE, server)
    }

    fn open(name: String, question: [&'static str; 2], server: Server) -> (Arc<Link>, Task) {
        let link = Arc::new(Link {
            name,
            question,
            state: Mutex::new(State::Down { why: "not connected yet".to_owned() }),
            broken: Notify::new(),
            up: watch::Sender::new(false),
            connects: AtomicU64::new(0),
        });
        let task = Task::spawn(Arc::clone(&link).keep(server));
        (link, task)
    }

    /// The connection there is, and which life of it.
    pub(super) fn connection(&self) -> Result<(Connection, u64), StoreError> {
        match &*self.state.lock() {
            State::Up { connection, life } => Ok((connection.clone(), *life)),
            State::Down { why } => Err(StoreError::unavailable(why.clone())),
        }
    }

    /// This life of the connection is of no use any more; later users fail until there is a new one.
    pub(super) fn report_broken(&self, broken: u64, why: &StoreError) {
        let mut state = self.state.lock();
        if matches!(&*state, State::Up { life, .. } if *life == broken) {
            *state = State::Down { why: format!("reconnecting after: {why}") };
            self.up.send_replace(false);
            self.broken.notify_one();
        }
    }

    pub(super) fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    pub(super) async fn wait_up(&self) {
        // The sender lives in self, so waiting cannot fail.
        let _ = self.up.subscribe().wait_for(|up| *up).await;
    }

    /// Connections made so far.
    pub(super) fn connects(&self) -> u64 {
        self.connects.load(Ordering::Relaxed)
    }

    async fn keep(self: Arc<Link>, server: Server) {
        let pauses = || {
            ExponentialBuilder::default()
                .with_min_delay(Duration::from_millis(20))
                .with_max_delay(server.options.reconnect_pause)
                .with_jitter()
                .without_max_times()
                .build()
        };
        let mut waits = pauses();
        loop {
            let (connection, lost) = self.connect(&server, &mut waits).await;
            let (life, since) = (self.connects.fetch_add(1, Ordering::Relaxed) + 1, Instant::now());
            *self.state.lock() = State::Up { connection, life };
            self.up.send_replace(true);
            tracing::info!(link = %self.name, "connected to Redis");
            if server.outage.found(&self.name) {
                tracing::info!("Redis answers again");
            }
            self.watch(&server, life, &lost).await;
            let why = self.why();
            tracing::info!(link = %self.name, %why, "lost the connection to Redis");
            if since.elapsed() < SETTLED {
                sleep(waits.next().unwrap_or(server.options.reconnect_pause)).await;
            } else {
                waits = pauses();
            }
        }
    }

    /// Why there is no connection.
    fn why(&self) -> String {
        match &*self.state.lock() {
            State::Up { .. } => String::new(),
            State::Down { why } => why.clone(),
        }
    }

    /// Tries until it succeeds.
    async fn connect(
        &self,
        server: &Server,
        waits: &mut impl Iterator<Item = Duration>,
    ) -> (Connection, Arc<Notify>) {
        let mut failures = 0_u64;
        loop {
            let why = match timeout(server.options.connect_timeout * 2, self.attempt(server)).await {
                Ok(Ok(connected)) => return connected,
                Ok(Err(error)) => advice::advice(&error),
                Err(_) => advice::SILENCE.to_owned(),
            };
            failures += 1;
            if server.outage.missed(&self.name, Instant::now().into_std()) {
                let pause = server.options.reconnect_pause;
                tracing::warn!(
                    link = %self.name,
                    failures,
                    "cannot use Redis at {}, trying again, after {pause:?} at most: {why}",
                    server.place
                );
            }
            *self.state.lock() = State::Down { why: format!("not connected: {why}") };
            sleep(waits.next().unwrap_or(server.options.reconnect_pause)).await;
        }
    }

    async fn attempt(&self, server: &Server) -> Result<(Connection, Arc<Notify>), RedisError> {
        let lost = Arc::new(Notify::new());
        let tell = Arc::clone(&lost);
        let mut connection = server.target.connect(&server.options, move || tell.notify_one()).await?;
        self.beat(&mut connection, server).await?;
        Ok((connection, lost))
    }

    /// Returns when the connection broke.
    async fn watch(&self, server: &Server, life: u64, lost: &Notify) {
        loop {
            tokio::select! {
                // Somebody found it broken; its end was announced; or it is time to try it.
                biased;
                () = self.broken.notified() => return,
                () = lost.notified() => {
                    self.report_broken(life, &StoreError::unavailable("Redis closed the connection"));
                }
                () = sleep(HEARTBEAT) => {
                    let Ok((mut connection, _)) = self.connection() else { continue };
                    if let Err(error) = self.beat(&mut connection, server).await {
                        self.report_broken(life, &reply::failure(&error, &server.options).0);
                    }
                }
            }
        }
    }

    /// One round trip that also reads the clock, and looks for replicas.
    async fn beat(&self, connection: &mut Connection, server: &Server) -> Result<(), RedisError> {
        let mut pipeline = Pipeline::with_capacity(3);
        let mut time = Cmd::with_capacity(1, 4);
        time.arg("TIME");
        pipeline.add_command(time);
        let mut may = Cmd::with_capacity(2, 32);
        may.arg(&self.question);
        pipeline.add_command(may);
        if let Some(question) = server.wanted.question() {
            pipeline.add_command(question);
        }
        let mut values = connection.send(pipeline, "carillon").await?.into_iter();
        match values.next() {
            Some(::redis::Value::ServerError(error)) => return Err(error.into()),
            Some(value) => {
                if let Ok(micros) = reply::time(value) {
                    server.clock.set(micros);
                }
            }
            None => {}
        }
        if let Some(::redis::Value::ServerError(error)) = values.next() {
            let error = RedisError::from(error);
            // What passes by itself is told to each commit that meets it.
            if reply::failure(&error, &server.options).1 == reply::Connection::Broken {
                return Err(error);
            }
        }
        if let Some(answer) = values.next() {
            server.wanted.hear(&answer);
        }
        Ok(())
    }
}
