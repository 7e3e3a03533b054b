//! What applications ask.

mod absent;
mod accounts;
mod policy;
mod presence;
mod summary;
