//! One running edge.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use ambient::{SeededEntropy, SystemClock, WallClock};
use cluster_api::cluster::v1::Member;
use cluster_rpc::membership::{Listed, LookAgain, View};
use cluster_rpc::{EdgeDirectory, IntakeLink, LegEventsLink, LocationLink, ProxiedCallsLink, Wiring, remote};
use edge::{CaptureService, Config, Deps, EdgesService, LegsService, RequestsService, TracesService};
use lifecycle::{Drain, Tasks};
use sip_endpoint::{DatagramSocket, Dns, SystemDns, Transport};
use telemetry::Metrics;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use crate::peer::Peer;
use crate::services::{FakeIntake, FakeLegEvents, FakeLocation, FakeProxiedCalls};

/// An edge that runs until the rig is dropped.
pub(crate) struct Rig {
    pub(crate) address: SocketAddr,
    streams: Vec<(Transport, SocketAddr)>,
    pub(crate) legs: LegsService,
    pub(crate) requests: RequestsService,
    pub(crate) capture: CaptureService,
    pub(crate) traces: TracesService,
    pub(crate) edges: EdgesService,
    pub(crate) events: Arc<FakeLegEvents>,
    pub(crate) calls: Arc<FakeProxiedCalls>,
    pub(crate) intake: Arc<FakeIntake>,
    pub(crate) drain: Drain,
    clock: Arc<LaterClock>,
    pub(crate) metrics: Metrics,
    _stop: oneshot::Sender<()>,
    members: watch::Sender<View>,
    next: Arc<Mutex<Option<View>>>,
}

impl Rig {
    pub(crate) async fn with(location: Arc<FakeLocation>) -> Self {
        Self::configured(location, |_| {}).await
    }

    /// An edge of this id.
    pub(crate) async fn named(id: &str, location: Arc<FakeLocation>) -> Self {
        Self::configured(location, |config| config.id = id.to_owned()).await
    }

    /// Makes the edge see these members.
    pub(crate) fn learns(&self, view: View) {
        self.members.send_replace(view);
    }

    /// Makes the edge see these members as soon as it asks for the list.
    pub(crate) fn learns_when_asked(&self, view: View) {
        *self.next.lock().expect("nobody panics with it") = Some(view);
    }

    pub(crate) async fn configured(location: Arc<FakeLocation>, configure: impl FnOnce(&mut Config)) -> Self {
        Self::resolving(location, Arc::new(SystemDns), configure).await
    }

    pub(crate) async fn resolving(
        location: Arc<FakeLocation>,
        dns: Arc<dyn Dns>,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        Self::over(location, dns, configure, None).await
    }

    /// An edge over a socket of the test instead of one of the kernel.
    pub(crate) async fn over(
        location: Arc<FakeLocation>,
        dns: Arc<dyn Dns>,
        configure: impl FnOnce(&mut Config),
        socket: Option<Box<dyn DatagramSocket>>,
    ) -> Self {
        Self::knowing(View::fixed(Vec::new(), vec![9; 32]), location, dns, configure, socket).await
    }

