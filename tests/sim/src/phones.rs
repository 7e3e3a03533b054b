//! Scripted phones on the virtual network.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use lifecycle::Tasks;
use parking_lot::Mutex;
use scripted_phone::{Happening, Identity, Output, Phone, Script};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::network::{VirtualSocket, until};
use crate::trace::Trace;

/// A phone that runs. Clones are the same phone.
#[derive(Clone)]
pub struct VirtualPhone {
    /// User part of its address of record.
    pub user: String,
    phone: Arc<Mutex<Phone>>,
    touched: Arc<Notify>,
    registered: Arc<Mutex<bool>>,
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
        trace: Trace,
    ) -> Self {
        use sip_endpoint::DatagramSocket as _;
        let user = identity.user.clone();
        let phone = Phone::new(identity, Script::default(), socket.local(), server, seed);
        let phone = Self {
            user,
            phone: Arc::new(Mutex::new(phone)),
            touched: Arc::default(),
            registered: Arc::default(),
        };
        tasks.spawn("phone", phone.clone().run(socket, trace)).expect("room for every phone");
        phone
    }

    /// Does something with the phone.
    pub fn act(&self, act: impl FnOnce(&mut Phone, std::time::Instant)) {
        act(&mut self.phone.lock(), Instant::now().into_std());
        self.touched.notify_one();
    }

    /// Whether the last registration was granted.
    pub fn is_registered(&self) -> bool {
        *self.registered.lock()
    }

    /// Whether it rings, is in a call, or ends one.
    pub fn has_call(&self) -> bool {
        self.phone.lock().has_call()
    }

    async fn run(self, mut socket: VirtualSocket, trace: Trace) {
        loop {
            let deadline = self.flush(&socket, &trace);
            tokio::select! {
                biased; // so that a run can be repeated
                () = self.touched.notified() => {}
                () = until(deadline) => self.phone.lock().handle_deadline(Instant::now().into_std()),
                received = socket.receive() => self.take(received),
            }
        }
    }

    fn take(&self, received: Vec<(SocketAddr, Bytes)>) {
        let mut phone = self.phone.lock();
        for (from, bytes) in received {
            phone.handle_datagram(Instant::now().into_std(), bytes, from);
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
                        Happening::Registered(_) => *self.registered.lock() = true,
                        Happening::RegisterFailed { .. } => *self.registered.lock() = false,
                        _ => {}
                    }
                    trace.note(format_args!("{} {what:?}", self.user));
                }
            }
        }
        phone.next_deadline()
    }
}
