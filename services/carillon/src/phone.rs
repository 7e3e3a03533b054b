//! `carillon phone`: a scripted phone to try things with.

use std::time::{Duration, Instant};

use anyhow::Context;
use scripted_phone::{Answer, Happening, Identity, Remote, Script};
use tokio::net::{UdpSocket, lookup_host};
use tokio::sync::mpsc;

use crate::cli::PhoneArgs;

/// How long the phone waits for the answer to its last REGISTER before it goes.
const GOODBYE: Duration = Duration::from_secs(2);

/// Runs the phone until it is interrupted, or its registration is refused.
///
/// # Errors
/// An address that cannot be used; a refused registration.
pub async fn run(args: PhoneArgs) -> anyhow::Result<()> {
    let identity = Identity::new(&args.aor, &args.password).map_err(anyhow::Error::msg)?;
    let server = lookup_host(&args.server)
        .await
        .with_context(|| format!("--server {}: expected ADDR:PORT", args.server))?
        .next()
        .with_context(|| format!("--server {}: no such host", args.server))?;
    let socket = UdpSocket::bind(&args.listen)
        .await
        .with_context(|| format!("--listen {}: cannot listen there", args.listen))?;
    println!("{} listens on {} and registers at {server}", args.aor, socket.local_addr()?);
    let (remote, commands) = mpsc::channel(8);
    let (send, mut happenings) = mpsc::unbounded_channel();
    let phone = scripted_phone::run(
        socket,
        server,
        identity,
        script(&args),
        ambient::Entropy::number(&ambient::SystemEntropy),
        commands,
        send,
    );
    tokio::pin!(phone);
    remote.send(Remote::Register).await?;
    let start = Instant::now();
    let mut leaving = None;
    loop {
        let goodbye = async {
            match leaving {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased; // a second interrupt ends the phone even when messages pour in
            _ = tokio::signal::ctrl_c() => {
                if leaving.is_some() {
                    return Ok(());
                }
                leaving = Some(tokio::time::Instant::now() + GOODBYE);
                remote.send(Remote::Hangup).await?;
                remote.send(Remote::Unregister).await?;
            }
            () = goodbye => return Ok(()),
            result = &mut phone => return Ok(result?),
            happening = happenings.recv() => {
                let Some((at, happening)) = happening else { return Ok(()) };
                println!("{:>8.3} {}", (at - start).as_secs_f64(), tell(&happening));
                match happening {
                    Happening::RegisterFailed { status, reason } if status != 408 => {
                        anyhow::bail!("{} was refused: {status} {reason}{}", args.aor, advice(status))
                    }
                    Happening::Registered(Duration::ZERO) => return Ok(()),
                    _ => {}
                }
            }
        }
    }
}

fn script(args: &PhoneArgs) -> Script {
    let answer = if args.busy {
        Answer::Refuse(Duration::ZERO, 486)
    } else if args.no_answer {
        Answer::Never
    } else {
        Answer::After(args.answer_after)
    };
    let base = if args.plain { Script::plain() } else { Script::default() };
    Script { answer, rings: !args.busy, hangup_after: args.hangup_after, ..base }
}

fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => "; check the password (--password), and that the account exists (carillon account list)",
        404 => "; the account does not exist (carillon account add)",
        _ => "",
    }
}

/// A happening in words.
pub fn tell(happening: &Happening) -> String {
    match happening {
        Happening::Registered(Duration::ZERO) => "no longer registered".into(),
        Happening::Registered(time) => format!("registered for {} s", time.as_secs()),
        Happening::RegisterFailed { status, reason } => format!("registration failed: {status} {reason}"),
        Happening::Incoming { from, .. } => format!("a call from {from}"),
        Happening::Progress { status } => format!("progress: {status}"),
        Happening::Tone => "plays the ringback tone it was sent".into(),
        Happening::Changed { direction } => format!("the session changed: {direction}"),
        Happening::Connected => "connected".into(),
        Happening::Ended { by_peer: true, reason } => format!("the call is over: {reason}"),
        Happening::Ended { by_peer: false, reason } => format!("ended the call: {reason}"),
        Happening::Refused { status, reason } => format!("the call was refused: {status} {reason}"),
        Happening::Sent(line) => format!("  sent {line}"),
        Happening::Received(line) => format!("  got  {line}"),
    }
}
