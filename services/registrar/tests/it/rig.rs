//! A registrar, a clock that stands still until moved, and a phone that knows how to answer challenges.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use ambient::{FixedClock, SeededEntropy, WallClock as _};
use async_trait::async_trait;
use cluster_api::{
    registrar::v1::{
        Account, CreateAccountRequest, RegisterContact, RegisterRequest, RegisterResponse, RouteRequest,
        RouteResponse, accounts_server::Accounts as _, location_server::Location as _, route_response::Plan,
    },
    sip::v1::Source,
};
use cluster_rpc::SpendingLink;
use parking_lot::Mutex;
use registrar::{Auth, Config, Deps, DomainConfig, PushProvider, Registrar};
use sip_digest::{Challenge, Login, answer, answerable};
use store::{Batch, CommitOutcome, MemoryStore, Store as _, StoreError};
use test_support::{Hook, HookedStore, Read};
use tonic::Request;

pub const PASSWORD: &str = "zanzibar";

/// Replicas of the registrar over one store. Domain `d` wants digests, domains `open` and `held` want nothing, and the calls of
/// `held` are anchored.
pub struct Rig {
    pub clock: FixedClock,
    pub store: Arc<HookedStore<Counting>>,
    pub memory: Arc<MemoryStore>,
    pub replicas: Vec<Registrar>,
    /// Of the first replica.
    pub metrics: telemetry::Metrics,
}

impl Rig {
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    /// Settings other than the domains are the given ones.
    pub fn with(config: Config) -> Self {
        Self::built(config, |replica| replica)
    }

    /// The same, and every replica pushes phones by `provider`.
    pub fn pushing(config: Config, provider: Arc<dyn PushProvider>) -> Self {
        Self::built(config, |replica| replica.pushing(provider.clone()))
    }

    /// The same, and every replica asks a service of the operator's by what is made for it.
    pub fn asking(config: Config, link: impl Fn(&telemetry::Metrics) -> SpendingLink) -> Self {
        Self::built(config, |replica| replica.asking(link(&telemetry::Metrics::new())))
    }

    fn built(config: Config, finish: impl Fn(Registrar) -> Registrar) -> Self {
        let clock = FixedClock::at_unix_seconds(1_800_000_000);
        let memory = Arc::new(MemoryStore::new({
            let clock = clock.clone();
            move || clock.now()
        }));
        let store = Arc::new(HookedStore::new(memory.clone(), Counting::default()));
        let domain = |name: &str, auth, anchor| DomainConfig {
            name: name.to_owned(),
            auth,
            anchor,
            ..DomainConfig::default()
        };
        let domains = vec![
            domain("d", Auth::Digest, false),
            domain("open", Auth::None, false),
            domain("held", Auth::None, true),
            DomainConfig { home_prefix: Some("+49".to_owned()), ..domain("german", Auth::Digest, false) },
        ];
        let config = Config { domains, ..config };
        let metrics = telemetry::Metrics::new();
        let replica = |seed, metrics| {
            let entropy = Arc::new(SeededEntropy::new(seed));
            let deps = Deps { store: store.clone(), entropy, metrics };
            finish(Registrar::build(config.clone(), deps).unwrap())
        };
        let replicas = vec![replica(1, metrics.clone()), replica(2, telemetry::Metrics::new())];
        Self { clock, store: store.clone(), memory, replicas, metrics }
    }

    /// The value of a counter of the first replica, by its outcome.
    pub fn counted(&self, name: &str, outcome: &str) -> u64 {
        let line = format!("carillon_{name}{{outcome=\"{outcome}\"}} ");
        let text = self.metrics.text();
        text.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
    }

    pub fn registrar(&self) -> &Registrar {
        &self.replicas[0]
    }

    /// Creates `sip:NAME@d` with [`PASSWORD`].
    pub async fn account(&self, name: &str) -> Account {
        self.account_with(Account { aor: format!("sip:{name}@d"), ..Account::default() }).await
    }

