//! The other services, played by the test: each says what it was told to and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cluster_api::callcontrol::v1::leg_events_server::LegEvents;
use cluster_api::callcontrol::v1::proxied_calls_server::ProxiedCalls;
use cluster_api::callcontrol::v1::{
    CheckCallsRequest, CheckCallsResponse, DeliverRequest, DeliverResponse, EndOverdueRequest,
    EndOverdueResponse, LegEvent, NotifyRequest, NotifyResponse, ProxiedCallEvent, ReportRequest,
    ReportResponse, leg_event::What,
};
use cluster_api::presence::v1::intake_server::Intake;
use cluster_api::presence::v1::{HandleRequest, HandleResponse};
use cluster_api::registrar::v1::location_server::Location;
use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{
    AllocateRequest, AllocateResponse, AnswerChallengeRequest, AnswerChallengeResponse, EndFlowsRequest,
    EndFlowsResponse, EndedFlow, Fork, Group, ListLentRequest, ListLentResponse, RegisterRequest,
    RegisterResponse, ReleaseRequest, ReleaseResponse, ReleaseTrunkRequest, ReleaseTrunkResponse,
    RouteRequest, RouteResponse, SeizeTrunkRequest, SeizeTrunkResponse, Target, WakeRequest, WakeResponse,
    seize_trunk_response::State as Seizing, wake_response::State,
};
use tokio::sync::Notify;
use tonic::{Request, Response, Status};

type Planner = Box<dyn Fn(&RouteRequest) -> Result<Plan, Status> + Send + Sync>;
type Registrations = Box<dyn Fn(&RegisterRequest) -> RegisterResponse + Send + Sync>;

/// What it answers challenges of the other kind with.
pub(crate) const OTHER: &str = "Digest realm=\"gateway\", other";

/// A registrar.
pub(crate) struct FakeLocation {
    plan: Planner,
    register: Registrations,
    pub(crate) routed: Mutex<Vec<RouteRequest>>,
    pub(crate) registered: Mutex<Vec<RegisterRequest>>,
    ended: Mutex<Vec<EndedFlow>>,
    /// Whom the sender of each request has proved to be.
    pub(crate) identity: Mutex<String>,
    /// The id that calls are to have which it hands to call-control.
    pub(crate) counted_as: Mutex<String>,
    /// The trunk that requests come from.
    pub(crate) from_trunk: Mutex<String>,
    /// Whether requests come in by a trunk.
    pub(crate) is_from_trunk: std::sync::atomic::AtomicBool,
    /// Whether peers of trunks are known by address.
    pub(crate) trunk_addresses: std::sync::atomic::AtomicBool,
    /// Challenges of trunks that it was asked about, and what it has to say to the next ones.
    pub(crate) challenged: Mutex<Vec<AnswerChallengeRequest>>,
    pub(crate) credentials: Mutex<VecDeque<Vec<String>>>,
    /// What it was asked to wake, and what it says to the next questions; then that they sleep.
    pub(crate) wakes: Mutex<Vec<WakeRequest>>,
    pub(crate) woken: Mutex<VecDeque<Result<WakeResponse, Status>>>,
    /// The room that it was asked for, the room that it was given back, and what it says to the next wishes; then that there is room.
    pub(crate) seized: Mutex<Vec<SeizeTrunkRequest>>,
    /// Why a branch is denied.
    pub(crate) denial: Mutex<String>,
    pub(crate) released: Mutex<Vec<ReleaseTrunkRequest>>,
    pub(crate) seats: Mutex<VecDeque<Result<Seizing, Status>>>,
    /// What it was asked to lend, and what it says to that.
    pub(crate) lent: Mutex<Vec<AllocateRequest>>,
    pub(crate) lends: Mutex<AllocateResponse>,
    /// What it says after that.
    pub(crate) later: Mutex<Vec<AllocateResponse>>,
    /// So many batches of ended flows fail first.
    pub(crate) failing: std::sync::atomic::AtomicUsize,
    news: Notify,
}

