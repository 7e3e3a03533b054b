//! Phones and clients that nobody here wrote: baresip, and Python with server reflection.

use std::path::PathBuf;
use std::process::Command;

use scripted_phone::Script;
use test_support::{Baresip, Carillon, TestPhone};

/// TPC-12, LAD-1: two baresips, dialled over gRPC, exchange RTP, and are hung up by gRPC.
#[test]
fn two_baresips_are_dialled_hear_each_other_and_are_hung_up() {
    dialled_baresips("udp");
}

/// TRN-01, TRN-06: the same over TCP.
#[test]
fn two_baresips_on_tcp_are_dialled_and_hung_up() {
    dialled_baresips("tcp");
}

fn dialled_baresips(transport: &str) {
    let carillon = Carillon::for_old_phones();
    carillon.account("sip:alice@localhost", "a-secret");
    carillon.account("sip:bob@localhost", "b-secret");
    let alice = Baresip::registered("alice", "a-secret", &carillon.sip, transport);
    let bob = Baresip::registered("bob", "b-secret", &carillon.sip, transport);
    let dialled = carillon.command(&["dial", "sip:alice@localhost", "sip:bob@localhost", "--json"]);
    assert!(dialled.status.success(), "{}", String::from_utf8_lossy(&dialled.stderr));
    let call: serde_json::Value = serde_json::from_slice(&dialled.stdout).unwrap();
    let id = call["call_id"].as_str().unwrap();
    for phone in [&alice, &bob] {
        phone.lines.wait_for("RTP", |l| l.contains("incoming rtp for 'audio' established"));
    }
    let ended = carillon.command(&["hangup", id]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    for phone in [&alice, &bob] {
        phone.lines.wait_for("BYE", |l| l.contains("session closed"));
    }
    let shown = carillon.command(&["call", "show", id]);
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(text.contains("COMPLETED") && text.contains("ended by api"), "{text}");
}

/// A client in another language needs reflection alone: it dials, dials again with the same request id, watches, hangs up.
#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_dials_and_watches_by_reflection() {
    let carillon = Carillon::all_in_one();
    carillon.account("sip:alice@localhost", "secret");
    carillon.account("sip:bob@localhost", "secret");
    let _alice =
        TestPhone::registered(&carillon.sip, "sip:alice@localhost", "secret", Script::default()).await;
    let _bob = TestPhone::registered(&carillon.sip, "sip:bob@localhost", "secret", Script::default()).await;
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let python = here.join("../../target/test-python/bin/python3");
    assert!(
        python.exists(),
        "{} is missing: run `make test`, or scripts/install-test-deps",
        python.display()
    );
    let address = carillon.api.trim_start_matches("http://").to_string();
    let run = move || {
        Command::new(python)
            .arg(here.join("python/dial_and_watch.py"))
            .args([&address, "sip:alice@localhost", "sip:bob@localhost"])
            .output()
    };
    let done = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{text}{}", String::from_utf8_lossy(&done.stderr));
    assert!(text.starts_with("CREATED\n"), "{text}");
    assert!(text.contains("LEG_RINGING") && text.lines().filter(|l| *l == "ENDED").count() == 1, "{text}");
}
