//! Branch parameters that tell a loop from a spiral, RFC 5393 4.2.

use sip_message::{BRANCH_COOKIE, HeaderId, Message, Via};

/// Digest of everything in a request that decides where it is sent: the second part of our branches.
///
/// Equal for a CANCEL or ACK of the same request; unequal as soon as the Request-URI, a Route value or another routing
/// input changed, so that a spiral is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoutingDigest(u64);

/// Headers that decide where a request is sent, beside Request-URI and Route.
const INPUTS: [HeaderId; 5] = [
    HeaderId::Route,
    HeaderId::ProxyRequire,
    HeaderId::RequestDisposition,
    HeaderId::AcceptContact,
    HeaderId::RejectContact,
];

impl RoutingDigest {
    /// Digests a request as it was received, before any change. The method and the topmost Via are left out, and so
    /// are credentials: a request that was challenged and comes again is no loop, having none of our Via values.
    // RFC 5393 4.2.1, 4.2.4
    pub fn of(request: &Message) -> Self {
        let mut digest = Fnv::new();
        digest.part(request.request_uri().unwrap_or_default());
        for input in INPUTS {
            // Most requests have none of them.
            if request.has(input) {
                request.values(input).for_each(|value| digest.part(value));
            }
            digest.part(b"\n");
        }
        for tagged in [request.from(), request.to()] {
            digest.part(tagged.ok().and_then(|address| address.tag()).unwrap_or_default().as_bytes());
        }
        digest.part(request.call_id().unwrap_or_default());
        digest.part(&request.cseq().map_or(0, |cseq| cseq.number).to_be_bytes());
        Self(digest.0)
    }

    /// A branch parameter: the cookie, a part of its own for each transaction, and this digest.
    // RFC 3261 8.1.1.7, 16.6 step 8
    pub fn branch(self, unique: &str) -> String {
        [BRANCH_COOKIE, unique, ".", Hexadecimal::of(self.0).as_str()].concat()
    }

    /// Has the request been sent on from here with the same digest? `is_own` recognises our Via values.
    // RFC 5393 4.2.3
    pub fn is_loop(self, request: &Message, is_own: impl Fn(&Via<'_>) -> bool) -> bool {
        let wanted = Hexadecimal::of(self.0);
        let is_wanted =
            |branch: &str| branch.strip_suffix(wanted.as_str()).is_some_and(|rest| rest.ends_with('.'));
        // Only a value that holds the digits somewhere is taken apart.
        let may_be = |value: &[u8]| value.split(|byte| *byte == b'.').any(|part| part.starts_with(&wanted.0));
        request
            .values(HeaderId::Via)
            .filter(|value| may_be(value))
            .filter_map(|value| Via::parse(value).ok())
            .any(|via| via.branch.is_some_and(is_wanted) && is_own(&via))
    }
}

/// Sixteen hexadecimal digits, zeros in front included: what `{:016x}` writes, without the machinery of the formatter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hexadecimal([u8; 16]);

impl Hexadecimal {
    /// The digits of a number.
    pub fn of(number: u64) -> Self {
        Self(std::array::from_fn(|at| b"0123456789abcdef"[(number >> (60 - 4 * at)) as usize & 15]))
    }

    /// The digits as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }
}

/// FNV-1a: not secret, and the same in every release and replica.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds a part, set off from the next one.
    fn part(&mut self, bytes: &[u8]) {
        let add = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        self.0 = add(bytes.iter().fold(self.0, |sum, byte| add(sum, *byte)), 0xff);
    }
}

#[cfg(test)]
mod tests {
    use sip_message::Limits;

    use super::*;
    use crate::samples::{invite, request};

    fn is_own(via: &Via<'_>) -> bool {
        via.host == "edge.example.com"
    }

    fn returned(uri: &str, branch: &str, host: &str) -> Message {
        invite(uri, &format!("Via: SIP/2.0/UDP {host};branch={branch}\r\n"))
    }

