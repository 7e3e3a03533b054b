//! When to send the same message again.

use std::time::{Duration, Instant};

/// The repetition of one message: with growing pauses over datagrams, never over a reliable transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resend {
    /// The transport does it.
    Never,
    /// At this time, having waited `pause` for it.
    At { at: Instant, pause: Duration },
}

impl Resend {
    /// The first repetition, `pause` from now.
    pub(crate) fn start(now: Instant, pause: Duration, reliable: bool) -> Self {
        if reliable { Self::Never } else { Self::At { at: now + pause, pause } }
    }

    /// The one after this: doubled pause, but no more than `cap`. Counted from when this one was due, so that a busy
    /// loop does not stretch the pattern; from now, when even that time is over, so that a stalled one does not burst.
    pub(crate) fn next(self, now: Instant, cap: Option<Duration>) -> Self {
        match self {
            Self::Never => Self::Never,
            Self::At { at, pause } => {
                let doubled = pause * 2;
                let pause = cap.map_or(doubled, |cap| doubled.min(cap));
                let next = at + pause;
                Self::At { at: if next > now { next } else { now + pause }, pause }
            }
        }
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        match self {
            Self::Never => None,
            Self::At { at, .. } => Some(*at),
        }
    }
}

/// The earlier of a repetition and the end of waiting; the end wins a draw.
pub(crate) fn earlier<T>(resend: &Resend, again: T, end: Instant, over: T) -> (Instant, T) {
    match resend.due() {
        Some(at) if at < end => (at, again),
        Some(_) | None => (end, over),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(500);

    /// TXN-01, TXN-08: a loop that is late by less than a pause keeps to the pattern; one that slept through it sends once and goes on.
    #[test]
    fn a_loop_that_slept_does_not_send_what_it_missed() {
        let start = Instant::now();
        let first = Resend::start(start, PAUSE, false);
        let due = start + PAUSE;
        let second = Resend::At { at: due + 2 * PAUSE, pause: 2 * PAUSE };
        assert_eq!(first.next(due + PAUSE, None), second);
        for late in [2 * PAUSE, 60 * PAUSE] {
            let now = due + late;
            let after = Resend::At { at: now + 2 * PAUSE, pause: 2 * PAUSE };
            assert_eq!(first.next(now, None), after, "{late:?} late");
        }
    }

    /// The last repetition would come with the end and tell nobody anything.
    #[test]
    fn a_repetition_that_is_due_with_the_end_is_left_out() {
        let start = Instant::now();
        let resend = Resend::start(start, PAUSE, false);
        let chosen = |end: Duration| earlier(&resend, "again", start + end, "over");
        assert_eq!(chosen(PAUSE), (start + PAUSE, "over"));
        assert_eq!(chosen(PAUSE + Duration::from_millis(1)), (start + PAUSE, "again"));
        let never = Resend::start(start, PAUSE, true);
        assert_eq!(earlier(&never, "again", start + PAUSE, "over"), (start + PAUSE, "over"));
    }
}
