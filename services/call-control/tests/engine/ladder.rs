//! The test's side of the wire: it carries every effect at once, says what the phones say, and writes the ladder down.

use std::collections::HashMap;
use std::time::Duration;

use call_control::Config;
use call_control::engine::call::{Call, EdgeRef, Flow, NewCall, Party, Policy};
use call_control::engine::claim::takers::Takers;
use call_control::engine::claim::whose::Named;
use call_control::engine::conference::Mixing;
use call_control::engine::effect::{Body, Effect, Header, SendRequest, What};
use call_control::engine::event::{
    CallReceived, Carried, Command, EdgeEvent, Event, FailureCause, LegEvent, Method, RequestFailed,
    RequestReceived, ResponseReceived, Target,
};
use call_control::engine::report::CallEvent;
use call_control::engine::time::Moment;
use call_control::engine::transfer::record::Tell;
use call_control::engine::{
    Context, Credential, DueChange, NewAnchored, Redirects, Step, StepError, create, receive, step,
};
use call_control::record;

use crate::draw;

mod words;

use words::phrase;
pub use words::sdp;

/// One call, its phones and the ladder so far.
#[derive(Clone)]
pub struct Ladder {
    pub call: Call,
    pub now: Moment,
    pub context: Context,
    pub lines: Vec<String>,
    pub sent: Vec<(String, u64, SendRequest)>,
    pub effects: Vec<Effect>,
    pub told: Vec<CallEvent>,
    pub due: Option<Moment>,
    pub edge: (String, u64),
    pub finished: bool,
    /// No edge takes anything on.
    pub edges_away: bool,
    /// What REFER leads to is nothing that its sender may call.
    pub denied: bool,
    /// The call whose leg the Replaces of REFER names.
    pub replaces_in: String,
    is_focus: bool,
    numbers: HashMap<(String, u64), u64>,
    /// The method of each transaction that a phone began.
    pub transactions: HashMap<String, String>,
    peer_cseq: HashMap<String, u32>,
}

/// What a phone answers.
pub struct Answer(ResponseReceived);

impl Answer {
    pub fn new(status: u32) -> Answer {
        let allow = ["INVITE", "ACK", "BYE", "CANCEL", "UPDATE", "PRACK"].map(String::from).to_vec();
        Answer(ResponseReceived {
            status,
            allow,
            reason: phrase(status).into(),
            ..ResponseReceived::default()
        })
    }

    pub fn tag(mut self, tag: &str) -> Answer {
        self.0.to_tag = tag.into();
        self
    }

    pub fn sdp(mut self, sdp: &str) -> Answer {
        self.0.body = Some(Body::sdp(sdp.as_bytes().to_vec()));
        self
    }

    pub fn reliable(mut self, rseq: u32) -> Answer {
        self.0.rseq = Some(rseq);
        self.0.require = vec!["100rel".into()];
        self
    }

    pub fn allow(mut self, methods: &[&str]) -> Answer {
        self.0.allow = methods.iter().map(|method| method.to_string()).collect();
        self
    }

    pub fn accept(mut self, types: &[&str]) -> Answer {
        self.0.accept = types.iter().map(|one| one.to_string()).collect();
        self
    }

    pub fn contacts(mut self, contacts: &[&str]) -> Answer {
        self.0.contacts = contacts.iter().map(|one| one.to_string()).collect();
        self
    }

    pub fn challenge(mut self, value: &str) -> Answer {
        self.0.challenges.push(value.into());
        self
    }

    pub fn retry_after(mut self, seconds: u32) -> Answer {
        self.0.retry_after = Some(seconds);
        self
    }

    pub fn record_route(mut self, routes: &[&str]) -> Answer {
        self.0.record_route = routes.iter().map(|one| one.to_string()).collect();
        self
    }

    pub fn contact(mut self, uri: &str) -> Answer {
        self.0.contact = uri.into();
        self
    }

    pub fn supported(mut self, tags: &[&str]) -> Answer {
        self.0.supported = tags.iter().map(|tag| tag.to_string()).collect();
        self
    }

    /// The edge says that a number is lent, and who has it.
    pub fn callee(mut self, uri: &str) -> Answer {
        self.0.callee = uri.into();
        self
    }

    /// Without reason phrase.
    pub fn unsaid(mut self) -> Answer {
        self.0.reason.clear();
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Answer {
        self.0.headers.push(Header::new(name, value));
        self
    }
}

impl From<u32> for Answer {
    fn from(status: u32) -> Answer {
        Answer::new(status)
    }
}

impl Ladder {
    /// A call between alice and bob.
    pub fn dial(flow: Flow) -> Ladder {
        Ladder::dial_with(flow, |_| {})
    }

