//! The far side of trunks, behind an edge that is played here: what it was sent, and what it answers.

use std::sync::Arc;

use async_trait::async_trait;
use cluster_api::cluster::v1::{LeaseRequest, Member, membership_server::Membership as _};
use cluster_api::edge::v1::requests_server::Requests;
use cluster_api::edge::v1::{
    CancelProxiedRequest, CancelProxiedResponse, ExchangeRequest, ExchangeResponse, SendRequest,
};
use cluster_api::registrar::v1::{GetTrunkRequest, Trunk, trunks_server::Trunks as _};
use cluster_api::sip::v1::Header;
use cluster_rpc::RequestsLink;
use lifecycle::Shutdown;
use parking_lot::Mutex;
use registrar::Registrar;
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status};

use crate::rig::Rig;

type Answering = Box<dyn FnMut(&SendRequest) -> Option<ExchangeResponse> + Send>;

/// One edge and everything behind it.
#[derive(Clone)]
pub struct FarSide {
    edge_id: String,
    sent: Arc<Mutex<Vec<SendRequest>>>,
    answering: Arc<Mutex<Answering>>,
}

impl FarSide {
    /// Behind the edge of this name; `None` is silence.
    pub fn new(
        edge_id: &str,
        answering: impl FnMut(&SendRequest) -> Option<ExchangeResponse> + Send + 'static,
    ) -> Self {
        Self {
            edge_id: edge_id.into(),
            sent: Arc::default(),
            answering: Arc::new(Mutex::new(Box::new(answering))),
        }
    }

    /// From now on it answers like this.
    pub fn answers(&self, answering: impl FnMut(&SendRequest) -> Option<ExchangeResponse> + Send + 'static) {
        *self.answering.lock() = Box::new(answering);
    }

    /// The edge lives, for as long as the clock stands still.
    pub async fn lives(&self, rig: &Rig) {
        let (id, role) = (self.edge_id.clone(), "edge".to_owned());
        let member = Member { id, role, epoch: 1, ..Member::default() };
        rig.registrar().lease(Request::new(LeaseRequest { member: Some(member) })).await.unwrap();
    }

    /// A replica works for trunks through this edge until the task is dropped.
    pub fn keeps(&self, replica: &Registrar) -> Working {
        let link = RequestsLink::local(self.edge_id.clone(), Arc::new(self.clone()));
        let shutdown = Shutdown::new();
        let following = tokio::spawn(replica.clone().run(shutdown.clone()));
        Working(vec![tokio::spawn(replica.clone().keep_trunks(link, shutdown)), following])
    }

    /// What was sent, from the start.
    pub fn sent(&self) -> Vec<SendRequest> {
        self.sent.lock().clone()
    }
}

/// The work of one replica, which dies when this is dropped.
pub struct Working(Vec<JoinHandle<()>>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

#[async_trait]
impl Requests for FarSide {
    async fn exchange(&self, asked: Request<ExchangeRequest>) -> Result<Response<ExchangeResponse>, Status> {
        let send = asked.into_inner().request.expect("a request");
        self.sent.lock().push(send.clone());
        let answer = (self.answering.lock())(&send);
        match answer {
            Some(answer) => Ok(Response::new(answer)),
            None => std::future::pending().await,
        }
    }

    async fn cancel_proxied(
        &self,
        _: Request<CancelProxiedRequest>,
    ) -> Result<Response<CancelProxiedResponse>, Status> {
        Err(Status::unimplemented("no calls here"))
    }
}

/// An answer without anything.
pub fn answer(status: u32) -> ExchangeResponse {
    ExchangeResponse { status, ..ExchangeResponse::default() }
}

/// An answer with a header.
pub fn answer_with(status: u32, name: &str, value: &str) -> ExchangeResponse {
    let headers = vec![Header { name: name.into(), value: value.into() }];
    ExchangeResponse { headers, ..answer(status) }
}

/// Value of a header of a request.
pub fn value<'a>(send: &'a SendRequest, name: &str) -> Option<&'a str> {
    send.headers.iter().find(|header| header.name == name).map(|header| header.value.as_str())
}

/// Lets virtual time pass until something is so.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..2_000 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::advance(std::time::Duration::from_millis(100)).await;
    }
    panic!("never: {what}");
}

/// Lets everything run that can, for so many seconds of virtual time.
pub async fn pass(seconds: u64) {
    for _ in 0..seconds * 10 {
        tokio::time::advance(std::time::Duration::from_millis(100)).await;
    }
}

/// A trunk as the API shows it.
pub async fn shown(rig: &Rig, trunk_id: &str) -> Trunk {
    let request = GetTrunkRequest { trunk_id: trunk_id.into() };
    rig.registrar().get_trunk(Request::new(request)).await.expect("the trunk").into_inner()
}
