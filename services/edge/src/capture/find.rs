//! The steps of one call in the ring: this is where messages are read.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use cluster_api::trace::v1::{Arrow, CallKey, Decision, LadderStep, call_key::Key, ladder_step};
use memchr::memmem::Finder;
use sip_endpoint::Direction;
use sip_message::{HeaderId, Limits, Message};

use super::mask::mask;
use super::ring::{Step, What};

/// Most steps that are returned of one call, the newest: an answer has to fit into a message of gRPC, 4 MiB by default.
const MOST: usize = 2_000;

/// Most octets of messages that are returned of one call, for the same reason.
const MOST_OCTETS: usize = 3 * 1024 * 1024;

/// The steps of one call as the edge of this name shows them, and whether older ones were left out.
///
/// The far end of an arrow has no name yet: it is empty.
pub(super) fn steps_of(
    key: &CallKey,
    steps: &[Step],
    edge_id: &str,
    with_text: bool,
) -> (Vec<LadderStep>, bool) {
    let sip_call_ids = match &key.key {
        Some(Key::SipCallId(id)) if !id.is_empty() => HashSet::from([id.as_str().into()]),
        Some(Key::CallId(id)) if !id.is_empty() => sip_call_ids(id, steps),
        Some(Key::SipCallId(_) | Key::CallId(_)) | None => HashSet::new(),
    };
    let mut of_call: Vec<(&Step, String)> = with_call_id(&sip_call_ids, steps).collect();
    let mut octets = 0;
    let fitting = of_call.iter().rev().take(MOST).take_while(|(step, _)| {
        octets += step.what.message().len();
        octets <= MOST_OCTETS
    });
    let cut = of_call.len() - fitting.count();
    of_call.drain(..cut);
    let call_ids: HashMap<String, String> =
        of_call.iter().rev().filter_map(|(step, sip)| Some((sip.clone(), call_id(&step.what)?))).collect();
    let mut seen = HashSet::new();
    let shown = of_call.into_iter().map(|(step, sip_call_id)| LadderStep {
        time: Some(step.at.into()),
        edge_id: edge_id.to_owned(),
        number: step.number,
        call_id: call_ids.get(&sip_call_id).cloned().unwrap_or_default(),
        sip_call_id,
        dropped: 0,
        what: Some(what(&step.what, edge_id, with_text, &mut seen)),
    });
    (shown.collect(), cut > 0)
}

/// The Call-IDs of the legs of a call: those of messages with the Contact of one of its legs, and of its decisions.
fn sip_call_ids(id: &str, steps: &[Step]) -> HashSet<Box<str>> {
    let leg = format!("cc.{id}.");
    let leg = Finder::new(leg.as_bytes());
    let mut found = HashSet::new();
    for step in steps {
        let belongs = match &step.what {
            What::Message { bytes, .. } => leg.find(bytes).is_some(),
            What::Decided { decided, .. } => decided.call_id.as_deref() == Some(id),
        };
        if belongs && let Some(sip_call_id) = call_id_header(step.what.message()) {
            found.insert(sip_call_id.into());
        }
    }
    found
}

fn with_call_id<'s>(
    wanted: &'s HashSet<Box<str>>,
    steps: &'s [Step],
) -> impl Iterator<Item = (&'s Step, String)> {
    let finders: Vec<Finder<'s>> = wanted.iter().map(|id| Finder::new(id.as_bytes())).collect();
    steps.iter().filter_map(move |step| {
        // Most messages are of other calls, and searching is quicker than reading.
        let candidate = finders.iter().any(|finder| finder.find(step.what.message()).is_some());
        let id = if candidate { call_id_header(step.what.message())? } else { return None };
        wanted.contains(&*id).then_some((step, id))
    })
}

/// The Call-ID, also of what is no whole message.
fn call_id_header(message: &[u8]) -> Option<String> {
    let head = memchr::memmem::find(message, b"\r\n\r\n").map_or(message, |end| &message[..end]);
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        let name = line[..colon].trim_ascii_end();
        let named = name.eq_ignore_ascii_case(b"Call-ID") || name.eq_ignore_ascii_case(b"i");
        let value = line[colon + 1..].trim_ascii();
        (named && !value.is_empty()).then(|| String::from_utf8_lossy(value).into_owned())
    })
}

/// Carillon's id of the call, from a decision or the Contact of a leg.
fn call_id(what: &What) -> Option<String> {
    let bytes = match what {
        What::Decided { decided, .. } => return decided.call_id.as_deref().map(str::to_owned),
        What::Message { bytes, .. } => bytes,
    };
    let user = &bytes[memchr::memmem::find(bytes, b":cc.")? + b":cc.".len()..];
    let user = std::str::from_utf8(&user[..memchr::memchr(b'@', user)?]).ok()?;
    let (call_id, _) = user.rsplit_once('.')?;
    (call_id.len() <= 128 && !call_id.contains(['<', '>', ' ', '\r', '\n'])).then(|| call_id.to_owned())
}

