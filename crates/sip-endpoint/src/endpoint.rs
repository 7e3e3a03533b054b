//! Binding an endpoint, running it, and talking to it from other tasks.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::hash::RandomState;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use lifecycle::Tasks;
use sip_transaction::Transactions;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::config::{Config, Listen, ListenStream};
use crate::context::Core;
use crate::counters::Counters;
use crate::datagrams::DatagramSocket;
use crate::dns::Dns;
use crate::driver::{Driver, Listener};
use crate::flow::{Flows, Kind};
use crate::hop::Transport;
use crate::kernel::KernelSocket;
use crate::names::Names;
use crate::refused_tcp::RefusedTcp;
use crate::silence::Silence;
use crate::stream::Event;
use crate::timers::Timers;
use crate::udp::Sockets;
use crate::user::TransactionUser;
use crate::work::{Busy, Work};

/// Bound sockets, ready to run. What peers send before [`run`](Self::run) waits in the kernel.
pub struct Endpoint<U: TransactionUser> {
    config: Arc<Config>,
    dns: Arc<dyn Dns>,
    tasks: Tasks,
    counters: Arc<Counters>,
    names: Names,
    sockets: Vec<Box<dyn DatagramSocket>>,
    listeners: Vec<Listener>,
    handle: Handle<U::Command>,
    commands: mpsc::Receiver<U::Command>,
}

/// The way for other tasks to reach the user of an endpoint.
#[derive(Debug)]
pub struct Handle<C> {
    commands: mpsc::Sender<C>,
    counters: Arc<Counters>,
}

impl<C> Clone for Handle<C> {
    fn clone(&self) -> Self {
        Self { commands: self.commands.clone(), counters: self.counters.clone() }
    }
}

impl<C> Handle<C> {
    /// Hands a command to [`TransactionUser::on_command`].
    ///
    /// # Errors
    /// When too many commands wait, or the endpoint has ended; the command is dropped.
    pub fn send(&self, command: C) -> Result<(), Busy> {
        self.commands.try_send(command).map_err(|_| Busy)
    }

    /// What the endpoint counts.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }
}

impl<U: TransactionUser> Endpoint<U> {
    /// Binds every address of the configuration: those to `listen` on for UDP and TCP on the same port. Connections become tasks
    /// of `tasks`.
    ///
    /// # Errors
    /// When an address cannot be bound, or TLS is to be served without a certificate; the message names the address.
    pub async fn bind(config: Config, dns: Arc<dyn Dns>, tasks: Tasks) -> io::Result<Self> {
        let mut sockets: Vec<Box<dyn DatagramSocket>> = Vec::new();
        let mut listeners = Vec::new();
        let named = |address: SocketAddr| {
            move |error: io::Error| {
                io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
            }
        };
        for listen in &config.listen {
            let bound = bind_both(listen, config.socket_buffer).await;
            let (socket, io) = bound.map_err(named(listen.address))?;
            let local = socket.local();
            sockets.push(Box::new(socket));
            listeners.push(Listener { io, local, kind: Kind::of(Transport::Tcp) });
        }
        let streams = config.streams.clone();
        let has_certificate = config.tls.is_some();
        let mut endpoint = Self::over(config, dns, tasks, sockets)?;
        for ListenStream { transport, address, advertise } in streams {
            let served = match transport {
                Transport::Ws => true,
                Transport::Tls | Transport::Wss => has_certificate,
                Transport::Udp | Transport::Tcp => false,
            };
            if !served {
                let why = format!("{} without a certificate", transport.as_str());
                return Err(named(address)(io::Error::new(io::ErrorKind::InvalidInput, why)));
            }
            let io = listen_on(address).map_err(named(address))?;
            let local = io.local_addr()?;
            endpoint.names.add_of(transport, local, advertise.as_ref())?;
            listeners.push(Listener { io, local, kind: Kind::of(transport) });
        }
        if let Some(address) = endpoint.config.siblings.as_ref().map(|siblings| siblings.address) {
            let io = listen_on(address).map_err(named(address))?;
            let local = io.local_addr()?;
            let kind = Kind { transport: Transport::Tls, of_siblings: true };
            listeners.push(Listener { io, local, kind });
        }
        Ok(Self { listeners, ..endpoint })
    }

