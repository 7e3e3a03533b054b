//! What Carillon says of itself on the legs of a call that it dialled, read off the wire by two phones.

use test_support::Carillon;

use crate::wire::{Wire, header, status};

const SDP: &str = "Content-Type: application/sdp";

/// A phone that is registered, and one side of the call.
struct Phone {
    wire: Wire,
    user: &'static str,
}

impl Phone {
    fn registered(carillon: &Carillon, user: &'static str) -> Self {
        let wire = Wire::of(carillon);
        let (from, to) =
            (format!("From: <sip:{user}@localhost>;tag=r"), format!("To: <sip:{user}@localhost>"));
        let contact = format!("Contact: <sip:{user}@{}>", wire.address());
        let call_id = wire.request("REGISTER sip:localhost", &[&from, &to, &contact]);
        assert_eq!(status(&wire.answer_to(&call_id)), 200);
        Self { wire, user }
    }

    fn contact(&self) -> String {
        format!("Contact: <sip:{}@{}>", self.user, self.wire.address())
    }

    fn accept(&self, invite: &str, sdp: &str) {
        self.wire.respond_with(invite, "200 OK", &[&self.contact(), SDP], sdp);
    }

    /// Sends a request in the dialog that `invite` began, and says its final answer.
    fn ask(&self, invite: &str, cseq: u32, method: &str, lines: &[&str], body: &str) -> String {
        self.send(invite, cseq, method, lines, body);
        loop {
            let answer = self.wire.answer_to(header(invite, "Call-ID").unwrap());
            if header(&answer, "CSeq") == Some(&format!("{cseq} {method}")) {
                return answer;
            }
        }
    }

    fn send(&self, invite: &str, cseq: u32, method: &str, lines: &[&str], body: &str) {
        let value = |name: &str| header(invite, name).unwrap();
        let target = value("Contact").trim_start_matches('<').split('>').next().unwrap();
        let mut text = format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bK{cseq}{method}{};rport\r\n\
             Max-Forwards: 70\r\nFrom: {};tag=w\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n{}\r\n",
            self.wire.address(),
            self.user,
            value("To"),
            value("From"),
            value("Call-ID"),
            self.contact(),
        );
        for line in lines {
            text.push_str(&format!("{line}\r\n"));
        }
        self.wire.send(&format!("{text}Content-Length: {}\r\n\r\n{body}", body.len()));
    }
}

fn sdp(media: &str) -> String {
    format!("v=0\r\no=p 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n{media}")
}

fn lists(message: &str, name: &str, wanted: &str) -> bool {
    let value = header(message, name).unwrap_or_else(|| panic!("no {name} in {message}"));
    value.split(',').any(|entry| entry.trim() == wanted)
}

/// UPD-01, UAC-01, UAC-02, UAC-03: what an INVITE and a 2xx of a leg promise, and what is refused beyond it.
#[test]
fn a_leg_promises_what_it_does_and_refuses_the_rest() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let (alice, bob) = (Phone::registered(&carillon, "alice"), Phone::registered(&carillon, "bob"));
    let dialled = carillon.command(&["dial", "sip:alice@localhost", "sip:bob@localhost", "--flow", "iv"]);
    assert!(dialled.status.success(), "{}", String::from_utf8_lossy(&dialled.stderr));
    let audio = sdp("m=audio 40000 RTP/AVP 0\r\n");
    let to_alice = alice.wire.receive_request("INVITE");
    alice.accept(&to_alice, &sdp(""));
    let to_bob = bob.wire.receive_request("INVITE");
    for invite in [&to_alice, &to_bob] {
        assert!(lists(invite, "Allow", "UPDATE"), "{invite}");
        assert!(lists(invite, "Allow", "REFER"), "{invite}");
        assert!(!lists(invite, "Allow", "PUBLISH"), "{invite}");
        assert!(lists(invite, "Supported", "100rel"), "{invite}");
        assert!(lists(invite, "Supported", "replaces"), "{invite}");
        assert!(!lists(invite, "Supported", "gruu"), "{invite}");
    }
    bob.accept(&to_bob, &audio);
    alice.wire.receive_request("ACK");
    let offered = alice.wire.receive_request("INVITE");
    alice.accept(&offered, &audio);
    bob.wire.receive_request("ACK");
    alice.wire.receive_request("ACK");

    let refused = alice.ask(&to_alice, 11, "INVITE", &["Require: magic", SDP], &audio);
    assert_eq!((status(&refused), header(&refused, "Unsupported")), (420, Some("magic")), "{refused}");
    let refused = alice.ask(&to_alice, 12, "PUBLISH", &["Event: presence"], "");
    assert_eq!(status(&refused), 405, "{refused}");
    assert!(!lists(&refused, "Allow", "PUBLISH"), "{refused}");
    for (cseq, line) in
        [(13, "Content-Type: text/x"), (14, "Content-Type: application/sdp\r\nContent-Encoding: gzip")]
    {
        let refused = alice.ask(&to_alice, cseq, "INVITE", &[line], "x");
        assert_eq!(status(&refused), 415, "{refused}");
        assert!(lists(&refused, "Accept", "application/sdp"), "{refused}");
        assert!(lists(&refused, "Accept-Encoding", "identity"), "{refused}");
        assert!(lists(&refused, "Accept-Language", "en"), "{refused}");
    }

    let refreshed = alice.ask(&to_alice, 15, "UPDATE", &[], "");
    assert_eq!(status(&refreshed), 200, "{refreshed}");
    assert!(lists(&refreshed, "Allow", "UPDATE"), "{refreshed}");
    alice.send(&to_alice, 16, "INVITE", &[SDP], &audio);
    let relayed = bob.wire.receive_request("INVITE");
    bob.accept(&relayed, &audio);
    let answered = alice.ask(&to_alice, 16, "INVITE", &[SDP], &audio);
    assert_eq!(status(&answered), 200, "{answered}");
    assert!(lists(&answered, "Allow", "UPDATE"), "{answered}");
}
