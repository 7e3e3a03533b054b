//! Calls that came in and are carried on as a back-to-back user agent: leg a is alice, who called.

mod answers;
mod complete;
mod ends;
mod forks;
mod happy;
mod late_offer;
mod refused;
mod reliable;
mod table;
mod talking;

use call_control::engine::call::Policy;
use call_control::engine::effect::{Body, Header, SendResponse, What};
use call_control::engine::event::CallReceived;

use crate::ladder::{Answer, Ladder, sdp};

/// Alice calls bob with an offer, and takes provisional responses as they come.
fn invite() -> CallReceived {
    CallReceived {
        transaction: "a-invite".into(),
        request_uri: "sip:bob@example.com".into(),
        from_uri: "sip:alice@example.com".into(),
        from_display: "Alice".into(),
        from_tag: "at".into(),
        to_uri: "sip:bob@example.com".into(),
        sip_call_id: "call-of-alice".into(),
        cseq: 1,
        contact: "sip:alice@phone.example".into(),
        max_forwards: 70,
        max_breadth: 60,
        allow: ["INVITE", "ACK", "BYE", "CANCEL", "UPDATE", "PRACK", "INFO"].map(String::from).to_vec(),
        body: Some(offer()),
        ..CallReceived::default()
    }
}

/// The same from a phone that takes them reliably.
fn reliable_invite() -> CallReceived {
    CallReceived { supported: vec!["100rel".into(), "timer".into()], ..invite() }
}

fn offer() -> Body {
    Body::sdp(sdp(&["audio 4000"]).into_bytes())
}

fn called(invite: CallReceived) -> Ladder {
    Ladder::called(invite, without_timer)
}

/// Session timers are a matter of their own.
fn without_timer(policy: &mut Policy) {
    policy.session_expires_s = 0;
}

/// Alice and bob are connected.
pub(crate) fn connected() -> Ladder {
    let mut t = called(invite());
    t.reply("b", "INVITE", Answer::new(200).sdp(&sdp(&["audio 5000"])));
    t.ack("a", "a-invite", None);
    t.lines.clear();
    t
}

/// The last response to this transaction of alice.
fn said(t: &Ladder, transaction: &str) -> SendResponse {
    let responses = t.effects.iter().rev().filter_map(|effect| match &effect.what {
        Some(What::Respond(response)) => Some(response),
        _ => None,
    });
    responses.into_iter().find(|response| response.transaction == transaction).expect("a response").clone()
}

fn value<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    headers.iter().find(|header| header.name == name).map(|header| header.value.as_str())
}

/// RSeq and CSeq of the last reliable provisional response.
fn rack(t: &Ladder) -> String {
    let said = said(t, "a-invite");
    format!("{} 1 INVITE", value(&said.headers, "RSeq").expect("a reliable response"))
}
