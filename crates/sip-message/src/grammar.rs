//! Character classes and the scanner that every typed header reads with.

use crate::error::SyntaxError;

/// Bytes of a `token`. RFC 3261 25.1
pub(crate) const TOKEN: [bool; 256] = class(b"-.!%*_+`'~", false);

/// Is this a non-empty `token`?
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && run(bytes, &TOKEN) == bytes.len()
}

/// How many bytes from the beginning on are of the class.
#[inline]
pub(crate) fn run(bytes: &[u8], class: &[bool; 256]) -> usize {
    let mut length = 0;
    // Four at a time: short runs are what most of the time goes to.
    while let Some(four) = bytes.get(length..).and_then(<[u8]>::first_chunk::<4>) {
        let [one, two, three, four] = four.map(|byte| class[usize::from(byte)]);
        if !(one & two & three & four) {
            break;
        }
        length += 4;
    }
    while bytes.get(length).is_some_and(|byte| class[usize::from(*byte)]) {
        length += 1;
    }
    length
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

/// Every byte except control octets, white space and `stops`.
pub(crate) const fn all_but(stops: &[u8]) -> [bool; 256] {
    let mut table = [true; 256];
    let mut byte = 0;
    while byte <= 0x20 {
        table[byte] = false;
        byte += 1;
    }
    table[0x7f] = false;
    let mut index = 0;
    while index < stops.len() {
        table[stops[index] as usize] = false;
        index += 1;
    }
    table
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
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scanner<'a> {
    whole: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Scanner { whole: input, rest: input }
    }

    pub(crate) fn position(&self) -> usize {
        self.whole.len() - self.rest.len()
    }

    pub(crate) fn seek(&mut self, position: usize) {
        self.rest = self.whole.get(position..).unwrap_or_default();
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.whole[start..self.position()]
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(crate) fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(crate) fn skip_lws(&mut self) {
        while let [first, rest @ ..] = self.rest
            && is_lws(*first)
        {
            self.rest = rest;
        }
    }

    #[inline]
    pub(crate) fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let mut length = 0;
        while length < self.rest.len() && accept(self.rest[length]) {
            length += 1;
        }
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    /// Takes bytes as long as they are of the class.
    #[inline]
    pub(crate) fn take_class(&mut self, class: &[bool; 256]) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(run(self.rest, class));
        self.rest = rest;
        taken
    }

    /// Consumes `byte` if it is next.
    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Consumes `byte` with white space allowed on both sides (the `SEMI`, `EQUAL`, `SLASH`… rules).
    #[inline]
    pub(crate) fn eat_separator(&mut self, byte: u8) -> bool {
        let start = self.rest;
        self.skip_lws();
        let found = self.eat(byte);
        if found {
            self.skip_lws();
        } else {
            self.rest = start;
        }
        found
    }

    pub(crate) fn token(&mut self, expected: &'static str) -> Result<&'a str, SyntaxError> {
        let offset = self.position();
        match std::str::from_utf8(self.take_class(&TOKEN)) {
            Ok(text) if !text.is_empty() => Ok(text),
            _ => Err(SyntaxError { expected, offset }),
        }
    }

    /// A number that saturates at `u64::MAX`.
    pub(crate) fn number(&mut self, expected: &'static str) -> Result<u64, SyntaxError> {
        let offset = self.position();
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        saturating_number(digits).ok_or(SyntaxError { expected, offset })
    }

    /// A quoted string with its quotes, raw.
    pub(crate) fn quoted(&mut self) -> Result<&'a [u8], SyntaxError> {
        let start = self.position();
        if !self.eat(b'"') {
            return Err(self.error("a quoted string"));
        }
        loop {
            match self.rest {
                [] => return Err(SyntaxError { expected: "a closing quote", offset: start }),
                [b'"', rest @ ..] => {
                    self.rest = rest;
                    return Ok(self.since(start));
                }
                [b'\\', _, rest @ ..] | [_, rest @ ..] => self.rest = rest,
            }
        }
    }

    /// Nothing but white space may be left.
    pub(crate) fn finish(mut self, expected: &'static str) -> Result<(), SyntaxError> {
        self.skip_lws();
        if self.at_end() { Ok(()) } else { Err(self.error(expected)) }
    }

    pub(crate) fn error(&self, expected: &'static str) -> SyntaxError {
        SyntaxError { expected, offset: self.position() }
    }
}
