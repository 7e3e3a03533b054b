//! What the command line says when something is wrong.

use std::process::Command;

use test_support::{Carillon, binary};

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let done = Command::new(binary()).args(arguments).output().unwrap();
    (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
}

#[test]
fn an_unknown_flag_names_the_nearest_known_one_and_exits_2() {
    let (status, text) = run(&["serve", "--domian", "x"]);
    assert_eq!(status, Some(2));
    assert!(text.contains("--domain"), "{text}");
}

#[test]
fn an_unknown_key_in_the_file_names_the_nearest_known_one_and_exits_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("carillon.toml");
    std::fs::write(&file, "[call_control]\nring_timeot = \"6s\"\n").unwrap();
    let (status, text) = run(&["serve", "--config", file.to_str().unwrap()]);
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("ring_timeout") && text.contains("line 2"), "{text}");
}

#[test]
fn a_client_command_without_a_server_says_what_to_do() {
    let (status, text) = run(&["calls", "--api", "http://127.0.0.1:1"]);
    assert_eq!(status, Some(1));
    assert!(text.contains("carillon serve"), "{text}");
}

#[test]
fn a_bad_dial_argument_names_the_field() {
    let carillon = Carillon::all_in_one();
    let done = carillon.command(&["dial", "mailto:alice@localhost", "sip:bob@localhost"]);
    let text = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1));
    assert!(text.contains("from.uri"), "{text}");
}

#[test]
fn a_line_break_in_any_string_of_a_dial_is_refused() {
    let carillon = Carillon::all_in_one();
    let evil = "sip:bob@localhost\r\nRoute: <sip:evil@127.0.0.1>";
    let done = carillon.command(&["dial", "sip:alice@localhost", evil]);
    assert!(String::from_utf8_lossy(&done.stderr).contains("to.uri"));
    let done =
        carillon.command(&["dial", "sip:alice@localhost", "sip:bob@localhost", "--caller-id", "x\r\ny"]);
    assert!(String::from_utf8_lossy(&done.stderr).contains("caller_id"));
}
