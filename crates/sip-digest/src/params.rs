//! `Digest name=value, name="value"`: the small grammar that challenges and credentials share (RFC 3261 25.1).

use std::borrow::Cow;

const MAX_OCTETS: usize = 4 * 1024;

/// A value without its quotes.
pub(crate) type Text<'a> = Cow<'a, [u8]>;

/// Calls `each` with name and value of every parameter of a Digest header. `None` when the scheme is another one, or the
/// grammar is broken, or `each` says so.
pub(crate) fn read<'a>(
    value: &'a [u8],
    mut each: impl FnMut(&'a [u8], Text<'a>) -> Option<()>,
) -> Option<()> {
    if value.len() > MAX_OCTETS {
        return None;
    }
    let value = value.trim_ascii();
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"Digest") || !rest.first().is_some_and(u8::is_ascii_whitespace) {
        return None;
    }
    let mut rest = rest.trim_ascii_start();
    loop {
        let end = rest.iter().position(|octet| !is_token(*octet))?;
        let (name, after) = rest.split_at(end);
        let after = after.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
        let (value, after) = match after.strip_prefix(b"\"") {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = after.iter().position(|octet| !is_token(*octet)).unwrap_or(after.len());
                (Cow::Borrowed(&after[..end]), &after[end..])
            }
        };
        if name.is_empty() {
            return None;
        }
        each(name, value)?;
        rest = after.trim_ascii_start();
        if rest.is_empty() {
            return Some(());
        }
        rest = rest.strip_prefix(b",")?.trim_ascii_start();
        if rest.is_empty() {
            return Some(());
        }
    }
}

/// Puts `value` into `place`, once.
pub(crate) fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.is_none().then(|| *place = Some(value))
}

/// Appends `, name=value`; without the comma after the scheme.
pub(crate) fn push(out: &mut Vec<u8>, name: &str, value: &[u8], is_quoted: bool) {
    out.extend_from_slice(if out.ends_with(b"Digest") { b" " } else { b", " });
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    if !is_quoted {
        out.extend_from_slice(value);
        return;
    }
    out.push(b'"');
    if value.iter().all(|&octet| PLAIN[usize::from(octet)]) {
        out.extend_from_slice(value);
        return out.push(b'"');
    }
    // a line end could not leave this place and still be inside the header
    for &octet in value.iter().filter(|octet| !octet.is_ascii_control()) {
        if matches!(octet, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(octet);
    }
    out.push(b'"');
}

fn unquote(quoted: &[u8]) -> Option<(Text<'_>, &[u8])> {
    let end = quoted.iter().position(|&octet| !PLAIN[usize::from(octet)])?;
    match quoted[end] {
        b'"' => return Some((Cow::Borrowed(&quoted[..end]), &quoted[end + 1..])),
        b'\\' => {}
        _ => return None,
    }
    let mut value = Vec::new();
    let mut at = 0;
    loop {
        match *quoted.get(at)? {
            b'"' => return Some((Cow::Owned(value), &quoted[at + 1..])),
            b'\\' => {
                at += 1;
                value.push(*quoted.get(at)?);
            }
            octet => value.push(octet),
        }
        if value.last().is_some_and(u8::is_ascii_control) {
            return None;
        }
        at += 1;
    }
}

/// What stands inside quotes as it is: all but control characters, quotes and backslashes.
const PLAIN: [bool; 256] = {
    let mut table = [true; 256];
    let mut octet = 0;
    while octet < table.len() {
        table[octet] = !(octet as u8).is_ascii_control();
        octet += 1;
    }
    table[b'"' as usize] = false;
    table[b'\\' as usize] = false;
    table
};

/// What a token is made of. RFC 3261 25.1
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut octet = 0;
    while octet < table.len() {
        table[octet] = matches!(octet as u8, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'!')
            || matches!(octet as u8, b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        octet += 1;
    }
    table
};

fn is_token(octet: u8) -> bool {
    TOKEN[usize::from(octet)]
}
