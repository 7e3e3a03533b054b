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

#[test]
fn everything_wrong_with_the_settings_is_told_at_once_and_exits_2() {
    let done = Command::new(binary())
        .args(["serve", "--api", "garbage", "--peers", "foo=http://127.0.0.1:1", "--roles", "registry"])
        .env("CARILLON_DOMAINN", "example.com")
        .env("CARILLON_REGISTRAR_MIN_EXPIRES", "3h")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{text}");
    for problem in [
        "--api: expected ADDR:PORT",
        "unknown role `foo`",
        "unknown role `registry`, did you mean `registrar`",
        "CARILLON_DOMAINN: unknown variable, did you mean `CARILLON_DOMAIN`",
        "CARILLON_REGISTRAR_MIN_EXPIRES: min_expires is 3h, default_expires 1h",
    ] {
        assert!(text.contains(problem), "{problem} is not in\n{text}");
    }
}

#[test]
fn settings_can_be_checked_without_starting_anything() {
    assert_eq!(run(&["serve", "--check"]), (Some(0), String::new()));
    assert_eq!(run(&["serve", "--check", "--auth", "basic"]).0, Some(2));
}

#[test]
fn a_reader_that_has_enough_ends_a_command_quietly() {
    let mut demo = Command::new(binary())
        .arg("demo")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(demo.stdout.take());
    let done = demo.wait_with_output().unwrap();
    // As of a command that SIGPIPE ended.
    assert_eq!((done.status.code(), String::from_utf8_lossy(&done.stderr)), (Some(141), "".into()));
}

#[test]
fn a_full_disk_is_an_error_and_no_panic() {
    let carillon = Carillon::all_in_one();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let done = Command::new(binary()).args(["calls", "--api", &carillon.api]).stdout(full).output().unwrap();
    let text = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{text}");
    assert!(text.starts_with("carillon: standard output: No space left"), "{text}");
}

#[test]
fn dialling_prints_the_id_alone_for_the_next_command() {
    let carillon = Carillon::all_in_one();
    let dialled = carillon.command(&["dial", "sip:alice@localhost", "sip:bob@localhost"]);
    let id = String::from_utf8(dialled.stdout).unwrap();
    assert_eq!(id.split_whitespace().count(), 1, "{id}");
    assert!(carillon.command(&["call", "show", id.trim()]).status.success(), "{id}");
}

#[test]
fn a_process_without_the_role_says_which_one_serves_the_command() {
    let redis = test_support::Redis::start();
    let registrar = Carillon::serve(&["--roles", "registrar", "--redis", &redis.url()]);
    for (command, role) in [
        (&["calls"][..], "call-control"),
        (&["edges"], "edge"),
        (&["ladder", "some-call"], "edge"),
        (&["hangup", "some-call"], "call-control"),
    ] {
        let done = registrar.command(command);
        let text = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{text}");
        assert!(text.contains(&format!("runs registrar, not {role}, which serves this")), "{text}");
    }
}

/// T22: not even the most talkative log holds a password, a token, or the answer to a challenge.
#[tokio::test]
async fn no_secret_is_in_the_log() {
    use scripted_phone::Script;
    use test_support::{Starting, TestPhone};

    let secret = "correct-horse-battery-staple";
    let token = "token-of-the-cluster-that-nobody-reads";
    let variables = [("CARILLON_LOG_FILTER", "trace"), ("CARILLON_CLUSTER_TOKEN", token)];
    let carillon = Starting::with(&[], &variables).ready();
    carillon.account("sip:alice@localhost", secret);
    let alice = TestPhone::registered(&carillon.sip, "sip:alice@localhost", secret, Script::default()).await;
    assert!(alice.seen().len() > 1);
    carillon.terminate();
    let (_, log) = carillon.ended();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log is talkative");
    for word in [secret, token, "response=\"", "nonce=\""] {
        let told = log.lines().find(|line| line.contains(word));
        assert_eq!(told, None, "{word}");
    }
}
