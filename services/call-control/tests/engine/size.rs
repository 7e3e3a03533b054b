//! How large the record of a call is: it is what a call costs for as long as people talk.

use std::time::Duration;

use call_control::record;

use crate::connected::connected;

/// What only the first seconds of a call need is kept for these seconds.
#[test]
fn the_record_of_a_call_shrinks_when_its_beginning_is_over() {
    let mut t = connected();
    let at_first = record::encode(&t.call).len();
    t.wait(Duration::from_secs(40));
    let later = record::encode(&t.call).len();
    for leg in &t.call.legs {
        let invite = leg.invite.as_ref().expect("it was dialled");
        assert!(invite.headers.is_empty() && leg.history.is_none(), "{leg:#?}");
        assert!(invite.body.as_ref().is_none_or(|body| body.content.is_empty()));
        assert!(leg.dialogs.iter().all(|dialog| dialog.last_ack.is_none()));
    }
    assert!(later < 2_500 && later * 4 < at_first * 3, "{at_first} octets at first, {later} later");
    // And a hold still has what it needs
    let hold = call_control::engine::event::Command::Hold { leg_id: None, music: String::new() };
    t.command(hold).expect("they talk");
    assert!(t.lines.iter().any(|line| line.starts_with("C>A INVITE") && line.ends_with("inactive]")));
}
