//! A message that is parsed, written and parsed again is the same message.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| carillon_fuzz::sip_message::round_trip(data));
