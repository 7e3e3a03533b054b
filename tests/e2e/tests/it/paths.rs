//! A proxy between phones and the edge that is on the Path of their registrations: a real Kamailio.

use test_support::{Carillon, Kamailio};

use crate::wire::{Wire, header, status};

/// REG-20, PXY-12, PXY-26: the registration says that it goes by the proxy and is told so; a call comes by the way that it says, and what belongs to
/// the call goes both ways along it. A phone that does not know of Path is refused, and told what it would have to know.
#[test]
fn a_phone_behind_a_proxy_is_called_along_its_path() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let proxy = Kamailio::in_front("127.0.0.2", &carillon.sip);
    let (bob, alice) = (Wire::facing("127.0.0.3", proxy.address), Wire::of(&carillon));
    let contact = format!("Contact: <sip:bob@{}>", bob.address());
    let register = |supported: &[&str]| {
        let lines = [&["From: <sip:bob@localhost>;tag=b", "To: <sip:bob@localhost>", &contact], supported];
        let call_id = bob.request("REGISTER sip:localhost", &lines.concat());
        bob.answer_to(&call_id)
    };
    let refused = register(&[]);
    assert_eq!((status(&refused), header(&refused, "Unsupported")), (420, Some("path")), "{refused}");
    let granted = register(&["Supported: path"]);
    let path = header(&granted, "Path").unwrap_or_else(|| panic!("a Path in {granted}")).to_owned();
    assert!(status(&granted) == 200 && path.contains(&proxy.address.to_string()), "{granted}");

    let own = format!("Contact: <sip:alice@{}>", alice.address());
    let call_id = alice.request("INVITE sip:bob@localhost", &[&own]);
    let invite = bob.receive_request("INVITE");
    assert!(invite.starts_with(&format!("INVITE sip:bob@{} ", bob.address())), "{invite}");
    let via = header(&invite, "Via").unwrap_or_default();
    assert!(via.contains(&proxy.address.to_string()), "it came by the proxy: {invite}");
    assert_eq!(invite.matches("\r\nVia: ").count(), 3, "and by one edge: {invite}");
    assert_eq!(header(&invite, "Route"), None, "{invite}");
    bob.respond(&invite, "200 OK", &[&contact]);
    let answer = alice.answer_to(&call_id);
    let recorded: Vec<&str> = answer.lines().filter_map(|line| line.strip_prefix("Record-Route: ")).collect();
    let recorded: Vec<&str> = recorded.iter().flat_map(|line| line.split(',')).map(str::trim).collect();
    assert!(recorded.len() >= 2 && recorded[0].contains(&proxy.address.to_string()), "{answer}");
    let to = header(&answer, "To").unwrap_or_default().to_owned();
    let call_id = format!("Call-ID: {call_id}");

    let onward: Vec<&str> = recorded.iter().rev().copied().collect();
    let (route, party) = (format!("Route: {}", onward.join(", ")), format!("To: {to}"));
    let within = [party.as_str(), &call_id, &route];
    let uri = format!("sip:bob@{}", bob.address());
    alice.request(&format!("ACK {uri}"), &[&within[..], &["CSeq: 1 ACK"]].concat());
    bob.receive_request("ACK");

    let (route, party) = (format!("Route: {}", recorded.join(", ")), format!("From: {to}"));
    let within = [&party, "To: <sip:alice@localhost>;tag=a", &call_id, &route, "CSeq: 7 BYE"];
    bob.request(&format!("BYE sip:alice@{}", alice.address()), &within);
    let bye = alice.receive_request("BYE");
    alice.respond(&bye, "200 OK", &[]);
}
