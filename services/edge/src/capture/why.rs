//! Decisions and their reasons in words.

use std::borrow::Cow;
use std::sync::Arc;

use cluster_api::edge::v1::{CancelInvite, SendResponse};
use cluster_api::registrar::v1::{self as api, route_response::Plan};
use sip_message::Message;
use sip_proxy::{BranchId, CancelCause};

use super::ring::Decided;
use crate::forward::next_hop::Ways;
use crate::forward::target::Target;
use crate::legs::Address;
use crate::reject::Reject;

const EDGE: &str = "edge";
const REGISTRAR: &str = "registrar";
const CALL_CONTROL: &str = "call-control";

/// The registrar's answer to a REGISTER.
pub(crate) fn registered(decision: &api::RegisterResponse) -> Decided {
    match (decision.status, &decision.contacts[..]) {
        // Most are this one and the challenge.
        (200..=299, [one]) => Decided::new(REGISTRAR, "registered: 1 binding", one.uri.clone()),
        (200..=299, contacts) => {
            let bindings = contacts.iter().map(|contact| contact.uri.as_str());
            let what = format!("registered: {}", counted(contacts.len(), "binding"));
            Decided::new(REGISTRAR, what, list(bindings))
        }
        (401 | 407, _) => Decided::new(REGISTRAR, "challenge", "no valid credentials came with the request"),
        (status, _) => Decided::new(REGISTRAR, format!("refuse with {status}"), decision.reason.clone()),
    }
}

/// The registrar's plan for a request.
pub(crate) fn planned(plan: &Plan, identity: &str) -> Decided {
    let whose = if identity.is_empty() { String::new() } else { format!("the sender is {identity}") };
    match plan {
        Plan::Challenge(_) => {
            Decided::new(REGISTRAR, "challenge", "no valid credentials came with the request")
        }
        Plan::Refuse(refuse) => {
            Decided::new(REGISTRAR, format!("refuse with {}", refuse.status), refuse.reason.clone())
        }
        Plan::Redirect(redirect) => Decided::new(
            REGISTRAR,
            format!("redirect with {}", redirect.status),
            list(redirect.contacts.iter().map(String::as_str)),
        ),
        Plan::Fork(fork) => {
            let targets: usize = fork.groups.iter().map(|group| group.targets.len()).sum();
            // Every call has one, and formatting costs more than all else that is noted of it.
            let mut reason = String::with_capacity(96);
            for (place, group) in fork.groups.iter().enumerate() {
                reason.push_str(if place > 0 { "; then " } else { "" });
                reason.extend([group.cause.as_str(), ": "]);
                push_list(&mut reason, group.targets.iter().map(|target| target.uri.as_str()));
            }
            let what = match targets {
                1 => Cow::Borrowed("fork to 1 target"),
                targets => Cow::Owned(format!("fork to {}", counted(targets, "target"))),
            };
            Decided::new(REGISTRAR, what, reason)
        }
        Plan::Relay(api::Relay {}) => Decided::new(REGISTRAR, "relay to where the request asks", whose),
        Plan::CallControl(_) => Decided::new(REGISTRAR, "hand to call-control", whose),
        Plan::Lend(api::LendNumber {}) => Decided::new(REGISTRAR, "lend a number", whose),
        Plan::Presence(api::HandToPresence { .. }) => Decided::new(REGISTRAR, "hand to presence", whose),
    }
}

/// The edge refuses a request itself.
pub(crate) fn rejected(request: &Message, reject: &Reject) -> Decided {
    let what = format!("refuse {} with {}", request.method_str(), reject.status());
    Decided::new(EDGE, what, reject.label())
}

/// A branch begins.
pub(crate) fn branch_started(branch: BranchId, target: &Target, ways: &Ways) -> Decided {
    let uri = target.uri.as_deref().map_or("its Request-URI".into(), String::from_utf8_lossy);
    let by = match ways {
        Ways::Ready(way) if way.relay.is_some() => "by the edge that has the flow",
        Ways::Ready(way) if way.on_flow => "on the flow of its registration",
        Ways::Ready(_) => "to its address",
        Ways::Resolve(_) => "to the addresses of its host",
        Ways::LookUp => "the registrar is asked first",
        Ways::Wake => "its phone sleeps and is pushed",
        Ways::Seize => "its trunk is asked for room, and whether the call may go out",
        Ways::Unlisted => "the list of edges is asked for first",
        Ways::InClear => "there is no TLS to the edge that has the flow",
        Ways::Unproved => "by TLS no address is called, only a name",
        Ways::Failed(_) => "there is no way to it",
    };
    let what = ["branch ", &branch.0.to_string(), " to ", &uri].concat();
    Decided::new(EDGE, what, [&target.cause, ", ", by].concat())
}

