//! What nobody is shown: what a digest was answered with, other credentials, and keys of media.

use bytes::Bytes;

/// The message with its secrets as asterisks. Everything keeps its length, so that Content-Length stays true.
///
/// Hidden are the `response` of Digest credentials, from which a password can be guessed offline, whatever follows any
/// other scheme (RFC 3261 25.1, `other-response`), and the keys of `a=crypto` (RFC 4568), `a=key-mgmt` (RFC 4567) and
/// `k=` (RFC 4566 5.12) in any body.
pub(super) fn mask(message: &Bytes) -> Bytes {
    let mut masked: Option<Vec<u8>> = None;
    let mut header = Header::Other;
    let mut in_body = false;
    let mut at = 0;
    while at < message.len() {
        let end = memchr::memchr(b'\n', &message[at..]).map_or(message.len(), |length| at + length + 1);
        let line = message[at..end].trim_ascii_end();
        let secrets = if in_body {
            after_any(line, &[b"a=crypto:", b"a=key-mgmt:", b"k="])
        } else {
            in_body = line.is_empty();
            header.secrets(line)
        };
        for (from, to) in secrets {
            masked.get_or_insert_with(|| message.to_vec())[at + from..at + to].fill(b'*');
        }
        at = end;
    }
    masked.map_or_else(|| message.clone(), Bytes::from)
}

/// The header that a line belongs to.
enum Header {
    Other,
    /// Credentials whose scheme is on a line to come.
    Credentials,
    Digest,
    /// Credentials of another scheme.
    Secret,
}

impl Header {
    /// What to hide in the next line.
    fn secrets(&mut self, line: &[u8]) -> Vec<(usize, usize)> {
        let value = if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
            0
        } else {
            let colon = memchr::memchr(b':', line).unwrap_or(0);
            let name = line[..colon].trim_ascii_end();
            let secret = [&b"Authorization"[..], b"Proxy-Authorization"];
            let secret = secret.iter().any(|secret| name.eq_ignore_ascii_case(secret));
            *self = if secret { Self::Credentials } else { Self::Other };
            colon + 1
        };
        let lower = line.to_ascii_lowercase();
        let start = value + lower.get(value..).map_or(0, |rest| rest.len() - rest.trim_ascii_start().len());
        if matches!(self, Self::Credentials) && start < line.len() {
            *self = if lower[start..].starts_with(b"digest") { Self::Digest } else { Self::Secret };
        }
        match self {
            Self::Other | Self::Credentials => Vec::new(),
            Self::Digest => digest_responses(&lower, start),
            Self::Secret => vec![(start, line.len())],
        }
    }
}

/// The values of `response` parameters in a line in lower case.
fn digest_responses(line: &[u8], start: usize) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for at in memchr::memmem::find_iter(&line[start..], b"response") {
        let (name, after) = (start + at, start + at + b"response".len());
        let equals = after + (line[after..].len() - line[after..].trim_ascii_start().len());
        let whole = name == 0 || matches!(line[name - 1], b',' | b' ' | b'\t');
        if whole && line.get(equals) == Some(&b'=') {
            let length = memchr::memchr(b',', &line[equals..]).unwrap_or(line.len() - equals);
            found.push((equals + 1, equals + length));
        }
    }
    found
}

fn after_any(line: &[u8], prefixes: &[&[u8]]) -> Vec<(usize, usize)> {
    prefixes
        .iter()
        .filter(|prefix| line.starts_with(prefix))
        .map(|prefix| (prefix.len(), line.len()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        let masked = mask(&Bytes::from(text.to_owned()));
        assert_eq!(masked.len(), text.len());
        String::from_utf8(masked.to_vec()).unwrap()
    }

    #[test]
    fn the_response_of_a_digest_is_hidden_and_the_rest_stays() {
        let text = "REGISTER sip:h SIP/2.0\r\nauthorization : Digest username=\"response\", response=\"0123abc\", nc=1\r\n\
                    Proxy-Authorization: Digest nonce=\"n\",\r\n\tResponse = \"4567\"\r\nCall-ID: response=c\r\n\r\n";
        let masked = masked(text);
        assert!(masked.contains("username=\"response\", response=*********, nc=1"), "{masked}");
        assert!(masked.contains("\tResponse =*******\r\nCall-ID: response=c"), "{masked}");
        assert!(!masked.contains("0123abc") && !masked.contains("4567"));
    }

    #[test]
    fn other_credentials_are_hidden_as_a_whole() {
        let masked = masked("INVITE sip:h SIP/2.0\r\nAuthorization: Basic dTpw\r\nSubject: Basic\r\n\r\n");
        assert!(masked.contains("Authorization: **********\r\nSubject: Basic"), "{masked}");
        let folded = self::masked("INVITE sip:h SIP/2.0\r\nAuthorization:\r\n Bearer geheim\r\n\r\n");
        assert!(!folded.contains("geheim"), "{folded}");
    }

    #[test]
    fn keys_of_media_are_hidden_in_any_body() {
        let body =
            "v=0\r\nk=clear:geheim\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0\r\na=sendrecv\r\n";
        let masked = masked(&format!("INVITE sip:h SIP/2.0\r\nk: 100rel\r\n\r\n{body}"));
        assert!(!masked.contains("c2VjcmV0") && !masked.contains("geheim"), "{masked}");
        assert!(masked.contains("k: 100rel") && masked.contains("a=sendrecv"));
    }

    #[test]
    fn a_message_without_secrets_is_shared() {
        let text = Bytes::from_static(b"OPTIONS sip:h SIP/2.0\r\nTo: <sip:h>\r\n\r\n");
        assert_eq!(mask(&text).as_ptr(), text.as_ptr());
    }
}
