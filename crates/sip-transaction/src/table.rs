//! The table of all transactions: the one entrance for messages, commands, errors and time.

use std::collections::VecDeque;
use std::time::Instant;

use hashbrown::DefaultHashBuilder;
use sip_message::{HeaderError, Message, Written};

use crate::client::{CancelOutcome, ClientSide, SendError};
use crate::config::Config;
use crate::effect::RespondError;
use crate::hop_by_hop::BuildError;
use crate::key::{ClientKey, Key, ServerKey};
use crate::output::Output;
use crate::server::{ServerSide, Taken};

/// All transactions of one driver loop, over neighbours named by `H`.
///
/// Call a `handle_*` for what happened or a verb for what shall be done, then drain [`poll_output`](Self::poll_output)
/// to `None`, then ask [`next_deadline`](Self::next_deadline) when to come back. Time never runs backwards.
#[derive(Debug)]
pub struct Transactions<H> {
    clients: ClientSide<H>,
    servers: ServerSide<H>,
    outputs: VecDeque<Output<H>>,
    absorbed: u64,
    stray: u64,
    overflow: u64,
}

/// Numbers for whoever watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Client transactions alive.
    pub clients: usize,
    /// Server transactions alive.
    pub servers: usize,
    /// Repeated requests and ACKs that were recognised, ever.
    pub absorbed: u64,
    /// Responses that belonged to nothing, ever.
    pub stray: u64,
    /// Requests for which there was no room, ever.
    pub overflow: u64,
}

impl<H: Copy> Transactions<H> {
    /// An empty table.
    pub fn new(now: Instant, config: &Config) -> Self {
        // The seed differs from process to process, which keeps peers from choosing branches that collide. Nothing
        // walks the index, so it shows in no output.
        let hasher = DefaultHashBuilder::default();
        Self {
            clients: ClientSide::new(now, config, hasher.clone()),
            servers: ServerSide::new(now, config, hasher),
            outputs: VecDeque::new(),
            absorbed: 0,
            stray: 0,
            overflow: 0,
        }
    }

    /// A message came in from `hop`; for a request, `hop` is where its responses go.
    ///
    /// # Errors
    /// When a header that matching needs is missing or unreadable. Nothing has happened then.
    pub fn handle_message(
        &mut self,
        now: Instant,
        message: Message,
        hop: H,
        reliable: bool,
    ) -> Result<(), HeaderError> {
        match message.status() {
            Some(status) => {
                let stray = self.clients.handle_response(now, message, status, hop, &mut self.outputs);
                if let Some(message) = stray {
                    self.stray += 1;
                    self.outputs.push_back(Output::StrayResponse { message, hop });
                }
            }
            None => match self.servers.handle_request(now, message, hop, reliable, &mut self.outputs)? {
                Taken::New => {}
                Taken::Absorbed => self.absorbed += 1,
                Taken::Overflow => self.overflow += 1,
            },
        }
        Ok(())
    }

    /// Sends a request as a new client transaction. Its topmost Via, with a branch made for it, is there already.
    ///
    /// # Errors
    /// See [`SendError`]. Nothing was sent then.
    pub fn send_request(
        &mut self,
        now: Instant,
        request: Message,
        hop: H,
        reliable: bool,
    ) -> Result<ClientKey, SendError> {
        self.clients.send(now, request, hop, reliable, &mut self.outputs)
    }

    /// Sends the request of a transaction once more from the beginning, by another way (RFC 3261 18.1.1: back to UDP
    /// when TCP was refused). `request` has the same branch and method.
    ///
    /// # Errors
    /// [`SendError::Unknown`] when the transaction is over, [`SendError::NotARequest`] when the request is another one.
    pub fn resend_request(
        &mut self,
        now: Instant,
        key: ClientKey,
        request: Message,
        hop: H,
        reliable: bool,
    ) -> Result<(), SendError> {
        self.clients.resend(now, key, request, hop, reliable, &mut self.outputs)
    }

    /// Cancels an INVITE as soon as that is allowed (RFC 3261 9.1), by a client transaction of its own toward the same
    /// neighbour. `extra` are headers to add by name, such as Reason.
    ///
    /// # Errors
    /// When an extra header does not make a message. Nothing has happened then.
    pub fn cancel(
        &mut self,
        now: Instant,
        invite: ClientKey,
        extra: &[(&str, &[u8])],
    ) -> Result<CancelOutcome, BuildError> {
        self.clients.cancel(now, invite, extra, &mut self.outputs)
    }

