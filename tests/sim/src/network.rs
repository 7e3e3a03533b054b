//! A network for datagrams that loses, repeats, delays and reorders them by the seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sip_endpoint::{DatagramSocket, Outgoing, Returned};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::chance::Chance;
use crate::lines::header;
use crate::sabotage::{Sabotage, Saboteur};
use crate::trace::{Trace, fingerprint};

/// Datagrams that a socket gives at once.
const BATCH: usize = 32;

/// What the network does to datagrams, in percent of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// Lost.
    pub lost: u64,
    /// Arrive twice.
    pub repeated: u64,
    /// Are overtaken by later ones.
    pub overtaken: u64,
}

/// The network. Clones are the same.
#[derive(Clone)]
pub struct Network {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Something is to arrive earlier than all before.
    sooner: Notify,
    trace: Trace,
    saboteur: Arc<Saboteur>,
}

struct State {
    weather: Weather,
    chance: Chance,
    /// By time of arrival, and among those of one time by the order in which they were sent.
    under_way: BTreeMap<(Instant, u64), Datagram>,
    sent: u64,
    /// Of each Call-ID, what was asked, by fingerprint: repetitions are one.
    asked: BTreeMap<Vec<u8>, BTreeSet<u64>>,
    /// What was sent, when somebody wants to look at it.
    kept: Option<Vec<(SocketAddr, Bytes)>>,
    inboxes: BTreeMap<SocketAddr, Inbox>,
}

struct Datagram {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Bytes,
}

#[derive(Default)]
struct Inbox {
    arrived: VecDeque<(SocketAddr, Bytes)>,
    waker: Option<Waker>,
}

/// One end of the network.
pub struct VirtualSocket {
    network: Network,
    local: SocketAddr,
}

