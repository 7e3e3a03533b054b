//! `speed count WORK N` does one work N times, for a program that counts instructions: `invite` forwards an INVITE, `call` passes the
//! messages of a call on, `register` answers a REGISTER. `speed time` tells nanoseconds of the first.

use std::process::ExitCode;
use std::time::Instant;

use bytes::Bytes;
use sip_message::Limits;
use speed::call::{Call, register};
use speed::{INVITE, forward};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["count", work, number] => match (work, number.parse()) {
            ("invite", Ok(times)) => println!("{}", repeat(times)),
            ("call", Ok(times)) => println!("{}", calls(times)),
            ("register", Ok(times)) => println!("{}", registers(times)),
            (_, Ok(_) | Err(_)) => return usage(),
        },
        ["time"] => println!("{:.0} ns", best_of(20, 20_000)),
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: speed count invite|call|register N | speed time");
    ExitCode::from(2)
}

fn repeat(times: u32) -> usize {
    let (datagram, limits, mut out) =
        (Bytes::from_static(INVITE), Limits::default(), Vec::with_capacity(2048));
    (0..times).fold(0, |sum, _| sum ^ std::hint::black_box(forward(&datagram, &limits, &mut out)))
}

fn calls(times: u32) -> usize {
    let call = Call::default();
    (0..times).fold(0, |sum, _| sum ^ std::hint::black_box(call.pass_on()))
}

fn registers(times: u32) -> usize {
    let limits = Limits::default();
    (0..times).fold(0, |sum, _| sum ^ std::hint::black_box(register(&limits)))
}

/// Nanoseconds for one, the best of several runs: other work on the machine only ever adds.
fn best_of(runs: u32, times: u32) -> f64 {
    let one_run = |_| {
        let begun = Instant::now();
        std::hint::black_box(repeat(times));
        begun.elapsed().as_nanos() as f64 / f64::from(times)
    };
    (0..runs).map(one_run).fold(f64::INFINITY, f64::min)
}
