//! The side that answers: every question is work of its own, and what is ready leaves together.

use std::{
    collections::HashMap,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use ambient::Entropy;
use bytes::Bytes;
use cluster_api::cluster::v1::{Answer, Failure, Question, answer};
use futures_util::{
    FutureExt as _, Stream, StreamExt as _,
    future::{AbortHandle, Abortable, Aborted, BoxFuture},
    stream::{BoxStream, FuturesUnordered},
};
use telemetry::{Counter, Gauge};
use tokio::time::{Sleep, sleep, timeout};
use tonic::Status;

use super::{BATCH, BATCH_OCTETS, LARGEST, MOST, Said, Told};
use crate::{reason::Reason, status::Refusal, trace};

/// A stream ends after this time like a connection, so that nothing stays on a connection that is to go.
const AGE: Duration = Duration::from_secs(300);
/// How long an asker has to end a stream that it was told is ending; who has not is as good as gone.
const GRACE: Duration = Duration::from_secs(60);
/// Longest time for a question that names none or a longer one.
const LONGEST: Duration = Duration::from_secs(60);

/// Carries one question out: the name of its rpc, and its request.
pub(super) type Carry = Arc<dyn Fn(&str, Bytes) -> BoxFuture<'static, Result<Bytes, Status>> + Send + Sync>;

/// What the answers to a stream of questions need.
#[derive(Clone)]
pub(super) struct Answerer {
    pub(super) carry: Carry,
    pub(super) entropy: Arc<dyn Entropy>,
    /// Questions under way.
    pub(super) open: Gauge,
    /// Times that a stream had so many under way that nothing more was read from it.
    pub(super) full: Counter,
}

/// The answers to one stream of questions.
pub(super) struct Answers {
    answerer: Answerer,
    /// `None` once the asker has ended it.
    said: Option<BoxStream<'static, Result<Said, Status>>>,
    working: FuturesUnordered<Working>,
    /// How to stop what nobody waits for any more.
    handles: HashMap<u64, AbortHandle>,
    phase: Phase,
}

/// One question that is being answered.
struct Working {
    id: u64,
    work: Abortable<BoxFuture<'static, Answer>>,
}

impl Future for Working {
    type Output = (u64, Result<Answer, Aborted>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.work.poll_unpin(cx).map(|result| (self.id, result))
    }
}

enum Phase {
    /// Until it ends by its age, or because the process does.
    Open(BoxFuture<'static, ()>),
    /// The asker was told.
    Ending(Pin<Box<Sleep>>),
}

impl Answers {
    /// `ending` resolves when the process ends.
    pub(super) fn new(
        answerer: Answerer,
        said: BoxStream<'static, Result<Said, Status>>,
        ending: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let end = async move {
            // Either is a reason.
            let _ = timeout(AGE, ending).await;
        };
        Self {
            answerer,
            said: Some(said),
            working: FuturesUnordered::new(),
            handles: HashMap::new(),
            phase: Phase::Open(end.boxed()),
        }
    }

    /// Begins what was asked. Returns whether it stopped for want of room: nobody wakes us then for what was said since.
    fn poll_said(&mut self, cx: &mut Context<'_>) -> bool {
        while let Some(said) = &mut self.said {
            if self.handles.len() >= MOST {
                // What is under way ends first; its end looks here again.
                self.answerer.full.inc();
                return true;
            }
            match said.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(Said { questions, abandoned }))) => {
                    for question in questions {
                        self.begin(question);
                    }
                    for id in abandoned {
                        if let Some(handle) = self.handles.get(&id) {
                            handle.abort();
                        }
                    }
                }
                // Who asked is gone, and so is everybody who waits.
                Poll::Ready(Some(Err(_))) => {
                    self.said = None;
                    self.working.clear();
                    self.forget_all();
                }
                Poll::Ready(None) => self.said = None,
                Poll::Pending => return false,
            }
        }
        false
    }

    fn begin(&mut self, question: Question) {
        let (handle, registration) = AbortHandle::new_pair();
        if self.handles.insert(question.id, handle).is_none() {
            self.answerer.open.inc();
        }
        let id = question.id;
        self.working.push(Working { id, work: Abortable::new(self.answerer.work(question), registration) });
    }

    fn poll_answers(&mut self, cx: &mut Context<'_>) -> Vec<Answer> {
        let (mut answers, mut octets) = (Vec::new(), 0);
        while answers.len() < BATCH && octets < BATCH_OCTETS {
            match self.working.poll_next_unpin(cx) {
                Poll::Ready(Some((_, Ok(answer)))) => {
                    self.forget(answer.id);
                    if let Some(answer::Result::Response(response)) = &answer.result {
                        octets += response.len();
                    }
                    answers.push(answer);
                }
                Poll::Ready(Some((id, Err(Aborted)))) => self.forget(id),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        answers
    }

    fn forget(&mut self, id: u64) {
        if self.handles.remove(&id).is_some() {
            self.answerer.open.dec();
        }
    }

    fn forget_all(&mut self) {
        self.answerer.open.sub(i64::try_from(self.handles.len()).unwrap_or(i64::MAX));
        self.handles.clear();
    }

    /// Whether it ends now: told to the asker once, and enforced later.
    fn poll_phase(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        match &mut self.phase {
            Phase::Open(end) => {
                std::task::ready!(end.as_mut().poll(cx));
                self.phase = Phase::Ending(Box::pin(sleep(GRACE)));
                Poll::Ready(Ending::Begins)
            }
            Phase::Ending(grace) => grace.as_mut().poll(cx).map(|()| Ending::IsOver),
        }
    }
}

enum Ending {
    Begins,
    IsOver,
}

impl Stream for Answers {
    type Item = Result<Told, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let is_unread = self.poll_said(cx);
            let answers = self.poll_answers(cx);
            if !answers.is_empty() {
                return Poll::Ready(Some(Ok(Told { answers, ending: false })));
            }
            // Only what was abandoned has ended.
            if is_unread && self.handles.len() < MOST {
                continue;
            }
            if self.said.is_none() && self.working.is_empty() {
                return Poll::Ready(None);
            }
            return match self.poll_phase(cx) {
                Poll::Ready(Ending::Begins) => {
                    Poll::Ready(Some(Ok(Told { answers: Vec::new(), ending: true })))
                }
                Poll::Ready(Ending::IsOver) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            };
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.forget_all();
    }
}

