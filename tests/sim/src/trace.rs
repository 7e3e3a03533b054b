//! What happened, line by line: two runs of one seed write the same lines.

use std::fmt::Display;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::clock::VirtualClock;

/// The trace of one run. Clones write to the same one.
#[derive(Clone, Debug)]
pub struct Trace {
    clock: VirtualClock,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Trace {
    /// An empty trace.
    pub fn new(clock: VirtualClock) -> Self {
        Self { clock, lines: Arc::default() }
    }

    /// Writes a line with the time.
    pub fn note(&self, line: impl Display) {
        let elapsed = self.clock.elapsed();
        self.lines.lock().push(format!("{:>7}.{:03} {line}", elapsed.as_secs(), elapsed.subsec_millis()));
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().clone()
    }
}

/// FNV-1a: tells whether two messages are the same, octet by octet.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
