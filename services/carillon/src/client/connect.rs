//! The way from a client command to the API.

use std::error::Error;

use anyhow::{Context, anyhow, bail};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::cli::ApiArgs;

/// A connection that carries the token.
pub type Connection = InterceptedService<Channel, Token>;

/// Puts the bearer token on each request.
#[derive(Clone)]
pub struct Token(Option<MetadataValue<Ascii>>);

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Connects to the API.
///
/// # Errors
/// When the address is none, or nobody answers there.
pub async fn connect(args: &ApiArgs) -> anyhow::Result<Connection> {
    let endpoint = Endpoint::from_shared(args.api.clone())
        .with_context(|| format!("--api {}: expected http://HOST:PORT or HOST:PORT", args.api))?
        .connect_timeout(std::time::Duration::from_secs(5))
        .tcp_nodelay(true);
    let channel = endpoint.connect().await.map_err(|error| {
        anyhow!(
            "nobody answers at {}; is `carillon serve` running? (--api URL names another place): {}",
            args.api,
            root(&error)
        )
    })?;
    Ok(InterceptedService::new(channel, Token(bearer(args.token.as_deref())?)))
}

/// The innermost cause: what is around it says the same in words of the library.
fn root<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause
}

fn bearer(token: Option<&str>) -> anyhow::Result<Option<MetadataValue<Ascii>>> {
    let Some(token) = token else { return Ok(None) };
    match MetadataValue::try_from(format!("Bearer {token}")) {
        Ok(mut value) => {
            value.set_sensitive(true);
            Ok(Some(value))
        }
        Err(_) => bail!("--token: expected printable ASCII"),
    }
}