    /// Answers a request.
    ///
    /// # Errors
    /// See [`RespondError`]. Nothing was sent then.
    pub fn respond(&mut self, now: Instant, key: ServerKey, response: &Message) -> Result<(), RespondError> {
        let status = response.status().ok_or(RespondError::NotAResponse)?;
        self.servers.respond(now, key, status, response.bytes().clone(), &mut self.outputs)
    }

    /// [`respond`](Self::respond) with a response that was only written.
    ///
    /// # Errors
    /// See [`RespondError`]. Nothing was sent then.
    pub fn respond_written(
        &mut self,
        now: Instant,
        key: ServerKey,
        response: Written,
    ) -> Result<(), RespondError> {
        self.servers.respond(now, key, response.status(), response.into_bytes(), &mut self.outputs)
    }

    /// Answers a request once and forgets it: repetitions of the request will look new. For answers to senders that
    /// have not shown that they own their address (RFC 3261 26.3.2.4).
    ///
    /// # Errors
    /// See [`RespondError`]. Nothing was sent then.
    pub fn respond_and_forget(&mut self, key: ServerKey, response: &Message) -> Result<(), RespondError> {
        if response.is_request() {
            return Err(RespondError::NotAResponse);
        }
        self.servers.respond_and_forget(key, response.bytes().clone(), &mut self.outputs)
    }

    /// [`respond_and_forget`](Self::respond_and_forget) with a response that was only written.
    ///
    /// # Errors
    /// See [`RespondError`]. Nothing was sent then.
    pub fn respond_written_and_forget(
        &mut self,
        key: ServerKey,
        response: Written,
    ) -> Result<(), RespondError> {
        self.servers.respond_and_forget(key, response.into_bytes(), &mut self.outputs)
    }

    /// Forgets a request without an answer: repetitions of it will look new.
    pub fn forget(&mut self, key: ServerKey) {
        self.servers.forget(key, &mut self.outputs);
    }

    /// Sends what a server transaction still has to send another way. RFC 3261 18.2.2
    pub fn move_server(&mut self, key: ServerKey, hop: H) {
        self.servers.set_hop(key, hop);
    }

    /// Something that this transaction transmitted could not be delivered.
    pub fn handle_transport_error(&mut self, now: Instant, key: Key) {
        match key {
            Key::Client(key) => self.clients.handle_transport_error(now, key, &mut self.outputs),
            Key::Server(key) => self.servers.handle_transport_error(now, key, &mut self.outputs),
        }
    }

    /// The connection that a request went by is gone: without a final response, none comes any more. RFC 3261 18.4
    pub fn handle_disconnect(&mut self, now: Instant, key: ClientKey) {
        self.clients.handle_disconnect(now, key, &mut self.outputs);
    }

    /// The client transaction that sent the request which begins with these bytes: how an ICMP error, which quotes the
    /// beginning of a datagram, finds its way back.
    pub fn find_by_fragment(&self, head: &[u8]) -> Option<ClientKey> {
        self.clients.find_by_fragment(head)
    }

    /// When to call [`handle_deadline`](Self::handle_deadline) at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        match (self.clients.next_deadline(), self.servers.next_deadline()) {
            (Some(client), Some(server)) => Some(client.min(server)),
            (one, other) => one.or(other),
        }
    }

    /// Works off every timer that is due.
    pub fn handle_deadline(&mut self, now: Instant) {
        while self.clients.handle_deadline(now, &mut self.outputs) {}
        while self.servers.handle_deadline(now, &mut self.outputs) {}
    }

    /// The next consequence.
    pub fn poll_output(&mut self) -> Option<Output<H>> {
        self.outputs.pop_front()
    }

    /// Where the messages of a transaction go, while it lives.
    pub fn hop(&self, key: Key) -> Option<H> {
        match key {
            Key::Client(key) => self.clients.hop(key),
            Key::Server(key) => self.servers.hop(key),
        }
    }

    /// The INVITE that a CANCEL is for, which did not come here as such: a neighbour has it and asks. RFC 3261 9.2
    pub fn invite_of(&mut self, cancel: &Message) -> Option<ServerKey> {
        self.servers.invite_of(cancel)
    }

    /// The request of a server transaction that has no response yet.
    pub fn unanswered(&self, key: ServerKey) -> Option<&Message> {
        self.servers.unanswered(key)
    }

    /// Numbers for whoever watches.
    pub fn stats(&self) -> Stats {
        Stats {
            clients: self.clients.len(),
            servers: self.servers.len(),
            absorbed: self.absorbed,
            stray: self.stray,
            overflow: self.overflow,
        }
    }
}
