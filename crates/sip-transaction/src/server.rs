//! The server side: requests that came in, found again by branch, sent-by and method, or the old way.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::time::Instant;

use bytes::Bytes;
use hashbrown::DefaultHashBuilder;
use sip_message::{HeaderError, Limits, Message, Method};

use crate::config::{Config, Terms, Timing};
use crate::effect::{Effect, Effects, RespondError};
use crate::invite_server::{self, InviteServer};
use crate::key::{Key, ServerKey};
use crate::matching::{self, Family, Identity};
use crate::non_invite_server::{self, NonInviteServer};
use crate::output::{CancelTarget, Output};
use crate::pool::Pool;

/// All server transactions.
#[derive(Debug)]
pub(crate) struct ServerSide<H> {
    pool: Pool<Server<H>>,
    hasher: DefaultHashBuilder,
    timing: Timing,
    /// Identity of the message at hand.
    text: Vec<u8>,
}

#[derive(Debug)]
struct Server<H> {
    identity: Identity,
    method: Method,
    hop: H,
    reliable: bool,
    machine: Machine,
}

#[derive(Debug)]
enum Machine {
    Invite(InviteServer),
    NonInvite(NonInviteServer),
}

/// What may happen to a server transaction, whichever machine it has.
enum Event {
    Again,
    Ack,
    Respond(Bytes, u16),
    TransportError,
    Due,
}

/// What a request turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The first of its kind.
    New,
    /// A repetition, or an ACK, of a transaction that is there.
    Absorbed,
    /// There was no room.
    Overflow,
}

impl<H: Copy> ServerSide<H> {
    pub(crate) fn new(now: Instant, config: &Config, hasher: DefaultHashBuilder) -> Self {
        let pool = Pool::new(now, config.space, config.max_server);
        Self { pool, hasher, timing: config.timing, text: Vec::with_capacity(256) }
    }

    pub(crate) fn len(&self) -> usize {
        self.pool.len()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.pool.next_deadline()
    }

    pub(crate) fn handle_request(
        &mut self,
        now: Instant,
        request: Message,
        hop: H,
        reliable: bool,
        outputs: &mut VecDeque<Output<H>>,
    ) -> Result<Taken, HeaderError> {
        let method = request.method();
        if method == Method::Ack {
            return self.handle_ack(now, request, hop, outputs);
        }
        let family = if method == Method::Invite { Family::Invite } else { Family::Other };
        matching::of_request(&mut self.text, &request, family)?;
        let hash = self.hasher.hash_one(self.text.as_slice());
        let text = self.text.as_slice();
        if let Some(place) = self.pool.find(hash, |server| server.is(text, &method)) {
            let key = ServerKey(place);
            if let Some(server) = self.pool.get_mut(place) {
                // RFC 6026 8.8: after a broken connection the repetition comes by another way.
                server.hop = hop;
            }
            self.step(now, key, Event::Again, None, outputs);
            return Ok(Taken::Absorbed);
        }
        if self.pool.is_full() {
            outputs.push_back(Output::Overflow { message: request, hop });
            return Ok(Taken::Overflow);
        }
        let identity = Identity::from_slice(text);
        let target = if method == Method::Cancel {
            Some(self.cancel_target(&request, identity.as_slice())?)
        } else {
            None
        };
        let terms = Terms { timing: &self.timing, reliable };
        let machine = if method == Method::Invite {
            Machine::Invite(InviteServer::start(now, request.clone(), terms))
        } else {
            Machine::NonInvite(NonInviteServer::start(now, request.clone(), terms))
        };
        let timer = machine.timer();
        let place = self.pool.insert(hash, Server { identity, method, hop, reliable, machine });
        self.pool.set_timer(place, timer);
        let key = ServerKey(place);
        outputs.push_back(match target {
            Some(target) => Output::Cancel { key, target, message: request, hop },
            None => Output::Request { key, message: request, hop },
        });
        Ok(Taken::New)
    }

