//! Flags of `carillon mwi …`.

use clap::{ArgGroup, Args, Subcommand};

use super::{AccountNameArgs, ApiArgs};

/// Mailbox commands.
#[derive(Debug, Subcommand)]
pub enum MwiCommand {
    /// Say what waits; it replaces what was said before
    Set(MwiSetArgs),
    /// Show what waits
    Show(AccountNameArgs),
}

/// Flags of `mwi set`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true)
    .args(["waiting", "voice", "fax", "pager", "multimedia", "text"]))]
pub struct MwiSetArgs {
    /// Address of record
    pub aor: String,
    /// Whether the lamp is on [default: when a new message is counted]
    #[arg(long, value_name = "true|false")]
    pub waiting: Option<bool>,
    /// URI to call for listening
    #[arg(long, value_name = "URI", default_value = "")]
    pub account: String,
    /// Voice messages, new and old, and how many of them are urgent
    #[arg(long, value_name = "NEW/OLD[(NEW/OLD)]", value_parser = counts)]
    pub voice: Option<Counts>,
    /// Fax messages
    #[arg(long, value_name = "NEW/OLD[(NEW/OLD)]", value_parser = counts)]
    pub fax: Option<Counts>,
    /// Pager messages
    #[arg(long, value_name = "NEW/OLD[(NEW/OLD)]", value_parser = counts)]
    pub pager: Option<Counts>,
    /// Multimedia messages
    #[arg(long, value_name = "NEW/OLD[(NEW/OLD)]", value_parser = counts)]
    pub multimedia: Option<Counts>,
    /// Text messages
    #[arg(long, value_name = "NEW/OLD[(NEW/OLD)]", value_parser = counts)]
    pub text: Option<Counts>,
    #[command(flatten)]
    pub api: ApiArgs,
}

/// How many messages of one class wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// New and old ones.
    pub all: (u32, u32),
    /// Urgent ones among them.
    pub urgent: (u32, u32),
}

/// Reads `2/8` or `2/8(1/0)`, as RFC 3842 writes it.
fn counts(text: &str) -> Result<Counts, String> {
    let expected = || "expected NEW/OLD or NEW/OLD(URGENT_NEW/URGENT_OLD), for example 2/8".to_owned();
    let pair = |text: &str| {
        let (new, old) = text.trim().split_once('/')?;
        Some((new.trim().parse().ok()?, old.trim().parse().ok()?))
    };
    let (all, urgent) = match text.split_once('(') {
        None => (pair(text), Some((0, 0))),
        Some((all, urgent)) => (pair(all), urgent.trim().strip_suffix(')').and_then(pair)),
    };
    Ok(Counts { all: all.ok_or_else(expected)?, urgent: urgent.ok_or_else(expected)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_as_the_standard_writes_them() {
        assert_eq!(counts("2/8"), Ok(Counts { all: (2, 8), urgent: (0, 0) }));
        assert_eq!(counts("2/8 (1/0)"), Ok(Counts { all: (2, 8), urgent: (1, 0) }));
        for bad in ["2", "2/", "2/8(", "2/8(1)", "-1/0", "2/8/9", "4294967296/0"] {
            assert!(counts(bad).is_err(), "{bad}");
        }
    }
}
