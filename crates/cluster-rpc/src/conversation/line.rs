//! The side that asks: one stream to one replica.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use cluster_api::cluster::v1::{Answer, Failure, Question, answer};
use futures_util::{Stream, StreamExt as _, future::BoxFuture, stream::BoxStream};
use parking_lot::Mutex;
use telemetry::{Counter, Gauge};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tonic::{Code, Status};

use super::{BATCH, BATCH_OCTETS, LARGEST, MOST, Said, Told};
use crate::{reason::Reason, status::Refusal, trace};

/// A stream that is being opened.
pub(crate) type Opened = BoxFuture<'static, Result<BoxStream<'static, Result<Told, Status>>, Status>>;

/// After a peer said that it has no such stream, how long it is called instead: it may be replaced by a newer one.
const LEFT_ALONE: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Unheard {
    /// The question surely did not arrive and does not go over this line: call.
    Call,
    /// As a call would have failed.
    Failed(Status),
}

/// Counts what goes over lines.
#[derive(Clone, Debug)]
pub(crate) struct LineMeters {
    /// Questions that wait for their answers.
    pub(crate) open: Gauge,
    /// Streams opened.
    pub(crate) opened: Counter,
    /// Questions that found the line full.
    pub(crate) full: Counter,
}

/// One stream. It ends when the last clone of its `Arc` is dropped.
#[derive(Debug)]
pub(crate) struct Line {
    posed: mpsc::Sender<Posed>,
    waiting: Arc<Waiting>,
}

#[derive(Debug)]
enum Posed {
    Question(Question),
    Abandoned(u64),
}

#[derive(Debug)]
struct Waiting {
    state: Mutex<State>,
    meters: LineMeters,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    open: HashMap<u64, oneshot::Sender<Result<Bytes, Unheard>>>,
    end: Option<End>,
}

/// Why a line takes no further questions.
#[derive(Clone, Copy, Debug)]
enum End {
    /// It broke, or the peer said that it is ending.
    Over,
    /// The peer has no such stream.
    Refused(Instant),
}

impl Line {
    /// A line, and the work that hears its answers. `open` gets what is said over it.
    pub(crate) fn new(
        meters: LineMeters,
        open: impl FnOnce(Batches) -> Opened,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        // Room for each question and for each that is abandoned.
        let (posed, said) = mpsc::channel(2 * MOST);
        let waiting = Arc::new(Waiting { state: Mutex::default(), meters });
        waiting.meters.opened.inc();
        let hearing = hear(open(Batches { posed: said }), Hearing(waiting.clone()));
        (Arc::new(Self { posed, waiting }), hearing)
    }

    /// Whether questions may go over it; `None` when nobody knows before a new one is tried.
    pub(crate) fn is_open(&self) -> Option<bool> {
        match self.waiting.state.lock().end {
            None => Some(true),
            Some(End::Refused(at)) if at.elapsed() < LEFT_ALONE => Some(false),
            Some(End::Refused(_) | End::Over) => None,
        }
    }

    /// Takes no further questions. Those that were asked may still be answered.
    pub(crate) fn retire(&self) {
        self.waiting.state.lock().end.get_or_insert(End::Over);
    }

    /// Asks one question. Dropped before the answer it tells the other side.
    pub(crate) async fn ask(
        self: Arc<Self>,
        rpc: &'static str,
        request: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, Unheard> {
        if request.len() > LARGEST {
            return Err(Unheard::Call);
        }
        let (sender, heard) = oneshot::channel();
        let id = {
            let mut state = self.waiting.state.lock();
            match state.end {
                None => {}
                // It ended after it was chosen.
                Some(_) => return Err(Unheard::Call),
            }
            if state.open.len() >= MOST {
                self.waiting.meters.full.inc();
                let message = format!("{MOST} questions wait for this replica already");
                return Err(Unheard::Failed(Status::unavailable(message)));
            }
            state.last_id += 1;
            let id = state.last_id;
            state.open.insert(id, sender);
            id
        };
        self.waiting.meters.open.inc();
        let mut asked = Asked { line: self, id, is_answered: false };
        let question = Question {
            id,
            rpc: rpc.to_owned(),
            request,
            timeout: prost_types::Duration::try_from(timeout).ok(),
            traceparent: trace::current().map_or(String::new(), |context| context.to_string()),
        };
        match asked.line.posed.try_send(Posed::Question(question)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Unheard::Failed(broken("it is closed"))),
            Err(mpsc::error::TrySendError::Full(_)) => {
                asked.line.waiting.meters.full.inc();
                return Err(Unheard::Failed(Status::unavailable("this replica does not read its questions")));
            }
        }
        let heard = heard.await;
        asked.is_answered = true;
        heard.unwrap_or_else(|_| Err(Unheard::Failed(broken("nobody listens any more"))))
    }
}

