//! A push service behind a URL: one POST of JSON for each phone to wake.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::{sleep, timeout};

use super::provider::{Push, PushFailure, PushProvider};

/// An answer says nothing that is read; what is longer costs its connection.
const MOST_ANSWER: usize = 64 * 1024;
/// The pause before the second attempt; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(200);

/// Where pushes are sent.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpPushConfig {
    /// An `http` or `https` URL.
    pub url: String,
    /// Shown as `Authorization: Bearer`; empty for none.
    pub token: String,
    /// How long one attempt may take. 5 s by default: a caller waits for it.
    pub timeout: Duration,
    /// Attempts after the first one, when nobody answers or the answer is 429 or 5xx. 2 by default.
    pub retries: u32,
}

/// The token does not show itself.
impl std::fmt::Debug for HttpPushConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url, timeout, retries, .. } = self;
        f.debug_struct("HttpPushConfig")
            .field("url", url)
            .field("timeout", timeout)
            .field("retries", retries)
            .finish_non_exhaustive()
    }
}

/// Why nothing can be sent there.
#[derive(Debug, thiserror::Error)]
pub enum HttpPushError {
    /// No URL of HTTP.
    #[error("expected a URL like https://push.example.com/wake")]
    Url,
    /// A token with characters that no header may hold.
    #[error("the token holds characters that cannot stand in a header")]
    Token,
    /// The authorities of the system cannot be read.
    #[error("the certificate authorities of the system: {0}")]
    Authorities(#[from] std::io::Error),
}

/// A push service behind a URL.
pub struct HttpPush {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: Uri,
    authorization: Option<HeaderValue>,
    timeout: Duration,
    retries: u32,
}

/// What one attempt came to.
enum Attempt {
    Taken,
    /// Another attempt may do better.
    Failed(String),
    Refused(StatusCode),
}

impl HttpPush {
    /// A service that was not asked yet. Connections are made when there is something to push, and kept.
    ///
    /// # Errors
    /// See [`HttpPushError`].
    pub fn new(config: HttpPushConfig) -> Result<Self, HttpPushError> {
        let url = check_url(&config.url)?;
        let authorization = match &*config.token {
            "" => None,
            token => {
                let mut value =
                    HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| HttpPushError::Token)?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let connector = HttpsConnectorBuilder::new();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        // A service in clear needs no authorities, which a bare container has not.
        let connector = match url.scheme_str() {
            Some("https") => connector.with_provider_and_native_roots(provider)?,
            _ => {
                let none = rustls::ClientConfig::builder_with_provider(provider.into())
                    .with_safe_default_protocol_versions()
                    .map_err(std::io::Error::other)?
                    .with_root_certificates(rustls::RootCertStore::empty())
                    .with_no_client_auth();
                connector.with_tls_config(none)
            }
        };
        let connector = connector.https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        let HttpPushConfig { timeout, retries, .. } = config;
        Ok(Self { client, url, authorization, timeout, retries })
    }

    async fn attempt(&self, body: Bytes) -> Attempt {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        let asked = async {
            let response = self.client.request(request).await.map_err(|error| error.to_string())?;
            let status = response.status();
            // Read to its end, so that the connection serves the next push too.
            let _ = Limited::new(response.into_body(), MOST_ANSWER).collect().await;
            Ok::<_, String>(status)
        };
        match timeout(self.timeout, asked).await {
            Err(_) => Attempt::Failed("the push service did not answer in time".to_owned()),
            Ok(Err(error)) => Attempt::Failed(format!("the push service was not reached: {error}")),
            Ok(Ok(status)) if status.is_success() => Attempt::Taken,
            Ok(Ok(status)) if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
                Attempt::Failed(format!("the push service answered {}", status.as_u16()))
            }
            Ok(Ok(status)) => Attempt::Refused(status),
        }
    }
}

/// Whether pushes can be sent to this URL.
///
/// # Errors
/// When it is none of HTTP.
pub fn check_url(text: &str) -> Result<Uri, HttpPushError> {
    let url: Uri = text.parse().map_err(|_| HttpPushError::Url)?;
    let is_http = matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some();
    if is_http { Ok(url) } else { Err(HttpPushError::Url) }
}

#[async_trait]
impl PushProvider for HttpPush {
    async fn push(&self, push: &Push) -> Result<(), PushFailure> {
        let body = Bytes::from(serde_json::to_vec(push).map_err(|error| PushFailure(error.to_string()))?);
        let mut attempts = 0;
        loop {
            let failure = match self.attempt(body.clone()).await {
                Attempt::Taken => return Ok(()),
                Attempt::Refused(status) => {
                    return Err(PushFailure(format!("the push service answered {}", status.as_u16())));
                }
                Attempt::Failed(why) => why,
            };
            if attempts == self.retries {
                return Err(PushFailure(failure));
            }
            sleep(PAUSE * 2_u32.saturating_pow(attempts)).await;
            attempts += 1;
        }
    }
}
