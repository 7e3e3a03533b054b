//! Which requirement is proved by which test.
//!
//! Here: the rows of `docs/conformance.md` ([`rows`]), the tests that name them in their doc comments ([`claims`]), and
//! what both say together ([`report`]). `cargo run -p compliance` prints it, with `--refresh` it also writes the status
//! column anew.
//!
//! Deliberately absent: running the tests. A claim is a promise of the test's author; the test runner keeps it.
//!
//! Start with [`report::Report`].

#![forbid(unsafe_code)]

pub mod claims;
pub mod report;
pub mod rows;

use std::path::PathBuf;

/// The root of the workspace.
pub fn workspace_root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).map(PathBuf::from).unwrap_or(manifest)
}

/// Where the rows are written down.
pub fn table_path() -> PathBuf {
    workspace_root().join("docs/conformance.md")
}
