//! `Messages`: sent by applications, listed, watched, deleted.

use cluster_api::convert::{is_one_line, optional_duration, page_limit, timestamp};
use cluster_api::presence::v1::{self as api, InstantMessage, MessageEvent, MessageFilter};
use cluster_rpc::{Reason, Refusal};
use prost::Message as _;
use store::{Batch, LogEntry};
use tonic::{Request, Response, Status};

use super::accounts::Whose;
use crate::Presence;
use crate::intake::{LONGEST_BODY, USUAL_EXPIRES_S, user_aor};
use crate::mail::{LOG, Mail, Message, NoRoom, State, USERS, owner_name, record_name};
use crate::refusal::{of_change, of_store};
use crate::repository::{corrupt, time};
use crate::watch::{Events, LogWatch, Told};

/// Messages read for one snapshot, at most this many users of one partition at a time.
const PAGE: usize = 256;

#[tonic::async_trait]
impl api::messages_server::Messages for Presence {
    type WatchMessagesStream = Events<MessageEvent>;

    async fn send_message(
        &self,
        request: Request<api::SendMessageRequest>,
    ) -> Result<Response<InstantMessage>, Status> {
        let request = request.into_inner();
        let aor = self.account("to", &request.to).await?;
        let new = self.message(&request, &aor)?;
        if self.whose(&new.from).await? == Whose::Elsewhere {
            // Its users would answer somebody who has not written, and nobody vouches for the name.
            let expected = "a URI of a domain that is served here";
            return Err(Refusal::field(Reason::BadUri, "from", expected).into());
        }
        let store = &**self.runner.repository.store();
        let used = self.requests.claim(store, "SendMessage", &request.request_id, &request).await?;
        let partition = self.runner.repository.partition(&aor);
        if let Some(done) = used.result(store, partition).await? {
            return Ok(Response::new(done));
        }
        let shown = Message { state: State::Stored.into(), ..new.clone() }.public(&aor);
        let kept = self
            .runner
            .change_mail(
                &aor,
                |mail, _| mail.add(new.clone()),
                |batch, added| {
                    if added.is_ok() {
                        used.keep(&shown, &mut batch.ops);
                    }
                },
            )
            .await
            .map_err(of_change)?;
        if kept == Err(NoRoom) {
            self.runner.counts.limits.with_label_values(&["messages"]).inc();
            let text = format!("as many messages as may wait for {aor} do");
            return Err(Refusal::new(Reason::MailboxFull, text).into());
        }
        self.runner.deliver(&aor, true);
        Ok(Response::new(shown))
    }

    async fn list_messages(
        &self,
        request: Request<api::ListMessagesRequest>,
    ) -> Result<Response<api::ListMessagesResponse>, Status> {
        let request = request.into_inner();
        let limit = page_limit(request.page_size).map_err(Refusal::from)? as usize;
        let aor = self.account("aor", &request.aor).await?;
        let mail = self.mail(&aor).await?;
        let is_wanted = |message: &InstantMessage| fits(request.filter.as_ref(), message);
        let mut found: Vec<InstantMessage> =
            mail.messages.iter().map(|message| message.public(&aor)).filter(is_wanted).collect();
        if !request.page_token.is_empty() {
            // A message that has gone since begins nothing anew.
            let at = found.iter().position(|message| message.message_id == request.page_token);
            let Some(at) = at else {
                return Err(Refusal::field(Reason::BadPageToken, "page_token", "a token of this list").into());
            };
            found.drain(..=at);
        }
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| more).map(|message| message.message_id.clone());
        Ok(Response::new(api::ListMessagesResponse {
            messages: found,
            next_page_token: last.unwrap_or_default(),
        }))
    }

    async fn delete_message(
        &self,
        request: Request<api::DeleteMessageRequest>,
    ) -> Result<Response<api::DeleteMessageResponse>, Status> {
        let request = request.into_inner();
        let store = &**self.runner.repository.store();
        let unknown = || Refusal::new(Reason::MessageNotFound, "there is no such message any more");
        let partition = self.runner.repository.home_of(&request.message_id).ok_or_else(unknown)?.clone();
        let used = self.requests.claim(store, "DeleteMessage", &request.request_id, &request).await?;
        if let Some(done) = used.result(store, &partition).await? {
            return Ok(Response::new(done));
        }
        let done = api::DeleteMessageResponse {};
        let id = &request.message_id;
        let owner = store.get(&partition.key(owner_name(id))).await.map_err(of_store)?;
        let aor = owner.and_then(|owner| String::from_utf8(owner.value.to_vec()).ok()).ok_or_else(unknown)?;
        let remove = |mail: &mut Mail, _| {
            let before = mail.messages.len();
            mail.messages.retain(|message| message.id != *id);
            before > mail.messages.len()
        };
        let keep = |batch: &mut Batch, removed: &bool| {
            if *removed {
                used.keep(&done, &mut batch.ops);
            }
        };
        if self.runner.change_mail(&aor, remove, keep).await.map_err(of_change)? {
            return Ok(Response::new(done));
        }
        Err(unknown().into())
    }

    async fn watch_messages(
        &self,
        request: Request<api::WatchMessagesRequest>,
    ) -> Result<Response<Self::WatchMessagesStream>, Status> {
        let request = request.into_inner();
        let filter = request.filter;
        let to = filter.as_ref().map(|filter| filter.to.as_str()).filter(|to| !to.is_empty());
        let aor = match to {
            Some(to) => Some(self.account("filter.to", to).await?),
            None => None,
        };
        let partitions = match &aor {
            Some(aor) => vec![self.runner.repository.partition(aor).clone()],
            None => self.runner.repository.partitions().to_vec(),
        };
        let store = self.runner.repository.store().clone();
        let after = request.after_cursor.as_deref();
        let watch = LogWatch::begin(store, LOG, &partitions, after, self.ending()).await?;
        let mut snapshot = Vec::new();
        if after.is_none() {
            let mut aors: Vec<String> = aor.into_iter().collect();
            if aors.is_empty() {
                for partition in &partitions {
                    aors.extend(self.users_with_mail(partition).await?);
                }
            }
            for aor in aors {
                let kept = self.mail(&aor).await?.messages;
                let shown =
                    kept.iter().filter(|message| !message.is_over()).map(|message| message.public(&aor));
                snapshot.extend(shown.filter(|message| fits(filter.as_ref(), message)));
            }
        }
        let now = timestamp(self.runner.repository.store().now());
        let read = move |told: Told<'_, InstantMessage>| match told {
            Told::Snapshot(cursor, message) => {
                Ok(Some(MessageEvent { cursor, time: Some(now), message: Some(message), snapshot: true }))
            }
            Told::Entry(cursor, entry) => event(filter.as_ref(), cursor, entry),
        };
        Ok(Response::new(Box::pin(watch.stream(snapshot, read))))
    }
}

