//! Click-to-dial with SIPp as both phones.

use std::path::PathBuf;

use test_support::{Carillon, Sipp};

fn scenario(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sipp").join(name)
}

fn registers(carillon: &Carillon, user: &str, phone: &Sipp) {
    let contact = format!("127.0.0.1:{}", phone.port);
    let password = format!("{user}-secret");
    carillon.account(&format!("sip:{user}@localhost"), &password);
    let arguments =
        ["-key", "domain", "localhost", "-key", "contact", &contact, "-au", user, "-ap", &password];
    Sipp::plays(&scenario("register.xml"), user, &carillon.sip, &arguments);
}

/// TPC-01, LAD-1: one rpc rings two phones that nobody here wrote, connects them, and hangs up.
#[test]
fn one_rpc_rings_two_sipp_phones_and_connects_them() {
    let carillon = Carillon::all_in_one();
    let alice = Sipp::answers(&scenario("first_leg.xml"), "alice");
    let bob = Sipp::answers(&scenario("second_leg.xml"), "bob");
    registers(&carillon, "alice", &alice);
    registers(&carillon, "bob", &bob);
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
    for event in ["CREATED", "LEG_RINGING", "LEG_ANSWERED", "CONNECTED", "ENDED", "COMPLETED"] {
        assert!(text.contains(event), "no {event} in\n{text}");
    }
    alice.finish();
    bob.finish();
}

/// TPC-05, LAD-1 c: the busy phone's status reaches the first phone as a Reason, and the watcher as the outcome.
#[test]
fn a_busy_second_phone_ends_the_call_with_its_status() {
    let carillon = Carillon::all_in_one();
    let alice = Sipp::answers(&scenario("hung_up_with_reason.xml"), "alice");
    let bob = Sipp::answers(&scenario("busy.xml"), "bob");
    registers(&carillon, "alice", &alice);
    registers(&carillon, "bob", &bob);
    let done =
        carillon.command(&["dial", "sip:alice@localhost", "sip:bob@localhost", "--flow", "iv", "--watch"]);
    let text = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(1), "{text}");
    assert!(text.contains("BUSY 486"), "{text}");
    alice.finish();
    bob.finish();
}
