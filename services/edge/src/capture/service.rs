//! `carillon.trace.v1.Capture`: the ring of this edge.

use std::sync::Arc;

use async_trait::async_trait;
use cluster_api::trace::v1::capture_server::Capture;
use cluster_api::trace::v1::{LadderStep, ReadCaptureRequest, ReadCaptureResponse, WatchCaptureRequest};
use cluster_rpc::{Reason, Refusal};
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use super::find::steps_of;
use super::ring::Ring;

/// What this edge saw of calls.
#[derive(Clone)]
pub struct CaptureService {
    pub(crate) ring: Arc<Ring>,
    pub(crate) edge_id: String,
}

#[async_trait]
impl Capture for CaptureService {
    async fn read_capture(
        &self,
        request: Request<ReadCaptureRequest>,
    ) -> Result<Response<ReadCaptureResponse>, Status> {
        let ReadCaptureRequest { key, with_text } = request.into_inner();
        let key = key.ok_or_else(|| Refusal::field(Reason::BadField, "key", "call_id or sip_call_id"))?;
        let (ring, edge_id) = (self.ring.clone(), self.edge_id.clone());
        // Some megabytes are searched; messages of phones do not wait for that.
        let read = tokio::task::spawn_blocking(move || {
            let (kept, left) = ring.read();
            let (steps, cut) = steps_of(&key, &kept, &edge_id, with_text);
            // Something may have left the ring only if the call began before what is still there.
            let oldest = kept.first().map(|step| step.number);
            let reaches_back = steps.first().is_some_and(|step| Some(step.number) == oldest);
            ReadCaptureResponse { steps, truncated: cut || (left && reaches_back) }
        });
        let read = read.await.map_err(|_| Refusal::new(Reason::Internal, "reading the ring failed"))?;
        Ok(Response::new(read))
    }

    type WatchCaptureStream = BoxStream<LadderStep>;

    async fn watch_capture(
        &self,
        _: Request<WatchCaptureRequest>,
    ) -> Result<Response<Self::WatchCaptureStream>, Status> {
        Err(Refusal::not_implemented("WatchCapture").into())
    }
}
