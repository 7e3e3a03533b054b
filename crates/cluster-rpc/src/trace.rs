//! Trace context between services: taken from the request by [`TraceLayer`], kept while the work runs, sent on by links.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use ambient::Entropy;
use telemetry::TraceContext;
use tokio::task::futures::TaskLocalFuture;
use tower::{Layer, Service};
use tracing::Instrument as _;
use tracing::instrument::Instrumented;

/// Name of the header (Trace Context 3.2).
pub const TRACEPARENT: &str = "traceparent";

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// The trace that the present work belongs to.
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(|context| *context).ok()
}

/// Runs `work` within a trace.
pub fn within<F: Future>(context: TraceContext, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(context, work)
}

/// A new trace, for work that begins here: a datagram, a timer.
pub fn begin(entropy: &dyn Entropy, sampled: bool) -> TraceContext {
    let trace_id = (u128::from(entropy.number()) << 64) | u128::from(entropy.number());
    TraceContext { trace_id: trace_id.max(1), span_id: entropy.number().max(1), sampled }
}

/// Puts every request of a server into the trace it came with, or into a new one that is not sampled.
#[derive(Clone)]
pub struct TraceLayer {
    entropy: Arc<dyn Entropy>,
}

impl TraceLayer {
    /// A layer that draws ids from `entropy`.
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy }
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Traced<S> {
        Traced { inner, entropy: self.entropy.clone() }
    }
}

/// What [`TraceLayer`] makes of a server.
#[derive(Clone)]
pub struct Traced<S> {
    inner: S,
    entropy: Arc<dyn Entropy>,
}

impl<S, B> Service<http::Request<B>> for Traced<S>
where
    S: Service<http::Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = InTrace<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let parent = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
        let (context, span) = serving(parent, &*self.entropy, request.uri().path());
        InTrace { work: Box::pin(CURRENT.scope(context, self.inner.call(request).instrument(span))) }
    }
}

/// Runs the work for a request in the trace it came with, or in a new one that is not sampled.
pub(crate) fn served<F: Future>(
    parent: Option<&str>,
    entropy: &dyn Entropy,
    path: &str,
    work: F,
) -> impl Future<Output = F::Output> + use<F> {
    let (context, span) = serving(parent, entropy, path);
    CURRENT.scope(context, work.instrument(span))
}

fn serving(parent: Option<&str>, entropy: &dyn Entropy, path: &str) -> (TraceContext, tracing::Span) {
    let context = match parent.and_then(|parent| parent.parse().ok()) {
        Some(parent) => TraceContext::child(parent, entropy.number()),
        None => begin(entropy, false),
    };
    // A span costs more than most of what it describes: only recorded traces get one.
    let span = if context.sampled {
        tracing::info_span!("rpc", path, trace_id = context.trace())
    } else {
        tracing::Span::none()
    };
    (context, span)
}

/// A request being served within its trace.
pub struct InTrace<F> {
    work: Pin<Box<TaskLocalFuture<TraceContext, Instrumented<F>>>>,
}

impl<F: Future> Future for InTrace<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.work.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use ambient::SeededEntropy;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[tokio::test]
    async fn a_request_runs_in_the_trace_it_came_with_under_a_span_of_its_own() {
        let seen = served(Some(PARENT)).await;
        let parent: TraceContext = PARENT.parse().expect("a traceparent");
        assert_eq!((seen.trace_id, seen.sampled), (parent.trace_id, true));
        assert_ne!(seen.span_id, parent.span_id);
    }

    #[tokio::test]
    async fn a_request_without_a_usable_trace_begins_one() {
        for header in [None, Some("nonsense")] {
            let seen = served(header).await;
            assert!(!seen.sampled);
            assert_ne!(seen.trace_id, 0);
        }
    }

    #[tokio::test]
    async fn outside_of_a_request_there_is_no_trace() {
        assert_eq!(current(), None);
    }

    async fn served(header: Option<&str>) -> TraceContext {
        let inner = service_fn(|_: http::Request<()>| async { Ok::<_, Infallible>(current()) });
        let service = TraceLayer::new(Arc::new(SeededEntropy::new(1))).layer(inner);
        let mut request = http::Request::new(());
        if let Some(value) = header {
            request.headers_mut().insert(TRACEPARENT, value.parse().expect("a header value"));
        }
        service.oneshot(request).await.expect("infallible").expect("within a trace")
    }
}
