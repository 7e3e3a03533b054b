//! SIPp as a phone.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::Lines;

/// A SIPp process that plays one scenario once.
pub struct Sipp {
    child: Child,
    lines: Lines,
    name: String,
}

impl Sipp {
    /// Plays `scenario` as a server on `port`; `user` is the user part of its Contact.
    pub fn answers(scenario: &Path, user: &str, port: u16) -> Self {
        Self::spawn(scenario, user, port, None, &[])
    }

    /// Plays `scenario` against `server` from `port`, and waits for its end.
    ///
    /// # Panics
    /// When the scenario fails.
    pub fn plays(scenario: &Path, user: &str, port: u16, server: &str, arguments: &[&str]) {
        Self::spawn(scenario, user, port, Some(server), arguments).finish();
    }

    fn spawn(scenario: &Path, user: &str, port: u16, server: Option<&str>, arguments: &[&str]) -> Self {
        let name = format!("sipp {}", scenario.display());
        let mut child = Command::new("sipp")
            .arg("-sf")
            .arg(scenario)
            .args(["-s", user, "-i", "127.0.0.1", "-p", &port.to_string()])
            // Not a timing bound: only how long a broken scenario hangs.
            .args(["-m", "1", "-nostdin", "-trace_screen", "-timeout", "60s", "-timeout_error"])
            .args(["-trace_err", "-error_file", "/dev/stdout", "-screen_file", "/dev/null"])
            .args(arguments)
            .args(server)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .expect("sipp is installed (make test installs it)");
        let lines = Lines::of(&name, child.stdout.take().expect("stdout is piped"));
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

impl Drop for Sipp {
    fn drop(&mut self) {
        // Already dead is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
