//! sipsak, which administrators ping, trace and flood SIP servers with.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use scripted_phone::{Answer, Script};
use test_support::{Carillon, PATIENCE, TestPhone};

const ALICE: &str = "sip:alice@localhost";

/// Runs sipsak toward the edge.
fn sipsak(carillon: &Carillon, arguments: &[&str]) -> Output {
    let mut command = Command::new("sipsak");
    let done = command.args(arguments).args(["-i", "-p", &carillon.sip]).stdin(Stdio::null()).output();
    done.expect("sipsak is installed (make test installs it)")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// PXY-02: OPTIONS to the domain is answered by the edge.
#[test]
fn a_ping_is_answered() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    // It accepts text/plain alone, and the answer has no text.
    let done = sipsak(&carillon, &["-vv", "-s", "sip:localhost"]);
    assert!(done.status.success() && text(&done).contains("SIP/2.0 200 OK"), "{}", text(&done));
}

/// AUT-01, AUT-03, REG-07: a user is registered with the right password, and not with a wrong one.
#[test]
fn a_user_is_registered_with_a_password() {
    let carillon = Carillon::for_old_phones();
    carillon.account(ALICE, "secret");
    let contact = "sip:alice@127.0.0.1:9";
    for (password, works) in [("wrong", false), ("secret", true)] {
        let arguments = ["-U", "-C", contact, "-x", "600", "-s", ALICE, "-u", "alice", "-a", password];
        let done = sipsak(&carillon, &arguments);
        assert_eq!(done.status.success(), works, "{}", text(&done));
        let listed = carillon.command(&["bindings", ALICE]);
        assert_eq!(String::from_utf8_lossy(&listed.stdout).contains(contact), works, "{}", text(&done));
    }
}

/// PXY-02: a trace shows the hops on the way to the phone: the edge answers 483 to what may not be forwarded, the phone answers the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_ends_at_the_phone() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    carillon.account(ALICE, "secret");
    let script = Script { answer: Answer::Never, ..Script::default() };
    let _alice = TestPhone::registered(&carillon.sip, ALICE, "secret", script).await;
    let run = move || {
        let done = sipsak(&carillon, &["-T", "-vv", "-s", ALICE]);
        (text(&done), carillon.metric("carillon_edge_rejects_total{reason=\"too_many_hops\"}"))
    };
    let (told, refused) = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(told.contains("483 Too Many Hops") && told.contains("200 OK"), "{told}");
    assert_eq!(refused, 1.0, "{told}");
}

/// T13, OVL-03: a flood from one sender leaves a process that serves: a phone registers when it is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_survived() {
    let mut carillon = Carillon::for_old_phones();
    carillon.account(ALICE, "secret");
    let flood = Command::new("sipsak")
        .args(["-F", "-i", "-s", ALICE, "-p", &carillon.sip])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut flood = Flood(flood.expect("sipsak is installed (make test installs it)"));
    let started = Instant::now();
    let taken = "carillon_edge_sip_total{event=\"datagrams_received\"}";
    while carillon.metric(taken) < 2_000.0 {
        assert!(started.elapsed() < PATIENCE, "the flood does not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(matches!(flood.0.try_wait(), Ok(None)), "it lasts");
    drop(flood);
    TestPhone::registered(&carillon.sip, ALICE, "secret", Script::plain()).await;
    assert!(carillon.is_alive());
    assert_eq!(carillon.metric("carillon_edge_sip_total{event=\"internal_panics\"}"), 0.0);
}

/// A flood that ends with its handle.
struct Flood(std::process::Child);

impl Drop for Flood {
    fn drop(&mut self) {
        // Already dead is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
