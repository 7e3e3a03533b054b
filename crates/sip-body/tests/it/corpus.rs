//! The fuzz corpus, replayed without the fuzzer: seeds and every input that once failed.

#[path = "../../../../fuzz/src/pidf.rs"]
mod properties;

/// T27
#[test]
fn presence_documents_are_kept_without_loss() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/pidf");
    let files = std::fs::read_dir(folder).expect("the corpus is in the repository");
    let count = files.map(|file| properties::pidf(&std::fs::read(file.unwrap().path()).unwrap())).count();
    assert!(count > 4);
}
