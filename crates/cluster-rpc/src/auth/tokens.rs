//! The token file: one line for each token, with its name and scopes.
//!
//! ```text
//! # name    token, or sha256: and the digest of it   scopes
//! crm       9f3c1d5a77e84b0f8d2c                     calls:read,calls:write
//! billing   sha256:0b1f...                           calls:read
//! ```

use std::{collections::HashMap, fmt, path::Path, sync::Arc};

use sha2::{Digest, Sha256};

use super::scopes::{Scope, Scopes};

/// A shorter token can be guessed.
const SHORTEST_TOKEN: usize = 16;

/// The tokens that are accepted. Only their digests are kept.
#[derive(Clone, Default)]
pub struct Tokens {
    by_digest: Arc<HashMap<[u8; 32], Holder>>,
}

/// Who has a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) name: Arc<str>,
    pub(super) scopes: Scopes,
}

/// The token file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadTokenFile {
    /// It cannot be read.
    #[error("token file: {0}")]
    Unreadable(#[from] std::io::Error),
    /// A line is wrong. The line itself is not shown: it holds a secret.
    #[error("token file, line {line}: {mistake}")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong.
        mistake: Mistake,
    },
    /// It has no token, so that nobody could call anything.
    #[error("token file: no token in it")]
    Empty,
}

/// What is wrong with a line of the token file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// Not three words.
    #[error("expected a name, a token and scopes, with spaces between them")]
    Shape,
    /// The token can be guessed.
    #[error("a token has at least {SHORTEST_TOKEN} characters")]
    Short,
    /// Not a digest.
    #[error("after sha256: come 64 hexadecimal digits")]
    Digest,
    /// Not a scope.
    #[error(
        "{0:?} is no scope; there are calls:, accounts:, presence: and cluster: with read and write, and messages:write"
    )]
    Scope(String),
    /// The token stands in an earlier line.
    #[error("the same token as in an earlier line")]
    Twice,
}

impl Tokens {
    /// Reads a token file.
    ///
    /// # Errors
    /// When it cannot be read, or a line is wrong, or there is none.
    pub fn load(path: &Path) -> Result<Self, BadTokenFile> {
        Self::parse(&std::fs::read_to_string(path)?)
    }

    /// Reads the text of a token file.
    ///
    /// # Errors
    /// When a line is wrong, or there is none.
    pub fn parse(text: &str) -> Result<Self, BadTokenFile> {
        let mut by_digest = HashMap::new();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let (digest, holder) = entry(content).map_err(|mistake| BadTokenFile::Line { line, mistake })?;
            if by_digest.insert(digest, holder).is_some() {
                return Err(BadTokenFile::Line { line, mistake: Mistake::Twice });
            }
        }
        if by_digest.is_empty() {
            return Err(BadTokenFile::Empty);
        }
        Ok(Self { by_digest: Arc::new(by_digest) })
    }

    /// Who has this token. Looking up by digest tells nothing about near misses.
    pub(super) fn holder(&self, token: &str) -> Option<&Holder> {
        self.by_digest.get(&digest(token))
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> = self.by_digest.values().map(|holder| &*holder.name).collect();
        names.sort_unstable();
        formatter.debug_tuple("Tokens").field(&names).finish()
    }
}

fn entry(line: &str) -> Result<([u8; 32], Holder), Mistake> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, token, scopes] = words[..] else { return Err(Mistake::Shape) };
    let digest = match token.strip_prefix("sha256:") {
        Some(digits) => digest_from(digits).ok_or(Mistake::Digest)?,
        None if token.len() < SHORTEST_TOKEN => return Err(Mistake::Short),
        None => digest(token),
    };
    let scopes =
        scopes.split(',').map(|scope| scope.parse::<Scope>().map_err(|()| Mistake::Scope(scope.to_owned())));
    Ok((digest, Holder { name: name.into(), scopes: scopes.collect::<Result<_, _>>()? }))
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn digest_from(digits: &str) -> Option<[u8; 32]> {
    let digits = digits.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut digest = [0; 32];
    for (octet, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (char::from(pair[0]).to_digit(16)?, char::from(pair[1]).to_digit(16)?);
        *octet = u8::try_from(high * 16 + low).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
        # the business software
        crm      0123456789abcdef  calls:read,calls:write
        billing  sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  calls:read
    ";

    #[test]
    fn a_token_and_a_digest_of_one_open_their_scopes() {
        let tokens = Tokens::parse(FILE).expect("a good file");
        let crm = tokens.holder("0123456789abcdef").expect("the token of crm");
        assert_eq!(&*crm.name, "crm");
        assert!(crm.scopes.contains(Scope::CallsWrite) && !crm.scopes.contains(Scope::AccountsRead));
        let billing = tokens.holder("test").expect("the token whose digest is listed");
        assert_eq!(&*billing.name, "billing");
        assert_eq!(tokens.holder("0123456789abcdee"), None);
    }

    #[test]
    fn a_wrong_line_is_named_by_its_number_and_never_shown() {
        for (line, mistake) in [
            ("crm 0123456789abcdef", Mistake::Shape),
            ("crm s3cret calls:read", Mistake::Short),
            ("crm sha256:xyz calls:read", Mistake::Digest),
            ("crm 0123456789abcdef calls:all", Mistake::Scope("calls:all".into())),
        ] {
            let error = Tokens::parse(&format!("# first\n{line}\n")).expect_err(line).to_string();
            assert_eq!(error, format!("token file, line 2: {mistake}"));
            assert!(!error.contains("0123456789abcdef") && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_file_without_tokens_or_with_one_twice_is_refused() {
        assert!(matches!(Tokens::parse("# nothing\n"), Err(BadTokenFile::Empty)));
        let twice = "a 0123456789abcdef calls:read\nb 0123456789abcdef calls:write\n";
        assert!(matches!(Tokens::parse(twice), Err(BadTokenFile::Line { line: 2, mistake: Mistake::Twice })));
    }

    #[test]
    fn debug_shows_names_only() {
        assert_eq!(
            format!("{:?}", Tokens::parse(FILE).expect("a good file")),
            "Tokens([\"billing\", \"crm\"])"
        );
    }
}
