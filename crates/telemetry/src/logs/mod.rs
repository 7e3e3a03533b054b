//! Log output: one event is one line, nothing in it can break out of the line, and a blocked reader blocks nobody.

mod cap;
mod escape;
mod queue;

use tracing::{Subscriber, subscriber::set_global_default};
use tracing_subscriber::{
    EnvFilter,
    field::MakeExt,
    fmt::{MakeWriter, format::debug_fn},
};

pub use escape::escaped;
pub use queue::LogQueue;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// Settings of the log output.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How a line looks; text, because a newcomer reads it.
    pub format: Format,
    /// What is logged, in the words of `tracing`'s filter: `info`, or `warn,edge=debug`.
    pub filter: String,
    /// Lines that wait for a slow reader before further ones are dropped and counted. 8,192 lines are about 2 MB.
    pub queue: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { format: Format::Text, filter: "info".to_owned(), queue: 8192 }
    }
}

impl Config {
    /// Whether logging can start so.
    ///
    /// # Errors
    /// When the filter is bad.
    pub fn check(&self) -> Result<(), LogError> {
        self.filter().map(drop)
    }

    fn filter(&self) -> Result<EnvFilter, LogError> {
        EnvFilter::try_new(&self.filter)
            .map_err(|cause| LogError::BadFilter { filter: self.filter.clone(), cause })
    }
}

/// Why logging did not start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one.
    #[error("log filter {filter:?}: {cause}")]
    BadFilter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        cause: tracing_subscriber::filter::ParseError,
    },
    /// The thread that writes could not be started.
    #[error("the log writer does not start: {0}")]
    NoWriter(#[from] std::io::Error),
    /// Logging was started before.
    #[error("logging was started before")]
    AlreadyStarted,
}

/// Starts logging to standard error for the whole process. Keep the result: dropping it writes what waits.
///
/// # Errors
/// When the filter is bad, the writer thread does not start, or logging was started before.
pub fn init(config: &Config) -> Result<LogQueue, LogError> {
    let queue = LogQueue::start(std::io::stderr(), config.queue)?;
    let subscriber = subscriber(config, queue.writer())?;
    set_global_default(subscriber).map_err(|_| LogError::AlreadyStarted)?;
    Ok(queue)
}

/// The subscriber that formats events and hands each line to `writer`.
fn subscriber<W>(config: &Config, writer: W) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = config.filter()?;
    // No colours: the escaping below would show them as text.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(escape::Escaping { writer, format: config.format });
    Ok(match config.format {
        Format::Text => Box::new(builder.fmt_fields(debug_fn(cap::text_field).delimited(" ")).finish()),
        Format::Json => Box::new(builder.json().flatten_event(true).finish()),
    })
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use parking_lot::Mutex;

    use super::*;

    /// T21: one event is one line.
    #[test]
    fn a_hostile_value_stays_inside_its_line() {
        let hostile = "x\r\n2026 ERROR forged\u{1b}[2J\u{202e}\u{85}end";
        for format in [Format::Text, Format::Json] {
            let written = logged(format, || tracing::info!(from = hostile, "call refused: {hostile}"));
            assert_eq!(written.matches('\n').count(), 1, "{written}");
            let line = written.trim_end_matches('\n');
            assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{written:?}");
            assert!(written.contains("forged"), "{written}");
        }
    }

    #[test]
    fn json_lines_are_valid_and_carry_fields_and_spans() {
        let written = logged(Format::Json, || {
            let span = tracing::info_span!("call", call_id = "c1");
            span.in_scope(|| tracing::warn!(status = 486, text = "a\u{202e}b\u{7}c", "busy"));
        });
        let line: serde_json::Value = serde_json::from_str(&written).expect("a JSON object");
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["status"], 486);
        assert_eq!(line["text"], "a\u{202e}b\u{7}c");
        assert_eq!(line["span"]["call_id"], "c1");
    }

    /// T21: fields are capped at 512 octets, at whole characters.
    #[test]
    fn a_long_value_is_cut_and_its_length_told() {
        let long = "ü".repeat(5000);
        // JSON shows the innermost span once by itself and once in the list.
        for (format, fields) in [(Format::Text, 3), (Format::Json, 4)] {
            let written = logged(format, || {
                let span = tracing::info_span!("call", from = %long);
                span.in_scope(|| tracing::info!(call_id = "c1", text = %long, "{long}"));
            });
            assert!(written.split(|c| c != 'ü').all(|run| run.len() <= cap::LONGEST), "{written}");
            assert_eq!(written.matches("octets)").count(), fields, "{written}");
            assert!(written.contains("c1"), "{written}");
            assert_eq!(written.matches('\n').count(), 1, "{written}");
        }
    }

    #[test]
    fn the_filter_decides_and_a_bad_one_is_named() {
        let config = Config { filter: "warn".into(), ..Config::default() };
        assert_eq!(logged_with(&config, || tracing::info!("quiet")), "");
        let bad = Config { filter: "warn,=,=".into(), ..Config::default() };
        let error = subscriber(&bad, io::stderr).err().expect("a bad filter is refused");
        assert!(error.to_string().contains("warn,=,="), "{error}");
    }

    fn logged(format: Format, work: impl FnOnce()) -> String {
        logged_with(&Config { format, ..Config::default() }, work)
    }

    fn logged_with(config: &Config, work: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        let subscriber = subscriber(config, move || writer.clone()).expect("the filter is good");
        tracing::subscriber::with_default(subscriber, work);
        let octets = page.0.lock().clone();
        String::from_utf8(octets).expect("log lines are UTF-8")
    }

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
