//! How long a contact is bound (RFC 3261 10.3 step 7, RFC 3665 2.2).

use sip_message::Scheme;

use super::{Policy, Refusal};

/// The time granted to one contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Granted {
    /// The contact is removed.
    Nothing,
    /// It is bound for so many seconds.
    Seconds(u32),
}

/// Below this a request may be refused as too brief; from here on it may only be shortened. RFC 3261 10.3 step 7
const HOUR: u32 = 3_600;

/// What is granted to a contact of `scheme` that asks for `asked` seconds.
pub(super) fn granted(scheme: Scheme<'_>, asked: Option<u32>, policy: Policy) -> Result<Granted, Refusal> {
    let seconds = |time: std::time::Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    let is_sip = matches!(scheme, Scheme::Sip | Scheme::Sips);
    let default = if is_sip { seconds(policy.default_expires) } else { u32::MAX };
    let least = seconds(policy.min_expires);
    match asked.unwrap_or(default) {
        0 => Ok(Granted::Nothing),
        brief if asked.is_some() && brief < HOUR && brief < least => Err(Refusal::TooBrief(least)),
        // only what is dialled is kept alive by refreshes; the rest stays as long as it likes
        long if is_sip => Ok(Granted::Seconds(long.min(seconds(policy.max_expires)))),
        long => Ok(Granted::Seconds(long)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn grant(scheme: Scheme<'_>, asked: Option<u32>, min: u64) -> Result<Granted, Refusal> {
        let policy = Policy {
            default_expires: Duration::from_secs(3_600),
            min_expires: Duration::from_secs(min),
            max_expires: Duration::from_secs(7_200),
            max_bindings: 10,
        };
        granted(scheme, asked, policy)
    }

    /// REG-05: the default depends on the scheme.
    #[test]
    fn the_default_depends_on_the_scheme() {
        assert_eq!(grant(Scheme::Sip, None, 60), Ok(Granted::Seconds(3_600)));
        assert_eq!(grant(Scheme::Sips, None, 60), Ok(Granted::Seconds(3_600)));
        assert_eq!(grant(Scheme::Other("mailto"), None, 60), Ok(Granted::Seconds(u32::MAX)));
        assert_eq!(grant(Scheme::Other("mailto"), Some(0), 60), Ok(Granted::Nothing));
    }

    /// REG-06: too brief only below an hour and below the minimum; never lengthened, sometimes shortened.
    #[test]
    fn times_are_shortened_or_refused_but_never_lengthened() {
        assert_eq!(grant(Scheme::Sip, Some(10), 60), Err(Refusal::TooBrief(60)));
        assert_eq!(grant(Scheme::Sip, Some(60), 60), Ok(Granted::Seconds(60)));
        assert_eq!(grant(Scheme::Sip, Some(3_599), 7_200), Err(Refusal::TooBrief(7_200)));
        assert_eq!(grant(Scheme::Sip, Some(3_600), 7_200), Ok(Granted::Seconds(3_600)));
        assert_eq!(grant(Scheme::Sip, Some(3_601), 7_200), Ok(Granted::Seconds(3_601)));
        assert_eq!(grant(Scheme::Sip, Some(u32::MAX), 60), Ok(Granted::Seconds(7_200)));
        assert_eq!(grant(Scheme::Sip, Some(0), 60), Ok(Granted::Nothing));
    }
}
