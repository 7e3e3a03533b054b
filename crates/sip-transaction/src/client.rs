//! The client side: requests that the user sends, found again by branch and method.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::time::Instant;

use hashbrown::DefaultHashBuilder;
use sip_message::{Message, Method, has_cookie};

use crate::config::{Config, Terms, Timing};
use crate::effect::{Effect, Effects};
use crate::hop_by_hop::{self, BuildError};
use crate::invite_client::{self, InviteClient};
use crate::key::{ClientKey, Key};
use crate::matching::{self, Identity};
use crate::non_invite_client::{self, NonInviteClient};
use crate::output::Output;
use crate::pool::Pool;

/// All client transactions.
#[derive(Debug)]
pub(crate) struct ClientSide<H> {
    pool: Pool<Client<H>>,
    hasher: DefaultHashBuilder,
    timing: Timing,
}

#[derive(Debug)]
struct Client<H> {
    branch: Identity,
    method: Method,
    hop: H,
    reliable: bool,
    machine: Machine,
}

#[derive(Debug)]
enum Machine {
    Invite(InviteClient),
    NonInvite(NonInviteClient),
}

/// What may happen to a client transaction, whichever machine it has.
enum Event<'a> {
    Response(&'a Message, u16),
    Cancel(Box<Message>),
    TransportError,
    Disconnected,
    Due,
}

/// Why a request was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The table of client transactions is at its bound.
    #[error("too many client transactions")]
    Full,
    /// This request is under way already: the same branch and method.
    #[error("a transaction with this branch and method exists")]
    Duplicate(ClientKey),
    /// The message is a response, or an ACK, which opens no transaction.
    #[error("not a request that opens a transaction")]
    NotARequest,
    /// The topmost Via has no branch that could be matched.
    #[error("no branch with the magic cookie in the topmost Via")]
    NoBranch,
    /// There is no such transaction.
    #[error("no such client transaction")]
    Unknown,
}

/// What became of the wish to cancel an INVITE. RFC 3261 9.1
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    /// CANCEL was sent; the INVITE ends by its final response, or times out 64*T1 from now.
    Sent,
    /// Nothing came back yet; CANCEL follows the first provisional response.
    Held,
    /// A final response is there, or CANCEL was asked for before.
    TooLate,
    /// No such INVITE transaction.
    Unknown,
}

impl<H: Copy> ClientSide<H> {
    pub(crate) fn new(now: Instant, config: &Config, hasher: DefaultHashBuilder) -> Self {
        Self { pool: Pool::new(now, config.space, config.max_client), hasher, timing: config.timing }
    }

    pub(crate) fn len(&self) -> usize {
        self.pool.len()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.pool.next_deadline()
    }

    pub(crate) fn send(
        &mut self,
        now: Instant,
        request: Message,
        hop: H,
        reliable: bool,
        outputs: &mut VecDeque<Output<H>>,
    ) -> Result<ClientKey, SendError> {
        let method = request.method();
        if !request.is_request() || method == Method::Ack {
            return Err(SendError::NotARequest);
        }
        let branch = own_branch(&request)?;
        let hash = self.hasher.hash_one(branch);
        if let Some(place) = self.pool.find(hash, |client| client.is(branch, method.as_str())) {
            return Err(SendError::Duplicate(ClientKey(place)));
        }
        if self.pool.is_full() {
            return Err(SendError::Full);
        }
        let branch = Identity::from_slice(branch);
        let mut effects = Effects::new();
        let terms = Terms { timing: &self.timing, reliable };
        let machine = Machine::start(now, request, &method, terms, &mut effects);
        let key = ClientKey(self.pool.insert(hash, Client { branch, method, hop, reliable, machine }));
        self.settle(now, key, effects, None, outputs);
        Ok(key)
    }

    /// Begins a transaction anew under the same key: another way, the same branch.
    pub(crate) fn resend(
        &mut self,
        now: Instant,
        key: ClientKey,
        request: Message,
        hop: H,
        reliable: bool,
        outputs: &mut VecDeque<Output<H>>,
    ) -> Result<(), SendError> {
        let client = self.pool.get_mut(key.0).ok_or(SendError::Unknown)?;
        let method = request.method();
        if !request.is_request() || !client.is(own_branch(&request)?, method.as_str()) {
            return Err(SendError::NotARequest);
        }
        let mut effects = Effects::new();
        let terms = Terms { timing: &self.timing, reliable };
        client.machine = Machine::start(now, request, &method, terms, &mut effects);
        (client.hop, client.reliable) = (hop, reliable);
        self.settle(now, key, effects, None, outputs);
        Ok(())
    }

