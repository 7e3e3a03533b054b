//! SIPp as a phone.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::{Lines, PATIENCE};

/// A SIPp process that plays one scenario, once or for all who call.
pub struct Sipp {
    child: Child,
    /// What it prints: what the scenario logs, and what was not expected.
    pub lines: Lines,
    name: String,
}

impl Sipp {
    /// Plays `scenario` as a server on `port`; `user` is the user part of its Contact.
    pub fn answers(scenario: &Path, user: &str, port: u16) -> Self {
        Self::spawn(scenario, user, port, None, &["-m", "1"])
    }

    /// Plays `scenario` as a server at another address of the loopback.
    pub fn answers_at(scenario: &Path, user: &str, ip: &str, port: u16) -> Self {
        // The last address counts.
        Self::spawn(scenario, user, port, None, &["-m", "1", "-i", ip])
    }

    /// Plays `scenario` on `port` for each call that comes, until it is dropped.
    pub fn serves(scenario: &Path, port: u16) -> Self {
        let of_its_own = scenario.file_stem().and_then(|name| name.to_str()).unwrap_or("server");
        Self::spawn(scenario, of_its_own, port, None, &["-trace_logs", "-log_file", "/dev/stdout"])
    }

    /// Plays `scenario` against `server` from `port`, and waits for its end.
    ///
    /// # Panics
    /// When the scenario fails.
    pub fn plays(scenario: &Path, user: &str, port: u16, server: &str, arguments: &[&str]) {
        Self::spawn(scenario, user, port, Some(server), &[&["-m", "1"], arguments].concat()).finish();
    }

    fn spawn(scenario: &Path, user: &str, port: u16, server: Option<&str>, arguments: &[&str]) -> Self {
        let name = format!("sipp {}", scenario.display());
        let mut child = Command::new("sipp")
            .arg("-sf")
            .arg(scenario)
            .args(["-s", user, "-i", "127.0.0.1", "-p", &port.to_string()])
            // Not a timing bound: only how long a broken scenario hangs.
            .args(["-nostdin", "-trace_screen", "-timeout", "60s", "-timeout_error"])
            .args(["-trace_err", "-error_file", "/dev/stdout", "-screen_file", "/dev/null"])
            .args(arguments)
            .args(server)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .expect("sipp is installed (make test installs it)");
        let lines = Lines::of(&name, child.stdout.take().expect("stdout is piped"));
        if server.is_none() {
            wait_until_bound(port);
        }
        Self { child, lines, name }
    }

    /// Waits for the end of the scenario.
    ///
    /// # Panics
    /// When it failed, with what SIPp printed.
    pub fn finish(mut self) {
        let status = self.child.wait().expect("sipp was ours");
        assert!(status.success(), "{}: {status}\n{}", self.name, self.lines.seen().join("\n"));
    }
}

/// Until somebody listens there: what is sent before costs the phone its registration, for ICMP says that it is gone.
fn wait_until_bound(port: u16) {
    let begun = Instant::now();
    let place = format!(":{port:04X} ");
    // Polled: SIPp does not say when it is there
    while !std::fs::read_to_string("/proc/net/udp").is_ok_and(|sockets| sockets.contains(&place)) {
        assert!(begun.elapsed() < PATIENCE, "sipp does not listen at {port}");
        std::thread::yield_now();
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        // Already dead is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
