//! RTP that passes on this machine, captured by dumpcap: who sends to whom, whatever the phones say of it.

use std::collections::HashSet;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use crate::{Lines, PATIENCE};

/// A running capture of all RTP that phones of this machine send to each other.
pub struct Rtp {
    dumpcap: Child,
    _log: Lines,
    coming: Receiver<Vec<u8>>,
    captured: Vec<u8>,
    /// Ports of who sent and who got a packet.
    flows: HashSet<(u16, u16)>,
}

impl Rtp {
    /// Begins to capture.
    ///
    /// # Panics
    /// When dumpcap may not capture here.
    pub fn tap() -> Self {
        // RFC 3550 5.1: version 2 is the first two bits
        let filter = "ip and udp and udp[8] & 0xc0 = 0x80";
        let mut dumpcap = Command::new("dumpcap")
            .args(["-q", "-p", "-i", "lo", "-w", "-", "-f", filter])
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
        Self { dumpcap, _log: log, coming, captured: Vec::new(), flows: HashSet::new() }
    }

    /// Waits until RTP goes both ways between this port and another one, which is not that of the phone it was connected with before.
    ///
    /// # Panics
    /// When it does not, with what went where.
    pub fn follows(&mut self, port: u16, before: u16) {
        let end = Instant::now() + PATIENCE;
        let is_there = |flows: &HashSet<(u16, u16)>| {
            flows.iter().any(|&(from, to)| to == port && from != before && flows.contains(&(port, from)))
        };
        while !is_there(&self.flows) {
            self.read(end, &format!("no RTP both ways between {port} and another one than {before}"));
        }
    }

    fn read(&mut self, until: Instant, missing: &str) {
        let Ok(more) = self.coming.recv_timeout(until.saturating_duration_since(Instant::now())) else {
            panic!("{missing}: {:?}", self.flows);
        };
        self.captured.extend(more);
        self.read_blocks();
    }

    /// A pcapng file is a row of blocks, each with its type and its length in front.
    fn read_blocks(&mut self) {
        while let Some(length) = number(&self.captured, 4).filter(|length| *length <= self.captured.len()) {
            let block: Vec<u8> = self.captured.drain(..length.max(12)).collect();
            // An enhanced packet block: five words, and then the packet
            if number(&block, 0) == Some(6)
                && let Some(flow) = block.get(28..).and_then(flow_of)
            {
                self.flows.insert(flow);
            }
        }
    }
}

fn number(octets: &[u8], at: usize) -> Option<usize> {
    let word: [u8; 4] = octets.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_le_bytes(word) as usize)
}

/// The ports of an RTP packet in an Ethernet frame of the loopback; none for RTCP (RFC 5761 4).
fn flow_of(frame: &[u8]) -> Option<(u16, u16)> {
    let ip = frame.get(14..)?;
    let udp = ip.get(usize::from(ip.first()? & 0x0f) * 4..)?;
    let port = |at: usize| Some(u16::from_be_bytes(udp.get(at..at + 2)?.try_into().ok()?));
    let kind = udp.get(9)? & 0x7f;
    let ports = (port(0)?, port(2)?);
    (!(64..=95).contains(&kind)).then_some(ports)
}

impl Drop for Rtp {
    fn drop(&mut self) {
        // Already dead is fine.
        let _ = self.dumpcap.kill();
        let _ = self.dumpcap.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_of_rtp_are_read_and_rtcp_is_none() {
        let frame = |kind: u8| {
            let mut frame = vec![0; 14];
            frame.extend([&[0x45][..], &[0; 19]].concat());
            frame.extend([0x10, 0x00, 0x20, 0x02, 0, 20, 0, 0, 0x80, kind]);
            frame
        };
        assert_eq!(flow_of(&frame(0)), Some((0x1000, 0x2002)));
        assert_eq!(flow_of(&frame(0x80 | 111)), Some((0x1000, 0x2002)), "with the marker");
        assert_eq!(flow_of(&frame(200)), None);
        assert_eq!(flow_of(&frame(0)[..30]), None);
    }
}
