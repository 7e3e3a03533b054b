//! The world of one run: time, the shell with its faults, and what phones decide to do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use call_control::engine::call::{Call, EdgeRef, Flow, NewCall, Party, Policy};
use call_control::engine::effect::{Effect, SendRequest, What};
use call_control::engine::event::{
    Carried, Command, EdgeEvent, Event, FailureCause, LegEvent, RequestFailed, RequestReceived,
    ResponseReceived,
};
use call_control::engine::time::Moment;
use call_control::engine::{Context, Credential, DueChange, Step, StepError, create, step};
use call_control::record;

use super::edge::{Edge, Invite};
use super::phone::{Phone, State, lines_of};

const START_MS: u64 = 1_700_000_000_000;
const TRANSACTION_MS: u64 = 32_000;
/// After this time the application hangs up, if it has not before.
const HANGUP_MS: u64 = 150_000;
/// A run that is not over by then never is.
const LIMIT_MS: u64 = 900_000;

/// Chance with a seed (SplitMix64).
pub struct Chance(u64);

impl Chance {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Something that will happen.
enum Todo {
    /// The shell carries what is in the outbox.
    Carry,
    /// An edge delivers its next event.
    Deliver(usize),
    /// The call's due time.
    Due,
    /// A request of the engine reaches the phones.
    Arrive {
        edge: usize,
        effect: u64,
        leg: usize,
        request: Box<SendRequest>,
    },
    /// CANCEL reaches the phones.
    Cancelled {
        edge: usize,
        invite: u64,
    },
    /// A phone takes the next step of its plan for the INVITE.
    Plan {
        phone: usize,
        steps: Vec<Saying>,
    },
    /// A response reaches the edge.
    Response {
        edge: usize,
        leg: usize,
        response: Box<ResponseReceived>,
    },
    /// A request ends without a response.
    Silence {
        edge: usize,
        leg: usize,
        effect: u64,
        method: String,
        cause: FailureCause,
    },
    /// A response of the engine reaches the phone.
    Answer {
        transaction: String,
        status: u32,
        body: bool,
    },
    /// A phone that is up does something of its own.
    Idle(usize),
    /// The application hangs up.
    Command(Command),
    /// An edge dies, and later the shell learns of it.
    Die(usize),
    Lost(usize),
}

/// One step of a phone's plan.
#[derive(Clone, Copy, Debug)]
enum Saying {
    Provisional { status: u32, is_reliable: bool, is_offering: bool },
    Final(u32),
}

pub struct World {
    pub call: Call,
    pub phones: Vec<Phone>,
    pub history: Vec<String>,
    pub is_finished: bool,
    /// Tags of which the engine has committed a response.
    pub heard: BTreeSet<String>,
    now: u64,
    chance: Chance,
    context: Context,
    edges: Vec<Edge>,
    agenda: BTreeMap<(u64, u64), Todo>,
    count: u64,
    due: Option<u64>,
    adapted: u32,
    last_arrival: [u64; 2],
}

impl World {
    pub fn new(seed: u64, flow: Flow) -> World {
        let mut chance = Chance(seed);
        let party = |name: &str| Party { uri: format!("sip:{name}@example.com"), ..Party::default() };
        let mut policy = Policy::new("sip:c@example.com", "c", "192.0.2.1");
        policy.inactive_first = chance.percent(20);
        policy.patient = chance.percent(20);
        policy.parallel = chance.percent(20);
        policy.session_expires_s = 0;
        policy.max_duration_ms = if chance.percent(10) { 40_000 } else { 0 };
        let new = NewCall {
            call_id: format!("call-{seed}"),
            flow,
            from: party("alice"),
            to: party("bob"),
            policy,
            headers: Vec::new(),
            metadata: HashMap::new(),
            seed: seed.to_be_bytes().repeat(2),
        };
        let credential =
            Credential { realm: "example.com".into(), username: "c".into(), password: "secret".into() };
        let edge = |id: &str, epoch| EdgeRef { edge_id: id.into(), edge_epoch: epoch };
        let context = Context { credentials: vec![credential], edges: vec![edge("e1", 1), edge("e2", 2)] };
        let made = create(new, Moment::from_millis(START_MS), &context);
        let mut world = World {
            call: made.call.clone(),
            phones: Vec::new(),
            history: vec![format!("seed {seed} {flow:?}")],
            is_finished: false,
            heard: BTreeSet::new(),
            now: 0,
            chance,
            context,
            edges: vec![Edge::new("e1", 1), Edge::new("e2", 2)],
            agenda: BTreeMap::new(),
            count: 0,
            due: None,
            adapted: 0,
            last_arrival: [0; 2],
        };
        world.commit(made);
        let hang_up = if world.chance.percent(30) { world.chance.below(HANGUP_MS) } else { HANGUP_MS };
        world.at(hang_up, Todo::Command(Command::Hangup { reason: String::new() }));
        if world.chance.percent(25) {
            let death = world.chance.below(40_000);
            let edge = world.chance.below(2) as usize;
            world.at(death, Todo::Die(edge));
        }
        if world.chance.percent(40) {
            let (hold, resume) = (8_000 + world.chance.below(20_000), 20_000 + world.chance.below(40_000));
            world.at(hold, Todo::Command(Command::Hold));
            world.at(resume, Todo::Command(Command::Unhold));
        }
        world
    }

