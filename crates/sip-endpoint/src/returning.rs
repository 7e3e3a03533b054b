//! Responses whose connection is gone (RFC 3261 18.2.2).
//!
//! | tried so far | what comes next                                                                        |
//! |--------------|----------------------------------------------------------------------------------------|
//! | nothing      | a connection to the source, `received`, at the port of sent-by                         |
//! | the source   | where sent-by leads (RFC 3263 5): its number, or each address of its name in their order |
//! | all of them  | the transaction is told; a repetition of the request gets the response again           |
//!
//! By TLS, who takes the response has to prove the name in sent-by (RFC 5922 7.3), so a number leads nowhere. A WebSocket that is
//! gone cannot be opened again by us (RFC 7118 5).
//!
//! Whoever sends from the source reaches its ports without us; sent-by may name anybody's. So the user says which of the addresses behind
//! it nobody is led to ([`may_return`](TransactionUser::may_return)): a response would open a connection to them.
//!
//! A sent-by that is a name without a port is looked up by the SRV records of its transport first (RFC 3263 5).

use std::hash::BuildHasher as _;
use std::net::SocketAddr;

use sip_message::{Limits, Message, Via};
use sip_transaction::Key;

use crate::context::Core;
use crate::driver::Driver;
use crate::hop::{Hop, Transport};
use crate::locate::locate;
use crate::stream::Parcel;
use crate::target::{Destination, Target};
use crate::user::TransactionUser;

/// Where a message has been on its way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Tried {
    /// The connection it belongs to, and no other.
    #[default]
    Nothing,
    /// The source of the request, at this address.
    Source(SocketAddr),
    /// What sent-by leads to; these addresses are left, the next one last.
    SentBy(Vec<SocketAddr>),
}

/// DNS has answered where a response may go.
pub(crate) struct Located {
    parcel: Parcel,
    found: Vec<Destination>,
}

impl<U: TransactionUser> Driver<U> {
    /// DNS has answered.
    pub(crate) fn take_located(&mut self, mut located: Located) {
        let mut open = Vec::new();
        let found = std::mem::take(&mut located.found);
        // Where the user cannot tell, nobody is led.
        self.guarded(|user, _| open.extend(found.into_iter().filter(|to| user.may_return(to.address))));
        located.found = open;
        self.core.place_located(located);
    }
}

impl<U: TransactionUser> Core<U> {
    /// A message did not leave by its connection: a response gets another one, a request fails.
    pub(crate) fn undelivered(&mut self, mut parcel: Parcel) {
        let Some(key @ Key::Server(_)) = parcel.origin else {
            self.failed.extend(parcel.origin);
            return;
        };
        let gone_on = match std::mem::take(&mut parcel.tried) {
            Tried::Nothing => self.return_to_source(parcel),
            Tried::Source(source) => self.ask_for_sent_by(parcel, source),
            Tried::SentBy(left) => self.return_to_next(parcel, left),
        };
        if gone_on.is_none() {
            self.failed.push_back(key);
        }
    }

    /// The same for a connection to `peer` that could not be opened. Where nobody listens, a further attempt would only
    /// repeat the failure.
    pub(crate) fn not_taken(&mut self, mut parcel: Parcel, peer: Option<SocketAddr>) {
        if let (Tried::Nothing, Some(peer)) = (&parcel.tried, peer) {
            parcel.tried = Tried::Source(peer);
        }
        self.undelivered(parcel);
    }

    fn return_to_source(&mut self, parcel: Parcel) -> Option<()> {
        let response = Message::parse(parcel.bytes.clone(), &Limits::OWN).ok()?;
        let via = response.top_via().ok()?;
        let ip = via.received_ip().or_else(|| via.host_ip())?;
        returns_by(&via)?;
        let source = SocketAddr::new(ip, via.port_or_default());
        self.counters.responses_rerouted.one_more();
        self.return_by(parcel, source, Tried::Source(source))
    }

    fn ask_for_sent_by(&mut self, parcel: Parcel, source: SocketAddr) -> Option<()> {
        let response = Message::parse(parcel.bytes.clone(), &Limits::OWN).ok()?;
        let via = response.top_via().ok()?;
        let transport = returns_by(&via)?;
        let secure = transport == Transport::Tls;
        let target = Target { host: via.host.to_owned(), port: via.port, transport: Some(transport), secure };
        if target.numeric().is_some_and(|sent_by| sent_by.address == source) {
            return None;
        }
        let (dns, tried) = (self.dns.clone(), Tried::Source(source));
        let parcel = Parcel { tried, ..parcel };
        // Any draw will do, as long as a repetition of the response gets the same one.
        let draw = self.tags.hash_one(via.branch);
        let work = async move {
            // What cannot be found out leads nowhere.
            let found = locate(&target, &[transport], &*dns, draw).await.unwrap_or_default();
            Located { found, parcel }
        };
        let started = self.returning.start(Box::pin(work));
        if started.is_err() {
            self.counters.work_refused.one_more();
        }
        started.ok()
    }

    fn place_located(&mut self, Located { parcel, found }: Located) {
        let origin = parcel.origin;
        let mut left: Vec<SocketAddr> = found.into_iter().map(|found| found.address).collect();
        if let Tried::Source(source) = parcel.tried {
            left.retain(|address| *address != source);
        }
        left.reverse();
        if self.return_to_next(parcel, left).is_none() {
            self.failed.extend(origin);
        }
    }

    fn return_to_next(&mut self, parcel: Parcel, mut left: Vec<SocketAddr>) -> Option<()> {
        let next = left.pop()?;
        self.return_by(parcel, next, Tried::SentBy(left))
    }

    fn return_by(&mut self, parcel: Parcel, peer: SocketAddr, tried: Tried) -> Option<()> {
        let response = Message::parse(parcel.bytes.clone(), &Limits::OWN).ok()?;
        let via = response.top_via().ok()?;
        let flow = match returns_by(&via)? {
            Transport::Tls => self.connect_tls(peer, via.host, "")?,
            Transport::Tcp | Transport::Udp | Transport::Ws | Transport::Wss => self.connect(peer)?,
        };
        if let Some(Key::Server(key)) = parcel.origin {
            self.transactions.move_server(key, Hop::Flow(flow));
        }
        self.show_sent(Hop::Flow(flow), &parcel.bytes);
        self.flows.send(flow, Parcel { tried, ..parcel }).ok()
    }
}

/// By what a response may go back when its connection is gone.
fn returns_by(via: &Via<'_>) -> Option<Transport> {
    let is = |transport: &Transport| via.transport.eq_ignore_ascii_case(transport.as_str());
    [Transport::Tcp, Transport::Tls].into_iter().find(is)
}
