//! What really passes on the loopback, captured by dumpcap and read by tshark: neither knows anything of Carillon.

use std::io::Read;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use tempfile::TempDir;

use crate::{Authority, Capture, Carillon, Lines, PATIENCE};

/// A running capture of all that is sent to and from the listeners of some processes.
pub struct Traffic {
    dumpcap: Child,
    _log: Lines,
    coming: Receiver<Vec<u8>>,
    captured: Vec<u8>,
    /// Two sockets: what the first one sends to the second is captured too, and so shows how far the capture has come.
    mark: [UdpSocket; 2],
    listeners: Vec<(String, u16)>,
    keys: Option<PathBuf>,
    folder: TempDir,
}

impl Traffic {
    /// Begins to capture what these processes send and receive by SIP. What was said in TLS to a client of the authority is read too.
    ///
    /// # Panics
    /// When dumpcap may not capture here.
    pub fn of(processes: &[&Carillon], authority: Option<&Authority>) -> Self {
        let split = |listener: &String| {
            let (scheme, address) = listener.split_once("://")?;
            Some((scheme.to_owned(), address.rsplit(':').next()?.parse().ok()?))
        };
        let listeners: Vec<(String, u16)> =
            processes.iter().flat_map(|process| process.listeners.iter().filter_map(split)).collect();
        let mark = [0; 2].map(|_| UdpSocket::bind("127.0.0.1:0").expect("loopback has ports"));
        let mark_port = port(&mark[1]);
        let ports = listeners.iter().map(|(_, port)| format!(" or port {port}")).collect::<String>();
        let filter = format!("udp port {mark_port}{ports}");
        let mut dumpcap = Command::new("dumpcap")
            // Every packet at once to the pipe; the loopback shows all of them without promiscuity.
            .args(["-q", "-p", "-i", "lo", "-w", "-", "-f", &filter])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("dumpcap is installed, with tshark (make test installs it)");
        let mut pipe = dumpcap.stdout.take().expect("stdout is piped");
        let log = Lines::of("dumpcap (only root, and whom `setcap cap_net_raw+ep` allows, may capture)", {
            dumpcap.stderr.take().expect("stderr is piped")
        });
        log.wait_for("the capture", |line| line.starts_with("File:"));
        let (send, coming) = channel();
        thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                if send.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        let folder = tempfile::tempdir().expect("a temporary folder");
        let keys = authority.map(Authority::key_log);
        Self { dumpcap, _log: log, coming, captured: Vec::new(), mark, listeners, keys, folder }
    }

    /// What tshark makes of everything until now.
    ///
    /// # Panics
    /// When the capture has ended, or tshark cannot read it.
    pub fn read(&mut self) -> Capture {
        self.catch_up();
        let file = self.folder.path().join("traffic.pcapng");
        std::fs::write(&file, whole_blocks(&self.captured)).expect("the folder is ours");
        let path = file.to_str().expect("an UTF-8 path");
        let mut arguments = vec!["-n".to_owned(), "-r".to_owned(), path.to_owned()];
        for (scheme, port) in &self.listeners {
            let layer = match scheme.as_str() {
                "udp" => format!("udp.port=={port},sip"),
                "tcp" => format!("tcp.port=={port},sip"),
                "ws" => format!("tcp.port=={port},http"),
                "tls" => format!("tls.port=={port},sip"),
                "wss" => format!("tls.port=={port},http"),
                other => panic!("no such listener: {other}"),
            };
            if matches!(scheme.as_str(), "tls" | "wss") {
                arguments.extend(["-d".to_owned(), format!("tcp.port=={port},tls")]);
            }
            arguments.extend(["-d".to_owned(), layer]);
        }
        if let Some(keys) = self.keys.as_ref().filter(|keys| keys.exists()) {
            arguments.extend(["-o".to_owned(), format!("tls.keylog_file:{}", keys.display())]);
        }
        let others = format!("!(udp.port=={})", port(&self.mark[1]));
        let shown = |filter: &str, form: &[&str]| {
            let done = Command::new("tshark").args(&arguments).args(["-Y", filter]).args(form).output();
            let done = done.expect("tshark is installed (make test installs it)");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            String::from_utf8_lossy(&done.stdout).into_owned()
        };
        let ports = ["-e", "udp.port", "-e", "tcp.port"];
        let fields = ["-T", "fields", "-e", "frame.protocols", "-e", "sip.Method", "-e", "sip.Status-Code"];
        let told = shown(&others, &[&fields[..], &ports[..]].concat());
        let wrong = "(_ws.malformed || _ws.expert.severity == \"Error\")";
        let errors = shown(&format!("{others} && {wrong}"), &["-V"]);
        let mut capture = Capture { messages: Vec::new(), ports: Vec::new(), faults: Vec::new() };
        for line in told.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let [protocols, said @ .., datagram, stream] = &fields[..] else { continue };
            // A packet of a stream may hold several messages, or none.
            let said: Vec<&str> =
                said.iter().flat_map(|field| field.split(',')).filter(|word| !word.is_empty()).collect();
            let mut ports = [datagram, stream].into_iter().flat_map(|ports| ports.split(',')).map(str::parse);
            let mut port = || ports.find_map(Result::ok).unwrap_or(0);
            let ports = [port(), port()];
            if said.is_empty() && protocols.contains(":udp") {
                capture.faults.push(format!("a datagram that is no SIP: {line}"));
            }
            capture.ports.extend(said.iter().map(|_| ports));
            capture.messages.extend(said.into_iter().map(str::to_owned));
        }
        if !errors.trim().is_empty() {
            capture.faults.push(errors);
        }
        capture
    }

    /// Waits until what was sent before has been captured.
    fn catch_up(&mut self) {
        let mark = format!("captured until {} octets", self.captured.len());
        let to = self.mark[1].local_addr().expect("a bound socket has an address");
        self.mark[0].send_to(mark.as_bytes(), to).expect("loopback takes datagrams");
        let end = Instant::now() + PATIENCE;
        while !self.captured.windows(mark.len()).any(|octets| octets == mark.as_bytes()) {
            let left = end.saturating_duration_since(Instant::now());
            let more = self.coming.recv_timeout(left).expect("dumpcap captures what is sent");
            self.captured.extend(more);
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        // Already dead is fine.
        let _ = self.dumpcap.kill();
        let _ = self.dumpcap.wait();
    }
}

fn port(socket: &UdpSocket) -> u16 {
    socket.local_addr().expect("a bound socket has an address").port()
}

/// A pcapng file is a row of blocks, each with its length in its second word; the last one may not have come whole.
fn whole_blocks(captured: &[u8]) -> &[u8] {
    let mut whole = 0;
    while let Some(length) = captured.get(whole + 4..whole + 8) {
        let length = u32::from_le_bytes(length.try_into().expect("four octets")) as usize;
        if length == 0 || whole + length > captured.len() {
            break;
        }
        whole += length;
    }
    &captured[..whole]
}
