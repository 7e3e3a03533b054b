//! Each typed header and URI alone: no input panics, and what is printed reads back the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| carillon_fuzz::sip_message::headers(data));
