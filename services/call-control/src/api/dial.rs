//! Dial: from the request to the input of the engine.

use std::ops::RangeInclusive;
use std::time::Duration;

use cluster_api::callcontrol::v1 as wire;
use cluster_rpc::Reason;
use prost::Message;
use sha2::{Digest as _, Sha256};
use tonic::Status;

use crate::config::{Config, millis};
use crate::engine::call::{Flow, NewCall, Party};
use crate::violations::Violations;
use crate::wire::headers_in;

/// Tones that can be named, and "none".
pub const TONES: [&str; 6] = ["us", "eu", "uk", "fr", "jp", "none"];
/// How long one leg may ring.
const RING: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// How long a call may last, when it is limited.
const LASTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 24 * 3600);

/// What a valid Dial asks for; the id and the entropy of the call come from elsewhere.
///
/// # Errors
/// `INVALID_ARGUMENT` with everything that is wrong.
pub fn new_call(request: wire::DialRequest, config: &Config) -> Result<NewCall, Status> {
    let mut violations = Violations::default();
    violations.line("request_id", &request.request_id, 64);
    let from = party(&mut violations, "from", request.from);
    let to = party(&mut violations, "to", request.to);
    let flow = flow(&mut violations, request.flow);
    let reconnect_to = request.reconnect_to.map(|to| party(&mut violations, "reconnect_to", Some(to)));
    violations.headers("", &request.headers);
    metadata(&mut violations, &request.metadata);
    let mut policy = config.policy();
    let ring_timeout = violations.duration("ring_timeout", request.ring_timeout, RING);
    policy.ring_timeout_ms = ring_timeout.map_or(policy.ring_timeout_ms, millis);
    let max_duration = violations.duration("max_duration", request.max_duration, LASTS);
    policy.max_duration_ms = max_duration.map_or(0, millis);
    policy.reconnect_to = reconnect_to;
    (policy.caller_name, policy.caller_id) = violations.caller_id("caller_id", &request.caller_id);
    policy.ringback_tone = match request.ringback.as_str() {
        "" => config.ringback_tone.clone(),
        tone => {
            if !TONES.contains(&tone) {
                violations.add(Reason::BadField, "ringback", format!("one of {}", TONES.join(", ")));
            } else if tone != "none" && !matches!(flow, Flow::Auto | Flow::Ringback) {
                let expected = "no tone: only FLOW_AUTO and FLOW_RINGBACK let the first party hear one";
                violations.add(Reason::BadField, "ringback", expected);
            }
            tone.to_owned()
        }
    };
    violations.check()?;
    Ok(NewCall {
        call_id: String::new(),
        flow,
        from,
        to,
        policy,
        headers: headers_in(request.headers),
        metadata: request.metadata,
        seed: Vec::new(),
        callback_id: String::new(),
    })
}

pub(super) fn party(violations: &mut Violations, field: &str, party: Option<wire::Party>) -> Party {
    let Some(party) = party else {
        violations.add(Reason::BadUri, field, "a party, with at least a uri such as sip:alice@example.com");
        return Party::default();
    };
    violations.uri(&format!("{field}.uri"), &party.uri);
    violations.display_name(&format!("{field}.display_name"), &party.display_name);
    violations.headers(field, &party.headers);
    let trunk = party.trunk.unwrap_or_default();
    violations.line(&format!("{field}.trunk"), &trunk, 64);
    let headers = headers_in(party.headers);
    Party { uri: party.uri, display_name: party.display_name, headers, trunk, ..Party::default() }
}

fn flow(violations: &mut Violations, flow: i32) -> Flow {
    match wire::Flow::try_from(flow) {
        Ok(wire::Flow::Unspecified | wire::Flow::Auto) => Flow::Auto,
        Ok(wire::Flow::I) => Flow::I,
        Ok(wire::Flow::Iii) => Flow::Iii,
        Ok(wire::Flow::Iv) => Flow::Iv,
        Ok(wire::Flow::Ringback) => Flow::Ringback,
        Ok(wire::Flow::Ii) => {
            let why = "another flow: Flow II may never end, because offers and answers need not match (RFC 3725 4.2)";
            violations.add(Reason::FlowNotOffered, "flow", why);
            Flow::Auto
        }
        Err(_) => {
            violations.add(Reason::BadField, "flow", "a flow that this version knows");
            Flow::Auto
        }
    }
}

fn metadata(violations: &mut Violations, metadata: &std::collections::HashMap<String, String>) {
    if metadata.len() > 32 {
        violations.add(Reason::BadField, "metadata", "at most 32 entries");
    }
    for (key, value) in metadata {
        if key.is_empty() {
            violations.add(Reason::BadField, "metadata", "keys of at least one character");
        }
        violations.line("metadata", key, 64);
        violations.line(&format!("metadata[{}]", key.escape_debug()), value, 512);
    }
}