    /// Lets everything happen.
    pub fn run(&mut self) {
        while let Some(((at, _), todo)) = self.agenda.pop_first() {
            if at > LIMIT_MS {
                return;
            }
            self.now = at;
            self.happen(todo);
        }
    }

    fn happen(&mut self, todo: Todo) {
        match todo {
            Todo::Carry => self.carry(),
            Todo::Deliver(edge) => self.deliver(edge),
            Todo::Due => {
                if self.due.is_some_and(|due| due <= self.now) {
                    self.take(&Event::Due);
                    if self.due.is_some_and(|due| due <= self.now) {
                        self.after(10, Todo::Due);
                    }
                }
            }
            Todo::Arrive { edge, effect, leg, request } => self.arrive(edge, effect, leg, *request),
            Todo::Cancelled { edge, invite } => self.cancelled(edge, invite),
            Todo::Plan { phone, steps } => self.follow_plan(phone, steps),
            Todo::Response { edge, leg, response } => self.response(edge, leg, *response),
            Todo::Silence { edge, leg, effect, method, cause } => {
                if let Some(invite) = self.edges[edge].invites.get_mut(&effect) {
                    if invite.is_final || (invite.is_provisional && !invite.is_cancelled) {
                        return;
                    }
                    invite.is_final = true;
                }
                self.tell(edge, leg, LegEvent::Failed(RequestFailed { effect, method, cause }));
            }
            Todo::Answer { transaction, status, body } => self.answered(&transaction, status, body),
            Todo::Idle(phone) => self.idle(phone),
            Todo::Command(command) => {
                let event = Event::Command(command.clone());
                match step(&self.call, &event, self.moment(), &self.context) {
                    Ok(taken) => {
                        self.log(format!("API {command:?}"));
                        self.commit(taken);
                    }
                    Err(StepError::WrongState) => {}
                    Err(other) => panic!("{command:?}: {other}"),
                }
            }
            Todo::Die(edge) => self.die(edge),
            Todo::Lost(edge) => {
                let (edge_id, edge_epoch) = (self.edges[edge].id.clone(), self.edges[edge].epoch);
                self.log(format!("edge {edge_id} is lost"));
                self.context.edges.retain(|edge| edge.edge_id != edge_id);
                self.take(&Event::EdgeLost { edge_id, edge_epoch });
            }
        }
    }

    // The shell

