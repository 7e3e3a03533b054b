//! `name-addr` and `addr-spec` with header parameters: From, To, Contact, Route and their kin.

use std::borrow::Cow;

use super::Params;
use super::params::{print_unfolded, unquote};
use crate::error::SyntaxError;
use crate::grammar::{self, Scanner, is_token, trim};
use crate::swar;
use crate::uri::Uri;

/// An address with an optional display name and header parameters, read in place. RFC 3261 20.10
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// The display name as received, quotes included; empty if there is none.
    pub display: &'a [u8],
    /// The URI without angle brackets, as received.
    pub uri: &'a [u8],
    /// Was the URI in angle brackets?
    pub bracketed: bool,
    /// The header parameters.
    pub params: Params<'a>,
    tag: Option<&'a str>,
}

impl<'a> NameAddr<'a> {
    /// Reads one value, without commas outside quotes and brackets.
    ///
    /// Without angle brackets, everything from the first `;` on are header parameters, and a `?` or
    /// `,` is an error. RFC 3261 20.10
    ///
    /// # Errors
    /// When the value does not follow the grammar, or its tag is no token.
    pub fn parse(value: &'a [u8]) -> Result<NameAddr<'a>, SyntaxError> {
        if let Some(usual) = Self::usual(value) {
            return Ok(usual);
        }
        let mut scanner = Scanner::new(value);
        scanner.skip_lws();
        let (display, uri, plain) = match display(&mut scanner)? {
            Some(display) => {
                let open = scanner.position();
                scanner.eat(b'<');
                let rest = scanner.rest();
                let plain = swar::plain_run(rest);
                let end = match rest.get(plain) {
                    Some(b'>') => plain,
                    _ => memchr::memchr(b'>', rest)
                        .ok_or(SyntaxError { expected: "\">\" after the URI", offset: open })?,
                };
                scanner.seek(open + 1 + end + 1);
                (Some(display), &rest[..end], plain)
            }
            None => (None, scanner.take_class(&BARE_URI), 0),
        };
        let bracketed = display.is_some();
        let display = display.unwrap_or_default();
        check_uri(uri, plain, scanner.position() - uri.len() - usize::from(bracketed))?;
        let offset = scanner.position();
        let mut tag = None;
        let params = Params::scan_with(&mut scanner, |param| {
            if tag.is_none() && param.is("tag") {
                tag = Some(
                    param
                        .value
                        .filter(|tag| is_token(tag))
                        .and_then(|tag| std::str::from_utf8(tag).ok())
                        .ok_or(SyntaxError { expected: "a token as tag", offset })?,
                );
            }
            Ok(())
        })?;
        scanner.finish("\";\" or the end")?;
        Ok(NameAddr { display, uri, bracketed, params, tag })
    }

    /// Reads a value as nearly all of From, To and Contact are: a SIP URI in brackets, and nothing but a tag behind it. Whatever else it
    /// is, is left to [`parse`](Self::parse), which reads the same of these in three times the steps.
    #[inline]
    fn usual(value: &'a [u8]) -> Option<NameAddr<'a>> {
        let rest = value.strip_prefix(b"<")?;
        let end = swar::plain_run(rest);
        if rest.get(end) != Some(&b'>') {
            return None;
        }
        let (uri, params) = (&rest[..end], &rest[end + 1..]);
        let behind = uri.strip_prefix(b"sip:").or_else(|| uri.strip_prefix(b"sips:"))?;
        if behind.is_empty() {
            return None;
        }
        let tag = match params {
            [] => None,
            params => {
                let tag = params.strip_prefix(b";tag=").filter(|tag| is_token(tag))?;
                Some(std::str::from_utf8(tag).ok()?)
            }
        };
        Some(NameAddr { display: b"", uri, bracketed: true, params: Params::checked(params), tag })
    }

    /// Reads a value that [`parse`](Self::parse) has read before.
    pub(crate) fn checked(value: &'a [u8]) -> Option<NameAddr<'a>> {
        if let Some(usual) = Self::usual(value) {
            return Some(usual);
        }
        // Behind a display name it begins with another letter.
        let Some(rest) = value.strip_prefix(b"<") else { return NameAddr::parse(value).ok() };
        let (uri, params) = rest.split_at(memchr::memchr(b'>', rest)?);
        let params = Params::checked(&params[1..]);
        let tag = if params.is_empty() { None } else { params.text("tag") };
        Some(NameAddr { display: b"", uri, bracketed: true, params, tag })
    }

    /// Writes the value on one line, with the URI in angle brackets.
    pub fn print(&self, out: &mut Vec<u8>) {
        if !self.display.is_empty() {
            print_unfolded(self.display, out);
            out.push(b' ');
        }
        out.push(b'<');
        out.extend_from_slice(self.uri);
        out.push(b'>');
        self.params.print(out);
    }

    /// The `tag` parameter.
    pub fn tag(&self) -> Option<&'a str> {
        self.tag
    }

    /// A header parameter as text: empty for a flag, `None` when absent.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params.text(name)
    }

    /// The URI, taken apart.
    ///
    /// # Errors
    /// When it does not follow the grammar of its scheme.
    pub fn uri(&self) -> Result<Uri<'a>, SyntaxError> {
        Uri::parse(self.uri)
    }

