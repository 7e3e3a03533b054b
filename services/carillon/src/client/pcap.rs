//! The messages of a ladder as a pcap file, for Wireshark, tshark and sngrep.
//!
//! Each message is one UDP datagram between the addresses of its arrow, also one that passed in a stream or was encrypted: the edge
//! saw it whole and in clear, and what the stream looked like is not kept. The Via says how it went. Passwords and keys are masked as
//! in the drawing, without a change of any length.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use cluster_api::trace::v1::{Ladder, ladder_step};

/// Little endian, nanoseconds.
const MAGIC: u32 = 0xa1b2_3c4d;
/// LINKTYPE_RAW: packets begin with the IP header.
const RAW: u32 = 101;
const UDP: u8 = 17;
const UDP_HEADER: usize = 8;
/// The longest UDP payload below an IPv4 header; of longer messages, which only streams carry, the rest is cut, and the file says so.
const LONGEST: usize = 65_535 - 20 - UDP_HEADER;

/// Writes every message whose addresses and text are known, repetitions too, and says how many.
///
/// # Errors
/// What the writer says.
pub fn write(ladder: &Ladder, out: &mut impl Write) -> io::Result<usize> {
    let mut header = Vec::with_capacity(24);
    header.extend(MAGIC.to_le_bytes());
    header.extend([2u16, 4].into_iter().flat_map(u16::to_le_bytes));
    header.extend([0u32, 0, u32::from(u16::MAX), RAW].into_iter().flat_map(u32::to_le_bytes));
    out.write_all(&header)?;
    let mut count = 0;
    for step in &ladder.steps {
        let Some(ladder_step::What::Arrow(arrow)) = &step.what else { continue };
        let (Ok(from), Ok(to)) = (arrow.from_address.parse(), arrow.to_address.parse()) else { continue };
        let Some(packet) = packet(from, to, &arrow.text) else { continue };
        let at = step.time.unwrap_or_default();
        let missing = arrow.text.len().saturating_sub(LONGEST);
        let numbers = [
            u32::try_from(at.seconds).unwrap_or_default(),
            u32::try_from(at.nanos).unwrap_or_default(),
            packet.len() as u32,
            u32::try_from(packet.len() + missing).unwrap_or(u32::MAX),
        ];
        let record: Vec<u8> = numbers.into_iter().flat_map(u32::to_le_bytes).collect();
        out.write_all(&record)?;
        out.write_all(&packet)?;
        count += 1;
    }
    out.flush()?;
    Ok(count)
}

/// The message below UDP and IP; `None` without text, and between addresses of two families.
fn packet(from: SocketAddr, to: SocketAddr, message: &[u8]) -> Option<Vec<u8>> {
    if message.is_empty() {
        return None;
    }
    let message = &message[..message.len().min(LONGEST)];
    let length = u16::try_from(UDP_HEADER + message.len()).ok()?;
    let mut ip = match (from.ip().to_canonical(), to.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            // Version and length of the header, no service, total length, no fragments, 64 hops, UDP, checksum. RFC 791 3.1
            let total = (20 + length).to_be_bytes();
            let mut ip = vec![0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, UDP, 0, 0];
            ip.extend(from.octets());
            ip.extend(to.octets());
            let sum = checksum(&ip).to_be_bytes();
            ip[10..12].copy_from_slice(&sum);
            ip
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            // Version, no class and label, payload length, UDP, 64 hops. RFC 8200 3
            let payload = length.to_be_bytes();
            let mut ip = vec![0x60, 0, 0, 0, payload[0], payload[1], UDP, 64];
            ip.extend(from.octets());
            ip.extend(to.octets());
            ip
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    };
    let mut udp: Vec<u8> =
        [from.port(), to.port(), length, 0].into_iter().flat_map(u16::to_be_bytes).collect();
    udp.extend(message);
    // RFC 768, RFC 8200 8.1: with the addresses, the protocol and the length before it.
    let addresses = if ip[0] == 0x45 { &ip[12..20] } else { &ip[8..40] };
    let length = length.to_be_bytes();
    let summed = [addresses, &[0, UDP, length[0], length[1]], &udp].concat();
    let sum = match checksum(&summed) {
        0 => u16::MAX,
        sum => sum,
    };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    ip.extend(udp);
    Some(ip)
}

