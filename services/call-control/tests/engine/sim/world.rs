//! The world of one run: time, the shell with its faults, and what phones decide to do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use call_control::Config;
use call_control::engine::call::{Call, EdgeRef, Flow, NewCall, Party};
use call_control::engine::effect::{Body, SendRequest};
use call_control::engine::event::{
    Command, Event, FailureCause, LegEvent, Method, RequestFailed, ResponseReceived, Target,
};
use call_control::engine::time::Moment;
use call_control::engine::{Context, Credential, Redirects, StepError, create, step};

use super::edge::Edge;
use super::phone::Phone;
use super::walk::Interruption;

pub const START_MS: u64 = 1_700_000_000_000;
pub const TRANSACTION_MS: u64 = 32_000;
/// After this time the application hangs up, if it has not before.
const HANGUP_MS: u64 = 150_000;
/// How long work lies before another replica takes it over.
pub const LEASE_MS: u64 = 2_000;
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
pub enum Todo {
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
        body: Option<Body>,
    },
    /// A phone that is up does something of its own.
    Idle(usize),
    /// A phone that was asked to call somebody tells how that goes.
    Notify {
        phone: usize,
        status: u32,
    },
    /// The application hangs up.
    Command(Command),
    /// An edge dies, and later the shell learns of it.
    Die(usize),
    Lost(usize),
}

/// One step of a phone's plan.
#[derive(Clone, Copy, Debug)]
pub enum Saying {
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
    pub now: u64,
    pub chance: Chance,
    pub context: Context,
    pub edges: Vec<Edge>,
    pub agenda: BTreeMap<(u64, u64), Todo>,
    pub count: u64,
    pub due: Option<u64>,
    pub adapted: u32,
    pub last_arrival: BTreeMap<usize, u64>,
    /// How often the call was committed.
    pub commits: u32,
    /// What comes after which commit.
    pub interruption: Option<(u32, Interruption)>,
    /// No replica works before.
    pub dead_until: u64,
    /// The replica dies before it commits what edges say to what it carries next.
    pub is_dying: bool,
    /// The leg whose phone answers every re-INVITE with 491, and from when on.
    pub puts_off: Option<(usize, u64)>,
}

impl World {
    pub fn new(seed: u64, flow: Flow) -> World {
        World::interrupted(seed, flow, None)
    }

