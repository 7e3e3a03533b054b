//! A real redis-server.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::{Lines, free_port};

/// A redis-server of this test.
pub struct Redis {
    child: Child,
    folder: TempDir,
    port: u16,
    arguments: Vec<String>,
    _lines: Lines,
}

impl Redis {
    /// Starts a server with append-only file, as production has it.
    pub fn start() -> Self {
        Self::with(&["--appendonly", "yes"])
    }

    /// Starts a replica of this server.
    pub fn replica(&self) -> Self {
        Self::with(&["--replicaof", "127.0.0.1", &self.port.to_string()])
    }

    /// Starts a server with further arguments.
    ///
    /// # Panics
    /// When redis-server is not installed; `make test` installs it.
    pub fn with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_string()).collect();
        let port = free_port();
        let (child, lines) = spawn(&folder, port, &arguments);
        Self { child, folder, port, arguments, _lines: lines }
    }

    /// `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it says to a command without binary arguments, as text.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn ask(&self, command: &str) -> String {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).expect("the server listens");
        write!(connection, "{command}\r\nQUIT\r\n").expect("the server takes commands");
        let mut text = String::new();
        connection.read_to_string(&mut text).expect("the server answers, and closes after QUIT");
        text
    }

    /// Waits until it counts a replica as in step.
    ///
    /// # Panics
    /// When patience ends first.
    pub fn wait_for_replica(&self) {
        let begun = std::time::Instant::now();
        // Polled: a primary tells of its replicas when it is asked, and never by itself.
        while !self.ask("INFO replication").contains("state=online") {
            assert!(begun.elapsed() < crate::PATIENCE, "no replica is in step");
            std::thread::yield_now();
        }
    }

    /// Stops it where it is: connections stay and nothing is answered.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on after [`Self::freeze`].
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(done.expect("kill is part of every system").success(), "kill {name}");
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().expect("the server runs");
        self.child.wait().expect("the server was ours");
    }

    /// Starts it again after [`Self::kill`], with the data it had.
    pub fn restart(&mut self) {
        let (child, lines) = spawn(&self.folder, self.port, &self.arguments);
        self.child = child;
        self._lines = lines;
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Already dead is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &TempDir, port: u16, arguments: &[String]) -> (Child, Lines) {
    let mut child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
        .arg(folder.path())
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-server is installed (make test installs it)");
    let lines = Lines::of("redis-server", child.stdout.take().expect("stdout is piped"));
    lines.wait_for("readiness", |l| l.contains("Ready to accept connections"));
    (child, lines)
}
