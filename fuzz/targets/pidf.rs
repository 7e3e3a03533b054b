//! A presence document is refused, or kept without loss.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| carillon_fuzz::pidf::pidf(data));
