//! A datagram becomes a message or an error, and every view of the message answers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| carillon_fuzz::sip_message::datagram(data));
