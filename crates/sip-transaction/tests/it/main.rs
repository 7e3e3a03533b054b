//! The transaction layer in virtual time: what goes out when, what the user hears, and that nothing is left behind.

mod client;
mod lab;
mod network;
mod server;