impl FakeLocation {
    /// Plans every request like this.
    pub(crate) fn planning(plan: impl Fn(&RouteRequest) -> Plan + Send + Sync + 'static) -> Arc<Self> {
        Self::answering(move |request| Ok(plan(request)))
    }

    /// Plans every request like this, or fails.
    pub(crate) fn answering(
        plan: impl Fn(&RouteRequest) -> Result<Plan, Status> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::full(plan, |_| RegisterResponse { status: 200, ..RegisterResponse::default() })
    }

    /// Answers every REGISTER like this.
    pub(crate) fn registering(
        register: impl Fn(&RegisterRequest) -> RegisterResponse + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::full(|_| Err(Status::unimplemented("no plan")), register)
    }

    /// Answers everything.
    pub(crate) fn full(
        plan: impl Fn(&RouteRequest) -> Result<Plan, Status> + Send + Sync + 'static,
        register: impl Fn(&RegisterRequest) -> RegisterResponse + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            plan: Box::new(plan),
            register: Box::new(register),
            routed: Mutex::default(),
            registered: Mutex::default(),
            ended: Mutex::default(),
            identity: Mutex::default(),
            counted_as: Mutex::default(),
            from_trunk: Mutex::default(),
            is_from_trunk: Default::default(),
            trunk_addresses: Default::default(),
            challenged: Mutex::default(),
            credentials: Mutex::default(),
            wakes: Mutex::default(),
            woken: Mutex::default(),
            seized: Mutex::default(),
            denial: Mutex::default(),
            released: Mutex::default(),
            seats: Mutex::default(),
            lent: Mutex::default(),
            lends: Mutex::default(),
            later: Mutex::default(),
            failing: Default::default(),
            news: Notify::new(),
        })
    }

    /// The room that it was given back, once it was so often.
    pub(crate) async fn released(&self, count: usize) -> Vec<ReleaseTrunkRequest> {
        let wait = async {
            loop {
                let news = self.news.notified();
                let so_far = self.released.lock().expect("no test panics with it").clone();
                if so_far.len() >= count {
                    return so_far;
                }
                news.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), wait).await.expect("it is told")
    }

    /// The flows of which it was told that they ended, once there are this many.
    pub(crate) async fn ended(&self, count: usize) -> Vec<EndedFlow> {
        let wait = async {
            loop {
                let news = self.news.notified();
                let so_far = self.ended.lock().expect("no test panics with it").clone();
                if so_far.len() >= count {
                    return so_far;
                }
                news.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), wait).await.expect("it is told")
    }
}