    pub async fn account_with(&self, account: Account) -> Account {
        let account = Account { password: PASSWORD.to_owned(), ..account };
        let request = CreateAccountRequest { account: Some(account), ..CreateAccountRequest::default() };
        self.registrar().create_account(Request::new(request)).await.unwrap().into_inner()
    }
}

/// One phone of one user.
#[derive(Clone)]
pub struct Phone {
    pub registrar: Registrar,
    pub user: String,
    pub domain: String,
    pub password: String,
    pub call_id: String,
    pub cseq: u32,
    pub nonce_count: u32,
    /// The challenge in use.
    pub challenge: Option<String>,
}

impl Phone {
    pub fn of(rig: &Rig, user: &str, domain: &str) -> Self {
        Self {
            registrar: rig.registrar().clone(),
            user: user.to_owned(),
            domain: domain.to_owned(),
            password: PASSWORD.to_owned(),
            call_id: format!("call-{user}"),
            cseq: 0,
            nonce_count: 0,
            challenge: None,
        }
    }

    /// The REGISTER that comes next, without credentials.
    pub fn request(&mut self, contacts: &[RegisterContact]) -> RegisterRequest {
        self.cseq += 1;
        let aor = format!("sip:{}@{}", self.user, self.domain);
        RegisterRequest {
            request_uri: format!("sip:{}", self.domain),
            to_uri: aor.clone(),
            from_uri: aor,
            sip_call_id: self.call_id.clone(),
            cseq: self.cseq,
            contacts: contacts.to_vec(),
            source: Some(source()),
            flow: "flow-1".to_owned(),
            user_agent: "rig".to_owned(),
            ..RegisterRequest::default()
        }
    }

    /// Sends a request as it is.
    pub async fn send(&self, request: RegisterRequest) -> RegisterResponse {
        self.registrar.register(Request::new(request)).await.unwrap().into_inner()
    }

    /// Puts credentials for the challenge in use on a request.
    pub fn sign(&mut self, request: &mut RegisterRequest) {
        let value = self.credentials("REGISTER", &request.request_uri.clone(), &request.body.clone());
        request.authorization = vec![value];
    }

    pub fn credentials(&mut self, method: &str, uri: &str, body: &[u8]) -> String {
        self.nonce_count += 1;
        let header = self.challenge.clone().expect("a challenge was taken");
        let challenge = Challenge::parse(header.as_bytes()).unwrap();
        let login = Login { user: &self.user, password: &self.password };
        let value = answer(&challenge, login, method, uri, body, "cnonce", self.nonce_count).to_bytes();
        String::from_utf8(value).unwrap()
    }

    /// Takes the best challenge of an answer.
    pub fn take_challenge(&mut self, challenges: &[String]) {
        let best = answerable(challenges.iter().map(String::as_bytes)).remove(0).to_bytes();
        self.challenge = Some(String::from_utf8(best).unwrap());
        self.nonce_count = 0;
    }

    /// Registers like a phone: with the credentials it has, and once more when it is challenged.
    pub async fn register(&mut self, contacts: &[RegisterContact]) -> RegisterResponse {
        let request = self.request(contacts);
        self.register_as(request).await
    }

    pub async fn register_as(&mut self, mut request: RegisterRequest) -> RegisterResponse {
        if self.challenge.is_some() {
            self.sign(&mut request);
        }
        let first = self.send(request.clone()).await;
        if first.status != 401 {
            return first;
        }
        self.take_challenge(&first.challenges);
        self.cseq += 1;
        request.cseq = self.cseq;
        self.sign(&mut request);
        self.send(request).await
    }

    /// Calls like a phone: answers one challenge.
    pub async fn route(&mut self, request_uri: &str) -> RouteResponse {
        let request = self.route_request(request_uri);
        self.route_as(request).await
    }