    /// The same with changed policy.
    pub fn dial_with(flow: Flow, change: impl FnOnce(&mut Policy)) -> Ladder {
        Ladder::dial_to("sip:alice@example.com", "sip:bob@example.com", flow, change)
    }

    /// The same between any two.
    pub fn dial_to(from: &str, to: &str, flow: Flow, change: impl FnOnce(&mut Policy)) -> Ladder {
        Ladder::begin(from, to, flow, change, None)
    }

    /// The same call under another id, between two that are connected.
    pub fn connected(call_id: &str) -> Ladder {
        let mut t =
            Ladder::begin_as(call_id, "sip:alice@example.com", "sip:bob@example.com", Flow::Iv, |_| {}, None);
        t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
        t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
        t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
        t.lines.clear();
        t
    }

    /// A call of which no edge takes anything on, while these are there.
    pub fn dial_untaken(flow: Flow, edges: Vec<EdgeRef>) -> Ladder {
        Ladder::begin("sip:alice@example.com", "sip:bob@example.com", flow, |_| {}, Some(edges))
    }

    fn begin(
        from: &str,
        to: &str,
        flow: Flow,
        change: impl FnOnce(&mut Policy),
        untaken_by: Option<Vec<EdgeRef>>,
    ) -> Ladder {
        Ladder::begin_as("call-1", from, to, flow, change, untaken_by)
    }

    fn begin_as(
        call_id: &str,
        from: &str,
        to: &str,
        flow: Flow,
        change: impl FnOnce(&mut Policy),
        untaken_by: Option<Vec<EdgeRef>>,
    ) -> Ladder {
        let party = |uri: &str| Party { uri: uri.into(), ..Party::default() };
        let mut policy = policy();
        change(&mut policy);
        let new = NewCall {
            call_id: call_id.into(),
            flow,
            from: party(from),
            to: party(to),
            policy,
            headers: Vec::new(),
            metadata: HashMap::new(),
            seed: vec![42; 16],
            callback_id: String::new(),
        };
        let context = context(untaken_by.clone().unwrap_or_default());
        let made = create(new, START, &context);
        Ladder::over(made, context, untaken_by.is_some())
    }

    /// A call that alice's phone made.
    pub fn called(invite: CallReceived, change: impl FnOnce(&mut Policy)) -> Ladder {
        let mut context = context(Vec::new());
        let mixers = vec!["sip:mix1.example.com".into(), "sip:mix2.example.com".into()];
        context.mixing = Mixing { mixers, factory: "conference".into(), ..Mixing::default() };
        Ladder::called_about("in-1", invite, Named::Nobody, change, context)
    }

    /// A call with this id whose INVITE names a dialog of another one.
    pub fn claiming(call_id: &str, invite: CallReceived, named: Named, takers: Takers) -> Ladder {
        let context = Context { takers, ..context(Vec::new()) };
        Ladder::called_about(call_id, invite, named, |policy| policy.session_expires_s = 0, context)
    }

    fn called_about(
        call_id: &str,
        invite: CallReceived,
        named: Named,
        change: impl FnOnce(&mut Policy),
        context: Context,
    ) -> Ladder {
        let mut policy = policy();
        change(&mut policy);
        let new = NewAnchored { call_id: call_id.into(), policy, seed: vec![42; 16], named };
        let first = EdgeEvent {
            edge_id: "e1".into(),
            edge_epoch: 7,
            number: 1,
            leg_id: "a".into(),
            time: START,
            flow: "flow".into(),
            what: LegEvent::Incoming(Box::new(invite.clone())),
        };
        let made = receive(new, &first, START, &context).expect("a call begins");
        let mut ladder = Ladder::empty(&made, context, false);
        ladder.numbers.insert(ladder.edge.clone(), 1);
        ladder.transactions.insert(invite.transaction.clone(), "INVITE".into());
        ladder.lines.push(format!("A>C INVITE{}", draw::body(invite.body.as_ref())));
        ladder.commit(made);
        let again = step(&ladder.call, &Event::Leg(first), START, &ladder.context).expect("no error");
        assert!(again.unchanged, "the INVITE was delivered again");
        ladder
    }

