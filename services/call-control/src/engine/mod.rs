//! The call engine: a pure function from a call record and an event to the next record and what must be done.
//!
//! ```text
//! create(new call, now, context)         -> Step
//! receive(new anchored call, first event, now, context) -> Step
//! step(&call, &event, now, &context)     -> Step { call, effects, due, events, finished }
//! ```
//!
//! The shell commits `call` (with its outbox), the due time and the events in one atomic commit, acknowledges the event, then
//! carries the effects and reports each with [`Event::Carried`](event::Event::Carried). Everything may happen twice or on another replica.
//!
//! Here: the flows of third-party call control (RFC 3725 and LAD-1 … LAD-4), calls that phones begin and that are carried on as a
//! back-to-back user agent, offer and answer between the legs, reliable provisional responses, forks, glare, credentials,
//! hang-up in every state. Deliberately absent: clocks, sockets, stores, random numbers, SIP text (the edge composes and parses
//! it) and session description text (crate `sip-body`).
//!
//! Start reading at [`call`] (the record), [`stage`] (where a call is), `flow_iv` (the default flow of `Dial`) and [`anchor`]
//! (a call that came in).

mod adapt;
pub mod anchor;
mod auth;
pub mod call;
pub mod claim;
mod commands;
pub mod conference;
pub mod derive;
mod dispatch;
mod edges;
pub mod effect;
pub mod event;
mod flow_i;
mod flow_iii;
mod flow_iv;
mod flow_ringback;
mod glare;
mod hangup;
pub mod hold;
mod info;
pub mod leg;
pub mod media;
mod offer_answer;
mod outcome;
mod peer;
mod receive;
mod redirects;
mod reliable;
mod reply;
pub mod report;
mod send;
mod session_timer;
mod signal;
pub mod stage;
mod talking;
mod text;
pub mod time;
pub mod transfer;
mod unanswered;
mod unsaid;
mod untaken;
mod work;

pub use anchor::begin::{NewAnchored, receive};
pub use dispatch::{create, step};
pub use redirects::Redirects;

use call::Call;
use conference::Mixing;
use effect::Effect;
use report::CallEvent;
use time::Moment;

/// What is true beyond the call: given to every step, never stored in the record.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Credentials with which Carillon answers challenges to its own legs (RFC 3261 22.2).
    pub credentials: Vec<Credential>,
    /// The edges that take new work now. A leg stays on the edge that was chosen for it.
    pub edges: Vec<call::EdgeRef>,
    /// Where the 3xx of a phone may lead.
    pub redirects: Redirects,
    /// User part of the service that calls back who calls in (LAD-6); empty for none.
    pub callback_user: String,
    /// Who may take or join any call by Replaces and Join.
    pub takers: claim::takers::Takers,
    /// Where conferences are mixed.
    pub mixing: Mixing,
    /// Whose REFERs are passed on to the other phone.
    pub referrers: claim::takers::Takers,
}

/// A user name and password for one realm.
#[derive(Clone)]
pub struct Credential {
    /// The realm; compared exactly.
    pub realm: String,
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("realm", &self.realm).finish_non_exhaustive()
    }
}

/// The result of one step. Commit all of it together.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The next record.
    pub call: Call,
    /// Effects that are new in this step or go to another edge now; they are also in `call.outbox`. Carry those of one leg in the
    /// order of the outbox, each only after the one before was taken on.
    pub effects: Vec<Effect>,
    /// When [`Event::Due`](event::Event::Due) must be given next.
    pub due: DueChange,
    /// Call events in order, for the log.
    pub events: Vec<CallEvent>,
    /// Nothing changed: the event was a duplicate or did not matter. There is nothing to commit.
    pub unchanged: bool,
    /// The call has ended and nothing is left to do: the record may go.
    pub finished: bool,
}

/// What becomes of the call's one due entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueChange {
    /// As it was before the step.
    Keep,
    /// Set it to this time.
    At(Moment),
    /// Remove it.
    Clear,
}

/// Why an event was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// An earlier event of this edge is missing; deliver from there.
    #[error("event {got} of the edge came before event {expected}")]
    OutOfOrder {
        /// The number that is due.
        expected: u64,
        /// The number that came.
        got: u64,
    },
    /// The command does not fit the state of the call.
    #[error("the call is {}, which does not allow this", .0.name())]
    WrongState(call::CallState),
    /// Another operation on the same legs is under way.
    #[error("another operation on the call is under way")]
    Conflict,
    /// The phone takes no such INFO.
    #[error("the phone takes INFO of these packages only: {0:?}")]
    NotTaken(String),
    /// There is no mixer for what was asked.
    #[error("there is no mixer")]
    NoMixer,
    /// No phone of the call mixes.
    #[error("no phone of the call mixes")]
    NoLocalMixer,
    /// The call has had as many legs as it may.
    #[error("the call has had {0} legs, as many as it may")]
    Full(usize),
    /// The call has no such leg.
    #[error("the call has no leg {0:?}")]
    UnknownLeg(String),
}
