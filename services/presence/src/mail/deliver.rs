//! Messages on their way to their users.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster_api::edge::v1::{ExchangeRequest, SendRequest};
use cluster_api::sip::v1::{Body, Header};
use prost::Message as _;
use store::{Batch, Due, Expect, Partition, StoreError};
use tokio::time::sleep;

use super::record::PATIENCE_MS;
use super::{LOG, Mail, Message, USERS, due_name, owner_name, record_name};
use crate::repository::names::DUE;
use crate::repository::{digest, time};
use crate::runner::{ApplyError, Runner};

/// Whose a message is, is known for longer than it can be kept, and then goes by itself.
const OWNER_KEPT: Duration = Duration::from_secs(9 * 24 * 3_600);
/// How long a due look at messages is put off at least: nothing is looked at again and again.
const LEAST_WAIT_MS: u64 = 1_000;
/// First pause after a try that no edge took; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl Runner {
    /// Changes the messages of somebody; committed when this returns, with an entry of the log for each that is different.
    ///
    /// # Errors
    /// When the store fails, and what the change refuses with.
    pub async fn change_mail<T>(
        &self,
        aor: &str,
        change: impl Fn(&mut Mail, u64) -> T,
        also: impl Fn(&mut Batch, &T),
    ) -> Result<T, ApplyError> {
        for _ in 0..self.config.commit_attempts {
            let name = record_name(aor);
            let (value, expect) = self.repository.record(aor, &name).await?;
            let before = Mail::read(value.as_ref())?;
            let mut after = before.clone();
            let now_ms = self.repository.now_ms();
            after.lapse(now_ms);
            let result = change(&mut after, now_ms);
            if after == before {
                return Ok(result);
            }
            let mut batch = Batch::new(self.repository.partition(aor));
            match after.write() {
                Some(value) => batch.put(&name, Bytes::from(value), expect).index_add(USERS, aor, ""),
                None => batch.delete(&name, expect).index_remove(USERS, aor),
            };
            match after.due_ms(self.mail_lease_ms()) {
                Some(at) => batch.due_add(DUE, due_name(aor), time(at.max(now_ms + LEAST_WAIT_MS)), ""),
                None => batch.due_remove(DUE, due_name(aor)),
            };
            for message in after.messages.iter().filter(|message| before.find(&message.id) != Some(message)) {
                batch.log_append(LOG, message.public(aor).encode_to_vec());
                if before.find(&message.id).is_none() {
                    batch.put_for(owner_name(&message.id), aor.to_owned(), Expect::Any, OWNER_KEPT);
                }
            }
            for message in before.messages.iter().filter(|message| after.find(&message.id).is_none()) {
                batch.delete(owner_name(&message.id), Expect::Any);
            }
            also(&mut batch, &result);
            match self.repository.store().commit(batch).await {
                Ok(_) => return Ok(result),
                Err(StoreError::Conflict) => self.counts.conflicts.inc(),
                Err(error) => return Err(error.into()),
            }
        }
        Err(ApplyError::Contended)
    }

    /// Sends what waits for a user, in the background. `has_registered`: the user has just come.
    pub fn deliver(self: &Arc<Self>, aor: &str, has_registered: bool) {
        let (runner, aor) = (Arc::clone(self), aor.to_owned());
        let work = async move {
            if let Err(error) = runner.deliver_all(&aor, has_registered).await {
                tracing::debug!(%error, "messages wait for their due time");
            }
        };
        if self.tasks.spawn("deliver", work).is_err() {
            self.counts.limits.with_label_values(&["tasks"]).inc();
        }
    }

    async fn deliver_all(self: &Arc<Self>, aor: &str, has_registered: bool) -> Result<(), ApplyError> {
        let mut is_new = has_registered;
        loop {
            let next = self
                .change_mail(
                    aor,
                    |mail, now_ms| {
                        if is_new {
                            mail.registered();
                        }
                        mail.begin(now_ms, self.mail_lease_ms())
                    },
                    |_, _| {},
                )
                .await?;
            is_new = false;
            let Some(message) = next else { return Ok(()) };
            let (id, attempt) = (message.id.as_str(), message.attempt);
            let key = (id.to_owned(), attempt);
            if !self.sending.lock().insert(key.clone()) {
                return Ok(());
            }
            let status = self.send_message(aor, &message).await;
            let answered = self
                .change_mail(aor, |mail, now_ms| mail.answered(id, attempt, status, now_ms), |_, ()| {})
                .await;
            self.sending.lock().remove(&key);
            answered?;
        }
    }

    /// How long a message is left to the replica that sends it, before another one asks after it.
    fn mail_lease_ms(&self) -> u64 {
        u64::try_from(self.config.notify_lease.as_millis()).unwrap_or(u64::MAX)
    }

    async fn send_message(&self, aor: &str, message: &Message) -> u32 {
        let request = request(aor, message);
        let mut pause = FIRST_PAUSE;
        loop {
            match self.edges.exchange(&message.id, request.clone()).await {
                Ok(response) => return response.status,
                Err(status) if status.code() == tonic::Code::InvalidArgument => return 400,
                Err(_) if self.repository.now_ms() >= message.at_ms + PATIENCE_MS => return 503,
                Err(_) => {
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// The time of something among the messages of a user has come.
    pub(crate) async fn look_at_mail(
        self: &Arc<Self>,
        partition: &Partition,
        aor: &str,
        due: &Due,
    ) -> Result<(), ApplyError> {
        let (value, _) = self.repository.record(aor, &record_name(aor)).await?;
        if value.is_none() {
            return self.is_done(partition, due).await;
        }
        self.deliver_all(aor, false).await
    }
}

/// A try to deliver a message: the same from whichever replica, so that an edge knows it, and so does the phone that gets it by another
/// edge. A later try is the same message, under the next number (RFC 3261 8.1.3.5).
fn request(aor: &str, message: &Message) -> ExchangeRequest {
    let mut headers = vec![Header::new("Date", message.date())];
    headers.extend(message.expires_s.map(|seconds| Header::new("Expires", seconds.to_string())));
    headers.extend(message.headers.iter().cloned());
    let body = Body {
        content_disposition: message.disposition.clone(),
        ..Body::new(&message.content_type, message.body.clone())
    };
    ExchangeRequest {
        exchange_id: format!("{}.{}", message.id, message.attempt),
        request: Some(SendRequest {
            method: "MESSAGE".to_owned(),
            request_uri: aor.to_owned(),
            from_uri: message.from.clone(),
            from_display: message.from_display.clone(),
            from_tag: format!("{:.16}", digest(&["from", &message.id])),
            to_uri: aor.to_owned(),
            sip_call_id: message.id.clone(),
            cseq: message.attempt,
            headers,
            body: Some(body),
            ..SendRequest::default()
        }),
    }
}
