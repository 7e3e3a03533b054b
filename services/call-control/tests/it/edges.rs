//! Edges and phones, played: an edge takes effects on as the contract says, and phones answer by their names.
//!
//! | user part | the phone                                                     |
//! |-----------|---------------------------------------------------------------|
//! | `busy…`   | 486                                                           |
//! | `ring…`   | 180 and then nothing                                          |
//! | `mute…`   | nothing at all                                                |
//! | `nimble…` | the same; it takes REFER, and tells that it has called        |
//! | other     | 180, 200 with a session; answers whatever comes in the dialog |

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use call_control::Service;
use call_control::edges::{EdgeLife, EdgeView, Edges, Listed, LivingEdge};
use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::leg_event::What as Seen;
use cluster_api::callcontrol::v1::leg_events_server::LegEvents as _;
use cluster_api::edge::v1::carry_request::What;
use cluster_api::edge::v1::requests_server::Requests;
use cluster_api::edge::v1::{
    CancelProxiedRequest, CancelProxiedResponse, CarryRequest, CarryResponse, ExchangeRequest,
    ExchangeResponse, SendRequest,
};
use cluster_api::sip::v1::{Body, Header};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::{Request, Status};

/// The transaction of a phone that calls in.
const CALLER: &str = "caller";
/// What it offers.
const SESSION: &str =
    "v=0\r\no=alice 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

/// Everything outside call-control.
pub struct World {
    state: Mutex<State>,
    begin: Instant,
    /// Requests in calls that are merely proxied.
    pub exchanged: Mutex<Vec<ExchangeRequest>>,
    /// INVITEs of such calls that were to be cancelled.
    pub cancelled: Mutex<Vec<CancelProxiedRequest>>,
    /// How phones answer what is not an INVITE, when it is not simply 200.
    answers: Mutex<Option<Answers>>,
}

type Answers = Box<dyn Fn(&ExchangeRequest) -> ExchangeResponse + Send>;

#[derive(Default)]
struct State {
    living: Vec<EdgeLife>,
    incomplete: bool,
    /// Replicas to which edges deliver, in turn; `None` is one that is dead.
    replicas: Vec<Option<Service>>,
    deliver_twice: bool,
    /// How long edges take to take something on.
    hesitation: HashMap<String, Duration>,
    /// It is in the member list as soon as a new one is asked for.
    unlisted: Option<EdgeLife>,
    /// Effects taken on, in order, repetitions included.
    taken: Vec<(EdgeLife, CarryRequest)>,
    known: HashSet<(String, u64)>,
    queues: HashMap<(String, EdgeLife), Queue>,
    /// INVITEs that are not answered finally, by call and effect.
    open: HashMap<(String, u64), SendRequest>,
}

struct Queue {
    last: u64,
    sender: mpsc::UnboundedSender<cc::DeliverRequest>,
}

impl World {
    /// A world with these edges, all of epoch 1.
    pub fn new(edges: &[&str]) -> Arc<World> {
        let living = edges.iter().map(|id| EdgeLife { id: (*id).to_owned(), epoch: 1 }).collect();
        Arc::new(World {
            state: Mutex::new(State { living, ..State::default() }),
            begin: Instant::now(),
            exchanged: Mutex::default(),
            cancelled: Mutex::default(),
            answers: Mutex::default(),
        })
    }

    /// Phones answer single requests so from now on.
    pub fn answer_with(&self, answers: impl Fn(&ExchangeRequest) -> ExchangeResponse + Send + 'static) {
        *self.answers.lock() = Some(Box::new(answers));
    }

    /// A phone at this edge calls a user.
    pub fn call_in(self: &Arc<Self>, edge_id: &str, call_id: &str, user: &str) {
        self.call_in_about(edge_id, call_id, &format!("sip:{user}@example.com"), Vec::new());
    }

