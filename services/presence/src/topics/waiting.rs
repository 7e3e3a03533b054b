//! Who asked to watch somebody's presence and went before that one had decided: it is shown who it was, so that a decision can still be
//! made (RFC 3857 4.7.1).

use bytes::Bytes;
use prost::Message as _;
use store::StoreError;
use store_rpc::read_record;

use crate::engine::Subscription;

/// Watchers that wait for the decision of one; the oldest is given up for one more.
const MOST: usize = 64;
/// How long it is remembered: 7 days, as a message that waits for its user.
const LASTS_MS: u64 = 7 * 24 * 3_600_000;

/// Name of the record of who waits.
pub fn waiting_record(resource: &str) -> String {
    format!("q/{resource}")
}

/// Those who wait, the oldest first; each watcher once.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Waiting {
    /// Version of this schema.
    #[prost(uint32, tag = "1")]
    schema: u32,
    #[prost(message, repeated, tag = "2")]
    pub all: Vec<Waiter>,
}

const SCHEMA: u32 = 1;

/// One of them.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Waiter {
    /// Id of its last subscription.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Address of record.
    #[prost(string, tag = "2")]
    pub watcher: String,
    /// Name that it shows, empty for none.
    #[prost(string, tag = "3")]
    pub display: String,
    /// When its subscription ended, in milliseconds since 1970.
    #[prost(uint64, tag = "4")]
    since_ms: u64,
}

impl Waiting {
    /// Reads the record.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn read(value: Option<&Bytes>) -> Result<Waiting, StoreError> {
        let Some(value) = value else { return Ok(Waiting::default()) };
        read_record(value.clone(), SCHEMA, "who waits", |read: &Waiting| read.schema)
    }

    /// The record; `None` when nobody waits.
    pub fn write(&self) -> Option<Vec<u8>> {
        (!self.all.is_empty()).then(|| Waiting { schema: SCHEMA, ..self.clone() }.encode_to_vec())
    }

    /// The watcher of a subscription that has ended waits from now on.
    pub fn add(&mut self, ended: &Subscription, now_ms: u64) {
        self.give_up(now_ms);
        self.all.retain(|waiter| waiter.watcher != ended.watcher);
        if self.all.len() >= MOST {
            self.all.remove(0);
        }
        self.all.push(Waiter {
            id: ended.id.clone(),
            watcher: ended.watcher.clone(),
            display: ended.display.clone(),
            since_ms: now_ms,
        });
    }

    /// Forgets who has waited for too long.
    pub fn give_up(&mut self, now_ms: u64) {
        self.all.retain(|waiter| waiter.since_ms + LASTS_MS > now_ms);
    }

    /// When the next one is given up.
    pub fn next_ms(&self) -> Option<u64> {
        self.all.iter().map(|waiter| waiter.since_ms + LASTS_MS).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(number: usize, watcher: &str) -> Subscription {
        let (id, watcher) = (number.to_string(), watcher.to_owned());
        Subscription { id, watcher, ..Subscription::default() }
    }

    /// WIN-01: each watcher waits once, so many of them, and for so long.
    #[test]
    fn who_waits_is_bounded_in_number_and_time() {
        let mut waiting = Waiting::default();
        for number in 0..=MOST {
            waiting.add(&ended(number, &format!("sip:w{number}@d")), number as u64);
        }
        assert_eq!((waiting.all.len(), waiting.all[0].id.as_str()), (MOST, "1"));
        waiting.add(&ended(900, "sip:w1@d"), 900);
        assert_eq!((waiting.all.len(), waiting.all[MOST - 1].id.as_str()), (MOST, "900"));
        assert_eq!(waiting.next_ms(), Some(2 + LASTS_MS));
        let value = Bytes::from(waiting.write().expect("somebody waits"));
        assert_eq!(Waiting::read(Some(&value)).expect("a record").all, waiting.all);
        waiting.give_up(899 + LASTS_MS);
        assert_eq!(waiting.all.len(), 1);
        waiting.give_up(900 + LASTS_MS);
        assert_eq!((waiting.write(), waiting.next_ms()), (None, None));
    }
}
