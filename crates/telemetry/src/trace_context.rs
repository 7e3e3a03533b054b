//! W3C Trace Context, as far as Carillon carries it: the `traceparent` value, version 00.

use std::{fmt, str::FromStr};

/// Which trace a piece of work belongs to, and under which span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; never zero.
    pub trace_id: u128,
    /// The span that caused the work; never zero.
    pub span_id: u64,
    /// Whether the trace is recorded.
    pub sampled: bool,
}

/// The text is no usable `traceparent`; a new trace is begun instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent of version 00")]
pub struct NotATraceParent;

impl TraceContext {
    /// The same trace under another span.
    pub fn child(self, span_id: u64) -> Self {
        Self { span_id: span_id.max(1), ..self }
    }

    /// The trace id as 32 hexadecimal digits, for log lines.
    pub fn trace(&self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

impl FromStr for TraceContext {
    type Err = NotATraceParent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('-').collect();
        let [version, trace, span, flags, ..] = parts[..] else { return Err(NotATraceParent) };
        // A later version may append parts; version ff is forbidden (Trace Context 3.2.2.1).
        let version = hexadecimal(version, 2)?;
        if version == 0xff || (version == 0 && parts.len() != 4) {
            return Err(NotATraceParent);
        }
        let trace_id = hexadecimal(trace, 32)?;
        let span_id = u64::try_from(hexadecimal(span, 16)?).map_err(|_| NotATraceParent)?;
        if trace_id == 0 || span_id == 0 {
            return Err(NotATraceParent);
        }
        Ok(Self { trace_id, span_id, sampled: hexadecimal(flags, 2)? & 1 == 1 })
    }
}

/// Lower-case hexadecimal digits of exactly this number.
fn hexadecimal(text: &str, digits: usize) -> Result<u128, NotATraceParent> {
    let valid = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if valid { u128::from_str_radix(text, 16).map_err(|_| NotATraceParent) } else { Err(NotATraceParent) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_printed_unchanged() {
        let context: TraceContext = EXAMPLE.parse().expect("the example of the recommendation");
        assert!(context.sampled);
        assert_eq!(context.trace(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.to_string(), EXAMPLE);
        assert_eq!(context.child(1).to_string(), "00-0af7651916cd43dd8448eb211c80319c-0000000000000001-01");
    }

    #[test]
    fn a_later_version_may_append_parts_but_this_one_may_not() {
        assert!(EXAMPLE.replacen("00", "01", 1).parse::<TraceContext>().is_ok());
        assert!(format!("{}-x", EXAMPLE.replacen("00", "01", 1)).parse::<TraceContext>().is_ok());
        assert!(format!("{EXAMPLE}-x").parse::<TraceContext>().is_err());
    }

    #[test]
    fn hostile_values_are_refused() {
        for bad in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(bad.parse::<TraceContext>(), Err(NotATraceParent), "{bad}");
        }
    }
}
