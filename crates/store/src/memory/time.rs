//! Times in eight octets.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Later than any time.
pub(super) const NEVER: u64 = u64::MAX;

/// Nanoseconds since 1970; reaches the year 2554, and stays there.
pub(super) fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(NEVER).min(NEVER - 1)
}

pub(super) fn time(nanos: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanos)
}
