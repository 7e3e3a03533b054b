//! Holds `docs/threats.md` against the tests that it names.

use std::collections::BTreeSet;
use std::path::Path;

use compliance::workspace_root;

/// Threats that the table has, in order.
const THREATS: &str =
    "T1 T2 T3 T4 T5 T6 T7 T8 T9 T10 T11 T12 T13 T14 T15 T16 T17 T18 T19 T20 T21 T22 T23 T24 T26 T27 T28 T29";

#[test]
fn every_threat_is_answered_by_tests_that_exist_or_by_plain_words() {
    let root = workspace_root();
    let table =
        std::fs::read_to_string(root.join("docs/threats.md")).expect("docs/threats.md is part of the tree");
    let mut tests = BTreeSet::new();
    for top in ["crates", "services", "tests"] {
        collect(&root.join(top), &mut tests);
    }
    let rows: Vec<Vec<&str>> =
        table.lines().filter(|line| line.starts_with("| T")).map(|line| line.split(" |").collect()).collect();
    let ids: Vec<&str> = rows.iter().map(|row| row[0].trim_start_matches("| ")).collect();
    assert_eq!(ids.join(" "), THREATS);
    for row in &rows {
        let named: Vec<&str> = row[3].split('`').skip(1).step_by(2).collect();
        let missing: Vec<&&str> = named.iter().filter(|name| !tests.contains(**name)).collect();
        assert!(missing.is_empty(), "{}: no test is called {missing:?}", row[0]);
        assert!(!named.is_empty() || row[2].contains("*not built*"), "{}: shown by nothing", row[0]);
    }
}

/// The names of all functions.
fn collect(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("the sources can be read") {
        let path = entry.expect("the sources can be read").path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                collect(&path, names);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("sources are text");
            let found = text.lines().filter_map(|line| line.trim().split_once("fn ")?.1.split_once('('));
            names.extend(found.map(|(name, _)| name.to_owned()));
        }
    }
}
