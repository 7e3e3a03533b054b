//! LAD-4: ringback by UPDATE and PRACK.

mod faults;
mod first_leg;
mod forks;
mod happy;
mod second_leg;

use call_control::engine::call::Flow;

use crate::ladder::{Answer, Ladder, sdp};

/// The type of a tone.
pub const TONE: &str = "audio/tone-info+xml";

/// Alice is up, Bob is dialled.
pub fn alice_is_up() -> Ladder {
    let mut t = Ladder::dial(Flow::Ringback);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])));
    t.lines.clear();
    t
}

/// Bob rings with an offer, Alice is updated.
pub fn bob_rings() -> Ladder {
    let mut t = alice_is_up();
    t.reply("b", "INVITE", Answer::new(180).reliable(11).sdp(&sdp(&["audio 5000"])));
    t.lines.clear();
    t
}

/// The early session is agreed, Bob still rings.
pub fn early() -> Ladder {
    let mut t = bob_rings();
    t.reply("a", "UPDATE", Answer::new(200).sdp(&sdp(&["audio 4000"])));
    t.reply("b", "PRACK", 200);
    t.lines.clear();
    t
}