    fn over(made: Step, context: Context, edges_away: bool) -> Ladder {
        let mut ladder = Ladder::empty(&made, context, edges_away);
        ladder.commit(made);
        ladder
    }

    fn empty(made: &Step, context: Context, edges_away: bool) -> Ladder {
        Ladder {
            call: made.call.clone(),
            now: START,
            context,
            lines: Vec::new(),
            sent: Vec::new(),
            effects: Vec::new(),
            told: Vec::new(),
            due: None,
            edge: ("e1".into(), 7),
            finished: false,
            edges_away,
            denied: false,
            replaces_in: String::new(),
            is_focus: false,
            numbers: HashMap::new(),
            transactions: HashMap::new(),
            peer_cseq: HashMap::new(),
        }
    }

    /// The phone answers the last request of this method on the leg.
    pub fn reply(&mut self, leg: &str, method: &str, answer: impl Into<Answer>) {
        let Answer(mut response) = answer.into();
        let (effect, request) = self.last(leg, method);
        response.effect = effect;
        response.method = method.into();
        response.cseq = request.cseq;
        if response.to_tag.is_empty() {
            response.to_tag = if request.to_tag.is_empty() { format!("{leg}1") } else { request.to_tag };
        }
        if response.contact.is_empty() {
            response.contact = format!("sip:{}@phone.example", response.to_tag);
        }
        let mut line = format!("{}>C {} {method}", leg.to_uppercase(), response.status);
        line.push_str(&draw::body(response.body.as_ref()));
        if response.to_tag != format!("{leg}1") && response.status > 100 && request_is_first(method) {
            line.push_str(&format!(" (tag {})", response.to_tag));
        }
        if let Some(rseq) = response.rseq {
            line.push_str(&format!(" RSeq {rseq}"));
        }
        self.lines.push(line);
        self.event(leg, LegEvent::Response(response));
    }

    /// The phone answers an earlier request, which was this effect.
    pub fn answer_to(&mut self, leg: &str, effect: u64, status: u32) {
        let at = self.sent.iter().position(|(on, number, _)| on == leg && *number == effect);
        let earlier = self.sent[at.expect("it was sent")].clone();
        let method = earlier.2.method.clone();
        self.sent.push(earlier);
        self.reply(leg, &method, status);
    }

    /// The last request of this method on the leg ends without a response.
    pub fn silence(&mut self, leg: &str, method: &str, cause: FailureCause) {
        let (effect, _) = self.last(leg, method);
        self.lines.push(format!("{}>C nothing to {method}: {cause:?}", leg.to_uppercase()));
        self.event(leg, LegEvent::Failed(RequestFailed { effect, method: method.into(), cause }));
    }

    /// The phone sends a request in its dialog; returns the transaction's handle.
    pub fn request(&mut self, leg: &str, method: &str, sdp: Option<&str>) -> String {
        let body = sdp.map(|sdp| Body::sdp(sdp.as_bytes().to_vec()));
        self.request_with(leg, method, body, Vec::new())
    }

    /// The same with any body and headers.
    pub fn request_with(
        &mut self,
        leg: &str,
        method: &str,
        body: Option<Body>,
        headers: Vec<Header>,
    ) -> String {
        let on = self.call.legs.iter().find(|on| on.leg_id == leg).expect("the leg");
        let cseq = self.peer_cseq.entry(leg.to_owned()).or_insert(100);
        *cseq += 1;
        let transaction = format!("{leg}-{cseq}");
        let tags = |name| {
            let named = headers.iter().filter(move |header| header.name == name);
            named.flat_map(|header| header.value.split(", ")).map(str::to_owned).collect()
        };
        let contact = headers.iter().find(|header| header.name == "Contact");
        let contact = contact.map(|header| header.value.clone()).unwrap_or_default();
        let request = RequestReceived {
            contact,
            is_denied: self.denied,
            replaces_in: self.replaces_in.clone(),
            require: tags("Require"),
            supported: tags("Supported"),
            transaction: transaction.clone(),
            method: method.into(),
            cseq: *cseq,
            sip_call_id: on.sip_call_id.clone(),
            from_tag: on.remote_tag.clone(),
            to_tag: on.local_tag.clone(),
            headers,
            body,
            is_focus: self.is_focus,
            ..RequestReceived::default()
        };
        self.lines.push(format!("{}>C {method}{}", leg.to_uppercase(), draw::body(request.body.as_ref())));
        self.transactions.insert(transaction.clone(), method.to_owned());
        self.event(leg, LegEvent::Request(request));
        transaction
    }

