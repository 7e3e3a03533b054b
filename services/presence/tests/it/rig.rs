//! Replicas over one store, the edge that they share, and the requests of phones.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use ambient::SeededEntropy;
use async_trait::async_trait;
use cluster_api::edge::v1::{ExchangeRequest, ExchangeResponse, SendRequest};
use cluster_api::presence::v1::intake_server::Intake as _;
use cluster_api::presence::v1::message_summary_server::MessageSummary as _;
use cluster_api::presence::v1::{
    HandleRequest, HandleResponse, MessageCount, SetMessageSummaryRequest, Summary, message_count::Class,
};
use cluster_api::registrar::v1 as registrar;
use cluster_api::sip::v1::{Body, Header};
use cluster_rpc::LocationLink;
use parking_lot::Mutex;
use presence::edges::Edges;
use presence::{Config, Deps, Presence};
use store::{MemoryStore, Store};
use telemetry::Metrics;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tonic::{Request, Response, Status};

use crate::bound::{Bound, Directory};
use crate::switchboard::{Line, Switchboard};

/// Longest virtual time that a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(120);

/// How the phone of a Call-ID answers; 200 when nothing is said, 0 never.
#[derive(Default)]
pub struct Phones {
    pub answers: Mutex<HashMap<String, u32>>,
    /// How other domains answer a SUBSCRIBE to this URI; 200 when nothing is said, 0 never.
    pub domains: Mutex<HashMap<String, u32>>,
    /// Nobody takes a MESSAGE.
    pub away: AtomicBool,
    /// Whoever is sent a MESSAGE says nothing.
    pub mute: AtomicBool,
    sent: Mutex<Vec<(Duration, ExchangeRequest)>>,
    more: Notify,
    start: Mutex<Option<Instant>>,
}

impl Phones {
    /// Every NOTIFY so far to this Call-ID: when, and what; one that came twice is there twice.
    pub fn notified(&self, call_id: &str) -> Vec<(Duration, SendRequest)> {
        let sent = self.sent.lock();
        let of_call = sent.iter().filter_map(|(at, asked)| Some((*at, asked.request.clone()?)));
        of_call.filter(|(_, request)| request.sip_call_id == call_id).collect()
    }

    /// The NOTIFY of this number, once it was sent.
    ///
    /// # Panics
    /// When it never is.
    pub async fn notify(&self, call_id: &str, number: u32) -> SendRequest {
        let found = async {
            loop {
                let more = self.more.notified();
                let found = self.notified(call_id).into_iter().find(|(_, request)| request.cseq == number);
                if let Some((_, request)) = found {
                    return request;
                }
                more.await;
            }
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("NOTIFY {number} to {call_id} never comes"))
    }
}

impl Phones {
    /// Every MESSAGE so far, with when it was sent.
    pub fn messages(&self) -> Vec<(Duration, ExchangeRequest)> {
        let is_message =
            |asked: &ExchangeRequest| asked.request.as_ref().is_some_and(|r| r.method == "MESSAGE");
        self.sent.lock().iter().filter(|(_, asked)| is_message(asked)).cloned().collect()
    }

    /// The MESSAGE of this number, once it was sent.
    ///
    /// # Panics
    /// When it never is.
    pub async fn message(&self, number: usize) -> ExchangeRequest {
        let found = async {
            loop {
                let more = self.more.notified();
                if let Some((_, found)) = self.messages().into_iter().nth(number - 1) {
                    return found;
                }
                more.await;
            }
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("MESSAGE {number} never comes"))
    }

    /// The SUBSCRIBE of this number to a member of another domain, once it was sent; one that was sent again counts once.
    ///
    /// # Panics
    /// When it never is.
    pub async fn asked(&self, member: &str, number: usize) -> SendRequest {
        let found = async {
            loop {
                let more = self.more.notified();
                if let Some(request) = self.all_asked(member).into_iter().nth(number - 1) {
                    return request;
                }
                more.await;
            }
        };
        let found = timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("SUBSCRIBE {number} to {member} never comes"))
    }

    /// Every SUBSCRIBE so far to a member of another domain.
    pub fn all_asked(&self, member: &str) -> Vec<SendRequest> {
        let mut ids = HashSet::new();
        let sent = self.sent.lock();
        let is_asked = |asked: &&(Duration, ExchangeRequest)| {
            let to =
                asked.1.request.as_ref().map(|request| (request.method.as_str(), request.to_uri.as_str()));
            to == Some(("SUBSCRIBE", member)) && ids.insert(asked.1.exchange_id.clone())
        };
        sent.iter().filter(is_asked).filter_map(|(_, asked)| asked.request.clone()).collect()
    }
}

