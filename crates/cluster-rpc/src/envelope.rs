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
    timeout: Duration,
    metadata: MetadataMap,
}

impl Envelope {
    /// An envelope that the other side may throw away after `timeout`, within the current trace.
    pub fn new(timeout: Duration, token: Option<&Redacted<String>>) -> Self {
        let mut metadata = MetadataMap::new();
        let mut insert = |name: &'static str, value: String, secret: bool| {
            if let Ok(mut value) = AsciiMetadataValue::try_from(value) {
                value.set_sensitive(secret);
                metadata.insert(name, value);
            }
        };
        if let Some(context) = trace::current() {
            insert(trace::TRACEPARENT, context.to_string(), false);
        }
        if let Some(token) = token {
            insert("authorization", format!("Bearer {}", token.expose()), true);
        }
        Self { timeout, metadata }
    }

    /// The request with everything on it.
    pub fn seal<M>(self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata;
        request.set_timeout(self.timeout);
        request
    }
}