    /// The display name without quotes and escapes.
    pub fn display_name(&self) -> Cow<'a, [u8]> {
        unquote(self.display)
    }
}

/// Letters of a URI without angle brackets.
const BARE_URI: [bool; 256] = grammar::all_but(b";,?\"<>");
/// Letters of a URI inside them.
const URI: [bool; 256] = grammar::all_but(b"<>\"");
/// Letters of a display name without quotes. Bytes above 127 are let through: some phones send
/// Latin-1 or UTF-8 names without quotes, and no header may be lost for it.
const DISPLAY: [bool; 256] = grammar::class(b"-.!%*_+`'~ \t\r\n", true);
const SCHEME: [bool; 256] = grammar::class(b"+-.", false);

/// What stands before the `<` of a name-addr, if the value is one: a quoted string, or tokens and white space. The
/// scanner is then at the `<`, otherwise where it was.
fn display<'a>(scanner: &mut Scanner<'a>) -> Result<Option<&'a [u8]>, SyntaxError> {
    if scanner.peek() == Some(b'"') {
        let quoted = scanner.quoted()?;
        scanner.skip_lws();
        return if scanner.peek() == Some(b'<') { Ok(Some(quoted)) } else { Err(scanner.error("\"<\"")) };
    }
    let begin = *scanner;
    let name = scanner.take_class(&DISPLAY);
    if scanner.peek() == Some(b'<') {
        return Ok(Some(trim(name)));
    }
    let odd = *scanner;
    scanner.take_while(|byte| !matches!(byte, b'<' | b';' | b'"' | b'?'));
    if scanner.peek() == Some(b'<') {
        return Err(odd.error("a token or a quoted string as display name"));
    }
    *scanner = begin;
    Ok(None)
}

