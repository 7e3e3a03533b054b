//! Fails on a forbidden import between crates.