impl Answerer {
    fn work(&self, question: Question) -> BoxFuture<'static, Answer> {
        let Question { id, rpc, request, timeout: wanted, traceparent } = question;
        let limit = wanted.and_then(|wanted| Duration::try_from(wanted).ok()).unwrap_or(LONGEST).min(LONGEST);
        let parent = Some(&*traceparent).filter(|parent| !parent.is_empty());
        let work = trace::served(parent, &*self.entropy, &rpc, (self.carry)(&rpc, request));
        let guarded = AssertUnwindSafe(timeout(limit, work)).catch_unwind();
        async move {
            let result = match guarded.await {
                Ok(Ok(Ok(response))) if response.len() > LARGEST => {
                    Err(Status::out_of_range("the answer is too large for a stream"))
                }
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(Status::deadline_exceeded("the question's time is over")),
                // The panic itself is in the log. One question of many does not take the others along.
                Err(_) => Err(Refusal::new(Reason::Internal, "a fault of this service").into()),
            };
            Answer { id, result: Some(written(result)) }
        }
        .boxed()
    }
}

fn written(result: Result<Bytes, Status>) -> answer::Result {
    match result {
        Ok(response) => answer::Result::Response(response),
        Err(status) => answer::Result::Failure(Failure {
            code: status.code().into(),
            message: status.message().to_owned(),
            details: Bytes::copy_from_slice(status.details()),
        }),
    }
}
