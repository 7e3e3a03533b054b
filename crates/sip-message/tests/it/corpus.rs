//! The fuzz corpus, replayed without the fuzzer: seeds and every input that once failed.

#[path = "../../../../fuzz/src/sip_message.rs"]
mod properties;

use std::path::{Path, PathBuf};

#[test]
fn datagrams_become_messages_or_errors() {
    assert!(replay("datagram", properties::datagram) + torture(properties::datagram) > 61);
}

#[test]
fn streams_give_the_same_messages_however_they_are_cut() {
    assert!(replay("stream", properties::stream) > 0);
    // The torture messages as streams, cut every 7 bytes.
    torture(|message| properties::stream(&[&[255][..], &[6; 255], message].concat()));
}

#[test]
fn messages_survive_being_written() {
    assert!(replay("round_trip", properties::round_trip) + torture(properties::round_trip) > 61);
}

#[test]
fn headers_survive_being_printed() {
    assert!(replay("headers", properties::headers) > 0);
}

fn replay(target: &str, property: impl Fn(&[u8])) -> usize {
    files(&repository().join("fuzz/corpus").join(target), property)
}

fn torture(property: impl Fn(&[u8])) -> usize {
    let data = repository().join("crates/sip-message/tests/data");
    files(&data.join("rfc4475"), &property) + files(&data.join("rfc5118"), &property)
}

fn files(folder: &Path, property: impl Fn(&[u8])) -> usize {
    let files = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let files = files.map(|file| file.expect("a file").path()).filter(|path| path.is_file());
    files.map(|path| property(&std::fs::read(path).expect("a readable file"))).count()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