fn event(
    filter: Option<&MessageFilter>,
    cursor: String,
    entry: &LogEntry,
) -> Result<Option<MessageEvent>, store::StoreError> {
    let message = InstantMessage::decode(entry.entry.clone()).map_err(corrupt)?;
    let time = Some(timestamp(entry.cursor.time()));
    let is_wanted = fits(filter, &message);
    Ok(is_wanted.then_some(MessageEvent { cursor, time, message: Some(message), snapshot: false }))
}

fn fits(filter: Option<&MessageFilter>, message: &InstantMessage) -> bool {
    let Some(filter) = filter else { return true };
    let is_same = |wanted: &str, found: &str| {
        wanted.is_empty()
            || wanted == found
            || (user_aor(wanted).is_some() && user_aor(wanted) == user_aor(found))
    };
    is_same(&filter.to, &message.to)
        && is_same(&filter.from, &message.from)
        && (filter.states.is_empty() || filter.states.contains(&message.state))
}

impl Presence {
    async fn mail(&self, aor: &str) -> Result<Mail, Status> {
        let repository = &self.runner.repository;
        let (value, _) = repository.record(aor, &record_name(aor)).await.map_err(of_store)?;
        let mut mail = Mail::read(value.as_ref()).map_err(of_store)?;
        mail.lapse(repository.now_ms());
        Ok(mail)
    }

    async fn users_with_mail(&self, partition: &store::Partition) -> Result<Vec<String>, Status> {
        let (mut users, mut after) = (Vec::new(), None::<String>);
        loop {
            let store = self.runner.repository.store();
            let page = store.index(partition, USERS, after.as_deref(), PAGE).await.map_err(of_store)?;
            users.extend(page.entries.into_iter().map(|(aor, _)| aor));
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(users),
            }
        }
    }

    /// The message that an application sends.
    fn message(&self, request: &api::SendMessageRequest, aor: &str) -> Result<Message, Status> {
        let Some(from) = user_aor(&request.from) else {
            let expected = "a URI of a served domain, for example sip:alice@example.com";
            return Err(Refusal::field(Reason::BadUri, "from", expected).into());
        };
        if request.body.len() > LONGEST_BODY {
            return Err(Refusal::field(Reason::BodyTooLarge, "body", "at most 64 kB").into());
        }
        let content_type = match request.content_type.as_str() {
            "" => "text/plain;charset=UTF-8",
            other if is_one_line(other) && other.len() <= 256 && other.contains('/') => other,
            _ => {
                return Err(
                    Refusal::field(Reason::BadField, "content_type", "a media type in one line").into()
                );
            }
        };
        let usual = std::time::Duration::from_secs(USUAL_EXPIRES_S.into());
        let least = std::time::Duration::from_secs(1);
        let asked = optional_duration("expires", request.expires, least..=usual).map_err(Refusal::from)?;
        let expires = asked.unwrap_or(usual);
        let repository = &self.runner.repository;
        let unique = match request.request_id.as_str() {
            "" => self.entropy.token(16),
            id => id.to_owned(),
        };
        let now = repository.now_ms();
        let end = crate::repository::millis(time(now) + expires);
        Ok(Message {
            id: repository.id_of(aor, &["message of an application", aor, &unique]),
            from,
            content_type: content_type.to_owned(),
            body: request.body.clone(),
            create_ms: now,
            expire_ms: end,
            expires_s: asked.and_then(|asked| u32::try_from(asked.as_secs()).ok()),
            ..Message::default()
        })
    }
}
