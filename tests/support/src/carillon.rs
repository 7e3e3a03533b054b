//! The `carillon` executable as a process.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use crate::Lines;

/// A running `carillon serve`.
pub struct Carillon {
    child: Child,
    /// What it logs.
    pub log: Lines,
    /// First UDP listener, "127.0.0.1:PORT".
    pub sip: String,
    /// gRPC, "http://127.0.0.1:PORT"; empty when it serves none.
    pub api: String,
    /// Admin HTTP, "127.0.0.1:PORT".
    pub admin: String,
}

impl Carillon {
    /// All roles in one process, embedded store, domain `localhost`.
    pub fn all_in_one() -> Self {
        Self::serve(&[])
    }

    /// Starts `carillon serve` on ports that the system chooses, and waits until it says that it is ready.
    pub fn serve(arguments: &[&str]) -> Self {
        let mut all = vec!["--api", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        if !arguments.contains(&"--sip") {
            all.extend(["--sip", "udp://127.0.0.1:0", "--sip", "tcp://127.0.0.1:0"]);
        }
        all.extend(arguments);
        Self::start(&all)
    }

    /// Starts `carillon serve` with exactly these arguments.
    ///
    /// # Panics
    /// When it ends instead of becoming ready, with its output.
    pub fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(binary())
            .arg("serve")
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the carillon executable runs");
        let log = Lines::of("carillon serve (log)", child.stderr.take().expect("stderr is piped"));
        let out = Lines::of("carillon serve", child.stdout.take().expect("stdout is piped"));
        let ready = out.wait_for("the ready line", |l| l.starts_with("ready "));
        let field = |name: &str| {
            let word = ready.split_whitespace().find_map(|w| w.strip_prefix(name)?.strip_prefix('='));
            word.unwrap_or_default().to_string()
        };
        let sip = field("sip").split(',').next().unwrap_or_default().trim_start_matches("udp://").to_string();
        Self { child, log, sip, api: field("api"), admin: field("admin") }
    }

    /// Runs a client command against this process.
    pub fn command(&self, arguments: &[&str]) -> Output {
        Command::new(binary())
            .args(arguments)
            .args(["--api", &self.api])
            .output()
            .expect("the carillon executable runs")
    }

    /// Creates an account.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn account(&self, aor: &str, password: &str) {
        let done = self.command(&["account", "add", aor, "--password", password]);
        assert!(done.status.success(), "account add {aor}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().expect("the process runs");
        self.child.wait().expect("the process was ours");
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Carillon {
    fn drop(&mut self) {
        // Already dead is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The executable that was built beside the running test.
///
/// # Panics
/// When it was not built: `make test` builds it first.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("CARILLON_BINARY") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test knows its path");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("tests are in target/PROFILE/deps");
    let path = folder.join("carillon");
    assert!(
        path.exists(),
        "{} is missing: run `make test`, or `cargo build --workspace` first",
        path.display()
    );
    path
}
