//! The SUBSCRIBEs to other domains, sent by an edge in the name of who seeks.

use std::sync::Arc;
use std::time::Duration;

use cluster_api::edge::v1::{ExchangeRequest, ExchangeResponse, SendRequest};
use cluster_api::sip::v1::Header;
use sip_dialog::{RouteSet, Side};
use sip_message::NameAddr;
use tokio::time::sleep;
use tonic::Code;

use super::{Answer, Ask, AskKind, Happened, Sought};
use crate::engine::{PATIENCE_MS, Package};
use crate::runner::{ApplyError, Runner};

/// First pause after a try that no edge took; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Tries to commit an answer while the store fails; after that the due entry has the edge asked again.
const TELL_ATTEMPTS: u32 = 5;

impl Runner {
    /// Starts to send the request that is in the record, unless this replica is at it.
    pub(super) fn ask_elsewhere(self: &Arc<Self>, sought: &Sought) {
        let Some(ask) = sought.ask.clone() else { return };
        let key = (sought.id.clone(), ask.number);
        if !self.sending.lock().insert(key.clone()) {
            return;
        }
        let (runner, sought) = (Arc::clone(self), sought.clone());
        let work = async move {
            let answer = runner.exchange_elsewhere(&sought, &ask).await;
            runner.counts.members_asked.with_label_values(&[outcome(&answer)]).inc();
            let mut pause = FIRST_PAUSE;
            for _ in 0..TELL_ATTEMPTS {
                let happened = Happened::Answered(ask.number, &answer);
                match runner.apply_sought(&sought.id, &happened, false).await {
                    Ok(_) | Err(ApplyError::Unknown) => break,
                    Err(error) => {
                        tracing::debug!(%error, "the answer of another domain is not committed yet");
                        sleep(pause).await;
                        pause *= 2;
                    }
                }
            }
            runner.sending.lock().remove(&(sought.id, ask.number));
        };
        if let Err(error) = self.tasks.spawn("elsewhere", work) {
            // The due entry that was committed with it brings it up again.
            self.sending.lock().remove(&key);
            self.counts.limits.with_label_values(&["tasks"]).inc();
            tracing::debug!(%error, "a request to another domain waits");
        }
    }

    async fn exchange_elsewhere(&self, sought: &Sought, ask: &Ask) -> Answer {
        let local = |status| Answer { status, ..Answer::default() };
        let Some(request) = request(sought, ask) else { return local(481) };
        let mut pause = FIRST_PAUSE;
        loop {
            match self.edges.exchange(&sought.id, request.clone()).await {
                Ok(response) => return read(&response),
                Err(status) if status.code() == Code::InvalidArgument => {
                    tracing::warn!(
                        error = status.message(),
                        "a member of another domain cannot be asked for"
                    );
                    return local(485);
                }
                Err(_) if self.repository.now_ms() >= ask.since_ms + PATIENCE_MS => return local(503),
                Err(_) => {
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

/// What is sent: the same from whichever replica. `None` when there is no dialog to say it in.
fn request(sought: &Sought, ask: &Ask) -> Option<ExchangeRequest> {
    let dialog = sought.dialog.as_ref()?;
    let expires_s = if ask.kind() == AskKind::Unsubscribe { 0 } else { sought.expires_s };
    let first = SendRequest {
        method: "SUBSCRIBE".to_owned(),
        request_uri: sought.member.clone(),
        from_uri: sought.watcher.clone(),
        from_tag: dialog.tag.clone(),
        to_uri: sought.member.clone(),
        sip_call_id: sought.call_id(dialog),
        cseq: dialog.local_cseq,
        headers: vec![
            Header::new("Event", Package::Presence.name()),
            Header::new("Accept", Package::Presence.content_type()),
            Header::new("Expires", expires_s.to_string()),
        ],
        // Where it may go, is where its watcher may.
        on_behalf_of: sought.watcher.clone(),
        ..SendRequest::default()
    };
    let request = match ask.kind() {
        AskKind::Subscribe => first,
        AskKind::Renew | AskKind::Unsubscribe if !dialog.remote_target.is_empty() => {
            let layout =
                RouteSet::of(dialog.route.iter().cloned(), Side::Callee).lay_out(&dialog.remote_target);
            SendRequest {
                request_uri: layout.request_uri,
                route: layout.routes,
                to_tag: dialog.remote_tag.clone(),
                flow: dialog.flow.clone(),
                ..first
            }
        }
        AskKind::Renew | AskKind::Unsubscribe | AskKind::Unspecified => return None,
    };
    let exchange_id = format!("el-{}.{}", dialog.tag, ask.number);
    Some(ExchangeRequest { exchange_id, request: Some(request) })
}

fn read(response: &ExchangeResponse) -> Answer {
    let contact = response.contacts.first().and_then(|value| NameAddr::parse(value.as_bytes()).ok());
    let contact = contact.map(|contact| String::from_utf8_lossy(contact.uri).into_owned());
    let seconds = |name: &str| {
        let header = response.headers.iter().find(|header| header.is(name))?;
        header.value.trim().split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    Answer {
        status: response.status,
        to_tag: response.to_tag.clone(),
        contact: contact.unwrap_or_default(),
        route: RouteSet::of(response.record_route.iter().cloned(), Side::Caller).into_values(),
        flow: response.flow.clone(),
        expires_s: seconds("Expires"),
        min_expires_s: seconds("Min-Expires"),
        retry_after_s: seconds("Retry-After"),
    }
}

fn outcome(answer: &Answer) -> &'static str {
    match answer.status {
        200..=299 => "accepted",
        408 => "silent",
        503 => "unavailable",
        _ => "refused",
    }
}
