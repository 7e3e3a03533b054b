//! What every request to another service carries beside its message: deadline, trace context, token.

use std::time::Duration;

use telemetry::Redacted;
use tonic::{
    Request,
    metadata::{AsciiMetadataValue, MetadataMap},
};

use crate::trace;

/// Made for one attempt of a call.
#[derive(Clone, Debug)]
pub struct Envelope {
    timeout: Option<Duration>,
    metadata: MetadataMap,
}

impl Envelope {
    /// An envelope that the other side may throw away after `timeout`, within the current trace.
    pub fn new(timeout: Duration, token: Option<&Redacted<String>>) -> Self {
        let mut envelope = Self { timeout: Some(timeout), ..Self::lasting(token) };
        if let Some(context) = trace::current() {
            envelope.insert(trace::TRACEPARENT, context.to_string(), false);
        }
        envelope
    }

    /// An envelope for a stream that lasts, and belongs to no trace.
    pub(crate) fn lasting(token: Option<&Redacted<String>>) -> Self {
        let mut envelope = Self { timeout: None, metadata: MetadataMap::new() };
        if let Some(token) = token {
            envelope.insert("authorization", format!("Bearer {}", token.expose()), true);
        }
        envelope
    }

    fn insert(&mut self, name: &'static str, value: String, secret: bool) {
        if let Ok(mut value) = AsciiMetadataValue::try_from(value) {
            value.set_sensitive(secret);
            self.metadata.insert(name, value);
        }
    }

    /// The request with everything on it.
    pub fn seal<M>(self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata;
        if let Some(timeout) = self.timeout {
            request.set_timeout(timeout);
        }
        request
    }
}
