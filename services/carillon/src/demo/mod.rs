//! `carillon demo`: the main job in one command, on loopback, with nothing simulated but the people.
//!
//! Starts the all-in-one, creates two accounts, registers two scripted phones over real UDP with digest, dials them over
//! real gRPC, hangs up, draws what was on the wire, and compares it with the ladder of the flow.

mod expected;

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use cluster_api::callcontrol::v1::call_control_client::CallControlClient;
use cluster_api::callcontrol::v1::{
    Call, CallEvent, DialRequest, Flow as ApiFlow, HangupRequest, Party, WatchCallsRequest, call_event,
};
use cluster_api::registrar::v1::accounts_client::AccountsClient;
use cluster_api::registrar::v1::{Account, CreateAccountRequest};
use scripted_phone::{Answer, Happening, Identity, Remote, Script};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::cli::{ApiArgs, DemoArgs, Flow};
use crate::client::{self, Connection};
use crate::out::say;
use crate::serve::settings::Settings;
use crate::serve::{self, Running};

/// Bounds how long a demo that does not work hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the demo.
///
/// # Errors
/// Any step that was not as expected.
pub async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let settings = Settings {
        api: "127.0.0.1:0".into(),
        admin: "127.0.0.1:0".into(),
        sip: serve::settings::Sip {
            listen: vec!["udp://127.0.0.1:0".into()],
            ..serve::settings::Sip::default()
        },
        ..Settings::default()
    };
    let running = serve::start(&settings).await?;
    let result = show(&running, args.flow).await;
    running.stop().await;
    result
}

async fn show(running: &Running, flow: Flow) -> anyhow::Result<()> {
    let server = *running.listening.first().context("the edge listens somewhere")?;
    say!("Carillon serves SIP on {server} and gRPC on {}.", running.api)?;
    let api = ApiArgs { api: format!("http://{}", running.api), token: None, json: false };
    let connection = client::connect(&api).await?;
    let mut phones = Vec::new();
    for (seed, name) in (1..).zip(["alice", "bob"]) {
        let password = format!("{name}-secret");
        create_account(connection.clone(), name, &password).await?;
        phones.push(Phone::register(server, name, &password, expected::script(flow, name), seed).await?);
    }
    say!("alice and bob have registered with digest over UDP.")?;
    say!("One rpc: CallControl.Dial(sip:alice@localhost, sip:bob@localhost, {}).\n", expected::name(flow))?;
    let call = dial(connection.clone(), flow).await?;
    let ended = watch(connection.clone(), &call.call_id).await?;
    client::exit_status(&ended)?;
    for phone in &mut phones {
        phone.wait_for("the end of the call", |h| matches!(h, Happening::Ended { .. })).await?;
    }
    let (ladder, differences) = settled(connection, flow, &call.call_id).await?;
    say!("\n{}", ladder.draw())?;
    if !differences.is_empty() {
        bail!("the ladder differs from {}:\n  {}", expected::ladder(flow), differences.join("\n  "));
    }
    say!("Every step was as {} has it.", expected::ladder(flow))?;
    Ok(())
}

/// The ladder once the last answers are in it: the call counts as ended when BYE has left, its 200 comes a moment later.
async fn settled(
    connection: Connection,
    flow: Flow,
    call_id: &str,
) -> anyhow::Result<(client::Gathered, Vec<String>)> {
    let end = Instant::now() + PATIENCE;
    loop {
        let ladder = client::gather(connection.clone(), call_id).await?;
        let differences = expected::compare(flow, &ladder);
        let may_still_come =
            !differences.is_empty() && differences.iter().all(|d| d.ends_with(expected::MISSING));
        if !may_still_come || Instant::now() > end {
            return Ok((ladder, differences));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn create_account(connection: Connection, name: &str, password: &str) -> anyhow::Result<()> {
    let account =
        Account { aor: format!("sip:{name}@localhost"), password: password.into(), ..Account::default() };
    let request = CreateAccountRequest { request_id: format!("demo-{name}"), account: Some(account) };
    AccountsClient::new(connection).create_account(request).await.map_err(client::Refusal)?;
    Ok(())
}

async fn dial(connection: Connection, flow: Flow) -> anyhow::Result<Call> {
    let party = |name: &str| Some(Party { uri: format!("sip:{name}@localhost"), ..Party::default() });
    let request = DialRequest {
        request_id: "demo-dial".into(),
        from: party("alice"),
        to: party("bob"),
        flow: ApiFlow::from(flow) as i32,
        ..DialRequest::default()
    };
    Ok(CallControlClient::new(connection).dial(request).await.map_err(client::Refusal)?.into_inner())
}

/// Prints events, hangs up once the call is connected, and returns the ended call.
async fn watch(connection: Connection, call_id: &str) -> anyhow::Result<Call> {
    let mut client = CallControlClient::new(connection);
    // An empty cursor: every event from CREATED on, however late this watch begins.
    let request = WatchCallsRequest {
        call_id: Some(call_id.into()),
        after_cursor: Some(String::new()),
        ..WatchCallsRequest::default()
    };
    let mut events = client.watch_calls(request).await.map_err(client::Refusal)?.into_inner();
    let mut hung_up = false;
    loop {
        let next = timeout(PATIENCE, events.message()).await.context("no event came")?;
        let event: CallEvent =
            next.map_err(client::Refusal)?.context("the event stream ended before the call")?;
        say!("  {}", client::event_line(&event))?;
        if event.r#type == call_event::Type::Ended as i32 {
            return event.call.context("an event shows the call");
        }
        if event.r#type == call_event::Type::Connected as i32 && !hung_up {
            hung_up = true;
            let request = HangupRequest {
                request_id: "demo-hangup".into(),
                call_id: call_id.into(),
                reason: Some("The demo is over".into()),
            };
            client.hangup(request).await.map_err(client::Refusal)?;
        }
    }
}

/// A scripted phone in a task of the demo.
struct Phone {
    name: &'static str,
    _remote: mpsc::Sender<Remote>,
    happenings: mpsc::UnboundedReceiver<(Instant, Happening)>,
}

impl Phone {
    async fn register(
        server: std::net::SocketAddr,
        name: &'static str,
        password: &str,
        script: Script,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let identity =
            Identity::new(&format!("sip:{name}@localhost"), password).map_err(anyhow::Error::msg)?;
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let (remote, commands) = mpsc::channel(4);
        let (send, happenings) = mpsc::unbounded_channel();
        tokio::spawn(scripted_phone::run(socket, server, identity, script, seed, commands, send));
        remote.send(Remote::Register).await?;
        let mut phone = Self { name, _remote: remote, happenings };
        let done = |h: &Happening| matches!(h, Happening::Registered(_) | Happening::RegisterFailed { .. });
        let answer = phone.wait_for("the answer to REGISTER", done).await?;
        ensure!(matches!(answer, Happening::Registered(_)), "{name} could not register: {answer:?}");
        Ok(phone)
    }

    async fn wait_for(
        &mut self,
        what: &str,
        wanted: impl Fn(&Happening) -> bool,
    ) -> anyhow::Result<Happening> {
        let next = async {
            loop {
                let (_, happening) = self.happenings.recv().await?;
                if wanted(&happening) {
                    return Some(happening);
                }
            }
        };
        let found =
            timeout(PATIENCE, next).await.with_context(|| format!("{} waited for {what}", self.name))?;
        found.with_context(|| format!("{} went away before {what}", self.name))
    }
}

/// How the phones behave: quick to answer, so that the demo is, and alice without 100rel, as the ladders draw her.
fn quick(answer: Duration) -> Answer {
    Answer::After(answer)
}
