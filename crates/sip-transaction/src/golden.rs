//! What the golden tests of the machines share: every state against every input, as text to read beside the RFC.

use std::fmt::{Debug, Write};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip_message::{Limits, Message, ResponseBuilder};

use crate::config::{Terms, Timing};
use crate::effect::{Effect, Effects};

/// A machine that can be put into a table.
pub(crate) trait Machine: Sized + Clone {
    type Input: Clone;
    type Timer: Debug;

    fn name(&self) -> &'static str;
    fn timer(&self) -> Option<(Instant, Self::Timer)>;
    fn step(self, now: Instant, input: Self::Input, terms: Terms<'_>, effects: &mut Effects) -> Self;
}

/// Runs every input in every state, `later` after the state was entered.
pub(crate) fn table<M: Machine>(
    start: Instant,
    later: Duration,
    states: &[M],
    inputs: &[(&str, M::Input)],
    reliable: bool,
) -> String {
    let timing = Timing::default();
    let terms = Terms { timing: &timing, reliable };
    let mut text = String::new();
    for state in states {
        let timer = print_timer(state.timer(), start);
        writeln!(text, "{} ({timer})", state.name()).unwrap();
        for (name, input) in inputs {
            let now = start + later;
            let mut effects = Effects::new();
            let next = state.clone().step(now, input.clone(), terms, &mut effects);
            let timer = print_timer(next.timer(), now);
            writeln!(text, "  {name:<18} -> {:<12} {:<28} {timer}", next.name(), print_effects(&effects))
                .unwrap();
        }
    }
    text
}

pub(crate) fn request(method: &str) -> Message {
    let text = format!(
        "{method} sip:bob@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
         From: <sip:a@h>;tag=a\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    );
    Message::parse(Bytes::from(text), &Limits::default()).unwrap()
}

pub(crate) fn response(request: &Message, status: u16) -> Message {
    ResponseBuilder::to(request, status).to_tag("b").unwrap().build()
}

fn print_effects(effects: &Effects) -> String {
    if effects.is_empty() {
        return "-".to_owned();
    }
    let words: Vec<String> = effects.iter().map(print_effect).collect();
    words.join(", ")
}

fn print_effect(effect: &Effect) -> String {
    match effect {
        Effect::Send(bytes) => format!("send {}", first_word(bytes)),
        Effect::SendCancel(cancel) => format!("start {}", first_word(cancel.bytes())),
        Effect::Pass => "pass".to_owned(),
        Effect::TimedOut => "timed out".to_owned(),
        Effect::TransportFailed => "transport failed".to_owned(),
        Effect::AckTimedOut => "ACK timed out".to_owned(),
        Effect::Refuse(error) => format!("refuse {error:?}"),
    }
}

/// The method of a request, the status of a response.
fn first_word(bytes: &[u8]) -> String {
    let line = String::from_utf8_lossy(bytes);
    let line = line.strip_prefix("SIP/2.0 ").unwrap_or(&line);
    line.split([' ', '\r']).next().unwrap_or_default().to_owned()
}

fn print_timer<T: Debug>(timer: Option<(Instant, T)>, now: Instant) -> String {
    match timer {
        Some((at, timer)) => format!("{timer:?} in {} ms", at.saturating_duration_since(now).as_millis()),
        None => "no timer".to_owned(),
    }
}