    pub(crate) fn cancel(
        &mut self,
        now: Instant,
        key: ClientKey,
        extra: &[(&str, &[u8])],
        outputs: &mut VecDeque<Output<H>>,
    ) -> Result<CancelOutcome, BuildError> {
        let Some(client) = self.pool.get(key.0) else { return Ok(CancelOutcome::Unknown) };
        let outcome = match &client.machine {
            Machine::NonInvite(_) => return Ok(CancelOutcome::Unknown),
            Machine::Invite(InviteClient::Calling(_)) => CancelOutcome::Held,
            Machine::Invite(InviteClient::Proceeding(_)) => CancelOutcome::Sent,
            Machine::Invite(
                InviteClient::Unwanted(..)
                | InviteClient::Cancelling(_)
                | InviteClient::Completed(_)
                | InviteClient::Accepted(_)
                | InviteClient::Terminated,
            ) => CancelOutcome::TooLate,
        };
        if let Machine::Invite(machine) = &client.machine
            && let Some(invite) = machine.cancellable()
        {
            let cancel = hop_by_hop::cancel(invite, extra)?;
            self.step(now, key, Event::Cancel(Box::new(cancel)), outputs);
        }
        Ok(outcome)
    }

    /// Takes a response, or gives it back when it belongs to nothing.
    pub(crate) fn handle_response(
        &mut self,
        now: Instant,
        response: Message,
        status: u16,
        hop: H,
        outputs: &mut VecDeque<Output<H>>,
    ) -> Option<Message> {
        let Some(branch) = matching::of_response(&response) else { return Some(response) };
        let method = response.method_str();
        let hash = self.hasher.hash_one(branch);
        let Some(place) = self.pool.find(hash, |client| client.is(branch, method)) else {
            return Some(response);
        };
        let key = ClientKey(place);
        let effects = self.input(now, key, Event::Response(&response, status));
        self.settle(now, key, effects, Some((response, hop)), outputs);
        None
    }

    pub(crate) fn handle_transport_error(
        &mut self,
        now: Instant,
        key: ClientKey,
        outputs: &mut VecDeque<Output<H>>,
    ) {
        self.step(now, key, Event::TransportError, outputs);
    }

    pub(crate) fn handle_disconnect(
        &mut self,
        now: Instant,
        key: ClientKey,
        outputs: &mut VecDeque<Output<H>>,
    ) {
        self.step(now, key, Event::Disconnected, outputs);
    }

    /// The transaction whose request begins with this.
    pub(crate) fn find_by_fragment(&self, head: &[u8]) -> Option<ClientKey> {
        let (method, branch) = matching::of_fragment(head)?;
        let hash = self.hasher.hash_one(branch);
        self.pool.find(hash, |client| client.is(branch, method)).map(ClientKey)
    }

    /// Works off one timer that is due.
    pub(crate) fn handle_deadline(&mut self, now: Instant, outputs: &mut VecDeque<Output<H>>) -> bool {
        let Some(place) = self.pool.pop_due(now) else { return false };
        self.step(now, ClientKey(place), Event::Due, outputs);
        true
    }

    pub(crate) fn hop(&self, key: ClientKey) -> Option<H> {
        self.pool.get(key.0).map(|client| client.hop)
    }

    fn step(&mut self, now: Instant, key: ClientKey, event: Event<'_>, outputs: &mut VecDeque<Output<H>>) {
        let effects = self.input(now, key, event);
        self.settle(now, key, effects, None, outputs);
    }

    fn input(&mut self, now: Instant, key: ClientKey, event: Event<'_>) -> Effects {
        let mut effects = Effects::new();
        if let Some(client) = self.pool.get_mut(key.0) {
            let terms = Terms { timing: &self.timing, reliable: client.reliable };
            client.machine.step(now, event, terms, &mut effects);
        }
        effects
    }