    /// RFC 3261 17.2.3: an ACK looks like its INVITE.
    fn handle_ack(
        &mut self,
        now: Instant,
        ack: Message,
        hop: H,
        outputs: &mut VecDeque<Output<H>>,
    ) -> Result<Taken, HeaderError> {
        matching::of_request(&mut self.text, &ack, Family::Invite)?;
        let text = self.text.as_slice();
        let hash = self.hasher.hash_one(text);
        let found = self.pool.find(hash, |server| server.is(text, &Method::Invite));
        let proven = found.filter(|place| !matching::is_old(text) || self.acknowledges(*place, &ack));
        match proven {
            Some(place) => {
                self.step(now, ServerKey(place), Event::Ack, Some((ack, hop)), outputs);
                Ok(Taken::Absorbed)
            }
            None => {
                outputs.push_back(Output::Ack { key: None, message: ack, hop });
                Ok(Taken::New)
            }
        }
    }

    /// The To tag of an old-style ACK is that of the response. RFC 3261 17.2.3
    fn acknowledges(&self, place: crate::key::Place, ack: &Message) -> bool {
        let Some(Server { machine: Machine::Invite(machine), .. }) = self.pool.get(place) else {
            return false;
        };
        let Some(response) = machine.unacknowledged() else { return true };
        let Ok(response) = Message::parse(response.clone(), &Limits::OWN) else { return true };
        match (response.to(), ack.to()) {
            (Ok(sent), Ok(received)) => sent.tag() == received.tag(),
            (Err(_), _) | (_, Err(_)) => false,
        }
    }

    /// RFC 3261 9.2: the transaction that this CANCEL would belong to if it had another method.
    fn cancel_target(&mut self, cancel: &Message, own: &[u8]) -> Result<CancelTarget, HeaderError> {
        if let Some(invite) = self.find_invite(cancel)? {
            return Ok(CancelTarget::Invite(invite));
        }
        let hash = self.hasher.hash_one(own);
        let other = self.pool.find(hash, |server| {
            server.identity.as_slice() == own
                && server.method != Method::Cancel
                && server.method != Method::Invite
        });
        Ok(other.map_or(CancelTarget::Unknown, |place| CancelTarget::NonInvite(ServerKey(place))))
    }

    fn find_invite(&mut self, cancel: &Message) -> Result<Option<ServerKey>, HeaderError> {
        matching::of_request(&mut self.text, cancel, Family::Invite)?;
        let text = self.text.as_slice();
        let hash = self.hasher.hash_one(text);
        Ok(self.pool.find(hash, |server| server.is(text, &Method::Invite)).map(ServerKey))
    }

    pub(crate) fn invite_of(&mut self, cancel: &Message) -> Option<ServerKey> {
        self.find_invite(cancel).ok().flatten()
    }

    pub(crate) fn respond(
        &mut self,
        now: Instant,
        key: ServerKey,
        status: u16,
        response: Bytes,
        outputs: &mut VecDeque<Output<H>>,
    ) -> Result<(), RespondError> {
        if self.pool.get(key.0).is_none() {
            return Err(RespondError::Unknown);
        }
        match self.step(now, key, Event::Respond(response, status), None, outputs) {
            Some(refused) => Err(refused),
            None => Ok(()),
        }
    }

    /// Sends once and forgets: what RFC 3261 8.2.7 calls a stateless UAS.
    pub(crate) fn respond_and_forget(
        &mut self,
        key: ServerKey,
        response: Bytes,
        outputs: &mut VecDeque<Output<H>>,
    ) -> Result<(), RespondError> {
        let server = self.pool.remove(key.0).ok_or(RespondError::Unknown)?;
        let key = Key::Server(key);
        outputs.push_back(Output::Transmit { hop: server.hop, bytes: response, origin: key });
        outputs.push_back(Output::Ended { key });
        Ok(())
    }

    /// Lets go of a request that is not answered.
    pub(crate) fn forget(&mut self, key: ServerKey, outputs: &mut VecDeque<Output<H>>) {
        if self.pool.remove(key.0).is_some() {
            outputs.push_back(Output::Ended { key: Key::Server(key) });
        }
    }

    pub(crate) fn handle_transport_error(
        &mut self,
        now: Instant,
        key: ServerKey,
        outputs: &mut VecDeque<Output<H>>,
    ) {
        self.step(now, key, Event::TransportError, None, outputs);
    }

    /// Works off one timer that is due.
    pub(crate) fn handle_deadline(&mut self, now: Instant, outputs: &mut VecDeque<Output<H>>) -> bool {
        let Some(place) = self.pool.pop_due(now) else { return false };
        self.step(now, ServerKey(place), Event::Due, None, outputs);
        true
    }

