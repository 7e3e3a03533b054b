//! A queue of what other services are told in batches: in order, at least once, one batch at a time, until they have committed it.

use std::collections::VecDeque;
use std::time::Duration;

/// First pause after a batch that was not taken.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Pure: the shell sets a timer when it is armed, offers a batch when that has fired, and says how that went.
#[derive(Debug)]
pub(crate) struct Gathered<T> {
    waiting: VecDeque<T>,
    offered: usize,
    failures: u32,
    /// A timer is set for the next batch.
    armed: bool,
    /// How long it is gathered.
    gather: Duration,
    /// Most of one batch.
    batch: usize,
    /// How large an item is, and how large a batch may be: whoever takes it takes no more at once.
    size: (fn(&T) -> usize, usize),
}

impl<T: Clone> Gathered<T> {
    pub(crate) fn new(gather: Duration, batch: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            offered: 0,
            failures: 0,
            armed: false,
            gather,
            batch,
            size: (|_| 0, 0),
        }
    }

    /// Bounds the size of a batch; an item by itself may be larger.
    pub(crate) fn within(self, most: usize, size: fn(&T) -> usize) -> Self {
        Self { size: (size, most), ..self }
    }

    pub(crate) fn push(&mut self, item: T) {
        self.waiting.push_back(item);
    }

    /// When a timer has to be set for the next batch: once for each, as soon as there is something to offer.
    pub(crate) fn arm(&mut self) -> Option<Duration> {
        if self.armed || self.offered > 0 || self.waiting.is_empty() {
            return None;
        }
        self.armed = true;
        Some(self.gather)
    }

    /// What to offer when the timer has fired; nothing while a batch is out.
    pub(crate) fn take_batch(&mut self) -> Vec<T> {
        self.armed = false;
        if self.offered > 0 {
            return Vec::new();
        }
        let (size, most) = self.size;
        let mut octets = 0;
        let fits = |item: &&T| {
            let is_first = octets == 0;
            octets += size(item);
            octets <= most || is_first
        };
        let batch: Vec<_> = self.waiting.iter().take(self.batch).take_while(fits).cloned().collect();
        self.offered = batch.len();
        batch
    }

    /// What was offered is committed. Gives the next batch at once when as much waits as fits.
    pub(crate) fn acknowledge(&mut self) -> Vec<T> {
        self.waiting.drain(..self.offered);
        self.offered = 0;
        self.failures = 0;
        if self.waiting.len() >= self.batch { self.take_batch() } else { Vec::new() }
    }

    /// What was offered is perhaps not committed: in how long to offer it again. The timer for that counts as set.
    pub(crate) fn fail(&mut self) -> Duration {
        self.offered = 0;
        self.armed = true;
        let pause = FIRST_PAUSE * 2_u32.saturating_pow(self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        pause.min(LONGEST_PAUSE)
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the last batch was not taken.
    pub(crate) fn is_failing(&self) -> bool {
        self.failures > 0
    }
}