fn what<'s>(
    what: &'s What,
    edge_id: &str,
    with_text: bool,
    seen: &mut HashSet<(Direction, std::net::SocketAddr, &'s Bytes)>,
) -> ladder_step::What {
    match what {
        What::Decided { decided, .. } => ladder_step::What::Decision(Decision {
            by: decided.by.to_owned(),
            what: decided.what.clone().into_owned(),
            reason: decided.reason.clone().into_owned(),
        }),
        What::Message { direction, local, peer, transport, bytes } => {
            let (us, nobody) = (edge_id.to_owned(), String::new());
            let (from, to, source, destination) = match direction {
                Direction::Received => (nobody, us, peer, local),
                Direction::Sent => (us, nobody, local, peer),
            };
            let mut arrow = Arrow {
                from,
                to,
                transport: transport.as_str().to_ascii_lowercase(),
                from_address: source.to_string(),
                to_address: destination.to_string(),
                retransmission: !seen.insert((*direction, *peer, bytes)),
                size: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
                text: if with_text { mask(bytes) } else { Bytes::new() },
                ..Arrow::default()
            };
            describe(&mut arrow, bytes);
            ladder_step::What::Arrow(arrow)
        }
    }
}

/// What the message says.
fn describe(arrow: &mut Arrow, bytes: &Bytes) {
    let Ok(message) = Message::parse(bytes.clone(), &Limits::OWN) else {
        arrow.summary = "malformed".to_owned();
        return;
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    arrow.method = message.method_str().to_owned();
    arrow.status = message.status().unwrap_or_default().into();
    arrow.cseq = message.cseq().map_or(0, |cseq| cseq.number);
    arrow.branch = message.top_via().ok().and_then(|via| via.branch.map(str::to_owned)).unwrap_or_default();
    arrow.summary = match message.status() {
        Some(status) => format!("{status} {}", text(message.reason())),
        None => format!("{} {}", message.method_str(), message.request_uri().map_or(String::new(), text)),
    };
    if let Some(kind) = message.first(HeaderId::ContentType) {
        let kind = text(kind).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let kind = if kind == "application/sdp" { "SDP".to_owned() } else { kind };
        arrow.summary.push_str(&format!(" ({kind})"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::ring::tests::{ring, see};
    use super::super::ring::{Decided, Ring};
    use super::*;

    fn find(ring: &Ring, key: Key) -> (Vec<LadderStep>, bool) {
        steps_of(&CallKey { key: Some(key) }, &ring.read().0, "edge-0", true)
    }

    fn message(sip_call_id: &str, more: &str) -> String {
        format!("INVITE sip:bob@h SIP/2.0\r\ni : {sip_call_id}\r\n{more}\r\n")
    }

    fn numbers(steps: &[LadderStep]) -> Vec<u64> {
        steps.iter().map(|step| step.number).collect()
    }

    #[test]
    fn a_call_has_the_messages_of_all_its_legs_and_no_others() {
        let (ring, _) = ring(100, 100_000);
        see(&ring, Direction::Sent, "127.0.0.1:1", &message("x1", "Contact: <sip:cc.call-1.a@h>\r\n"));
        see(&ring, Direction::Received, "127.0.0.1:1", &message("x1", ""));
        see(&ring, Direction::Sent, "127.0.0.1:1", &message("x2", "Contact: <sip:cc.call-1.b@h>\r\n"));
        see(&ring, Direction::Sent, "127.0.0.1:1", &message("x3", "Contact: <sip:cc.call-10.a@h>\r\n"));
        see(&ring, Direction::Sent, "127.0.0.1:1", &message("x11", "Subject: x1\r\n"));
        let (steps, _) = find(&ring, Key::CallId("call-1".into()));
        assert_eq!(numbers(&steps), [0, 1, 2]);
        assert!(steps.iter().all(|step| step.call_id == "call-1"));
        assert_eq!(numbers(&find(&ring, Key::SipCallId("x1".into())).0), [0, 1]);
        assert!(find(&ring, Key::SipCallId(String::new())).0.is_empty());
    }

    #[test]
    fn a_decision_brings_the_messages_of_its_call_along() {
        let (ring, _) = ring(100, 100_000);
        let request = Message::parse(
            "BYE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n\
             Call-ID: x1\r\nCSeq: 1 BYE\r\n\r\n"
                .into(),
            &Limits::OWN,
        )
        .unwrap();
        let call: std::sync::Arc<str> = "call-1".into();
        ring.note(&request, || Decided::new("edge", "what", "why").of_call(&call));
        see(&ring, Direction::Sent, "127.0.0.1:1", &message("x1", ""));
        assert_eq!(numbers(&find(&ring, Key::CallId("call-1".into())).0), [0, 1]);
    }

    #[test]
    fn of_a_long_call_the_newest_steps_are_shown() {
        let (ring, _) = ring(10_000, usize::MAX);
        for _ in 0..MOST + 3 {
            see(&ring, Direction::Sent, "127.0.0.1:1", &message("x1", ""));
        }
        let (steps, cut) = find(&ring, Key::SipCallId("x1".into()));
        assert_eq!((steps.len(), steps[0].number, cut), (MOST, 3, true));
        for _ in 0..5 {
            see(&ring, Direction::Sent, "127.0.0.1:1", &message("big", &"x".repeat(MOST_OCTETS / 4)));
        }
        assert_eq!(find(&ring, Key::SipCallId("big".into())).0.len(), 3);
    }

    #[test]
    fn what_is_no_message_is_shown_as_malformed() {
        let (ring, _) = ring(10, 10_000);
        see(&ring, Direction::Received, "127.0.0.1:1", "INVITE\r\nCall-ID: x1\r\n");
        let (steps, _) = find(&ring, Key::SipCallId("x1".into()));
        let Some(ladder_step::What::Arrow(arrow)) = &steps[0].what else { panic!("{steps:?}") };
        assert_eq!(
            (arrow.summary.as_str(), arrow.to.as_str(), arrow.from.as_str()),
            ("malformed", "edge-0", "")
        );
    }
}