    /// An edge that begins with this much of the cluster.
    pub(crate) async fn knowing(
        view: View,
        location: Arc<FakeLocation>,
        dns: Arc<dyn Dns>,
        configure: impl FnOnce(&mut Config),
        socket: Option<Box<dyn DatagramSocket>>,
    ) -> Self {
        let loopback = "127.0.0.1:0".parse().expect("an address");
        let mut config = Config::new("edge-1", 7, sip_endpoint::Config::listening_on([loopback]));
        config.domains = vec!["example.com".into()];
        configure(&mut config);
        let (members, view) = watch::channel(view);
        let clock = Arc::new(LaterClock::default());
        let (events, drain) = (Arc::new(FakeLegEvents::default()), Drain::new());
        let calls = Arc::new(FakeProxiedCalls::default());
        let intake = Arc::new(FakeIntake::default());
        let tasks = Tasks::new("edge", 1000);
        let (next, look_again) = lists(members.clone(), &tasks);
        let others = Wiring::new(remote::Config::default(), tasks.clone(), Metrics::new());
        let others = EdgeDirectory::new(view.clone(), others);
        let metrics = Metrics::new();
        let deps = Deps {
            location: LocationLink::Local(location),
            leg_events: LegEventsLink::Local(events.clone()),
            proxied_calls: ProxiedCallsLink::Local(calls.clone()),
            intake: IntakeLink::Local(intake.clone()),
            members: view,
            look_again,
            dns,
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(1)),
            metrics: metrics.clone(),
            drain: drain.clone(),
            tasks: tasks.clone(),
        };
        let edge = edge::build(config, deps);
        let bound = match socket {
            None => edge.bind().await.expect("loopback has a free port"),
            Some(socket) => edge.bind_over(vec![socket]).expect("the names are fine"),
        };
        let (address, legs, requests) = (bound.listening()[0], bound.legs(), bound.requests());
        let streams = bound.listening_streams();
        let (capture, traces, edges) =
            (bound.capture(), bound.traces(Some(others)), bound.edges_service(None));
        let (stop, stopped) = oneshot::channel();
        let run = async move {
            bound.run(async { stopped.await.unwrap_or(()) }).await.expect("the sockets are fine");
        };
        tasks.spawn("edge", run).expect("there is room");
        Self {
            address,
            streams,
            legs,
            requests,
            capture,
            traces,
            edges,
            events,
            calls,
            intake,
            drain,
            clock,
            metrics,
            _stop: stop,
            members,
            next,
        }
    }

    /// Makes its time of day later.
    pub(crate) fn goes_on(&self, by: Duration) {
        self.clock.0.fetch_add(by.as_secs(), Ordering::SeqCst);
    }

    /// Where it serves WebSocket.
    pub(crate) fn websocket(&self) -> SocketAddr {
        self.listens(Transport::Ws)
    }

    /// Where it serves TLS or WebSocket.
    pub(crate) fn listens(&self, by: Transport) -> SocketAddr {
        let found = self.streams.iter().find(|(transport, _)| *transport == by);
        found.expect("the configuration has one").1
    }

    /// What one of its gauges shows.
    pub(crate) fn shows(&self, gauge: &str) -> u64 {
        let text = self.metrics.text();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix("carillon_")?.strip_prefix(gauge)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().expect("a gauge is a number"))
    }

    /// What one of its counters counted under this label.
    pub(crate) fn counted(&self, counter: &str, label: &str) -> u64 {
        let text = self.metrics.text();
        let is_it =
            |line: &&str| line.contains(&format!("{counter}{{")) && line.contains(&format!("\"{label}\""));
        let value = text.lines().find(is_it).and_then(|line| line.rsplit(' ').next());
        value.map_or(0, |value| value.parse().expect("a counter is a number"))
    }

    pub(crate) async fn peer(&self) -> Peer {
        Peer::of(self.address).await
    }
}

/// The time of day, so many seconds later.
#[derive(Debug, Default)]
struct LaterClock(AtomicU64);

impl WallClock for LaterClock {
    fn now(&self) -> SystemTime {
        SystemClock.now() + Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

/// Base timers short enough for a test to see repetitions.
pub(crate) fn fast(config: &mut Config) {
    let timing = &mut config.endpoint.transactions.timing;
    timing.t1 = Duration::from_millis(20);
    timing.t2 = Duration::from_millis(160);
    timing.t4 = Duration::from_millis(200);
}

/// A living edge with its internal listener.
pub(crate) fn only_member((id, sip): (&str, SocketAddr)) -> Member {
    Member { id: id.into(), role: "edge".into(), epoch: 7, sip: sip.to_string(), ..Member::default() }
}

/// What a list is that proves of an edge which is not in it that it is gone.
pub(crate) fn steady() -> Option<Listed> {
    let asked = Instant::now() + Duration::from_secs(10);
    Some(Listed { asked, steady_since: asked - Duration::from_secs(5) })
}

/// Who is asked for lists: there is one as soon as it is asked for, and it has news once.
fn lists(members: watch::Sender<View>, tasks: &Tasks) -> (Arc<Mutex<Option<View>>>, LookAgain) {
    let next: Arc<Mutex<Option<View>>> = Arc::default();
    let (hurry, (asked, latest)) = (Arc::new(Notify::new()), watch::channel(None));
    let (news, hurried) = (next.clone(), hurry.clone());
    let answer = async move {
        loop {
            hurried.notified().await;
            let news = news.lock().expect("nobody panics with it").take();
            if let Some(view) = news {
                members.send_replace(view);
            }
            asked.send_replace(Some(Instant::now()));
        }
    };
    tasks.spawn("lists", answer).expect("there is room");
    (next, LookAgain::new(hurry, latest))
}
