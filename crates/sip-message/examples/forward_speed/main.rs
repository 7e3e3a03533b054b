//! How long parsing and forwarding a 560-byte INVITE takes.
//!
//! `cargo run --release -p sip-message --example forward_speed [ITERATIONS]` prints nanoseconds for
//! each operation.

mod forward;

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use sip_message::Limits;

fn main() {
    let iterations: u32 = match std::env::args().nth(1) {
        None => 1_000_000,
        Some(text) => text.parse().expect("the argument is a number of iterations"),
    };
    let datagram = Bytes::from_static(forward::INVITE.as_bytes());
    let limits = Limits::default();
    let mut out = Vec::with_capacity(2048);

    let begin = Instant::now();
    let mut written = 0;
    for _ in 0..iterations {
        written += forward::forward(black_box(datagram.clone()), &limits, black_box(&mut out));
    }
    let nanoseconds = begin.elapsed().as_nanos() / u128::from(iterations.max(1));
    println!(
        "{nanoseconds} ns to parse, read and forward {} bytes ({} bytes out)",
        datagram.len(),
        written / iterations.max(1) as usize
    );
}
