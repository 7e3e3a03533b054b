//! Calls and events as lines and as JSON. What phones said is shown without what a terminal would obey.

use cluster_api::callcontrol::v1::{Call, CallEvent, Leg, Outcome, call, call_event, leg, outcome};
use prost_types::Timestamp;
use serde_json::{Value, json};

use crate::out::{OutputError, say, shown};

/// The name of an enum value as the API documents it.
pub fn name_of<E: TryFrom<i32>>(value: i32, name: impl Fn(E) -> &'static str) -> String {
    E::try_from(value).map_or_else(|_| value.to_string(), |v| name(v).to_string())
}

pub fn state(call: &Call) -> String {
    name_of(call.state, |s: call::State| s.as_str_name())
}

/// "BUSY 486 Busy Here, ended by b"; empty while the call goes on.
pub fn outcome_text(call: &Call) -> String {
    shown_outcome(call.outcome.as_ref())
}

/// The same of whatever ended so.
pub fn shown_outcome(outcome: Option<&Outcome>) -> String {
    let Some(outcome) = outcome else { return String::new() };
    let mut text = name_of(outcome.kind, |k: outcome::Kind| k.as_str_name());
    if outcome.sip_status != 0 {
        text += &format!(" {} {}", outcome.sip_status, outcome.sip_reason);
    }
    if !outcome.ended_by.is_empty() {
        text += &format!(", ended by {}", outcome.ended_by);
    }
    shown(&text)
}

/// The same for a table, which a long reason phrase would widen for every call.
pub fn outcome_cell(call: &Call) -> String {
    const MOST: usize = 60;
    let text = outcome_text(call);
    match text.char_indices().nth(MOST) {
        Some(_) => text.chars().take(MOST - 1).chain(['…']).collect(),
        None => text,
    }
}

/// One line for one event.
pub fn event_line(event: &CallEvent) -> String {
    let kind = name_of(event.r#type, |t: call_event::Type| t.as_str_name());
    let mut line = format!("{}  {kind:<18}", time(event.time.as_ref()));
    if let (Some(id), Some(call)) = (&event.leg_id, &event.call) {
        let party = call.legs.iter().find(|l| l.leg_id == *id).and_then(|l| l.party.as_ref());
        line += &format!(" {id} {}", party.map_or("", |p| p.uri.as_str()));
    }
    if let Some(status) = event.sip_status.filter(|s| *s != 0) {
        line += &format!("  {status} {}", event.sip_reason());
    }
    let is = |t: call_event::Type| event.r#type == t as i32;
    if let Some(call) = &event.call {
        if is(call_event::Type::Snapshot) {
            line += &format!(" {}", state(call));
        }
        if is(call_event::Type::Snapshot) || is(call_event::Type::Ended) {
            line += &format!("  {}", outcome_text(call));
        }
    }
    shown(line.trim_end())
}

/// Shows an event.
///
/// # Errors
/// When nobody reads.
pub fn show_event(event: &CallEvent, json: bool) -> Result<(), OutputError> {
    match json {
        true => say!("{}", event_json(event)),
        false => say!("{}", event_line(event)),
    }
}

pub fn event_json(event: &CallEvent) -> Value {
    json!({
        "cursor": event.cursor,
        "time": time(event.time.as_ref()),
        "call_id": event.call_id,
        "leg_id": event.leg_id,
        "type": name_of(event.r#type, |t: call_event::Type| t.as_str_name()),
        "sip_status": event.sip_status,
        "sip_reason": event.sip_reason,
        "call": event.call.as_ref().map(call_json),
    })
}

pub fn call_json(call: &Call) -> Value {
    json!({
        "call_id": call.call_id,
        "state": state(call),
        "kind": name_of(call.kind, |k: call::Kind| k.as_str_name()),
        "from": call.from.as_ref().map(|p| &p.uri),
        "to": call.to.as_ref().map(|p| &p.uri),
        "create_time": time(call.create_time.as_ref()),
        "answer_time": call.answer_time.as_ref().map(|t| time(Some(t))),
        "end_time": call.end_time.as_ref().map(|t| time(Some(t))),
        "outcome": call.outcome.as_ref().map(|o| json!({
            "kind": name_of(o.kind, |k: outcome::Kind| k.as_str_name()),
            "sip_status": o.sip_status, "sip_reason": o.sip_reason, "ended_by": o.ended_by,
        })),
        "metadata": call.metadata,
        "legs": call.legs.iter().map(leg_json).collect::<Vec<_>>(),
    })
}

fn leg_json(leg: &Leg) -> Value {
    json!({
        "leg_id": leg.leg_id,
        "party": leg.party.as_ref().map(|p| &p.uri),
        "state": leg_state(leg),
        "sip_call_id": leg.sip_call_id,
        "edge_id": leg.edge_id,
        "remote_target": leg.remote_target,
        "sip_status": leg.sip_status,
    })
}

/// The state of a leg.
pub fn leg_state(leg: &Leg) -> String {
    name_of(leg.state, |s: leg::State| s.as_str_name())
}

/// Time of day in UTC with milliseconds; the date is left to JSON users of the API itself.
pub fn time(at: Option<&Timestamp>) -> String {
    match at {
        Some(at) => at.to_string(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table has room for what is said as a rule; the call by itself shows all.
    #[test]
    fn a_long_reason_is_cut_in_a_table_alone() {
        let call = |reason: &str| {
            let outcome = cluster_api::callcontrol::v1::Outcome {
                sip_status: 480,
                sip_reason: reason.into(),
                ..Default::default()
            };
            Call { outcome: Some(outcome), ..Call::default() }
        };
        let usual = call("Temporarily Unavailable");
        assert_eq!(outcome_cell(&usual), outcome_text(&usual));
        let long = call(&"zu lang für eine Zeile ".repeat(20));
        let cell = outcome_cell(&long);
        assert_eq!(cell.chars().count(), 60);
        let kept = cell.strip_suffix('…').expect("it is cut");
        assert!(outcome_text(&long).starts_with(kept) && outcome_text(&long).len() > 400);
    }

    #[test]
    fn what_a_phone_said_cannot_command_the_terminal_or_begin_a_line() {
        let said = "x\u{1b}[31mRED\u{7}\nENDED".to_string();
        let outcome = cluster_api::callcontrol::v1::Outcome {
            sip_status: 486,
            sip_reason: said.clone(),
            ..Default::default()
        };
        let call = Call { outcome: Some(outcome), ..Call::default() };
        let event = CallEvent { sip_status: Some(486), sip_reason: Some(said), ..CallEvent::default() };
        for text in [outcome_text(&call), outcome_cell(&call), event_line(&event)] {
            assert!(text.contains("486 x\\u001b[31mRED\\u0007\\u000aENDED"), "{text}");
        }
    }
}
