//! WWW-Authenticate and Proxy-Authenticate (RFC 7616 3.3, RFC 8760 2.3).

use std::borrow::Cow;

use crate::{
    Algorithm, Qop,
    params::{Text, once, push, read},
};

/// A digest challenge for one algorithm. Several algorithms are several headers, best on top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// The protection domain.
    pub realm: Text<'a>,
    /// To be hashed in.
    pub nonce: Text<'a>,
    /// To be sent back unchanged.
    pub opaque: Option<Text<'a>>,
    /// The algorithm; MD5 when none is named.
    pub algorithm: Algorithm,
    /// Offers `auth`.
    pub auth: bool,
    /// Offers `auth-int`.
    pub auth_int: bool,
    /// The credentials were right and the nonce was too old.
    pub stale: bool,
}

impl<'a> Challenge<'a> {
    /// A challenge of ours: `auth` alone.
    pub fn new(realm: &'a str, nonce: &'a str, algorithm: Algorithm) -> Self {
        Self {
            realm: Cow::Borrowed(realm.as_bytes()),
            nonce: Cow::Borrowed(nonce.as_bytes()),
            // RFC 7616 3.3 wants one; nothing depends on it
            opaque: Some(Cow::Borrowed(b"carillon")),
            algorithm,
            auth: true,
            auth_int: false,
            stale: false,
        }
    }

    /// Reads a header value; `None` for another scheme, an unknown algorithm, or broken grammar.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let (mut realm, mut nonce, mut opaque, mut algorithm, mut stale, mut qop) =
            (None, None, None, None, None, None);
        read(value, |name, value| match &name.to_ascii_lowercase()[..] {
            b"realm" => once(&mut realm, value),
            b"nonce" => once(&mut nonce, value),
            b"opaque" => once(&mut opaque, value),
            b"algorithm" => once(&mut algorithm, value),
            b"stale" => once(&mut stale, value),
            b"qop" => once(&mut qop, value),
            _ => Some(()),
        })?;
        let offers = |wanted: Qop| {
            let offered = qop.as_deref().unwrap_or_default();
            offered.split(|&octet| octet == b',').any(|one| Qop::parse(one.trim_ascii()) == Some(wanted))
        };
        let (auth, auth_int) = (offers(Qop::Auth), offers(Qop::AuthInt));
        if qop.is_some() && !auth && !auth_int {
            // RFC 7616 3.3: a qop that is not understood cannot be answered
            return None;
        }
        Some(Self {
            realm: realm?,
            nonce: nonce?,
            opaque,
            algorithm: Algorithm::parse(algorithm.as_deref().unwrap_or(b"MD5"))?,
            auth,
            auth_int,
            stale: stale.is_some_and(|value| value.eq_ignore_ascii_case(b"true")),
        })
    }

    /// The header value.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.realm.len() + self.nonce.len() + 96);
        out.extend_from_slice(b"Digest");
        push(&mut out, "realm", &self.realm, true);
        push(&mut out, "nonce", &self.nonce, true);
        if let Some(opaque) = &self.opaque {
            push(&mut out, "opaque", opaque, true);
        }
        push(&mut out, "algorithm", self.algorithm.as_str().as_bytes(), false);
        match (self.auth, self.auth_int) {
            (true, false) => push(&mut out, "qop", b"auth", true),
            (false, true) => push(&mut out, "qop", b"auth-int", true),
            (true, true) => push(&mut out, "qop", b"auth,auth-int", true),
            (false, false) => {}
        }
        if self.stale {
            push(&mut out, "stale", b"true", false);
        }
        out
    }
}
