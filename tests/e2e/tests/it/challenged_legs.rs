//! Phones and gateways that challenge the legs Carillon dials: `[[call_control.credentials]]` answers them.

use std::io::Write as _;

use sip_digest::{Credentials, Ha1, Hash};
use tempfile::NamedTempFile;
use test_support::Carillon;

use crate::wire::{Wire, header, status};

const SDP: &str = "Content-Type: application/sdp";
const AUDIO: &str =
    "v=0\r\no=p 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n";

/// A server that knows a password for the realm `gateway`.
fn carillon() -> (Carillon, NamedTempFile) {
    let mut file = NamedTempFile::new().unwrap();
    let table =
        "[[call_control.credentials]]\nrealm = \"gateway\"\nusername = \"carillon\"\npassword = \"wonder\"\n";
    file.write_all(table.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    (Carillon::serve(&["--auth", "none", "--config", &path]), file)
}

fn registered(carillon: &Carillon, user: &str) -> Wire {
    let wire = Wire::of(carillon);
    let (from, to) = (format!("From: <sip:{user}@localhost>;tag=r"), format!("To: <sip:{user}@localhost>"));
    let contact = format!("Contact: <sip:{user}@{}>", wire.address());
    let call_id = wire.request("REGISTER sip:localhost", &[&from, &to, &contact]);
    assert_eq!(status(&wire.answer_to(&call_id)), 200);
    wire
}

/// Whether `request` proves the password to who challenged with `nonce`.
fn proves(request: &str, name: &str, nonce: &str) -> bool {
    let Some(value) = header(request, name) else { return false };
    let given = Credentials::parse(value.as_bytes()).unwrap_or_else(|| panic!("no credentials: {value}"));
    let ha1 = Ha1::of_password(Hash::Md5, b"carillon", b"gateway", b"wonder");
    *given.nonce == *nonce.as_bytes() && *given.username == *b"carillon" && given.matches(&ha1, "INVITE", b"")
}

fn challenge(name: &str, realm: &str, nonce: &str) -> String {
    format!("{name}: Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm=MD5, qop=\"auth\"")
}

/// AUT-13, AUT-05: a 407 and a 401 are answered with the credentials of the configuration, on either leg.
#[test]
fn a_challenge_to_a_dialled_leg_is_answered_with_the_credentials_of_its_realm() {
    let (carillon, _file) = carillon();
    let (alice, bob) = (registered(&carillon, "alice"), registered(&carillon, "bob"));
    let dialled = carillon.command(&["dial", "sip:alice@localhost", "sip:bob@localhost", "--flow", "iv"]);
    assert!(dialled.status.success(), "{}", String::from_utf8_lossy(&dialled.stderr));
    for (phone, refusal, asked, given, body) in [
        (&alice, "407 Proxy Authentication Required", "Proxy-Authenticate", "Proxy-Authorization", ""),
        (&bob, "401 Unauthorized", "WWW-Authenticate", "Authorization", AUDIO),
    ] {
        let first = phone.receive_request("INVITE");
        assert_eq!(header(&first, given), None, "{first}");
        phone.respond(&first, refusal, &[&challenge(asked, "gateway", "n0nce")]);
        phone.receive_request("ACK");
        let second = phone.receive_request("INVITE");
        assert!(proves(&second, given, "n0nce"), "{second}");
        assert_eq!(header(&second, "Call-ID"), header(&first, "Call-ID"));
        assert_ne!(header(&second, "CSeq"), header(&first, "CSeq"));
        let contact = format!("Contact: <sip:{}>", phone.address());
        let sdp = if body.is_empty() { AUDIO.split("m=").next().unwrap() } else { body };
        phone.respond_with(&second, "200 OK", &[&contact, SDP], sdp);
    }
}

/// AUT-13: a realm that has no credentials gets none, and the refusal is the outcome.
#[test]
fn a_challenge_of_an_unknown_realm_ends_the_call() {
    let (carillon, _file) = carillon();
    let (alice, _bob) = (registered(&carillon, "alice"), registered(&carillon, "bob"));
    let dialled = carillon.command(&["dial", "sip:alice@localhost", "sip:bob@localhost", "--flow", "iv"]);
    let id = String::from_utf8_lossy(&dialled.stdout).trim().to_owned();
    let invite = alice.receive_request("INVITE");
    let unknown = challenge("Proxy-Authenticate", "elsewhere", "n0nce");
    alice.respond(&invite, "407 Proxy Authentication Required", &[&unknown]);
    alice.receive_request("ACK");
    alice.expect_nothing();
    let shown = carillon.command(&["call", "show", &id, "--json"]);
    let call: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(call["outcome"]["sip_status"], 407, "{call}");
}
