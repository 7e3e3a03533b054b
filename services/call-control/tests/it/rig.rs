//! Replicas over one store, in virtual time.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use ambient::SeededEntropy;
use call_control::edges::Edges;
use call_control::{Config, Deps, Service};
use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call_control_server::CallControl as _;
use lifecycle::Drain;
use store::{LogLimits, MemoryStore, Store};
use telemetry::Metrics;
use tokio::time::{Instant, timeout};
use tokio_stream::StreamExt as _;
use tonic::{Request, Status};

use crate::edges::{Way, World};

/// Longest virtual time that a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// One replica and its way to the edges.
pub struct Replica {
    pub service: Service,
    pub way: Arc<Way>,
    pub drain: Drain,
}

/// A store whose time is that of the runtime.
pub fn store() -> Arc<MemoryStore> {
    store_with(LogLimits::default())
}

pub fn store_with(limits: LogLimits) -> Arc<MemoryStore> {
    let start = Instant::now();
    let clock = move || UNIX_EPOCH + Duration::from_secs(1_700_000_000) + start.elapsed();
    Arc::new(MemoryStore::with_log_limits(clock, limits))
}

/// One replica over a store of its own, and one edge.
pub fn single() -> (Replica, Arc<World>) {
    let world = World::new(&["edge-0"]);
    (replica(store(), &world, Config::default()), world)
}

/// The same for tests that let a day pass.
pub fn single_for_days() -> (Replica, Arc<World>) {
    let world = World::new(&["edge-0"]);
    (replica(store(), &world, for_days()), world)
}

/// What is looked for regularly is looked for less often, for tests that let a day pass.
pub fn for_days() -> Config {
    let (due_interval, edge_lost_grace) = (Duration::from_secs(5), Duration::from_secs(60));
    Config { due_interval, edge_lost_grace, ..Config::default() }
}

/// A replica that works.
pub fn replica(store: Arc<dyn Store>, world: &Arc<World>, config: Config) -> Replica {
    replica_on(store, world, config, Way::into(world))
}

/// The same, with a member list of its own.
pub fn replica_by(
    store: Arc<dyn Store>,
    world: &Arc<World>,
    config: Config,
    members: Arc<dyn Edges>,
) -> Replica {
    replica_on(store, world, config, Way::by(world, members))
}

fn replica_on(store: Arc<dyn Store>, world: &Arc<World>, config: Config, way: Arc<Way>) -> Replica {
    let drain = Drain::new();
    let deps = Deps {
        store,
        edges: Arc::clone(&way) as _,
        entropy: Arc::new(SeededEntropy::new(1)),
        metrics: Metrics::new(),
        drain: drain.clone(),
    };
    let service = call_control::build(config, deps);
    service.start().expect("room for its tasks");
    world.add_replica(service.clone());
    Replica { service, way, drain }
}

pub fn dial_request(from: &str, to: &str) -> cc::DialRequest {
    let party =
        |user: &str| Some(cc::Party { uri: format!("sip:{user}@example.com"), ..cc::Party::default() });
    cc::DialRequest {
        from: party(from),
        to: party(to),
        flow: cc::Flow::Iv.into(),
        ..cc::DialRequest::default()
    }
}

impl Replica {
    pub async fn dial(&self, request: cc::DialRequest) -> Result<cc::Call, Status> {
        self.service.api.dial(Request::new(request)).await.map(|response| response.into_inner())
    }

    pub async fn get(&self, call_id: &str) -> Result<cc::Call, Status> {
        let request = cc::GetCallRequest { call_id: call_id.to_owned() };
        self.service.api.get_call(Request::new(request)).await.map(|response| response.into_inner())
    }

    pub async fn hangup(&self, request_id: &str, call_id: &str) -> Result<cc::Call, Status> {
        let request = cc::HangupRequest {
            request_id: request_id.to_owned(),
            call_id: call_id.to_owned(),
            reason: Some("enough".to_owned()),
        };
        self.service.api.hangup(Request::new(request)).await.map(|response| response.into_inner())
    }

    pub async fn hold(&self, request_id: &str, call_id: &str) -> Result<cc::Call, Status> {
        let request = cc::HoldRequest {
            request_id: request_id.to_owned(),
            call_id: call_id.to_owned(),
            ..cc::HoldRequest::default()
        };
        self.service.api.hold(Request::new(request)).await.map(|response| response.into_inner())
    }

    pub async fn list(&self, request: cc::ListCallsRequest) -> Result<cc::ListCallsResponse, Status> {
        self.service.api.list_calls(Request::new(request)).await.map(|response| response.into_inner())
    }

    pub async fn watch(&self, request: cc::WatchCallsRequest) -> Result<Watch, Status> {
        let response = self.service.api.watch_calls(Request::new(request)).await?;
        Ok(Watch { stream: response.into_inner() })
    }

    /// Watches one call from its beginning.
    pub async fn watch_call(&self, call_id: &str) -> Watch {
        let request =
            cc::WatchCallsRequest { call_id: Some(call_id.to_owned()), ..cc::WatchCallsRequest::default() };
        self.watch(request).await.expect("the call exists")
    }

    /// Waits until the call is in a state.
    pub async fn wait_for(&self, call_id: &str, state: cc::call::State) -> cc::Call {
        let mut watch = self.watch_call(call_id).await;
        loop {
            let event = watch.next().await.expect("an event").expect("the call goes on");
            if let Some(call) = event.call.filter(|call| call.state == i32::from(state)) {
                return call;
            }
        }
    }

    /// The process is gone: nothing of it runs any more, and no edge reaches it.
    pub async fn kill(self, world: &World, number: usize) {
        world.remove_replica(number);
        self.way.cut();
        self.service.stop(Duration::ZERO).await;
    }
}

/// A stream of events.
pub struct Watch {
    stream: <call_control::CallControlApi as cluster_api::callcontrol::v1::call_control_server::CallControl>::WatchCallsStream,
}

impl Watch {
    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Result<cc::CallEvent, Status>> {
        timeout(PATIENCE, self.stream.next()).await.expect("an event within the patience of the test")
    }

    /// The next event, which must come.
    pub async fn event(&mut self) -> cc::CallEvent {
        self.next().await.expect("the stream goes on").expect("an event")
    }

    /// Everything up to the end of the stream.
    pub async fn rest(&mut self) -> Vec<cc::CallEvent> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event.expect("no refusal"));
        }
        events
    }
}

/// Events as short text: the leg, if any, and the type.
pub fn story(events: &[cc::CallEvent]) -> Vec<String> {
    let line = |event: &cc::CallEvent| match &event.leg_id {
        Some(leg) => format!("{leg} {}", event.r#type().as_str_name()),
        None => event.r#type().as_str_name().to_owned(),
    };
    events.iter().map(line).collect()
}

pub fn reason(status: &Status) -> String {
    cluster_rpc::Refusal::read(status).map(|refusal| refusal.reason().to_string()).unwrap_or_default()
}
