//! The steps that several edges saw of one call as one ladder with names.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use cluster_api::trace::v1::{Arrow, Ladder, LadderStep, Participant, ladder_step};
use sip_message::{Limits, Message, Uri};

/// Makes a ladder of what the edges saw: in order of time, each message between two edges once, everybody named. The
/// steps need their text. `edges` are the edges by their SIP addresses: one that said nothing of a message still has its name.
pub(super) fn merge(seen: Vec<LadderStep>, edges: &HashMap<String, String>) -> Ladder {
    let mut steps = seen;
    steps.sort_by_cached_key(|step| {
        let time = step.time.unwrap_or_default();
        (time.seconds, time.nanos, step.edge_id.clone(), step.number)
    });
    pair(&mut steps);
    let mut sip_call_ids = Vec::new();
    for step in &steps {
        if !sip_call_ids.contains(&step.sip_call_id) {
            sip_call_ids.push(step.sip_call_id.clone());
        }
    }
    let call_id =
        steps.iter().map(|step| &step.call_id).find(|id| !id.is_empty()).cloned().unwrap_or_default();
    let participants = name(&mut steps, edges);
    Ladder { call_id, sip_call_ids, participants, steps, truncated: false }
}

/// A message that one edge sent to another was seen by both: the sender's step stays and learns who took it.
fn pair(steps: &mut Vec<LadderStep>) {
    type Identity = (String, String, String, u32, u32, u32);
    let identity = |step: &LadderStep, arrow: &Arrow| -> Identity {
        let (method, branch) = (arrow.method.clone(), arrow.branch.clone());
        (step.sip_call_id.clone(), branch, method, arrow.cseq, arrow.status, arrow.size)
    };
    let mut received: HashMap<Identity, Vec<usize>> = HashMap::new();
    for (at, step) in steps.iter().enumerate() {
        if let Some(arrow) = arrow(step)
            && arrow.from.is_empty()
        {
            received.entry(identity(step, arrow)).or_default().push(at);
        }
    }
    let mut twice = HashSet::new();
    for at in 0..steps.len() {
        let step = &steps[at];
        let Some(arrow) = arrow(step).filter(|arrow| arrow.to.is_empty()) else { continue };
        let Some(candidates) = received.get_mut(&identity(step, arrow)) else { continue };
        let other = candidates.iter().position(|other| steps[*other].edge_id != step.edge_id);
        let Some(other) = other.map(|other| candidates.remove(other)) else { continue };
        let taker = steps[other].edge_id.clone();
        twice.insert(other);
        if let Some(ladder_step::What::Arrow(arrow)) = &mut steps[at].what {
            arrow.to = taker;
        }
    }
    let mut at = 0;
    steps.retain(|_| {
        at += 1;
        !twice.contains(&(at - 1))
    });
}

/// Names the far ends, and lists everybody in the order of their first step.
fn name(steps: &mut [LadderStep], edges: &HashMap<String, String>) -> Vec<Participant> {
    let names = peers(steps, edges);
    let mut participants: Vec<Participant> = Vec::new();
    let mut enter = |name: &str, address: String, ours: bool| {
        if !participants.iter().any(|known| known.name == name) {
            participants.push(Participant { name: name.to_owned(), address, ours });
        }
    };
    for step in steps {
        let Some(ladder_step::What::Arrow(arrow)) = &mut step.what else {
            enter(&step.edge_id, String::new(), true);
            continue;
        };
        let at = |address: &str| format!("{}:{address}", arrow.transport);
        if arrow.from.is_empty() {
            arrow.from = names.get(&arrow.from_address).unwrap_or(&arrow.from_address).clone();
            enter(&arrow.from, at(&arrow.from_address), edges.contains_key(&arrow.from_address));
            enter(&arrow.to, String::new(), true);
        } else if arrow.to.is_empty() {
            arrow.to = names.get(&arrow.to_address).unwrap_or(&arrow.to_address).clone();
            enter(&arrow.from, String::new(), true);
            enter(&arrow.to, at(&arrow.to_address), edges.contains_key(&arrow.to_address));
        } else {
            enter(&arrow.from, String::new(), true);
            enter(&arrow.to, String::new(), true);
        }
    }
    participants
}

/// Names of the addresses that are no edge's: the user that is called there, or that says so in Contact. Of two addresses
/// with one name the later one shows its address too.
fn peers(steps: &[LadderStep], edges: &HashMap<String, String>) -> HashMap<String, String> {
    let mut names = edges.clone();
    let mut taken: HashSet<String> = steps.iter().map(|step| step.edge_id.clone()).collect();
    for arrow in steps.iter().filter_map(arrow) {
        let address = match (arrow.from.is_empty(), arrow.to.is_empty()) {
            (true, false) => &arrow.from_address,
            (false, true) => &arrow.to_address,
            _ => continue,
        };
        if names.contains_key(address) {
            continue;
        }
        let Some(user) = user(&arrow.text, arrow.to.is_empty()) else { continue };
        let name = if taken.contains(&user) { format!("{user}@{address}") } else { user };
        taken.insert(name.clone());
        names.insert(address.clone(), name);
    }
    names
}

