//! How files are named, how long they are, and what they begin with.

use architecture::graph::workspace_packages;
use architecture::layers::{Kind, LAYERS};
use architecture::sources::{PURE_FOLDERS, Source, hand_written};

use crate::none_of;

#[test]
fn no_hand_written_file_outgrows_its_room() {
    let breaches = sources()
        .iter()
        .filter(|source| source.lines() > source.allowed())
        .map(|source| format!("{}: {} lines, {} allowed", source.path, source.lines(), source.allowed()))
        .collect();
    none_of("files to split", breaches);
}

#[test]
fn no_name_says_nothing() {
    let mut breaches: Vec<String> = sources()
        .iter()
        .filter(|source| !source.empty_names().is_empty())
        .map(|source| format!("{}: name it after what it does", source.path))
        .collect();
    let packages = workspace_packages().expect("cargo metadata answers in a workspace that builds");
    breaches.extend(
        packages
            .iter()
            .filter(|package| architecture::sources::EMPTY_NAMES.contains(&package.name.as_str()))
            .map(|package| format!("package {}: name it after what it does", package.name)),
    );
    none_of("names that say nothing", breaches);
}

#[test]
fn a_package_is_named_like_its_folder() {
    let packages = workspace_packages().expect("cargo metadata answers in a workspace that builds");
    let breaches = packages
        .iter()
        .filter(|package| package.name != "test-support")
        .filter(|package| package.folder.rsplit('/').next() != Some(package.name.as_str()))
        .map(|package| format!("{} stands in {}", package.name, package.folder))
        .collect();
    none_of("packages in the wrong folder", breaches);
}

#[test]
fn pure_crates_have_no_clock_no_sockets_and_no_runtime() {
    let mut breaches = Vec::new();
    for source in pure_sources() {
        for (line, what, instead) in source.impure_calls() {
            breaches.push(format!("{}:{line}: {what}: {instead}", source.path));
        }
    }
    none_of("impure code in pure crates", breaches);
}

#[test]
fn pure_parts_of_services_know_nothing_of_the_shell_around_them() {
    let mut breaches = Vec::new();
    for folder in PURE_FOLDERS {
        let inside: Vec<Source> = sources()
            .into_iter()
            .filter(|source| source.path.starts_with(folder.path) && !source.path.ends_with("/tests.rs"))
            .collect();
        if inside.is_empty() {
            breaches.push(format!("{}: PURE_FOLDERS names it, and it is not there", folder.path));
        }
        for source in inside {
            for (line, what, instead) in source.impure_calls() {
                breaches.push(format!("{}:{line}: {what}: {instead}", source.path));
            }
            for (line, what, instead) in source.shell_names(folder) {
                breaches.push(format!("{}:{line}: {what}: {instead}", source.path));
            }
        }
    }
    none_of("impure code in pure parts of services", breaches);
}

#[test]
fn pure_crates_forbid_unsafe_code() {
    let breaches = pure_sources()
        .iter()
        .filter(|source| source.path.ends_with("/src/lib.rs"))
        .filter(|source| !source.text.contains("#![forbid(unsafe_code)]"))
        .map(|source| format!("{}: #![forbid(unsafe_code)] is missing", source.path))
        .collect();
    none_of("crates that allow unsafe code", breaches);
}

#[test]
fn every_lib_says_what_is_here() {
    let breaches = sources()
        .iter()
        .filter(|source| source.path.ends_with("/src/lib.rs") || source.path.ends_with("/src/main.rs"))
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| format!("{}: begin with a //! that says what is here", source.path))
        .collect();
    none_of("crates without an introduction", breaches);
}

fn pure_sources() -> Vec<Source> {
    let folders: Vec<String> = LAYERS
        .iter()
        .filter(|layer| layer.kind == Kind::Pure)
        .map(|layer| format!("crates/{}/src/", layer.package))
        .collect();
    let pure: Vec<Source> = sources()
        .into_iter()
        .filter(|source| folders.iter().any(|folder| source.path.starts_with(folder)))
        .filter(|source| !source.path.ends_with("/tests.rs") && !source.path.contains("/tests/"))
        .collect();
    assert!(pure.len() >= folders.len(), "fewer pure files than pure crates: {}", pure.len());
    pure
}

fn sources() -> Vec<Source> {
    hand_written().expect("the sources of the workspace can be read")
}