    pub(crate) fn hop(&self, key: ServerKey) -> Option<H> {
        self.pool.get(key.0).map(|server| server.hop)
    }

    pub(crate) fn unanswered(&self, key: ServerKey) -> Option<&Message> {
        match &self.pool.get(key.0)?.machine {
            Machine::Invite(machine) => machine.unanswered(),
            Machine::NonInvite(machine) => machine.unanswered(),
        }
    }

    pub(crate) fn set_hop(&mut self, key: ServerKey, hop: H) {
        if let Some(server) = self.pool.get_mut(key.0) {
            server.hop = hop;
        }
    }

    /// Feeds the machine, turns effects into outputs, sets the timer, lets go of what is over. Says what was refused.
    fn step(
        &mut self,
        now: Instant,
        key: ServerKey,
        event: Event,
        mut message: Option<(Message, H)>,
        outputs: &mut VecDeque<Output<H>>,
    ) -> Option<RespondError> {
        let server = self.pool.get_mut(key.0)?;
        let terms = Terms { timing: &self.timing, reliable: server.reliable };
        let mut effects = Effects::new();
        server.machine.step(now, event, terms, &mut effects);
        let (hop, timer, over) = (server.hop, server.machine.timer(), server.machine.is_over());
        let mut refused = None;
        for effect in effects {
            match effect {
                Effect::Send(bytes) => {
                    outputs.push_back(Output::Transmit { hop, bytes, origin: Key::Server(key) });
                }
                Effect::Pass => {
                    if let Some((message, hop)) = message.take() {
                        outputs.push_back(Output::Ack { key: Some(key), message, hop });
                    }
                }
                Effect::TransportFailed => {
                    outputs.push_back(Output::TransportFailed { key: Key::Server(key) });
                }
                Effect::AckTimedOut => outputs.push_back(Output::AckTimedOut { key }),
                Effect::Refuse(error) => refused = Some(error),
                // Effects of client transactions.
                Effect::SendCancel(_) | Effect::TimedOut => {}
            }
        }
        if over {
            self.pool.remove(key.0);
            outputs.push_back(Output::Ended { key: Key::Server(key) });
        } else {
            self.pool.set_timer(key.0, timer);
        }
        refused
    }
}

impl<H> Server<H> {
    fn is(&self, identity: &[u8], method: &Method) -> bool {
        self.identity.as_slice() == identity && self.method == *method
    }
}

impl Machine {
    fn timer(&self) -> Option<Instant> {
        match self {
            Self::Invite(machine) => machine.timer().map(|(at, _)| at),
            Self::NonInvite(machine) => machine.timer().map(|(at, _)| at),
        }
    }

    fn is_over(&self) -> bool {
        matches!(self, Self::Invite(InviteServer::Terminated) | Self::NonInvite(NonInviteServer::Terminated))
    }

    fn step(&mut self, now: Instant, event: Event, terms: Terms<'_>, effects: &mut Effects) {
        match self {
            Self::Invite(machine) => {
                use invite_server::Input;
                let input = match event {
                    Event::Again => Input::Again,
                    Event::Ack => Input::Ack,
                    Event::Respond(response, 0..200) => Input::Provisional(response),
                    Event::Respond(response, 200..300) => Input::Success(response),
                    Event::Respond(response, 300..) => Input::Failure(response),
                    Event::TransportError => Input::TransportError,
                    Event::Due => match machine.timer() {
                        Some((_, timer)) => Input::Timer(timer),
                        None => return,
                    },
                };
                let state = std::mem::replace(machine, InviteServer::Terminated);
                *machine = state.step(now, input, terms, effects);
            }
            Self::NonInvite(machine) => {
                use non_invite_server::Input;
                let input = match event {
                    Event::Again => Input::Again,
                    // An ACK is never looked up among these.
                    Event::Ack => return,
                    Event::Respond(response, 0..=100) => Input::Trying(response),
                    Event::Respond(_, 101..200) => Input::Provisional,
                    Event::Respond(_, 408) => Input::Timeout,
                    Event::Respond(response, 200..) => Input::Final(response),
                    Event::TransportError => Input::TransportError,
                    Event::Due => match machine.timer() {
                        Some((_, timer)) => Input::Timer(timer),
                        None => return,
                    },
                };
                let state = std::mem::replace(machine, NonInviteServer::Terminated);
                *machine = state.step(now, input, terms, effects);
            }
        }
    }
}
