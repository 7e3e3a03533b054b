//! `LocationStream`: both sides.

use std::sync::Arc;

use ambient::Entropy;
use bytes::Bytes;
use cluster_api::registrar::v1::{
    AskRequest, AskResponse, RegisterRequest, RouteRequest, location_server::Location,
    location_stream_client::LocationStreamClient, location_stream_server::LocationStream,
};
use futures_util::{FutureExt as _, StreamExt as _, stream::BoxStream};
use prost::Message;
use telemetry::Metrics;
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status, async_trait, transport::Channel};

use super::{
    Batches, Opened, Said, Told,
    answering::{Answerer, Answers},
};
use crate::{envelope::Envelope, reason::Reason, status::Refusal};

/// Opens a stream to a registrar.
pub(crate) fn open(channel: Channel, envelope: Envelope, batches: Batches) -> Opened {
    let asked = envelope.seal(batches.map(AskRequest::from as fn(Said) -> AskRequest));
    Box::pin(async move {
        let mut client = LocationStreamClient::new(channel);
        let told = client.ask(asked).await?.into_inner();
        Ok(told.map(read_told).boxed())
    })
}

impl From<Said> for AskRequest {
    fn from(Said { questions, abandoned }: Said) -> Self {
        Self { questions, abandoned }
    }
}

fn read_told(told: Result<AskResponse, Status>) -> Result<Told, Status> {
    told.map(|AskResponse { answers, ending }| Told { answers, ending })
}

/// `LocationStream` over a `Location`.
#[derive(Clone)]
pub struct LocationAnswers {
    answerer: Answerer,
    ending: watch::Receiver<bool>,
}

impl LocationAnswers {
    /// Hands what is asked to `location`. Once `ending` says that the process ends, streams are told and no new one is taken.
    pub fn new(
        location: Arc<dyn Location>,
        entropy: Arc<dyn Entropy>,
        metrics: &Metrics,
        ending: watch::Receiver<bool>,
    ) -> Self {
        let carry = move |rpc: &str, request: Bytes| {
            let location = location.clone();
            match rpc {
                "Register" => async move {
                    let request = decoded::<RegisterRequest>(request)?;
                    Ok(encoded(&location.register(request).await?.into_inner()))
                }
                .boxed(),
                "Route" => async move {
                    let request = decoded::<RouteRequest>(request)?;
                    Ok(encoded(&location.route(request).await?.into_inner()))
                }
                .boxed(),
                other => {
                    let status = Status::unimplemented(format!("Location has no rpc {other:?} here"));
                    async move { Err(status) }.boxed()
                }
            }
        };
        let answerer = Answerer {
            carry: Arc::new(carry),
            entropy,
            open: metrics.gauge("rpc_server_questions", "Questions over streams that are being answered."),
            full: metrics.counter(
                "rpc_server_streams_full_total",
                "Times that a stream of questions was not read because too many were being answered.",
            ),
        };
        Self { answerer, ending }
    }
}

#[async_trait]
impl LocationStream for LocationAnswers {
    type AskStream = BoxStream<'static, Result<AskResponse, Status>>;

    async fn ask(
        &self,
        request: Request<tonic::Streaming<AskRequest>>,
    ) -> Result<Response<Self::AskStream>, Status> {
        let mut ending = self.ending.clone();
        if *ending.borrow() {
            return Err(Refusal::new(Reason::Draining, "this registrar ends").into());
        }
        let said = request
            .into_inner()
            .map(|asked| asked.map(|AskRequest { questions, abandoned }| Said { questions, abandoned }));
        let ended = async move {
            if ending.wait_for(|ends| *ends).await.is_err() {
                // Nobody is left who could say so.
                std::future::pending::<()>().await;
            }
        };
        let told = Answers::new(self.answerer.clone(), said.boxed(), ended);
        let answers = told.map(|told| told.map(|Told { answers, ending }| AskResponse { answers, ending }));
        Ok(Response::new(answers.boxed()))
    }
}

fn decoded<M: Message + Default>(request: Bytes) -> Result<Request<M>, Status> {
    M::decode(request).map(Request::new).map_err(|error| Status::new(Code::Internal, error.to_string()))
}

fn encoded(response: &impl Message) -> Bytes {
    response.encode_to_vec().into()
}
