//! Standard output of the commands: a reader that went away or a full disk is an error like others, not a panic, and nothing that a
//! phone or a server said commands the terminal.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};

use telemetry::logs::escaped;

/// What a process that SIGPIPE ends leaves behind: 128 and the number of the signal. Shells and their users know it.
pub const READER_WENT_AWAY: u8 = 141;

/// Standard output did not take what was written.
#[derive(Debug, thiserror::Error)]
#[error("standard output")]
pub struct OutputError(#[from] io::Error);

impl OutputError {
    /// Whether the reader simply has enough, as `head` has: then there is nobody to tell anything.
    pub fn is_reader_gone(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// The text as a terminal may have it: line ends and tabs, which are ours, and no other character that commands it. What came from outside
/// in one line passes [`shown`] on its way into the text.
fn harmless(text: &str) -> Cow<'_, str> {
    if text.split(['\n', '\t']).all(|part| matches!(escaped(part), Cow::Borrowed(_))) {
        return Cow::Borrowed(text);
    }
    let pieces = text.split_inclusive(['\n', '\t']).map(|piece| match piece.strip_suffix(['\n', '\t']) {
        Some(part) => format!("{}{}", escaped(part), &piece[part.len()..]),
        None => escaped(piece).into_owned(),
    });
    Cow::Owned(pieces.collect())
}

/// A text from outside as part of a line: it cannot begin another one either.
pub fn shown(text: &str) -> String {
    escaped(text).into_owned()
}

/// Writes one line and hands it on at once, so that a reader sees it and an error is noticed here.
///
/// # Errors
/// When the reader went away or there is no room.
pub fn line(text: fmt::Arguments<'_>) -> Result<(), OutputError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", harmless(&text.to_string()))?;
    Ok(out.flush()?)
}

/// Writes one line to standard error; when that is closed or full too, there is nobody left to tell.
pub fn on_stderr(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{}", harmless(&text.to_string()));
}

/// `println!` with an error instead of a panic.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::out::line(format_args!($($text)*))
    };
}

/// `eprintln!` without a panic.
macro_rules! complain {
    ($($text:tt)*) => {
        $crate::out::on_stderr(format_args!($($text)*))
    };
}

pub(crate) use {complain, say};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_our_lines_and_no_commands() {
        assert_eq!(harmless("a\tb\nGrüße"), "a\tb\nGrüße");
        assert_eq!(harmless("x\u{1b}[31mRED\u{7}\n\ty\u{9b}2J"), "x\\u001b[31mRED\\u0007\n\ty\\u009b2J");
        assert_eq!(shown("a\nb\u{1b}"), "a\\u000ab\\u001b");
    }
}