    /// PXY-03
    #[test]
    fn the_same_request_coming_back_is_a_loop_even_through_another_hop() {
        let first = RoutingDigest::of(&invite("sip:a@example.com", ""));
        let branch = first.branch("1");
        let back = returned("sip:a@example.com", &branch, "edge.example.com");
        assert!(RoutingDigest::of(&back).is_loop(&back, is_own));
    }

    /// PXY-03
    #[test]
    fn a_changed_request_uri_is_a_spiral() {
        let branch = RoutingDigest::of(&invite("sip:a@example.com", "")).branch("1");
        let back = returned("sip:a@example.com;x=1", &branch, "edge.example.com");
        assert!(!RoutingDigest::of(&back).is_loop(&back, is_own));
    }

    #[test]
    fn a_foreign_via_with_the_same_ending_is_no_loop() {
        let branch = RoutingDigest::of(&invite("sip:a@example.com", "")).branch("1");
        let back = returned("sip:a@example.com", &branch, "other.example.com");
        assert!(!RoutingDigest::of(&back).is_loop(&back, is_own));
    }

    /// PXY-04
    #[test]
    fn the_digest_leaves_method_and_top_via_out() {
        let base = RoutingDigest::of(&invite("sip:a@example.com", ""));
        assert_eq!(base, RoutingDigest::of(&request("CANCEL", "sip:a@example.com", "")));
        assert_eq!(base, RoutingDigest::of(&returned("sip:a@example.com", "z9hG4bKx", "p.example.org")));
    }

    /// PXY-04
    #[test]
    fn the_digest_takes_everything_in_that_decides_where_a_request_goes() {
        let sample = invite("sip:a@example.com", "");
        let changed = |from: &str, to: &str| {
            let text = std::str::from_utf8(sample.bytes()).unwrap();
            assert_eq!(text.matches(from).count(), 1, "{from}");
            Message::parse(text.replace(from, to).into_bytes().into(), &Limits::default()).unwrap()
        };
        let more = |line: &str| invite("sip:a@example.com", &format!("{line}\r\n"));
        let others = [
            invite("sip:b@example.com", ""),
            changed("Call-ID: c1", "Call-ID: c2"),
            changed("CSeq: 7 ", "CSeq: 8 "),
            changed(";tag=a", ";tag=b"),
            changed("<sip:bob@example.com>", "<sip:bob@example.com>;tag=z"),
            more("Route: <sip:edge.example.com;lr>"),
            more("Proxy-Require: <sip:edge.example.com;lr>"),
            more("Proxy-Require: pref"),
            more("Request-Disposition: no-fork"),
            more("Accept-Contact: *;video"),
            more("Reject-Contact: *;video"),
            more("Accept-Contact: *;video\r\nAccept-Contact: *;audio"),
            more("Accept-Contact: *;audio\r\nAccept-Contact: *;video"),
        ];
        let digests: Vec<RoutingDigest> =
            std::iter::once(&sample).chain(&others).map(RoutingDigest::of).collect();
        for (at, digest) in digests.iter().enumerate() {
            assert_eq!(digests.iter().position(|other| other == digest), Some(at), "the change {at} counts");
        }
    }

    /// PXY-04
    #[test]
    fn the_digest_leaves_out_what_a_challenge_or_a_hop_changes() {
        let base = RoutingDigest::of(&invite("sip:a@example.com", ""));
        for line in
            ["Proxy-Authorization: Digest realm=\"d\"", "Max-Forwards: 5", "Max-Breadth: 3", "X-Foo: y"]
        {
            assert_eq!(
                base,
                RoutingDigest::of(&invite("sip:a@example.com", &format!("{line}\r\n"))),
                "{line}"
            );
        }
    }

    #[test]
    fn hexadecimal_digits_are_those_of_the_formatter() {
        for number in [0, 1, 0x0f0e, 0x0123_4567_89ab_cdef, u64::MAX] {
            assert_eq!(Hexadecimal::of(number).as_str(), format!("{number:016x}"));
        }
    }

    /// MSG-12
    #[test]
    fn branches_carry_the_cookie() {
        let branch = RoutingDigest::of(&invite("sip:a@example.com", "")).branch("u7");
        assert!(branch.starts_with("z9hG4bKu7."));
    }
}
