//! `Date`: always in GMT. RFC 3261 20.17

use std::fmt;

use crate::error::SyntaxError;
use crate::grammar::Scanner;

/// A point in time, in whole seconds since 1970-01-01 00:00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Date {
    /// Seconds since the epoch; dates before it are negative.
    pub unix_seconds: i64,
}

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Date {
    /// Reads a value. The name of the day must be one, but is not checked against the date.
    ///
    /// # Errors
    /// When it is not an RFC 1123 date, not GMT, or not a day of the calendar.
    pub fn parse(value: &[u8]) -> Result<Date, SyntaxError> {
        let mut scanner = Scanner::new(value);
        scanner.skip_lws();
        let day_name = scanner.token("the name of a day")?;
        if !DAYS.iter().any(|day| day.eq_ignore_ascii_case(day_name)) {
            return Err(SyntaxError { expected: "the name of a day", offset: 0 });
        }
        expect(&mut scanner, b',', "\",\" after the day")?;
        scanner.skip_lws();
        let day = digits(&mut scanner, 2, "a day of two digits")?;
        scanner.skip_lws();
        let month_at = scanner.position();
        let month_name = scanner.token("the name of a month")?;
        let month = MONTHS
            .iter()
            .position(|month| month.eq_ignore_ascii_case(month_name))
            .ok_or(SyntaxError { expected: "the name of a month", offset: month_at })?
            as i64
            + 1;
        scanner.skip_lws();
        let year = digits(&mut scanner, 4, "a year of four digits")?;
        scanner.skip_lws();
        let time_at = scanner.position();
        let hour = digits(&mut scanner, 2, "hours")?;
        expect(&mut scanner, b':', "\":\" after the hours")?;
        let minute = digits(&mut scanner, 2, "minutes")?;
        expect(&mut scanner, b':', "\":\" after the minutes")?;
        let second = digits(&mut scanner, 2, "seconds")?;
        scanner.skip_lws();
        let zone_at = scanner.position();
        if !scanner.token("GMT")?.eq_ignore_ascii_case("GMT") {
            return Err(SyntaxError { expected: "GMT", offset: zone_at });
        }
        scanner.finish("nothing after GMT")?;
        if hour > 23 || minute > 59 || second > 60 {
            return Err(SyntaxError { expected: "a time of day", offset: time_at });
        }
        let days = days_from_civil(year, month, day);
        if civil_from_days(days) != (year, month, day) {
            return Err(SyntaxError { expected: "a day of the calendar", offset: month_at });
        }
        Ok(Date { unix_seconds: days * 86_400 + hour * 3600 + minute * 60 + second })
    }
}

impl fmt::Display for Date {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.unix_seconds.div_euclid(86_400);
        let time = self.unix_seconds.rem_euclid(86_400);
        let (year, month, day) = civil_from_days(days);
        let (name, month) = (DAYS[days.rem_euclid(7) as usize], MONTHS[month as usize - 1]);
        if !(0..=9999).contains(&year) {
            let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
            return write!(
                formatter,
                "{name}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT"
            );
        }
        // Every 200 to REGISTER has one, and formatting seven fields with padding takes longer than the rest of a header.
        let mut text = *b"Day, 00 Mon 0000 00:00:00 GMT";
        let mut two = |at: usize, number: i64| {
            text[at] = b'0' + (number / 10) as u8;
            text[at + 1] = b'0' + (number % 10) as u8;
        };
        two(5, day);
        two(12, year / 100);
        two(14, year % 100);
        two(17, time / 3600);
        two(20, time / 60 % 60);
        two(23, time % 60);
        text[..3].copy_from_slice(name.as_bytes());
        text[8..11].copy_from_slice(month.as_bytes());
        formatter.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

fn digits(scanner: &mut Scanner<'_>, count: usize, expected: &'static str) -> Result<i64, SyntaxError> {
    let start = scanner.position();
    let number = scanner.number(expected)?;
    if scanner.position() - start != count {
        return Err(SyntaxError { expected, offset: start });
    }
    Ok(number as i64)
}

fn expect(scanner: &mut Scanner<'_>, byte: u8, expected: &'static str) -> Result<(), SyntaxError> {
    if scanner.eat(byte) { Ok(()) } else { Err(scanner.error(expected)) }
}

/// Days since the epoch of a date in the Gregorian calendar. A year begins in March here, so that
/// the leap day is its last, and 400 years are one period of 146,097 days.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let period = days.div_euclid(146_097);
    let day_of_period = days.rem_euclid(146_097);
    let year_of_period =
        (day_of_period - day_of_period / 1460 + day_of_period / 36_524 - day_of_period / 146_096) / 365;
    let day_of_year = day_of_period - (365 * year_of_period + year_of_period / 4 - year_of_period / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = period * 400 + year_of_period + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates_are_read_and_written() {
        for (text, unix_seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sat, 13 Nov 2010 23:29:00 GMT", 1_289_690_940),
            ("Thu, 29 Feb 2024 12:00:01 GMT", 1_709_208_001),
            ("Thu, 21 Feb 2002 13:02:03 GMT", 1_014_296_523),
            ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
        ] {
            assert_eq!(Date::parse(text.as_bytes()), Ok(Date { unix_seconds }), "{text}");
            assert_eq!(Date { unix_seconds }.to_string(), text);
        }
    }

    #[test]
    fn other_zones_and_impossible_days_are_refused() {
        for bad in [
            "Fri, 01 Jan 2010 16:00:00 EST",
            "Fri, 30 Feb 2010 16:00:00 GMT",
            "Fri, 29 Feb 2023 16:00:00 GMT",
            "Fri, 1 Jan 2010 16:00:00 GMT",
            "Fri, 01 Jan 2010 24:00:00 GMT",
            "Fri, 00 Jan 2010 00:00:00 GMT",
            "Xxx, 01 Jan 2010 16:00:00 GMT",
            "01 Jan 2010 16:00:00 GMT",
            "",
        ] {
            assert!(Date::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_survives() {
        for day in -1000..146_097 {
            let (year, month, of_month) = civil_from_days(day);
            assert_eq!(days_from_civil(year, month, of_month), day);
        }
    }
}