    /// Turns effects into outputs, sets the timer, and lets go of what is over.
    fn settle(
        &mut self,
        now: Instant,
        key: ClientKey,
        effects: Effects,
        mut message: Option<(Message, H)>,
        outputs: &mut VecDeque<Output<H>>,
    ) {
        let Some(client) = self.pool.get(key.0) else { return };
        let (hop, reliable) = (client.hop, client.reliable);
        let timer = client.machine.timer();
        let mut cancel = None;
        for effect in effects {
            match effect {
                Effect::Send(bytes) => {
                    outputs.push_back(Output::Transmit { hop, bytes, origin: Key::Client(key) });
                }
                Effect::SendCancel(message) => cancel = Some(message),
                Effect::Pass => {
                    if let Some((message, hop)) = message.take() {
                        outputs.push_back(Output::Response { key, message, hop });
                    }
                }
                Effect::TimedOut => outputs.push_back(Output::TimedOut { key }),
                Effect::TransportFailed => {
                    outputs.push_back(Output::TransportFailed { key: Key::Client(key) });
                }
                // Effects of server transactions.
                Effect::AckTimedOut | Effect::Refuse(_) => {}
            }
        }
        if client.machine.is_over() {
            self.pool.remove(key.0);
            outputs.push_back(Output::Ended { key: Key::Client(key) });
        } else {
            self.pool.set_timer(key.0, timer);
        }
        if let Some(cancel) = cancel {
            // When there is no room for it, the INVITE still ends 64*T1 from now.
            let _ = self.send(now, *cancel, hop, reliable, outputs);
        }
    }
}

impl<H> Client<H> {
    fn is(&self, branch: &[u8], method: &str) -> bool {
        self.branch.as_slice() == branch && self.method.as_str() == method
    }
}

impl Machine {
    fn start(
        now: Instant,
        request: Message,
        method: &Method,
        terms: Terms<'_>,
        effects: &mut Effects,
    ) -> Self {
        if *method == Method::Invite {
            Self::Invite(InviteClient::start(now, request, terms, effects))
        } else {
            Self::NonInvite(NonInviteClient::start(now, &request, terms, effects))
        }
    }

    fn timer(&self) -> Option<Instant> {
        match self {
            Self::Invite(machine) => machine.timer().map(|(at, _)| at),
            Self::NonInvite(machine) => machine.timer().map(|(at, _)| at),
        }
    }

    fn is_over(&self) -> bool {
        matches!(self, Self::Invite(InviteClient::Terminated) | Self::NonInvite(NonInviteClient::Terminated))
    }

    fn step(&mut self, now: Instant, event: Event<'_>, terms: Terms<'_>, effects: &mut Effects) {
        match self {
            Self::Invite(machine) => {
                use invite_client::Input;
                let input = match event {
                    Event::Response(_, 0..200) => Input::Provisional,
                    Event::Response(_, 200..300) => Input::Success,
                    Event::Response(response, 300..) => Input::Failure(response),
                    Event::Cancel(cancel) => Input::Cancel(cancel),
                    Event::TransportError => Input::TransportError,
                    Event::Disconnected => Input::Disconnected,
                    Event::Due => match machine.timer() {
                        Some((_, timer)) => Input::Timer(timer),
                        None => return,
                    },
                };
                let state = std::mem::replace(machine, InviteClient::Terminated);
                *machine = state.step(now, input, terms, effects);
            }
            Self::NonInvite(machine) => {
                use non_invite_client::Input;
                let input = match event {
                    Event::Response(_, 0..200) => Input::Provisional,
                    Event::Response(_, 200..) => Input::Final,
                    // CANCEL of anything but INVITE is refused by the table.
                    Event::Cancel(_) => return,
                    Event::TransportError | Event::Disconnected => Input::TransportError,
                    Event::Due => match machine.timer() {
                        Some((_, timer)) => Input::Timer(timer),
                        None => return,
                    },
                };
                let state = std::mem::replace(machine, NonInviteClient::Terminated);
                *machine = state.step(now, input, terms, effects);
            }
        }
    }
}

fn own_branch(request: &Message) -> Result<&[u8], SendError> {
    request.top_branch().filter(|branch| has_cookie(branch)).map(str::as_bytes).ok_or(SendError::NoBranch)
}
