//! tshark as a reader of captures that nobody here wrote.

use std::path::Path;
use std::process::Command;

/// What tshark found in a file.
#[derive(Debug)]
pub struct Capture {
    /// Method or status of each message, in order.
    pub messages: Vec<String>,
    /// From which port to which each of them went, in the same order; empty where nobody asks.
    pub ports: Vec<[u16; 2]>,
    /// What it marked as malformed, or as an error.
    pub faults: Vec<String>,
}

impl Capture {
    /// How many messages this port sent, and how many came to it.
    pub fn of_port(&self, port: u16) -> [usize; 2] {
        [0, 1].map(|end| self.ports.iter().filter(|ports| ports[end] == port).count())
    }
}

/// Has tshark read a capture in which every datagram is SIP.
///
/// # Panics
/// When it is not installed (`make test` installs it), or cannot read the file.
pub fn read_capture(file: &Path) -> Capture {
    let fields =
        ["frame.number", "frame.protocols", "sip.Method", "sip.Status-Code", "_ws.malformed", "_ws.expert"];
    let fields = fields.iter().flat_map(|field| ["-e", field]);
    // Whatever else is known to use a port of this test; severities are cumulated, an error says so in words.
    let done = Command::new("tshark")
        .args(["-n", "-d", "udp.port==1-65535,sip", "-T", "fields", "-r"])
        .arg(file)
        .args(fields)
        .output()
        .expect("tshark is installed (make test installs it)");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let errors = Command::new("tshark")
        .args(["-n", "-d", "udp.port==1-65535,sip", "-r"])
        .arg(file)
        .args(["-Y", "_ws.malformed || _ws.expert.severity == \"Error\"", "-V"])
        .output()
        .expect("tshark runs again");
    assert!(errors.status.success(), "{}", String::from_utf8_lossy(&errors.stderr));
    let (text, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&errors.stdout));
    let mut capture = Capture { messages: Vec::new(), ports: Vec::new(), faults: Vec::new() };
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields[..] {
            [_, protocols, method, status, "", ..] if protocols.contains(":sip") => {
                capture.messages.push(if method.is_empty() { status } else { method }.to_owned());
            }
            _ => capture.faults.push(line.to_owned()),
        }
    }
    if !errors.trim().is_empty() {
        capture.faults.push(errors.into_owned());
    }
    capture
}
