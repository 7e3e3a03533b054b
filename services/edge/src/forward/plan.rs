//! A routing plan of the registrar as groups of targets for the proxy core.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster_api::registrar::v1 as api;
use sip_message::{HeaderId, Message, NameAddr, Uri};
use sip_proxy::{Condition, Group, as_request_uri};

use super::lineage::Lineage;
use super::target::{LookUp, Target, parse_received};

/// Groups of a fork, in the order to try them.
pub(crate) fn groups(fork: api::Fork) -> Vec<Group<Target>> {
    fork.groups.into_iter().map(group).collect()
}

fn group(group: api::Group) -> Group<Target> {
    let cause: Arc<str> = Arc::from(group.cause.as_str());
    Group {
        targets: group.targets.into_iter().map(|target| self::target(target, &cause)).collect(),
        ring_time: group.ring_time.and_then(|time| Duration::try_from(time).ok()),
        condition: condition(&group.cause),
    }
}

fn target(target: api::Target, cause: &Arc<str>) -> Target {
    Target {
        uri: Some(Bytes::copy_from_slice(&as_request_uri(target.uri.as_bytes()))),
        // A target without a flow that is a name of ours was not looked up yet, say the target of a forwarding.
        look_up: match () {
            // A trunk that turns out to be ourselves would be asked about for ever.
            () if cause.starts_with("trunk") => LookUp::Never,
            () if target.flow.is_empty() && target.received.is_empty() => LookUp::Ours,
            () => LookUp::Never,
        },
        flow: target.flow,
        aor: Arc::from(target.aor),
        routes: target.route.into_iter().map(Bytes::from).collect(),
        received: parse_received(&target.received),
        instance: (!target.instance.is_empty()).then(|| Arc::from(target.instance)),
        cause: cause.clone(),
        lineage: Lineage::default(),
        trunk: Arc::from(target.trunk),
        wake: Arc::from(target.wake),
    }
}

fn condition(cause: &str) -> Condition {
    match cause {
        "forward-busy" => Condition::Busy,
        "forward-no-answer" => Condition::NoAnswer,
        "forward-unreachable" => Condition::Unreachable,
        "trunk-failover" => Condition::NotServed,
        _ => Condition::Always,
    }
}

/// One group of one target.
pub(crate) fn only(target: Target) -> Group<Target> {
    Group { targets: vec![target], ring_time: None, condition: Condition::Always }
}

/// The contacts of a 3xx as groups: equal q together, falling q one after the other. Contacts that are no SIP or tel
/// URI are left out; headers and method in a URI are not taken over (MSG-17).
pub(crate) fn redirection(response: &Message) -> Vec<Group<Target>> {
    contact_groups(response.values(HeaderId::Contact))
}

/// Contact values as groups.
pub(crate) fn contact_groups<'a>(contacts: impl Iterator<Item = &'a [u8]>) -> Vec<Group<Target>> {
    let mut found: Vec<(u32, Target)> = Vec::new();
    for contact in contacts.filter_map(|value| NameAddr::parse(value).ok()) {
        let Ok(uri) = Uri::parse(contact.uri) else { continue };
        if matches!(uri.scheme, sip_message::Scheme::Other(_)) {
            continue;
        }
        let target = Target {
            cause: Arc::from("redirect"),
            look_up: LookUp::Ours,
            ..Target::of_uri(Some(Bytes::copy_from_slice(&as_request_uri(contact.uri))))
        };
        found.push((q_milli(contact.param("q")), target));
    }
    // Stable: contacts of one q keep their order.
    found.sort_by_key(|(q, _)| std::cmp::Reverse(*q));
    let mut groups: Vec<(u32, Group<Target>)> = Vec::new();
    for (q, target) in found {
        match groups.last_mut() {
            Some((last, group)) if *last == q => group.targets.push(target),
            Some(_) | None => groups
                .push((q, Group { targets: vec![target], ring_time: None, condition: Condition::Always })),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// A q value times 1000; 1 when it is absent or garbage. RFC 3261 20.10
pub(crate) fn q_milli(text: Option<&str>) -> u32 {
    let q = text.and_then(|text| text.parse::<f32>().ok()).filter(|q| (0.0..=1.0).contains(q));
    q.map_or(1000, |q| (q * 1000.0).round() as u32)
}

#[cfg(test)]
mod tests {
    use sip_message::Limits;

    use super::*;

    /// PXY-21, PXY-24, MSG-17
    #[test]
    fn contacts_of_a_3xx_are_grouped_by_q_and_lose_what_no_request_uri_has() {
        let text = "SIP/2.0 302 Moved\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\
            Contact: <sip:a@h>;q=0.5, <sip:b?1@h;method=BYE?Route=evil>, <mailto:b@h>\r\nContact: <sip:c@h>;q=0.5\r\n\
            Content-Length: 0\r\n\r\n";
        let response = Message::parse(text.as_bytes().to_vec().into(), &Limits::default()).unwrap();
        let uris: Vec<Vec<Bytes>> = redirection(&response)
            .into_iter()
            .map(|group| group.targets.into_iter().filter_map(|target| target.uri).collect())
            .collect();
        assert_eq!(uris, [vec!["sip:b?1@h"], vec!["sip:a@h", "sip:c@h"]]);
    }

    /// FWD-03, FWD-04, FWD-05
    #[test]
    fn the_cause_of_a_group_says_when_it_applies() {
        let plan = |cause: &str| api::Fork {
            groups: vec![api::Group { cause: cause.into(), ..api::Group::default() }],
            recurse: false,
        };
        for (cause, condition) in [
            ("contact", Condition::Always),
            ("forward-unconditional", Condition::Always),
            ("forward-busy", Condition::Busy),
            ("forward-no-answer", Condition::NoAnswer),
            ("forward-unreachable", Condition::Unreachable),
            ("trunk", Condition::Always),
            ("trunk-failover", Condition::NotServed),
        ] {
            assert_eq!(groups(plan(cause))[0].condition, condition, "{cause}");
        }
    }

    #[test]
    fn a_q_that_is_none_counts_as_one() {
        assert_eq!(q_milli(Some("0.7")), 700);
        assert_eq!(q_milli(Some("1.000")), 1000);
        for none in [None, Some("x"), Some("7"), Some("-1"), Some("NaN")] {
            assert_eq!(q_milli(none), 1000);
        }
    }
}
