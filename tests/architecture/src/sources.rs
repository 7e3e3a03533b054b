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

/// What a pure crate must not reach for, with what it does instead. `use std::{…}` is read as if every name stood alone.
pub const NOT_IN_PURE_CODE: &[(&str, &str)] = &[
    ("Instant::now", "the time is an argument"),
    ("SystemTime::now", "the time of day is an argument"),
    (".elapsed()", "the time is an argument"),
    ("UdpSocket", "bytes come in and go out as values"),
    ("TcpStream", "bytes come in and go out as values"),
    ("TcpListener", "bytes come in and go out as values"),
    ("UnixStream", "bytes come in and go out as values"),
    ("ToSocketAddrs", "names are resolved by the shells"),
    ("RandomState", "randomness is an argument"),
    ("thread_rng", "randomness is an argument"),
    ("getrandom", "randomness is an argument"),
    ("std::thread", "a machine runs where it is called"),
    ("std::fs", "a machine reads nothing"),
    ("std::env", "settings are arguments"),
    ("std::process", "a machine starts nothing"),
    ("std::io::stdin", "a machine reads nothing"),
    ("println!", "a machine tells by its outputs"),
    ("tokio::", "the runtime belongs to the shells"),
];

/// What the pure parts of services must not name either: what a pure crate could not import at all.
pub const NOT_IN_PURE_FOLDERS: &[(&str, &str)] = &[
    ("tokio", "the runtime belongs to the shells"),
    ("tonic", "a refusal is a value; the shell makes a status of it"),
    ("futures_util", "a machine does not wait"),
    ("cluster_api", "the shell translates what comes in and goes out"),
    ("cluster_rpc", "calls to others are outputs"),
    ("store", "what is stored is an input and an output"),
    ("lifecycle", "a machine is run, and runs nothing"),
    ("telemetry", "the shell counts what the machine puts out"),
    ("ambient", "time and randomness are arguments"),
    ("sip_endpoint", "bytes come in and go out as values"),
];

/// A part of a service that is pure.
#[derive(Clone, Copy, Debug)]
pub struct PureFolder {
    /// The folder with `/` at its end, or a file.
    pub path: &'static str,
    /// What of its own crate it may name.
    pub may_use: &'static [&'static str],
    /// What of [`NOT_IN_PURE_FOLDERS`] it may name nevertheless.
    pub may_name: &'static [&'static str],
}

/// The pure parts of services. Types of `cluster_api` are plain values; who has no form of its own takes those.
pub const PURE_FOLDERS: &[PureFolder] = &[
    PureFolder { path: "services/call-control/src/engine/", may_use: &["engine"], may_name: &[] },
    PureFolder {
        path: "services/call-control/src/callback/machine/",
        may_use: &["callback", "engine"],
        may_name: &[],
    },
    PureFolder {
        path: "services/call-control/src/proxied/fold.rs",
        may_use: &["engine", "proxied", "wire"],
        may_name: &["cluster_api"],
    },
    PureFolder {
        path: "services/call-control/src/proxied/dialog.rs",
        may_use: &[],
        may_name: &["cluster_api"],
    },
    PureFolder { path: "services/registrar/src/register/", may_use: &["record"], may_name: &["cluster_api"] },
    PureFolder { path: "services/edge/src/operate/pressure.rs", may_use: &[], may_name: &[] },
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

    /// The code without comments and without what is compiled for tests only.
    pub fn code_without_tests(&self) -> Vec<(usize, &str)> {
        let mut code = Vec::new();
        let mut skipping: Option<Braces> = None;
        for (index, line) in self.text.lines().enumerate() {
            let line = without_comment(line);
            if let Some(braces) = &mut skipping {
                if braces.end_after(line) {
                    skipping = None;
                }
            } else if line.trim() == "#[cfg(test)]" {
                skipping = Some(Braces::default());
            } else {
                code.push((index + 1, line));
            }
        }
        code
    }

    /// Calls in it that pure code must not make: line, what, and what to do instead.
    pub fn impure_calls(&self) -> Vec<(usize, &'static str, &'static str)> {
        let mut calls = Vec::new();
        // The path before an open brace: `use std::{` or `std::net::{` over several lines.
        let mut prefix = String::new();
        for (number, line) in self.code_without_tests() {
            let spelt = spell_out(line, &mut prefix);
            let found = NOT_IN_PURE_CODE.iter().filter(|(what, _)| spelt.contains(what));
            calls.extend(found.map(|(what, instead)| (number, *what, *instead)));
        }
        calls
    }
}

