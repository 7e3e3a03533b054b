//! Both sides without a network, at their bounds.

use std::{
    future::pending,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ambient::SeededEntropy;
use bytes::Bytes;
use cluster_api::cluster::v1::{Answer, Question, answer};
use futures_util::{FutureExt as _, StreamExt as _, future::join_all, stream};
use telemetry::Metrics;
use tonic::Status;

use super::{
    Line, LineMeters, MOST, Said, Unheard,
    answering::{Answerer, Answers},
};

fn meters(metrics: &Metrics) -> LineMeters {
    LineMeters {
        open: metrics.gauge("open", "-"),
        opened: metrics.counter("opened", "-"),
        full: metrics.counter("full", "-"),
    }
}

fn question(id: u64) -> Question {
    Question { id, rpc: "Register".to_owned(), ..Question::default() }
}

fn answerer(metrics: &Metrics, begun: &Arc<AtomicUsize>, finish: bool) -> Answerer {
    let begun = begun.clone();
    let carry = move |_: &str, request: Bytes| {
        begun.fetch_add(1, Ordering::SeqCst);
        async move {
            if !finish {
                pending::<()>().await;
            }
            Ok(request)
        }
        .boxed()
    };
    Answerer {
        carry: Arc::new(carry),
        entropy: Arc::new(SeededEntropy::new(1)),
        open: metrics.gauge("answering", "-"),
        full: metrics.counter("unread", "-"),
    }
}

#[tokio::test]
async fn a_line_takes_no_more_questions_than_it_may_and_has_room_again() {
    let metrics = Metrics::new();
    let (line, hearing) = Line::new(meters(&metrics), |batches| {
        async move { Ok(stream::unfold(batches, |_| pending()).boxed()) }.boxed()
    });
    let ask = || line.clone().ask("Register", Bytes::new(), Duration::from_secs(1));
    {
        let mut asked = pin!(join_all((0..MOST).map(|_| ask())));
        assert!(asked.as_mut().now_or_never().is_none(), "they wait");
        let refused = ask().now_or_never().expect("at once");
        assert!(matches!(refused, Err(Unheard::Failed(_))), "{refused:?}");
        assert_eq!(meters(&metrics).full.get(), 1);
    }
    assert_eq!(meters(&metrics).open.get(), 0);
    drop(hearing);
    assert!(matches!(ask().await, Err(Unheard::Call)), "nobody listens any more");
}

#[tokio::test]
async fn no_more_is_read_than_may_be_under_way() {
    let (metrics, begun) = (Metrics::new(), Arc::new(AtomicUsize::new(0)));
    let said = stream::iter(1..).map(|id| Ok(Said { questions: vec![question(id)], ..Said::default() }));
    let mut answers = Answers::new(answerer(&metrics, &begun, false), said.boxed(), pending());
    assert!(answers.next().now_or_never().is_none());
    assert_eq!(begun.load(Ordering::SeqCst), MOST);
    assert_eq!(metrics.counter("unread", "-").get(), 1);
}

#[tokio::test]
async fn who_does_not_read_answers_is_not_read() {
    let (metrics, begun) = (Metrics::new(), Arc::new(AtomicUsize::new(0)));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let said = stream::iter(1..).map(move |id| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(Said { questions: vec![question(id)], ..Said::default() })
    });
    let mut answers = Answers::new(answerer(&metrics, &begun, true), said.boxed(), pending());
    let told = answers.next().await.expect("answers").expect("no error");
    assert!(!told.answers.is_empty());
    let read = asked.load(Ordering::SeqCst);
    assert!(read <= MOST, "{read}");
    answers.next().await.expect("answers").expect("no error");
    assert!(asked.load(Ordering::SeqCst) <= read + told.answers.len(), "as many as were answered");
    drop(answers);
    assert_eq!(metrics.gauge("answering", "-").get(), 0);
}

#[tokio::test]
async fn abandoned_questions_make_room_and_a_stream_that_ended_ends() {
    let (metrics, begun) = (Metrics::new(), Arc::new(AtomicUsize::new(0)));
    let said = [
        Said { questions: (1..=10).map(question).collect(), abandoned: Vec::new() },
        Said { questions: Vec::new(), abandoned: (1..=10).collect() },
    ];
    let said = stream::iter(said.map(Ok::<_, Status>)).boxed();
    let mut answers = Answers::new(answerer(&metrics, &begun, false), said, pending());
    assert!(answers.next().await.is_none(), "nothing is left to answer");
    assert_eq!(metrics.gauge("answering", "-").get(), 0);
}

/// The end of the process, and of the patience with an asker who goes on.
#[tokio::test(start_paused = true)]
async fn an_asker_is_told_of_the_end_once_and_then_cut_off() {
    let (metrics, begun) = (Metrics::new(), Arc::new(AtomicUsize::new(0)));
    let said = stream::pending().boxed();
    let mut answers = Answers::new(answerer(&metrics, &begun, false), said, async {});
    assert!(answers.next().await.expect("told").expect("no error").ending);
    assert!(answers.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_question_ends_with_its_time() {
    let (metrics, begun) = (Metrics::new(), Arc::new(AtomicUsize::new(0)));
    let timeout = prost_types::Duration { seconds: 1, nanos: 0 };
    let asked = Question { timeout: Some(timeout), ..question(7) };
    let said = stream::iter([Ok(Said { questions: vec![asked], ..Said::default() })]);
    let said = said.chain(stream::pending()).boxed();
    let mut answers = Answers::new(answerer(&metrics, &begun, false), said, pending());
    let told = answers.next().await.expect("told").expect("no error");
    let [Answer { id: 7, result: Some(answer::Result::Failure(failure)) }] = &told.answers[..] else {
        panic!("{told:?}");
    };
    assert_eq!(failure.code, i32::from(tonic::Code::DeadlineExceeded));
}
