//! The output of a process, line by line, waited for and kept for the failure message.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use crate::PATIENCE;

/// Lines a process prints.
pub struct Lines {
    coming: Receiver<String>,
    seen: Arc<Mutex<Vec<String>>>,
    name: String,
}

impl Lines {
    /// Reads `source` in a thread until it ends.
    pub fn of(name: &str, source: impl Read + Send + 'static) -> Self {
        let (send, coming) = channel();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(source);
            let mut line = Vec::new();
            while matches!(reader.read_until(b'\n', &mut line), Ok(n) if n > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_string();
                line.clear();
                kept.lock().expect("no reader panics").push(text.clone());
                // The test may have stopped listening; the lines are still kept.
                let _ = send.send(text);
            }
        });
        Self { coming, seen, name: name.into() }
    }

    /// The next line that `wanted` accepts.
    ///
    /// # Panics
    /// With everything that was printed, when the process ends or patience does.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.coming.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if wanted(&line) => return line,
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => self.fail(what, "it ended"),
                Err(RecvTimeoutError::Timeout) => self.fail(what, "it did not come"),
            }
        }
    }

    /// Returns once there will be no more lines.
    ///
    /// # Panics
    /// With everything that was printed, when patience ends.
    pub fn wait_for_end(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.coming.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => self.fail("the end", "it did not come"),
            }
        }
    }

    /// Everything so far.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no reader panics").clone()
    }

    fn fail(&self, what: &str, why: &str) -> ! {
        panic!("waiting for {what} of {}: {why}. It printed:\n{}", self.name, self.seen().join("\n"))
    }
}
