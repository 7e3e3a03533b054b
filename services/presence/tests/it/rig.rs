//! Replicas over one store, the edge that they share, and the requests of phones.

use std::collections::HashMap;
use std::sync::Arc;
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
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use presence::edges::Edges;
use presence::registrations::Registrations;
use presence::{Config, Deps, Presence};
use store::{MemoryStore, Store};
use telemetry::Metrics;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

/// Longest virtual time that a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(120);

/// How the phone of a Call-ID answers; 200 when nothing is said, 0 never.
#[derive(Default)]
pub struct Phones {
    pub answers: Mutex<HashMap<String, u32>>,
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
        let start = self.phones.start.lock().expect("the rig was made");
        self.phones.sent.lock().push((start.elapsed(), request));
        self.phones.more.notify_waiters();
        let status = self.phones.answers.lock().get(&call_id).copied().unwrap_or(200);
        match status {
            0 => std::future::pending().await,
            status => Ok(ExchangeResponse { status, ..ExchangeResponse::default() }),
        }
    }
}

struct NobodyRegisters;

#[async_trait]
impl Registrations for NobodyRegisters {
    async fn list(&self, _: &str) -> Result<Vec<registrar::Binding>, Status> {
        Ok(Vec::new())
    }

    async fn watch(&self, _: Option<String>) -> Result<BoxStream<registrar::BindingEvent>, Status> {
        Ok(futures_util::stream::pending().boxed())
    }
}

/// Knows everybody.
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
        _: Request<registrar::RouteRequest>,
    ) -> Result<Response<registrar::RouteResponse>, Status> {
        let plan = registrar::route_response::Plan::Presence(registrar::HandToPresence {});
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

    async fn answer_challenge(
        &self,
        _: Request<registrar::AnswerChallengeRequest>,
    ) -> Result<Response<registrar::AnswerChallengeResponse>, Status> {
        Err(Status::unimplemented("nobody challenges"))
    }
}

/// A store whose time is that of the runtime, and phones.
pub struct Rig {
    pub store: Arc<MemoryStore>,
    pub phones: Arc<Phones>,
}

impl Rig {
    pub fn new() -> Rig {
        let start = Instant::now();
        let clock = move || UNIX_EPOCH + Duration::from_secs(1_700_000_000) + start.elapsed();
        let phones = Phones { start: Mutex::new(Some(start)), ..Phones::default() };
        Rig { store: Arc::new(MemoryStore::new(clock)), phones: Arc::new(phones) }
    }

    /// A replica that works.
    pub fn replica(&self, is_cut: bool) -> Presence {
        let store: Arc<dyn Store> = self.store.clone();
        let deps = Deps {
            store,
            edges: Arc::new(Way { phones: self.phones.clone(), is_cut }),
            registrations: Arc::new(NobodyRegisters),
            entropy: Arc::new(SeededEntropy::new(7)),
            location: LocationLink::Local(Arc::new(Everybody)),
            metrics: Metrics::new(),
        };
        let service = presence::build(Config::default(), deps);
        service.start().expect("there is room for the tasks");
        service
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