/// A question that waits.
struct Asked {
    line: Arc<Line>,
    id: u64,
    is_answered: bool,
}

impl Drop for Asked {
    fn drop(&mut self) {
        let waiting = &self.line.waiting;
        waiting.meters.open.dec();
        if !self.is_answered && waiting.state.lock().open.remove(&self.id).is_some() {
            // When there is no room, the other side stops at the question's own timeout.
            let _ = self.line.posed.try_send(Posed::Abandoned(self.id));
        }
    }
}

/// What is asked over a line, in batches.
#[derive(Debug)]
pub(crate) struct Batches {
    posed: mpsc::Receiver<Posed>,
}

impl Stream for Batches {
    type Item = Said;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Said>> {
        let (mut said, mut octets) = (Said::default(), 0);
        while said.questions.len() + said.abandoned.len() < BATCH && octets < BATCH_OCTETS {
            match self.posed.poll_recv(cx) {
                Poll::Ready(Some(Posed::Question(question))) => {
                    octets += question.request.len();
                    said.questions.push(question);
                }
                Poll::Ready(Some(Posed::Abandoned(id))) => {
                    // What has not left needs no mention.
                    match said.questions.iter().position(|question| question.id == id) {
                        Some(at) => drop(said.questions.swap_remove(at)),
                        None => said.abandoned.push(id),
                    }
                }
                Poll::Ready(None) if said.is_empty() => return Poll::Ready(None),
                Poll::Pending if said.is_empty() => return Poll::Pending,
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Poll::Ready(Some(said))
    }
}

impl Said {
    fn is_empty(&self) -> bool {
        self.questions.is_empty() && self.abandoned.is_empty()
    }
}

/// Gives answers to those who asked, for as long as the stream lasts.
async fn hear(opened: Opened, hearing: Hearing) {
    let waiting = &hearing.0;
    let mut told = match opened.await {
        Ok(told) => told,
        Err(status) => return waiting.end(&status, has_no_stream(&status)),
    };
    while let Some(next) = told.next().await {
        match next {
            Ok(told) => {
                let mut state = waiting.state.lock();
                if told.ending {
                    state.end.get_or_insert(End::Over);
                }
                for answer in told.answers {
                    if let Some(sender) = state.open.remove(&answer.id) {
                        // Who asked may have gone this very moment.
                        let _ = sender.send(read(answer));
                    }
                }
            }
            Err(status) => return waiting.end(&status, has_no_stream(&status)),
        }
    }
}

/// Leaves nobody waiting, however the hearing ends, and if it never begins.
struct Hearing(Arc<Waiting>);

impl Drop for Hearing {
    fn drop(&mut self) {
        self.0.end(&broken("it ended"), false);
    }
}

impl Waiting {
    /// Nothing more will be heard.
    fn end(&self, status: &Status, is_refused: bool) {
        let open = {
            let mut state = self.state.lock();
            let end = if is_refused { End::Refused(Instant::now()) } else { End::Over };
            state.end = match state.end {
                Some(refused @ End::Refused(_)) => Some(refused),
                _ => Some(end),
            };
            std::mem::take(&mut state.open)
        };
        for sender in open.into_values() {
            let unheard = if is_refused { Unheard::Call } else { Unheard::Failed(status.clone()) };
            let _ = sender.send(Err(unheard));
        }
    }
}

/// The peer is older than the stream, does not serve it, or ends: it carried out nothing of what was asked.
fn has_no_stream(status: &Status) -> bool {
    status.code() == Code::Unimplemented
        || Refusal::read(status).is_some_and(|refusal| refusal.reason() == Reason::Draining)
}

fn broken(why: &str) -> Status {
    Status::unavailable(format!("the stream broke: {why}"))
}

fn read(answer: Answer) -> Result<Bytes, Unheard> {
    match answer.result {
        Some(answer::Result::Response(response)) => Ok(response),
        Some(answer::Result::Failure(Failure { code, message, details })) => {
            Err(Unheard::Failed(Status::with_details(Code::from_i32(code), message, details)))
        }
        None => Err(Unheard::Failed(Status::internal("an answer without a result"))),
    }
}
