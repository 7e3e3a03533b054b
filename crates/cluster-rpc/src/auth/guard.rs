//! The guard in front of a gRPC server: lets in who may, and says to the service who it is.

use std::{
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::{Either, Ready, ready};
use telemetry::{Counters, Metrics};
use tonic::{
    Request, Status,
    transport::server::{TcpConnectInfo, TlsConnectInfo},
};
use tower::{Layer, Service};

use super::{
    scopes::{Scope, Scopes, is_between_services, scope_of},
    tokens::Tokens,
};
use crate::{reason::Reason, status::Refusal};

/// Health may be asked by anybody who reaches the port: probes carry no token.
const OPEN_TO_ALL: &str = "/grpc.health.v1.Health/";

/// Who makes a request. Services find it with [`Caller::of`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    name: Arc<str>,
    scopes: Scopes,
}

impl Caller {
    /// Who made this request; a call within the process is `internal` and may do everything.
    pub fn of<T>(request: &Request<T>) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_else(|| Self::trusted("internal"))
    }

    fn trusted(name: &str) -> Self {
        Self { name: name.into(), scopes: Scopes::ALL }
    }

    /// The name of its token.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has a scope.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(scope)
    }
}

/// The listener is no loopback address, and nothing would protect it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the API on {0} would be open to everybody: give a token file or a CA for client certificates, or listen on loopback"
)]
pub struct OpenToTheWorld(
    /// The address to listen on.
    pub IpAddr,
);

/// Lets requests in by token or client certificate.
#[derive(Clone, Debug)]
pub struct Guard {
    policy: Policy,
    refused: Counters,
}

#[derive(Clone, Debug)]
enum Policy {
    /// Everybody who reaches the port may do everything.
    Open,
    /// Tokens, if any; and verified client certificates, if asked for, which open everything.
    Closed { tokens: Tokens, certificates: bool },
}

impl Guard {
    /// The guard for a listener on `address`. `certificates` says that its TLS verifies client certificates.
    ///
    /// # Errors
    /// When there are neither tokens nor certificates and the address is no loopback address.
    pub fn new(
        address: IpAddr,
        tokens: Option<Tokens>,
        certificates: bool,
        metrics: &Metrics,
    ) -> Result<Self, OpenToTheWorld> {
        let policy = match tokens {
            None if !certificates && !address.is_loopback() => return Err(OpenToTheWorld(address)),
            None if !certificates => Policy::Open,
            tokens => Policy::Closed { tokens: tokens.unwrap_or_default(), certificates },
        };
        let refused =
            metrics.counters("api_refused_total", "Requests to the API that were not let in.", &["reason"]);
        Ok(Self { policy, refused })
    }

    fn check<B>(&self, request: &http::Request<B>) -> Result<Caller, Refusal> {
        let path = request.uri().path();
        if path.starts_with(OPEN_TO_ALL) {
            return Ok(Caller { name: "anybody".into(), scopes: Scopes::default() });
        }
        let Policy::Closed { tokens, certificates } = &self.policy else {
            return Ok(Caller::trusted("local"));
        };
        let caller = match bearer(request) {
            Some(token) => {
                tokens.holder(token).map(|holder| Caller { name: holder.name.clone(), scopes: holder.scopes })
            }
            None if *certificates && has_certificate(request) => Some(Caller::trusted("certificate")),
            None => None,
        };
        // One text for a missing and for a wrong token: a wrong one learns nothing.
        let caller = caller.ok_or_else(|| {
            Refusal::new(
                Reason::Unauthenticated,
                "expected metadata `authorization: Bearer <token>` with a known token",
            )
        })?;
        match scope_of(path) {
            Some(scope) if caller.may(scope) => Ok(caller),
            Some(_) if is_between_services(path) && caller.may(Scope::ClusterWrite) => Ok(caller),
            Some(scope) => {
                let message = format!("{path} needs scope {scope}, which this token does not have");
                Err(Refusal::new(Reason::MissingScope, message).fact("scope", scope.to_string()))
            }
            None => Err(Refusal::new(Reason::MissingScope, format!("{path} is open to no token"))),
        }
    }
}

