//! `carillon serve`: settings, and the composition of services into one process.

pub mod environment;
pub mod settings;
mod unknown;