    pub fn interrupted(seed: u64, flow: Flow, interruption: Option<(u32, Interruption)>) -> World {
        let mut chance = Chance(seed);
        let party = |name: &str| Party { uri: format!("sip:{name}@example.com"), ..Party::default() };
        let config = Config {
            controller_uri: "sip:c@example.com".into(),
            controller_name: "c".into(),
            host: "192.0.2.1".into(),
            ..Config::default()
        };
        let mut policy = config.policy();
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
            callback_id: String::new(),
        };
        let credential =
            Credential { realm: "example.com".into(), username: "c".into(), password: "secret".into() };
        let edge = |id: &str, epoch| EdgeRef { edge_id: id.into(), edge_epoch: epoch };
        let context = Context {
            credentials: vec![credential],
            edges: vec![edge("e1", 1), edge("e2", 2)],
            redirects: Redirects::Anywhere,
            ..Context::default()
        };
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
            last_arrival: BTreeMap::new(),
            commits: 0,
            interruption,
            dead_until: 0,
            is_dying: false,
            puts_off: None,
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
            world.at(hold, Todo::Command(Command::Hold { leg_id: None, music: String::new() }));
            world.at(resume, Todo::Command(Command::Unhold { leg_id: None }));
        }
        world.lead_parties(seed);
        world.play_to_parties(seed);
        world.hold_parties(seed);
        world
    }

    /// The application leads parties elsewhere, in some of the runs. By chances of its own, so that what happens before stays what it
    /// was.
    fn lead_parties(&mut self, seed: u64) {
        let mut chance = Chance(!seed);
        if !chance.percent(80) {
            return;
        }
        for _ in 0..2 + chance.below(5) {
            let at = 3_000 + chance.below(40_000);
            let leg_id = super::edge::letter(chance.below(3) as usize);
            let target = Target::Party(Party { uri: "sip:carol@example.com".into(), ..Party::default() });
            let method = if chance.percent(60) { Method::Reinvite } else { Method::Auto };
            self.at(at, Todo::Command(Command::Transfer { leg_id, target, method }));
        }
    }

    /// Parties are to listen to something, in some of the runs; by chances of their own, too.
    fn play_to_parties(&mut self, seed: u64) {
        let mut chance = Chance(seed.rotate_left(17) ^ 0x5eed);
        if !chance.percent(70) {
            return;
        }
        let uri = || "sip:annc@media.example.com;play=http://files.example.com/a.wav".to_owned();
        for _ in 0..4 + chance.below(6) {
            let at = 2_000 + chance.below(60_000);
            let leg_id = super::edge::letter(chance.below(2) as usize);
            let limit_ms = if chance.percent(70) { 1 + chance.below(20_000) } else { 0 };
            let command = match chance.below(4) {
                0 => Command::Hold { leg_id: None, music: uri() },
                1 => Command::Hold { leg_id: Some(leg_id), music: uri() },
                _ => Command::Play { leg_id, uri: uri(), limit_ms },
            };
            self.at(at, Todo::Command(command));
            if chance.percent(60) {
                let later = at + 500 + chance.below(20_000);
                self.at(later, Todo::Command(Command::Unhold { leg_id: None }));
            }
        }
    }

    /// The application holds and resumes single legs, and one phone never has the time, in some of the runs; by chances of their own, too.
    fn hold_parties(&mut self, seed: u64) {
        let mut chance = Chance(seed.rotate_left(29) ^ 0x0ff);
        if chance.percent(20) {
            self.puts_off = Some((chance.below(2) as usize, 5_000 + chance.below(30_000)));
        }
        if !chance.percent(60) {
            return;
        }
        for _ in 0..3 + chance.below(6) {
            let leg_id = super::edge::letter(chance.below(2) as usize);
            let leg_id = chance.percent(60).then_some(leg_id);
            let hold = 2_000 + chance.below(60_000);
            self.at(hold, Todo::Command(Command::Hold { leg_id: leg_id.clone(), music: String::new() }));
            let resume = hold + 500 + chance.below(20_000);
            self.at(resume, Todo::Command(Command::Unhold { leg_id }));
        }
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

    pub fn happen(&mut self, todo: Todo) {
        let needs_replica =
            matches!(todo, Todo::Carry | Todo::Deliver(_) | Todo::Due | Todo::Command(_) | Todo::Lost(_));
        if needs_replica && self.now < self.dead_until {
            return self.at(self.dead_until, todo);
        }
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
            Todo::Answer { transaction, status, body } => self.answered(&transaction, status, body.as_ref()),
            Todo::Idle(phone) => self.idle(phone),
            Todo::Notify { phone, status } => self.notify(phone, status),
            Todo::Command(command) => {
                let event = Event::Command(command.clone());
                match step(&self.call, &event, self.moment(), &self.context) {
                    Ok(taken) => {
                        self.log(format!("API {command:?}"));
                        self.commit(taken);
                    }
                    Err(StepError::WrongState(_) | StepError::Conflict | StepError::UnknownLeg(_)) => {}
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

    pub fn at(&mut self, at: u64, todo: Todo) {
        self.count += 1;
        self.agenda.insert((at, self.count), todo);
    }

    pub fn after(&mut self, wait: u64, todo: Todo) {
        self.at(self.now + wait, todo);
    }

    pub fn moment(&self) -> Moment {
        Moment::from_millis(START_MS) + Duration::from_millis(self.now)
    }

    pub fn log(&mut self, line: String) {
        let line = if line.starts_with('!') { line } else { format!("{:>7} {line}", self.now) };
        self.history.push(line);
    }
}
