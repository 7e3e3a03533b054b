//! Click-to-dial with SIPp as both phones.

use std::path::PathBuf;

use test_support::{Carillon, Sipp, free_port};

fn scenario(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sipp").join(name)
}

/// A phone that registers, and then plays `scenario` on the port it registered from: that is where its calls come.
pub fn phone(carillon: &Carillon, user: &str, script: &str) -> Sipp {
    Sipp::answers(&scenario(script), user, registered(carillon, user))
}

/// The same for all who call, until it is dropped; it says what its scenario logs.
pub fn serving_phone(carillon: &Carillon, user: &str, script: &str) -> Sipp {
    Sipp::serves(&scenario(script), registered(carillon, user))
}

fn registered(carillon: &Carillon, user: &str) -> u16 {
    let port = free_port();
    let password = format!("{user}-secret");
    carillon.account(&format!("sip:{user}@localhost"), &password);
    // Without -auth_uri SIPp hashes the server's numeric address instead of the Request-URI.
    let arguments = ["-key", "domain", "localhost", "-au", user, "-ap", &password, "-auth_uri", "localhost"];
    Sipp::plays(&scenario("register.xml"), user, port, &carillon.sip, &arguments);
    port
}

/// Type and leg of each event that `dial --watch` printed, after the line with the call's id.
fn story(text: &str) -> Vec<String> {
    let event = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let kind = words.next().unwrap_or_default().to_owned();
        let leg = words.next().filter(|word| matches!(*word, "a" | "b"));
        leg.map_or(kind.clone(), |leg| format!("{kind} {leg}"))
    };
    text.lines().skip(1).map(event).collect()
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
    let expected = [
        "CREATED",
        "LEG_DIALING a",
        "LEG_RINGING a",
        "LEG_ANSWERED a",
        "LEG_DIALING b",
        "LEG_RINGING b",
        "LEG_ANSWERED b",
        "CONNECTED",
        "LEG_ENDED a",
        "LEG_ENDED b",
        "ENDED",
    ];
    assert_eq!(story(&text), expected, "{text}");
    assert!(text.contains("COMPLETED 200 Maximum duration, ended by carillon"), "{text}");
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
    let expected = [
        "CREATED",
        "LEG_DIALING a",
        "LEG_ANSWERED a",
        "LEG_DIALING b",
        "LEG_ENDED b",
        "LEG_ENDED a",
        "ENDED",
    ];
    assert_eq!(story(&text), expected, "{text}");
    assert!(text.contains("BUSY 486 Busy Here, ended by b"), "{text}");
    alice.finish();
    bob.finish();
}
