//! `carillon.trace.v1.Traces`: the rings of all edges as ladders.

use async_trait::async_trait;
use cluster_api::trace::v1::traces_server::Traces;
use cluster_api::trace::v1::{
    CallKey, GetLadderRequest, Ladder, LadderStep, ReadCaptureRequest, WatchLadderRequest,
    WatchTrafficRequest, call_key::Key, ladder_step,
};
use cluster_rpc::membership::View;
use cluster_rpc::{CaptureLink, EDGE_ROLE, Reason, Refusal};
use futures_util::future::join_all;
use tokio::sync::watch;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use super::merge::merge;

/// Call flows as all edges saw them.
#[derive(Clone)]
pub struct TracesService {
    pub(crate) edge_id: String,
    pub(crate) captures: CaptureLink,
    pub(crate) members: watch::Receiver<View>,
}

/// What the edges saw of a call.
struct Seen {
    steps: Vec<LadderStep>,
    /// Whether more happened than this.
    truncated: bool,
}

impl TracesService {
    /// Asks every edge.
    async fn seen(&self, key: Key) -> Seen {
        let mut edges: Vec<String> =
            self.members.borrow().of_role(EDGE_ROLE).map(|edge| edge.id.clone()).collect();
        if !edges.contains(&self.edge_id) {
            edges.push(self.edge_id.clone());
        }
        let answers = edges.iter().map(|edge| {
            let request =
                ReadCaptureRequest { key: Some(CallKey { key: Some(key.clone()) }), with_text: true };
            self.captures.read_capture(Some(edge), request)
        });
        let mut seen = Seen { steps: Vec::new(), truncated: false };
        for answer in join_all(answers).await {
            match answer {
                Ok(answer) => {
                    seen.steps.extend(answer.steps);
                    seen.truncated |= answer.truncated;
                }
                // An edge that does not answer is no reason to show nothing.
                Err(_) => seen.truncated = true,
            }
        }
        seen
    }

    /// What happened in a call that is named by either id.
    async fn of_call(&self, id: &str) -> Seen {
        let mut seen = self.seen(Key::CallId(id.to_owned())).await;
        if seen.steps.is_empty() {
            return self.seen(Key::SipCallId(id.to_owned())).await;
        }
        // An edge that only passes messages on may not know whose call they are; the edge with the leg does.
        let mut sip_call_ids: Vec<&String> = seen.steps.iter().map(|step| &step.sip_call_id).collect();
        sip_call_ids.sort();
        sip_call_ids.dedup();
        let several = self.members.borrow().of_role(EDGE_ROLE).count() > 1;
        if several {
            let keys = sip_call_ids.into_iter().map(|id| self.seen(Key::SipCallId(id.clone())));
            for more in join_all(keys).await {
                seen.truncated |= more.truncated;
                seen.steps.extend(more.steps);
            }
            seen.steps.sort_by(|a, b| (&a.edge_id, a.number).cmp(&(&b.edge_id, b.number)));
            seen.steps.dedup_by(|a, b| (&a.edge_id, a.number) == (&b.edge_id, b.number));
        }
        seen
    }
}

#[async_trait]
impl Traces for TracesService {
    async fn get_ladder(&self, request: Request<GetLadderRequest>) -> Result<Response<Ladder>, Status> {
        let GetLadderRequest { call_id, with_text } = request.into_inner();
        if call_id.is_empty() || call_id.len() > 512 {
            let expected = "1 to 512 octets: Carillon's id of the call, or a Call-ID";
            return Err(Refusal::field(Reason::BadField, "call_id", expected).into());
        }
        let Seen { steps, truncated } = self.of_call(&call_id).await;
        if steps.is_empty() {
            let message =
                format!("no edge holds anything of {call_id}: unknown, or its messages have left the rings");
            return Err(Refusal::new(Reason::CallNotFound, message).into());
        }
        let members = self.members.borrow().clone();
        let edges = members.of_role(EDGE_ROLE).map(|edge| (edge.sip.clone(), edge.id.clone()));
        let mut ladder = merge(steps, &edges.collect());
        ladder.truncated = truncated;
        if !with_text {
            for step in &mut ladder.steps {
                if let Some(ladder_step::What::Arrow(arrow)) = &mut step.what {
                    arrow.text.clear();
                }
            }
        }
        Ok(Response::new(ladder))
    }

    type WatchLadderStream = BoxStream<LadderStep>;

    async fn watch_ladder(
        &self,
        _: Request<WatchLadderRequest>,
    ) -> Result<Response<Self::WatchLadderStream>, Status> {
        Err(Refusal::not_implemented("WatchLadder").into())
    }

    type WatchTrafficStream = BoxStream<LadderStep>;

    async fn watch_traffic(
        &self,
        _: Request<WatchTrafficRequest>,
    ) -> Result<Response<Self::WatchTrafficStream>, Status> {
        Err(Refusal::not_implemented("WatchTraffic").into())
    }
}