    fn carry(&mut self) {
        let outbox = self.call.outbox.clone();
        let mut blocked: BTreeSet<String> = BTreeSet::new();
        for effect in outbox {
            if blocked.contains(&effect.leg_id)
                || !self.call.outbox.iter().any(|now| now.number == effect.number)
            {
                continue;
            }
            let effect =
                self.call.outbox.iter().find(|now| now.number == effect.number).cloned().unwrap_or(effect);
            if self.chance.percent(8) {
                blocked.insert(effect.leg_id.clone()); // the replica crashes, another one takes over later
                continue;
            }
            let Some(edge) = self.edge_for(&effect) else {
                blocked.insert(effect.leg_id.clone());
                continue;
            };
            let is_new = !self.edges[edge].known.contains(&effect.number);
            if is_new && !effect.is_bound_to_edge() && self.chance.percent(1) {
                self.log(format!("no edge takes effect {}", effect.number));
                self.take(&Event::NotCarried { effect: effect.number });
                blocked.insert(effect.leg_id.clone()); // what follows on the leg keeps its place
                continue;
            }
            self.take_on(edge, &effect);
            if self.chance.percent(8) {
                blocked.insert(effect.leg_id.clone()); // the confirmation is lost, it is carried again later
                continue;
            }
            let (edge_id, edge_epoch) = (self.edges[edge].id.clone(), self.edges[edge].epoch);
            self.take(&Event::Carried(Carried { effect: effect.number, edge_id, edge_epoch }));
        }
        if !self.call.outbox.is_empty() {
            self.after(300, Todo::Carry);
        }
    }

    /// The edge that the effect names, when it lives.
    fn edge_for(&self, effect: &Effect) -> Option<usize> {
        self.edges
            .iter()
            .position(|edge| edge.is_alive && edge.id == effect.edge_id && edge.epoch == effect.edge_epoch)
    }

    fn deliver(&mut self, edge: usize) {
        let Some(event) = self.edges[edge].events.front().cloned() else { return };
        if !self.edges[edge].is_alive {
            return;
        }
        let is_new = |event: &EdgeEvent| {
            let seen = self.call.seen.iter().find(|seen| seen.edge_id == event.edge_id);
            event.number > 1 + seen.map_or(0, |seen| seen.number)
        };
        if let Some(second) = self.edges[edge].events.get(1).filter(|second| is_new(second)) {
            let early = step(&self.call, &Event::Leg(second.clone()), self.moment(), &self.context);
            assert!(matches!(early, Err(StepError::OutOfOrder { .. })), "an event out of order was taken");
        }
        if self.chance.percent(8) {
            return self.after(200, Todo::Deliver(edge)); // the replica dies before its commit
        }
        self.log(format!("{} {} #{} {}", event.edge_id, event.leg_id, event.number, sketch(&event.what)));
        if let LegEvent::Response(response) = &event.what {
            self.heard.insert(response.to_tag.clone());
        }
        self.take(&Event::Leg(event));
        if self.chance.percent(8) {
            self.after(200, Todo::Deliver(edge)); // the acknowledgement is lost
        } else {
            self.edges[edge].events.pop_front();
            self.after(1, Todo::Deliver(edge));
        }
    }

    fn take(&mut self, event: &Event) {
        let taken = step(&self.call, event, self.moment(), &self.context).expect("the event is taken");
        self.commit(taken);
    }

    fn commit(&mut self, taken: Step) {
        if taken.unchanged {
            assert!(taken.effects.is_empty() && taken.events.is_empty());
        }
        let stored = record::encode(&taken.call);
        self.call = record::decode(&stored).expect("a record is readable");
        assert_eq!(self.call, taken.call);
        self.is_finished = taken.finished;
        match taken.due {
            DueChange::Keep => {}
            DueChange::Clear => self.due = None,
            DueChange::At(at) => {
                let at = at.millis() - START_MS;
                self.due = Some(at);
                self.at(at.max(self.now), Todo::Due);
            }
        }
        for event in &taken.events {
            let leg = event.leg_id.as_deref().map(|leg| format!(" {leg}")).unwrap_or_default();
            self.log(format!("! {:?}{leg} /{}", event.kind, event.sip_status));
        }
        if !taken.effects.is_empty() {
            self.after(1, Todo::Carry);
        }
    }

