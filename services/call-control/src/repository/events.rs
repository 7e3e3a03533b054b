//! Events of calls as the log keeps them. What happens to a call in one commit is one entry, in which events with the same state of
//! the call share it: most of an event is that state. Several proxied calls of a commit, each told as a [`Story`], share an entry.

use cluster_api::callcontrol::v1 as wire;
use prost::Message as _;
use store::{Batch, Cursor, LogEntry, StoreError};

use super::names::EVENTS;
use crate::proxied::story::Story;

/// Events of one entry at most.
const MOST: usize = 64;
/// Octets of events after which an entry takes no further one: it stays far below what the store takes as one value.
const LARGE: usize = 128 << 10;
/// Octets of stories after which an entry takes no further one. The log is bounded by its entries: this is what bounds its memory.
const LARGE_STORIES: usize = 4 << 10;

/// The events of an entry that tells of several; an entry that tells of one is that event.
#[derive(Clone, PartialEq, prost::Message)]
struct Together {
    /// The events, without the call.
    #[prost(message, repeated, tag = "1")]
    events: Vec<wire::CallEvent>,
    /// For each event, which of the states is its; 0 for none, 1 for the first.
    #[prost(uint32, repeated, tag = "2")]
    state_of: Vec<u32>,
    /// States of the call.
    #[prost(message, repeated, tag = "3")]
    states: Vec<wire::Call>,
    /// What is told of proxied calls.
    #[prost(message, repeated, tag = "4")]
    stories: Vec<Story>,
}

/// Adds the stories of several calls to what is committed.
pub(super) fn append_stories(batch: &mut Batch, stories: Vec<Story>) -> Result<(), StoreError> {
    let mut entry = Together::default();
    let mut octets = 0;
    for story in stories {
        if octets >= LARGE_STORIES || entry.stories.len() >= MOST {
            append_together(batch, std::mem::take(&mut entry))?;
            octets = 0;
        }
        octets += story.encoded_len();
        entry.stories.push(story);
    }
    append_together(batch, entry)
}

fn append_together(batch: &mut Batch, together: Together) -> Result<(), StoreError> {
    let count: usize = together.stories.iter().map(Story::len).sum();
    match u16::try_from(count).unwrap_or(u16::MAX) {
        0 => {}
        // An entry that tells of one thing is that event.
        1 => {
            for event in together.all()? {
                batch.log_append(EVENTS, event.encode_to_vec());
            }
        }
        count => {
            batch.log_append_many(EVENTS, together.encode_to_vec(), count);
        }
    }
    Ok(())
}

/// Adds the events of one call to what is committed, in order.
pub(super) fn append(batch: &mut Batch, events: Vec<wire::CallEvent>) {
    let mut entry = Vec::new();
    let mut octets = 0;
    for event in events {
        if entry.len() >= MOST || octets >= LARGE {
            append_entry(batch, std::mem::take(&mut entry));
            octets = 0;
        }
        octets += event.encoded_len();
        entry.push(event);
    }
    append_entry(batch, entry);
}

fn append_entry(batch: &mut Batch, events: Vec<wire::CallEvent>) {
    if let [only] = &events[..] {
        batch.log_append(EVENTS, only.encode_to_vec());
    } else if !events.is_empty() {
        let count = u16::try_from(events.len()).unwrap_or(u16::MAX);
        let mut together = Together::default();
        for event in events {
            together.add(event);
        }
        batch.log_append_many(EVENTS, together.encode_to_vec(), count);
    }
}

/// The events of an entry, each with its place in the log.
///
/// # Errors
/// [`StoreError::Corrupt`] when they cannot be read.
pub fn read(entry: LogEntry) -> Result<Vec<(Cursor, wire::CallEvent)>, StoreError> {
    let LogEntry { cursor, count, entry } = entry;
    if count == 1 {
        return Ok(vec![(cursor, wire::CallEvent::decode(entry).map_err(unreadable)?)]);
    }
    let events = Together::decode(entry).map_err(unreadable)?.all()?;
    if events.len() != usize::from(count) {
        return Err(unreadable("an entry of the event log tells of more or less than it says"));
    }
    let before = cursor.number.saturating_sub(u64::from(count));
    let places = (before + 1..).map(|number| Cursor { number, ..cursor });
    Ok(places.zip(events).collect())
}

fn unreadable(why: impl ToString) -> StoreError {
    StoreError::Corrupt { reason: why.to_string() }
}