impl Network {
    /// A network without sockets, in fair weather.
    pub fn new(chance: Chance, trace: Trace, saboteur: Arc<Saboteur>) -> Self {
        let state = State {
            weather: Weather::default(),
            chance,
            under_way: BTreeMap::new(),
            sent: 0,
            asked: BTreeMap::new(),
            kept: None,
            inboxes: BTreeMap::new(),
        };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), sooner: Notify::new(), trace, saboteur }) }
    }

    /// Changes the weather for what is sent from now on.
    pub fn set_weather(&self, weather: Weather) {
        self.shared.state.lock().weather = weather;
    }

    /// Keeps everything that is sent from now on, with its receiver.
    pub fn keep(&self) {
        self.shared.state.lock().kept = Some(Vec::new());
    }

    /// What was kept.
    pub fn kept(&self) -> Vec<(SocketAddr, Bytes)> {
        self.shared.state.lock().kept.clone().unwrap_or_default()
    }

    /// Call-IDs with more different requests than this.
    pub fn asked_more_than(&self, most: usize) -> Vec<String> {
        let state = self.shared.state.lock();
        let many = state.asked.iter().filter(|(_, asked)| asked.len() > most);
        many.map(|(call_id, asked)| format!("{} of {}", asked.len(), String::from_utf8_lossy(call_id)))
            .collect()
    }

    /// A socket at this address.
    pub fn bind(&self, local: SocketAddr) -> VirtualSocket {
        self.shared.state.lock().inboxes.insert(local, Inbox::default());
        VirtualSocket { network: self.clone(), local }
    }

    /// Closes the socket at this address, whoever has it: what arrives there is lost.
    pub fn unbind(&self, local: SocketAddr) {
        self.shared.state.lock().inboxes.remove(&local);
    }

    /// Carries datagrams until it is dropped.
    pub async fn run(self) {
        loop {
            let next = self.deliver(Instant::now());
            let sooner = self.shared.sooner.notified();
            match next {
                // Either way there is a look at what is due.
                Some(at) => drop(tokio::time::timeout_at(at, sooner).await),
                None => sooner.await,
            }
        }
    }

    fn send(&self, from: SocketAddr, to: SocketAddr, bytes: &Bytes) {
        let mut state = self.shared.state.lock();
        let state = &mut *state;
        let Weather { lost, repeated, overtaken } = state.weather;
        if let Some(kept) = &mut state.kept {
            kept.push((to, bytes.clone()));
        }
        let is_sabotaged =
            bytes.starts_with(b"CANCEL ") && self.shared.saboteur.does(Sabotage::LosesCancels, 100);
        let lost = if is_sabotaged { 100 } else { lost };
        let copies = match (state.chance.percent(lost), state.chance.percent(repeated)) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        };
        let first_line = bytes.split(|octet| *octet == b'\r').next().unwrap_or_default();
        let first_line = String::from_utf8_lossy(first_line);
        self.shared
            .trace
            .note(format_args!("{from} > {to} x{copies} {:016x} {first_line}", fingerprint(bytes)));
        // Registrations go on as long as the phone does.
        if !bytes.starts_with(b"SIP/") && !bytes.starts_with(b"REGISTER ") {
            let call_id = header(bytes, "Call-ID").unwrap_or_default().to_vec();
            state.asked.entry(call_id).or_default().insert(fingerprint(bytes));
        }
        let before = state.under_way.first_key_value().map(|((at, _), _)| *at);
        for _ in 0..copies {
            let late = if state.chance.percent(overtaken) { state.chance.between(20, 300) } else { 0 };
            let at = Instant::now() + Duration::from_millis(late + state.chance.between(1, 10));
            state.sent += 1;
            state.under_way.insert((at, state.sent), Datagram { from, to, bytes: bytes.clone() });
        }
        if state.under_way.first_key_value().map(|((at, _), _)| *at) != before {
            self.shared.sooner.notify_one();
        }
    }

    /// Gives what has arrived to its inbox; when the next one will.
    fn deliver(&self, now: Instant) -> Option<Instant> {
        let mut state = self.shared.state.lock();
        while let Some(entry) = state.under_way.first_entry() {
            let at = entry.key().0;
            if at > now {
                return Some(at);
            }
            let Datagram { from, to, bytes } = entry.remove();
            // Nobody listens: it is lost.
            let Some(inbox) = state.inboxes.get_mut(&to) else { continue };
            inbox.arrived.push_back((from, bytes));
            if let Some(waker) = inbox.waker.take() {
                waker.wake();
            }
        }
        None
    }
}

impl VirtualSocket {
    /// Sends a datagram, which always leaves.
    pub fn send(&self, to: SocketAddr, bytes: &Bytes) {
        self.network.send(self.local, to, bytes);
    }

    /// The next datagrams that arrive.
    pub async fn receive(&mut self) -> Vec<(SocketAddr, Bytes)> {
        let mut received = Vec::new();
        std::future::poll_fn(|cx| self.poll_receive(cx, &mut received)).await;
        received
    }
}

impl DatagramSocket for VirtualSocket {
    fn local(&self) -> SocketAddr {
        self.local
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>, received: &mut Vec<(SocketAddr, Bytes)>) -> Poll<()> {
        let mut state = self.network.shared.state.lock();
        let Some(inbox) = state.inboxes.get_mut(&self.local) else { return Poll::Pending };
        if inbox.arrived.is_empty() {
            inbox.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = inbox.arrived.len().min(BATCH);
        received.extend(inbox.arrived.drain(..count));
        Poll::Ready(())
    }

    fn try_send(&mut self, datagrams: &[Outgoing]) -> io::Result<usize> {
        for datagram in datagrams {
            self.send(datagram.peer, &datagram.bytes);
        }
        Ok(datagrams.len())
    }

    fn poll_writable(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn poll_returned(&mut self, _: &mut Context<'_>, _: &mut Vec<Returned>) -> Poll<()> {
        Poll::Pending
    }

    fn take_returned(&mut self, _: &mut Vec<Returned>) -> bool {
        false
    }
}

/// Waits until a moment of a pure machine's, for ever without one.
pub async fn until(deadline: Option<std::time::Instant>) {
    match deadline {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
