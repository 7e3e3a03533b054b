//! INVITE with Replaces or Join that names a dialog of a call: LAD-9, LAD-7, CCL-09 … CCL-15, SCN-19.

mod elsewhere;
mod join;
mod meet;
mod pickup;
mod refused;
mod replaces;

use call_control::engine::claim::takers::Takers;
use call_control::engine::claim::whose::Named;
use call_control::engine::effect::{Body, Header};
use call_control::engine::event::{CallReceived, Event};

use crate::ladder::{Ladder, sdp};

/// The call that is named, and that of the one who names it; everything that they tell each other is told twice.
struct Two {
    named: Ladder,
    new: Ladder,
}

impl Two {
    /// Carol's phone sends this INVITE.
    fn claim(named: Ladder, invite: CallReceived) -> Two {
        Two::claim_with(named, invite, Takers::default())
    }

    fn claim_with(named: Ladder, invite: CallReceived, takers: Takers) -> Two {
        let call = Named::Call(named.call.call_id.clone());
        let mut two = Two { new: Ladder::claiming("in-9", invite, call, takers), named };
        two.named.lines.clear();
        two.talk();
        two
    }

    /// What was told arrives, until nothing more is said.
    fn talk(&mut self) {
        loop {
            let (from_named, from_new) = (self.named.tells(), self.new.tells());
            if from_named.is_empty() && from_new.is_empty() {
                return;
            }
            let id = self.named.call.call_id.clone();
            for (tells, from, to) in
                [(from_named, id.as_str(), &mut self.new), (from_new, "in-9", &mut self.named)]
            {
                for tell in tells {
                    let word = tell.word.expect("a word");
                    let told = Event::Told { from: from.into(), operation: tell.operation, word };
                    to.take(&told).expect("what is told is taken");
                    let shown = |t: &Ladder| t.lines.iter().filter(|line| !line.starts_with("C>(")).count();
                    let before = shown(to);
                    to.take(&told).expect("and again");
                    assert_eq!(shown(to), before, "what is told twice does nothing more");
                    // A refusal may be said again, and is heard once
                    to.lines.dedup();
                }
            }
        }
    }
}

/// The dialog of a leg, as its peer names it to somebody else; `more` is what follows.
fn dialog(t: &Ladder, leg: &str, more: &str) -> String {
    let on = t.call.legs.iter().find(|on| on.leg_id == leg).expect("the leg");
    let remote = match on.remote_tag.is_empty() {
        true => &on.dialogs.first().expect("a dialog").remote_tag,
        false => &on.remote_tag,
    };
    format!("{};to-tag={};from-tag={remote}{more}", on.sip_call_id, on.local_tag)
}

/// Carol's phone calls with this header, authenticated as this user.
fn invite(identity: &str, name: &str, value: &str) -> CallReceived {
    CallReceived {
        transaction: "carol-invite".into(),
        request_uri: "sip:cc.call-1.b@edge.example".into(),
        from_uri: "sip:carol@example.com".into(),
        from_tag: "ct".into(),
        to_uri: "sip:bob@example.com".into(),
        sip_call_id: "call-of-carol".into(),
        cseq: 1,
        contact: "sip:carol@phone.example".into(),
        max_forwards: 70,
        max_breadth: 60,
        identity: identity.into(),
        allow: ["INVITE", "ACK", "BYE", "CANCEL"].map(String::from).to_vec(),
        headers: vec![Header::new(name, value)],
        body: Some(Body::sdp(sdp(&["audio 6000"]).into_bytes())),
        ..CallReceived::default()
    }
}
