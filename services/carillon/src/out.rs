//! Standard output of the commands: a reader that went away or a full disk is an error like others, not a panic.

use std::fmt;
use std::io::{self, Write};

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

/// Writes one line and hands it on at once, so that a reader sees it and an error is noticed here.
///
/// # Errors
/// When the reader went away or there is no room.
pub fn line(text: fmt::Arguments<'_>) -> Result<(), OutputError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Writes one line to standard error; when that is closed or full too, there is nobody left to tell.
pub fn on_stderr(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{text}");
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
