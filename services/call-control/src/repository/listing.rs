//! The index of calls: newest first, with as much of each call as filters need.

use cluster_api::callcontrol::v1 as wire;
use prost::Message as _;
use store::{Partition, StoreError};

use super::{Repository, names};
use crate::engine::call::Call;
use crate::engine::claim::takers::address_of_record;

/// Where a call stands in the index: later calls come first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(String);

impl Position {
    /// The position of a call.
    pub fn of(create_ms: u64, call_id: &str) -> Position {
        Position(format!("{:016x}/{call_id}", u64::MAX - create_ms))
    }

    /// From the text of a page token; any text is a position, if only between others.
    pub fn from_text(text: &str) -> Position {
        Position(text.to_owned())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The call.
    pub fn call_id(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, call_id)| call_id)
    }
}

/// What filters look at before the call itself is read.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Summary {
    /// Public state.
    #[prost(enumeration = "wire::call::State", tag = "1")]
    pub state: i32,
    /// Kind.
    #[prost(enumeration = "wire::call::Kind", tag = "2")]
    pub kind: i32,
    /// Address of record of `from`.
    #[prost(string, tag = "3")]
    pub from: String,
    /// Address of record of `to`.
    #[prost(string, tag = "4")]
    pub to: String,
    /// When it ended, in ms since 1970; 0 before.
    #[prost(uint64, tag = "5")]
    pub end_ms: u64,
    /// Addresses of record of those who came later.
    #[prost(string, repeated, tag = "6")]
    pub others: Vec<String>,
}

impl Summary {
    pub(super) fn of(call: &Call) -> Summary {
        let (from, to) = (address_of_record(&call.from.uri), address_of_record(&call.to.uri));
        let parties = (0..call.legs.len()).filter(|leg| !call.is_to_mixer(*leg));
        let others = others(parties.map(|leg| call.legs[leg].party.uri.as_str()), &from, &to);
        Summary {
            state: crate::wire::public::state(call.state()).into(),
            kind: crate::wire::public::kind(call).into(),
            from,
            to,
            end_ms: call.end_ms,
            others,
        }
    }

    pub(super) fn of_public(call: &wire::Call) -> Summary {
        let party = |party: &Option<wire::Party>| {
            party.as_ref().map(|party| address_of_record(&party.uri)).unwrap_or_default()
        };
        Summary {
            state: call.state,
            kind: call.kind,
            from: party(&call.from),
            to: party(&call.to),
            end_ms: crate::wire::moment(call.end_time.as_ref()).millis(),
            // Nobody comes into a call that is merely proxied
            others: Vec::new(),
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.state() == wire::call::State::Ended
    }
}

/// Those of these parties that are not the first two, each once.
fn others<'a>(parties: impl Iterator<Item = &'a str>, from: &str, to: &str) -> Vec<String> {
    let mut others: Vec<String> =
        parties.map(address_of_record).filter(|party| party != from && party != to).collect();
    others.sort_unstable();
    others.dedup();
    others
}

/// An entry of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Where it stands.
    pub position: Position,
    /// What filters need.
    pub summary: Summary,
}

impl Repository {
    /// At most `limit` calls of one partition after a position, newest first; whether there may be more.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(
        &self,
        partition: &Partition,
        ended: bool,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<(Vec<Listed>, bool), StoreError> {
        let index = if ended { names::ENDED } else { names::LIVE };
        let page = self.store.index(partition, index, after.map(Position::as_str), limit).await?;
        let more = page.next.is_some();
        let listed = page.entries.into_iter().map(|(member, value)| {
            let summary =
                Summary::decode(value).map_err(|error| StoreError::Corrupt { reason: error.to_string() })?;
            Ok(Listed { position: Position(member), summary })
        });
        Ok((listed.collect::<Result<_, StoreError>>()?, more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_calls_come_first() {
        let earlier = Position::of(1_700_000_000_000, "b");
        let later = Position::of(1_700_000_000_001, "a");
        assert!(later < earlier);
        assert_eq!(later.call_id(), "a");
    }

    #[test]
    fn parties_are_compared_as_addresses_of_record() {
        assert_eq!(address_of_record("sip:Bob@EXAMPLE.com:5060;transport=tcp"), "sip:Bob@example.com");
        assert_eq!(address_of_record("sips:Bob@example.com"), "sip:Bob@example.com");
        assert_eq!(address_of_record("tel:+1-555-1234"), "tel:+15551234");
        assert_eq!(address_of_record("no uri"), "no uri");
    }
}
