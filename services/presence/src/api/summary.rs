//! `MessageSummary`: what waits in mailboxes, set by the application that has them.

use std::collections::HashSet;

use cluster_api::convert::{is_one_line, timestamp};
use cluster_api::presence::v1::{
    GetMessageSummaryRequest, SetMessageSummaryRequest, Summary, message_summary_server::MessageSummary,
};
use cluster_rpc::{Reason, Refusal};
use sip_message::Uri;
use store::{Batch, Op, StoreError};
use tonic::{Request, Response, Status};

use crate::Presence;
use crate::engine::Package;
use crate::refusal::of_store;
use crate::repository::names;
use crate::runner::Origin;
use crate::topics::Mailbox;

/// Longest URI to call for listening.
const LONGEST_ACCOUNT: usize = 512;

#[tonic::async_trait]
impl MessageSummary for Presence {
    async fn set_message_summary(
        &self,
        request: Request<SetMessageSummaryRequest>,
    ) -> Result<Response<Summary>, Status> {
        let request = request.into_inner();
        let Some(summary) = &request.summary else {
            return Err(Refusal::field(Reason::BadField, "summary", "a summary").into());
        };
        check(summary)?;
        let aor = self.account("summary.aor", &summary.aor).await?;
        let repository = &self.runner.repository;
        let store = &**repository.store();
        let used = self.requests.claim(store, "SetMessageSummary", &request.request_id, &request).await?;
        let (package, partition) = (Package::MessageSummary, repository.partition(&aor));
        let name = names::state(package, &aor);
        for _ in 0..self.runner.config.commit_attempts {
            if let Some(done) = used.result(store, partition).await? {
                return Ok(Response::new(done));
            }
            let now = Some(timestamp(store.now()));
            let set = Summary { aor: aor.clone(), update_time: now, ..summary.clone() };
            let (_, expect) = repository.record(&aor, &name).await.map_err(of_store)?;
            let mut ops: Vec<Op> = Vec::new();
            used.keep(&set, &mut ops);
            let mut batch = Batch::new(partition);
            batch.put(&name, Mailbox::write(&set), expect).ops.append(&mut ops);
            match repository.commit_telling(batch, &aor, &[package]).await {
                Ok(outcome) => {
                    self.runner.fan_out(package, &aor, Origin::Commit(name, outcome.version));
                    return Ok(Response::new(set));
                }
                Err(StoreError::Conflict) => self.runner.counts.conflicts.inc(),
                Err(error) => return Err(of_store(error)),
            }
        }
        Err(of_store(StoreError::Conflict))
    }

    async fn get_message_summary(
        &self,
        request: Request<GetMessageSummaryRequest>,
    ) -> Result<Response<Summary>, Status> {
        let aor = self.account("aor", &request.into_inner().aor).await?;
        let repository = &self.runner.repository;
        let name = names::state(Package::MessageSummary, &aor);
        let (value, _) = repository.record(&aor, &name).await.map_err(of_store)?;
        let mailbox = Mailbox::read(value.as_ref()).map_err(of_store)?;
        Ok(Response::new(Summary { aor, ..mailbox.summary }))
    }
}

fn check(summary: &Summary) -> Result<(), Status> {
    let account = &summary.message_account;
    let is_uri =
        || Uri::parse(account.as_bytes()).is_ok() && is_one_line(account) && account.len() <= LONGEST_ACCOUNT;
    if !account.is_empty() && !is_uri() {
        let expected = "a URI to call for listening, for example sip:voicemail@example.com, or nothing";
        return Err(Refusal::field(Reason::BadUri, "summary.message_account", expected).into());
    }
    let mut classes = HashSet::new();
    for (index, count) in summary.counts.iter().enumerate() {
        let field = format!("summary.counts[{index}].class");
        if !cluster_api::presence::v1::message_count::Class::try_from(count.class)
            .is_ok_and(|class| class as i32 > 0 && classes.insert(class))
        {
            let expected = "VOICE, FAX, PAGER, MULTIMEDIA or TEXT, each at most once";
            return Err(Refusal::field(Reason::BadField, field, expected).into());
        }
        if count.urgent_new > count.new || count.urgent_old > count.old {
            let expected = "no more urgent messages than there are";
            return Err(Refusal::field(Reason::BadField, format!("summary.counts[{index}]"), expected).into());
        }
    }
    Ok(())
}
