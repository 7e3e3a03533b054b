//! Single requests that presence, registrar and call-control have this edge send for them: NOTIFY and MESSAGE, OPTIONS and REGISTER
//! toward trunks, ALLOCATE to gateways, BYE into a forwarded dialog that is to end, SUBSCRIBE and OPTIONS to a phone that is waited for.

use std::sync::Arc;

use async_trait::async_trait;
use cluster_api::edge::v1::requests_server::Requests;
use cluster_api::edge::v1::{
    CancelProxiedRequest, CancelProxiedResponse, ExchangeRequest, ExchangeResponse, SendRequest,
};
use cluster_rpc::{Reason, Refusal};
use hashbrown::HashMap;
use sip_endpoint::{Handle, Transport};
use sip_message::{Message, Method};
use sip_proxy::Best;
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use crate::compose;
use crate::edge::{Command, Cx, Edge, Timer};
use crate::forward::branch_name::{Unique, digest};
use crate::forward::fork::NewFork;
use crate::forward::plan::only;
use crate::forward::upstream::Upstream;
use crate::refusal::{bad_field, overloaded};
use crate::report;

/// Where the answer of an exchange goes.
pub(crate) type Reply = oneshot::Sender<Result<ExchangeResponse, Status>>;

/// Exchanges that run or were answered lately, by id.
pub(crate) type Exchanges = HashMap<Arc<str>, Exchange>;

/// One exchange.
pub(crate) enum Exchange {
    /// These wait for its answer.
    Running(Vec<Reply>),
    /// It was answered; kept for those who ask again.
    Answered(Box<ExchangeResponse>),
}

/// Exchanges at once: each holds a transaction, of which an endpoint has some hundred thousand.
const MOST: usize = 100_000;

impl Edge {
    /// Sends a request; or lets the asker wait for, or have, the answer to the same one.
    pub(crate) fn exchange(&mut self, cx: &mut Cx<'_>, asked: ExchangeRequest, reply: Reply) {
        let id: Arc<str> = asked.exchange_id.as_str().into();
        match self.exchanges.get_mut(&id) {
            Some(Exchange::Running(waiting)) => return waiting.push(reply),
            Some(Exchange::Answered(answer)) => {
                // Nobody may be waiting any more.
                let _ = reply.send(Ok((**answer).clone()));
                return;
            }
            None => {}
        }
        if let Err(status) = self.begin_exchange(cx, &id, asked, reply) {
            let (reply, status) = *status;
            let _ = reply.send(Err(status));
        }
    }

    fn begin_exchange(
        &mut self,
        cx: &mut Cx<'_>,
        id: &Arc<str>,
        asked: ExchangeRequest,
        reply: Reply,
    ) -> Result<(), Box<(Reply, Status)>> {
        let new = self.new_exchange(cx, id, asked);
        match new {
            Ok((new, target)) => {
                self.exchanges.insert(id.clone(), Exchange::Running(vec![reply]));
                self.open_fork(cx, new, vec![only(target)]);
                Ok(())
            }
            Err(status) => Err(Box::new((reply, status))),
        }
    }

    fn new_exchange(
        &mut self,
        cx: &mut Cx<'_>,
        id: &Arc<str>,
        asked: ExchangeRequest,
    ) -> Result<(NewFork, crate::forward::target::Target), Status> {
        let mut send = asked.request.ok_or_else(|| bad_field("request", "a request"))?;
        if id.is_empty()
            || matches!(Method::from(send.method.as_str()), Method::Invite | Method::Ack | Method::Cancel)
        {
            return Err(bad_field(
                "exchange_id, request.method",
                "an id, and a method other than INVITE, ACK, CANCEL",
            ));
        }
        let initial = send.to_tag.is_empty();
        self.early.check(cx.now(), initial)?;
        if initial && self.deps.drain.is_draining() {
            return Err(Refusal::new(Reason::Draining, "this edge drains").into());
        }
        if !self.has_room() || self.exchanges.len() >= MOST {
            return Err(overloaded("too many requests are being forwarded"));
        }
        if send.method == "BYE"
            && let Some(target) = self.seen_target(cx, &send)
        {
            send.request_uri = target.to_owned();
        }
        let request = compose::request(&send).map_err(|error| bad_field("request", error.to_string()))?;
        let arrived = self.read_route(&request).map_err(|error| bad_field("request", error.to_string()))?;
        let target = self.own_target(cx, &send.flow, &arrived, initial);
        let new = NewFork::of_ours(
            Upstream::Exchange(Asker {
                id: id.clone(),
                trunk: send.trunk.as_str().into(),
                on_behalf_of: send.on_behalf_of.as_str().into(),
                flow: String::new(),
                contact: Contact::of(&send),
            }),
            request,
            arrived,
        );
        Ok((new, target))
    }

    /// The exchange was answered by a success.
    pub(crate) fn take_exchange_response(&mut self, cx: &mut Cx<'_>, asker: &Asker, response: &Message) {
        if response.status().is_some_and(|status| status >= 200) {
            let answer = self.exchange_response(asker, response, &[]);
            self.answer_exchange(cx, asker, answer);
        }
    }

