//! A scripted phone in a task of the test.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use scripted_phone::{Connection, Happening, Identity, Line, Phone, Remote, Script, Wire};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::certificates::Authority;
use crate::web::WebSocket;
use crate::{Carillon, PATIENCE};

/// A phone on loopback.
pub struct TestPhone {
    /// Its address of record.
    pub aor: String,
    /// Its socket.
    pub address: SocketAddr,
    /// The Call-ID of its REGISTERs.
    pub registration: String,
    remote: mpsc::Sender<Remote>,
    happenings: mpsc::UnboundedReceiver<(Instant, Happening)>,
    seen: Vec<Happening>,
}

impl TestPhone {
    /// A phone that talks to `server` ("127.0.0.1:PORT") and is not registered yet.
    pub async fn new(server: &str, aor: &str, password: &str, script: Script) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("loopback has ports");
        let address = socket.local_addr().expect("a bound socket has an address");
        let (remote, commands) = mpsc::channel(16);
        let (send, happenings) = mpsc::unbounded_channel();
        let identity = Identity::new(aor, password).expect("tests use good addresses");
        let server = server.parse().expect("tests use numeric servers");
        let seed = seed();
        // A phone makes the same names of the same seed.
        let twin = Phone::new(identity.clone(), script.clone(), address, server, seed);
        let registration = twin.registration_call_id().to_owned();
        tokio::spawn(scripted_phone::run(socket, server, identity, script, seed, commands, send));
        Self { aor: aor.into(), address, registration, remote, happenings, seen: Vec::new() }
    }

    /// A phone that has registered over this wire, believing this authority; by WebSocket it is a page of `https://phone.example`.
    ///
    /// # Panics
    /// When there is no way to the server.
    pub async fn on(
        carillon: &Carillon,
        wire: Wire,
        authority: &Authority,
        aor: &str,
        password: &str,
        script: Script,
    ) -> Self {
        let scheme = format!("{wire:?}").to_ascii_lowercase();
        let server = carillon.listener(&scheme).parse().expect("listeners have numbers");
        let plain = TcpStream::connect(server).await.expect("it listens");
        let local = plain.local_addr().expect("a connection has an address");
        let identity = Identity::new(aor, password).expect("tests use good addresses");
        let phone = Phone::new(identity, script, local, server, seed()).on(wire);
        let origin = "https://phone.example";
        let secured = async |plain| {
            let name = "localhost".try_into().expect("a name");
            authority.client(None).connect(name, plain).await.expect("the server proves to be localhost")
        };
        let mut phone = match wire {
            Wire::Udp => panic!("TestPhone::registered is for datagrams"),
            Wire::Tcp => Self::over(Connection::over(plain, server), phone, aor, local),
            Wire::Tls => Self::over(Connection::over(secured(plain).await, server), phone, aor, local),
            Wire::Ws => {
                let socket = WebSocket::open(plain, server, origin).await.expect("it speaks sip");
                Self::over(socket, phone, aor, local)
            }
            Wire::Wss => {
                let socket = WebSocket::open(secured(plain).await, server, origin).await;
                Self::over(socket.expect("it speaks sip"), phone, aor, local)
            }
        };
        phone.act(Remote::Register).await;
        phone.wait_for("registration", |h| matches!(h, Happening::Registered(_))).await;
        phone
    }

    fn over(line: impl Line, phone: Phone, aor: &str, address: SocketAddr) -> Self {
        let (remote, commands) = mpsc::channel(16);
        let (send, happenings) = mpsc::unbounded_channel();
        let registration = phone.registration_call_id().to_owned();
        tokio::spawn(scripted_phone::run_on(line, phone, commands, send));
        Self { aor: aor.into(), address, registration, remote, happenings, seen: Vec::new() }
    }

    /// A phone that has registered.
    pub async fn registered(server: &str, aor: &str, password: &str, script: Script) -> Self {
        let mut phone = Self::new(server, aor, password, script).await;
        phone.act(Remote::Register).await;
        phone.wait_for("registration", |h| matches!(h, Happening::Registered(_))).await;
        phone
    }

    /// Does something.
    pub async fn act(&self, what: Remote) {
        self.remote.send(what).await.expect("the phone runs");
    }

    /// The next happening that `wanted` accepts.
    ///
    /// # Panics
    /// With everything that happened, when patience ends.
    pub async fn wait_for(&mut self, what: &str, wanted: impl Fn(&Happening) -> bool) -> Happening {
        let next = async {
            loop {
                let (_, happening) = self.happenings.recv().await?;
                self.seen.push(happening.clone());
                if wanted(&happening) {
                    return Some(happening);
                }
            }
        };
        match timeout(PATIENCE, next).await {
            Ok(Some(happening)) => happening,
            _ => panic!("{} waited for {what}; it saw {:#?}", self.aor, self.seen),
        }
    }

    /// How many messages it has sent until now, and how many have come.
    pub fn passed(&mut self) -> [usize; 2] {
        self.seen
            .extend(std::iter::from_fn(|| self.happenings.try_recv().ok()).map(|(_, happening)| happening));
        let count = |wanted: fn(&Happening) -> bool| self.seen.iter().filter(|h| wanted(h)).count();
        [count(|h| matches!(h, Happening::Sent(_))), count(|h| matches!(h, Happening::Received(_)))]
    }

    /// Everything that happened until the last wait.
    pub fn seen(&self) -> &[Happening] {
        &self.seen
    }
}

/// Identifiers must differ between processes that share a server, so the process id is part of the seed.
fn seed() -> u64 {
    static SEED: AtomicU64 = AtomicU64::new(1);
    SEED.fetch_add(1, Ordering::Relaxed) + u64::from(std::process::id()) * 1000
}
