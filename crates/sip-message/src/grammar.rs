//! Character classes and the scanner that every typed header reads with.

use crate::error::SyntaxError;

/// Bytes of a `token`. RFC 3261 25.1
pub(crate) const TOKEN: [bool; 256] = class(b"-.!%*_+`'~", false);

/// Is this a non-empty `token`?
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| TOKEN[*byte as usize])
}

/// Linear white space of a value: folding is read in place, so CR and LF count as white space here.
pub(crate) fn is_lws(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The value without white space (folds included) at either end.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_lws(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_lws(*last)
    {
        bytes = rest;
    }
    bytes
}

/// Reads a run of digits as a number that saturates instead of wrapping; `None` when it is not all digits.
pub(crate) fn saturating_number(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        bytes
            .iter()
            .fold(0u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))),
    )
}

/// Letters, digits, `extra`, and with `high` every byte above 127.
pub(crate) const fn class(extra: &[u8], high: bool) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || (high && byte >= 128);
        byte += 1;
    }
    let mut index = 0;
    while index < extra.len() {
        table[extra[index] as usize] = true;
        index += 1;
    }
    table
}

/// A reading position in a header value.
#[derive(Clone, Debug)]
pub(crate) struct Scanner<'a> {
    input: &'a [u8],
    position: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Scanner { input, position: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn seek(&mut self, position: usize) {
        self.position = position.min(self.input.len());
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.input[self.position..]
    }

    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.input[start..self.position]
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.input.get(self.position).copied()
    }

    pub(crate) fn at_end(&self) -> bool {
        self.position == self.input.len()
    }

    pub(crate) fn skip_lws(&mut self) {
        self.take_while(is_lws);
    }

    pub(crate) fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let start = self.position;
        while let Some(byte) = self.peek()
            && accept(byte)
        {
            self.position += 1;
        }
        self.since(start)
    }

    /// Consumes `byte` if it is next.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.position += usize::from(found);
        found
    }

    /// Consumes `byte` with white space allowed on both sides (the `SEMI`, `EQUAL`, `SLASH`… rules).
    pub(crate) fn eat_separator(&mut self, byte: u8) -> bool {
        let start = self.position;
        self.skip_lws();
        let found = self.eat(byte);
        if found {
            self.skip_lws();
        } else {
            self.position = start;
        }
        found
    }

    pub(crate) fn token(&mut self, expected: &'static str) -> Result<&'a str, SyntaxError> {
        let bytes = self.take_while(|byte| TOKEN[byte as usize]);
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.is_empty() => Ok(text),
            _ => Err(self.error(expected)),
        }
    }

    /// A number that saturates at `u64::MAX`.
    pub(crate) fn number(&mut self, expected: &'static str) -> Result<u64, SyntaxError> {
        let start = self.position;
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        saturating_number(digits).ok_or(SyntaxError { expected, offset: start })
    }

    /// A quoted string with its quotes, raw.
    pub(crate) fn quoted(&mut self) -> Result<&'a [u8], SyntaxError> {
        let start = self.position;
        if !self.eat(b'"') {
            return Err(self.error("a quoted string"));
        }
        loop {
            match self.peek() {
                None => return Err(SyntaxError { expected: "a closing quote", offset: start }),
                Some(b'"') => {
                    self.position += 1;
                    return Ok(self.since(start));
                }
                Some(b'\\') => self.position = (self.position + 2).min(self.input.len()),
                Some(_) => self.position += 1,
            }
        }
    }

    /// Nothing but white space may be left.
    pub(crate) fn finish(mut self, expected: &'static str) -> Result<(), SyntaxError> {
        self.skip_lws();
        if self.at_end() { Ok(()) } else { Err(self.error(expected)) }
    }

    pub(crate) fn error(&self, expected: &'static str) -> SyntaxError {
        SyntaxError { expected, offset: self.position }
    }
}
