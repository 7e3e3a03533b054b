//! linphonec as a phone: its own home folder, files in place of a sound card, orders typed as a user would.

use std::fs;
use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use crate::{Carillon, Lines, PATIENCE};

/// A running linphonec that answers every call.
pub struct Linphone {
    child: Child,
    keyboard: ChildStdin,
    _folder: TempDir,
    /// What it prints.
    pub lines: Lines,
}

impl Linphone {
    /// Starts a phone for `user` of domain `localhost`, registered at `carillon` over "udp" or "tcp".
    ///
    /// # Panics
    /// When it does not register, with what it printed.
    pub fn registered(user: &str, password: &str, carillon: &Carillon, transport: &str) -> Self {
        Self::with(user, password, carillon, transport, None)
    }

    /// The same, publishing its presence and watching that of a friend of domain `localhost`.
    ///
    /// # Panics
    /// When it does not register, with what it printed.
    pub fn watching(user: &str, password: &str, carillon: &Carillon, friend: &str) -> Self {
        Self::with(user, password, carillon, "udp", Some(friend))
    }

    fn with(user: &str, password: &str, carillon: &Carillon, transport: &str, friend: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path();
        let aor = format!("sip:{user}@localhost");
        let earlier = bindings(&aor, carillon);
        // Its database has its place there; without it linphonec stops working, without a word.
        fs::create_dir_all(path.join(".local/share/linphone")).expect("the folder is ours");
        fs::write(path.join("rc"), config(user, password, &carillon.sip, transport, friend))
            .expect("the folder is ours");
        let mut child = Command::new("stdbuf")
            .args(["-oL", "linphonec", "-a", "-c"])
            .arg(path.join("rc"))
            .env("HOME", path)
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("linphonec is installed (make test installs it)");
        let lines = Lines::of(&format!("linphonec {user}"), child.stdout.take().expect("stdout is piped"));
        let keyboard = child.stdin.take().expect("stdin is piped");
        let mut phone = Self { child, keyboard, _folder: folder, lines };
        phone.order("soundcard use files");
        phone.wait_until_registered(&aor, carillon, &earlier);
        phone
    }

    /// Types an order, such as `terminate` or `pause`.
    ///
    /// # Panics
    /// When it has ended.
    pub fn order(&mut self, order: &str) {
        writeln!(self.keyboard, "{order}").and_then(|()| self.keyboard.flush()).expect("linphonec runs");
    }

    /// It says nothing of its registration, and does not get to it while it is asked: the registrar knows. An earlier phone of
    /// the same user is known there too until its time is over.
    fn wait_until_registered(&self, aor: &str, carillon: &Carillon, earlier: &[String]) {
        let end = Instant::now() + PATIENCE;
        while bindings(aor, carillon).iter().all(|binding| earlier.contains(binding)) {
            assert!(Instant::now() < end, "linphonec does not register: {:?}", self.lines.seen());
        }
    }
}

/// The contacts of linphonecs of this user, a line each.
fn bindings(aor: &str, carillon: &Carillon) -> Vec<String> {
    let known = carillon.command(&["bindings", aor]).stdout;
    let known = String::from_utf8_lossy(&known);
    known.lines().filter(|line| line.contains("Linphonec")).map(str::to_owned).collect()
}

impl Drop for Linphone {
    fn drop(&mut self) {
        // Already dead is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ports of its own choice, for another process could take one that was found free; no TLS, nothing published but to a friend.
fn config(user: &str, password: &str, server: &str, transport: &str, friend: Option<&str>) -> String {
    let publish = u8::from(friend.is_some());
    let friend = friend.map_or(String::new(), |friend| {
        format!("[friend_0]\nurl=\"{friend}\" <sip:{friend}@localhost>\npol=accept\nsubscribe=1\n")
    });
    let port = |of: &str| if of == transport { -1 } else { 0 };
    format!(
        "[sip]\nsip_port={}\nsip_tcp_port={}\nsip_tls_port=0\ndefault_proxy=0\nguess_hostname=1\n\
         [auth_info_0]\nusername={user}\npasswd={password}\nrealm=localhost\n\
         [proxy_0]\nreg_proxy=<sip:{server};transport={transport}>\n\
         reg_route=<sip:{server};transport={transport};lr>\nreg_identity=sip:{user}@localhost\n\
         reg_expires=600\nreg_sendregister=1\npublish={publish}\npublish_expires=600\n{friend}\
         [rtp]\naudio_rtp_port=-1\n[video]\ndisplay=0\ncapture=0\n",
        port("udp"),
        port("tcp"),
    )
}
