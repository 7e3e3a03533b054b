//! Scripted phones on the virtual network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use lifecycle::Tasks;
use parking_lot::Mutex;
use scripted_phone::{Dialog, Happening, Identity, Output, Phone, Script};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::bindings::Bindings;
use crate::lines::{Lines, header};
use crate::network::{VirtualSocket, until};
use crate::trace::Trace;

/// A phone that runs. Clones are the same phone.
#[derive(Clone)]
pub struct VirtualPhone {
    /// User part of its address of record.
    pub user: String,
    /// Where it is.
    pub address: SocketAddr,
    phone: Arc<Mutex<Phone>>,
    /// Calls by which others join the one that it has, for whom it mixes.
    joined: Arc<Mutex<Lines>>,
    touched: Arc<Notify>,
    registration: Arc<Mutex<Registration>>,
    /// How often it asked for a registration or took one back.
    asked: Arc<AtomicU64>,
    /// The call that came last, and when.
    came: Arc<Mutex<Option<(String, Instant)>>>,
    /// Calls for which it rang until it lost patience.
    rang_out: Arc<Mutex<Vec<String>>>,
    /// What it told its holder, and when.
    news: Arc<Mutex<Vec<(Instant, Happening)>>>,
    bindings: Bindings,
    tasks: Tasks,
}

/// How long a phone rings that nobody answers: longer than any caller waits.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// What the phone knows of its registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Registration {
    Unknown,
    /// 200 came to the last REGISTER.
    Granted,
    /// 200 came to the one that took it back.
    TakenBack,
}

impl VirtualPhone {
    /// Switches a phone on.
    ///
    /// # Panics
    /// When the set of tasks is full.
    pub fn start(
        socket: VirtualSocket,
        server: SocketAddr,
        identity: Identity,
        seed: u64,
        tasks: &Tasks,
        bindings: Bindings,
        trace: Trace,
    ) -> Self {
        use sip_endpoint::DatagramSocket as _;
        let (user, address) = (identity.user.clone(), socket.local());
        let joined = Lines::new(identity.clone(), address, server, seed ^ 0x7013);
        let phone = Phone::new(identity, Script::default(), address, server, seed);
        let phone = Self {
            user,
            address,
            phone: Arc::new(Mutex::new(phone)),
            joined: Arc::new(Mutex::new(joined)),
            touched: Arc::default(),
            registration: Arc::new(Mutex::new(Registration::Unknown)),
            asked: Arc::default(),
            came: Arc::default(),
            rang_out: Arc::default(),
            news: Arc::default(),
            bindings,
            tasks: tasks.clone(),
        };
        tasks.spawn("phone", phone.clone().run(socket, trace)).expect("room for every phone");
        phone
    }

    /// Does something with the phone.
    pub fn act(&self, act: impl FnOnce(&mut Phone, std::time::Instant)) {
        act(&mut self.phone.lock(), Instant::now().into_std());
        self.touched.notify_one();
    }

    /// Registers.
    pub fn register(&self) {
        self.ask(Phone::register);
    }

    /// Takes the registration back.
    pub fn unregister(&self) {
        self.ask(Phone::unregister);
    }

    fn ask(&self, ask: impl FnOnce(&mut Phone, std::time::Instant)) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        *self.registration.lock() = Registration::Unknown;
        self.act(ask);
    }

    /// Whether the last registration was granted.
    pub fn is_registered(&self) -> bool {
        *self.registration.lock() == Registration::Granted
    }

    /// How often it asked for a registration or took one back.
    pub fn times_asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Whether it rings, is in a call, or ends one.
    pub fn has_call(&self) -> bool {
        self.phone.lock().has_call() || self.joined.lock().count() > 0
    }

    /// Whoever calls with it and has had no answer gives up.
    pub fn give_up(&self) {
        self.act(|phone, now| {
            if phone.is_calling() {
                phone.hangup(now);
            }
        });
    }

    /// The dialog that it has.
    pub fn dialog(&self) -> Option<Dialog> {
        self.phone.lock().dialog()
    }

    /// What it told its holder from this moment on, but for single messages.
    pub fn news_since(&self, from: Instant) -> Vec<(Instant, Happening)> {
        self.news.lock().iter().filter(|(at, _)| *at >= from).cloned().collect()
    }

    /// The Call-IDs of the calls for which it rang until it lost patience.
    pub fn rang_out(&self) -> Vec<String> {
        self.rang_out.lock().clone()
    }

    /// A call has ended.
    fn ended(&self, by_peer: bool) {
        let came = self.came.lock().take();
        let rang_out = came.filter(|(_, since)| !by_peer && since.elapsed() >= PATIENCE);
        self.rang_out.lock().extend(rang_out.map(|(call_id, _)| call_id));
    }

    async fn run(self, mut socket: VirtualSocket, trace: Trace) {
        loop {
            let deadline = self.flush(&socket, &trace);
            tokio::select! {
                biased; // so that a run can be repeated
                () = self.touched.notified() => {}
                () = until(deadline) => {
                    let now = Instant::now().into_std();
                    if self.phone.lock().next_deadline().is_some_and(|at| at <= now) {
                        self.phone.lock().handle_deadline(now);
                    }
                    self.joined.lock().handle_deadline(now);
                }
                received = socket.receive() => self.take(received),
            }
        }
    }

    fn take(&self, received: Vec<(SocketAddr, Bytes)>) {
        let (mut phone, mut joined) = (self.phone.lock(), self.joined.lock());
        let now = Instant::now().into_std();
        for (from, bytes) in received {
            let joins = bytes.starts_with(b"INVITE ") && header(&bytes, "Join").is_some();
            match joins || joined.knows(&bytes) {
                true => joined.take(now, bytes, from),
                false => phone.handle_datagram(now, bytes, from),
            }
        }
    }

    fn flush(&self, socket: &VirtualSocket, trace: &Trace) -> Option<std::time::Instant> {
        let mut phone = self.phone.lock();
        while let Some(output) = phone.poll_output() {
            match output {
                Output::Send { to, bytes } => socket.send(to, &bytes),
                // The network tells of these.
                Output::Happened(Happening::Sent(_) | Happening::Received(_)) => {}
                Output::Happened(what) => {
                    match &what {
                        Happening::Registered(granted) => self.told(!granted.is_zero()),
                        Happening::RegisterFailed { .. } => {
                            *self.registration.lock() = Registration::Unknown;
                        }
                        Happening::Incoming { call_id, .. } => {
                            *self.came.lock() = Some((call_id.clone(), Instant::now()));
                        }
                        // It is answered.
                        Happening::Connected => *self.came.lock() = None,
                        Happening::Ended { by_peer, .. } => self.ended(*by_peer),
                        _ => {}
                    }
                    trace.note(format_args!("{} {what:?}", self.user));
                    self.news.lock().push((Instant::now(), what));
                }
            }
        }
        let mut joined = self.joined.lock();
        joined.flush(socket, trace);
        phone.next_deadline().into_iter().chain(joined.next_deadline()).min()
    }

    /// 200 came.
    fn told(&self, registered: bool) {
        *self.registration.lock() = if registered { Registration::Granted } else { Registration::TakenBack };
        let promised = self.bindings.clone().promised(self.clone(), registered, self.times_asked());
        self.tasks.spawn("promise", promised).expect("room for every promise");
    }
}
