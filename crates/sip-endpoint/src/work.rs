//! Asynchronous work of the user, polled by the driver loop itself: no task, and no second visit when it is done at once.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_util::future::{CatchUnwind, FutureExt};
use futures_util::stream::{FuturesUnordered, Stream};

type Boxed<T> = CatchUnwind<AssertUnwindSafe<Pin<Box<dyn Future<Output = T> + Send>>>>;

/// The bound on work in flight, or on queued commands, is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much is waiting already")]
pub struct Busy;

pub(crate) struct Work<T> {
    running: FuturesUnordered<Boxed<T>>,
    done: VecDeque<T>,
    limit: usize,
}

/// One step of the work.
pub(crate) enum Progress<T> {
    Done(T),
    Panicked,
}

impl<T: Send + 'static> Work<T> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { running: FuturesUnordered::new(), done: VecDeque::new(), limit }
    }

    pub(crate) fn len(&self) -> usize {
        self.running.len() + self.done.len()
    }

    /// Starts work and polls it once.
    pub(crate) fn start(&mut self, work: Pin<Box<dyn Future<Output = T> + Send>>) -> Result<(), Busy> {
        if self.len() >= self.limit {
            return Err(Busy);
        }
        let mut work = AssertUnwindSafe(work).catch_unwind();
        // If it waits, the set polls it again with the loop's own waker before the loop rests.
        match work.poll_unpin(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(result)) => self.done.push_back(result),
            Poll::Ready(Err(panic)) => std::panic::resume_unwind(panic),
            Poll::Pending => self.running.push(work),
        }
        Ok(())
    }

    /// Takes the result of work that was done when it was started.
    pub(crate) fn pop_done(&mut self) -> Option<T> {
        self.done.pop_front()
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Progress<T>> {
        match Pin::new(&mut self.running).poll_next(cx) {
            Poll::Ready(Some(Ok(result))) => Poll::Ready(Progress::Done(result)),
            Poll::Ready(Some(Err(_))) => Poll::Ready(Progress::Panicked),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
