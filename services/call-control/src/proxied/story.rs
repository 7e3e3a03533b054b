//! What one commit tells of a proxied call, in the form in which the log keeps it: the call once, then what changed from step to
//! step. Most of an event is the call, and little of that changes.

use cluster_api::callcontrol::v1 as wire;
use prost::Message as _;
use wire::call_event::Type;

use crate::engine::time::Moment;
use crate::wire::{moment, timestamp};

/// The events of one call, in order.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Story {
    /// The etag of all its states: they became visible together.
    #[prost(string, tag = "1")]
    etag: String,
    /// The call as the first step left it.
    #[prost(bytes = "vec", tag = "2")]
    first: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    steps: Vec<Step>,
}

/// Events with the same state of the call.
#[derive(Clone, PartialEq, prost::Message)]
struct Step {
    #[prost(uint64, tag = "1")]
    time_ms: u64,
    #[prost(uint32, tag = "2")]
    sip_status: u32,
    #[prost(string, tag = "3")]
    sip_reason: String,
    /// What became of the call since the step before.
    #[prost(message, optional, tag = "4")]
    change: Option<Change>,
    /// For each event its type, and the number of its leg; see [`packed`].
    #[prost(uint32, repeated, tag = "5")]
    events: Vec<u32>,
}

/// What may change of a proxied call. Its parties do not.
#[derive(Clone, PartialEq, prost::Message)]
struct Change {
    #[prost(enumeration = "wire::call::State", tag = "1")]
    state: i32,
    #[prost(uint64, tag = "2")]
    answer_ms: u64,
    #[prost(uint64, tag = "3")]
    end_ms: u64,
    #[prost(message, optional, tag = "4")]
    outcome: Option<wire::Outcome>,
    #[prost(message, repeated, tag = "5")]
    legs: Vec<LegChange>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LegChange {
    #[prost(enumeration = "wire::leg::State", tag = "1")]
    state: i32,
    #[prost(uint32, tag = "2")]
    sip_status: u32,
    /// Absent: as before.
    #[prost(string, optional, tag = "3")]
    edge_id: Option<String>,
    #[prost(string, optional, tag = "4")]
    remote_tag: Option<String>,
    #[prost(string, optional, tag = "5")]
    remote_target: Option<String>,
    /// Only of a call that was led on.
    #[prost(string, repeated, tag = "6")]
    users: Vec<String>,
}

/// What happens with one state of a call.
#[derive(Clone, Copy, Debug)]
pub struct Happened<'a> {
    /// When.
    pub time: Moment,
    /// The status that it is about; 0 for none.
    pub sip_status: u32,
    /// Its words.
    pub sip_reason: &'a str,
    /// The events, each with the place of its leg among the legs of the call, if it is about one.
    pub events: &'a [(Type, Option<usize>)],
}

/// Tells a story: knows what was told of the call last.
#[derive(Debug, Default)]
pub struct Teller {
    story: Story,
    /// Of each leg, what is told only when it changes.
    legs: Vec<[String; 3]>,
}

impl Teller {
    /// The call is so now, and this happened.
    pub fn tell(&mut self, call: &wire::Call, happened: Happened<'_>) {
        let is_first = self.story.steps.is_empty();
        let change = (!is_first).then(|| self.change(call));
        if is_first {
            self.story.first = call.encode_to_vec();
            self.legs = call.legs.iter().map(|leg| texts(leg).map(str::to_owned)).collect();
        }
        let Happened { time, sip_status, sip_reason, events } = happened;
        let events = events.iter().map(|(kind, leg)| packed(*kind, *leg)).collect();
        let (time_ms, sip_reason) = (time.millis(), sip_reason.to_owned());
        self.story.steps.push(Step { time_ms, sip_status, sip_reason, change, events });
    }

    /// All of it; nothing when nothing happened.
    pub fn end(mut self, etag: &str) -> Option<Story> {
        etag.clone_into(&mut self.story.etag);
        Some(self.story).filter(|story| !story.steps.is_empty())
    }

    /// The types of what was told.
    #[cfg(test)]
    pub fn kinds(&self) -> Vec<Type> {
        let packed = self.story.steps.iter().flat_map(|step| &step.events);
        packed.filter_map(|event| unpacked(*event)).map(|(kind, _)| kind).collect()
    }

    fn change(&mut self, call: &wire::Call) -> Change {
        let legs = call.legs.iter().zip(&mut self.legs).map(|(leg, known)| {
            let mut changed = texts(leg).into_iter().zip(known).map(|(text, known)| {
                (text != known).then(|| {
                    text.clone_into(known);
                    text.to_owned()
                })
            });
            LegChange {
                state: leg.state,
                sip_status: leg.sip_status,
                edge_id: changed.next().flatten(),
                remote_tag: changed.next().flatten(),
                remote_target: changed.next().flatten(),
                users: leg.users.clone(),
            }
        });
        Change {
            state: call.state,
            answer_ms: moment(call.answer_time.as_ref()).millis(),
            end_ms: moment(call.end_time.as_ref()).millis(),
            outcome: call.outcome.clone(),
            legs: legs.collect(),
        }
    }
}

impl Story {
    /// How many events it has.
    pub(crate) fn len(&self) -> usize {
        self.steps.iter().map(|step| step.events.len()).sum()
    }

