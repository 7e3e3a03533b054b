//! The phone on a UDP socket.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use crate::happening::Happening;
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
    mut remote: mpsc::Receiver<Remote>,
    happenings: mpsc::UnboundedSender<(Instant, Happening)>,
) -> std::io::Result<()> {
    let local = socket.local_addr()?;
    let mut phone = Phone::new(identity, script, local, server, seed);
    let mut buffer = vec![0; 65_536];
    loop {
        while let Some(output) = phone.poll_output() {
            match output {
                Output::Send { to, bytes } => {
                    // A refused datagram is a lost one: retransmission deals with it.
                    let _ = socket.send_to(&bytes, to).await;
                }
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
                Some(Remote::Script(script)) => phone.set_script(script),
                Some(Remote::Off) | None => return Ok(()),
            },
            () = due => phone.handle_deadline(Instant::now()),
            received = socket.recv_from(&mut buffer) => {
                // An ICMP error of an earlier datagram surfaces here; it is no reason to stop.
                if let Ok((length, from)) = received {
                    phone.handle_datagram(Instant::now(), Bytes::copy_from_slice(&buffer[..length]), from);
                }
            }
        }
    }
}
