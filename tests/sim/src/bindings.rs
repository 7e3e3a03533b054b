//! What phones were told about their registrations, held against what a registrar that was just started says.

use std::sync::Arc;
use std::time::Duration;

use ambient::SeededEntropy;
use cluster_api::registrar::v1::location_server::Location as _;
use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{RouteRequest, RouteResponse};
use parking_lot::Mutex;
use registrar::Registrar;
use store::MemoryStore;
use telemetry::Metrics;
use tokio::time::sleep;
use tonic::Request;

use crate::cluster::{DOMAIN, registrar_config};
use crate::phones::VirtualPhone;
use crate::trace::Trace;

/// When a registration that was taken back is looked for again: what was sent before may still be under way.
const LATER: [u64; 4] = [0, 1, 5, 40];

/// Holds promises against the store. Clones are the same.
#[derive(Clone)]
pub struct Bindings {
    memory: Arc<MemoryStore>,
    broken: Arc<Mutex<Broken>>,
    trace: Trace,
}

/// Promises that were not kept.
#[derive(Clone, Debug, Default)]
pub struct Broken {
    /// Registrations that were answered with 200 and not found.
    pub lost: Vec<String>,
    /// Registrations that were taken back and found again.
    pub revived: Vec<String>,
    /// How many promises were looked at.
    pub checked: usize,
}

impl Bindings {
    /// The promises that this store has to keep.
    pub fn new(memory: Arc<MemoryStore>, trace: Trace) -> Self {
        Self { memory, broken: Arc::default(), trace }
    }

    /// What was broken so far.
    pub fn broken(&self) -> Broken {
        self.broken.lock().clone()
    }

    /// A phone was told 200. As long as it says nothing else, everybody has to agree with it.
    pub async fn promised(self, phone: VirtualPhone, registered: bool, asked: u64) {
        let mut before = 0;
        for at in LATER {
            sleep(Duration::from_secs(at - before)).await;
            before = at;
            if phone.times_asked() != asked {
                return;
            }
            self.look(&phone, registered).await;
        }
    }

    async fn look(&self, phone: &VirtualPhone, registered: bool) {
        let found = self.is_found(phone).await;
        let mut broken = self.broken.lock();
        broken.checked += 1;
        if found == registered {
            return;
        }
        let list = if registered { &mut broken.lost } else { &mut broken.revived };
        list.push(phone.user.clone());
        self.trace.note(format_args!("{} was told {registered}, and is found: {found}", phone.user));
    }

    /// Whether a registrar that was just started, and so remembers nothing, would ring the phone.
    async fn is_found(&self, phone: &VirtualPhone) -> bool {
        let deps = registrar::Deps {
            store: self.memory.clone(),
            entropy: Arc::new(SeededEntropy::new(1)),
            metrics: Metrics::new(),
        };
        let registrar = Registrar::build(registrar_config(), deps).expect("the settings work");
        let aor = format!("sip:{}@{DOMAIN}", phone.user);
        let request = RouteRequest {
            method: "INVITE".into(),
            request_uri: aor.clone(),
            from_uri: format!("sip:carillon@{DOMAIN}"),
            to_uri: aor,
            sip_call_id: "looked-up".into(),
            cseq: 1,
            internal: true,
            ..RouteRequest::default()
        };
        let planned = registrar.route(Request::new(request)).await;
        let Ok(RouteResponse { plan: Some(Plan::Fork(fork)), .. }) = planned.map(tonic::Response::into_inner)
        else {
            return false;
        };
        let contact = format!("sip:{}@{}", phone.user, phone.address);
        fork.groups.iter().flat_map(|group| &group.targets).any(|target| target.uri == contact)
    }
}
