//! The operator's own service that is asked before a call leaves by a trunk: it runs here, behind TLS with a token, and the executable asks it.

use std::collections::VecDeque;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use cluster_api::callcontrol::v1::call_control_client::CallControlClient;
use cluster_api::callcontrol::v1::{DialRequest, Flow, GetCallRequest, Party, call};
use cluster_api::registrar::v1::spending_server::{Spending, SpendingServer};
use cluster_api::registrar::v1::{AuthorizeRequest, AuthorizeResponse, authorize_response::Decision};
use scripted_phone::{Happening, Remote};
use test_support::{Authority, Carillon, PATIENCE, TestPhone};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::trunks::{CONNECTED, ENDED, alice, create, refused, trunk};
use crate::wire::Wire;

/// What it was asked, and what it says next; then that calls may go out.
#[derive(Default)]
struct Budget {
    asked: Mutex<Vec<AuthorizeRequest>>,
    denials: Mutex<VecDeque<&'static str>>,
}

#[tonic::async_trait]
impl Spending for Budget {
    async fn authorize(
        &self,
        request: Request<AuthorizeRequest>,
    ) -> Result<Response<AuthorizeResponse>, Status> {
        if request.metadata().get("authorization").is_none_or(|shown| shown != "Bearer s3cret") {
            return Err(Status::unauthenticated("whose token is this?"));
        }
        self.asked.lock().unwrap().push(request.into_inner());
        let denial = self.denials.lock().unwrap().pop_front();
        let decision = if denial.is_some() { Decision::Deny } else { Decision::Allow };
        let reason = denial.unwrap_or_default().to_owned();
        Ok(Response::new(AuthorizeResponse { decision: decision.into(), reason, max_duration: None }))
    }
}

impl Budget {
    fn denies(&self, reason: &'static str) {
        self.denials.lock().unwrap().push_back(reason);
    }

    /// The last call that it was asked about.
    fn last(&self) -> AuthorizeRequest {
        self.asked.lock().unwrap().last().cloned().expect("it was asked")
    }
}

/// The service behind TLS, until the task is ended, and its port.
async fn serve(budget: &Arc<Budget>, authority: &Authority) -> (SocketAddr, JoinHandle<()>) {
    let files = authority.issue("budget", &["budget.test"]);
    let read = |path| std::fs::read(path).expect("our own file");
    let identity = Identity::from_pem(read(&files.certificate), read(&files.key));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let address = listener.local_addr().expect("a bound socket has an address");
    let service = SpendingServer::from_arc(budget.clone());
    let mut server = Server::builder().tls_config(ServerTlsConfig::new().identity(identity)).expect("a pair");
    let serving = server.add_service(service).serve_with_incoming(TcpListenerStream::new(listener));
    (address, tokio::spawn(async move { serving.await.expect("it serves") }))
}

/// Carillon that asks there.
fn carillon(address: SocketAddr, authority: &Authority, silent: &str) -> Carillon {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let ca = authority.file();
    let text = format!(
        "[spending]\nurls = [\"https://{address}\"]\ntoken = \"s3cret\"\nca = {ca:?}\ntimeout = \"600ms\"\nsilent = \"{silent}\"\n"
    );
    file.write_all(text.as_bytes()).unwrap();
    Carillon::serve(&["--config", file.path().to_str().unwrap()])
}

async fn refusal(phone: &mut TestPhone) -> (u16, String) {
    match phone.wait_for("the refusal", |h| matches!(h, Happening::Refused { .. })).await {
        Happening::Refused { status, reason } => (status, reason),
        other => panic!("{other:?}"),
    }
}

