//! `message/sipfrag`: the status line with which a NOTIFY tells how a REFER goes (RFC 3420, RFC 3515 2.4.5).

/// The content type of a fragment.
pub const CONTENT_TYPE: &str = "message/sipfrag;version=2.0";

/// A fragment that holds a status line alone.
pub fn build(status: u16, reason: &str) -> Vec<u8> {
    let reason = reason.replace(['\r', '\n', '\0'], " ");
    format!("SIP/2.0 {status:03} {reason}\r\n").into_bytes()
}

/// Status and reason of the status line that begins a fragment; `None` when it begins otherwise.
pub fn parse(body: &[u8]) -> Option<(u16, String)> {
    let line = body.split(|&octet| octet == b'\n').next()?;
    let line = String::from_utf8_lossy(line.trim_ascii());
    let (version, rest) = line.split_once(' ')?;
    let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let status: u16 = status.parse().ok().filter(|status| (100..700).contains(status))?;
    version.eq_ignore_ascii_case("SIP/2.0").then(|| (status, reason.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_reads_back() {
        assert_eq!(parse(&build(486, "Busy\r\nHere")), Some((486, "Busy  Here".to_owned())));
        assert_eq!(parse(b"SIP/2.0 200\r\nTo: <sip:b@d>\r\n"), Some((200, String::new())));
    }

    #[test]
    fn a_request_line_or_a_strange_status_is_no_status() {
        for bad in [&b"INVITE sip:b@d SIP/2.0\r\n"[..], b"SIP/2.0 99 Low\r\n", b"SIP/2.0 abc x\r\n", b""] {
            assert_eq!(parse(bad), None);
        }
    }
}