#[async_trait]
impl Location for FakeLocation {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let request = request.into_inner();
        let response = (self.register)(&request);
        self.registered.lock().unwrap().push(request);
        Ok(Response::new(response))
    }

    async fn route(&self, request: Request<RouteRequest>) -> Result<Response<RouteResponse>, Status> {
        let request = request.into_inner();
        let plan = (self.plan)(&request)?;
        self.routed.lock().unwrap().push(request);
        let identity = self.identity.lock().unwrap().clone();
        let call_id = self.counted_as.lock().unwrap().clone();
        let trunk = self.from_trunk.lock().unwrap().clone();
        let trunk_addresses = self.trunk_addresses.load(std::sync::atomic::Ordering::SeqCst);
        let from_trunk = self.is_from_trunk.load(std::sync::atomic::Ordering::SeqCst);
        let plan = Some(plan);
        let response = RouteResponse { plan, identity, call_id, trunk, trunk_addresses, from_trunk };
        Ok(Response::new(response))
    }

    async fn end_flows(
        &self,
        request: Request<EndFlowsRequest>,
    ) -> Result<Response<EndFlowsResponse>, Status> {
        use std::sync::atomic::Ordering;
        let fails = self.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if fails.is_ok() {
            return Err(Status::unavailable("told to"));
        }
        self.ended.lock().expect("no test panics with it").extend(request.into_inner().flows);
        self.news.notify_waiters();
        Ok(Response::new(EndFlowsResponse {}))
    }

    async fn answer_challenge(
        &self,
        request: Request<AnswerChallengeRequest>,
    ) -> Result<Response<AnswerChallengeResponse>, Status> {
        let request = request.into_inner();
        let other_credentials = request.other_challenges.iter().map(|_| OTHER.to_owned()).collect();
        self.challenged.lock().unwrap().push(request);
        let credentials = self.credentials.lock().unwrap().pop_front().unwrap_or_default();
        Ok(Response::new(AnswerChallengeResponse { credentials, other_credentials }))
    }

    async fn wake(&self, request: Request<WakeRequest>) -> Result<Response<WakeResponse>, Status> {
        let request = request.into_inner();
        let is_of_flow = !request.flow.is_empty();
        self.wakes.lock().unwrap().push(request);
        let said = self.woken.lock().unwrap().pop_front();
        if said.is_none() && is_of_flow {
            return Ok(Response::new(WakeResponse { state: State::Lost.into(), ..WakeResponse::default() }));
        }
        if said.is_none() {
            // As the registrar does: it looks for a while.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let asleep = WakeResponse { state: State::Asleep.into(), ..WakeResponse::default() };
        said.unwrap_or(Ok(asleep)).map(Response::new)
    }

    async fn seize_trunk(
        &self,
        request: Request<SeizeTrunkRequest>,
    ) -> Result<Response<SeizeTrunkResponse>, Status> {
        self.seized.lock().unwrap().push(request.into_inner());
        let state = self.seats.lock().unwrap().pop_front().unwrap_or(Ok(Seizing::Seized))?;
        let reason = self.denial.lock().unwrap().clone();
        Ok(Response::new(SeizeTrunkResponse { state: state.into(), reason }))
    }

    async fn release_trunk(
        &self,
        request: Request<ReleaseTrunkRequest>,
    ) -> Result<Response<ReleaseTrunkResponse>, Status> {
        self.released.lock().unwrap().push(request.into_inner());
        self.news.notify_waiters();
        Ok(Response::new(ReleaseTrunkResponse {}))
    }

    async fn allocate(
        &self,
        request: Request<AllocateRequest>,
    ) -> Result<Response<AllocateResponse>, Status> {
        self.lent.lock().unwrap().push(request.into_inner());
        let said = self.lends.lock().unwrap().clone();
        if let Some(next) = self.later.lock().unwrap().pop() {
            *self.lends.lock().unwrap() = next;
        }
        Ok(Response::new(said))
    }

    async fn release(&self, _: Request<ReleaseRequest>) -> Result<Response<ReleaseResponse>, Status> {
        Err(Status::unimplemented("no edge asks for it"))
    }

    async fn list_lent(&self, _: Request<ListLentRequest>) -> Result<Response<ListLentResponse>, Status> {
        Err(Status::unimplemented("no edge asks for it"))
    }
}

/// A fork to one group of these contacts, each reached by datagram at the address in its URI.
pub(crate) fn fork_to(uris: &[String]) -> Plan {
    fork_groups(&[uris])
}

/// A fork to these groups.
pub(crate) fn fork_groups(groups: &[&[String]]) -> Plan {
    let groups = groups.iter().map(|uris| Group {
        targets: uris.iter().map(|uri| target(uri)).collect(),
        ring_time: None,
        cause: "contact".into(),
    });
    Plan::Fork(Fork { groups: groups.collect(), recurse: false })
}

/// A binding without a flow.
pub(crate) fn target(uri: &str) -> Target {
    let host = uri.rsplit('@').next().unwrap_or_default();
    Target { uri: uri.into(), received: format!("udp:{host}"), ..Target::default() }
}

/// Call-control.
#[derive(Default)]
pub(crate) struct FakeLegEvents {
    events: Mutex<VecDeque<(String, LegEvent)>>,
    came: Notify,
    failures: Mutex<u32>,
    gone: Mutex<bool>,
    /// NOTIFYs for callbacks.
    pub(crate) notified: Mutex<Vec<NotifyRequest>>,
}

