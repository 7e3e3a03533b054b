//! Messages on their way to their users.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster_api::edge::v1::{ExchangeRequest, SendRequest};
use cluster_api::sip::v1::{Body, Header};
use prost::Message as _;
use store::{Batch, Due, Expect, Partition, StoreError};

use super::{LOG, Mail, Message, USERS, due_name, owner_name, record_name};
use crate::repository::names::DUE;
use crate::repository::{digest, time};
use crate::runner::{ApplyError, Runner};

/// Whose a message is, is known for longer than it can be kept, and then goes by itself.
const OWNER_KEPT: Duration = Duration::from_secs(9 * 24 * 3_600);
/// How long a due look at messages is put off at least: nothing is looked at again and again.
const LEAST_WAIT_MS: u64 = 1_000;

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
            match after.due_ms() {
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
                        mail.begin(now_ms)
                    },
                    |_, _| {},
                )
                .await?;
            is_new = false;
            let Some(message) = next else { return Ok(()) };
            let status = self.send_message(aor, &message).await;
            let (id, attempt) = (message.id.as_str(), message.attempt);
            self.change_mail(aor, |mail, now_ms| mail.answered(id, attempt, status, now_ms), |_, ()| {})
                .await?;
        }
    }

    async fn send_message(&self, aor: &str, message: &Message) -> u32 {
        let mut headers = Vec::new();
        if !message.date.is_empty() {
            headers.push(Header::new("Date", &message.date));
        }
        let exchange_id = format!("{}.{}", message.id, message.attempt);
        let request = ExchangeRequest {
            request: Some(SendRequest {
                method: "MESSAGE".to_owned(),
                request_uri: aor.to_owned(),
                from_uri: message.from.clone(),
                from_display: message.from_display.clone(),
                from_tag: format!("{:.16}", digest(&["from", &exchange_id])),
                to_uri: aor.to_owned(),
                sip_call_id: exchange_id.clone(),
                cseq: 1,
                headers,
                body: Some(Body::new(&message.content_type, message.body.clone())),
                ..SendRequest::default()
            }),
            exchange_id,
        };
        match self.edges.exchange(&message.id, request).await {
            Ok(response) => response.status,
            Err(status) if status.code() == tonic::Code::InvalidArgument => 400,
            Err(_) => 503,
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