    // The edges

    fn take_on(&mut self, edge: usize, effect: &Effect) {
        if !self.edges[edge].known.insert(effect.number) {
            return;
        }
        let leg = if effect.leg_id == "a" { 0 } else { 1 };
        let delay = 1 + self.chance.below(60);
        match effect.what.clone().expect("an effect does something") {
            What::Send(request) => {
                self.log(format!("C>{} {} {}", effect.leg_id, request.method, request.cseq));
                if request.method == "INVITE" && request.to_tag.is_empty() {
                    self.edges[edge].invites.insert(effect.number, Invite { leg, ..Invite::default() });
                }
                // In order on the way, as over a stream
                let at = (self.now + delay).max(self.last_arrival[leg] + 1);
                self.last_arrival[leg] = at;
                let request = Box::new(request);
                self.at(at, Todo::Arrive { edge, effect: effect.number, leg, request });
            }
            What::Cancel(cancel) => {
                self.log(format!("C>{} CANCEL", effect.leg_id));
                let Some(invite) = self.edges[edge].invites.get_mut(&cancel.invite_effect) else { return };
                if invite.is_provisional && !invite.is_final {
                    self.send_cancel(edge, cancel.invite_effect);
                } else {
                    invite.wants_cancel = true;
                }
            }
            What::Respond(response) => {
                self.log(format!("C>{} {} to {}", effect.leg_id, response.status, response.transaction));
                let body = response.body.is_some();
                let status = response.status;
                self.after(delay, Todo::Answer { transaction: response.transaction, status, body });
            }
            What::Release(_) => self.log(format!("C>{} released", effect.leg_id)),
        }
    }

    fn send_cancel(&mut self, edge: usize, invite: u64) {
        let Some(open) = self.edges[edge].invites.get_mut(&invite) else { return };
        if std::mem::replace(&mut open.is_cancelled, true) {
            return;
        }
        let leg = open.leg;
        let delay = 1 + self.chance.below(60);
        self.after(delay, Todo::Cancelled { edge, invite });
        let (method, cause) = ("INVITE".to_owned(), FailureCause::Timeout);
        self.after(TRANSACTION_MS, Todo::Silence { edge, leg, effect: invite, method, cause });
    }

    fn response(&mut self, edge: usize, leg: usize, response: ResponseReceived) {
        if !self.edges[edge].is_alive {
            return;
        }
        if let Some(invite) = self.edges[edge].invites.get_mut(&response.effect) {
            match response.status {
                100..=199 => {
                    invite.is_provisional = true;
                    if invite.wants_cancel && !invite.is_final {
                        self.send_cancel(edge, response.effect);
                    }
                }
                200..=299 => invite.is_final = true,
                _ if invite.is_final => return,
                _ => invite.is_final = true,
            }
        }
        self.tell(edge, leg, LegEvent::Response(response));
    }

    fn tell(&mut self, edge: usize, leg: usize, what: LegEvent) {
        if self.edges[edge].is_alive {
            let moment = self.moment();
            self.edges[edge].tell(leg, moment, what);
            self.after(1, Todo::Deliver(edge));
        }
    }

    fn die(&mut self, edge: usize) {
        self.log(format!("edge {} dies", self.edges[edge].id));
        self.edges[edge].is_alive = false;
        for phone in &mut self.phones {
            let is_open = matches!(phone.state, State::Called | State::Ringing | State::Answered);
            phone.is_orphan |= phone.edge == edge && is_open;
            for request in &mut phone.own_requests {
                request.2 = true; // the phone would ask another edge again; that is not played here
            }
        }
        self.after(500, Todo::Lost(edge));
    }

    // The phones