    pub fn route_request(&self, request_uri: &str) -> RouteRequest {
        RouteRequest {
            method: "INVITE".to_owned(),
            request_uri: request_uri.to_owned(),
            from_uri: format!("sip:{}@{}", self.user, self.domain),
            to_uri: request_uri.to_owned(),
            sip_call_id: "call".to_owned(),
            cseq: 1,
            source: Some(source()),
            ..RouteRequest::default()
        }
    }

    pub async fn route_as(&mut self, mut request: RouteRequest) -> RouteResponse {
        let first = self.send_route(request.clone()).await;
        let Some(Plan::Challenge(challenge)) = &first.plan else { return first };
        self.take_challenge(&challenge.challenges);
        request.cseq += 1;
        let value =
            self.credentials(&request.method.clone(), &request.request_uri.clone(), &request.body.clone());
        request.proxy_authorization = vec![value];
        self.send_route(request).await
    }

    pub async fn send_route(&self, request: RouteRequest) -> RouteResponse {
        self.registrar.route(Request::new(request)).await.unwrap().into_inner()
    }
}

pub fn source() -> Source {
    Source { transport: "udp".to_owned(), address: "192.0.2.1".to_owned(), port: 5060, trusted: false }
}

pub fn contact(uri: &str) -> RegisterContact {
    RegisterContact { uri: uri.to_owned(), ..RegisterContact::default() }
}

pub fn lasting(uri: &str, expires: u32) -> RegisterContact {
    RegisterContact { expires: Some(expires), ..contact(uri) }
}

pub fn with_q(uri: &str, q_milli: u32) -> RegisterContact {
    RegisterContact { q_milli: Some(q_milli), ..contact(uri) }
}

pub fn uris(response: &RegisterResponse) -> Vec<&str> {
    response.contacts.iter().map(|contact| contact.uri.as_str()).collect()
}

pub fn header<'a>(response: &'a RegisterResponse, name: &str) -> Option<&'a str> {
    response.headers.iter().find(|header| header.name == name).map(|header| header.value.as_str())
}

/// Status of a plan that answers, 0 for one that forwards.
pub fn status(response: &RouteResponse) -> u32 {
    match &response.plan {
        Some(Plan::Challenge(_)) => 407,
        Some(Plan::Refuse(refuse)) => refuse.status,
        Some(Plan::Redirect(redirect)) => redirect.status,
        _ => 0,
    }
}

/// Target URIs by group.
pub fn targets(response: &RouteResponse) -> Vec<Vec<&str>> {
    match &response.plan {
        Some(Plan::Fork(fork)) => fork
            .groups
            .iter()
            .map(|group| group.targets.iter().map(|target| target.uri.as_str()).collect())
            .collect(),
        other => panic!("no fork but {other:?}"),
    }
}

/// Counts what is asked of the store, which fails when told to.
#[derive(Default)]
pub struct Counting {
    pub reads: AtomicU64,
    pub commits: AtomicU64,
    pub is_down: AtomicBool,
    /// What who commits is told after it was done.
    pub after_commit: Mutex<Option<StoreError>>,
}

impl Counting {
    /// Reads and commits since the last question.
    pub fn count(&self) -> (u64, u64) {
        (self.reads.swap(0, Ordering::SeqCst), self.commits.swap(0, Ordering::SeqCst))
    }

    fn check(&self) -> Result<(), StoreError> {
        match self.is_down.load(Ordering::SeqCst) {
            true => Err(StoreError::unavailable("told to fail")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Hook for Counting {
    async fn before(&self, read: Read) -> Result<(), StoreError> {
        if read == Read::Record {
            self.reads.fetch_add(1, Ordering::SeqCst);
        }
        self.check()?;
        if read == Read::Record {
            // other tasks may run here, as they would while a server is asked
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn commit(&self, memory: &MemoryStore, batch: Batch) -> Result<CommitOutcome, StoreError> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.check()?;
        tokio::task::yield_now().await;
        let outcome = memory.commit(batch).await?;
        self.after_commit.lock().clone().map_or(Ok(outcome), Err)
    }
}