    /// The phone sends a request outside the dialog of its leg, or in one beside it.
    pub fn request_aside(&mut self, leg: &str, request: RequestReceived) {
        self.lines.push(format!("{}>C {} (aside)", leg.to_uppercase(), request.method));
        self.transactions.insert(request.transaction.clone(), request.method.clone());
        self.event(leg, LegEvent::Request(request));
    }

    /// The phone cancels its request.
    pub fn cancel(&mut self, leg: &str, transaction: &str) {
        self.lines.push(format!("{}>C CANCEL", leg.to_uppercase()));
        self.event(leg, LegEvent::Cancel { transaction: transaction.into(), reason: Vec::new() });
    }

    /// The phone offers, with a Contact that says whether it mixes.
    pub fn request_of_focus(&mut self, leg: &str, sdp: &str, is_focus: bool) -> String {
        let contact = format!("sip:{leg}1@phone.example");
        let body = Some(Body::sdp(sdp.as_bytes().to_vec()));
        self.is_focus = is_focus;
        let transaction = self.request_with(leg, "INVITE", body, vec![Header::new("Contact", contact)]);
        self.is_focus = false;
        transaction
    }

    /// The phone acknowledges a reliable provisional response of ours.
    pub fn prack(&mut self, leg: &str, rack: &str, sdp: Option<&str>) -> String {
        let on = self.call.legs.iter().find(|on| on.leg_id == leg).expect("the leg");
        let cseq = self.peer_cseq.entry(leg.to_owned()).or_insert(100);
        *cseq += 1;
        let transaction = format!("{leg}-{cseq}");
        let request = RequestReceived {
            transaction: transaction.clone(),
            method: "PRACK".into(),
            cseq: *cseq,
            sip_call_id: on.sip_call_id.clone(),
            from_tag: on.remote_tag.clone(),
            to_tag: on.local_tag.clone(),
            rack: Some(rack.into()),
            body: sdp.map(|sdp| Body::sdp(sdp.as_bytes().to_vec())),
            ..RequestReceived::default()
        };
        self.lines.push(format!("{}>C PRACK{}", leg.to_uppercase(), draw::body(request.body.as_ref())));
        self.transactions.insert(transaction.clone(), "PRACK".into());
        self.event(leg, LegEvent::Request(request));
        transaction
    }

    /// The next request of the phone has this CSeq number.
    pub fn count_on(&mut self, leg: &str, cseq: u32) {
        self.peer_cseq.insert(leg.to_owned(), cseq - 1);
    }

    /// The phone acknowledges our 2xx.
    pub fn ack(&mut self, leg: &str, transaction: &str, sdp: Option<&str>) {
        let body = sdp.map(|sdp| Body::sdp(sdp.as_bytes().to_vec()));
        self.lines.push(format!("{}>C ACK{}", leg.to_uppercase(), draw::body(body.as_ref())));
        self.event(leg, LegEvent::Ack { transaction: transaction.into(), cseq: 0, body });
    }

    /// The application wishes something.
    pub fn command(&mut self, command: Command) -> Result<(), StepError> {
        self.lines.push(format!("API {command:?}").replace(", music: \"\"", ""));
        self.take(&Event::Command(command))
    }

    /// The application leads the party of a leg elsewhere.
    pub fn transfer(&mut self, leg: &str, target: Target) -> Result<(), StepError> {
        self.transfer_by(leg, target, Method::Reinvite)
    }

    /// The same, in this way.
    pub fn transfer_by(&mut self, leg: &str, target: Target, method: Method) -> Result<(), StepError> {
        self.lines.push(format!("API transfer {leg}"));
        self.take(&Event::Command(Command::Transfer { leg_id: leg.into(), target, method }))
    }

    /// What the call has told other calls and they have not heard.
    pub fn tells(&mut self) -> Vec<Tell> {
        let told = |effect: &Effect| match &effect.what {
            Some(What::Tell(tell)) => Some(tell.clone()),
            _ => None,
        };
        let tells = self.effects.iter().filter_map(told).collect();
        self.effects.retain(|effect| !matches!(effect.what, Some(What::Tell(_))));
        tells
    }

    /// Time passes; what falls due happens.
    pub fn wait(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(due) = self.due.filter(|due| *due <= until) {
            self.lines.push(format!("... {} ms", (due - self.now).as_millis()));
            self.now = due;
            self.take(&Event::Due).expect("a due event is always taken");
        }
        self.now = until;
    }

