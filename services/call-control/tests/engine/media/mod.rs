//! A party listens to a media server in the middle of a call: TPC-14, SCN-21, SCN-14. `announcement` has how it goes, `faults` who may do
//! what meanwhile, `music` who hears something while on hold.

mod announcement;
mod faults;
mod music;

use std::time::Duration;

use call_control::engine::StepError;
use call_control::engine::event::{Command, Event, FailureCause, LegEvent, RequestFailed};
use call_control::engine::leg::InvitePhase;

use crate::ladder::{Answer, Ladder, sdp};

const ANNC: &str = "sip:annc@media.example.com;play=http://files.example.com/low.wav";
const MUSIC: &str = "sip:music@media.example.com";

/// A name, and what happens.
type Case = (&'static str, fn(&mut Ladder));

fn connected() -> Ladder {
    Ladder::connected("call-1")
}

/// Alice is to listen, for as long as the server likes.
fn play(t: &mut Ladder) -> Result<(), StepError> {
    play_for(t, "a", 0)
}

fn play_for(t: &mut Ladder, leg: &str, limit_ms: u64) -> Result<(), StepError> {
    t.lines.push(format!("API play {leg}"));
    t.take(&Event::Command(Command::Play { leg_id: leg.into(), uri: ANNC.into(), limit_ms }))
}

fn hold_with_music(t: &mut Ladder, leg: Option<&str>) -> Result<(), StepError> {
    t.lines.push(format!("API hold {leg:?} with music"));
    let leg_id = leg.map(str::to_owned);
    t.take(&Event::Command(Command::Hold { leg_id, music: MUSIC.into() }))
}

fn unhold(t: &mut Ladder) -> Result<(), StepError> {
    t.lines.push("API unhold".into());
    t.take(&Event::Command(Command::Unhold { leg_id: None }))
}

fn ok(port: u32) -> Answer {
    Answer::new(200).sdp(&sdp(&[&format!("audio {port}")]))
}

fn inactive(port: u32) -> Answer {
    Answer::new(200).sdp(&sdp(&[&format!("audio {port} inactive")]))
}

/// Bob is on hold, alice has made her offer, and the server is called.
fn calling() -> Ladder {
    let mut t = connected();
    play(&mut t).expect("they talk");
    t.reply("b", "INVITE", inactive(5000));
    t.reply("a", "INVITE", ok(4000));
    t
}

/// Alice listens.
fn listening() -> Ladder {
    let mut t = calling();
    t.reply("c", "INVITE", ok(7000));
    t
}

/// The two are connected again.
fn talk_again(t: &mut Ladder) {
    t.reply("b", "INVITE", ok(5000));
    t.reply("a", "INVITE", ok(4000));
}

/// The events of these types so far, in their order.
fn told(t: &Ladder, kinds: &[&str]) -> Vec<String> {
    let is_one = |line: &&String| kinds.iter().any(|kind| line.starts_with(&format!("! {kind}")));
    t.lines.iter().filter(is_one).cloned().collect()
}

/// Ends every leg that still waits for the answer to its BYE or CANCEL; nothing is left then.
fn let_all_end(t: &mut Ladder) {
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

impl Ladder {
    /// Whatever the leg of the server still waits for has its answer.
    fn settle_server(&mut self) {
        for _ in 0..4 {
            let Some(leg) = self.call.legs.iter().find(|leg| leg.leg_id == "c") else { return };
            let invite = leg.invite.as_ref().filter(|invite| invite.phase() == InvitePhase::Cancelling);
            let open = invite.map(|invite| (invite.effect, 487));
            let open = open.or(leg.pending.first().map(|pending| (pending.effect, 200)));
            let Some((effect, status)) = open else { return };
            self.answer_to("c", effect, status);
        }
    }
}
