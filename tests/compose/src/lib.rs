//! Runs the repository's scripts as tests.
//!
//! Here: finding the workspace and the executable beside the test binary, and running a script to its end with its
//! output kept for the case that it fails. What the scripts do is written in `scripts/`.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the workspace.
pub fn workspace_root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).map(PathBuf::from).unwrap_or(manifest)
}

/// The executable of the same build as the running test: it lies one folder above the test binaries.
pub fn carillon() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let executable = test.parent()?.parent()?.join("carillon");
    executable.is_file().then_some(executable)
}

/// Whether a Docker engine answers here.
pub fn docker_answers() -> bool {
    let mut docker = Command::new("docker");
    docker.args(["version", "--format", "{{.Server.Version}}"]);
    docker.output().is_ok_and(|output| output.status.success())
}

/// Runs a script of the workspace to its end.
///
/// # Errors
/// Its whole output, when it cannot be started or exits with another status than 0.
pub fn run_script(script: &str, arguments: &[&Path]) -> Result<String, String> {
    let mut command = Command::new(workspace_root().join(script));
    command.args(arguments).current_dir(workspace_root()).stdin(std::process::Stdio::null());
    let output = command.output().map_err(|error| format!("{script} cannot be started: {error}"))?;
    let told =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    if output.status.success() { Ok(told) } else { Err(format!("{script}: {}\n{told}", output.status)) }
}
