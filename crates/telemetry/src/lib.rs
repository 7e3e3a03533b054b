//! Logs, traces and metrics: set-up, redaction, and the metric registry.
