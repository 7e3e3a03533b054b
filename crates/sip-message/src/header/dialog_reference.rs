//! A Call-ID with two tags: the common form of Replaces, Join and Target-Dialog.

use super::Params;
use crate::error::SyntaxError;
use crate::grammar::{Scanner, is_lws, is_token};

/// Reads `callid;one=tag;two=tag`. Each tag must be there exactly once.
pub(crate) fn scan<'a>(
    value: &'a [u8],
    names: [&str; 2],
) -> Result<(&'a [u8], [&'a str; 2], Params<'a>), SyntaxError> {
    let mut scanner = Scanner::new(value);
    scanner.skip_lws();
    let call_id =
        scanner.take_while(|byte| !is_lws(byte) && byte > b' ' && !matches!(byte, b';' | b',' | 0x7f));
    if call_id.is_empty() {
        return Err(scanner.error("a Call-ID"));
    }
    let at = scanner.position();
    let params = Params::scan(&mut scanner)?;
    scanner.finish("\";\" or the end")?;
    let tag = |name: &str| {
        let mut found = params.iter().filter(|param| param.name.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (Some(param), None) => param
                .value
                .filter(|tag| is_token(tag))
                .and_then(|tag| std::str::from_utf8(tag).ok())
                .ok_or(SyntaxError { expected: "a token as tag", offset: at }),
            (None, _) => Err(SyntaxError { expected: "both tags", offset: at }),
            (Some(_), Some(_)) => Err(SyntaxError { expected: "each tag once", offset: at }),
        }
    };
    Ok((call_id, [tag(names[0])?, tag(names[1])?], params))
}
