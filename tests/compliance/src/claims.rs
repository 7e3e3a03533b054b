//! Which test names which row.
//!
//! A claim is a row id in the doc comment (`///`) directly above a test function, before or after its attributes.
//! `REG-01…19` and `REG-01..19` name every row from the first to the last.

use std::fs;
use std::path::Path;

use crate::rows::id_parts;

/// One row named by one doc comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The row.
    pub row: String,
    /// The test function.
    pub test: String,
    /// Path of the file relative to the workspace.
    pub file: String,
    /// Line of the doc comment.
    pub line: usize,
}

/// Every claim of every Rust file of the workspace.
///
/// # Errors
/// When a folder or file cannot be read.
pub fn in_workspace(root: &Path) -> std::io::Result<Vec<Claim>> {
    let mut claims = Vec::new();
    for top in ["crates", "services", "tests"] {
        walk(&root.join(top), root, &mut claims)?;
    }
    claims.sort_by(|a, b| (&a.file, a.line, &a.row).cmp(&(&b.file, b.line, &b.row)));
    Ok(claims)
}

fn walk(folder: &Path, root: &Path, claims: &mut Vec<Claim>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            // This crate's own tests hold ids that are examples, not claims.
            if !["target", "gen", "compliance"].contains(&name) {
                walk(&path, root, claims)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let file = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            claims.extend(in_source(&file, &fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

/// Every claim of one file.
pub fn in_source(file: &str, text: &str) -> Vec<Claim> {
    let mut claims = Vec::new();
    let mut head = Head::default();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix("///") {
            head.named.extend(ids(comment).into_iter().map(|id| (index + 1, id)));
        } else if line.starts_with("#[") || head.in_attribute {
            head.is_test |= line.starts_with("#[") && is_test_attribute(line);
            head.in_attribute = !line.ends_with(']');
        } else if let Some(test) = function_name(line) {
            if head.is_test {
                claims.extend(head.named.drain(..).map(|(line, row)| Claim {
                    row,
                    test: test.to_owned(),
                    file: file.to_owned(),
                    line,
                }));
            }
            head = Head::default();
        } else if !line.starts_with("//") {
            head = Head::default();
        }
    }
    claims
}

/// What stands above a function.
#[derive(Default)]
struct Head {
    named: Vec<(usize, String)>,
    is_test: bool,
    in_attribute: bool,
}

fn is_test_attribute(line: &str) -> bool {
    let path = line.trim_start_matches("#[").split(['(', ']', ' ', '=']).next().unwrap_or_default();
    path.rsplit("::").next().is_some_and(|last| last == "test" || last == "test_case" || last == "rstest")
}

fn function_name(line: &str) -> Option<&str> {
    let mut words =
        line.split_whitespace().skip_while(|word| ["pub", "pub(crate)", "async", "unsafe"].contains(word));
    if words.next()? != "fn" {
        return None;
    }
    words.next()?.split(['(', '<']).next()
}

/// Every row id in a piece of text, ranges written out.
pub fn ids(text: &str) -> Vec<String> {
    let dotted = text.replace("..=", "…").replace("..", "…").replace('–', "…").replace(" … ", "…");
    let mut found = Vec::new();
    for word in dotted.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '…')) {
        match word.split_once('…') {
            Some((first, last)) => found.extend(range(first, last)),
            None => found.extend(id_parts(word).map(|_| word.to_owned())),
        }
    }
    found
}

fn range(first: &str, last: &str) -> Vec<String> {
    let Some((area, from)) = id_parts(first) else { return Vec::new() };
    let last = last.trim_start_matches(area).trim_start_matches('-');
    let digits = first.len() - area.len() - 1;
    match last.parse::<u32>() {
        Ok(to) if to >= from && to - from < 100 => {
            (from..=to).map(|n| format!("{area}-{n:0digits$}")).collect()
        }
        _ => vec![first.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows_and_tests(text: &str) -> Vec<(String, String)> {
        in_source("a.rs", text).into_iter().map(|claim| (claim.row, claim.test)).collect()
    }

    #[test]
    fn a_doc_comment_above_a_test_is_a_claim() {
        let text =
            "/// REG-07, REG-09: a replay changes nothing\n#[test]\nfn a_replay_changes_nothing() {}\n";
        let name = "a_replay_changes_nothing".to_owned();
        assert_eq!(rows_and_tests(text), [("REG-07".into(), name.clone()), ("REG-09".into(), name)]);
    }

    #[test]
    fn asynchronous_tests_and_comments_below_the_attribute_count() {
        let text = "#[tokio::test(start_paused = true)]\n/// TXN-01\nasync fn waits() {}\n";
        assert_eq!(rows_and_tests(text), [("TXN-01".into(), "waits".into())]);
    }

    #[test]
    fn attributes_over_several_lines_are_passed_over() {
        let text = "/// TXN-02\n#[tokio::test(\n    flavor = \"multi_thread\"\n)]\nasync fn waits() {}\n";
        assert_eq!(rows_and_tests(text), [("TXN-02".into(), "waits".into())]);
    }

    #[test]
    fn a_comment_above_ordinary_code_claims_nothing() {
        assert!(rows_and_tests("/// REG-07\nfn apply() {}\n#[test]\nfn other() {}\n").is_empty());
        assert!(rows_and_tests("/// REG-07\npub struct Binding;\n\n#[test]\nfn other() {}\n").is_empty());
    }

    #[test]
    fn ranges_name_every_row_between() {
        assert_eq!(ids("REG-01…03 and MSG-05..MSG-06"), ["REG-01", "REG-02", "REG-03", "MSG-05", "MSG-06"]);
    }

    #[test]
    fn what_only_looks_like_an_id_is_left_alone() {
        assert!(ids("RFC-3261, REG-07a, reg-07, X-REG").is_empty());
    }
}
