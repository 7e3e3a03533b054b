//! Authorization and Proxy-Authorization (RFC 7616 3.4, RFC 3261 22.4).

use subtle::ConstantTimeEq as _;

use crate::{
    Algorithm, Ha1, Qop,
    hash::{Hex, joined},
    params::{Text, once, push, read},
};

/// Digest credentials as they stand in a header. `Debug` does not show the response.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// Who claims to send.
    pub username: Text<'a>,
    /// The realm of the challenge.
    pub realm: Text<'a>,
    /// The nonce of the challenge.
    pub nonce: Text<'a>,
    /// The URI that was hashed.
    pub uri: Text<'a>,
    /// The proof, in hexadecimal digits.
    pub response: Text<'a>,
    /// The algorithm; MD5 when none is named.
    pub algorithm: Algorithm,
    /// The opaque value of the challenge.
    pub opaque: Option<Text<'a>>,
    /// What a client with `qop` adds; old clients have none.
    pub protection: Option<Protection<'a>>,
}

/// `qop`, `nc` and `cnonce`: all or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection<'a> {
    /// The chosen quality.
    pub qop: Qop,
    /// How often the client used this nonce.
    pub count: u32,
    /// The client's own nonce.
    pub cnonce: Text<'a>,
}

/// The realm that a value of Authorization or Proxy-Authorization is for, whatever else is wrong with it.
pub fn realm(value: &[u8]) -> Option<Text<'_>> {
    let mut realm = None;
    // What is broken further on is still meant for the realm that was named.
    let _ = read(value, |name, value| {
        if realm.is_none() && name.eq_ignore_ascii_case(b"realm") {
            realm = Some(value);
        }
        Some(())
    });
    realm
}

impl<'a> Credentials<'a> {
    /// Reads a header value. Absent fields, another scheme, an unknown algorithm, a repeated field and broken grammar are
    /// all `None`: the answer is a challenge.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let (mut username, mut realm, mut nonce, mut uri, mut response) = (None, None, None, None, None);
        let (mut algorithm, mut opaque, mut qop, mut count, mut cnonce) = (None, None, None, None, None);
        read(value, |name, value| {
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            let place = match name.len() {
                2 if is("nc") => &mut count,
                3 if is("uri") => &mut uri,
                3 if is("qop") => &mut qop,
                5 if is("realm") => &mut realm,
                5 if is("nonce") => &mut nonce,
                6 if is("opaque") => &mut opaque,
                6 if is("cnonce") => &mut cnonce,
                8 if is("username") => &mut username,
                8 if is("response") => &mut response,
                9 if is("algorithm") => &mut algorithm,
                // RFC 7616 3.4.4: hashed names are not offered, so nobody may send one
                8 if is("userhash") && value.eq_ignore_ascii_case(b"true") => return None,
                _ => return Some(()),
            };
            once(place, value)
        })?;
        let protection = match qop {
            Some(qop) => {
                Some(Protection { qop: Qop::parse(&qop)?, count: read_count(&count?)?, cnonce: cnonce? })
            }
            None => None,
        };
        Some(Self {
            username: username?,
            realm: realm?,
            nonce: nonce?,
            uri: uri?,
            response: response?,
            algorithm: Algorithm::parse(algorithm.as_deref().unwrap_or(b"MD5"))?,
            opaque,
            protection,
        })
    }

    /// Whether the response proves knowledge of `ha1` for this method and body. Takes the same time however wrong it is.
    pub fn matches(&self, ha1: &Ha1, method: &str, body: &[u8]) -> bool {
        let expected = self.expected(ha1, method, body);
        let Some(given) = Hex::parse(self.algorithm.hash, &self.response) else { return false };
        ha1.hash() == self.algorithm.hash && bool::from(expected.as_bytes().ct_eq(given.as_bytes()))
    }

    /// The response that these credentials should have.
    pub(crate) fn expected(&self, ha1: &Ha1, method: &str, body: &[u8]) -> Hex {
        let hash = self.algorithm.hash;
        let cnonce = self.protection.as_ref().map(|protection| &protection.cnonce[..]).unwrap_or_default();
        let stored = ha1.hex().as_bytes();
        // RFC 7616 3.4.2
        let session = self.algorithm.is_session.then(|| joined(hash, &[stored, &self.nonce, cnonce]));
        let secret = session.as_ref().map_or(stored, Hex::as_bytes);
        // RFC 7616 3.4.3
        let request = match &self.protection {
            Some(Protection { qop: Qop::AuthInt, .. }) => {
                joined(hash, &[method.as_bytes(), &self.uri, joined(hash, &[body]).as_bytes()])
            }
            _ => joined(hash, &[method.as_bytes(), &self.uri]),
        };
        // RFC 7616 3.4.1, RFC 2617 3.2.2.1 without qop
        match &self.protection {
            Some(Protection { qop, count, cnonce }) => {
                let (count, qop) = (Hex::encode(&count.to_be_bytes()), qop.as_str().as_bytes());
                joined(hash, &[secret, &self.nonce, count.as_bytes(), cnonce, qop, request.as_bytes()])
            }
            None => joined(hash, &[secret, &self.nonce, request.as_bytes()]),
        }
    }

    /// The header value.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = b"Digest".to_vec();
        push(&mut out, "username", &self.username, true);
        push(&mut out, "realm", &self.realm, true);
        push(&mut out, "nonce", &self.nonce, true);
        push(&mut out, "uri", &self.uri, true);
        push(&mut out, "response", &self.response, true);
        push(&mut out, "algorithm", self.algorithm.as_str().as_bytes(), false);
        if let Some(opaque) = &self.opaque {
            push(&mut out, "opaque", opaque, true);
        }
        if let Some(Protection { qop, count, cnonce }) = &self.protection {
            push(&mut out, "qop", qop.as_str().as_bytes(), false);
            push(&mut out, "nc", format!("{count:08x}").as_bytes(), false);
            push(&mut out, "cnonce", cnonce, true);
        }
        out
    }
}

impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username.escape_ascii().to_string())
            .field("realm", &self.realm.escape_ascii().to_string())
            .field("algorithm", &self.algorithm)
            .field("response", &"***")
            .finish_non_exhaustive()
    }
}

/// Exactly eight digits, lower case as they are hashed.
fn read_count(digits: &[u8]) -> Option<u32> {
    let is_exact = digits.len() == 8 && digits.iter().all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f'));
    is_exact.then_some(())?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