impl Source {
    /// What of the shell a pure part of a service names: line, what, and what to do instead.
    pub fn shell_names(&self, folder: &PureFolder) -> Vec<(usize, String, &'static str)> {
        let mut found = Vec::new();
        for (number, line) in self.code_without_tests() {
            for (what, instead) in NOT_IN_PURE_FOLDERS {
                let is_named = paths(line, what).next().is_some();
                if is_named && !folder.may_name.contains(what) {
                    found.push((number, (*what).to_owned(), *instead));
                }
            }
            for rest in paths(line, "crate") {
                let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
                if !folder.may_use.contains(&&rest[..end]) {
                    let what = format!("crate::{}", &rest[..end]);
                    found.push((number, what, "a machine knows nothing of the shell around it"));
                }
            }
            if line.contains("super::super::") {
                found.push((number, "super::super".to_owned(), "say where it stands, from crate:: on"));
            }
            if line.contains(".await") || line.contains("async ") {
                found.push((number, "async".to_owned(), "a machine does not wait"));
            }
        }
        found
    }
}

/// What follows `name::` in a line, wherever that begins a path.
fn paths<'a>(line: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let name = format!("{name}::");
    line.match_indices(&*name)
        .filter(|(at, _)| !line[..*at].ends_with(|c: char| c == '_' || c == ':' || c.is_alphanumeric()))
        .map(|(at, name)| &line[at + name.len()..])
        .collect::<Vec<_>>()
        .into_iter()
}

/// Where an item that begins after an attribute ends: at the brace that closes its first one, or at a semicolon before any.
#[derive(Default)]
struct Braces {
    depth: usize,
    opened: bool,
}

impl Braces {
    fn end_after(&mut self, line: &str) -> bool {
        for letter in line.chars() {
            match letter {
                '{' => (self.depth, self.opened) = (self.depth + 1, true),
                '}' => self.depth = self.depth.saturating_sub(1),
                ';' if !self.opened => return true,
                _ => {}
            }
        }
        self.opened && self.depth == 0
    }
}

/// The line up to `//`, unless that stands in a string such as a URL.
fn without_comment(line: &str) -> &str {
    let comment = line.match_indices("//").map(|(at, _)| at);
    let outside = |at: &usize| line[..*at].matches('"').count().is_multiple_of(2);
    comment.into_iter().find(outside).map_or(line, |at| &line[..at])
}

/// Lists of imports with the whole path in front of each name: `use std::{fs, net::IpAddr}` names `std::fs`.
fn spell_out(line: &str, prefix: &mut String) -> String {
    if let Some(path) = line.trim().strip_prefix("use ").and_then(|rest| rest.split_once('{')) {
        *prefix = path.0.to_owned();
        let names = spelt(path.1, prefix);
        if line.contains(';') {
            prefix.clear();
        }
        return names;
    }
    if prefix.is_empty() {
        return line.to_owned();
    }
    let names = spelt(line, prefix);
    if line.contains(';') {
        prefix.clear();
    }
    names
}

fn spelt(names: &str, prefix: &str) -> String {
    names.split([',', '{', '}', ';']).map(|name| format!("{prefix}{} ", name.trim())).collect()
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
    fn code_after_a_test_is_looked_at_again() {
        let text = "#[cfg(test)]\nmod tests;\n#[cfg(test)]\nfn help() {\n    if true {}\n}\nfn f() { Instant::now(); }\n";
        assert_eq!(source("crates/x/src/a.rs", text).impure_calls()[0].0, 7);
    }

    #[test]
    fn an_import_among_others_is_seen() {
        for text in [
            "use std::{fmt, fs};",
            "use std::{\n    fmt,\n    fs,\n};",
            "use std::fs;",
            "use std::net::{IpAddr, UdpSocket};",
            "use std::{io, net::{IpAddr, TcpStream}};",
        ] {
            assert_eq!(source("crates/x/src/a.rs", text).impure_calls().len(), 1, "{text}");
        }
        let fine = "use std::{fmt, net::IpAddr};\nuse crate::fs;\n";
        assert!(source("crates/x/src/a.rs", fine).impure_calls().is_empty());
    }

    #[test]
    fn a_pure_folder_names_nothing_of_the_shell() {
        let folder = PureFolder { path: "", may_use: &["engine"], may_name: &["cluster_api"] };
        for text in [
            "use crate::runner::Runner;",
            "use crate::{engine::call::Call, runner::Runner};",
            "fn f() -> tonic::Status { g() }",
            "fn f(store: &dyn store::Store) {}",
            "use super::super::repository::Known;",
            "async fn f() {}",
            "fn f() { g().await }",
        ] {
            assert_eq!(source("a.rs", text).shell_names(&folder).len(), 1, "{text}");
        }
        let fine = "use crate::engine::call::Call;\nuse cluster_api::sip::v1::Header;\nuse crate::engine::store::restore;\n\
            #[cfg(test)]\nmod tests { use crate::runner::Runner; }\n";
        assert!(source("a.rs", fine).shell_names(&folder).is_empty());
    }

    #[test]
    fn a_url_does_not_hide_the_rest_of_its_line() {
        let text = "fn f() { g(\"http://h\", Instant::now()) }";
        assert_eq!(source("crates/x/src/a.rs", text).impure_calls().len(), 1);
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
