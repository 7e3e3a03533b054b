//! Escaping at the border: control characters and marks that reorder text leave as `\u` and four digits, in text and in JSON alike.

use std::{borrow::Cow, fmt::Write as _, io};

use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use super::{Format, cap};

/// Wraps a writer so that each event leaves as exactly one line.
pub(super) struct Escaping<W> {
    pub(super) writer: W,
    pub(super) format: Format,
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Escaping<W> {
    type Writer = Line<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { writer: self.writer.make_writer(), format: self.format }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        Line { writer: self.writer.make_writer_for(metadata), format: self.format }
    }
}

/// The writer of one event; the formatter writes the whole event at once, with a line feed at its end.
pub(super) struct Line<W> {
    writer: W,
    format: Format,
}

impl<W: io::Write> io::Write for Line<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(octets);
        let (event, end) = text.strip_suffix('\n').map_or((&*text, ""), |event| (event, "\n"));
        // Text was cut field by field as it was written; JSON is made by others and cut here.
        let cut = if self.format == Format::Json { cap::json_line(event) } else { None };
        match (escaped(cut.as_deref().unwrap_or(event)), &cut) {
            (Cow::Borrowed(_), None) => self.writer.write_all(octets)?,
            (line, _) => {
                let mut line = line.into_owned();
                line.push_str(end);
                self.writer.write_all(line.as_bytes())?;
            }
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// The text without characters that move the cursor, end the line or reorder what is shown: for logs, and for whatever else shows text
/// from outside on a terminal.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_dangerous) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_dangerous(character) {
            // Every dangerous character lies below U+10000, so that four digits are enough. Writing to a String cannot fail.
            let _ = write!(safe, "\\u{:04x}", u32::from(character));
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

fn is_dangerous(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_text_is_not_copied() {
        assert!(matches!(escaped("Grüße, 世界"), Cow::Borrowed(_)));
    }

    #[test]
    fn dangerous_characters_are_shown_as_numbers() {
        assert_eq!(escaped("a\nb\u{1b}[m\u{2066}\u{9b}\u{7f}"), "a\\u000ab\\u001b[m\\u2066\\u009b\\u007f");
    }
}