/// A scheme, a colon, something behind it, and no white space or control octets; of the first `plain` bytes it is known
/// that there is none.
fn check_uri(uri: &[u8], plain: usize, offset: usize) -> Result<(), SyntaxError> {
    let mut scanner = Scanner::new(uri);
    let scheme = scanner.take_class(&SCHEME);
    if !scheme.first().is_some_and(u8::is_ascii_alphabetic) || !scanner.eat(b':') || scanner.at_end() {
        return Err(SyntaxError { expected: "a URI", offset });
    }
    scanner.seek(plain.max(scanner.position()));
    scanner.take_class(&URI);
    if scanner.at_end() {
        Ok(())
    } else {
        let offset = offset + scanner.position();
        Err(SyntaxError { expected: "a URI without white space", offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MSG-09
    #[test]
    fn without_brackets_parameters_belong_to_the_header() {
        let plain = NameAddr::parse(b"sip:a@h;expires=5").unwrap();
        assert_eq!(plain.uri, b"sip:a@h");
        assert_eq!(plain.param("expires"), Some("5"));

        let bracketed = NameAddr::parse(b"<sip:a@h;expires=5>;q=0.1").unwrap();
        assert_eq!(bracketed.uri, b"sip:a@h;expires=5");
        assert_eq!(bracketed.param("expires"), None);
        assert_eq!(bracketed.param("Q"), Some("0.1"));
    }

    /// MSG-09
    #[test]
    fn a_question_mark_or_comma_needs_brackets() {
        assert!(NameAddr::parse(b"sip:a@h?x=y").is_err());
        assert!(NameAddr::parse(b"sip:a,b@h").is_err());
        assert!(NameAddr::parse(b"<sip:a,b@h?x=y>").is_ok());
    }

    /// MSG-04, MSG-06
    #[test]
    fn display_names_keep_their_bytes() {
        let quoted = NameAddr::parse(b"\"J \\\"R\\\" <x>\"\r\n  <sip:a@h> ; tag = 1 ; weird").unwrap();
        assert_eq!(quoted.display_name().as_ref(), b"J \"R\" <x>");
        assert_eq!(quoted.tag(), Some("1"));
        assert_eq!(quoted.param("weird"), Some(""));

        let latin = NameAddr::parse(b"J\xf6rg Doe <sip:a@h>").unwrap();
        assert_eq!(latin.display, b"J\xf6rg Doe");
    }

    /// MSG-04, MSG-09
    #[test]
    fn a_printed_value_is_one_line_in_brackets() {
        let mut out = Vec::new();
        NameAddr::parse(b"\"A\r\n B\"<sip:a@h> ; tag = 1").unwrap().print(&mut out);
        out.push(b'\n');
        NameAddr::parse(b"sip:a@h;expires=5").unwrap().print(&mut out);
        assert_eq!(out, b"\"A   B\" <sip:a@h>;tag=1\n<sip:a@h>;expires=5");
    }

    /// MSG-09
    #[test]
    fn what_was_read_before_is_read_again_as_it_was() {
        for value in [
            &b"<sip:a@h>"[..],
            b"<sip:a@h;x=1?y=z>;tag=1",
            b"<sip:a@h> ; x ; Tag = 1;tag=2",
            b"<sip:a@h>;x=\"<;tag=0>\";tag=1",
            b"\"A <b>\" <sip:a@h>;tag=1",
            b"A B<sip:a@h>",
            b"sip:a@h;tag=1",
        ] {
            let (read, again) = (NameAddr::parse(value).unwrap(), NameAddr::checked(value).unwrap());
            assert_eq!((read.uri, read.tag(), read.display), (again.uri, again.tag(), again.display));
            assert_eq!(read.param("x"), again.param("x"), "{}", String::from_utf8_lossy(value));
        }
    }

    /// MSG-09: what is read the short way is what the grammar says, for every octet anywhere in it.
    #[test]
    fn an_address_of_the_usual_form_is_read_as_any_other() {
        // With a blank in front it goes the long way.
        let long = |value: &[u8]| [b" ", value].concat();
        for text in [
            &b"<sip:a@h>"[..],
            b"<sips:a@h;x=1?y=z>;tag=1",
            b"<sip:a@h>;tag=",
            b"<sip:>",
            b"<sip:a@h>;tag=1;x",
        ] {
            for at in 0..=text.len() {
                for octet in 0..=255_u8 {
                    let mut value = text.to_vec();
                    match value.get_mut(at) {
                        Some(place) => *place = octet,
                        None => value.push(octet),
                    }
                    let other = long(&value);
                    let (short, other) = (NameAddr::parse(&value), NameAddr::parse(&other));
                    let what = |read: NameAddr<'_>| {
                        let texts = [read.display, read.uri, read.params.raw()].map(<[u8]>::to_vec);
                        (texts, read.bracketed, read.tag().map(str::to_owned))
                    };
                    let shown = String::from_utf8_lossy(&value);
                    assert_eq!(short.map(what).ok(), other.map(what).ok(), "{shown}");
                }
            }
        }
    }

    #[test]
    fn broken_addresses_are_refused() {
        for bad in [
            &b"\"Mr. Watson <sip:w@h>"[..],
            b"Bell, A. G. <sip:a@h>",
            b"< sip:a@h>",
            b"<sip:a@h",
            b"alice@h",
            b"<sip:a@h>;tag=\"x\"",
            b"<sip:a@h>;;tag=x",
            b"<sip:a@h> x",
            b"",
        ] {
            assert!(NameAddr::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
