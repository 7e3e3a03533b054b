//! A byte stream gives the same messages however it is cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| carillon_fuzz::sip_message::stream(data));