    /// Its events, each with the call as it was then.
    ///
    /// # Errors
    /// When the call cannot be read.
    pub(crate) fn events(self) -> Result<Vec<wire::CallEvent>, prost::DecodeError> {
        let mut call = wire::Call { etag: self.etag, ..wire::Call::decode(&self.first[..])? };
        let mut events = Vec::new();
        for step in self.steps {
            if let Some(change) = step.change {
                change.apply(&mut call);
            }
            // A type of a later version has no name here, but it happened.
            let told = step.events.iter().map(|event| unpacked(*event).unwrap_or((Type::Unspecified, None)));
            events.extend(told.map(|(kind, leg)| wire::CallEvent {
                time: timestamp(step.time_ms),
                call_id: call.call_id.clone(),
                leg_id: leg.and_then(|leg| call.legs.get(leg)).map(|leg| leg.leg_id.clone()),
                r#type: kind.into(),
                sip_status: Some(step.sip_status).filter(|status| *status > 0),
                sip_reason: Some(step.sip_reason.clone()).filter(|reason| !reason.is_empty()),
                call: Some(call.clone()),
                ..wire::CallEvent::default()
            }));
        }
        Ok(events)
    }
}

impl Change {
    fn apply(self, call: &mut wire::Call) {
        call.state = self.state;
        call.answer_time = timestamp(self.answer_ms);
        call.end_time = timestamp(self.end_ms);
        call.outcome = self.outcome;
        for (leg, change) in call.legs.iter_mut().zip(self.legs) {
            leg.state = change.state;
            leg.sip_status = change.sip_status;
            leg.edge_id = change.edge_id.unwrap_or(std::mem::take(&mut leg.edge_id));
            leg.remote_tag = change.remote_tag.unwrap_or(std::mem::take(&mut leg.remote_tag));
            leg.remote_target = change.remote_target.unwrap_or(std::mem::take(&mut leg.remote_target));
            if !change.users.is_empty() {
                leg.users = change.users;
            }
        }
    }
}

fn texts(leg: &wire::Leg) -> [&str; 3] {
    [&leg.edge_id, &leg.remote_tag, &leg.remote_target]
}

/// Legs that an event can name.
const LEGS: u32 = 8;

/// A type, and a leg: 0 for none, 1 for the first.
fn packed(kind: Type, leg: Option<usize>) -> u32 {
    let leg = leg.and_then(|leg| u32::try_from(leg + 1).ok()).filter(|leg| *leg < LEGS).unwrap_or(0);
    kind as u32 * LEGS + leg
}

fn unpacked(event: u32) -> Option<(Type, Option<usize>)> {
    let kind = i32::try_from(event / LEGS).ok().and_then(|kind| Type::try_from(kind).ok())?;
    Some((kind, (event % LEGS).checked_sub(1).map(|leg| leg as usize)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> wire::Call {
        let leg = |leg_id: &str| wire::Leg { leg_id: leg_id.into(), ..wire::Leg::default() };
        wire::Call { call_id: "px-1".into(), legs: vec![leg("a"), leg("b")], ..wire::Call::default() }
    }

    /// Everything that may change changes once, comes back, and stays.
    #[test]
    fn each_event_comes_back_with_the_call_as_it_was_then() {
        let mut calls = vec![call()];
        let mut next = |change: &dyn Fn(&mut wire::Call)| {
            let mut call = calls.last().cloned().unwrap_or_default();
            change(&mut call);
            calls.push(call);
        };
        next(&|call| call.legs[0].edge_id = "e1".into());
        next(&|call| call.legs[1].remote_tag = "t".into());
        next(&|call| call.legs[1].remote_target = "sip:b@h".into());
        next(&|call| call.set_state(wire::call::State::Answered));
        next(&|call| call.answer_time = timestamp(1_700_000_000_123));
        next(&|call| call.legs[1].sip_status = 200);
        next(&|call| call.legs[0].set_state(wire::leg::State::Answered));
        next(&|call| call.legs[1].remote_tag.clear());
        next(&|call| {
            call.end_time = timestamp(1_700_000_009_000);
            call.outcome = Some(wire::Outcome { ended_by: "b".into(), ..wire::Outcome::default() });
        });
        let mut teller = Teller::default();
        for call in &calls {
            let events = [(Type::LegRinging, Some(1)), (Type::Created, None)];
            let time = Moment::from_millis(5);
            teller.tell(call, Happened { time, sip_status: 180, sip_reason: "Ringing", events: &events });
        }
        let story = teller.end("7").expect("something happened");
        assert_eq!(story.len(), 2 * calls.len());
        let story = Story::decode(&story.encode_to_vec()[..]).expect("readable");
        let events = story.events().expect("readable");
        for (events, call) in events.chunks(2).zip(calls) {
            let call = Some(wire::Call { etag: "7".into(), ..call });
            let [ringing, created] = events else { panic!("{events:?}") };
            assert_eq!((&ringing.call, &created.call), (&call, &call));
            assert_eq!((ringing.leg_id.as_deref(), created.leg_id.as_deref()), (Some("b"), None));
            assert_eq!((ringing.r#type(), created.r#type()), (Type::LegRinging, Type::Created));
            assert_eq!((ringing.sip_status, ringing.sip_reason.as_deref()), (Some(180), Some("Ringing")));
            assert_eq!((ringing.call_id.as_str(), ringing.time), ("px-1", timestamp(5)));
        }
    }

    #[test]
    fn nothing_told_is_no_story() {
        assert_eq!(Teller::default().end("1"), None);
    }

    #[test]
    fn a_leg_that_cannot_be_named_is_left_out() {
        assert_eq!(unpacked(packed(Type::LegEnded, Some(6))), Some((Type::LegEnded, Some(6))));
        assert_eq!(unpacked(packed(Type::LegEnded, Some(7))), Some((Type::LegEnded, None)));
    }
}
