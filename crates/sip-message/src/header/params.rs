//! Parameters behind a semicolon, of headers and of URIs, in place.

use std::borrow::Cow;

use crate::error::SyntaxError;
use crate::grammar::{self, Scanner};

/// The parameters of a header value, checked once and then read in place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a> {
    raw: &'a [u8],
}

/// One parameter as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name, case as received; compare without case.
    pub name: &'a str,
    /// The raw value with its quotes, or `None` for a bare flag.
    pub value: Option<&'a [u8]>,
}

impl<'a> Params<'a> {
    /// Reads `;name=value` items until something else comes; that rest is left to the caller.
    pub(crate) fn scan(scanner: &mut Scanner<'a>) -> Result<Params<'a>, SyntaxError> {
        Params::scan_with(scanner, |_| Ok(()))
    }

    /// [`Params::scan`] that shows every parameter to `note` on the way.
    #[inline]
    pub(crate) fn scan_with(
        scanner: &mut Scanner<'a>,
        mut note: impl FnMut(RawParam<'a>) -> Result<(), SyntaxError>,
    ) -> Result<Params<'a>, SyntaxError> {
        let start = scanner.position();
        while scanner.eat_separator(b';') {
            note(scan_param(scanner)?)?;
        }
        Ok(Params { raw: scanner.since(start) })
    }

    /// Reads a whole string of parameters that begins with `;`, or is empty.
    ///
    /// # Errors
    /// When something else stands in it.
    pub fn parse(raw: &'a [u8]) -> Result<Params<'a>, SyntaxError> {
        let mut scanner = Scanner::new(raw);
        let params = Params::scan(&mut scanner)?;
        scanner.finish("\";\" or the end")?;
        Ok(params)
    }

    /// Wraps text that was checked already; what cannot be read of it is not there.
    pub(crate) fn checked(raw: &'a [u8]) -> Params<'a> {
        Params { raw }
    }

    /// The text, first semicolon included.
    pub fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// Are there none?
    pub fn is_empty(self) -> bool {
        self.raw.is_empty()
    }

    /// The parameters in wire order.
    pub fn iter(self) -> ParamIter<'a> {
        ParamIter { scanner: Scanner::new(self.raw) }
    }

    /// Writes the parameters without white space between them.
    pub fn print(self, out: &mut Vec<u8>) {
        for param in self.raw_iter() {
            out.push(b';');
            out.extend_from_slice(param.name);
            if let Some(value) = param.value {
                out.push(b'=');
                print_unfolded(value, out);
            }
        }
    }

    /// The parameters in wire order, names as bytes.
    pub(crate) fn raw_iter(self) -> impl Iterator<Item = RawParam<'a>> {
        let mut scanner = Scanner::new(self.raw);
        std::iter::from_fn(
            move || {
                if scanner.eat_separator(b';') { scan_param(&mut scanner).ok() } else { None }
            },
        )
    }

    /// The first parameter of this name, in any case.
    pub fn find(self, name: &str) -> Option<Param<'a>> {
        self.raw_iter().find(|param| param.is(name)).map(RawParam::checked)
    }

    /// Is there a parameter of this name, with or without a value?
    pub fn has(self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The raw value as text: empty for a flag, `None` when absent or not UTF-8.
    pub fn text(self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.find(name)?.value.unwrap_or_default()).ok()
    }

    /// The branch, of parameters of a Via that were checked before: it nearly always comes first.
    pub(crate) fn branch(self) -> Option<&'a str> {
        const FIRST: &[u8] = b";branch=";
        let first = self.raw.strip_prefix(FIRST).and_then(|rest| {
            let (value, rest) = rest.split_at(grammar::run(rest, &VALUE));
            matches!(rest, [] | [b';', ..]).then_some(value)
        });
        match first {
            Some(value) => std::str::from_utf8(value).ok(),
            None => self.text("branch"),
        }
    }

    /// The raw value as received: empty for a flag.
    pub fn bytes(self, name: &str) -> Option<&'a [u8]> {
        self.find(name).map(|param| param.value.unwrap_or_default())
    }

    /// The value without quotes and escapes.
    pub fn unquoted(self, name: &str) -> Option<Cow<'a, [u8]>> {
        self.bytes(name).map(unquote)
    }
}

impl<'a> IntoIterator for Params<'a> {
    type Item = Param<'a>;
    type IntoIter = ParamIter<'a>;

    fn into_iter(self) -> ParamIter<'a> {
        self.iter()
    }
}

/// Iterator over [`Params`].
#[derive(Clone, Debug)]
pub struct ParamIter<'a> {
    scanner: Scanner<'a>,
}

