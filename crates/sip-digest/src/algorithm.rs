//! The algorithms of RFC 7616 and RFC 8760, and the qualities of protection.

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hash {
    /// MD5, for old clients alone.
    Md5,
    /// SHA-256.
    Sha256,
    /// SHA-512/256: the function of FIPS 180-4 with its own initial values, not SHA-512 cut short.
    Sha512T256,
}

/// An `algorithm` value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Algorithm {
    /// The hash function.
    pub hash: Hash,
    /// The `-sess` variant, which mixes nonce and cnonce into the secret.
    pub is_session: bool,
}

/// A quality of protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Qop {
    /// Method and URI.
    Auth,
    /// Method, URI and body.
    AuthInt,
}

impl Hash {
    /// All, best first.
    pub const ALL: [Self; 3] = [Self::Sha512T256, Self::Sha256, Self::Md5];

    /// The name without `-sess`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512T256 => "SHA-512-256",
        }
    }

    /// Octets of a digest in hexadecimal digits.
    pub const fn hex_length(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha256 | Self::Sha512T256 => 64,
        }
    }
}

impl From<Hash> for Algorithm {
    fn from(hash: Hash) -> Self {
        Self { hash, is_session: false }
    }
}

impl Algorithm {
    /// The value in a header.
    pub const fn as_str(self) -> &'static str {
        match (self.hash, self.is_session) {
            (Hash::Md5, true) => "MD5-sess",
            (Hash::Sha256, true) => "SHA-256-sess",
            (Hash::Sha512T256, true) => "SHA-512-256-sess",
            (hash, false) => hash.as_str(),
        }
    }

    /// Reads an `algorithm` value, in any case of letters; `None` for one that is not known.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let cut = value.len().saturating_sub(b"-sess".len());
        let (name, is_session) = match value.split_at(cut) {
            (name, end) if end.eq_ignore_ascii_case(b"-sess") => (name, true),
            _ => (value, false),
        };
        let hash = Hash::ALL.into_iter().find(|hash| name.eq_ignore_ascii_case(hash.as_str().as_bytes()))?;
        Some(Self { hash, is_session })
    }
}

impl std::fmt::Display for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Qop {
    /// The value in a header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }

    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        [Self::Auth, Self::AuthInt]
            .into_iter()
            .find(|qop| value.eq_ignore_ascii_case(qop.as_str().as_bytes()))
    }
}