impl Together {
    /// Its events, each with the call.
    fn all(self) -> Result<Vec<wire::CallEvent>, StoreError> {
        let Together { mut events, state_of, states, stories } = self;
        if state_of.len() != events.len() {
            return Err(unreadable("an entry of the event log has events without a state, or too many"));
        }
        for (event, state) in events.iter_mut().zip(state_of) {
            if let Some(state) = usize::try_from(state).unwrap_or(usize::MAX).checked_sub(1) {
                let state = states.get(state).ok_or_else(|| unreadable("an event without its call"))?;
                event.call = Some(state.clone());
            }
        }
        for story in stories {
            events.extend(story.events().map_err(unreadable)?);
        }
        Ok(events)
    }

    fn add(&mut self, mut event: wire::CallEvent) {
        if let Some(call) = event.call.take() {
            if self.states.last() != Some(&call) {
                self.states.push(call);
            }
            self.state_of.push(u32::try_from(self.states.len()).unwrap_or(u32::MAX));
        } else {
            self.state_of.push(0);
        }
        self.events.push(event);
    }
}

#[cfg(test)]
mod tests {
    use store::{Op, Partition};

    use super::*;

    fn event(leg_id: &str, etag: Option<&str>) -> wire::CallEvent {
        let call = etag.map(|etag| wire::Call { etag: etag.into(), ..wire::Call::default() });
        wire::CallEvent { leg_id: Some(leg_id.into()), call, ..wire::CallEvent::default() }
    }

    fn entries(events: Vec<wire::CallEvent>) -> Vec<LogEntry> {
        let mut batch = Batch::new(&Partition::new("calls", 0));
        append(&mut batch, events);
        let mut number = 100;
        let entries = batch.ops.into_iter().map(|op| {
            let Op::LogAppend { entry, count, .. } = op else { panic!("{op:?}") };
            number += u64::from(count);
            LogEntry { cursor: Cursor { millis: 7, number }, count, entry }
        });
        entries.collect()
    }

    #[test]
    fn every_event_comes_back_with_its_state_and_its_place() {
        let told = vec![
            event("a", Some("1")),
            event("b", Some("1")),
            event("c", None),
            event("d", Some("2")),
            event("e", Some("1")),
        ];
        let entries = entries(told.clone());
        assert_eq!(entries.len(), 1);
        let read: Vec<_> = entries.into_iter().flat_map(|entry| read(entry).expect("readable")).collect();
        assert_eq!(read.iter().map(|(_, event)| event.clone()).collect::<Vec<_>>(), told);
        assert_eq!(
            read.iter().map(|(cursor, _)| cursor.number).collect::<Vec<_>>(),
            [101, 102, 103, 104, 105]
        );
        assert!(read.iter().all(|(cursor, _)| cursor.millis == 7));
    }

    #[test]
    fn an_event_by_itself_is_an_entry_and_many_are_several() {
        assert_eq!(entries(vec![]), []);
        assert_eq!(entries(vec![event("a", Some("1"))])[0].count, 1);
        let large = wire::CallEvent { sip_reason: Some("x".repeat(LARGE)), ..event("a", Some("1")) };
        let counts: Vec<_> = entries(vec![large; 3]).iter().map(|entry| entry.count).collect();
        assert_eq!(counts, [1, 1, 1]);
        let many: Vec<_> = (0..129).map(|n| event(&n.to_string(), Some("1"))).collect();
        let entries = entries(many.clone());
        assert_eq!(entries.iter().map(|entry| entry.count).collect::<Vec<_>>(), [64, 64, 1]);
        let read = entries.into_iter().flat_map(|entry| read(entry).expect("readable"));
        assert_eq!(read.map(|(_, event)| event).collect::<Vec<_>>(), many);
    }

    #[test]
    fn an_entry_that_is_not_what_it_says_is_refused() {
        let mut entry = entries(vec![event("a", Some("1")), event("b", Some("1"))]).remove(0);
        entry.count = 3;
        assert!(matches!(read(entry), Err(StoreError::Corrupt { .. })));
        let state_of = vec![2];
        let states = vec![wire::Call::default()];
        let together = Together {
            events: vec![event("a", None); 2],
            state_of: [1, 2].into(),
            states,
            ..Together::default()
        };
        let entry = |together: &Together| LogEntry {
            cursor: Cursor { millis: 7, number: 2 },
            count: 2,
            entry: together.encode_to_vec().into(),
        };
        assert!(matches!(read(entry(&together)), Err(StoreError::Corrupt { .. })), "no such state");
        let short = Together { state_of, ..together };
        assert!(matches!(read(entry(&short)), Err(StoreError::Corrupt { .. })), "a state is missing");
    }
}
