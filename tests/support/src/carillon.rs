//! The `carillon` executable as a process.

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use crate::{Lines, http_get};

/// A running `carillon serve`.
pub struct Carillon {
    child: Owned,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    /// What it logs.
    pub log: Lines,
    /// First UDP listener, "127.0.0.1:PORT".
    pub sip: String,
    /// Every SIP listener, "udp://127.0.0.1:PORT" and so on.
    pub listeners: Vec<String>,
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

    /// The same for phones that read the first challenge only and know MD5 alone, as SIPp and baresip 1.0 do.
    pub fn for_old_phones() -> Self {
        Starting::with(&[], &[("CARILLON_REGISTRAR_ALGORITHMS", "MD5")]).ready()
    }

    /// Starts `carillon serve` on ports that the system chooses, and waits until it says that it is ready.
    pub fn serve(arguments: &[&str]) -> Self {
        Starting::with(arguments, &[]).ready()
    }

    /// Where it listens by this scheme, "127.0.0.1:PORT".
    ///
    /// # Panics
    /// When it does not.
    pub fn listener(&self, scheme: &str) -> &str {
        let start = format!("{scheme}://");
        let found = self.listeners.iter().find_map(|listener| listener.strip_prefix(&start));
        found.unwrap_or_else(|| panic!("no {scheme} among {:?}", self.listeners))
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

    /// One of the counters of `/metrics`: the sum of all series whose line begins with `name`.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, text) = http_get(&self.admin, "/metrics");
        let lines = text.lines().filter(|l| l.starts_with(name));
        lines.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.0.kill().expect("the process runs");
        self.child.0.wait().expect("the process was ours");
    }

    /// Starts it again after [`Self::kill`], with the same settings and the same address for gRPC.
    pub fn restart(&mut self) {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let variables: Vec<(&str, &str)> =
            self.variables.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        *self = Starting::at(self.api.trim_start_matches("http://"), &arguments, &variables).ready();
    }

    /// Asks it to end, as Kubernetes and a service manager do.
    ///
    /// # Panics
    /// When it has ended.
    pub fn terminate(&self) {
        self.signal("-TERM");
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
        let sent = Command::new("kill").args([name, &self.pid().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the process runs");
    }

    /// Its status and everything that it logged, once it has ended.
    ///
    /// # Panics
    /// When patience ends first, with the log.
    pub fn ended(mut self) -> (ExitStatus, String) {
        self.log.wait_for_end();
        let status = self.child.0.wait().expect("the process was ours");
        (status, self.log.seen().join("\n"))
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.0.try_wait(), Ok(None))
    }
}

/// A `carillon serve` that has not said yet that it is ready.
pub struct Starting {
    child: Owned,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    /// What it logs.
    pub log: Lines,
    out: Lines,
}

impl Starting {
    /// Starts `carillon serve` on ports that the system chooses, with further arguments and variables.
    ///
    /// # Panics
    /// When the executable does not run.
    pub fn with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::at("127.0.0.1:0", arguments, variables)
    }

    fn at(api: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(binary())
            .args(["serve", "--api", api, "--admin", "127.0.0.1:0"])
            .args(["--sip", "udp://127.0.0.1:0", "--sip", "tcp://127.0.0.1:0"])
            .args(arguments)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the carillon executable runs");
        let log = Lines::of("carillon serve (log)", child.stderr.take().expect("stderr is piped"));
        let out = Lines::of("carillon serve", child.stdout.take().expect("stdout is piped"));
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { child: Owned(child), arguments, variables, log, out }
    }

    /// Waits until it says that it is ready.
    ///
    /// # Panics
    /// When it ends instead, with its output.
    pub fn ready(self) -> Carillon {
        let ready = self.out.wait_for("the ready line", |l| l.starts_with("ready "));
        let field = |name: &str| {
            let word = ready.split_whitespace().find_map(|w| w.strip_prefix(name)?.strip_prefix('='));
            word.unwrap_or_default().to_string()
        };
        let listeners: Vec<String> = field("sip").split(',').map(str::to_owned).collect();
        let sip = listeners.first().map_or("", String::as_str).trim_start_matches("udp://").to_string();
        let (api, admin) = (field("api"), field("admin"));
        let Self { child, arguments, variables, log, .. } = self;
        Carillon { child, arguments, variables, log, sip, listeners, api, admin }
    }

    /// Whether it has said that it is ready.
    pub fn is_ready(&self) -> bool {
        self.out.seen().iter().any(|l| l.starts_with("ready "))
    }
}

/// A process that dies with its handle.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // Already dead is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
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
