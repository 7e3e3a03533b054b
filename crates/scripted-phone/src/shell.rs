//! The phone on a socket.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use crate::happening::Happening;
use crate::line::{Datagrams, Line};
use crate::phone::{Output, Phone};
use crate::script::{Identity, Script};

/// What the holder of a running phone can do.
#[derive(Debug, Clone)]
pub enum Remote {
    /// Register, or refresh.
    Register,
    /// Take the registration back.
    Unregister,
    /// Call this URI.
    Dial(String),
    /// End the call.
    Hangup,
    /// Hold the call, or take it back.
    Hold(bool),
    /// Behave differently from now on.
    Script(Script),
    /// Switch off: no more messages, the socket closes.
    Off,
}

/// Runs a phone on `socket` until it is switched off or nobody holds it any more.
///
/// # Errors
/// The socket's.
pub async fn run(
    socket: UdpSocket,
    server: SocketAddr,
    identity: Identity,
    script: Script,
    seed: u64,
    remote: mpsc::Receiver<Remote>,
    happenings: mpsc::UnboundedSender<(Instant, Happening)>,
) -> std::io::Result<()> {
    let local = socket.local_addr()?;
    let phone = Phone::new(identity, script, local, server, seed);
    run_on(Datagrams::over(socket), phone, remote, happenings).await
}

/// Runs a phone on a line until it is switched off, nobody holds it any more, or the line ends.
///
/// # Errors
/// The line's.
pub async fn run_on(
    mut line: impl Line,
    mut phone: Phone,
    mut remote: mpsc::Receiver<Remote>,
    happenings: mpsc::UnboundedSender<(Instant, Happening)>,
) -> std::io::Result<()> {
    loop {
        while let Some(output) = phone.poll_output() {
            match output {
                Output::Send { to, bytes } => line.send(to, bytes).await?,
                Output::Happened(what) => {
                    if happenings.send((Instant::now(), what)).is_err() {
                        return Ok(());
                    }
                }
            }
        }
        let deadline = phone.next_deadline();
        let due = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased; // the holder first: "off" must win over a flood of datagrams
            command = remote.recv() => match command {
                Some(Remote::Register) => phone.register(Instant::now()),
                Some(Remote::Unregister) => phone.unregister(Instant::now()),
                Some(Remote::Dial(uri)) => phone.dial(Instant::now(), &uri),
                Some(Remote::Hangup) => phone.hangup(Instant::now()),
                Some(Remote::Hold(held)) => phone.hold(Instant::now(), held),
                Some(Remote::Script(script)) => phone.set_script(script),
                Some(Remote::Off) | None => return Ok(()),
            },
            () = due => phone.handle_deadline(Instant::now()),
            received = line.receive() => {
                let (bytes, from) = received?;
                phone.handle_datagram(Instant::now(), bytes, from);
            }
        }
    }
}
