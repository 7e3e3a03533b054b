//! What a process tells about itself: logs, metrics, trace context; and what it must not tell.
//!
//! **Here:** [`logs::init`] (text or JSON, one event one line, control characters escaped, never blocking), [`Metrics`] (the
//! registry and its text exposition), [`Redacted`] (secrets), [`TraceContext`] (W3C).
//!
//! **Not here:** the HTTP that serves metrics (`services/carillon`), carrying trace context between services (`cluster-rpc`),
//! and the export of spans.
//!
//! Start reading at `metrics.rs`.
#![forbid(unsafe_code)]

pub mod logs;
mod metrics;
mod redact;
mod trace_context;

pub use metrics::{
    Counter, Counters, Gauge, Gauges, Histogram, Histograms, LATENCY_SECONDS, Metrics, SIZE_OCTETS,
};
pub use redact::Redacted;
pub use trace_context::TraceContext;
