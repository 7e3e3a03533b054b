//! `message-summary`: what waits in a mailbox (RFC 3842).

use bytes::Bytes;
use cluster_api::presence::v1::{MessageCount, Summary, message_count::Class};
use prost::Message as _;
use sip_body::message_summary::{CONTENT_TYPE, Count, MessageSummary};
use store::StoreError;
use store_rpc::read_record;

use super::Policy;
use crate::engine::{Access, Asking, Document, Topic};

/// The record of a mailbox.
#[derive(Clone, PartialEq, prost::Message)]
struct Record {
    /// Version of this schema.
    #[prost(uint32, tag = "1")]
    schema: u32,
    /// As the application set it.
    #[prost(message, optional, tag = "2")]
    summary: Option<Summary>,
}

const SCHEMA: u32 = 1;

/// A mailbox.
#[derive(Clone, Debug, Default)]
pub struct Mailbox {
    /// What waits; nothing when it was never said.
    pub summary: Summary,
    /// Who but its owner may know.
    pub policy: Policy,
}

impl Mailbox {
    /// Reads the record.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn read(value: Option<&Bytes>) -> Result<Mailbox, StoreError> {
        let Some(value) = value else { return Ok(Mailbox::default()) };
        let record = read_record(value.clone(), SCHEMA, "a mailbox", |read: &Record| read.schema)?;
        Ok(Mailbox { summary: record.summary.unwrap_or_default(), policy: Policy::default() })
    }

    /// The record of a summary.
    pub fn write(summary: &Summary) -> Vec<u8> {
        Record { schema: SCHEMA, summary: Some(summary.clone()) }.encode_to_vec()
    }
}

impl Topic for Mailbox {
    /// Its owner, and whom the owner's policy names.
    fn access(&self, watcher: &str) -> Access {
        if self.policy.allows(watcher) { Access::Granted } else { Access::Refused }
    }

    fn document(&self, _: &Asking<'_>) -> Document {
        let count = |count: &MessageCount| {
            Some(Count {
                class: match count.class() {
                    Class::Unspecified => return None,
                    Class::Voice => "Voice-Message",
                    Class::Fax => "Fax-Message",
                    Class::Pager => "Pager-Message",
                    Class::Multimedia => "Multimedia-Message",
                    Class::Text => "Text-Message",
                },
                new: count.new,
                old: count.old,
                urgent_new: count.urgent_new,
                urgent_old: count.urgent_old,
            })
        };
        let account = &self.summary.message_account;
        let body = MessageSummary {
            is_waiting: self.summary.messages_waiting,
            account: (!account.is_empty()).then(|| account.clone()),
            counts: self.summary.counts.iter().filter_map(count).collect(),
        }
        .to_body()
        .into_bytes();
        Document { content_type: CONTENT_TYPE.to_owned(), told: body.clone(), body }
    }
}
