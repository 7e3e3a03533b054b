//! A bounded queue before the log reader: when the reader stands still, lines are dropped and counted; nobody waits.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// How long the end of the process waits for a slow reader to take the last lines.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The queue and its writer thread. Dropping it writes what waits and ends the thread.
#[derive(Debug)]
pub struct LogQueue {
    lines: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
    done: Receiver<()>,
}

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    End,
}

impl LogQueue {
    /// Starts a thread that writes lines to `target`, of which at most `limit` wait.
    ///
    /// # Errors
    /// When the thread does not start.
    pub fn start(target: impl io::Write + Send + 'static, limit: usize) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(limit.max(1));
        let (finished, done) = sync_channel(1);
        std::thread::Builder::new().name("logs".to_owned()).spawn(move || {
            write(waiting, target);
            let _ = finished.send(());
        })?;
        Ok(Self { lines, dropped: Arc::default(), done })
    }

    /// How many lines were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// What the subscriber writes to.
    pub(super) fn writer(&self) -> QueueWriter {
        QueueWriter { lines: self.lines.clone(), dropped: self.dropped.clone() }
    }
}

impl Drop for LogQueue {
    fn drop(&mut self) {
        // A full queue means a reader that stands still: its lines are lost rather than the end of the process delayed.
        if self.lines.try_send(Entry::End).is_ok() {
            let _ = self.done.recv_timeout(LAST_WORDS);
        }
    }
}

fn write(waiting: Receiver<Entry>, mut target: impl io::Write) {
    while let Ok(Entry::Line(line)) = waiting.recv() {
        // A closed reader is no reason to end: there is nobody left to tell.
        let _ = target.write_all(&line).and_then(|()| target.flush());
    }
}

/// Puts lines into the queue.
#[derive(Clone, Debug)]
pub(super) struct QueueWriter {
    lines: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

impl io::Write for QueueWriter {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(Entry::Line(octets.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for QueueWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        sync::mpsc::{Sender, channel},
    };

    use super::*;

    #[test]
    fn lines_arrive_in_order_and_dropping_the_queue_writes_what_waits() {
        let (written, arrived) = channel();
        let queue = LogQueue::start(Recorder(written), 10).expect("the thread starts");
        let mut writer = queue.writer();
        for line in ["one\n", "two\n", "three\n"] {
            writer.write_all(line.as_bytes()).expect("a queue takes every line");
        }
        drop(queue);
        assert_eq!(arrived.try_iter().collect::<String>(), "one\ntwo\nthree\n");
    }

    /// F13: a blocked log pipe.
    #[test]
    fn a_reader_that_stands_still_costs_lines_and_nothing_else() {
        let (blocked, release) = sync_channel(0);
        let queue = LogQueue::start(Blocked(blocked), 2).expect("the thread starts");
        let mut writer = queue.writer();
        for _ in 0..20 {
            writer.write_all(b"line\n").expect("a queue takes every line");
        }
        // Two wait and at most one is being written.
        assert!((17..=18).contains(&queue.dropped()), "{}", queue.dropped());
        drop(release);
    }

    struct Recorder(Sender<String>);

    impl io::Write for Recorder {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.send(String::from_utf8_lossy(octets).into_owned()).expect("the test listens");
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Blocked(SyncSender<()>);

    impl io::Write for Blocked {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(());
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
