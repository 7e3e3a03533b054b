//! Which code names which crate: a dependency that nothing names is compiled for nobody.

use crate::graph::Package;
use crate::sources::Source;

/// Packages whose library has another name than they have.
const OTHER_NAMES: &[(&str, &str)] = &[("md-5", "md5")];

/// Dependencies that only generated code names, which is not read here.
const IN_GENERATED_CODE: &[(&str, &str)] =
    &[("cluster-api", "prost"), ("cluster-api", "tonic"), ("cluster-api", "tonic-prost")];

/// What the manifest of a package lists and its code does not name, with the place in the manifest. Code for tests does
/// not count for `[dependencies]`.
pub fn unused(package: &Package, sources: &[Source]) -> Vec<String> {
    let folder = format!("{}/", package.folder);
    let own: Vec<&Source> = sources.iter().filter(|source| source.path.starts_with(&folder)).collect();
    let for_tests = |source: &Source| {
        let path = &source.path[folder.len()..];
        !path.starts_with("src/") || path.ends_with("tests.rs") || path.contains("/tests/")
    };
    let without_tests = |name: &str| {
        own.iter()
            .filter(|source| !for_tests(source))
            .any(|source| source.code_without_tests().iter().any(|(_, line)| names(line, name)))
    };
    let anywhere = |name: &str| own.iter().any(|source| source.text.lines().any(|line| names(line, name)));
    let is_excepted = |name: &str| IN_GENERATED_CODE.contains(&(package.name.as_str(), name));
    let idle =
        package.dependencies.iter().filter(|name| !is_excepted(name) && !without_tests(&library(name)));
    let idle = idle.map(|name| format!("{}: {name} in [dependencies]", package.name));
    let idle_in_tests = package.dev_dependencies.iter().filter(|name| !anywhere(&library(name)));
    idle.chain(idle_in_tests.map(|name| format!("{}: {name} in [dev-dependencies]", package.name))).collect()
}

fn library(package: &str) -> String {
    let other = OTHER_NAMES.iter().find(|(name, _)| *name == package);
    other.map_or_else(|| package.replace('-', "_"), |(_, library)| (*library).to_owned())
}

/// Whether a line names a crate: as the head of a path, as all of a `use`, or in the quotes of an attribute.
fn names(line: &str, library: &str) -> bool {
    line.match_indices(library).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + library.len()..]);
        let begins = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
            && !before.trim_end_matches("::").ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let is_path = begins && after.starts_with("::");
        let is_import =
            before.trim_start() == "use " && (after.starts_with(';') || after.starts_with(" as "));
        let is_quoted = before.ends_with('"') && after.starts_with('"');
        is_path || is_import || is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_named_by_a_path_and_not_by_a_word() {
        for line in
            ["use store::Store;", "    Arc<dyn ::store::Store>", "use {a::b, store::C};", "use store;"]
        {
            assert!(names(line, "store"), "{line}");
        }
        assert!(names("#[serde(with = \"humantime_serde\")]", "humantime_serde"));
        for line in
            ["let store = 1;", "super::store::open()", "restore::all()", "store.get()", "use crate::store;"]
        {
            assert!(!names(line, "store"), "{line}");
        }
    }

    #[test]
    fn what_only_tests_name_is_no_dependency_of_the_rest() {
        let package = Package {
            name: "a".into(),
            folder: "crates/a".into(),
            dependencies: vec!["b".into(), "c".into()],
            dev_dependencies: vec!["d".into(), "e-f".into()],
        };
        let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
        let sources = [
            source("crates/a/src/lib.rs", "use b::B;\n#[cfg(test)]\nmod tests {\n    use c::C;\n}\n"),
            source("crates/a/tests/it.rs", "use e_f::G;\n"),
            source("crates/ab/src/lib.rs", "use d::D;\n"),
        ];
        assert_eq!(unused(&package, &sources), ["a: c in [dependencies]", "a: d in [dev-dependencies]"]);
    }
}