/// The phone of a branch was waited for.
pub(crate) fn woken(branch: BranchId, outcome: &'static str) -> Decided {
    let why = match outcome {
        "awake" => "its phone has registered",
        "lost" => "its phone cannot be pushed",
        "late" => "its phone was pushed and did not register in time",
        _ => "nobody wants it any more",
    };
    Decided::new(EDGE, format!("branch {}: {outcome}", branch.0), why)
}

/// The trunk of a branch was asked for room.
pub(crate) fn seized(branch: BranchId, outcome: &'static str) -> Decided {
    let why = match outcome {
        "seized" => "its trunk has room for the call",
        "full" => "its trunk has as many calls as it may",
        "denied" => "the spending service denies the call",
        "undecided" => "the spending service does not say whether the call may go out",
        "unanswered" => "no registrar says whether its trunk has room",
        _ => "nobody wants it any more",
    };
    Decided::new(EDGE, format!("branch {}: {outcome}", branch.0), why)
}

/// A branch is given up.
pub(crate) fn branch_failed(branch: BranchId, label: &'static str) -> Decided {
    Decided::new(EDGE, format!("give branch {} up", branch.0), label)
}

/// A branch is cancelled.
pub(crate) fn branch_cancelled(branch: BranchId, cause: &CancelCause) -> Decided {
    let reason = match cause {
        CancelCause::AnsweredElsewhere => "another branch answered".to_owned(),
        CancelCause::Declined(status) => format!("another branch declined for all with {status}"),
        CancelCause::NoAnswer => "it rang for too long".to_owned(),
        CancelCause::Caller => "the caller gave up".to_owned(),
    };
    Decided::new(EDGE, format!("cancel branch {}", branch.0), reason)
}

/// The caller is cancelled for.
pub(crate) fn caller_is_gone() -> Decided {
    Decided::new(EDGE, "cancel for the caller", "its connection has ended, and it takes no other one")
}

/// A request begins a call of call-control.
pub(crate) fn call_began(address: &Address, identity: &str) -> Decided {
    let whose = if identity.is_empty() { String::new() } else { format!("the caller is {identity}") };
    let what = format!("leg {}: call-control is told", address.leg_id);
    Decided::new(EDGE, what, whose).of_call(&address.call_id)
}

/// Call-control has a leg send a request.
pub(crate) fn asked_to_send(address: &Address, effect: u64, method: &str) -> Decided {
    let what = format!("leg {}: send {method}", address.leg_id);
    Decided::new(CALL_CONTROL, what, format!("effect {effect} of the call")).of_call(&address.call_id)
}

/// Call-control has the INVITE of a leg cancelled.
pub(crate) fn asked_to_cancel(call_id: &Arc<str>, cancel: &CancelInvite) -> Decided {
    let reason = cancel.headers.iter().find(|header| header.name.eq_ignore_ascii_case("Reason"));
    let reason = reason.map_or(String::new(), |header| header.value.clone());
    let what = format!("cancel the INVITE of effect {}", cancel.invite_effect);
    Decided::new(CALL_CONTROL, what, reason).of_call(call_id)
}

/// Call-control answers a request of a leg's peer.
pub(crate) fn asked_to_respond(address: &Address, respond: &SendResponse) -> Decided {
    let what = format!("leg {}: answer {}", address.leg_id, respond.status);
    Decided::new(CALL_CONTROL, what, respond.reason.clone()).of_call(&address.call_id)
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The first few of a list.
fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    push_list(&mut text, items);
    text
}

/// The same behind other words.
fn push_list<'a>(text: &mut String, mut items: impl Iterator<Item = &'a str>) {
    const SHOWN: usize = 4;
    for (place, item) in items.by_ref().take(SHOWN).enumerate() {
        text.push_str(if place > 0 { ", " } else { "" });
        text.push_str(item);
    }
    match items.count() {
        0 => {}
        more => text.push_str(&format!(" and {more} more")),
    }
}