    fn arrive(&mut self, edge: usize, effect: u64, leg: usize, request: SendRequest) {
        if !self.edges[edge].is_alive {
            return;
        }
        if request.to_tag.is_empty() {
            return self.invited(edge, effect, leg, request);
        }
        let at = self.phones.iter().position(|phone| phone.leg == leg && phone.tag == request.to_tag);
        let Some(at) = at else { panic!("{} to nobody: {}", request.method, request.to_tag) };
        let phone = &mut self.phones[at];
        let is_dead = phone.state == State::Dead;
        if request.method == "ACK" {
            if !phone.acked.contains(&request.cseq) {
                phone.acked.push(request.cseq);
                if !is_dead && phone.state != State::Over {
                    phone.hear(request.body.as_ref());
                    phone.hear_answer(request.body.as_ref());
                }
            }
            if phone.state == State::Answered {
                phone.state = State::Up;
                let wait = 500 + self.chance.below(20_000);
                self.after(wait, Todo::Idle(at));
            }
            return;
        }
        if is_dead {
            let method = request.method.clone();
            let cause = FailureCause::Timeout;
            return self.after(TRANSACTION_MS, Todo::Silence { edge, leg, effect, method, cause });
        }
        let response = self.react(at, effect, &request);
        let Some(response) = response else {
            self.phones[at].state = State::Dead;
            let (method, cause) = (request.method.clone(), FailureCause::Timeout);
            return self.after(TRANSACTION_MS, Todo::Silence { edge, leg, effect, method, cause });
        };
        let delay = 1 + self.chance.below(300);
        self.after(delay, Todo::Response { edge, leg, response: Box::new(response) });
    }

    /// What a phone answers inside its dialog; `None` when it dies instead.
    fn react(&mut self, at: usize, effect: u64, request: &SendRequest) -> Option<ResponseReceived> {
        let chance = &mut self.chance;
        let phone = &mut self.phones[at];
        if phone.state == State::Over {
            return Some(phone.response(481, request, effect));
        }
        match request.method.as_str() {
            "BYE" => {
                phone.bye_came = true;
                phone.state = State::Over;
                Some(phone.response(200, request, effect))
            }
            "PRACK" => {
                let is_again = std::mem::replace(&mut phone.last_prack, request.cseq) == request.cseq;
                if !phone.unpracked && !is_again {
                    phone.faults.push("PRACK for nothing".into());
                }
                phone.unpracked = false;
                phone.hear(request.body.as_ref());
                phone.hear_answer(request.body.as_ref());
                let status = if chance.percent(3) { 481 } else { 200 };
                Some(phone.response(status, request, effect))
            }
            "INVITE" | "UPDATE" => {
                let is_tone = request.body.as_ref().is_some_and(|body| lines_of(body).is_none());
                if phone.state != State::Up && request.method == "INVITE" {
                    phone.faults.push(format!("re-INVITE in {:?}", phone.state));
                }
                if !is_tone {
                    phone.hear(request.body.as_ref());
                }
                if chance.percent(2) {
                    return None;
                }
                let refusal = [488, 491, 500, 504, 405, 481, 606, 603][chance.below(8) as usize];
                if chance.percent(25) {
                    if refusal == 481 {
                        phone.state = State::Over;
                    }
                    return Some(phone.response(refusal, request, effect));
                }
                let mut response = phone.response(200, request, effect);
                if request.method == "INVITE" {
                    phone.said_2xx.push(request.cseq);
                }
                response.body = match &request.body {
                    None if request.method == "INVITE" => Some(phone.offer(chance)),
                    body => phone.answer(body.as_ref(), chance),
                };
                Some(response)
            }
            _ => Some(phone.response(200, request, effect)),
        }
    }

