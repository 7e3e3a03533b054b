//! Click-to-dial with SIPp as both phones.

use std::path::PathBuf;

use test_support::{Carillon, Sipp, free_port};

fn scenario(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sipp").join(name)
}

/// A phone that registers, and then plays `scenario` on the port it registered from: that is where its calls come.
fn phone(carillon: &Carillon, user: &str, script: &str) -> Sipp {
    let port = free_port();
    let password = format!("{user}-secret");
    carillon.account(&format!("sip:{user}@localhost"), &password);
    // Without -auth_uri SIPp hashes the server's numeric address instead of the Request-URI.
    let arguments = ["-key", "domain", "localhost", "-au", user, "-ap", &password, "-auth_uri", "localhost"];
    Sipp::plays(&scenario("register.xml"), user, port, &carillon.sip, &arguments);
    Sipp::answers(&scenario(script), user, port)
}

/// TPC-01, LAD-1: one rpc rings two phones that nobody here wrote, connects them, and hangs up.
#[test]
fn one_rpc_rings_two_sipp_phones_and_connects_them() {
    let carillon = Carillon::for_old_phones();
    let alice = phone(&carillon, "alice", "first_leg.xml");
    let bob = phone(&carillon, "bob", "second_leg.xml");
    // The call ends by itself once it was up, so that --watch sees all of it.
    let done = carillon.command(&[
        "dial",
        "sip:alice@localhost",
        "sip:bob@localhost",
        "--flow",
        "iv",
        "--max-duration",
        "1s",
        "--watch",
    ]);
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{text}{}", String::from_utf8_lossy(&done.stderr));
    // What was over when the stream began is in its snapshot; that both phones rang and talked is in their scenarios.
    for event in ["SNAPSHOT", "ENDED", "COMPLETED"] {
        assert!(text.contains(event), "no {event} in\n{text}");
    }
    alice.finish();
    bob.finish();
}

/// TPC-05, LAD-1 c: the busy phone's status reaches the first phone as a Reason, and the watcher as the outcome.
#[test]
fn a_busy_second_phone_ends_the_call_with_its_status() {
    let carillon = Carillon::for_old_phones();
    let alice = phone(&carillon, "alice", "hung_up_with_reason.xml");
    let bob = phone(&carillon, "bob", "busy.xml");
    let done =
        carillon.command(&["dial", "sip:alice@localhost", "sip:bob@localhost", "--flow", "iv", "--watch"]);
    let text = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(1), "{text}");
    assert!(text.contains("BUSY 486"), "{text}");
    alice.finish();
    bob.finish();
}