/// One replica's way to the phones.
pub struct Way {
    phones: Arc<Phones>,
    /// Whether nothing gets through.
    pub is_cut: bool,
}

#[async_trait]
impl Edges for Way {
    async fn exchange(&self, _: &str, request: ExchangeRequest) -> Result<ExchangeResponse, Status> {
        if self.is_cut {
            return std::future::pending().await;
        }
        let call_id = request.request.as_ref().map(|r| r.sip_call_id.clone()).unwrap_or_default();
        let asked = request.request.as_ref().filter(|request| request.method == "SUBSCRIBE");
        let member = asked.map(|request| request.to_uri.clone());
        let is_message = request.request.as_ref().is_some_and(|request| request.method == "MESSAGE");
        let start = self.phones.start.lock().expect("the rig was made");
        self.phones.sent.lock().push((start.elapsed(), request));
        self.phones.more.notify_waiters();
        if is_message && self.phones.mute.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        let is_away = is_message && self.phones.away.load(Ordering::Relaxed);
        let usual = if is_away { 480 } else { 200 };
        let status = self.phones.answers.lock().get(&call_id).copied().unwrap_or(usual);
        if let Some(member) = member {
            return match self.phones.domains.lock().get(&member).copied().unwrap_or(200) {
                0 => Err(Status::unavailable("this edge has just gone")),
                status => Ok(ExchangeResponse {
                    status,
                    to_tag: "far".to_owned(),
                    contacts: vec!["<sip:pa@elsewhere>".to_owned()],
                    headers: vec![Header::new("Expires", "600")],
                    ..ExchangeResponse::default()
                }),
            };
        }
        match status {
            0 => std::future::pending().await,
            status => Ok(ExchangeResponse { status, ..ExchangeResponse::default() }),
        }
    }
}

/// Knows everybody of its domain but those whose names begin with `list-`.
struct Everybody;

#[async_trait]
impl registrar::location_server::Location for Everybody {
    async fn register(
        &self,
        _: Request<registrar::RegisterRequest>,
    ) -> Result<Response<registrar::RegisterResponse>, Status> {
        Err(Status::unimplemented("nobody registers"))
    }

    async fn route(
        &self,
        request: Request<registrar::RouteRequest>,
    ) -> Result<Response<registrar::RouteResponse>, Status> {
        use registrar::route_response::Plan;
        let uri = request.into_inner().request_uri;
        let plan = match uri.split_once('@') {
            Some((_, domain)) if domain != "d" => Plan::Relay(registrar::Relay::default()),
            Some(("sip:list-member", _)) => Plan::Presence(registrar::HandToPresence::default()),
            Some((user, _)) if user.starts_with("sip:list-") => {
                Plan::Refuse(registrar::Refuse { status: 404, ..Default::default() })
            }
            _ => Plan::Presence(registrar::HandToPresence::default()),
        };
        Ok(Response::new(registrar::RouteResponse { plan: Some(plan), ..Default::default() }))
    }

    async fn end_flows(
        &self,
        _: Request<registrar::EndFlowsRequest>,
    ) -> Result<Response<registrar::EndFlowsResponse>, Status> {
        Err(Status::unimplemented("there are no flows"))
    }

    async fn wake(
        &self,
        _: Request<registrar::WakeRequest>,
    ) -> Result<Response<registrar::WakeResponse>, Status> {
        Err(Status::unimplemented("nobody sleeps"))
    }

    async fn seize_trunk(
        &self,
        _: Request<registrar::SeizeTrunkRequest>,
    ) -> Result<Response<registrar::SeizeTrunkResponse>, Status> {
        Err(Status::unimplemented("there is no trunk"))
    }

    async fn release_trunk(
        &self,
        _: Request<registrar::ReleaseTrunkRequest>,
    ) -> Result<Response<registrar::ReleaseTrunkResponse>, Status> {
        Err(Status::unimplemented("there is no trunk"))
    }

    async fn answer_challenge(
        &self,
        _: Request<registrar::AnswerChallengeRequest>,
    ) -> Result<Response<registrar::AnswerChallengeResponse>, Status> {
        Err(Status::unimplemented("nobody challenges"))
    }

    async fn allocate(
        &self,
        _: Request<registrar::AllocateRequest>,
    ) -> Result<Response<registrar::AllocateResponse>, Status> {
        Err(Status::unimplemented("no numbers are lent"))
    }

    async fn release(
        &self,
        _: Request<registrar::ReleaseRequest>,
    ) -> Result<Response<registrar::ReleaseResponse>, Status> {
        Err(Status::unimplemented("no numbers are lent"))
    }