    /// The exchange failed: by a response, or without one.
    pub(crate) fn take_exchange_failure(
        &mut self,
        cx: &mut Cx<'_>,
        asker: &Asker,
        best: Best<Message>,
        challenges: &[Message],
    ) {
        let answer = match best {
            Best::Received(response) => self.exchange_response(asker, &response, challenges),
            Best::Local(status) => ExchangeResponse {
                status: if status == 430 { 503 } else { status.into() },
                local: true,
                ..ExchangeResponse::default()
            },
        };
        self.answer_exchange(cx, asker, answer);
    }

    fn exchange_response(
        &self,
        asker: &Asker,
        response: &Message,
        challenges: &[Message],
    ) -> ExchangeResponse {
        let report = report::response(0, response, challenges);
        ExchangeResponse {
            status: report.status,
            reason: report.reason,
            local: false,
            to_tag: report.to_tag,
            contacts: report.contacts,
            record_route: report.record_route,
            challenges: report.challenges,
            headers: report::all_headers(response),
            body: report.body,
            flow: asker.flow.clone(),
        }
    }

    fn answer_exchange(&mut self, cx: &mut Cx<'_>, asker: &Asker, answer: ExchangeResponse) {
        let before = self.exchanges.insert(asker.id.clone(), Exchange::Answered(Box::new(answer.clone())));
        if let Some(Exchange::Running(waiting)) = before {
            for reply in waiting {
                let _ = reply.send(Ok(answer.clone()));
            }
        }
        let after = self.config.endpoint.transactions.timing.timeout();
        cx.set_timer(after, Timer::ForgetExchange(asker.id.clone()));
    }
}

/// On whose behalf a request is sent.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    id: Arc<str>,
    pub(crate) trunk: Arc<str>,
    /// User of ours in whose name it is sent; empty for nobody's.
    pub(crate) on_behalf_of: Arc<str>,
    /// Token of the flow by which the sender of the last response is reached.
    pub(crate) flow: String,
    contact: Contact,
}

/// What a REGISTER of ours binds, where a number leads that an ALLOCATE is to get, and where the NOTIFYs go of a SUBSCRIBE.
#[derive(Debug, Clone)]
enum Contact {
    Nothing,
    /// This user at this edge.
    User(String),
    /// What it says.
    Whole(String),
}

impl Contact {
    fn of(send: &SendRequest) -> Self {
        match (send.contact.as_str(), send.contact_user.as_str()) {
            ("", "") => Self::Nothing,
            ("", user) => Self::User(user.to_owned()),
            (whole, _) => Self::Whole(whole.to_owned()),
        }
    }
}

impl Asker {
    pub(crate) fn branch(&self, branch: u32, attempt: u32) -> Unique {
        Unique::Derived { origin: digest(self.id.as_bytes()), number: 0, branch, attempt }
    }

    /// Requests that make or refresh a subscription name presence, or who else is to get the NOTIFYs; a MESSAGE has no Contact (RFC 3428 4). That of a REGISTER
    /// stays the same for as long as this edge is reached by the same name, so that a refresh is one (RFC 3261 10.2.4).
    pub(crate) fn contact(
        &self,
        method: &Method,
        transport: Transport,
        sent_by: &str,
        mark: &str,
    ) -> Option<String> {
        match method {
            Method::Subscribe | Method::Notify | Method::Refer => Some(match &self.contact {
                Contact::User(user) => compose::subscriber_contact(user, transport, sent_by, mark),
                Contact::Nothing | Contact::Whole(_) => compose::presence_contact(transport, sent_by, mark),
            }),
            Method::Register => match &self.contact {
                Contact::Nothing => None,
                Contact::User(user) => Some(compose::registered_contact(user, transport, sent_by)),
                Contact::Whole(contact) => Some(contact.clone()),
            },
            // where a number leads that is borrowed: never here (ALLOCATE draft 3.1)
            Method::Allocate => match &self.contact {
                Contact::Nothing | Contact::User(_) => None,
                Contact::Whole(contact) => Some(contact.clone()),
            },
            _ => None,
        }
    }
}

/// `carillon.edge.v1.Requests` of one edge.
#[derive(Clone)]
pub struct RequestsService {
    pub(crate) handle: Handle<Command>,
}

#[async_trait]
impl Requests for RequestsService {
    async fn exchange(
        &self,
        request: Request<ExchangeRequest>,
    ) -> Result<Response<ExchangeResponse>, Status> {
        let (reply, answered) = oneshot::channel();
        let command = Command::Exchange(Box::new(request.into_inner()), reply);
        self.handle.send(command).map_err(|_| overloaded("too many commands wait for this edge"))?;
        answered.await.map_err(|_| ends())?.map(Response::new)
    }

    async fn cancel_proxied(
        &self,
        request: Request<CancelProxiedRequest>,
    ) -> Result<Response<CancelProxiedResponse>, Status> {
        let (reply, answered) = oneshot::channel();
        let command = Command::CancelProxied(request.into_inner(), reply);
        self.handle.send(command).map_err(|_| overloaded("too many commands wait for this edge"))?;
        answered.await.map_err(|_| ends())?.map(Response::new)
    }
}

fn ends() -> Status {
    Refusal::new(Reason::Draining, "this edge ends").into()
}
