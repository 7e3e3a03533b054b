//! Keep-alives of phones that use STUN on the SIP port: a Binding request is told its own address. RFC 5626 8, RFC 8489
//!
//! Nothing else of STUN is needed here: no credentials, no indications, no errors but the one for attributes that must
//! be understood and are not.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

const COOKIE: [u8; 4] = 0x2112_a442_u32.to_be_bytes();
const HEADER: usize = 20;

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// Attributes from here on may be ignored. RFC 8489 14
const OPTIONAL: u16 = 0x8000;
/// Type and length of FINGERPRINT, and how long it is with both.
const FINGERPRINT_HEAD: [u8; 4] = [0x80, 0x28, 0, 4];
const FINGERPRINT_BYTES: usize = 8;

/// Whether a datagram can be STUN and cannot be SIP. RFC 5626 8, RFC 7983 7
pub(crate) fn is_stun(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER && datagram[0] < 4 && datagram[4..8] == COOKIE
}

/// Whether a datagram ends in a FINGERPRINT that is not its own: it is damaged, or it is no STUN at all. RFC 8489 6.3, 14.7
pub(crate) fn is_forged(datagram: &[u8]) -> bool {
    let Some((covered, last)) = datagram.len().checked_sub(FINGERPRINT_BYTES).map(|at| datagram.split_at(at))
    else {
        return false;
    };
    // The same octets may also stand inside another attribute: then the attributes do not end where they begin.
    let is_fingerprint = covered.len() >= HEADER
        && last[..4] == FINGERPRINT_HEAD
        && attributes(&covered[HEADER..]).all(|kind| kind.is_some());
    is_fingerprint && last[4..] != (crc32(covered) ^ 0x5354_554e).to_be_bytes()
}

/// The answer to a Binding request; `None` to anything else.
pub(crate) fn answer(datagram: &[u8], source: SocketAddr) -> Option<Bytes> {
    let (header, attributes) = datagram.split_at_checked(HEADER)?;
    let kind = u16::from_be_bytes([header[0], header[1]]);
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let id: [u8; 16] = header[4..].try_into().ok()?;
    if kind != BINDING_REQUEST || id[..4] != COOKIE || length != attributes.len() {
        return None;
    }
    let unknown = unknown_attributes(attributes)?;
    if unknown.is_empty() {
        return Some(message(BINDING_SUCCESS, id, &[(XOR_MAPPED_ADDRESS, xor_mapped(source, &id))]));
    }
    let code = [&[0, 0, 4, 20][..], b"Unknown Attribute"].concat();
    let unknown = unknown.iter().flat_map(|kind| kind.to_be_bytes()).collect();
    Some(message(BINDING_ERROR, id, &[(ERROR_CODE, code), (UNKNOWN_ATTRIBUTES, unknown)]))
}

/// Every attribute must be understood that is not marked as optional, and we understand none. `None` when they are not
/// well formed.
fn unknown_attributes(octets: &[u8]) -> Option<Vec<u16>> {
    let mut unknown = Vec::new();
    for kind in attributes(octets) {
        let kind = kind?;
        // RFC 8489 14.13: there is room for few, and one is enough to say.
        if kind < OPTIONAL && unknown.len() < 8 {
            unknown.push(kind);
        }
    }
    Some(unknown)
}

/// The types of the attributes; ends with `None` where they are not well formed.
fn attributes(mut octets: &[u8]) -> impl Iterator<Item = Option<u16>> {
    std::iter::from_fn(move || {
        if octets.is_empty() {
            return None;
        }
        let attribute = octets.split_at_checked(4).and_then(|(head, rest)| {
            let length = usize::from(u16::from_be_bytes([head[2], head[3]])).next_multiple_of(4);
            Some((u16::from_be_bytes([head[0], head[1]]), rest.get(length..)?))
        });
        octets = attribute.map_or(&[][..], |(_, rest)| rest);
        Some(attribute.map(|(kind, _)| kind))
    })
}

/// The checksum of FINGERPRINT. RFC 8489 14.7: ITU V.42, bit by bit, because a Binding request is short and rare.
fn crc32(octets: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
    !octets.iter().fold(!0, |crc, octet| (0..8).fold(crc ^ u32::from(*octet), step))
}