    /// An edge dies.
    pub fn lose_edge(&mut self, edge_id: &str, edge_epoch: u64) {
        self.lines.push(format!("edge {edge_id} is lost"));
        self.take(&Event::EdgeLost { edge_id: edge_id.into(), edge_epoch }).expect("a loss is always taken");
    }

    /// Compares everything since the last comparison with the golden text, line by line without indentation.
    #[track_caller]
    pub fn expect(&mut self, golden: &str) {
        let golden: Vec<&str> = golden.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let seen = std::mem::take(&mut self.lines);
        assert_eq!(seen, golden, "\nthe ladder was\n{}\n", seen.join("\n"));
    }

    /// Gives an event of a leg, from the present edge.
    pub fn event(&mut self, leg: &str, what: LegEvent) {
        let number = self.numbers.entry(self.edge.clone()).or_insert(0);
        *number += 1;
        let event = Event::Leg(EdgeEvent {
            edge_id: self.edge.0.clone(),
            edge_epoch: self.edge.1,
            number: *number,
            leg_id: leg.into(),
            time: self.now,
            flow: "flow".into(),
            what,
        });
        self.take(&event).expect("events come in order");
        let again = step(&self.call, &event, self.now, &self.context).expect("a duplicate is no error");
        assert!(
            again.unchanged && again.effects.is_empty() && again.events.is_empty(),
            "a duplicate did something"
        );
    }

    pub fn take(&mut self, event: &Event) -> Result<(), StepError> {
        let taken = step(&self.call, event, self.now, &self.context)?;
        self.commit(taken);
        Ok(())
    }

    fn commit(&mut self, taken: Step) {
        let stored = record::encode(&taken.call);
        self.call = record::decode(&stored).expect("a record is readable");
        assert_eq!(self.call, taken.call, "the record keeps everything");
        match taken.due {
            DueChange::Keep => {}
            DueChange::At(at) => self.due = Some(at),
            DueChange::Clear => self.due = None,
        }
        self.finished = taken.finished;
        for event in &taken.events {
            let leg = event.leg_id.as_deref().map(|leg| format!(" {leg}")).unwrap_or_default();
            let status = if event.sip_status == 0 { String::new() } else { format!(" {}", event.sip_status) };
            self.lines.push(format!("! {:?}{leg}{status}", event.kind));
        }
        self.told.extend(taken.events);
        for effect in taken.effects {
            self.carry(effect);
        }
    }

    fn carry(&mut self, effect: Effect) {
        let what = effect.what.as_ref().expect("an effect does something");
        let method_of =
            |transaction: &str| self.transactions.get(transaction).cloned().expect("a known transaction");
        let to = match what {
            What::Tell(tell) => format!("({})", tell.call_id),
            What::Roster(_) => "(roster)".to_owned(),
            _ => effect.leg_id.to_uppercase(),
        };
        self.lines.push(format!("C>{to} {}", draw::what(what, method_of)));
        if let What::Send(request) = what {
            self.sent.push((effect.leg_id.clone(), effect.number, request.clone()));
        }
        self.effects.push(effect.clone());
        if self.edges_away {
            return;
        }
        let (edge_id, edge_epoch) = self.edge.clone();
        let carried = Event::Carried(Carried { effect: effect.number, edge_id, edge_epoch });
        self.take(&carried).expect("carrying is always taken");
    }

    /// The last request of this method on the leg.
    #[track_caller]
    pub fn last(&self, leg: &str, method: &str) -> (u64, SendRequest) {
        let found = self.sent.iter().rev().find(|(on, _, request)| on == leg && request.method == method);
        let (_, effect, request) = found.unwrap_or_else(|| panic!("no {method} was sent on leg {leg}"));
        (*effect, request.clone())
    }
}

const START: Moment = Moment::from_millis(1_700_000_000_000);

fn policy() -> Policy {
    let config = Config {
        controller_uri: "sip:controller@example.com".into(),
        controller_name: "controller".into(),
        host: "192.0.2.1".into(),
        ..Config::default()
    };
    config.policy()
}

fn context(edges: Vec<EdgeRef>) -> Context {
    let (realm, username, password) = ("example.com".into(), "carillon".into(), "secret".into());
    let credentials = vec![Credential { realm, username, password }];
    let callback_user = "callback".into();
    Context { credentials, edges, redirects: Redirects::Anywhere, callback_user, ..Context::default() }
}

fn request_is_first(method: &str) -> bool {
    method == "INVITE"
}
