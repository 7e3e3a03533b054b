//! The shape of the workspace, as rules that a machine can check.
//!
//! Here: the layers and who may import whom ([`layers`]), the dependency graph as cargo sees it ([`graph`]), the source
//! files with their sizes, names and forbidden calls ([`sources`]), and what of the graph they use ([`usage`]). The rules are
//! data; the tests in `tests/it` hold the workspace against them and print every breach, not only the first.
//!
//! Deliberately absent: style that rustfmt and clippy already check, and anything that needs a build.
//!
//! Start with [`layers`]: it is the picture in `ARCHITECTURE.md`, written down.

#![forbid(unsafe_code)]

pub mod graph;
pub mod layers;
pub mod sources;
pub mod usage;

use std::path::PathBuf;

/// The root of the workspace.
pub fn workspace_root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).map(PathBuf::from).unwrap_or(manifest)
}
