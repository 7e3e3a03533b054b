//! One user with several devices on the wire: flows, GRUUs, and callers who choose.

use test_support::Carillon;

use crate::wire::{Wire, header, status};

/// Registers a device of Bob and says the answer.
fn register(device: &Wire, params: &str, options: &str) -> String {
    let contact = format!("Contact: <sip:bob@{}>;{params}", device.address());
    let supported = format!("Supported: {options}");
    let call_id = device.request(
        "REGISTER sip:localhost",
        &["From: <sip:bob@localhost>;tag=b", "To: <sip:bob@localhost>", &contact, &supported],
    );
    device.answer_to(&call_id)
}

/// OBD-02, OBD-03, GRU-01, GRU-03: a device registers its flow, is told its GRUU, and a request to that reaches it alone.
#[test]
fn a_device_is_reached_by_its_gruu() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let [desk, cell, alice] = [(); 3].map(|()| Wire::of(&carillon));
    let all = "path, outbound, gruu";
    register(&desk, "+sip.instance=\"<urn:uuid:1>\";reg-id=1", all);
    let told = register(&cell, "+sip.instance=\"<urn:uuid:2>\";reg-id=1", all);
    assert_eq!((status(&told), header(&told, "Require")), (200, Some("outbound")), "{told}");
    assert!(told.contains("pub-gruu=\"sip:bob@localhost;gr=urn:uuid:2\""), "{told}");
    assert_eq!(told.matches("Contact: ").count(), 2);
    let again = register(&cell, "+sip.instance=\"<urn:uuid:2>\";reg-id=2", all);
    assert_eq!(again.matches("Contact: ").count(), 3, "a second flow of the same device: {again}");
    alice.request("MESSAGE sip:bob@localhost;gr=urn:uuid:2", &[]);
    let request = cell.receive_request("MESSAGE");
    cell.respond(&request, "200 OK", &[]);
    desk.expect_nothing();
}

/// CAP-02, CAP-04, CAP-05: only the device that is asked for rings, and the CANCEL says again what was asked for.
#[test]
fn a_caller_chooses_the_device() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let [desk, cell, alice] = [(); 3].map(|()| Wire::of(&carillon));
    register(&desk, "audio;video=\"FALSE\"", "path");
    register(&cell, "audio;video", "path");
    let wish = "Accept-Contact: *;video;require";
    let invite =
        ["Accept-Contact: *;video;require", "Proxy-Require: pref", "Call-ID: choice", "CSeq: 1 INVITE"];
    let via = format!("Via: SIP/2.0/UDP {};branch=z9hG4bKchoice", alice.address());
    let contact = format!("Contact: <sip:alice@{}>", alice.address());
    alice.request("INVITE sip:bob@localhost", &[&invite[..], &[&via, &contact]].concat());
    let at_cell = cell.receive_request("INVITE");
    cell.respond(&at_cell, "180 Ringing", &[]);
    while status(&alice.receive()) != 180 {}
    alice.request("CANCEL sip:bob@localhost", &["Call-ID: choice", "CSeq: 1 CANCEL", &via]);
    let cancel = cell.receive_request("CANCEL");
    assert!(cancel.contains(wish), "{cancel}");
    desk.expect_nothing();
    let call_id = alice.request("INVITE sip:bob@localhost", &["Request-Disposition: redirect", &contact]);
    let moved = alice.answer_to(&call_id);
    let where_to = format!("Contact: <sip:bob@{}>", desk.address());
    assert_eq!(
        (status(&moved), moved.contains(&where_to)),
        (300, true),
        "two phones to choose from: {moved}"
    );
}
