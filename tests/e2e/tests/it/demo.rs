//! The README's first command.

use std::process::Command;

use test_support::binary;

/// LAD-4 as it happens on the wire, checked by the demo itself: UPDATE with tone and SDP toward the first phone, PRACK
/// toward the second. TPC-08, TPC-13
#[test]
fn the_demo_rings_two_phones_draws_the_ladder_and_succeeds() {
    let done = Command::new(binary()).arg("demo").output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{text}\n{}", String::from_utf8_lossy(&done.stderr));
    for step in
        ["INVITE (SDP without media)", "RSeq", "UPDATE (Reason 180, tone + SDP)", "PRACK (SDP)", "BYE"]
    {
        assert!(text.contains(step), "no {step} in\n{text}");
    }
    for event in ["CREATED", "LEG_DIALING", "CONNECTED", "ENDED"] {
        assert!(text.contains(event), "no {event} in\n{text}");
    }
}

/// LAD-1 by the demo.
#[test]
fn the_demo_shows_flow_iv_too() {
    let done = Command::new(binary()).args(["demo", "--flow", "iv"]).output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{text}\n{}", String::from_utf8_lossy(&done.stderr));
    assert!(!text.contains("UPDATE"), "{text}");
}