    /// The same to this URI, with these headers; she has proved who she is.
    pub fn call_in_about(self: &Arc<Self>, edge_id: &str, call_id: &str, uri: &str, headers: Vec<Header>) {
        let received = cc::CallReceived {
            transaction: CALLER.to_owned(),
            request_uri: uri.to_owned(),
            identity: "sip:alice@example.com".to_owned(),
            headers,
            from_uri: "sip:alice@example.com".to_owned(),
            from_tag: "at".to_owned(),
            to_uri: uri.to_owned(),
            sip_call_id: format!("call-of-alice-{call_id}"),
            cseq: 1,
            contact: "sip:alice@phone.example".to_owned(),
            max_forwards: 70,
            body: Some(Body {
                content_type: "application/sdp".to_owned(),
                content: SESSION.into(),
                ..Body::default()
            }),
            ..cc::CallReceived::default()
        };
        let edge = EdgeLife { id: edge_id.to_owned(), epoch: 1 };
        self.state.lock().tell(self, call_id, "a", &edge, Seen::Incoming(received));
    }

    /// The phone of a leg sends a request in its dialog.
    pub fn say(
        self: &Arc<Self>,
        edge_id: &str,
        call_id: &str,
        leg: &cc::Leg,
        method: &str,
        headers: Vec<Header>,
    ) {
        let request = cc::RequestReceived {
            transaction: format!("{method}-of-{}", leg.leg_id),
            method: method.to_owned(),
            cseq: 100,
            sip_call_id: leg.sip_call_id.clone(),
            from_tag: leg.remote_tag.clone(),
            to_tag: leg.local_tag.clone(),
            contact: "sip:phone@192.0.2.1:5060".to_owned(),
            headers,
            ..cc::RequestReceived::default()
        };
        let edge = EdgeLife { id: edge_id.to_owned(), epoch: 1 };
        self.state.lock().tell(self, call_id, &leg.leg_id, &edge, Seen::Request(request));
    }

    /// Adds a replica to which edges deliver.
    pub fn add_replica(&self, service: Service) {
        self.state.lock().replicas.push(Some(service));
    }

    /// Edges no longer reach this replica.
    pub fn remove_replica(&self, number: usize) {
        self.state.lock().replicas[number] = None;
    }

    /// Every delivery is made twice from now on.
    pub fn deliver_twice(&self) {
        self.state.lock().deliver_twice = true;
    }

    /// This edge is no longer in the member list.
    pub fn lose_edge(&self, id: &str) {
        self.state.lock().living.retain(|edge| edge.id != id);
    }

    /// This edge is in the member list from now on.
    pub fn add_edge(&self, id: &str) {
        self.state.lock().living.push(EdgeLife { id: id.to_owned(), epoch: 1 });
    }

    /// This edge is there, but in no list before a new one is asked for.
    pub fn add_unlisted(&self, id: &str) {
        self.state.lock().unlisted = Some(EdgeLife { id: id.to_owned(), epoch: 1 });
    }

    /// Edges are this late with everything of this leg and kind, such as `a ACK`.
    pub fn hesitate(&self, what: &str, time: Duration) {
        self.state.lock().hesitation.insert(what.to_owned(), time);
    }

    /// Whether member lists are complete from now on.
    pub fn set_complete(&self, complete: bool) {
        self.state.lock().incomplete = !complete;
    }

    /// Methods sent (and what else was asked for) for a call, in order of effect; repetitions left out.
    pub fn asked(&self, call_id: &str) -> Vec<String> {
        let state = self.state.lock();
        let mut seen = HashSet::new();
        let mut asked: Vec<_> =
            state.taken.iter().filter(|(_, request)| request.call_id == call_id).collect();
        asked.sort_by_key(|(_, request)| request.effect);
        let first = asked.into_iter().filter(|(_, request)| seen.insert(request.effect));
        first.map(|(_, request)| format!("{} {}", request.leg_id, verb(request))).collect()
    }

    /// A header of the last request of this method on a leg.
    pub fn header(&self, call_id: &str, leg_id: &str, method: &str, name: &str) -> Option<String> {
        let state = self.state.lock();
        let sent = state.taken.iter().rev().filter_map(|(_, request)| match &request.what {
            Some(What::Send(send)) if request.call_id == call_id && request.leg_id == leg_id => Some(send),
            _ => None,
        });
        let last = sent.into_iter().find(|send| send.method == method)?;
        last.headers.iter().find(|header| header.name == name).map(|header| header.value.clone())
    }