fn bearer<B>(request: &http::Request<B>) -> Option<&str> {
    let value = request.headers().get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn has_certificate<B>(request: &http::Request<B>) -> bool {
    let connection = request.extensions().get::<TlsConnectInfo<TcpConnectInfo>>();
    connection.and_then(TlsConnectInfo::peer_certs).is_some_and(|certificates| !certificates.is_empty())
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, guard: self.clone() }
    }
}

/// What [`Guard`] makes of a server.
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    inner: S,
    guard: Guard,
}

impl<S, B, R> Service<http::Request<B>> for Guarded<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
    R: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        match self.guard.check(&request) {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                Either::Left(self.inner.call(request))
            }
            Err(refusal) => {
                self.guard.refused.with_label_values(&[refusal.reason().name()]).inc();
                Either::Right(ready(Ok(Status::from(refusal).into_http())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, net::Ipv4Addr};

    use tonic::Code;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const EVERYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    const GET: &str = "/carillon.callcontrol.v1.CallControl/GetCall";
    const DIAL: &str = "/carillon.callcontrol.v1.CallControl/Dial";

    #[test]
    fn without_tokens_only_loopback_is_served() {
        let metrics = Metrics::new();
        assert!(Guard::new(LOOPBACK, None, false, &metrics).is_ok());
        let refused = Guard::new(EVERYWHERE, None, false, &metrics).expect_err("open to the world");
        assert!(refused.to_string().contains("0.0.0.0"), "{refused}");
        assert!(Guard::new(EVERYWHERE, Some(tokens()), false, &metrics).is_ok());
        assert!(Guard::new(EVERYWHERE, None, true, &metrics).is_ok());
    }

    #[tokio::test]
    async fn an_open_api_lets_everybody_do_everything() {
        let guard = Guard::new(LOOPBACK, None, false, &Metrics::new()).expect("loopback");
        assert_eq!(ask(&guard, DIAL, None).await, Ok("local".into()));
    }

    #[tokio::test]
    async fn a_token_opens_what_its_scopes_say() {
        let guard = closed();
        assert_eq!(ask(&guard, GET, Some("Bearer 0123456789abcdef")).await, Ok("billing".into()));
        assert_eq!(ask(&guard, GET, Some("bearer  0123456789abcdef")).await, Ok("billing".into()));
        assert_eq!(ask(&guard, DIAL, Some("Bearer 0123456789abcdef")).await, Err(Code::PermissionDenied));
        assert_eq!(
            ask(&guard, "/other.Service/Get", Some("Bearer 0123456789abcdef")).await,
            Err(Code::PermissionDenied)
        );
    }

    #[tokio::test]
    async fn a_missing_and_a_wrong_token_are_refused_alike() {
        let guard = closed();
        for wrong in [None, Some("Bearer wrong"), Some("Basic 0123456789abcdef"), Some("Bearer"), Some("")] {
            assert_eq!(ask(&guard, GET, wrong).await, Err(Code::Unauthenticated), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn health_may_be_asked_by_anybody() {
        assert_eq!(ask(&closed(), "/grpc.health.v1.Health/Check", None).await, Ok("anybody".into()));
    }

    fn tokens() -> Tokens {
        Tokens::parse("billing 0123456789abcdef calls:read").expect("a good file")
    }

    fn closed() -> Guard {
        Guard::new(EVERYWHERE, Some(tokens()), false, &Metrics::new()).expect("it has tokens")
    }

    /// The name of the caller that the service saw, or the code of the refusal.
    async fn ask(guard: &Guard, path: &str, authorization: Option<&str>) -> Result<String, Code> {
        let service = service_fn(|request: http::Request<()>| async move {
            let caller = request.extensions().get::<Caller>().expect("the guard names the caller");
            Ok::<_, Infallible>(http::Response::new(caller.name().to_owned()))
        });
        let mut request = http::Request::builder().uri(path);
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let request = request.body(()).expect("a request");
        let response = guard.layer(service).oneshot(request).await.expect("infallible");
        match Status::from_header_map(response.headers()) {
            Some(status) => Err(status.code()),
            None => Ok(response.into_body()),
        }
    }
}
