//! One table of transactions on a bench: messages are put in by hand, time is moved by hand, and everything that comes
//! out is written down with its time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sip_message::{HeaderId, Limits, Message, ResponseBuilder};
use sip_transaction::{
    CancelOutcome, CancelTarget, ClientKey, Config, Key, Output, RespondError, SendError, ServerKey,
    Transactions,
};

/// A neighbour, by number.
pub type Hop = u8;

pub struct Lab {
    pub table: Transactions<Hop>,
    start: Instant,
    now: Instant,
    reliable: bool,
    /// What came out: `"500 send INVITE to 1"`.
    log: Vec<String>,
    /// Every message that came out last.
    pub sent: Vec<Bytes>,
    /// Keys of the requests that the user was shown, in order.
    pub requests: Vec<ServerKey>,
}

impl Lab {
    pub fn unreliable() -> Self {
        Self::new(false, Config::default())
    }

    pub fn reliable() -> Self {
        Self::new(true, Config::default())
    }

    pub fn new(reliable: bool, config: Config) -> Self {
        let start = Instant::now();
        let table = Transactions::new(start, &config);
        Self { table, start, now: start, reliable, log: Vec::new(), sent: Vec::new(), requests: Vec::new() }
    }

    /// Lets time pass up to this many milliseconds after the beginning, visiting the table whenever it asks for it.
    pub fn run_until(&mut self, ms: u64) {
        let end = self.start + Duration::from_millis(ms);
        while let Some(at) = self.table.next_deadline().filter(|at| *at <= end) {
            assert!(at >= self.now, "a deadline in the past was not worked off");
            self.now = at;
            self.table.handle_deadline(at);
            self.drain();
        }
        self.now = end;
    }

    pub fn receive(&mut self, message: &Message, from: Hop) {
        self.table
            .handle_message(self.now, message.clone(), from, self.reliable)
            .expect("a matchable message");
        self.drain();
    }

    pub fn send(&mut self, request: &Message, to: Hop) -> Result<ClientKey, SendError> {
        let key = self.table.send_request(self.now, request.clone(), to, self.reliable);
        self.drain();
        key
    }

    pub fn cancel(&mut self, key: ClientKey) -> CancelOutcome {
        let outcome = self.table.cancel(self.now, key, &[]).expect("a CANCEL");
        self.drain();
        outcome
    }

    pub fn respond(&mut self, key: ServerKey, response: &Message) -> Result<(), RespondError> {
        let result = self.table.respond(self.now, key, response);
        self.drain();
        result
    }

    pub fn transport_error(&mut self, key: impl Into<AnyKey>) {
        self.table.handle_transport_error(self.now, key.into().0);
        self.drain();
    }

    /// What was written down since the last look.
    pub fn log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    /// The times, in milliseconds, of the lines since the last look that end like this.
    pub fn times(&mut self, what: &str) -> Vec<u64> {
        let log = self.log();
        let hits = log.iter().filter_map(|line| line.split_once(' ').filter(|(_, rest)| *rest == what));
        hits.map(|(time, _)| time.parse().unwrap()).collect()
    }

    pub fn alive(&self) -> usize {
        self.table.stats().clients + self.table.stats().servers
    }

    fn drain(&mut self) {
        while let Some(output) = self.table.poll_output() {
            let line = match output {
                Output::Transmit { hop, bytes, .. } => {
                    let line = format!("send {} to {hop}", name(&parse(&bytes)));
                    self.sent.push(bytes);
                    line
                }
                Output::Request { key, message, hop } => {
                    self.requests.push(key);
                    format!("request {} from {hop}", name(&message))
                }
                Output::Ack { key, hop, .. } => {
                    format!("ACK from {hop} for {}", if key.is_some() { "a transaction" } else { "nothing" })
                }
                Output::Cancel { key, target, hop, .. } => {
                    self.requests.push(key);
                    let target = match target {
                        CancelTarget::Invite(_) => "INVITE",
                        CancelTarget::NonInvite(_) => "another request",
                        CancelTarget::Unknown => "nothing",
                    };
                    format!("CANCEL from {hop} for {target}")
                }
                Output::Overflow { message, hop } => format!("overflow {} from {hop}", name(&message)),
                Output::Response { message, hop, .. } => format!("response {} from {hop}", name(&message)),
                Output::StrayResponse { message, hop } => format!("stray {} from {hop}", name(&message)),
                Output::TimedOut { .. } => "timed out".to_owned(),
                Output::TransportFailed { .. } => "transport failed".to_owned(),
                Output::AckTimedOut { .. } => "ACK timed out".to_owned(),
                Output::Ended { .. } => "ended".to_owned(),
            };
            self.log.push(format!("{} {line}", (self.now - self.start).as_millis()));
        }
    }
}

/// A key of either side.
pub struct AnyKey(Key);

impl From<ClientKey> for AnyKey {
    fn from(key: ClientKey) -> Self {
        Self(Key::Client(key))
    }
}

impl From<ServerKey> for AnyKey {
    fn from(key: ServerKey) -> Self {
        Self(Key::Server(key))
    }
}

/// A request with a branch of its own.
pub fn request(method: &str, branch: &str) -> Message {
    request_via(method, &format!("SIP/2.0/UDP near.example;branch={branch}"))
}

pub fn request_via(method: &str, via: &str) -> Message {
    parse(
        format!(
            "{method} sip:bob@far.example SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\n\
             From: <sip:alice@near.example>;tag=a\r\nTo: <sip:bob@far.example>\r\nCall-ID: call@near\r\n\
             CSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        )
        .as_bytes(),
    )
}

/// A response whose To tag is `tag`.
pub fn response(request: &Message, status: u16, tag: &str) -> Message {
    ResponseBuilder::to(request, status).to_tag(tag).unwrap().build()
}

/// The ACK for a final response: hop by hop with the branch of the INVITE, or another one for a 2xx.
pub fn ack(invite: &Message, response: &Message, branch: Option<&str>) -> Message {
    let via = match branch {
        Some(branch) => format!("SIP/2.0/UDP near.example;branch={branch}"),
        None => String::from_utf8(invite.first(HeaderId::Via).unwrap().to_vec()).unwrap(),
    };
    let text = |id, message: &Message| String::from_utf8(message.first(id).unwrap().to_vec()).unwrap();
    parse(
        format!(
            "ACK {} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\n\
             CSeq: {} ACK\r\nContent-Length: 0\r\n\r\n",
            String::from_utf8_lossy(invite.request_uri().unwrap()),
            text(HeaderId::From, invite),
            text(HeaderId::To, response),
            text(HeaderId::CallId, invite),
            invite.cseq().unwrap().number,
        )
        .as_bytes(),
    )
}

pub fn parse(bytes: &[u8]) -> Message {
    Message::parse(Bytes::copy_from_slice(bytes), &Limits::default()).expect("a SIP message")
}

/// The method of a request, the status of a response.
pub fn name(message: &Message) -> String {
    match message.status() {
        Some(status) => status.to_string(),
        None => message.method().as_str().to_owned(),
    }
}