    /// The same in the order of the wire.
    pub fn wire(&self, call_id: &str) -> Vec<String> {
        let state = self.state.lock();
        let of_call = state.taken.iter().filter(|(_, request)| request.call_id == call_id);
        of_call.map(|(_, request)| format!("{} {}", request.leg_id, verb(request))).collect()
    }

    /// How often edges were asked to take an effect of this call on, repetitions included.
    pub fn attempts(&self, call_id: &str) -> usize {
        self.state.lock().taken.iter().filter(|(_, request)| request.call_id == call_id).count()
    }

    fn take(self: &Arc<Self>, edge: &EdgeLife, request: CarryRequest) {
        let mut state = self.state.lock();
        state.taken.push((edge.clone(), request.clone()));
        if !state.known.insert((request.call_id.clone(), request.effect)) {
            return;
        }
        let (call_id, leg_id, effect) = (request.call_id, request.leg_id, request.effect);
        let happenings = match request.what.expect("an effect says what to do") {
            What::Send(send) => {
                let happenings = phone(&send, effect);
                if send.method == "INVITE" && send.to_tag.is_empty() && !ends(&happenings) {
                    state.open.insert((call_id.clone(), effect), send);
                }
                happenings
            }
            What::Cancel(cancel) => match state.open.remove(&(call_id.clone(), cancel.invite_effect)) {
                Some(invite) => vec![response(&invite, cancel.invite_effect, 487, None)],
                None => Vec::new(),
            },
            What::Respond(answer) if answer.transaction == CALLER && answer.status == 200 => {
                let (transaction, cseq, body) = (answer.transaction, 1, None);
                vec![Seen::Ack(cc::AckReceived { transaction, cseq, body })]
            }
            What::Respond(_) | What::Release(_) => Vec::new(),
        };
        for what in happenings {
            state.tell(self, &call_id, &leg_id, edge, what);
        }
    }

