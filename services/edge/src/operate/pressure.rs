//! When an edge is overloaded, and what it refuses then.
//!
//! Two signs, each only when it lasts: a burst, a page fault or another process on the core makes a single round long and a queue
//! full for a moment, and refusing for that would turn good requests away from an edge that has room. RFC 8289 4.2 draws the same
//! line between a good queue and a bad one.
//!
//! - Delay: no round of the driver loop was short for a while.
//! - Backlog: the kernel's queue of datagrams was never less than half full for a while. A round takes a bounded batch, so a loop
//!   that cannot keep up has short rounds all the same, and what waits, waits there. From then on the queue itself decides, request
//!   by request, until it was half empty for as long: new work is taken whenever it falls below its mark, so that the edge is never
//!   idle and never late.
//!
//! | refused, the least important first | delay beyond | backlog beyond |
//! |---|---|---|
//! | OPTIONS and what we do not know | 1 × `overload_delay` | 50 % |
//! | REGISTER, SUBSCRIBE without credentials, PUBLISH, MESSAGE | 2 × | 50 % |
//! | REGISTER, SUBSCRIBE with credentials | 4 × | 62 % |
//! | INVITE | 8 × | 75 % |
//! | what belongs to a dialog | never | never |

use std::time::{Duration, Instant};

use sip_message::{HeaderId, Message, Method};

/// The signs of the last rounds.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    /// Since when no round was short, and the shortest delay since then.
    above: Option<(Instant, Duration)>,
    /// Of the last round, in percent.
    backlog: u8,
    /// Since when the queue was never less than half full.
    full_since: Option<Instant>,
    /// Until when the queue decides.
    alert_until: Option<Instant>,
}

/// How much a request outside a dialog matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Importance {
    /// OPTIONS and what we do not know.
    Least,
    /// What may be the first of two requests, or can come later.
    Low,
    /// What shows that it is nearly done.
    High,
    /// A call.
    Most,
}

/// Percent of a queue that is no backlog.
const HALF: u8 = 50;

impl Importance {
    /// The importance of a request outside a dialog.
    pub(crate) fn of(request: &Message) -> Self {
        let has_credentials =
            request.has(HeaderId::Authorization) || request.has(HeaderId::ProxyAuthorization);
        match request.method() {
            Method::Invite => Self::Most,
            Method::Register | Method::Subscribe if has_credentials => Self::High,
            Method::Register | Method::Subscribe | Method::Publish | Method::Message => Self::Low,
            _ => Self::Least,
        }
    }

    /// Multiples of the delay that it bears: each twice those of the one below.
    fn bears_delay(self) -> u32 {
        match self {
            Self::Least => 1,
            Self::Low => 2,
            Self::High => 4,
            Self::Most => 8,
        }
    }

    /// Percent of the queue that it bears.
    fn bears_backlog(self) -> u8 {
        match self {
            Self::Least | Self::Low => HALF,
            Self::High => 62,
            Self::Most => 75,
        }
    }
}

impl Pressure {
    /// Notes the delay of a round.
    pub(crate) fn note(&mut self, now: Instant, lag: Duration, target: Duration) {
        self.above = match self.above {
            _ if lag <= target => None,
            Some((since, least)) => Some((since, least.min(lag))),
            None => Some((now, lag)),
        };
    }

    /// Notes the backlog after a batch.
    pub(crate) fn note_backlog(&mut self, now: Instant, percent: u8, interval: Duration) {
        self.backlog = percent;
        if percent <= HALF {
            self.full_since = None;
            return;
        }
        let since = *self.full_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= interval || self.is_alert(now) {
            self.alert_until = Some(now + interval);
        }
    }

    /// Is a request refused?
    pub(crate) fn refuses(
        &self,
        now: Instant,
        whose: Importance,
        delay: Duration,
        interval: Duration,
    ) -> bool {
        let is_late = self.lasting(now, interval).is_some_and(|lag| lag > delay * whose.bears_delay());
        is_late || (self.is_alert(now) && self.backlog > whose.bears_backlog())
    }

    fn is_alert(&self, now: Instant) -> bool {
        self.alert_until.is_some_and(|until| now <= until)
    }

