//! Keeps `src/gen/` equal to what the files in `proto/` generate. No `protoc` is needed.
//!
//! After a change of a `.proto` file: `UPDATE=1 cargo test -p cluster-api --test it`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use prost::Message;
use prost_types::FileDescriptorSet;

/// The folder of the crate.
fn crate_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder that holds the `carillon/` packages.
fn proto_root() -> PathBuf {
    crate_root().join("../../proto")
}

/// Every `.proto` file below `folder`, sorted, so that the output does not depend on the file system.
fn proto_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the proto folder is readable") {
        let path = entry.expect("its entries are readable").path();
        if path.is_dir() {
            found.extend(proto_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Every contract, compiled, with its comments.
pub fn compiled() -> FileDescriptorSet {
    let root = proto_root();
    protox::compile(proto_files(&root), [&root]).expect("the proto files are valid")
}

/// Writes the Rust code and the descriptor set for all packages into `target`.
fn generate(target: &Path) {
    let mut files = compiled();
    tonic_prost_build::configure()
        .out_dir(target)
        .bytes(".carillon")
        // their own `Debug` shows no password
        .skip_debug([".carillon.registrar.v1.Account", ".carillon.registrar.v1.TrunkCredentials"])
        .compile_fds(files.clone())
        .expect("the proto files generate");
    for file in &mut files.file {
        file.source_code_info = None; // comments are in the proto files and in the Rust code already
    }
    fs::write(target.join("descriptors.bin"), files.encode_to_vec()).expect("the target is writable");
}

/// Name and content of each file in a folder.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .expect("the folder is readable")
        .map(|entry| {
            let path = entry.expect("its entries are readable").path();
            let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("its files are readable"))
        })
        .collect()
}

/// The checked-in code is never older or newer than the contracts.
#[test]
fn regenerated_code_is_what_is_checked_in() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    generate(scratch.path());
    let fresh = content(scratch.path());
    let checked_in_folder = crate_root().join("src/gen");

    if std::env::var_os("UPDATE").is_some() {
        for name in content(&checked_in_folder).keys() {
            fs::remove_file(checked_in_folder.join(name)).expect("generated files are removable");
        }
        for (name, bytes) in &fresh {
            fs::write(checked_in_folder.join(name), bytes).expect("generated files are writable");
        }
    }

    let checked_in = content(&checked_in_folder);
    let stale: Vec<_> = fresh
        .keys()
        .chain(checked_in.keys())
        .filter(|name| fresh.get(*name) != checked_in.get(*name))
        .collect();
    assert!(
        stale.is_empty(),
        "{stale:?} in src/gen differ from proto/: run UPDATE=1 cargo test -p cluster-api --test it"
    );
}
