//! The endpoint on loopback: real sockets, ports from the system, and a user that does what each test tells it.

mod bounds;
mod certificates;
mod datagrams;
mod malformed;
mod siblings;
mod streams;
mod support;
mod tls;
mod user;
mod websocket;
mod witness;
