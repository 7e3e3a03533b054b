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
    let carillon = Carillon::all_in_one();
    carillon.account("sip:alice@localhost", "a-secret");
    carillon.account("sip:bob@localhost", "b-secret");
    let alice = Baresip::registered("alice", "a-secret", &carillon.sip, transport);
    let bob = Baresip::registered("bob", "b-secret", &carillon.sip, transport);
    let done = carillon.command(&[
        "dial",
        "sip:alice@localhost",
        "sip:bob@localhost",
        "--max-duration",
        "3s",
        "--watch",
    ]);
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success(),
        "{text}{}\nalice:\n{}\nbob:\n{}",
        String::from_utf8_lossy(&done.stderr),
        alice.lines.seen().join("\n"),
        bob.lines.seen().join("\n")
    );
    assert!(text.contains("CONNECTED") && text.contains("COMPLETED"), "{text}");
    for phone in [&alice, &bob] {
        // rtcpsummary: "EX=BareSip;CS=0;CD=2;PR=134;PS=135;…": packets received and sent.
        let summary = phone.lines.wait_for("the RTP summary", |l| l.contains("EX=BareSip"));
        assert!(packets(&summary, "PR=") > 0 && packets(&summary, "PS=") > 0, "{summary}");
    }
}

fn packets(summary: &str, name: &str) -> u64 {
    let field = summary.split(';').find_map(|f| f.trim().strip_prefix(name));
    field.and_then(|n| n.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {summary}"))
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
    assert!(text.contains("LEG_RINGING") && text.lines().filter(|l| *l == "ENDED").count() == 1, "{text}");
}
