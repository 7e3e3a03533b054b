//! `carillon phone` at a terminal: it says goodbye, and says clearly what is wrong.

use std::process::{Child, Command, Stdio};

use test_support::{Carillon, Lines, binary};

/// A phone as a process that dies with the test.
struct Phone {
    process: Child,
    out: Lines,
    err: Lines,
}

impl Phone {
    fn start(server: &str, aor: &str, password: &str) -> Self {
        let mut process = Command::new(binary())
            .args(["phone", aor, "--password", password, "--server", server])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = Lines::of("carillon phone", process.stdout.take().unwrap());
        let err = Lines::of("carillon phone (errors)", process.stderr.take().unwrap());
        Self { process, out, err }
    }

    /// Its exit status, once it has printed everything.
    fn status(&mut self) -> Option<i32> {
        self.out.wait_for_end();
        self.process.wait().unwrap().code()
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        // Already ended is fine.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// REG-07
#[test]
fn a_phone_that_is_told_to_end_takes_its_registration_back() {
    let carillon = Carillon::all_in_one();
    carillon.account("sip:alice@localhost", "secret");
    let mut phone = Phone::start(&carillon.sip, "sip:alice@localhost", "secret");
    phone.out.wait_for("its registration", |l| l.contains("registered for"));
    let sent = Command::new("kill").args(["-TERM", &phone.process.id().to_string()]).status().unwrap();
    assert!(sent.success());
    phone.out.wait_for("its goodbye", |l| l.contains("no longer registered"));
    assert_eq!(phone.status(), Some(0));
    let left = carillon.command(&["bindings", "sip:alice@localhost", "--json"]);
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

#[test]
fn a_wrong_password_and_a_strange_domain_are_told_with_what_to_do() {
    let carillon = Carillon::all_in_one();
    carillon.account("sip:alice@localhost", "secret");
    for (aor, advice) in
        [("sip:alice@localhost", "check the password"), ("sip:alice@example.com", "serve --domain")]
    {
        let mut phone = Phone::start(&carillon.sip, aor, "wrong");
        phone.err.wait_for("advice", |l| l.contains("was refused") && l.contains(advice));
        assert_eq!(phone.status(), Some(1));
    }
}

#[test]
fn a_server_that_is_silent_is_told_while_the_phone_tries_on() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = silent.local_addr().unwrap().to_string();
    let phone = Phone::start(&server, "sip:alice@localhost", "secret");
    phone.err.wait_for("a word about the server", |l| l.contains(&format!("nobody answers at {server}")));
}