/// A hash that is the same for the same content, whatever the order of the metadata.
pub fn fingerprint(request: &wire::DialRequest) -> Vec<u8> {
    let mut sorted: Vec<_> = request.metadata.iter().collect();
    sorted.sort();
    let plain = wire::DialRequest { metadata: Default::default(), ..request.clone() };
    let mut hash = begin("Dial", &plain);
    for (key, value) in sorted {
        for text in [key, value] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
    }
    hash.finalize().to_vec()
}

/// The same for requests without maps.
pub fn plain_fingerprint(rpc: &str, request: &impl Message) -> Vec<u8> {
    begin(rpc, request).finalize().to_vec()
}

fn begin(rpc: &str, request: &impl Message) -> Sha256 {
    let mut hash = Sha256::new();
    hash.update(rpc);
    hash.update([0]);
    hash.update(request.encode_to_vec());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> wire::DialRequest {
        let party = |uri: &str| Some(wire::Party { uri: uri.into(), ..wire::Party::default() });
        wire::DialRequest {
            from: party("sip:alice@example.com"),
            to: party("tel:+15551234"),
            metadata: (0..10).map(|n| (format!("key{n}"), n.to_string())).collect(),
            ..wire::DialRequest::default()
        }
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let call = new_call(request(), &Config::default()).expect("valid");
        assert_eq!(call.flow, Flow::Auto);
        assert_eq!(call.policy.ring_timeout_ms, 60_000);
        assert_eq!(call.policy.max_duration_ms, 0);
    }

    /// TPC-03
    #[test]
    fn flow_ii_is_refused_by_name() {
        let status =
            new_call(wire::DialRequest { flow: wire::Flow::Ii.into(), ..request() }, &Config::default())
                .expect_err("refused");
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert!(status.message().starts_with("flow: another flow: Flow II"), "{}", status.message());
    }

    #[test]
    fn a_party_keeps_the_trunk_that_it_names() {
        let mut named = request();
        named.to.as_mut().expect("a party").trunk = Some("carrier".into());
        let call = new_call(named, &Config::default()).expect("valid");
        assert_eq!((call.from.trunk.as_str(), call.to.trunk.as_str()), ("", "carrier"));
    }

    #[test]
    fn a_tone_needs_a_flow_that_has_one() {
        let asks = |flow: wire::Flow, tone: &str| {
            let asked = wire::DialRequest { flow: flow.into(), ringback: tone.into(), ..request() };
            new_call(asked, &Config::default()).is_ok()
        };
        assert!(asks(wire::Flow::Auto, "uk") && asks(wire::Flow::Ringback, "uk"));
        for flow in [wire::Flow::I, wire::Flow::Iii, wire::Flow::Iv] {
            assert!(asks(flow, "none") && asks(flow, "") && !asks(flow, "uk"), "{flow:?}");
        }
    }

    #[test]
    fn a_caller_id_keeps_its_name_and_a_tone_its_country() {
        let named = wire::DialRequest {
            caller_id: "\"Sales \\\"East\\\"\" <sip:sales@example.com>".into(),
            ringback: "uk".into(),
            ..request()
        };
        let policy = new_call(named, &Config::default()).expect("valid").policy;
        assert_eq!(policy.caller_id, "sip:sales@example.com");
        assert_eq!(policy.caller_name, "Sales \"East\"");
        assert_eq!(policy.ringback_tone, "uk");
    }

    #[test]
    fn every_field_is_checked() {
        type Spoil = fn(&mut wire::DialRequest);
        let bad: [(&str, Spoil); 10] = [
            ("request_id", |r| r.request_id = "x".repeat(65)),
            ("from", |r| r.from = None),
            ("to.uri", |r| r.to.as_mut().expect("to").uri = "bob".into()),
            ("to.display_name", |r| r.to.as_mut().expect("to").display_name = "a\r\nb".into()),
            ("from.trunk", |r| r.from.as_mut().expect("from").trunk = Some("a\nb".into())),
            ("flow", |r| r.flow = 99),
            ("ringback", |r| r.ringback = "xx".into()),
            ("ring_timeout", |r| r.ring_timeout = Some(prost_types::Duration { seconds: -1, nanos: 0 })),
            ("metadata[a]", |r| drop(r.metadata.insert("a".into(), "x".repeat(513)))),
            ("headers[0].name", |r| {
                r.headers = vec![cluster_api::sip::v1::Header { name: "Via".into(), value: "x".into() }];
            }),
        ];
        for (field, spoil) in bad {
            let mut spoiled = request();
            spoil(&mut spoiled);
            let status = new_call(spoiled, &Config::default()).expect_err(field);
            assert!(status.message().starts_with(field), "{field}: {}", status.message());
        }
    }

    #[test]
    fn the_same_content_has_the_same_fingerprint() {
        // Maps of separate requests iterate in different orders.
        assert!((0..20).all(|_| fingerprint(&request()) == fingerprint(&request())));
        let mut other = request();
        other.metadata.insert("key0".into(), "other".into());
        assert_ne!(fingerprint(&request()), fingerprint(&other));
        let other = wire::DialRequest { ringback: "us".into(), ..request() };
        assert_ne!(fingerprint(&request()), fingerprint(&other));
    }
}
