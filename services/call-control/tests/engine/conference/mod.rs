//! A call that is the focus of a conference: LAD-8, SCN-17, CCL-15 … CCL-19. `gathering` has how two who talk get there, `members` who comes and
//! goes then, `referred` what phones ask the focus for.

mod dial_in;
mod factory;
mod gathering;
mod local;
mod members;
mod referred;

use std::time::Duration;

use call_control::engine::StepError;
use call_control::engine::call::Party;
use call_control::engine::conference::record::Ends;
use call_control::engine::conference::{Mixer, Mixing};
use call_control::engine::event::{Command, Event, FailureCause, LegEvent, RequestFailed};

use crate::ladder::{Answer, Ladder, sdp};

/// Two who talk, and two mixers.
fn connected() -> Ladder {
    connected_until(Ends::Last)
}

fn connected_until(ends: Ends) -> Ladder {
    let mut t = Ladder::connected("call-1");
    let mixers = vec!["sip:mix1.example.com".into(), "sip:mix2.example.com;transport=tcp".into()];
    t.context.mixing = Mixing { mixers, ends, factory: "conference".into(), ..Mixing::default() };
    t
}

fn join(t: &mut Ladder, user: &str) -> Result<(), StepError> {
    let party = Party { uri: format!("sip:{user}@example.com"), ..Party::default() };
    t.lines.push(format!("API join {user}"));
    t.take(&Event::Command(Command::Join { party, mixer: Mixer::Central }))
}

fn answer(port: u32) -> Answer {
    Answer::new(200).sdp(&sdp(&[&format!("audio {port}")]))
}

/// Carol is asked, and has answered; the mixer has not.
fn answered(mut t: Ladder) -> Ladder {
    join(&mut t, "carol").expect("they talk");
    t.reply("c", "INVITE", answer(6000));
    t
}

/// Three in a conference: legs a, b and c of the phones, e, f and d of the mixer.
fn conferring() -> Ladder {
    conferring_until(Ends::Last)
}

fn conferring_until(ends: Ends) -> Ladder {
    let mut t = answered(connected_until(ends));
    t.reply("d", "INVITE", answer(7000));
    t.reply("e", "INVITE", answer(7002));
    t.reply("a", "INVITE", answer(4000));
    t.reply("f", "INVITE", answer(7004));
    t.reply("b", "INVITE", answer(5000));
    t.lines.clear();
    t
}

/// The events of these types so far, in their order.
fn told(t: &Ladder, kinds: &[&str]) -> Vec<String> {
    let is_one = |line: &&String| kinds.iter().any(|kind| line.starts_with(&format!("! {kind}")));
    t.lines.iter().filter(is_one).cloned().collect()
}

/// Ends every leg that still waits for the answer to its BYE or CANCEL; nothing is left then.
pub fn let_all_end(t: &mut Ladder) {
    let pending: Vec<_> = t
        .call
        .legs
        .iter()
        .flat_map(|leg| {
            leg.pending
                .iter()
                .map(|pending| (leg.leg_id.clone(), pending.effect, pending.request.method.clone()))
        })
        .collect();
    for (leg_id, effect, method) in pending {
        t.event(&leg_id, LegEvent::Failed(RequestFailed { effect, method, cause: FailureCause::Timeout }));
    }
    for _ in 0..3 {
        t.wait(Duration::from_secs(120));
    }
    assert!(t.finished, "something is left of the call:\n{}", t.lines.join("\n"));
}