    /// Delivers until some replica has it.
    async fn deliver(self: &Arc<Self>, delivery: cc::DeliverRequest, turn: &mut usize) {
        let mut left = if self.state.lock().deliver_twice { 2 } else { 1 };
        while left > 0 {
            *turn += 1;
            let replica = {
                let state = self.state.lock();
                let count = state.replicas.len().max(1);
                state.replicas.get(*turn % count).cloned().flatten()
            };
            let delivered = match replica {
                Some(replica) => replica.leg_events.deliver(Request::new(delivery.clone())).await.is_ok(),
                None => false,
            };
            if delivered {
                left -= 1;
            } else {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

impl State {
    fn tell(&mut self, world: &Arc<World>, call_id: &str, leg_id: &str, edge: &EdgeLife, what: Seen) {
        let queue = self.queue(world, call_id, edge);
        queue.last += 1;
        let event = cc::LegEvent {
            leg_id: leg_id.to_owned(),
            number: queue.last,
            flow: format!("flow-of-{leg_id}"),
            what: Some(what),
            ..cc::LegEvent::default()
        };
        let delivery = cc::DeliverRequest {
            call_id: call_id.to_owned(),
            edge_id: edge.id.clone(),
            edge_epoch: edge.epoch,
            events: vec![event],
        };
        // The receiver lives as long as the runtime.
        let _ = queue.sender.send(delivery);
    }

    fn queue(&mut self, world: &Arc<World>, call_id: &str, edge: &EdgeLife) -> &mut Queue {
        self.queues.entry((call_id.to_owned(), edge.clone())).or_insert_with(|| {
            let (sender, mut deliveries) = mpsc::unbounded_channel();
            let world = Arc::clone(world);
            tokio::spawn(async move {
                let mut turn = 0;
                while let Some(delivery) = deliveries.recv().await {
                    // The network and the phone.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    world.deliver(delivery, &mut turn).await;
                }
            });
            Queue { last: 0, sender }
        })
    }
}

/// One replica's way into the world; may be cut.
pub struct Way {
    world: Arc<World>,
    hangs: Mutex<bool>,
    /// Who says which edges are alive, when it is not the world itself.
    members: Option<Arc<dyn Edges>>,
}

/// Legs that nobody asks.
pub struct NoLegs;

#[async_trait]
impl cluster_api::edge::v1::legs_server::Legs for NoLegs {
    async fn carry(&self, _: Request<CarryRequest>) -> Result<tonic::Response<CarryResponse>, Status> {
        Err(Status::unavailable("the world carries"))
    }
}

#[async_trait]
impl Requests for NoLegs {
    async fn exchange(
        &self,
        _: Request<ExchangeRequest>,
    ) -> Result<tonic::Response<ExchangeResponse>, Status> {
        Err(Status::unavailable("the world sends"))
    }

    async fn cancel_proxied(
        &self,
        _: Request<CancelProxiedRequest>,
    ) -> Result<tonic::Response<CancelProxiedResponse>, Status> {
        Err(Status::unavailable("the world sends"))
    }
}

impl Way {
    pub fn into(world: &Arc<World>) -> Arc<Way> {
        Arc::new(Way { world: Arc::clone(world), hangs: Mutex::new(false), members: None })
    }

    /// The same, with a member list of its own.
    pub fn by(world: &Arc<World>, members: Arc<dyn Edges>) -> Arc<Way> {
        Arc::new(Way { world: Arc::clone(world), hangs: Mutex::new(false), members: Some(members) })
    }

    /// From now on nothing that this replica asks reaches an edge: it is about to die.
    pub fn cut(&self) {
        *self.hangs.lock() = true;
    }
}

#[async_trait]
impl Edges for Way {
    fn view(&self) -> Arc<EdgeView> {
        if let Some(members) = &self.members {
            return members.view();
        }
        let state = self.world.state.lock();
        let living = |life: &EdgeLife| LivingEdge { life: life.clone(), draining: false, load: 0 };
        let steady = Listed { asked: Instant::now(), steady_since: self.world.begin };
        let listed = Some(steady).filter(|_| !state.incomplete);
        Arc::new(EdgeView { edges: state.living.iter().map(living).collect(), listed })
    }

    async fn changed(&self) {
        match &self.members {
            Some(members) => members.changed().await,
            None => std::future::pending().await,
        }
    }

    fn look_again(&self) {
        let mut state = self.world.state.lock();
        let listed = state.unlisted.take();
        state.living.extend(listed);
    }

    async fn carry(&self, edge: &EdgeLife, request: CarryRequest) -> Result<CarryResponse, Status> {
        let what = format!("{} {}", request.leg_id, verb(&request));
        let hesitation = self.world.state.lock().hesitation.get(&what).copied();
        if let Some(time) = hesitation {
            tokio::time::sleep(time).await;
        }
        if *self.hangs.lock() {
            std::future::pending::<()>().await;
        }
        if !self.world.state.lock().living.contains(edge) {
            return Err(Status::unavailable("the edge is dead"));
        }
        self.world.take(edge, request);
        Ok(CarryResponse { edge_id: edge.id.clone(), edge_epoch: edge.epoch })
    }

    async fn exchange(&self, edge: &EdgeLife, request: ExchangeRequest) -> Result<ExchangeResponse, Status> {
        if !self.world.state.lock().living.contains(edge) {
            return Err(Status::unavailable("the edge is dead"));
        }
        if *self.hangs.lock() {
            std::future::pending::<()>().await;
        }
        let answers = self.world.answers.lock();
        let simply = || ExchangeResponse { status: 200, ..ExchangeResponse::default() };
        let answer = answers.as_ref().map_or_else(simply, |answer| answer(&request));
        drop(answers);
        self.world.exchanged.lock().push(request);
        Ok(answer)
    }

    async fn cancel_proxied(
        &self,
        edge: &EdgeLife,
        request: CancelProxiedRequest,
    ) -> Result<CancelProxiedResponse, Status> {
        if !self.world.state.lock().living.contains(edge) {
            return Err(Status::unavailable("the edge is dead"));
        }
        self.world.cancelled.lock().push(request);
        Ok(CancelProxiedResponse {})
    }
}

fn verb(request: &CarryRequest) -> String {
    match request.what.as_ref().expect("an effect says what to do") {
        What::Send(send) => send.method.clone(),
        What::Cancel(_) => "CANCEL".to_owned(),
        What::Respond(respond) => respond.status.to_string(),
        What::Release(_) => "release".to_owned(),
    }
}

/// What the phone that is called does about a request.
fn phone(send: &SendRequest, effect: u64) -> Vec<Seen> {
    let user = send.to_uri.trim_start_matches("sip:");
    match send.method.as_str() {
        "ACK" => Vec::new(),
        "INVITE" if user.starts_with("mute") || send.request_uri.contains("@silent.") => Vec::new(),
        "INVITE" if user.starts_with("stubborn") && !send.to_tag.is_empty() => {
            vec![response(send, effect, 488, None)]
        }
        "INVITE" if user.starts_with("busy") => vec![response(send, effect, 486, None)],
        "INVITE" if user.starts_with("ring") => vec![response(send, effect, 180, None)],
        "INVITE" if send.to_tag.is_empty() => {
            vec![response(send, effect, 180, None), response(send, effect, 200, Some(session(send)))]
        }
        "INVITE" => vec![response(send, effect, 200, Some(session(send)))],
        "REFER" if user.starts_with("nimble") => {
            vec![response(send, effect, 200, None), told(send, 1, "100 Trying"), told(send, 2, "200 OK")]
        }
        _ => vec![response(send, effect, 200, None)],
    }
}

/// NOTIFY about a REFER.
fn told(refer: &SendRequest, cseq: u32, line: &str) -> Seen {
    let header = |name: &str, value: &str| Header { name: name.to_owned(), value: value.to_owned() };
    let state = if line.starts_with('1') { "active;expires=60" } else { "terminated;reason=noresource" };
    Seen::Request(cc::RequestReceived {
        transaction: format!("notify-{cseq}"),
        method: "NOTIFY".to_owned(),
        cseq,
        sip_call_id: refer.sip_call_id.clone(),
        from_tag: refer.to_tag.clone(),
        to_tag: refer.from_tag.clone(),
        contact: "sip:phone@192.0.2.1:5060".to_owned(),
        headers: vec![header("Event", "refer"), header("Subscription-State", state)],
        body: Some(Body {
            content_type: "message/sipfrag".to_owned(),
            content: format!("SIP/2.0 {line}\r\n").into(),
            ..Body::default()
        }),
        ..cc::RequestReceived::default()
    })
}

fn ends(happenings: &[Seen]) -> bool {
    happenings.iter().any(|seen| matches!(seen, Seen::Response(response) if response.status >= 200))
}

fn response(to: &SendRequest, effect: u64, status: u32, body: Option<Body>) -> Seen {
    let nimble = to.to_uri.starts_with("sip:nimble").then_some("REFER");
    let allow = ["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS"].into_iter().chain(nimble);
    Seen::Response(cc::ResponseReceived {
        effect,
        status,
        reason: "as played".to_owned(),
        method: to.method.clone(),
        cseq: to.cseq,
        to_tag: if to.to_tag.is_empty() {
            format!("tag-{}", to.sip_call_id.replace('@', "-"))
        } else {
            to.to_tag.clone()
        },
        contact: "sip:phone@192.0.2.1:5060".to_owned(),
        allow: allow.map(String::from).collect(),
        body,
        ..cc::ResponseReceived::default()
    })
}

/// An answer with a port for each media line of the offer, or an offer of audio.
fn session(to: &SendRequest) -> Body {
    let mut text = "v=0\r\no=phone 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n".to_owned();
    match &to.body {
        None => text.push_str("m=audio 4000 RTP/AVP 0\r\n"),
        Some(offer) => {
            let offer = std::str::from_utf8(&offer.content).expect("an SDP is text");
            for line in offer.lines().filter(|line| line.starts_with("m=")) {
                let mut words: Vec<&str> = line.split(' ').collect();
                words[1] = "4000";
                text.push_str(&words.join(" "));
                text.push_str("\r\n");
            }
        }
    }
    Body {
        content_type: "application/sdp".to_owned(),
        content_disposition: String::new(),
        content: text.into_bytes().into(),
    }
}
