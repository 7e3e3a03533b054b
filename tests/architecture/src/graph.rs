//! The dependency graph, as `cargo metadata` tells it.

use std::process::Command;

use serde_json::Value;

use crate::workspace_root;

/// One package of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// The folder that holds its manifest, relative to the workspace.
    pub folder: String,
    /// Names under `[dependencies]` and `[build-dependencies]`, of every platform, sorted.
    pub dependencies: Vec<String>,
    /// Names under `[dev-dependencies]`, sorted.
    pub dev_dependencies: Vec<String>,
}

/// Every package of the workspace, without asking a registry and without a build.
///
/// # Errors
/// When cargo cannot be run or answers something that is not its documented JSON.
pub fn workspace_packages() -> Result<Vec<Package>, String> {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"])?;
    packages_of(&metadata)
}

/// Names of every crate that is compiled for this platform, ours included.
///
/// # Errors
/// When cargo cannot be run.
pub fn compiled_crates() -> Result<Vec<String>, String> {
    let text = run(&[
        "tree",
        "--workspace",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{lib}|{p}",
    ])?;
    let mut names: Vec<String> = text.lines().filter_map(name_in_tree_line).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

fn name_in_tree_line(line: &str) -> Option<String> {
    let (_, package) = line.split_once('|')?;
    Some(package.split_whitespace().next()?.to_owned())
}

fn cargo(arguments: &[&str]) -> Result<Value, String> {
    let text = run(arguments)?;
    serde_json::from_str(&text).map_err(|error| format!("cargo {arguments:?} did not answer JSON: {error}"))
}

fn run(arguments: &[&str]) -> Result<String, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(workspace_root())
        .output()
        .map_err(|error| format!("cargo cannot be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    String::from_utf8(output.stdout)
        .map_err(|error| format!("cargo {arguments:?} did not answer text: {error}"))
}

fn packages_of(metadata: &Value) -> Result<Vec<Package>, String> {
    let root = text_of(metadata, "workspace_root")?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata has no packages")?;
    packages
        .iter()
        .map(|package| {
            let manifest = text_of(package, "manifest_path")?;
            let folder = manifest.trim_start_matches(root).trim_start_matches('/');
            Ok(Package {
                name: text_of(package, "name")?.to_owned(),
                folder: folder.trim_end_matches("/Cargo.toml").to_owned(),
                dependencies: dependencies_of(package, &[None, Some("build")])?,
                dev_dependencies: dependencies_of(package, &[Some("dev")])?,
            })
        })
        .collect()
}

fn dependencies_of(package: &Value, kinds: &[Option<&str>]) -> Result<Vec<String>, String> {
    let all = package["dependencies"].as_array().ok_or("a package has no dependencies list")?;
    let mut names = all
        .iter()
        .filter(|dependency| kinds.contains(&dependency["kind"].as_str()))
        .map(|dependency| text_of(dependency, "name").map(str::to_owned))
        .collect::<Result<Vec<_>, _>>()?;
    names.sort();
    names.dedup();
    Ok(names)
}

fn text_of<'a>(value: &'a Value, key: &str) -> Result<&'a str, String> {
    value[key].as_str().ok_or_else(|| format!("cargo metadata: {key} is not text"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn normal_and_dev_dependencies_are_told_apart() {
        let metadata = json!({"workspace_root": "/w", "packages": [{
            "name": "a", "manifest_path": "/w/crates/a/Cargo.toml",
            "dependencies": [{"name": "b", "kind": null}, {"name": "c", "kind": "dev"}, {"name": "b", "kind": "build"}],
        }]});
        assert_eq!(
            packages_of(&metadata).unwrap(),
            [Package {
                name: "a".into(),
                folder: "crates/a".into(),
                dependencies: vec!["b".into()],
                dev_dependencies: vec!["c".into()]
            }]
        );
    }

    #[test]
    fn metadata_without_packages_is_an_error_and_not_an_empty_workspace() {
        assert!(packages_of(&json!({"workspace_root": "/w"})).is_err());
    }

    #[test]
    fn the_name_is_taken_from_a_line_of_cargo_tree() {
        assert_eq!(name_in_tree_line("bytes|bytes v1.12.0 (*)").as_deref(), Some("bytes"));
    }
}
