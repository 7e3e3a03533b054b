//! No field of an event is longer than a reader needs: what outsiders send must not fill the log.

use std::fmt::{self, Write as _};

use serde_json::Value;
use tracing::field::Field;
use tracing_subscriber::fmt::format::Writer;

/// Octets of one field that are written; the number of all of them follows when there were more.
pub(super) const LONGEST: usize = 512;

/// Writes one field as text: the message as it is, others as `name=value`.
pub(super) fn text_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let mut capped = Capped::default();
    match field.name() {
        // What the `log` crate's bridge adds is in the event itself.
        name if name.starts_with("log.") => return Ok(()),
        "message" => write!(capped, "{value:?}")?,
        name => {
            write!(writer, "{}=", name.trim_start_matches("r#"))?;
            write!(capped, "{value:?}")?;
        }
    }
    writer.write_str(&capped.finish())
}

/// The line of a JSON event with its long strings cut; lines that cannot hold one are not looked at.
pub(super) fn json_line(line: &str) -> Option<String> {
    if line.len() <= LONGEST {
        return None;
    }
    let mut event = serde_json::from_str(line).ok()?;
    cut(&mut event).map(|()| event.to_string())
}

/// Cuts every long string in it; something when there was one.
fn cut(value: &mut Value) -> Option<()> {
    match value {
        Value::String(text) if text.len() > LONGEST => {
            let mut capped = Capped::default();
            // Never fails: it takes everything and keeps what fits.
            let _ = capped.write_str(text);
            *text = capped.finish();
            Some(())
        }
        Value::Array(values) => values.iter_mut().filter_map(cut).last(),
        Value::Object(fields) => fields.values_mut().filter_map(cut).last(),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Takes everything and keeps its beginning.
#[derive(Default)]
struct Capped {
    kept: String,
    octets: usize,
}

impl Capped {
    fn finish(mut self) -> String {
        if self.octets > self.kept.len() {
            // Writing to a String cannot fail.
            let _ = write!(self.kept, "… ({} octets)", self.octets);
        }
        self.kept
    }
}

impl fmt::Write for Capped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Once something was left out, nothing behind it is taken.
        let whole = self.octets == self.kept.len();
        self.octets += text.len();
        if whole {
            let room = text.floor_char_boundary(LONGEST - self.kept.len());
            self.kept.push_str(&text[..room]);
        }
        Ok(())
    }
}
