//! `Event`: the package that a subscription is about. RFC 6665 8.2.1

use super::Params;
use crate::error::SyntaxError;
use crate::grammar::Scanner;

/// An Event value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The package with its templates, such as `presence` or `presence.winfo`; case counts.
    pub package: &'a str,
    /// The `id` parameter; case counts.
    pub id: Option<&'a str>,
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> Event<'a> {
    /// Reads a value.
    ///
    /// # Errors
    /// When it is not a package name with parameters.
    pub fn parse(value: &'a [u8]) -> Result<Event<'a>, SyntaxError> {
        let mut scanner = Scanner::new(value);
        scanner.skip_lws();
        let package = scanner.token("an event package")?;
        let params = Params::scan(&mut scanner)?;
        scanner.finish("\";\" or the end")?;
        Ok(Event { package, id: params.text("id"), params })
    }

    /// Do both name the same package and id? Other parameters do not count. RFC 6665 8.2.1
    pub fn matches(&self, other: &Event<'_>) -> bool {
        self.package == other.package && self.id == other.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_and_id_decide_about_a_match() {
        let event = |text: &'static str| Event::parse(text.as_bytes()).unwrap();
        assert!(event("dialog;id=1;x=2").matches(&event(" dialog ; ID=1")));
        assert!(!event("dialog;id=1").matches(&event("dialog")));
        assert!(!event("dialog").matches(&event("Dialog")));
        assert!(!event("presence").matches(&event("presence.winfo")));
    }

    #[test]
    fn garbage_is_refused() {
        for bad in [&b""[..], b";id=1", b"a b", b"a;;"] {
            assert!(Event::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
