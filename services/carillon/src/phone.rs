//! `carillon phone`: a scripted phone to try things with.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use lifecycle::{Shutdown, Tasks};
use scripted_phone::{Answer, Happening, Identity, Remote, Script};
use tokio::net::{UdpSocket, lookup_host};
use tokio::sync::mpsc;
use tokio::time::{Instant as At, sleep_until};

use crate::cli::PhoneArgs;
use crate::out::{OutputError, complain, say, shown};

/// How long the phone waits for the answer to its last REGISTER before it goes.
const GOODBYE: Duration = Duration::from_secs(2);

/// A server that has not said a word after this long is probably not there: four retransmissions went unanswered.
const SILENCE: Duration = Duration::from_secs(4);

/// Runs the phone until SIGTERM or SIGINT, or until its registration is refused; it takes its registration back as it goes.
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
    let listen = match &args.listen {
        Some(listen) => listen.clone(),
        None => way_to(server).await.with_context(|| format!("--server {server}: there is no way to it"))?,
    };
    let socket =
        UdpSocket::bind(&listen).await.with_context(|| format!("--listen {listen}: cannot listen there"))?;
    let signals = Shutdown::new();
    signals.ask_on_signals(&Tasks::new("signals", 1))?;
    say!("{} listens on {} and registers at {server}", args.aor, socket.local_addr()?)?;
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
    let mut holder = Holder::new(args.aor, server, remote);
    loop {
        let (silence, goodbye) = (holder.silence, holder.goodbye);
        tokio::select! {
            biased; // a second signal ends the phone even when messages pour in
            () = signals.forced() => return holder.end(),
            () = signals.asked(), if goodbye.is_none() => holder.leave().await?,
            () = until(goodbye) => return holder.end(),
            () = until(silence) => holder.nobody_there(),
            result = &mut phone => return Ok(result?),
            happening = happenings.recv() => {
                let Some((at, happening)) = happening else { return holder.end() };
                if let Err(e) = holder.tell(at, &happening) {
                    // Nobody reads any more, but the server must not go on ringing a phone that is gone.
                    holder.unread = Some(e);
                    holder.leave().await?;
                }
                match happening {
                    Happening::RegisterFailed { status, reason } if status != 408 => {
                        anyhow::bail!("{} was refused: {status} {reason}{}", holder.aor, advice(status))
                    }
                    Happening::Registered(Duration::ZERO) => return holder.end(),
                    _ => {}
                }
            }
        }
    }
}

/// Who holds the phone in hand, and what is told to the terminal.
struct Holder {
    aor: String,
    server: SocketAddr,
    remote: mpsc::Sender<Remote>,
    start: Instant,
    /// When to say that the server is silent.
    silence: Option<At>,
    /// When to go without the answer to the last REGISTER.
    goodbye: Option<At>,
    /// Why the happenings are not told any more.
    unread: Option<OutputError>,
}

impl Holder {
    fn new(aor: String, server: SocketAddr, remote: mpsc::Sender<Remote>) -> Self {
        let silence = Some(At::now() + SILENCE);
        Self { aor, server, remote, start: Instant::now(), silence, goodbye: None, unread: None }
    }

    fn tell(&mut self, at: Instant, happening: &Happening) -> Result<(), OutputError> {
        if matches!(happening, Happening::Received(_)) {
            self.silence = None;
        }
        if self.unread.is_some() {
            return Ok(());
        }
        say!("{:>8.3} {}", at.saturating_duration_since(self.start).as_secs_f64(), shown(&words(happening)))
    }

    /// Hangs up and takes the registration back.
    async fn leave(&mut self) -> anyhow::Result<()> {
        self.goodbye = Some(At::now() + GOODBYE);
        self.remote.send(Remote::Hangup).await?;
        Ok(self.remote.send(Remote::Unregister).await?)
    }

    fn nobody_there(&mut self) {
        self.silence = None;
        complain!(
            "carillon: nobody answers at {} over UDP; is `carillon serve` running there? (--server names another place) \
             Trying on.",
            self.server
        );
    }

    fn end(self) -> anyhow::Result<()> {
        self.unread.map_or(Ok(()), |why| Err(why.into()))
    }
}

/// This machine's own address on the way to `server`, with a port that the system chooses. Nothing is sent.
async fn way_to(server: SocketAddr) -> std::io::Result<String> {
    let anywhere = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let probe = UdpSocket::bind(anywhere).await?;
    probe.connect(server).await?;
    Ok(SocketAddr::new(probe.local_addr()?.ip(), 0).to_string())
}

async fn until(at: Option<At>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
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
    Script { answer, rings: !args.busy, hangup_after: args.hangup_after, registers_again: true, ..base }
}

fn advice(status: u16) -> &'static str {
    match status {
        401 => "; check the password (--password), and that the account exists (carillon account list)",
        403 | 404 => {
            "; check that the server serves this domain (carillon serve --domain) and has the account"
        }
        _ => "",
    }
}

/// A happening in words.
fn words(happening: &Happening) -> String {
    match happening {
        Happening::Registered(Duration::ZERO) => "no longer registered".into(),
        Happening::Registered(time) => format!("registered for {} s", time.as_secs()),
        Happening::RegisterFailed { status, reason } => format!("registration failed: {status} {reason}"),
        Happening::RegisterPostponed { status, reason, again_in } => {
            format!("not registered yet: {status} {reason}; again in {} s", again_in.as_secs())
        }
        Happening::Incoming { from, .. } => format!("a call from {from}"),
        Happening::Progress { status } => format!("progress: {status}"),
        Happening::Tone => "plays the ringback tone it was sent".into(),
        Happening::Changed { direction } => format!("the session changed: {direction}"),
        Happening::Agreed { direction } => format!("agreed on a change of the session: {direction}"),
        Happening::Connected => "connected".into(),
        Happening::Ended { by_peer: true, reason } => format!("the call is over: {reason}"),
        Happening::Ended { by_peer: false, reason } => format!("ended the call: {reason}"),
        Happening::Refused { status, reason } => format!("the call was refused: {status} {reason}"),
        Happening::Referred { status } => format!("the REFER was answered: {status}"),
        Happening::Notified(line) => format!("what became of the REFER: {line}"),
        Happening::Message { from, words } => format!("a message from {from}: {words}"),
        Happening::Messaged { status } => format!("the message was answered: {status}"),
        Happening::Sent(line) => format!("  sent {line}"),
        Happening::Received(line) => format!("  got  {line}"),
    }
}
