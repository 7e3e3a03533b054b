//! A client in another language, with reflection alone, whose replica dies under it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use scripted_phone::Happening;
use test_support::Lines;

use super::{AT_ONCE, Cluster, is_ended_by_peer};

/// LAD-9, CCL-07, SCN-15, TPC-15, F4: it makes two calls, holds the first one, transfers attended, and watches; the replica dies when the
/// transfer has begun, and the events go on at the other one without a gap or a repetition until the call ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_transfers_attended_and_resumes_at_another_replica() {
    let mut cluster = Cluster::start(&[]);
    let mut alice = cluster.phone("alice", 0, AT_ONCE).await;
    let mut bob = cluster.phone("bob", 1, AT_ONCE).await;
    let mut desk = cluster.phone("desk", 1, AT_ONCE).await;
    let mut carol = cluster.phone("carol", 0, AT_ONCE).await;
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let python = here.join("../../target/test-python/bin/python3");
    let python = if python.exists() { python } else { PathBuf::from("python3") };
    let addresses = cluster.calls.each_ref().map(|calls| calls.api.trim_start_matches("http://").to_owned());
    let mut child = Command::new(python)
        .arg(here.join("python/attended_transfer.py"))
        .args(&addresses)
        .args(["alice", "bob", "desk", "carol"].map(|name| format!("sip:{name}@localhost")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 with grpcio is installed (make test installs it)");
    let said = Lines::of("attended_transfer.py", child.stdout.take().expect("stdout is piped"));
    let failed = Lines::of("attended_transfer.py (errors)", child.stderr.take().expect("stderr is piped"));
    let mut keyboard = child.stdin.take().expect("stdin is piped");
    tokio::task::block_in_place(|| {
        said.wait_for("the transfer", |l| l == "TRANSFER_STARTED");
        cluster.calls[0].kill();
        writeln!(keyboard, "go on").expect("it waits for this");
        said.wait_for("the other replica", |l| l == "RESUMED");
        said.wait_for("success", |l| l == "TRANSFER_SUCCEEDED");
    });
    carol.wait_for("the call", |h| *h == Happening::Connected).await;
    for phone in [&mut bob, &mut desk] {
        phone.wait_for("BYE", is_ended_by_peer).await;
    }
    tokio::task::block_in_place(|| writeln!(keyboard, "hang up").expect("it waits for this"));
    for phone in [&mut alice, &mut carol] {
        phone.wait_for("BYE", is_ended_by_peer).await;
    }
    let status = tokio::task::block_in_place(|| {
        said.wait_for_end();
        child.wait().expect("it was ours")
    });
    let seen = said.seen();
    assert!(status.success(), "{seen:#?} {:#?}", failed.seen());
    for once in ["CREATED", "CONNECTED", "HELD", "TRANSFER_STARTED", "TRANSFER_SUCCEEDED", "ENDED"] {
        assert_eq!(seen.iter().filter(|line| *line == once).count(), 1, "{once}: {seen:#?}");
    }
}