    async fn list_lent(
        &self,
        _: Request<registrar::ListLentRequest>,
    ) -> Result<Response<registrar::ListLentResponse>, Status> {
        Err(Status::unimplemented("no numbers are lent"))
    }
}

/// A store whose time is that of the runtime, and phones.
pub struct Rig {
    pub store: Arc<MemoryStore>,
    pub phones: Arc<Phones>,
    pub calls: Arc<Switchboard>,
    pub bound: Arc<Bound>,
}

impl Rig {
    pub fn new() -> Rig {
        let start = Instant::now();
        let clock = move || UNIX_EPOCH + Duration::from_secs(1_700_000_000) + start.elapsed();
        let phones = Phones { start: Mutex::new(Some(start)), ..Phones::default() };
        let (store, phones) = (Arc::new(MemoryStore::new(clock)), Arc::new(phones));
        Rig { store, phones, calls: Arc::default(), bound: Arc::default() }
    }

    /// A replica that works.
    pub fn replica(&self, is_cut: bool) -> Presence {
        self.replica_with(Config::default(), is_cut)
    }

    /// One with these settings.
    pub fn replica_with(&self, config: Config, is_cut: bool) -> Presence {
        let service = self.built(config, self.store.clone(), is_cut);
        service.start().expect("there is room for the tasks");
        service
    }

    /// A replica that answers and does nothing in the background by itself, with a way of its own to the store.
    pub fn idle(&self, store: Arc<dyn Store>) -> Presence {
        self.built(Config::default(), store, false)
    }

    fn built(&self, config: Config, store: Arc<dyn Store>, is_cut: bool) -> Presence {
        let deps = Deps {
            store,
            edges: Arc::new(Way { phones: self.phones.clone(), is_cut }),
            registrations: Arc::new(Directory(self.bound.clone())),
            calls: Arc::new(Line(self.calls.clone())),
            entropy: Arc::new(SeededEntropy::new(7)),
            location: LocationLink::Local(Arc::new(Everybody)),
            metrics: Metrics::new(),
        };
        presence::build(config, deps)
    }
}

/// A SUBSCRIBE outside a dialog by the user of this name, whose Call-ID it is too.
pub fn subscribe(user: &str, resource: &str, package: &str, expires: u32) -> HandleRequest {
    HandleRequest {
        method: "SUBSCRIBE".to_owned(),
        request_uri: format!("sip:{resource}@d"),
        from_uri: format!("sip:{user}@d"),
        from_tag: "w".to_owned(),
        to_uri: format!("sip:{resource}@d"),
        sip_call_id: user.to_owned(),
        cseq: 1,
        contact: format!("sip:{user}@phone"),
        expires: Some(expires),
        headers: vec![Header::new("Event", package)],
        ..HandleRequest::default()
    }
}

/// A PUBLISH of a note by somebody.
pub fn publish(user: &str, cseq: u32, etag: &str, note: &str) -> HandleRequest {
    let document = format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:{user}@d\"><tuple id=\"t\">\
         <status><basic>open</basic></status><note>{note}</note></tuple></presence>"
    );
    let matching = (!etag.is_empty()).then(|| Header::new("SIP-If-Match", etag));
    HandleRequest {
        method: "PUBLISH".to_owned(),
        cseq,
        sip_call_id: "publishes".to_owned(),
        headers: [Header::new("Event", "presence")].into_iter().chain(matching).collect(),
        body: Some(Body::new("application/pidf+xml", document)),
        ..subscribe(user, user, "presence", 3_600)
    }
}

/// The answer of a replica.
pub async fn ask(replica: &Presence, request: HandleRequest) -> HandleResponse {
    replica.handle(Request::new(request)).await.expect("presence answers").into_inner()
}

/// The value of a header of an answer.
pub fn header(answer: &HandleResponse, name: &str) -> String {
    let found = answer.headers.iter().find(|header| header.is(name));
    found.map_or(String::new(), |header| header.value.clone())
}

/// So many new voice messages for somebody.
pub async fn voice(replica: &Presence, user: &str, new: u32) {
    let count = MessageCount { class: Class::Voice.into(), new, ..MessageCount::default() };
    let aor = format!("sip:{user}@d");
    let summary = Summary { aor, messages_waiting: true, counts: vec![count], ..Summary::default() };
    let request = SetMessageSummaryRequest { request_id: String::new(), summary: Some(summary) };
    replica.set_message_summary(Request::new(request)).await.expect("the summary is set");
}

/// What a NOTIFY says.
pub fn body(request: &SendRequest) -> String {
    let content = request.body.as_ref().map(|body| body.content.clone()).unwrap_or_default();
    String::from_utf8(content.to_vec()).expect("bodies are UTF-8")
}