/// The sum of the Internet. RFC 1071
fn checksum(octets: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
    // At most 2^15 words of 16 bits: no overflow.
    let mut sum: u32 = octets.chunks(2).map(word).sum();
    while sum > u32::from(u16::MAX) {
        sum = (sum >> 16) + (sum & u32::from(u16::MAX));
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use cluster_api::trace::v1::{Arrow, Decision, LadderStep};
    use prost_types::Timestamp;

    use super::*;

    fn step(from: &str, to: &str, text: &str) -> LadderStep {
        let arrow = Arrow {
            from_address: from.into(),
            to_address: to.into(),
            text: text.to_owned().into(),
            ..Arrow::default()
        };
        let time = Some(Timestamp { seconds: 1_000, nanos: 7 });
        LadderStep { time, what: Some(ladder_step::What::Arrow(arrow)), ..LadderStep::default() }
    }

    fn written(steps: Vec<LadderStep>) -> (usize, Vec<u8>) {
        let mut file = Vec::new();
        let count = write(&Ladder { steps, ..Ladder::default() }, &mut file).expect("memory takes it");
        (count, file)
    }

    #[test]
    fn a_message_is_a_datagram_between_its_addresses_at_its_time() {
        let (count, file) = written(vec![step("192.0.2.1:5060", "192.0.2.2:5062", "BYE")]);
        assert_eq!(count, 1);
        let record = &file[24..];
        let length = 20 + 8 + 3u32;
        let numbers = [1_000, 7, length, length];
        assert_eq!(record[..16], numbers.map(u32::to_le_bytes).concat());
        let packet = &record[16..];
        assert_eq!(packet.len(), length as usize);
        assert_eq!(checksum(&packet[..20]), 0, "the header sums up");
        assert_eq!(packet[12..20], [192, 0, 2, 1, 192, 0, 2, 2]);
        assert_eq!(packet[20..26], [0x13, 0xc4, 0x13, 0xc6, 0, 11]);
        let pseudo = [&packet[12..20], &[0, UDP, 0, 11], &packet[20..]].concat();
        assert_eq!(checksum(&pseudo), 0, "the datagram sums up");
        assert_eq!(&packet[28..], b"BYE");
    }

    #[test]
    fn ipv6_has_its_header_and_must_have_a_sum() {
        let (count, file) = written(vec![step("[2001:db8::1]:5060", "[2001:db8::2]:5060", "ACK")]);
        let packet = &file[40..];
        assert_eq!((count, packet.len(), packet[0], packet[6]), (1, 40 + 8 + 3, 0x60, UDP));
        let pseudo = [&packet[8..40], &[0, UDP, 0, 11], &packet[40..]].concat();
        assert_eq!(checksum(&pseudo), 0);
    }

    #[test]
    fn what_is_no_message_is_left_out_and_what_is_too_long_is_cut() {
        let decision = ladder_step::What::Decision(Decision::default());
        let decision = LadderStep { what: Some(decision), ..LadderStep::default() };
        let long = "x".repeat(LONGEST + 5);
        let (count, file) = written(vec![
            decision,
            step("", "192.0.2.2:5060", "BYE"),
            step("192.0.2.1:5060", "192.0.2.2:5060", ""),
            step("192.0.2.1:5060", "[2001:db8::2]:5060", "BYE"),
            step("192.0.2.1:5060", "192.0.2.2:5060", &long),
        ]);
        assert_eq!(count, 1);
        assert_eq!(file[32..40], [65_535u32, 65_540].map(u32::to_le_bytes).concat());
        assert_eq!(file.len(), 24 + 16 + 65_535);
    }
}
