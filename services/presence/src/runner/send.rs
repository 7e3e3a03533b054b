//! A NOTIFY on its way.

use std::sync::Arc;
use std::time::Duration;

use cluster_api::edge::v1::{ExchangeRequest, ExchangeResponse, SendRequest};
use cluster_api::sip::v1::{Body, Header};
use sip_dialog::{RouteSet, Side};
use tokio::time::sleep;
use tonic::{Code, Status};

use super::{ApplyError, Runner};
use crate::engine::{Answer, EVENT_LIST, Event, Notify, PATIENCE_MS, Subscription, allow_events};

/// First pause after a try that no edge took; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Tries to commit an answer while the store fails; after that the due entry has the edge asked again.
const TELL_ATTEMPTS: u32 = 5;

impl Runner {
    /// Starts to send the NOTIFY that is in the record, unless this replica is at it.
    pub(crate) fn send(self: &Arc<Self>, subscription: Subscription) {
        let Some(notify) = subscription.notify.clone() else { return };
        let key = (subscription.id.clone(), notify.number);
        if !self.sending.lock().insert(key.clone()) {
            return;
        }
        let runner = Arc::clone(self);
        let work = async move {
            if notify.number == 1 {
                sleep(runner.config.head_start).await;
            }
            let answer = runner.exchange(&subscription, &notify).await;
            runner.tell(&subscription.id, notify.number, answer).await;
            runner.sending.lock().remove(&key);
        };
        if let Err(error) = self.tasks.spawn("notify", work) {
            // The due entry that was committed with it brings it up again.
            self.counts.limits.with_label_values(&["tasks"]).inc();
            tracing::debug!(%error, "a NOTIFY waits for its lease to end");
        }
    }

    async fn exchange(&self, subscription: &Subscription, notify: &Notify) -> Answer {
        let request = request(subscription, notify);
        let mut pause = FIRST_PAUSE;
        loop {
            let (answer, outcome) = match self.edges.exchange(&subscription.id, request.clone()).await {
                Ok(response) => (answer_of(&response), outcome_of(&response)),
                Err(status) if is_hopeless(&status) => {
                    tracing::warn!(error = status.message(), "a NOTIFY cannot be sent");
                    (Answer { status: 481, retry_after_s: None }, "unsent")
                }
                Err(_) if self.repository.now_ms() >= notify.since_ms + PATIENCE_MS => {
                    (Answer { status: 503, retry_after_s: None }, "unsent")
                }
                Err(_) => {
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    continue;
                }
            };
            self.counts.notifies.with_label_values(&[outcome]).inc();
            return answer;
        }
    }

    async fn tell(self: &Arc<Self>, id: &str, number: u32, answer: Answer) {
        let mut pause = FIRST_PAUSE;
        for _ in 0..TELL_ATTEMPTS {
            match self.apply(id, &Event::Answered(number, answer), false).await {
                Ok(_) | Err(ApplyError::Unknown) => return,
                Err(error) => {
                    tracing::debug!(%error, "the answer to a NOTIFY is not committed yet");
                    sleep(pause).await;
                    pause *= 2;
                }
            }
        }
    }
}

/// The request of a NOTIFY: the same from whichever replica.
fn request(subscription: &Subscription, notify: &Notify) -> ExchangeRequest {
    let dialog = &subscription.dialog;
    let layout =
        RouteSet::of(dialog.record_route.iter().cloned(), Side::Callee).lay_out(&dialog.remote_target);
    let mut headers = vec![
        Header::new("Event", subscription.event()),
        Header::new("Subscription-State", &notify.state),
        Header::new("Allow-Events", allow_events()),
    ];
    if subscription.is_list {
        // RFC 4662 4.5
        headers.push(Header::new("Require", EVENT_LIST));
    }
    let body =
        (!notify.content_type.is_empty()).then(|| Body::new(&notify.content_type, notify.body.clone()));
    ExchangeRequest {
        exchange_id: format!("{}.{}", subscription.id, notify.number),
        request: Some(SendRequest {
            method: "NOTIFY".to_owned(),
            request_uri: layout.request_uri,
            route: layout.routes,
            from_uri: dialog.local_uri.clone(),
            from_tag: subscription.id.clone(),
            to_uri: dialog.remote_uri.clone(),
            to_tag: dialog.remote_tag.clone(),
            sip_call_id: dialog.call_id.clone(),
            cseq: notify.number,
            headers,
            body,
            flow: dialog.flow.clone(),
            ..SendRequest::default()
        }),
    }
}

fn answer_of(response: &ExchangeResponse) -> Answer {
    let retry_after = response.headers.iter().find(|header| header.is("Retry-After"));
    let seconds = retry_after.and_then(|header| {
        header.value.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok())
    });
    Answer { status: response.status, retry_after_s: seconds }
}

fn outcome_of(response: &ExchangeResponse) -> &'static str {
    match (response.status, response.local) {
        (200..=299, _) => "accepted",
        (408, true) => "silent",
        (_, true) => "unsent",
        (_, false) => "refused",
    }
}

/// Whether no edge will ever send it: a part of it may not go into a message.
fn is_hopeless(status: &Status) -> bool {
    status.code() == Code::InvalidArgument
}
