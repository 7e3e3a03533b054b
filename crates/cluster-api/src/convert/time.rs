//! Times and durations.

use std::time::{Duration, SystemTime};

use super::fault::{Fault, FaultKind};

/// A time for the wire.
pub fn timestamp(time: SystemTime) -> prost_types::Timestamp {
    time.into()
}

/// A time from the wire.
///
/// # Errors
/// When it is no time that this machine can represent.
pub fn system_time(field: &str, time: prost_types::Timestamp) -> Result<SystemTime, Fault> {
    // The limits of google.protobuf.Timestamp.
    let valid = (-62_135_596_800..=253_402_300_799).contains(&time.seconds)
        && (0..1_000_000_000).contains(&time.nanos);
    let converted = if valid { SystemTime::try_from(time).ok() } else { None };
    converted.ok_or_else(|| Fault::new(FaultKind::Field, field, "a time between the years 1 and 9999"))
}

/// A duration for the wire; one of more than 10,000 years is sent as that.
pub fn proto_duration(time: Duration) -> prost_types::Duration {
    const LONGEST: Duration = Duration::from_secs(315_576_000_000);
    let time = time.min(LONGEST);
    // Both fit: the seconds by the limit above, the nanoseconds because they are below 10^9.
    prost_types::Duration { seconds: time.as_secs() as i64, nanos: time.subsec_nanos() as i32 }
}

/// A duration from the wire.
///
/// # Errors
/// When it is negative or malformed.
pub fn duration(field: &str, time: prost_types::Duration) -> Result<Duration, Fault> {
    let converted = match (u64::try_from(time.seconds), u32::try_from(time.nanos)) {
        (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => Some(Duration::new(seconds, nanos)),
        _ => None,
    };
    let expected = "a duration: seconds from 0 and nanos from 0 to 999,999,999";
    converted.ok_or_else(|| Fault::new(FaultKind::Field, field, expected))
}

/// A duration that may be absent, and is within limits when it is there.
///
/// # Errors
/// When it is outside of `limits`.
pub fn optional_duration(
    field: &str,
    time: Option<prost_types::Duration>,
    limits: std::ops::RangeInclusive<Duration>,
) -> Result<Option<Duration>, Fault> {
    let Some(time) = time else { return Ok(None) };
    let time = duration(field, time)?;
    if limits.contains(&time) {
        return Ok(Some(time));
    }
    // Duration's own text of nothing is "0ns", which looks like a wrong unit
    let found = if time.is_zero() { "0s".to_owned() } else { format!("{time:?}") };
    let expected = format!("between {:?} and {:?}, not {found}", limits.start(), limits.end());
    Err(Fault::new(FaultKind::Field, field, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations_come_back_as_they_went() {
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
        assert_eq!(system_time("t", timestamp(time)), Ok(time));
        let span = Duration::new(5, 250_000_000);
        assert_eq!(duration("d", proto_duration(span)), Ok(span));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000)] {
            let fault =
                duration("ring_timeout", prost_types::Duration { seconds, nanos }).expect_err("malformed");
            let expected = "ring_timeout: a duration: seconds from 0 and nanos from 0 to 999,999,999";
            assert_eq!(fault.to_string(), expected);
        }
        assert!(system_time("t", prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }).is_err());
        assert!(system_time("t", prost_types::Timestamp { seconds: 0, nanos: -1 }).is_err());
    }

    #[test]
    fn an_endless_duration_is_cut_to_what_the_wire_can_carry() {
        assert_eq!(proto_duration(Duration::MAX).seconds, 315_576_000_000);
    }

    #[test]
    fn a_duration_outside_of_its_limits_is_refused_with_them() {
        let limits = Duration::from_secs(1)..=Duration::from_secs(600);
        let of = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        assert_eq!(optional_duration("after", None, limits.clone()), Ok(None));
        assert_eq!(optional_duration("after", of(20), limits.clone()), Ok(Some(Duration::from_secs(20))));
        let fault = optional_duration("after", of(0), limits).expect_err("too short");
        assert_eq!(fault.to_string(), "after: between 1s and 600s, not 0s");
    }
}
