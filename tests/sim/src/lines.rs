//! Devices that have many calls at a time: a mixer, a carrier, and the phone that mixes for others. Each call is a phone of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use lifecycle::Tasks;
use parking_lot::Mutex;
use scripted_phone::{Happening, Identity, Output, Phone, Script};

use crate::network::{VirtualSocket, until};
use crate::trace::Trace;

/// The calls of one device.
pub struct Lines {
    identity: Identity,
    local: SocketAddr,
    server: SocketAddr,
    seed: u64,
    script: Script,
    /// By Call-ID. Those that are over answer what is repeated.
    calls: BTreeMap<Vec<u8>, Phone>,
}

impl Lines {
    /// A device without calls.
    pub fn new(identity: Identity, local: SocketAddr, server: SocketAddr, seed: u64) -> Self {
        Self { identity, local, server, seed, script: Script::plain(), calls: BTreeMap::new() }
    }

    /// What it does with calls that come from now on.
    pub fn set_script(&mut self, script: Script) {
        self.script = script;
    }

    /// Whether the message belongs to one of its calls.
    pub fn knows(&self, message: &[u8]) -> bool {
        header(message, "Call-ID").is_some_and(|call_id| self.calls.contains_key(call_id))
    }

    /// How many calls it has.
    pub fn count(&self) -> usize {
        self.calls.values().filter(|call| call.has_call()).count()
    }

    /// A message came: of one of its calls, or of a new one.
    pub fn take(&mut self, now: Instant, bytes: Bytes, from: SocketAddr) {
        let Some(call_id) = header(&bytes, "Call-ID").map(<[u8]>::to_vec) else { return };
        let seed = self.seed.wrapping_mul(7_919).wrapping_add(self.calls.len() as u64);
        let (identity, local, server, script) = (&self.identity, self.local, self.server, &self.script);
        let new = || Phone::new(identity.clone(), script.clone(), local, server, seed);
        self.calls.entry(call_id).or_insert_with(new).handle_datagram(now, bytes, from);
    }

    /// What is due has its turn.
    pub fn handle_deadline(&mut self, now: Instant) {
        let is_due = |call: &&mut Phone| call.next_deadline().is_some_and(|at| at <= now);
        self.calls.values_mut().filter(is_due).for_each(|call| call.handle_deadline(now));
    }

    /// When something is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.calls.values().filter_map(Phone::next_deadline).min()
    }

    /// Sends what there is to be sent, and shows what happened.
    pub fn flush(&mut self, socket: &VirtualSocket, trace: &Trace) {
        for (call_id, call) in &mut self.calls {
            while let Some(output) = call.poll_output() {
                match output {
                    Output::Send { to, bytes } => socket.send(to, &bytes),
                    // The network tells of these.
                    Output::Happened(Happening::Sent(_) | Happening::Received(_)) => {}
                    Output::Happened(what) => {
                        let (name, call_id) = (&self.identity.user, String::from_utf8_lossy(call_id));
                        trace.note(format_args!("{name} {call_id} {what:?}"));
                    }
                }
            }
        }
    }
}

/// A device that runs. Clones are the same.
#[derive(Clone)]
pub struct Desk {
    lines: Arc<Mutex<Lines>>,
}

impl Desk {
    /// Switches it on.
    ///
    /// # Panics
    /// When the set of tasks is full.
    pub fn start(socket: VirtualSocket, lines: Lines, tasks: &Tasks, trace: Trace) -> Self {
        let desk = Self { lines: Arc::new(Mutex::new(lines)) };
        tasks.spawn("desk", desk.clone().run(socket, trace)).expect("room for every device");
        desk
    }

    /// What it does with calls that come from now on.
    pub fn set_script(&self, script: Script) {
        self.lines.lock().set_script(script);
    }

    /// How many calls it has.
    pub fn count(&self) -> usize {
        self.lines.lock().count()
    }

    async fn run(self, mut socket: VirtualSocket, trace: Trace) {
        loop {
            let deadline = {
                let mut lines = self.lines.lock();
                lines.flush(&socket, &trace);
                lines.next_deadline()
            };
            tokio::select! {
                biased; // so that a run can be repeated
                () = until(deadline) => self.lines.lock().handle_deadline(tokio::time::Instant::now().into_std()),
                received = socket.receive() => {
                    let now = tokio::time::Instant::now().into_std();
                    let mut lines = self.lines.lock();
                    received.into_iter().for_each(|(from, bytes)| lines.take(now, bytes, from));
                }
            }
        }
    }
}

/// The first value of a header that everybody here writes out in full.
pub fn header<'a>(message: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let head = message.split(|octet| *octet == b'\n').take_while(|line| *line != b"\r");
    let mut lines = head.filter_map(|line| line.strip_suffix(b"\r"));
    lines.find_map(|line| {
        let colon = line.iter().position(|octet| *octet == b':')?;
        let (field, value) = line.split_at(colon);
        field.eq_ignore_ascii_case(name.as_bytes()).then(|| value[1..].trim_ascii())
    })
}