/// Who is at the far end of this message, which goes to them or comes from them.
fn user(text: &Bytes, to_them: bool) -> Option<String> {
    let message = Message::parse(text.clone(), &Limits::OWN).ok()?;
    let contact = || message.contacts().find_map(|contact| user_of(contact.ok()?.uri));
    match (message.is_request(), to_them) {
        (true, true) => user_of(message.request_uri()?),
        (true, false) => contact().or_else(|| user_of(message.from().ok()?.uri)),
        (false, false) => contact(),
        (false, true) => None,
    }
}

/// The user part, unless it is a leg of ours.
fn user_of(uri: &[u8]) -> Option<String> {
    let user = Uri::parse(uri).ok()?.user?;
    (!user.is_empty() && !user.starts_with(b"cc.")).then(|| String::from_utf8_lossy(user).into_owned())
}

fn arrow(step: &LadderStep) -> Option<&Arrow> {
    match &step.what {
        Some(ladder_step::What::Arrow(arrow)) => Some(arrow),
        Some(ladder_step::What::Decision(_)) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;

    const ALICE: &str = "192.0.2.1:5060";
    const BOB: &str = "192.0.2.2:5060";

    /// A step of an edge: what went to or came from an address, at this time.
    fn step(edge: &str, at: i32, (from, to): (&str, &str), text: &str) -> LadderStep {
        let end = |address: &str| if address.is_empty() { edge.to_owned() } else { String::new() };
        let via = text.split("branch=").nth(1).and_then(|rest| rest.split("\r\n").next());
        let arrow = Arrow {
            from: end(from),
            to: end(to),
            from_address: from.into(),
            to_address: to.into(),
            transport: "udp".into(),
            method: "INVITE".into(),
            branch: via.unwrap_or_default().into(),
            size: text.len() as u32,
            text: text.to_owned().into(),
            ..Arrow::default()
        };
        LadderStep {
            time: Some(Timestamp { seconds: 1000, nanos: at }),
            edge_id: edge.into(),
            number: at as u64,
            sip_call_id: "x".into(),
            what: Some(ladder_step::What::Arrow(arrow)),
            ..LadderStep::default()
        }
    }

    fn invite(uri: &str, branch: &str, contact: &str) -> String {
        format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP h;branch={branch}\r\nFrom: <sip:f@h>;tag=1\r\nTo: <sip:t@h>\r\n\
             Call-ID: x\r\nCSeq: 1 INVITE\r\nContact: <{contact}>\r\n\r\n"
        )
    }

    fn merged(seen: Vec<LadderStep>) -> Ladder {
        merge(seen, &HashMap::new())
    }

    fn ways(ladder: &Ladder) -> Vec<(String, String)> {
        ladder.steps.iter().filter_map(arrow).map(|arrow| (arrow.from.clone(), arrow.to.clone())).collect()
    }

    #[test]
    fn what_two_edges_saw_is_one_ladder_in_order_with_each_message_once() {
        let first = invite("sip:bob@example.com", "z9hG4bK1", "sip:alice@192.0.2.1");
        let between = invite("sip:bob@192.0.2.2", "z9hG4bK2", "sip:alice@192.0.2.1");
        let last = invite("sip:bob@192.0.2.2", "z9hG4bK3", "sip:alice@192.0.2.1");
        let ladder = merged(vec![
            step("edge-1", 30, ("192.0.2.10:5060", ""), &between),
            step("edge-1", 40, ("", BOB), &last),
            step("edge-0", 10, (ALICE, ""), &first),
            step("edge-0", 20, ("", "192.0.2.11:5060"), &between),
        ]);
        let expected = [("alice", "edge-0"), ("edge-0", "edge-1"), ("edge-1", "bob")];
        assert_eq!(ways(&ladder), expected.map(|(from, to)| (from.to_owned(), to.to_owned())));
        let participants: Vec<_> = ladder
            .participants
            .iter()
            .map(|who| (who.name.as_str(), who.address.as_str(), who.ours))
            .collect();
        let (alice, bob) = (format!("udp:{ALICE}"), format!("udp:{BOB}"));
        let all =
            [("alice", &*alice, false), ("edge-0", "", true), ("edge-1", "", true), ("bob", &*bob, false)];
        assert_eq!(participants, all);
        assert_eq!(ladder.sip_call_ids, ["x"]);
    }

    #[test]
    fn two_phones_of_one_user_have_different_names() {
        let to_bob = |branch| invite("sip:bob@h", branch, "sip:cc.call-1.a@h");
        let ladder = merged(vec![
            step("edge-0", 1, ("", ALICE), &to_bob("z9hG4bK1")),
            step("edge-0", 2, ("", BOB), &to_bob("z9hG4bK2")),
        ]);
        assert_eq!(ways(&ladder)[0].1, "bob");
        assert_eq!(ways(&ladder)[1].1, format!("bob@{BOB}"));
    }

    #[test]
    fn who_is_not_named_by_any_message_is_named_by_address() {
        let ladder =
            merged(vec![step("edge-0", 1, ("", BOB), &invite("sip:192.0.2.2", "z9hG4bK1", "sip:cc.c.a@h"))]);
        assert_eq!(ways(&ladder), [("edge-0".to_owned(), BOB.to_owned())]);
    }
}
