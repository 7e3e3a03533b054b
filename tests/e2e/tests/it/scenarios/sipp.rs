//! The same flows with SIPp at both ends, which nobody here wrote: calls, registrations, and forwarding.

use std::net::UdpSocket;
use std::path::PathBuf;

use tempfile::TempDir;
use test_support::{NameServer, Sipp, free_port};

use super::Places;
use crate::wire::{Wire, header, status};

const OPEN: (&str, &str) = ("CARILLON_AUTH", "none");
/// SIPp reads the first challenge only, and knows MD5 alone.
const OLD: (&str, &str) = ("CARILLON_REGISTRAR_ALGORITHMS", "MD5");

/// What the parties of one flow play. Scenarios are in `sipp`; what stands between `@` in one is filled in here.
struct Stage {
    places: Places,
    folder: TempDir,
}

impl Stage {
    /// One process, then two edges; each with these variables.
    fn all(variables: &[(&str, &str)]) -> [Stage; 2] {
        Places::all(variables).map(|places| {
            for name in ["carol", "dave"] {
                places.registrar.account(&format!("sip:{name}@localhost"), "secret");
            }
            Stage { places, folder: tempfile::tempdir().expect("a temporary folder") }
        })
    }

    fn scenario(&self, name: &str, filled: &[(&str, &str)]) -> PathBuf {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sipp").join(format!("{name}.xml"));
        let mut text =
            std::fs::read_to_string(&file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        for (key, value) in filled {
            // A line of a message stands as it is; what is looked for is an attribute of XML.
            let value = match *key {
                "line" => (*value).to_owned(),
                _ => value.replace('<', "&lt;").replace('>', "&gt;"),
            };
            text = text.replace(&format!("@{key}@"), &value);
        }
        let path = self.folder.path().join(format!("{name}-{}.xml", free_port()));
        std::fs::write(&path, text).expect("the folder is ours");
        path
    }

    /// Registers a user at the far edge without a question: its phone will be at the port of 127.0.0.1 that this says.
    fn registered(&self, user: &str) -> u16 {
        let port = free_port();
        self.contact(user, &format!("sip:{user}@127.0.0.1:{port}"));
        port
    }

    fn contact(&self, user: &str, uri: &str) {
        let phone = Wire::of(self.places.far());
        let aor = format!("<sip:{user}@localhost>");
        let contact = match uri {
            "*" => "Contact: *\r\nExpires: 0".to_owned(),
            uri => format!("Contact: <{uri}>"),
        };
        let lines = [format!("From: {aor};tag=r"), format!("To: {aor}"), contact];
        let call_id = phone.request("REGISTER sip:localhost", &lines.each_ref().map(String::as_str));
        let answer = phone.answer_to(&call_id);
        assert_eq!(status(&answer), 200, "{answer}");
    }

    /// A registered user whose phone plays a scenario.
    fn phone(&self, user: &str, name: &str, filled: &[(&str, &str)]) -> Sipp {
        let port = self.registered(user);
        Sipp::answers(&self.scenario(name, filled), user, port)
    }

    /// Alice plays a scenario toward a user of `domain` at the near edge, to its end. What passed is read by tshark.
    fn calls(&self, callee: &str, domain: &str, name: &str, filled: &[(&str, &str)]) -> Vec<String> {
        let call_id = format!("{name}-{}", free_port());
        let uri = format!("sip:{callee}@{domain}");
        let login = ["-au", "alice", "-ap", "secret", "-auth_uri", &uri["sip:".len()..]];
        let login = [&login[..], &["-key", "domain", domain, "-cid_str", &call_id]].concat();
        Sipp::plays(&self.scenario(name, filled), callee, free_port(), &self.places.near().sip, &login);
        self.places.read_by_tshark(&[&call_id])
    }

    fn forward(&self, arguments: &[&str]) {
        let done = self.places.registrar.command(&[&["forward", "set"], arguments].concat());
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

fn said(messages: &[String], wanted: &[&str]) {
    for message in wanted {
        assert!(messages.iter().any(|found| found == message), "{message} in {messages:?}");
    }
}

/// SCN-06, SCN-07: a call between two phones, the second time after a challenge.
#[test]
fn a_call_is_answered_and_ended() {
    for (variables, caller) in [([OPEN, OLD], "caller"), ([OLD; 2], "caller_with_password")] {
        for stage in Stage::all(&variables) {
            let port = free_port();
            let asked = variables[0] != OPEN;
            let bob = if asked {
                // Without -auth_uri SIPp hashes the server's numeric address instead of the Request-URI.
                let login =
                    ["-key", "domain", "localhost", "-au", "bob", "-ap", "secret", "-auth_uri", "localhost"];
                let register = stage.scenario("register", &[]);
                Sipp::plays(&register, "bob", port, &stage.places.far().sip, &login);
                Sipp::answers(&stage.scenario("callee", &[]), "bob", port)
            } else {
                stage.phone("bob", "callee", &[])
            };
            let messages = stage.calls("bob", "localhost", caller, &[]);
            bob.finish();
            said(&messages, &["INVITE", "180", "200", "ACK", "BYE"]);
            assert_eq!(messages.iter().any(|message| message == "407"), asked, "{messages:?}");
        }
    }
}

/// SCN-01, SCN-02, SCN-03, SCN-04, SCN-05: a phone, a mailto: address beside it, a query, all taken back, each step challenged; and a
/// wrong password.
#[test]
fn a_contact_list_is_kept() {
    for stage in Stage::all(&[OLD]) {
        for (name, password) in [("contact_list", "secret"), ("wrong_password", "wrong")] {
            let call_id = format!("{name}-{}", free_port());
            let login =
                ["-au", "bob", "-ap", password, "-auth_uri", "localhost", "-key", "domain", "localhost"];
            let arguments = [&login[..], &["-cid_str", &call_id]].concat();
            let scenario = stage.scenario(name, &[]);
            Sipp::plays(&scenario, "bob", free_port(), &stage.places.near().sip, &arguments);
            said(&stage.places.read_by_tshark(&[&call_id]), &["REGISTER", "401"]);
            assert_eq!(stage.places.bindings("bob"), "");
        }
    }
}

/// SCN-13: the caller gives up.
#[test]
fn a_caller_gives_up() {
    for stage in Stage::all(&[OPEN]) {
        let bob = stage.phone("bob", "callee_cancelled", &[]);
        let messages = stage.calls("bob", "localhost", "caller_gives_up", &[]);
        bob.finish();
        said(&messages, &["INVITE", "180", "CANCEL", "487", "ACK"]);
    }
}

/// SCN-13, SCN-18: busy, temporarily unavailable, and other ways that the caller hears of as the callee said them: where to ask, by whom
/// to go, what else there is, and why not. Nobody follows: that is the caller's.
#[test]
fn a_refusal_reaches_the_caller() {
    for stage in Stage::all(&[OPEN, ("CARILLON_REGISTRAR_RECURSE", "false")]) {
        for (refusal, line) in [
            ("486 Busy Here", "Retry-After: 60"),
            ("480 Temporarily Unavailable", "Retry-After: 3600"),
            ("305 Use Proxy", "Contact: <sip:screen.example.com>"),
            ("380 Alternative Service", "Contact: <sip:voicemail@example.com>"),
            ("403 Screening Failure", "Error-Info: <sip:screening-busy@announcements.example.com>"),
        ] {
            let bob = stage.phone("bob", "callee_refuses", &[("status", refusal), ("line", line)]);
            let code = &refusal[..3];
            let messages =
                stage.calls("bob", "localhost", "caller_refused", &[("status", code), ("told", line)]);
            bob.finish();
            said(&messages, &["INVITE", code, "ACK"]);
            stage.contact("bob", "*");
        }
    }
}

/// SCN-13: a phone that says nothing.
#[test]
fn a_silent_phone_is_given_up() {
    for stage in Stage::all(&[OPEN, ("CARILLON_EDGE_RING_TIMEOUT", "1s")]) {
        let silent = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
        stage.contact("bob", &format!("sip:bob@{}", silent.local_addr().expect("it is bound")));
        let filled = [("status", "408"), ("told", "Call-ID")];
        said(&stage.calls("bob", "localhost", "caller_refused", &filled), &["INVITE", "408", "ACK"]);
        let mut buffer = [0; 4096];
        let length = silent.recv(&mut buffer).expect("it was called");
        assert!(buffer[..length].starts_with(b"INVITE sip:bob@127.0.0.1:"));
    }
}

/// SCN-11: a server that redirects, then a proxy; the INVITE stays empty, and the session is agreed in the ACK.
#[test]
fn a_redirection_leads_to_a_proxy_and_the_session_is_agreed_in_the_ack() {
    for stage in Stage::all(&[OPEN]) {
        let redirects = ["account", "set", "sip:bob@localhost", "--redirect-only", "true"];
        assert!(stage.places.registrar.command(&redirects).status.success());
        stage.contact("bob", "sip:carol@localhost");
        let carol = stage.phone("carol", "second_leg", &[]);
        let filled = [("status", "302"), ("told", "Contact: <sip:carol@localhost>")];
        let messages = stage.calls("bob", "localhost", "caller_refused", &filled);
        assert_eq!(messages, ["INVITE", "302", "ACK"]);
        said(
            &stage.calls("carol", "localhost", "caller_answers_in_ack", &[]),
            &["INVITE", "200", "ACK", "BYE"],
        );
        carol.finish();
    }
}

/// SCN-12: the callee moves; the BYE goes to where it is now.
#[test]
fn a_party_changes_its_address_by_re_invite() {
    for stage in Stage::all(&[OPEN]) {
        let bob = stage.phone("bob", "callee_moves", &[]);
        let messages = stage.calls("bob", "localhost", "caller_of_one_that_moves", &[]);
        bob.finish();
        assert!(messages.iter().filter(|message| *message == "INVITE").count() >= 4, "{messages:?}");
    }
}

/// SCN-10: through Carillon as user agent on both sides.
#[test]
fn a_call_runs_through_a_user_agent_on_both_sides() {
    for stage in Stage::all(&[OPEN]) {
        let anchored = ["account", "set", "sip:bob@localhost", "--anchor", "true"];
        assert!(stage.places.registrar.command(&anchored).status.success());
        let bob = stage.phone("bob", "callee", &[]);
        said(&stage.calls("bob", "localhost", "caller", &[]), &["INVITE", "200", "ACK", "BYE"]);
        bob.finish();
    }
}

/// SCN-09, DNS-05: the first proxy of the other domain is silent, and the call goes to the second; one that answers 500 is no dead one.
#[test]
fn the_first_proxy_is_dead() {
    let dns = free_port();
    let server = format!("127.0.0.1:{dns}");
    let port = free_port();
    let records = format!(
        "_sip._udp SRV 1 1 {port} one\n_sip._udp SRV 2 1 {port} two\none A 127.0.0.2\ntwo A 127.0.0.3"
    );
    let _dns = NameServer::serving(dns, "far.test", &records);
    let times = [("CARILLON_SIP_T1", "20ms"), ("CARILLON_SIP_T2", "160ms"), ("CARILLON_SIP_T4", "200ms")];
    let quick = [&times[..], &[("CARILLON_CALL_CONTROL_GUARD", "1s")]].concat();
    let open = [OPEN, ("CARILLON_DNS_SERVERS", server.as_str()), ("CARILLON_EDGE_TRUSTED", "127.0.0.1/32")];
    for stage in Stage::all(&[&open[..], &quick].concat()) {
        let dead = UdpSocket::bind(("127.0.0.2", port)).expect("the port is free there too");
        let second = Sipp::answers_at(&stage.scenario("callee", &[]), "bob", "127.0.0.3", port);
        said(&stage.calls("bob", "far.test", "caller", &[]), &["INVITE", "200", "ACK", "BYE"]);
        second.finish();
        let mut buffer = [0; 4096];
        let length = dead.recv(&mut buffer).expect("it was tried first");
        let invite = String::from_utf8_lossy(&buffer[..length]).into_owned();
        assert!(invite.starts_with("INVITE sip:bob@far.test "), "{invite}");
        assert!(header(&invite, "Via").is_some(), "{invite}");
    }
    for stage in Stage::all(&[&open[..], &quick].concat()) {
        let unused = UdpSocket::bind(("127.0.0.3", port)).expect("nobody has it any more");
        unused.set_nonblocking(true).expect("a socket of ours");
        let filled = [("status", "500 Server Internal Error"), ("line", "Warning: 399 one \"ill\"")];
        let first = Sipp::answers_at(&stage.scenario("callee_refuses", &filled), "bob", "127.0.0.2", port);
        let filled = [("status", "500"), ("told", "Warning: 399 one")];
        said(&stage.calls("bob", "far.test", "caller_refused", &filled), &["INVITE", "500", "ACK"]);
        first.finish();
        assert!(unused.recv(&mut [0; 4096]).is_err(), "the second one is not asked");
    }
}

/// SCN-16, FWD-02, FWD-03, FWD-04, FWD-05, FWD-06, FWD-07: at once, when busy, when nobody answers, and when there is no phone: the new
/// one sees from whom and why, and the caller hears of it.
#[test]
fn a_call_is_forwarded() {
    for stage in Stage::all(&[OPEN]) {
        for (rule, phone, reason, came_by) in [
            (
                "--unconditional",
                None,
                "unconditional",
                r"<sip:bob@localhost>;index=1[^.].*<sip:carol@localhost>;index=1\.1;mp=1",
            ),
            (
                "--busy",
                Some("callee_refuses"),
                "user-busy",
                r"cause%3D486[^>]*>;index=1\.1;rc=1.*<sip:carol@localhost[^>]*>;index=1\.2;mp=1",
            ),
            (
                "--no-answer",
                Some("callee_cancelled"),
                "no-answer",
                r"cause%3D408[^>]*>;index=1\.1;rc=1.*<sip:carol@localhost[^>]*>;index=1\.2;mp=1",
            ),
            (
                "--unreachable",
                None,
                "unavailable",
                r"<sip:bob@localhost[^>]*>;index=1[^.].*<sip:carol@localhost[^>]*>;index=1\.1;mp=1",
            ),
        ] {
            let to = ["sip:bob@localhost", rule, "sip:carol@localhost"];
            let after = ["--after", "1s"];
            stage.forward(&[&to[..], if rule == "--no-answer" { &after } else { &[] }].concat());
            let filled = [("status", "486 Busy Here"), ("line", "Retry-After: 9")];
            let bob = phone.map(|name| stage.phone("bob", name, &filled));
            let history = format!("History-Info: .*{came_by}");
            let diversion = format!("Diversion: <sip:bob@localhost>.*;reason={reason}");
            let filled = [("history", history.as_str()), ("diversion", diversion.as_str())];
            let carol = stage.phone("carol", "callee_forwarded_to", &filled);
            let filled = [("history", "History-Info: .*<sip:carol@localhost")];
            let messages = stage.calls("bob", "localhost", "caller_forwarded", &filled);
            carol.finish();
            if let Some(bob) = bob {
                bob.finish();
                stage.contact("bob", "*");
            }
            said(&messages, &["INVITE", "181", "200", "ACK", "BYE"]);
            stage.contact("carol", "*");
            assert!(
                stage.places.registrar.command(&["forward", "clear", "sip:bob@localhost"]).status.success()
            );
        }
    }
}
