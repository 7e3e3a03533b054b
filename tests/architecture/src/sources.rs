//! The source files: how long, how named, and what pure code must not call.

use std::fs;
use std::path::{Path, PathBuf};

use crate::workspace_root;

/// No hand-written file is longer.
pub const LONGEST_FILE: usize = 600;

/// Files that hold many things together are kept shorter, because they are read most.
pub const LONGEST_COORDINATOR: usize = 450;

/// Names of files that coordinate.
pub const COORDINATORS: &[&str] = &["driver.rs", "dispatch.rs", "fork.rs", "call.rs"];

/// Names that say nothing about what is inside.
pub const EMPTY_NAMES: &[&str] = &["common", "util", "utils", "helper", "helpers", "core", "misc"];

/// What a pure crate must not reach for, with what it does instead.
pub const NOT_IN_PURE_CODE: &[(&str, &str)] = &[
    ("Instant::now", "the time is an argument"),
    ("SystemTime::now", "the time of day is an argument"),
    ("std::net::UdpSocket", "bytes come in and go out as values"),
    ("std::net::TcpStream", "bytes come in and go out as values"),
    ("std::net::TcpListener", "bytes come in and go out as values"),
    ("std::thread", "a machine runs where it is called"),
    ("std::fs", "a machine reads nothing"),
    ("std::env", "settings are arguments"),
    ("std::process", "a machine starts nothing"),
    ("tokio::", "the runtime belongs to the shells"),
];

/// One hand-written Rust file.
#[derive(Clone, Debug)]
pub struct Source {
    /// Path relative to the workspace, with `/`.
    pub path: String,
    /// What it contains.
    pub text: String,
}

impl Source {
    /// How many lines it has.
    pub fn lines(&self) -> usize {
        self.text.lines().count()
    }

    /// The longest it may be.
    pub fn allowed(&self) -> usize {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        if COORDINATORS.contains(&name) { LONGEST_COORDINATOR } else { LONGEST_FILE }
    }

    /// The parts of its path that say nothing.
    pub fn empty_names(&self) -> Vec<&str> {
        self.path
            .split('/')
            .map(|part| part.trim_end_matches(".rs"))
            .filter(|part| EMPTY_NAMES.contains(part))
            .collect()
    }

    /// The code without comments and without the tests at the end of the file.
    pub fn code_without_tests(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
            .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
    }

    /// Calls in it that pure code must not make: line, what, and what to do instead.
    pub fn impure_calls(&self) -> Vec<(usize, &'static str, &'static str)> {
        self.code_without_tests()
            .flat_map(|(number, line)| {
                NOT_IN_PURE_CODE
                    .iter()
                    .filter(move |(what, _)| line.contains(what))
                    .map(move |(what, instead)| (number, *what, *instead))
            })
            .collect()
    }
}

/// Every hand-written Rust file of the workspace; generated code and build output left out.
///
/// # Errors
/// When a folder or file cannot be read.
pub fn hand_written() -> std::io::Result<Vec<Source>> {
    let root = workspace_root();
    let mut found = Vec::new();
    for top in ["crates", "services", "tests", "bench", "fuzz"] {
        let folder = root.join(top);
        if folder.is_dir() {
            walk(&folder, &root, &mut found)?;
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn walk(folder: &Path, root: &Path, found: &mut Vec<Source>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path: PathBuf = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !["target", "gen", "generated", "node_modules"].contains(&name) && !name.starts_with('.') {
                walk(&path, root, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(root).unwrap_or(&path);
            let relative = relative.to_string_lossy().replace('\\', "/");
            found.push(Source { text: fs::read_to_string(&path)?, path: relative });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    #[test]
    fn a_clock_in_pure_code_is_seen_with_its_line() {
        let calls =
            source("crates/x/src/a.rs", "fn f() {\n    let now = Instant::now();\n}\n").impure_calls();
        assert_eq!(calls, [(2, "Instant::now", "the time is an argument")]);
    }

    #[test]
    fn a_clock_in_a_comment_or_in_the_tests_of_the_file_is_allowed() {
        let text = "// Instant::now is not called here\nfn f() {}\n#[cfg(test)]\nmod tests { fn g() { Instant::now(); } }\n";
        assert!(source("crates/x/src/a.rs", text).impure_calls().is_empty());
    }

    #[test]
    fn a_coordinator_may_be_shorter_only() {
        assert_eq!(source("services/edge/src/dispatch.rs", "").allowed(), LONGEST_COORDINATOR);
        assert_eq!(source("services/edge/src/admission.rs", "").allowed(), LONGEST_FILE);
    }

    #[test]
    fn empty_names_are_found_in_folders_and_files_but_not_inside_words() {
        assert_eq!(source("crates/utils/src/core.rs", "").empty_names(), ["utils", "core"]);
        assert!(source("crates/store/src/scores.rs", "").empty_names().is_empty());
    }
}
