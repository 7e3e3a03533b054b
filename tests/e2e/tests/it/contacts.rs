//! Contacts that are not where their REGISTER came from.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use test_support::{Carillon, PATIENCE};

use crate::wire::{Wire, header, status};

const BOB: [&str; 2] = ["From: <sip:bob@localhost>;tag=b", "To: <sip:bob@localhost>"];

/// Registers a contact for bob and says the answer.
fn register(from: &Wire, contact: &str, more: &[&str]) -> String {
    let contact = format!("Contact: {contact}");
    let own = if more.iter().any(|line| line.starts_with("From")) { &BOB[1..] } else { &BOB[..] };
    let lines: Vec<&str> = own.iter().chain(&[contact.as_str()]).chain(more).copied().collect();
    let call_id = from.request("REGISTER sip:localhost", &lines);
    from.answer_to(&call_id)
}

/// PXY-14: one socket sends, another one of the same phone listens.
#[test]
fn a_contact_at_another_port_is_called_there() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let (sends, listens, alice) = (Wire::of(&carillon), Wire::of(&carillon), Wire::of(&carillon));
    assert_eq!(status(&register(&sends, &format!("<sip:bob@{}>", listens.address()), &[])), 200);
    alice.request("MESSAGE sip:bob@localhost", &[]);
    let request = listens.receive_request("MESSAGE");
    assert!(request.starts_with(&format!("MESSAGE sip:bob@{} ", listens.address())), "{request}");
    sends.expect_nothing();
}

/// PXY-12, PXY-26: the same within a dialog, in both directions.
#[test]
fn requests_within_a_dialog_go_where_the_contacts_of_the_dialog_say() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let [alice, bob, alice_listens, bob_listens] = [(); 4].map(|()| Wire::of(&carillon));
    register(&bob, &format!("<sip:bob@{}>", bob.address()), &[]);
    let contact = format!("Contact: <sip:alice@{}>", alice_listens.address());
    let call_id = alice.request("INVITE sip:bob@localhost", &[&contact]);
    let invite = bob.receive_request("INVITE");
    bob.respond(&invite, "200 OK", &[&format!("Contact: <sip:bob@{}>", bob_listens.address())]);
    let answer = alice.answer_to(&call_id);
    let route: Vec<&str> = answer.lines().filter_map(|line| line.strip_prefix("Record-Route: ")).collect();
    let (call_id, route) = (format!("Call-ID: {call_id}"), format!("Route: {}", route.join(", ")));
    let tag = header(&answer, "To").unwrap().to_owned();
    let bye = |from: &Wire, to: &Wire, lines: [&str; 2]| {
        let lines = [lines[0], lines[1], &call_id, &route, "CSeq: 7 BYE"];
        from.request(&format!("BYE sip:x@{}", to.address()), &lines);
        to.receive_request("BYE");
    };
    bye(&alice, &bob_listens, ["From: <sip:alice@localhost>;tag=a", &format!("To: {tag}")]);
    bye(&bob, &alice_listens, [&format!("From: {tag}"), "To: <sip:alice@localhost>;tag=a"]);
}

/// OBD-05, TRN-05: a phone behind a NAT, which names an address of its own network.
#[test]
fn a_phone_behind_a_nat_is_called_where_it_registered_from() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let (bob, alice) = (Wire::of(&carillon), Wire::of(&carillon));
    let via = "Via: SIP/2.0/UDP 10.1.2.3:5060;branch=z9hG4bKnat;rport";
    assert_eq!(status(&register(&bob, "<sip:bob@10.1.2.3:5060>", &[via])), 200);
    alice.request("MESSAGE sip:bob@localhost", &[]);
    let request = bob.receive_request("MESSAGE");
    assert!(request.starts_with("MESSAGE sip:bob@10.1.2.3:5060 "), "{request}");
}

/// PXY-14: who registers for somebody else, from another host, is not called.
#[test]
fn a_third_party_registers_a_phone_on_another_host() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"[edge]\ntrusted = [\"127.0.0.3/32\"]\n").unwrap();
    let carillon = Carillon::serve(&["--config", file.path().to_str().unwrap()]);
    carillon.account("sip:bob@localhost", "secret");
    let assistant = Wire::at("127.0.0.3", &carillon);
    let phone = Wire::at("127.0.0.2", &carillon);
    let contact = format!("<sip:bob@{}>", phone.address());
    let answer = register(&assistant, &contact, &["From: <sip:assistant@localhost>;tag=x"]);
    assert_eq!(status(&answer), 200, "{answer}");
    assistant.request("MESSAGE sip:bob@localhost", &[]);
    phone.receive_request("MESSAGE");
}

/// DNS-01, PXY-14: `transport` and `maddr` are obeyed, whatever the REGISTER came by.
#[test]
fn a_contact_is_called_by_the_transport_and_address_that_it_names() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let (bob, alice) = (Wire::of(&carillon), Wire::of(&carillon));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = listener.local_addr().unwrap();
    register(&bob, &format!("<sip:bob@{tcp};transport=tcp>"), &[]);
    alice.request("MESSAGE sip:bob@localhost", &[]);
    assert!(first_line(listener.accept().unwrap().0).starts_with("MESSAGE sip:bob@"));

    let other = Wire::at("127.0.0.2", &carillon);
    let port = other.address().port();
    let carol = ["From: <sip:carol@localhost>;tag=c", "To: <sip:carol@localhost>"];
    let contact = format!("Contact: <sip:carol@phone.example:{port};maddr=127.0.0.2>");
    let call_id = bob.request("REGISTER sip:localhost", &[carol[0], carol[1], &contact]);
    assert_eq!(status(&bob.answer_to(&call_id)), 200);
    alice.request("MESSAGE sip:carol@localhost", &["To: <sip:carol@localhost>"]);
    other.receive_request("MESSAGE");
}

/// PXY-14: a connection is the way to the phone that opened it, not to a port that its Contact names for datagrams.
#[test]
fn a_phone_that_registers_over_tcp_for_udp_is_called_by_udp() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let (listens, alice) = (Wire::of(&carillon), Wire::of(&carillon));
    let mut stream = TcpStream::connect(&carillon.sip).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let contact = format!("Contact: <sip:bob@{};transport=udp>", listens.address());
    let via = format!("Via: SIP/2.0/TCP {};branch=z9hG4bKtcp", stream.local_addr().unwrap());
    let (text, _) = listens.compose("REGISTER sip:localhost", &[BOB[0], BOB[1], &contact, &via]);
    stream.write_all(text.as_bytes()).unwrap();
    assert!(first_line(stream.try_clone().unwrap()).starts_with("SIP/2.0 200"));
    alice.request("MESSAGE sip:bob@localhost", &[]);
    listens.receive_request("MESSAGE");
}

fn first_line(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n") {
        stream.read_exact(&mut byte).expect("a line comes");
        text.push(byte[0]);
    }
    String::from_utf8_lossy(&text).into_owned()
}