impl<'a> Iterator for ParamIter<'a> {
    type Item = Param<'a>;

    fn next(&mut self) -> Option<Param<'a>> {
        if !self.scanner.eat_separator(b';') {
            return None;
        }
        scan_param(&mut self.scanner).ok().map(RawParam::checked)
    }
}

/// A parameter whose name is known to be ASCII, but not yet text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawParam<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: Option<&'a [u8]>,
}

impl<'a> RawParam<'a> {
    #[inline]
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    fn checked(self) -> Param<'a> {
        let name = std::str::from_utf8(self.name).expect("the letters of a parameter name are ASCII");
        Param { name, value: self.value }
    }
}

/// Removes the quotes and the backslashes of a quoted string; other text is returned as it is.
pub fn unquote(raw: &[u8]) -> Cow<'_, [u8]> {
    let [b'"', inner @ .., b'"'] = raw else {
        return Cow::Borrowed(raw);
    };
    if memchr::memchr(b'\\', inner).is_none() {
        return Cow::Borrowed(inner);
    }
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => plain.extend(bytes.next()),
            byte => plain.push(*byte),
        }
    }
    Cow::Owned(plain)
}

/// Writes a quoted string. Control characters are left out: none of them is qdtext (RFC 3261 25.1), and no quoted form of theirs is
/// safe on a display. Only the tab is white space.
pub fn quote(plain: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(plain.len() + 2);
    quoted.push(b'"');
    for byte in plain {
        match byte {
            b'\t' => quoted.push(b'\t'),
            0..=0x1f | 0x7f => {}
            b'"' | b'\\' => quoted.extend([b'\\', *byte]),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'"');
    quoted
}

/// Copies text that may hold folds into one line.
pub(crate) fn print_unfolded(text: &[u8], out: &mut Vec<u8>) {
    out.extend(text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
}

/// Letters of parameter names: a token, and what the names of URI parameters add to it. ASCII only.
const NAME: [bool; 256] = grammar::class(b"-.!%*_+`'~[]/:&$()|{}^@", false);

/// Letters of a parameter value that is not quoted.
const VALUE: [bool; 256] = grammar::all_but(b";,\"<>?");

fn scan_param<'a>(scanner: &mut Scanner<'a>) -> Result<RawParam<'a>, SyntaxError> {
    let name = scanner.take_class(&NAME);
    if name.is_empty() {
        return Err(scanner.error("a parameter name"));
    }
    if !scanner.eat_separator(b'=') {
        return Ok(RawParam { name, value: None });
    }
    let value = match scanner.peek() {
        Some(b'"') => scanner.quoted()?,
        _ => scanner.take_class(&VALUE),
    };
    Ok(RawParam { name, value: Some(value) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MSG-02, MSG-04
    #[test]
    fn names_are_found_in_any_case_and_across_folds() {
        let params = Params::parse(b" ; TTL=16;\r\n  rport ; x = \"a;b\\\"c\"").unwrap();
        assert_eq!(params.text("ttl"), Some("16"));
        assert_eq!(params.text("RPORT"), Some(""));
        assert_eq!(params.unquoted("x").unwrap().as_ref(), b"a;b\"c");
        assert_eq!(params.text("y"), None);
    }

    #[test]
    fn a_branch_is_found_wherever_it_stands() {
        for raw in [
            &b";branch=z1"[..],
            b";branch=z1;rport",
            b";rport;branch=z1",
            b";branch=z1 ; x",
            b" ; Branch = z1",
            b";branch=\"z1\"",
            b";branch=;branch=z1",
            b";branch;x",
            b";branches=z1",
            b"",
        ] {
            let params = Params::parse(raw).unwrap();
            assert_eq!(params.branch(), params.text("branch"), "{}", String::from_utf8_lossy(raw));
        }
    }

    #[test]
    fn an_empty_parameter_is_an_error_that_says_where() {
        let error = Params::parse(b";a;;b").unwrap_err();
        assert_eq!(error, SyntaxError { expected: "a parameter name", offset: 3 });
    }

    #[test]
    fn quoting_and_unquoting_are_inverse() {
        let plain = b"a \"b\" \\c";
        assert_eq!(unquote(&quote(plain)).as_ref(), plain);
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_quoted() {
        let all: Vec<u8> = (0..=0x7f).collect();
        let quoted = quote(&all);
        assert!(quoted.iter().all(|octet| !octet.is_ascii_control() || *octet == b'\t'));
        assert_eq!(quote(b"x\x1b[31mRED\x07\r\n\x7f"), b"\"x[31mRED\"");
    }
}
