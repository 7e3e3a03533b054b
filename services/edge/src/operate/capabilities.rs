//! What a user or host can do: an OPTIONS and its answer as data. RFC 3261 11

use std::sync::Arc;
use std::time::Duration;

use ambient::Entropy;
use cluster_api::convert::optional_duration;
use cluster_api::edge::v1::requests_server::Requests;
use cluster_api::edge::v1::{
    Capabilities, ExchangeRequest, ExchangeResponse, QueryCapabilitiesRequest, SendRequest,
};
use cluster_api::sip::v1::Header;
use cluster_rpc::{Reason, Refusal};
use sip_message::{HeaderId, Scheme, Uri, standard_reason};
use tokio::time::{Instant, timeout};
use tonic::{Request, Status};

use crate::exchange::RequestsService;

/// How long somebody has for the answer when the asker does not say: four repetitions of the request (RFC 3261 17.1.2.2).
const PATIENCE: Duration = Duration::from_secs(4);

/// 64*T1: no transaction lasts longer.
const MOST_PATIENCE: Duration = Duration::from_secs(32);

/// Asks others what they can do.
#[derive(Clone)]
pub(crate) struct Asking {
    pub(crate) requests: RequestsService,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// In whose name: a URI of a domain of ours.
    pub(crate) from_uri: String,
}

impl Asking {
    /// Sends one OPTIONS.
    ///
    /// # Errors
    /// `BAD_URI`; or the edge takes no work now. A SIP failure is an answer.
    pub(crate) async fn ask(&self, query: QueryCapabilitiesRequest) -> Result<Capabilities, Status> {
        let expected = "a sip or sips URI, for example sip:bob@example.com";
        if !Uri::parse(query.uri.as_bytes()).is_ok_and(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips))
        {
            return Err(Refusal::field(Reason::BadUri, "uri", expected).into());
        }
        let limits = Duration::from_millis(1)..=MOST_PATIENCE;
        let patience = optional_duration("timeout", query.timeout, limits).map_err(Refusal::from)?;
        let id = self.entropy.token(16);
        let request = SendRequest {
            method: "OPTIONS".into(),
            request_uri: query.uri.clone(),
            from_uri: self.from_uri.clone(),
            from_tag: self.entropy.token(8),
            to_uri: query.uri,
            sip_call_id: id.clone(),
            cseq: 1,
            // RFC 3261 11.1: which bodies the answer may have.
            headers: vec![Header { name: "Accept".into(), value: "application/sdp".into() }],
            ..SendRequest::default()
        };
        let exchange = ExchangeRequest { exchange_id: id, request: Some(request) };
        let began = Instant::now();
        let answer = self.requests.exchange(Request::new(exchange));
        let answer = timeout(patience.unwrap_or(PATIENCE), answer).await;
        let answer = match answer {
            Ok(answer) => answer?.into_inner(),
            Err(_) => ExchangeResponse { status: 408, local: true, ..ExchangeResponse::default() },
        };
        let round_trip = prost_types::Duration::try_from(began.elapsed()).ok();
        Ok(Capabilities { round_trip, ..read(answer) })
    }
}

fn read(answer: ExchangeResponse) -> Capabilities {
    let lines = |wanted: HeaderId| {
        let headers = answer.headers.iter();
        headers.filter(move |header| HeaderId::from_name(header.name.as_bytes()) == wanted)
    };
    let listed = |wanted| {
        let values = lines(wanted).flat_map(|header| header.value.split(','));
        values.map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let first = |wanted| lines(wanted).next().map(|header| header.value.clone());
    let standard = || u16::try_from(answer.status).map_or("", standard_reason).to_owned();
    Capabilities {
        sip_status: answer.status,
        sip_reason: if answer.reason.is_empty() { standard() } else { answer.reason.clone() },
        allow: listed(HeaderId::Allow),
        supported: listed(HeaderId::Supported),
        accept: listed(HeaderId::Accept),
        accept_encoding: listed(HeaderId::AcceptEncoding),
        accept_language: listed(HeaderId::AcceptLanguage),
        allow_events: listed(HeaderId::AllowEvents),
        user_agent: first(HeaderId::UserAgent).or_else(|| first(HeaderId::Server)).unwrap_or_default(),
        contacts: answer.contacts.clone(),
        body: answer.body.clone(),
        round_trip: None,
    }
}
