//! Which crate imports which.

use architecture::graph::{Package, compiled_crates, workspace_packages};
use architecture::layers::{BELONGS_TO, Kind, LAYERS, NEVER, PURE_MAY_USE, layer_of};

use architecture::sources::hand_written;
use architecture::usage::unused;

use crate::none_of;

#[test]
fn every_package_has_its_place_in_the_layers() {
    let packages = packages();
    let mut breaches: Vec<String> = packages
        .iter()
        .filter(|package| layer_of(&package.name).is_none())
        .map(|package| {
            format!("{} ({}) is not in layers.rs: decide what it may import", package.name, package.folder)
        })
        .collect();
    breaches.extend(
        LAYERS
            .iter()
            .filter(|layer| !packages.iter().any(|package| package.name == layer.package))
            .map(|layer| format!("{} is in layers.rs but not in the workspace", layer.package)),
    );
    none_of("packages without a place", breaches);
}

#[test]
fn a_package_imports_only_what_stands_below_it() {
    let packages = packages();
    let ours = |name: &str| packages.iter().any(|package| package.name == name);
    let mut breaches = Vec::new();
    for package in &packages {
        let Some(layer) = layer_of(&package.name) else { continue };
        for import in package.dependencies.iter().filter(|name| ours(name)) {
            if !layer.may_import.contains(&import.as_str()) {
                breaches.push(format!("{} must not import {import}", package.name));
            }
        }
    }
    none_of("forbidden imports", breaches);
}

#[test]
fn a_service_never_imports_another_service_not_even_in_its_tests() {
    let services: Vec<&str> =
        LAYERS.iter().filter(|layer| layer.kind == Kind::Service).map(|layer| layer.package).collect();
    let mut breaches = Vec::new();
    for package in packages().iter().filter(|package| services.contains(&package.name.as_str())) {
        for import in package.dependencies.iter().chain(&package.dev_dependencies) {
            if services.contains(&import.as_str()) {
                breaches.push(format!(
                    "{} imports {import}: services meet in proto/ and cluster-api only",
                    package.name
                ));
            }
        }
    }
    none_of("services that know each other", breaches);
}

#[test]
fn pure_crates_use_nothing_but_computation() {
    let packages = packages();
    let ours = |name: &str| packages.iter().any(|package| package.name == name);
    let mut breaches = Vec::new();
    for package in packages.iter().filter(|package| kind_of(package) == Some(Kind::Pure)) {
        for import in package.dependencies.iter().filter(|name| !ours(name)) {
            if !PURE_MAY_USE.contains(&import.as_str()) {
                breaches.push(format!("{} is pure and must not use {import}", package.name));
            }
        }
    }
    none_of("impure dependencies", breaches);
}

#[test]
fn what_belongs_to_one_place_is_named_nowhere_else() {
    let mut breaches = Vec::new();
    for package in packages().iter().filter(|package| kind_of(package) != Some(Kind::Test)) {
        for (outside, owners) in BELONGS_TO {
            if package.dependencies.iter().any(|name| name == outside)
                && !owners.contains(&package.name.as_str())
            {
                breaches.push(format!(
                    "{} uses {outside}, which belongs to {}",
                    package.name,
                    owners.join(" and ")
                ));
            }
        }
    }
    none_of("dependencies in the wrong place", breaches);
}

#[test]
fn crates_that_were_decided_against_are_not_compiled() {
    let compiled = compiled_crates().expect("cargo tree answers in a workspace that builds");
    assert!(compiled.iter().any(|name| name == "bytes"), "cargo tree told nothing: {compiled:?}");
    let breaches = NEVER
        .iter()
        .filter(|(name, _)| compiled.iter().any(|compiled| compiled == name))
        .map(|(name, reason)| format!("{name}: {reason}; `cargo tree -i {name}` tells who brings it"))
        .collect();
    none_of("unwanted crates", breaches);
}

#[test]
fn every_dependency_is_used() {
    let sources = hand_written().expect("the workspace can be read");
    let breaches = packages().iter().flat_map(|package| unused(package, &sources)).collect();
    none_of("dependencies that nothing names", breaches);
}

fn packages() -> Vec<Package> {
    workspace_packages().expect("cargo metadata answers in a workspace that builds")
}

fn kind_of(package: &Package) -> Option<Kind> {
    layer_of(&package.name).map(|layer| layer.kind)
}