/// T6: the service is asked about a call of a phone, about one that runs through call-control, and about one that was dialled; what it
/// allows goes out, and of what it denies nothing does, with its reason for the caller and in the events of the call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_service_allows_and_denies_what_costs_money() {
    let (budget, authority) = (Arc::new(Budget::default()), Authority::new());
    let (address, _serving) = serve(&budget, &authority).await;
    let carillon = carillon(address, &authority, "deny");
    let [gateway, second] = ["127.0.0.2", "127.0.0.3"].map(|ip| Wire::at(ip, &carillon));
    create(&carillon, trunk("pstn", gateway.address(), "")).await;
    create(
        &carillon,
        cluster_api::registrar::v1::Trunk { priority: 1, ..trunk("spare", second.address(), "") },
    )
    .await;
    let mut alice = alice(&carillon).await;

    alice.act(Remote::Dial("sip:+49-30-1234@localhost;user=phone".into())).await;
    let invite = gateway.receive_request("INVITE");
    gateway.respond(&invite, "486 Busy Here", &[]);
    assert_eq!(refused(&mut alice).await, 486);
    gateway.receive_request("ACK");
    let asked = budget.last();
    let told = [&asked.account, &asked.domain, &asked.called, &asked.number, &asked.trunk];
    let expected =
        ["sip:alice@localhost", "localhost", "sip:+49-30-1234@localhost;user=phone", "+49301234", "pstn"];
    assert_eq!(told, expected);
    assert!(!asked.call_id.is_empty() && !asked.leg.is_empty(), "{asked:?}");

    budget.denies("Credit Exhausted");
    alice.act(Remote::Dial("sip:+4930@localhost".into())).await;
    assert_eq!(refusal(&mut alice).await, (403, "Credit Exhausted".to_owned()));

    let set = carillon.command(&["account", "set", "sip:alice@localhost", "--anchor", "true"]);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    budget.denies("Credit Exhausted");
    alice.act(Remote::Dial("sip:+4931@localhost".into())).await;
    assert_eq!(refused(&mut alice).await, 403);
    let asked = budget.last();
    assert_eq!([&*asked.account, &asked.number], ["sip:alice@localhost", "+4931"]);
    let set = carillon.command(&["account", "set", "sip:alice@localhost", "--anchor", "false"]);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));

    budget.denies("Credit Exhausted");
    let mut client = CallControlClient::connect(carillon.api.clone()).await.expect("the API answers");
    let party = |uri: &str| Some(Party { uri: uri.into(), ..Party::default() });
    let flow = Flow::Iii.into();
    let request =
        DialRequest { from: party(&alice.aor), to: party("tel:+4932"), flow, ..DialRequest::default() };
    let call = client.dial(request).await.expect("a good call").into_inner();
    alice.wait_for("the end", ENDED).await;
    let started = Instant::now();
    let outcome = loop {
        let request = GetCallRequest { call_id: call.call_id.clone() };
        let shown = client.get_call(request).await.expect("it is known").into_inner();
        if shown.state() == call::State::Ended {
            break shown.outcome.expect("what ended has an outcome");
        }
        assert!(started.elapsed() < PATIENCE, "{shown:?}");
        tokio::task::yield_now().await;
    };
    assert_eq!((outcome.sip_status, &*outcome.sip_reason), (403, "Credit Exhausted"));
    let asked = budget.last();
    assert_eq!((&asked.call_id, &*asked.number), (&call.call_id, "+4932"));
    gateway.expect_nothing();
    second.expect_nothing();
    assert!(carillon.metric("carillon_registrar_spending_total{outcome=\"denied\"}") >= 3.0);
}

/// T6: while the service is away no call goes out, each is refused at once, and calls among users go on; or they go out, where the
/// operator says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_an_operators_service_is_away_the_settings_decide() {
    let (budget, authority) = (Arc::new(Budget::default()), Authority::new());
    let (address, serving) = serve(&budget, &authority).await;
    serving.abort();
    for silent in ["deny", "allow"] {
        let carillon = carillon(address, &authority, silent);
        let gateway = Wire::at("127.0.0.2", &carillon);
        create(&carillon, trunk("pstn", gateway.address(), "")).await;
        let mut alice = alice(&carillon).await;
        alice.act(Remote::Dial("sip:+4930@localhost".into())).await;
        if silent == "allow" {
            let invite = gateway.receive_request("INVITE");
            gateway.respond(&invite, "486 Busy Here", &[]);
            assert_eq!(refused(&mut alice).await, 486);
            continue;
        }
        assert_eq!(refusal(&mut alice).await, (503, "Call Not Decided".to_owned()));
        carillon.account("sip:bob@localhost", "secret");
        let script = scripted_phone::Script::default();
        let mut bob = TestPhone::registered(&carillon.sip, "sip:bob@localhost", "secret", script).await;
        alice.act(Remote::Dial("sip:bob@localhost".into())).await;
        bob.wait_for("the call", CONNECTED).await;
        gateway.expect_nothing();
    }
}