    /// The delay, when it stayed above the target for this long.
    fn lasting(&self, now: Instant, interval: Duration) -> Option<Duration> {
        let (since, least) = self.above?;
        (now.saturating_duration_since(since) >= interval).then_some(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(10);
    const INTERVAL: Duration = Duration::from_millis(100);
    const MS: Duration = Duration::from_millis(1);
    const ALL: [Importance; 4] = [Importance::Least, Importance::Low, Importance::High, Importance::Most];

    fn refused(pressure: &Pressure, now: Instant) -> [bool; 4] {
        ALL.map(|whose| pressure.refuses(now, whose, TARGET, INTERVAL))
    }

    #[test]
    fn a_call_is_worth_most_and_who_has_credentials_more_than_who_has_none() {
        let of = |method: &str, line: &str| {
            let text = format!(
                "{method} sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
                 To: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n{line}Content-Length: 0\r\n\r\n"
            );
            Importance::of(&Message::parse(text.into(), &sip_message::Limits::default()).unwrap())
        };
        for line in ["Authorization: Digest x\r\n", "Proxy-Authorization: Digest x\r\n"] {
            assert_eq!(of("INVITE", line), Importance::Most);
            assert_eq!([of("REGISTER", line), of("SUBSCRIBE", line)], [Importance::High; 2]);
            assert_eq!([of("PUBLISH", line), of("MESSAGE", line)], [Importance::Low; 2]);
            assert_eq!([of("OPTIONS", line), of("FOO", line)], [Importance::Least; 2]);
        }
        assert_eq!(of("INVITE", ""), Importance::Most);
        assert_eq!(
            ["REGISTER", "SUBSCRIBE", "PUBLISH", "MESSAGE"].map(|method| of(method, "")),
            [Importance::Low; 4]
        );
        assert_eq!(["OPTIONS", "FOO"].map(|method| of(method, "")), [Importance::Least; 2]);
    }

    #[test]
    fn the_less_important_is_refused_at_half_the_delay() {
        for (lag, expected) in [
            (10, [false; 4]),
            (11, [true, false, false, false]),
            (20, [true, false, false, false]),
            (21, [true, true, false, false]),
            (40, [true, true, false, false]),
            (41, [true, true, true, false]),
            (80, [true, true, true, false]),
            (81, [true; 4]),
        ] {
            let (mut pressure, now) = (Pressure::default(), Instant::now());
            pressure.note(now, MS * lag, TARGET);
            pressure.note(now + INTERVAL, MS * lag, TARGET);
            assert_eq!(refused(&pressure, now + INTERVAL), expected, "{lag} ms");
        }
    }

    #[test]
    fn one_long_round_is_no_overload() {
        let (mut pressure, now) = (Pressure::default(), Instant::now());
        pressure.note(now, MS * 90, TARGET);
        assert_eq!(pressure.lasting(now + MS * 90, INTERVAL), None);
        pressure.note(now + MS * 91, MS, TARGET);
        assert_eq!(pressure.lasting(now + MS * 500, INTERVAL), None);
    }

    #[test]
    fn rounds_that_stay_long_are_overload_as_bad_as_the_shortest_of_them() {
        let (mut pressure, now) = (Pressure::default(), Instant::now());
        for (at, lag) in [(0, 40), (40, 25), (65, 60), (125, 30)] {
            pressure.note(now + MS * at, MS * lag, TARGET);
        }
        assert_eq!(pressure.lasting(now + MS * 125, INTERVAL), Some(MS * 25));
        assert_eq!(refused(&pressure, now + MS * 125), [true, true, false, false]);
        pressure.note(now + MS * 126, MS * 10, TARGET);
        assert_eq!(refused(&pressure, now + MS * 127), [false; 4]);
    }

    #[test]
    fn a_queue_that_is_full_for_a_moment_is_no_overload() {
        let (mut pressure, now) = (Pressure::default(), Instant::now());
        for (at, percent) in [(0, 99), (99, 99), (100, 50), (101, 99), (200, 99)] {
            pressure.note_backlog(now + MS * at, percent, INTERVAL);
            assert_eq!(refused(&pressure, now + MS * at), [false; 4], "{at}");
        }
    }

    #[test]
    fn a_queue_that_stays_full_is_relieved_of_the_least_important_first() {
        for (percent, expected) in [
            (51, [true, true, false, false]),
            (63, [true, true, true, false]),
            (76, [true, true, true, true]),
        ] {
            let (mut pressure, now) = (Pressure::default(), Instant::now());
            pressure.note_backlog(now, percent, INTERVAL);
            pressure.note_backlog(now + INTERVAL, percent, INTERVAL);
            assert_eq!(refused(&pressure, now + INTERVAL), expected, "{percent}");
        }
    }

    #[test]
    fn after_overload_the_queue_decides_at_once_until_it_was_half_empty_for_as_long() {
        let (mut pressure, now) = (Pressure::default(), Instant::now());
        pressure.note_backlog(now, 80, INTERVAL);
        pressure.note_backlog(now + MS * 100, 80, INTERVAL);
        pressure.note_backlog(now + MS * 110, 40, INTERVAL);
        assert_eq!(refused(&pressure, now + MS * 110), [false; 4], "there is room");
        pressure.note_backlog(now + MS * 120, 80, INTERVAL);
        assert_eq!(refused(&pressure, now + MS * 120), [true; 4], "it has not passed");
        pressure.note_backlog(now + MS * 130, 0, INTERVAL);
        pressure.note_backlog(now + MS * 230, 80, INTERVAL);
        assert_eq!(refused(&pressure, now + MS * 230), [false; 4], "it has");
    }
}