/// RFC 8489 14.2: address and port are masked, so that no translator on the way rewrites them.
fn xor_mapped(source: SocketAddr, id: &[u8; 16]) -> Vec<u8> {
    let (family, address) = match source.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let plain = [&source.port().to_be_bytes()[..], &address].concat();
    // The port is masked with the beginning of the cookie, the address with cookie and transaction id.
    let mask = id[..2].iter().chain(id);
    let masked = plain.iter().zip(mask).map(|(byte, mask)| byte ^ mask);
    [0, family].into_iter().chain(masked).collect()
}

fn message(kind: u16, id: [u8; 16], attributes: &[(u16, Vec<u8>)]) -> Bytes {
    let mut body = Vec::new();
    for (kind, value) in attributes {
        body.extend_from_slice(&kind.to_be_bytes());
        body.extend_from_slice(&(value.len() as u16).to_be_bytes());
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let head = [kind.to_be_bytes(), (body.len() as u16).to_be_bytes()].concat();
    Bytes::from([&head, &id[..], &body].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The transaction id of the samples in RFC 5769.
    const ID: &[u8] = b"\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";

    fn request(attributes: &[u8]) -> Vec<u8> {
        [&[0, 1, 0, attributes.len() as u8], ID, attributes].concat()
    }

    /// TRN-14; the addresses and their masked form are those of RFC 5769 2.2 and 2.3.
    #[test]
    fn a_binding_request_is_told_its_address() {
        let answered = answer(&request(&[]), "192.0.2.1:32853".parse().unwrap()).unwrap();
        assert_eq!(answered[..4], [0x01, 0x01, 0, 12]);
        assert_eq!(&answered[4..20], ID);
        assert_eq!(&answered[20..], b"\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43");
        let source = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
        let answered = answer(&request(&[]), source).unwrap();
        let expected = b"\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\
            \xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9";
        assert_eq!(&answered[20..], expected);
    }

    /// The sample of RFC 5769 2.1.
    const SAMPLE: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x10STUN test client\x00\x24\x00\x04\x6e\x00\x01\xff\
        \x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\x00\x06\x00\x09evtj:h6vY\x20\x20\x20\
        \x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
        \x80\x28\x00\x04\xe5\x7a\x3b\xcf";

    /// TRN-14
    #[test]
    fn a_fingerprint_is_checked_where_there_is_one() {
        assert!(!is_forged(SAMPLE));
        for at in (0..SAMPLE.len() - 8).filter(|at| !(22..24).contains(at)) {
            let mut damaged = SAMPLE.to_vec();
            damaged[at] ^= 1;
            // Damage to the length of an attribute before it hides the fingerprint, and such a request has no answer.
            let is_hidden = unknown_attributes(&damaged[HEADER..]).is_none();
            assert!(is_forged(&damaged) || is_hidden, "octet {at}");
        }
        assert!(is_forged(&request(b"\x80\x28\x00\x04\0\0\0\0")));
        assert!(!is_forged(&request(b"\x80\x22\x00\x08\x80\x28\x00\x04\0\0\0\0")), "part of SOFTWARE");
        assert!(!is_forged(&request(&[])));
    }

    #[test]
    fn an_attribute_that_must_be_understood_is_refused_and_an_optional_one_is_not() {
        let source = "192.0.2.1:1".parse().unwrap();
        let software = request(b"\x80\x22\x00\x03abc\0");
        assert_eq!(answer(&software, source).unwrap()[..2], [0x01, 0x01]);
        let username = request(b"\x00\x06\x00\x01a\0\0\0");
        let refused = answer(&username, source).unwrap();
        assert_eq!(refused[..2], [0x01, 0x11]);
        assert_eq!(refused[refused.len() - 8..], [0, 0x0a, 0, 2, 0, 6, 0, 0]);
    }

    #[test]
    fn anything_else_gets_no_answer() {
        let source = "192.0.2.1:1".parse().unwrap();
        let good = request(b"\x80\x22\x00\x03abc\0");
        for length in 0..good.len() {
            assert_eq!(answer(&good[..length], source), None, "cut to {length}");
        }
        let mut indication = good.clone();
        indication[1] = 0x11;
        assert_eq!(answer(&indication, source), None);
        assert!(is_stun(&good));
        assert!(!is_stun(b"OPTIONS sip:us SIP/2.0\r\n\r\n"));
    }
}