    fn invited(&mut self, edge: usize, effect: u64, leg: usize, request: SendRequest) {
        let is_merged = self.phones.iter().any(|phone| phone.leg == leg && phone.invite.cseq == request.cseq);
        if is_merged {
            // RFC 3261 8.2.2.2: the first edge died after it had sent the INVITE on
            let phone = Phone::new(leg, format!("merged{leg}"), request.clone(), effect, edge);
            let response = Box::new(phone.response(482, &request, effect));
            return self.after(20, Todo::Response { edge, leg, response });
        }
        let forks = if self.chance.percent(15) { 2 } else { 1 };
        for _ in 0..forks {
            let at = self.phones.len();
            let tag = format!("{}{at}", ["a", "b"][leg]);
            self.phones.push(Phone::new(leg, tag, request.clone(), effect, edge));
            if let Some(invite) = self.edges[edge].invites.get_mut(&effect) {
                invite.phones.push(at);
            }
            let steps = self.plan(&request, forks);
            if steps.is_empty() {
                self.phones[at].state = State::Dead;
            }
            let wait = 1 + self.chance.below(500);
            self.after(wait, Todo::Plan { phone: at, steps });
        }
        let (method, cause) = ("INVITE".to_owned(), FailureCause::Timeout);
        self.after(TRANSACTION_MS, Todo::Silence { edge, leg, effect, method, cause });
    }

    fn plan(&mut self, invite: &SendRequest, forks: u32) -> Vec<Saying> {
        let chance = &mut self.chance;
        let mut steps = Vec::new();
        if chance.percent(3) {
            return steps; // silence
        }
        if forks == 1 && self.adapted < 3 && chance.percent(12) {
            self.adapted += 1;
            return vec![Saying::Final([401, 407, 302, 420, 488, 422][chance.below(6) as usize])];
        }
        let mut offered = invite.body.is_some();
        for _ in 0..chance.below(3) {
            let is_reliable = chance.percent(60);
            let is_offering = is_reliable && !offered && chance.percent(80);
            offered |= is_offering;
            let status = [180, 183, 181, 199][chance.below(4) as usize];
            steps.push(Saying::Provisional { status, is_reliable, is_offering });
        }
        if chance.percent(15) && !steps.is_empty() {
            return steps; // it never answers
        }
        let status =
            if chance.percent(70) { 200 } else { [486, 480, 603, 404, 500, 503][chance.below(6) as usize] };
        steps.push(Saying::Final(status));
        steps
    }

