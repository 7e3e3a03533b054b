//! Threats of docs/threats.md that no other test looks at as a whole.

use test_support::Carillon;

use crate::wire::{Wire, header, status};

const METHODS: [&str; 5] = ["REGISTER", "INVITE", "MESSAGE", "SUBSCRIBE", "OPTIONS"];

/// T7: what a sender that has proved nothing is told is at most three times what it said, and of several challenges one when it said as
/// little as possible. It is one datagram, without a 100 before it. What else is answered, and that nothing is repeated, is in
/// `services/edge/tests/it/amplification.rs` and `bounds.rs`.
#[test]
fn strangers_are_not_told_much_more_than_they_say() {
    let carillon = Carillon::all_in_one();
    carillon.account("sip:bob@localhost", "secret");
    let eve = Wire::of(&carillon);
    for method in METHODS {
        let uri = if method == "REGISTER" { "sip:localhost" } else { "sip:bob@localhost" };
        let port = eve.address().port();
        let smallest = format!(
            "{method} {uri} SIP/2.0\r\nv:SIP/2.0/UDP h:{port};branch=z9hG4bK{method};rport\r\nf:<sip:a@localhost>;tag=1\r\n\
             t:<sip:bob@localhost>\r\ni:{method}\r\nCSeq:1 {method}\r\n\r\n"
        );
        let contact = format!("Contact: <sip:alice@{}>", eve.address());
        let (usual, _) =
            eve.compose(&format!("{method} {uri}"), &[&contact, "Allow: INVITE, ACK, CANCEL, BYE"]);
        for (request, challenges) in [(smallest, 1), (usual, 2)] {
            eve.send(&request);
            let answer = eve.receive();
            assert!(matches!(status(&answer), 401 | 407), "{answer}");
            assert!(answer.len() <= 3 * request.len(), "{} for {}: {request}", answer.len(), request.len());
            assert_eq!(answer.matches("-Authenticate: ").count(), challenges, "{answer}");
        }
    }
    // What else was sent would have come before the answer to this.
    let call_id = eve.request("REGISTER sip:localhost", &[]);
    assert_eq!(header(&eve.receive(), "Call-ID"), Some(call_id.as_str()));
}

/// T4, AUT-10: what tells a name that exists from one that does not is told to nobody: every header of the answer is the same but for
/// what is new in every answer.
#[test]
fn a_name_that_exists_looks_like_one_that_does_not() {
    let carillon = Carillon::all_in_one();
    carillon.account("sip:bob@localhost", "secret");
    let eve = Wire::of(&carillon);
    for method in METHODS {
        let answers = ["bob", "bot"].map(|name| {
            let uri =
                if method == "REGISTER" { "sip:localhost".into() } else { format!("sip:{name}@localhost") };
            let who = [format!("From: <sip:{name}@localhost>;tag=a"), format!("To: <sip:{name}@localhost>")];
            let call_id = eve.request(&format!("{method} {uri}"), &who.each_ref().map(String::as_str));
            let answer = eve.answer_to(&call_id);
            let fresh =
                |line: &&str| !["Via:", "From:", "To:", "Call-ID:"].iter().any(|name| line.starts_with(name));
            let nonce = |line: &str| match (line.split_once("nonce=\""), line.contains("Authenticate")) {
                (Some((before, rest)), true) => {
                    format!("{before}{}", rest.split_once('"').map_or("", |(_, rest)| rest))
                }
                _ => line.to_owned(),
            };
            let tag = |answer: &str| {
                header(answer, "To").and_then(|to| to.split_once("tag=")).map(|(_, tag)| tag.len())
            };
            (tag(&answer), answer.lines().filter(fresh).map(nonce).collect::<Vec<_>>())
        });
        assert_eq!(answers[0], answers[1], "{method}");
    }
}
