//! The call-control service: the call engine, its store, and the CallControl API.

pub mod engine;
pub mod record;