    fn follow_plan(&mut self, at: usize, mut steps: Vec<Saying>) {
        if steps.is_empty() || !matches!(self.phones[at].state, State::Called | State::Ringing) {
            return;
        }
        let phone = &mut self.phones[at];
        if phone.is_hurried && phone.unpracked {
            phone.state = State::Over;
            return;
        }
        if phone.is_hurried {
            steps = vec![Saying::Final(200)];
        }
        let (edge, leg, effect, invite) = (phone.edge, phone.leg, phone.invite_effect, phone.invite.clone());
        let step = steps[0];
        let is_reliable =
            matches!(step, Saying::Provisional { is_reliable: true, .. } | Saying::Final(200..=299));
        if phone.unpracked && is_reliable {
            // PRK-06: it waits for PRACK, and gives up after 64*T1
            return self.after(400, Todo::Plan { phone: at, steps });
        }
        steps.remove(0);
        let mut response = match step {
            Saying::Provisional { status, is_reliable, is_offering } => {
                phone.state = State::Ringing;
                let mut response = phone.response(status, &invite, effect);
                if is_reliable {
                    phone.rseq =
                        if phone.rseq == 0 { 1 + self.chance.below(1_000) as u32 } else { phone.rseq + 1 };
                    phone.unpracked = true;
                    response.rseq = Some(phone.rseq);
                    response.require = vec!["100rel".into()];
                    if is_offering {
                        response.body = Some(phone.offer(&mut self.chance));
                        phone.has_early_session = true;
                    } else if invite.body.is_some() && !phone.has_early_session && self.chance.percent(50) {
                        response.body = phone.answer(invite.body.as_ref(), &mut self.chance);
                        phone.has_early_session = true;
                    }
                } else if self.chance.percent(30) {
                    response.body = phone.answer(invite.body.as_ref(), &mut self.chance); // a preview, never counts
                }
                response
            }
            Saying::Final(status) => {
                let mut response = phone.response(status, &invite, effect);
                if status == 200 {
                    phone.state = State::Answered;
                    phone.said_2xx.push(invite.cseq);
                    if !phone.has_early_session {
                        response.body = match &invite.body {
                            Some(body) => phone.answer(Some(body), &mut self.chance),
                            None => Some(phone.offer(&mut self.chance)),
                        };
                    }
                } else {
                    phone.state = State::Over;
                }
                response
            }
        };
        match response.status {
            401 | 407 => {
                response.challenges = vec![r#"Digest realm="example.com", nonce="n", qop="auth""#.into()]
            }
            302 => response.contacts = vec![format!("<sip:other{at}@example.com>")],
            422 => response.headers = vec![call_control::engine::effect::Header::new("Min-SE", "90")],
            _ => {}
        }
        if response.status >= 200 && !self.others_agree(at, response.status) {
            return;
        }
        let delay = 1 + self.chance.below(100);
        self.after(delay, Todo::Response { edge, leg, response: Box::new(response) });
        let wait = 100 + self.chance.below(9_000);
        self.after(wait, Todo::Plan { phone: at, steps });
    }

    /// What a forking proxy does with a final response: a 2xx cancels the others (or is crossed by theirs), a refusal counts
    /// when it is the last one.
    fn others_agree(&mut self, at: usize, status: u32) -> bool {
        let (effect, edge) = (self.phones[at].invite_effect, self.phones[at].edge);
        let is_other = |phone: &Phone| phone.invite_effect == effect && phone.edge == edge;
        let others: Vec<usize> =
            (0..self.phones.len()).filter(|i| *i != at && is_other(&self.phones[*i])).collect();
        for other in others {
            let is_open = matches!(self.phones[other].state, State::Called | State::Ringing);
            if status < 300 && is_open && self.chance.percent(70) {
                self.phones[other].state = State::Over;
            } else if status < 300 && is_open {
                self.phones[other].is_hurried = true;
                let wait = self.chance.below(1_000);
                self.after(wait, Todo::Plan { phone: other, steps: vec![Saying::Final(200)] });
            } else if status >= 300 && self.phones[other].is_alive() {
                return false;
            }
        }
        true
    }

    fn cancelled(&mut self, edge: usize, invite: u64) {
        if !self.edges[edge].is_alive {
            return;
        }
        let Some(open) = self.edges[edge].invites.get(&invite) else { return };
        let (leg, phones) = (open.leg, open.phones.clone());
        let ringing: Vec<usize> = phones
            .into_iter()
            .filter(|at| matches!(self.phones[*at].state, State::Called | State::Ringing))
            .collect();
        for at in &ringing {
            self.phones[*at].state = State::Over;
        }
        if let Some(at) = ringing.first() {
            let phone = &self.phones[*at];
            let response = Box::new(phone.response(487, &phone.invite, invite));
            let delay = 1 + self.chance.below(100);
            self.after(delay, Todo::Response { edge, leg, response });
        }
    }

    fn idle(&mut self, at: usize) {
        if self.phones[at].state != State::Up {
            return;
        }
        match self.chance.below(10) {
            0..=2 => return self.hang_up(at),
            3 => self.ask(at, "INVITE"),
            4 => self.ask(at, "UPDATE"),
            5 => self.ask(at, "INFO"),
            6 if self.chance.percent(20) => self.phones[at].state = State::Dead,
            _ => {}
        }
        let wait = 500 + self.chance.below(30_000);
        self.after(wait, Todo::Idle(at));
    }

    fn hang_up(&mut self, at: usize) {
        if self.phones[at].state == State::Up {
            self.ask(at, "BYE");
            self.phones[at].state = State::Over;
        }
    }

    /// A phone sends a request inside its dialog through any living edge.
    fn ask(&mut self, at: usize, method: &str) {
        let Some(edge) = (0..2).find(|edge| self.edges[*edge].is_alive) else { return };
        let is_open = self.phones[at].own_requests.iter().any(|(_, _, is_answered)| !is_answered);
        if is_open && method != "BYE" {
            return;
        }
        let phone = &mut self.phones[at];
        phone.cseq += 1;
        let transaction = format!("{}-{}", phone.tag, phone.cseq);
        let body = match method {
            "INVITE" if self.chance.percent(30) => None,
            "INVITE" | "UPDATE" => {
                let body = phone.offer(&mut self.chance);
                phone.offer_lines = None;
                Some(body)
            }
            _ => None,
        };
        phone.own_requests.push((transaction.clone(), method.to_owned(), false));
        let request = RequestReceived {
            transaction,
            method: method.into(),
            cseq: phone.cseq,
            sip_call_id: phone.invite.sip_call_id.clone(),
            from_tag: phone.tag.clone(),
            to_tag: phone.invite.from_tag.clone(),
            body,
            ..RequestReceived::default()
        };
        let leg = phone.leg;
        self.tell(edge, leg, LegEvent::Request(request));
    }

    fn answered(&mut self, transaction: &str, status: u32, body: bool) {
        let has = |phone: &Phone| phone.own_requests.iter().any(|(known, _, _)| known == transaction);
        let at = self.phones.iter().position(has).expect("a response to a request of a phone");
        let phone = &mut self.phones[at];
        let request =
            phone.own_requests.iter_mut().find(|(known, _, _)| known == transaction).expect("just found");
        let is_again = std::mem::replace(&mut request.2, true);
        if is_again && self.edges.iter().all(|edge| edge.is_alive) {
            phone.faults.push(format!("{transaction} was answered twice"));
        }
        if status < 300 && body && matches!(request.1.as_str(), "INVITE" | "UPDATE") {
            phone.lines = phone.lines.max(phone.lines_asked);
        }
        if request.1 == "INVITE" && status < 300 {
            let Some(edge) = (0..2).find(|edge| self.edges[*edge].is_alive) else { return };
            let leg = phone.leg;
            if self.chance.percent(4) || phone.state == State::Dead {
                return self.tell(edge, leg, LegEvent::AckMissing { transaction: transaction.into() });
            }
            let answer = phone.lines;
            let mut answer = Phone::new(leg, String::new(), SendRequest::default(), 0, edge).offer_of(answer);
            if self.chance.percent(5) {
                answer = None;
            }
            self.tell(edge, leg, LegEvent::Ack { transaction: transaction.into(), cseq: 0, body: answer });
        }
    }

    // Time

    fn at(&mut self, at: u64, todo: Todo) {
        self.count += 1;
        self.agenda.insert((at, self.count), todo);
    }

    fn after(&mut self, wait: u64, todo: Todo) {
        self.at(self.now + wait, todo);
    }

    fn moment(&self) -> Moment {
        Moment::from_millis(START_MS) + Duration::from_millis(self.now)
    }

    fn log(&mut self, line: String) {
        let line = if line.starts_with('!') { line } else { format!("{:>7} {line}", self.now) };
        self.history.push(line);
    }
}

fn sketch(event: &LegEvent) -> String {
    match event {
        LegEvent::Response(response) => {
            let body = response.body.as_ref().map(|body| format!(" sdp[{}]", lines_of(body).unwrap_or(0)));
            let rseq = response.rseq.map(|rseq| format!(" RSeq {rseq}"));
            format!(
                "{} {} {} ({}){}{}",
                response.status,
                response.method,
                response.cseq,
                response.to_tag,
                body.unwrap_or_default(),
                rseq.unwrap_or_default()
            )
        }
        LegEvent::Request(request) => {
            format!(
                "{} {} ({}) sdp: {}",
                request.method,
                request.transaction,
                request.from_tag,
                request.body.is_some()
            )
        }
        other => format!("{other:?}"),
    }
}
