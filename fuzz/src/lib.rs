//! Properties that hold for every input, one module for each crate they are about.
//!
//! A module depends only on its crate, so that an ordinary test of that crate can include it and
//! replay the corpus without the fuzzer.
#![forbid(unsafe_code)]

pub mod pidf;
pub mod sip_message;
