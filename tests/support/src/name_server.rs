//! A real name server: NSD, with one zone.

use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::Lines;

/// An authoritative name server of this test, at 127.0.0.1.
pub struct NameServer {
    child: Child,
    _folder: TempDir,
    _lines: Lines,
}

impl NameServer {
    /// Serves these records of a zone at a port; names in them are below the zone unless they end with a dot.
    ///
    /// # Panics
    /// When nsd is not installed (`make test` installs it), or refuses the zone.
    pub fn serving(port: u16, zone: &str, records: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().display();
        let head = "$TTL 60\n@ SOA ns hostmaster 1 60 60 60 60\n@ NS ns\nns A 127.0.0.1\n";
        let records: Vec<&str> = records.lines().map(str::trim).collect();
        let text = format!("$ORIGIN {zone}.\n{head}{}\n", records.join("\n"));
        std::fs::write(folder.path().join("zone"), text).expect("the folder is ours");
        let config = format!(
            "server:\n ip-address: 127.0.0.1@{port}\n username: \"\"\n chroot: \"\"\n zonesdir: \"{path}\"\n pidfile: \"\"\n \
             database: \"\"\n zonelistfile: \"{path}/zone.list\"\n xfrdfile: \"{path}/xfrd.state\"\n xfrdir: \"{path}\"\n \
             server-count: 1\n verbosity: 1\nremote-control:\n control-enable: no\n\
             zone:\n name: \"{zone}\"\n zonefile: \"zone\"\n"
        );
        let file = folder.path().join("nsd.conf");
        std::fs::write(&file, config).expect("the folder is ours");
        let mut child = Command::new(nsd())
            .arg("-d")
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nsd is installed (make test installs it)");
        let lines = Lines::of("nsd", child.stderr.take().expect("stderr is piped"));
        lines.wait_for("the zone", |line| line.contains("read with success"));
        lines.wait_for("readiness", |line| line.contains("nsd started"));
        Self { child, _folder: folder, _lines: lines }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        // It is a father of processes, which it ends when it is asked to, and only then.
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// Servers are not on everybody's search path.
fn nsd() -> &'static str {
    if std::path::Path::new("/usr/sbin/nsd").exists() { "/usr/sbin/nsd" } else { "nsd" }
}
