//! Kamailio as the server of another domain, or between phones and an edge.

mod in_front;
mod presence;

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::Lines;

/// A running Kamailio with the users of one domain. All that is not its own goes to one neighbour.
pub struct Kamailio {
    child: Child,
    _folder: TempDir,
    _log: Lines,
    /// Where it listens, by UDP.
    pub address: SocketAddr,
}

impl Kamailio {
    /// Serves a domain, whose users need no password, at an address of loopback; `neighbour` is "127.0.0.1:PORT".
    ///
    /// # Panics
    /// When it is not installed (`make test` installs it), or does not start.
    pub fn serving(domain: &str, ip: &str, neighbour: &str) -> Self {
        Self::configured(domain, ip, neighbour, None)
    }

    /// Serves a domain whose users, and whoever else calls them, prove that they know a password by this algorithm: "MD5" or "SHA-256".
    ///
    /// # Panics
    /// As [`Kamailio::serving`].
    pub fn challenging(domain: &str, ip: &str, neighbour: &str, password: &str, algorithm: &str) -> Self {
        Self::configured(domain, ip, neighbour, Some((password, algorithm)))
    }

    /// The presence server of a domain, whose users need not prove who they are: it takes their publications, and watches for one of
    /// them, `owner`, one member of the neighbour's domain, by the list at the URI `list`.
    ///
    /// # Panics
    /// When its modules for presence are not installed (`make test` installs them), or it does not start.
    pub fn of_presence(domain: &str, ip: &str, neighbour: &str, list: (&str, &str, &str)) -> Self {
        Self::started(ip, |address, folder| {
            presence::write_tables(folder, domain, list);
            presence::configuration(domain, address, neighbour, folder)
        })
    }

    /// The outbound proxy of phones, which is on the Path of their registrations with the neighbour.
    ///
    /// # Panics
    /// As [`Kamailio::serving`].
    pub fn in_front(ip: &str, neighbour: &str) -> Self {
        Self::started(ip, |address, _| in_front::configuration(address, neighbour))
    }

    fn configured(domain: &str, ip: &str, neighbour: &str, digest: Option<(&str, &str)>) -> Self {
        Self::started(ip, |address, _| configuration(domain, address, neighbour, digest))
    }

    fn started(ip: &str, configuration: impl FnOnce(SocketAddr, &Path) -> String) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // free a moment ago: it takes a number and nothing else
        let socket = UdpSocket::bind((ip, 0)).expect("loopback has ports");
        let address = socket.local_addr().expect("a bound socket has an address");
        drop(socket);
        let file = folder.path().join("kamailio.cfg");
        std::fs::write(&file, configuration(address, folder.path())).expect("the folder is ours");
        let mut child = Command::new(program())
            .args(["-E", "-DD", "-m", "32", "-M", "4", "-w", "/", "-f"])
            .arg(&file)
            .arg("-Y")
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kamailio is installed (make test installs it)");
        let log = Lines::of("kamailio", child.stderr.take().expect("stderr is piped"));
        log.wait_for("readiness", |line| line.contains("ready to route"));
        Self { child, _folder: folder, _log: log, address }
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // It is a father of processes, which it ends when it is asked to, and only then.
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn configuration(domain: &str, address: SocketAddr, neighbour: &str, digest: Option<(&str, &str)>) -> String {
    let modules = ["tm", "sl", "rr", "pv", "maxfwd", "usrloc", "registrar", "textops", "siputils", "xlog"];
    let modules: String = modules.iter().map(|name| format!("loadmodule \"{name}.so\"\n")).collect();
    let (auth, prove, prove_registering) = match digest {
        None => Default::default(),
        Some((password, algorithm)) => (
            format!(
                "loadmodule \"auth.so\"\nmodparam(\"auth\", \"algorithm\", \"{algorithm}\")\n\
                 modparam(\"registrar\", \"max_expires\", 20)\n"
            ),
            format!(
                "if (is_method(\"INVITE\") && !pv_proxy_authenticate(\"{domain}\", \"{password}\", \"0\")) {{\n        \
                     proxy_challenge(\"{domain}\", \"1\");\n        exit;\n    }}\n    \
                 if (is_method(\"INVITE\")) {{ consume_credentials(); }}\n    "
            ),
            format!(
                "if (!pv_www_authenticate(\"{domain}\", \"{password}\", \"0\")) {{\n            \
                     www_challenge(\"{domain}\", \"1\");\n            exit;\n        }}\n        "
            ),
        ),
    };
    format!(
        r#"#!KAMAILIO
debug=1
log_stderror=yes
children=1
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
alias="{domain}"
listen=udp:{address}
{modules}{auth}
request_route {{
    if (!mf_process_maxfwd_header("20")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{
        if (t_check_trans()) {{ t_relay(); }}
        exit;
    }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (is_method("ACK")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
        sl_send_reply("404", "Not Here");
        exit;
    }}
    t_check_trans();
    if (is_method("REGISTER")) {{
        {prove_registering}save("location");
        exit;
    }}
    {prove}    if (loose_route()) {{ xlog("L_ALERT", "a route led here\n"); }}
    if (is_method("INVITE")) {{ record_route(); }}
    if (uri == myself) {{
        if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
    }} else {{
        $du = "sip:{neighbour}";
    }}
    t_relay();
}}
event_route[core:worker-one-init] {{
    xlog("L_ALERT", "ready to route\n");
}}
"#
    )
}

/// Servers are not on everybody's search path.
fn program() -> &'static str {
    if Path::new("/usr/sbin/kamailio").exists() { "/usr/sbin/kamailio" } else { "kamailio" }
}