impl FakeLegEvents {
    /// Fails the next deliveries, after having seen them.
    pub(crate) fn fail_next(&self, count: u32) {
        *self.failures.lock().unwrap() = count;
    }

    /// Knows no call from now on.
    pub(crate) fn forget_all(&self) {
        *self.gone.lock().unwrap() = true;
    }

    /// The next event: call id and event.
    pub(crate) async fn next(&self) -> (String, LegEvent) {
        let wait = async {
            loop {
                let came = self.came.notified();
                if let Some(event) = self.events.lock().unwrap().pop_front() {
                    return event;
                }
                came.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), wait).await.expect("an event comes")
    }

    /// What the next event says.
    pub(crate) async fn next_what(&self) -> What {
        self.next().await.1.what.expect("an event says something")
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.lock().unwrap().is_empty()
    }
}

#[async_trait]
impl LegEvents for FakeLegEvents {
    async fn deliver(&self, request: Request<DeliverRequest>) -> Result<Response<DeliverResponse>, Status> {
        let request = request.into_inner();
        {
            let mut failures = self.failures.lock().unwrap();
            if *failures > 0 {
                *failures -= 1;
                return Err(Status::unavailable("not now"));
            }
        }
        let mut events = self.events.lock().unwrap();
        events.extend(request.events.into_iter().map(|event| (request.call_id.clone(), event)));
        self.came.notify_one();
        Ok(Response::new(DeliverResponse { gone: *self.gone.lock().unwrap() }))
    }

    async fn notify(&self, request: Request<NotifyRequest>) -> Result<Response<NotifyResponse>, Status> {
        self.notified.lock().unwrap().push(request.into_inner());
        Ok(Response::new(NotifyResponse { status: 200 }))
    }
}

/// Presence, which answers everything with 202.
#[derive(Default)]
pub(crate) struct FakeIntake {
    /// What it was asked.
    pub(crate) handled: Mutex<Vec<HandleRequest>>,
}

#[async_trait]
impl Intake for FakeIntake {
    async fn handle(&self, request: Request<HandleRequest>) -> Result<Response<HandleResponse>, Status> {
        self.handled.lock().expect("no test panics with it").push(request.into_inner());
        Ok(Response::new(HandleResponse { status: 202, to_tag: "pt".into(), ..HandleResponse::default() }))
    }
}

/// Call-control's list of proxied calls.
#[derive(Default)]
pub(crate) struct FakeProxiedCalls {
    reported: Mutex<Vec<ProxiedCallEvent>>,
    /// So many reports fail first.
    pub(crate) failing: std::sync::atomic::AtomicUsize,
    news: Notify,
}

impl FakeProxiedCalls {
    /// The reports so far, once there are this many.
    pub(crate) async fn at_least(&self, count: usize) -> Vec<ProxiedCallEvent> {
        loop {
            let news = self.news.notified();
            let so_far = self.reported.lock().expect("no test panics with it").clone();
            if so_far.len() >= count {
                return so_far;
            }
            news.await;
        }
    }
}

#[async_trait]
impl ProxiedCalls for FakeProxiedCalls {
    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        use std::sync::atomic::Ordering;
        let fails = self.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if fails.is_ok() {
            return Err(Status::unavailable("told to"));
        }
        self.reported.lock().expect("no test panics with it").extend(request.into_inner().events);
        self.news.notify_waiters();
        Ok(Response::new(ReportResponse {}))
    }

    async fn check_calls(
        &self,
        _request: Request<CheckCallsRequest>,
    ) -> Result<Response<CheckCallsResponse>, Status> {
        Err(Status::unimplemented("edges do not ask"))
    }

    async fn end_overdue(
        &self,
        _request: Request<EndOverdueRequest>,
    ) -> Result<Response<EndOverdueResponse>, Status> {
        Err(Status::unimplemented("edges do not ask"))
    }
}