    /// Runs over sockets of the caller, one for each address of the configuration, and has no connections.
    ///
    /// # Errors
    /// When it cannot be found out by what address peers reach an unspecified one.
    pub fn over(
        config: Config,
        dns: Arc<dyn Dns>,
        tasks: Tasks,
        sockets: Vec<Box<dyn DatagramSocket>>,
    ) -> io::Result<Self> {
        let config = Arc::new(config);
        let mut names = Names::new(&config.own_names, &config.local_nets);
        for (listen, socket) in config.listen.iter().zip(&sockets) {
            names.add(socket.local(), listen)?;
        }
        let counters = Arc::new(Counters::default());
        let (sender, commands) = mpsc::channel(config.max_commands_queued);
        let handle = Handle { commands: sender, counters: counters.clone() };
        let listeners = Vec::new();
        Ok(Self { config, dns, tasks, counters, names, sockets, listeners, handle, commands })
    }

    /// The addresses that are bound, in the order of the configuration.
    pub fn listening(&self) -> impl Iterator<Item = SocketAddr> {
        self.sockets.iter().map(|socket| socket.local())
    }

    /// The addresses that are bound for connections of other kinds than TCP, in the order of the configuration.
    pub fn listening_streams(&self) -> impl Iterator<Item = (Transport, SocketAddr)> {
        let is_other = |kind: Kind| kind.transport != Transport::Tcp && !kind.of_siblings;
        let others = self.listeners.iter().filter(move |listener| is_other(listener.kind));
        others.map(|listener| (listener.kind.transport, listener.local))
    }

    /// The address that is bound for the other hosts of the tier.
    pub fn listening_siblings(&self) -> Option<SocketAddr> {
        self.listeners.iter().find(|listener| listener.kind.of_siblings).map(|listener| listener.local)
    }

    /// What peers are shown of the listeners, `host:port`: the advertised names and the inside addresses.
    pub fn shown(&self) -> impl Iterator<Item = &str> {
        self.names.shown()
    }

    /// The way for other tasks to reach the user.
    pub fn handle(&self) -> Handle<U::Command> {
        self.handle.clone()
    }

    /// What the endpoint counts.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Runs the loop until `shutdown` comes, and gives the user back. Draining is the user's affair and comes before
    /// that: transactions that are open now are forgotten.
    ///
    /// # Errors
    /// When a socket cannot be prepared, before anything was received.
    pub async fn run(self, user: U, shutdown: impl Future<Output = ()>) -> io::Result<U> {
        let mut driver = self.into_driver(user)?;
        let mut shutdown = pin!(shutdown);
        loop {
            let ended = poll_fn(|cx| {
                if shutdown.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(true);
                }
                driver.poll_round(cx).map(|()| false)
            });
            if ended.await {
                return Ok(driver.user);
            }
        }
    }

    fn into_driver(self, user: U) -> io::Result<Driver<U>> {
        let Self { config, dns, tasks, counters, names, sockets, listeners, handle: _, commands } = self;
        let now = tokio::time::Instant::now().into_std();
        let udp = Sockets::new(sockets, config.max_datagrams_queued, counters.clone());
        let (event_sender, events): (mpsc::Sender<Event>, _) = mpsc::channel(config.max_events_queued);
        let refused_tcp = RefusedTcp::new(config.remember_refused_tcp);
        let core = Core {
            now,
            transactions: Transactions::new(now, &config.transactions),
            udp,
            flows: Flows::new(event_sender, tasks, config.clone(), counters.clone()),
            timers: Timers::new(now),
            work: Work::new(config.max_work),
            returning: Work::new(config.max_work),
            names,
            connects: !listeners.is_empty(),
            dns,
            config,
            counters,
            tags: RandomState::new(),
            refused_tcp,
            failed: VecDeque::new(),
            disconnected: VecDeque::new(),
            closed: VecDeque::new(),
            silence: Silence::default(),
            witness: user.witness(),
            lag: Duration::ZERO,
        };
        Ok(Driver {
            core,
            user,
            listeners,
            events,
            commands,
            accept_again_at: None,
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            incoming: Vec::new(),
            undelivered: Vec::new(),
        })
    }
}

/// RFC 3261 18.2.1: both transports on one port. When any port will do, one is looked for that is free for both.
async fn bind_both(listen: &Listen, buffer: usize) -> io::Result<(KernelSocket, TcpListener)> {
    const ATTEMPTS: usize = 20;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let listener = listen_on(listen.address)?;
        let address = listener.local_addr()?;
        match KernelSocket::bind(address, buffer) {
            Ok(socket) => return Ok((socket, listener)),
            Err(error)
                if listen.address.port() == 0
                    && error.kind() == io::ErrorKind::AddrInUse
                    && attempt < ATTEMPTS => {}
            Err(error) => return Err(error),
        }
    }
}

/// A listener for one address family alone, as the socket for datagrams is: then IPv4 and IPv6 may share a port, and an IPv4 peer is
/// known by its own address. `TcpListener::bind` would leave that to the machine.
fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    const BACKLOG: i32 = 1024; // what `TcpListener::bind` asks for
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}
