//! The contracts name reasons with their codes; the table of refusals has each of them, with that code.

use std::{fs, path::Path};

use cluster_rpc::Reason;
use tonic::Code;

const CODES: [(&str, Code); 11] = [
    ("INVALID_ARGUMENT", Code::InvalidArgument),
    ("NOT_FOUND", Code::NotFound),
    ("ALREADY_EXISTS", Code::AlreadyExists),
    ("PERMISSION_DENIED", Code::PermissionDenied),
    ("RESOURCE_EXHAUSTED", Code::ResourceExhausted),
    ("FAILED_PRECONDITION", Code::FailedPrecondition),
    ("ABORTED", Code::Aborted),
    ("OUT_OF_RANGE", Code::OutOfRange),
    ("UNAVAILABLE", Code::Unavailable),
    ("UNIMPLEMENTED", Code::Unimplemented),
    ("DEADLINE_EXCEEDED", Code::DeadlineExceeded),
];

#[test]
fn every_reason_in_the_contracts_is_in_the_table_with_its_code() {
    let mut promised = Vec::new();
    for comments in rpc_comments(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto")) {
        promised.extend(reasons(&comments));
    }
    assert!(promised.len() > 40, "only {} reasons found in the contracts", promised.len());
    for (name, code) in promised {
        let reason = Reason::from_name(&name).unwrap_or_else(|| panic!("{name} is not in the table"));
        // A refusal that names fields is INVALID_ARGUMENT, whatever its reason.
        assert!(
            reason.code() == code || code == Code::InvalidArgument,
            "{name}: {:?}, not {code:?}",
            reason.code()
        );
    }
}

/// The comments before services and rpcs, each in one line.
fn rpc_comments(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the proto folder is readable") {
        let path = entry.expect("its entries are readable").path();
        if path.is_dir() {
            found.extend(rpc_comments(&path));
            continue;
        }
        let mut comment = String::new();
        for line in fs::read_to_string(&path).expect("its files are readable").lines() {
            match line.trim().strip_prefix("//") {
                Some(text) => comment.push_str(text),
                None => {
                    let kept = std::mem::take(&mut comment);
                    if line.trim().starts_with("rpc ") || line.starts_with("service ") {
                        found.push(kept);
                    }
                }
            }
        }
    }
    found
}

/// Each reason with the code before it: "NOT_FOUND CALL_NOT_FOUND, LEG_NOT_FOUND; ABORTED ETAG_MISMATCH".
fn reasons(comment: &str) -> Vec<(String, Code)> {
    let mut code = None;
    let mut found = Vec::new();
    for word in comment.split_whitespace() {
        let bare = word.trim_matches(|c: char| !c.is_ascii_uppercase() && c != '_');
        if let Some((_, known)) = CODES.iter().find(|(name, _)| *name == bare) {
            code = Some(*known);
        } else if let Some(code) = code
            && bare.trim_matches('_').contains('_')
            && bare.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        {
            found.push((bare.to_owned(), code));
        }
        if word.ends_with(['.', ';']) {
            code = None;
        }
    }
    found
}
