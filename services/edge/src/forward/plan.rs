//! A routing plan of the registrar as groups of targets for the proxy core.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cluster_api::registrar::v1 as api;
use sip_message::{HeaderId, Message, NameAddr, Scheme, Uri};
use sip_proxy::{Condition, Group, Own, as_request_uri};

use super::avoided::Avoided;
use super::lineage::Lineage;
use super::target::{LookUp, Target, parse_received};

/// Whom a leg of call-control calls instead of a number that is lent.
pub(crate) fn callee(fork: &api::Fork) -> Option<&str> {
    let mut callees =
        fork.groups.iter().flat_map(|group| &group.targets).map(|target| target.callee.as_str());
    callees.find(|callee| !callee.is_empty())
}

/// Groups of a fork, in the order to try them. What its first group is for has happened before anybody was tried: the registrar found
/// the callee busy, say, because the account has as many calls as it may.
pub(crate) fn groups(fork: api::Fork) -> Vec<Group<Target>> {
    let mut groups: Vec<_> = fork.groups.into_iter().map(group).collect();
    if let Some(first) = groups.first_mut() {
        first.condition = Condition::Always;
    }
    groups
}

/// Puts trunks that failed a short while ago behind the others: each stands in for the one before it, whichever that is. RFC 3263 4.3
pub(crate) fn put_failed_trunks_last(
    groups: &mut [Group<Target>],
    avoided: &mut Avoided,
    avoided_names: &mut Avoided<Box<str>>,
    now: Instant,
) {
    let is_trunk = |target: &Target| target.cause.starts_with("trunk");
    if groups.len() < 2 || !groups.iter().all(|group| group.targets.iter().all(is_trunk)) {
        return;
    }
    let places: Vec<_> = groups
        .iter()
        .map(|group| (group.condition, group.targets.first().map(|target| target.cause.clone())))
        .collect();
    avoided_names.put_last_by(now, groups, |group| group.targets.first()?.named_trunk());
    avoided.put_last_by(now, groups, |group| group.targets.first()?.numeric_trunk());
    for (group, (condition, cause)) in groups.iter_mut().zip(places) {
        group.condition = condition;
        for target in &mut group.targets {
            target.cause = cause.clone().unwrap_or_else(|| target.cause.clone());
        }
    }
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
            () if target.look_up => LookUp::First,
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
        trunk_side: None,
        wake: Arc::from(target.wake),
        seize: Arc::from(target.seize),
        led_by: Arc::from(target.led_by),
        is_cleared: false,
        charge: target.charge.map(Arc::new),
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

/// Those contacts of a 3xx that are followed, as groups: equal q together, falling q one after the other; and the 3xx with the others,
/// where there are both kinds. Whoever is no user of ours, no number and not called already is for the caller to call (RFC 3261 16.5); headers
/// and method in a URI are not taken over (MSG-17).
///
/// Other services (380) are told by the body, which is for the caller to read: nobody is led to its contacts. RFC 3261 21.3.5
pub(crate) fn redirection(
    response: &Message,
    own: &Own,
    is_called: impl Fn(&[u8]) -> bool,
) -> (Vec<Group<Target>>, Option<Message>) {
    if response.status() == Some(380) {
        return (Vec::new(), None);
    }
    let leads_to_ours = |contact: &&[u8]| {
        let uri = NameAddr::parse(contact).ok().and_then(|contact| Uri::parse(contact.uri).ok());
        uri.is_some_and(|uri| {
            uri.scheme == Scheme::Tel || own.is_ours(&uri) || is_called(&as_request_uri(uri.raw()))
        })
    };
    let (followed, others): (Vec<&[u8]>, Vec<&[u8]>) =
        response.values(HeaderId::Contact).partition(leads_to_ours);
    let groups = contact_groups(followed.into_iter());
    if groups.is_empty() || others.is_empty() {
        return (groups, None);
    }
    // RFC 3261 16.7 step 4
    let mut edit = response.edit();
    edit.remove_all(HeaderId::Contact);
    for contact in others {
        edit.append(HeaderId::Contact, contact);
    }
    (groups, edit.finish().ok())
}

/// The contacts of a 305 (Use Proxy) as groups: proxies by way of which `asked` is tried again, as the same callee. RFC 3261 21.3.4
pub(crate) fn by_proxies(response: &Message, asked: &[u8], answered: &Target) -> Vec<Group<Target>> {
    let by_proxy = |target: Target| {
        let proxy = target.uri?;
        let uri = Uri::parse(&proxy).ok().filter(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips))?;
        let more: &[u8] = if uri.param("lr").is_some() { b">" } else { b";lr>" };
        let route = [b"<", &*proxy, more].concat();
        Some(Target {
            routes: vec![route.into()],
            cause: answered.cause.clone(),
            lineage: answered.lineage.clone(),
            led_by: answered.answerable().clone(),
            look_up: LookUp::Address,
            ..Target::of_uri(Some(Bytes::copy_from_slice(&as_request_uri(asked))))
        })
    };
    let groups = contact_groups(response.values(HeaderId::Contact)).into_iter();
    let groups = groups
        .map(|group| Group { targets: group.targets.into_iter().filter_map(by_proxy).collect(), ..group });
    groups.filter(|group| !group.targets.is_empty()).collect()
}

/// Contact values as groups.
pub(crate) fn contact_groups<'a>(contacts: impl Iterator<Item = &'a [u8]>) -> Vec<Group<Target>> {
    let mut found: Vec<(u32, Target)> = Vec::new();
    for contact in contacts.filter_map(|value| NameAddr::parse(value).ok()) {
        let Ok(uri) = Uri::parse(contact.uri) else { continue };
        if matches!(uri.scheme, Scheme::Other(_)) {
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
    use sip_endpoint::{Destination, Transport};
    use sip_message::Limits;

    use super::*;

    /// PXY-21, PXY-24, MSG-17
    #[test]
    fn own_contacts_of_a_3xx_are_grouped_by_q_and_lose_what_no_request_uri_has() {
        let (groups, rest) =
            led("Contact: <sip:a@h>;q=0.5, <sip:b?1@h;method=BYE?Route=evil>, <mailto:b@h>\r\n\
            Contact: <sip:c@h>;q=0.5, \"C, there\" <sip:c@far.example>;q=0.7, <tel:+49301>;q=0.1\r\n");
        assert_eq!(groups, [vec!["sip:b?1@h"], vec!["sip:a@h", "sip:c@h"], vec!["tel:+49301"]]);
        // RFC 3261 16.7 step 4
        assert_eq!(rest, ["<mailto:b@h>", "\"C, there\" <sip:c@far.example>;q=0.7"]);
        assert_eq!(led("Contact: <sip:c@far.example>\r\n"), (vec![], vec![]), "it goes up as it is");
        assert_eq!(led("Contact: <sip:a@h>\r\n").1, [""; 0], "nothing is left of it");
    }

    /// What is followed, and what is left.
    fn led(contacts: &str) -> (Vec<Vec<Bytes>>, Vec<String>) {
        let text = format!(
            "SIP/2.0 302 Moved\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n{contacts}Content-Length: 0\r\n\r\n"
        );
        let response = Message::parse(text.into_bytes().into(), &Limits::default()).unwrap();
        let mut own = Own::default();
        own.add_domain("h");
        let (groups, rest) = redirection(&response, &own, |_| false);
        let uris = |group: Group<Target>| group.targets.into_iter().filter_map(|target| target.uri).collect();
        let left = rest.iter().flat_map(|rest| rest.values(HeaderId::Contact));
        let left = left.map(|value| String::from_utf8_lossy(value).into_owned()).collect();
        (groups.into_iter().map(uris).collect(), left)
    }

    /// FWD-03, FWD-04, FWD-05: a group behind others applies by its cause, the first one in any case.
    #[test]
    fn the_cause_of_a_group_says_when_it_applies() {
        for (cause, condition) in [
            ("contact", Condition::Always),
            ("forward-unconditional", Condition::Always),
            ("forward-busy", Condition::Busy),
            ("forward-no-answer", Condition::NoAnswer),
            ("forward-unreachable", Condition::Unreachable),
            ("trunk", Condition::Always),
            ("trunk-failover", Condition::NotServed),
        ] {
            let group = |cause: &str| api::Group { cause: cause.into(), ..api::Group::default() };
            let plan = |causes: &[&str]| api::Fork {
                groups: causes.iter().map(|cause| group(cause)).collect(),
                recurse: false,
            };
            assert_eq!(groups(plan(&["contact", cause]))[1].condition, condition, "{cause}");
            assert_eq!(groups(plan(&[cause]))[0].condition, Condition::Always, "{cause}");
        }
    }

    /// DNS-05: trunks that failed come last, and each is still for the one before it; a group that is none leaves all where it is.
    #[test]
    fn trunks_that_failed_are_tried_last() {
        let (now, at) = (Instant::now(), |last: u8| format!("192.0.2.{last}"));
        let destination = |last| Destination {
            transport: Transport::Udp,
            address: std::net::SocketAddr::from(([192, 0, 2, last], 5060)),
        };
        let mut avoided = Avoided::new(Duration::from_secs(60), Duration::from_secs(4), 10);
        avoided.note_failure(now, destination(1), None);
        avoided.note_failure(now, destination(2), None);
        let names = || Avoided::new(Duration::from_secs(60), Duration::from_secs(4), 10);
        let to = |uri: String, route: Vec<String>, cause: &str| {
            let target = api::Target { uri, route, ..api::Target::default() };
            api::Group { targets: vec![target], cause: cause.into(), ring_time: None }
        };
        let ordered = |last: &str| {
            let domain = "sip:a@far.example".to_owned();
            let all = vec![
                to(format!("sip:+49@{};user=phone", at(1)), vec![], "trunk"),
                to(domain, vec![format!("<sip:{};lr>", at(2))], "trunk-failover"),
                to("sip:+49@gw.example".into(), vec![], "trunk-failover"),
                to(format!("sip:+49@{}", at(3)), vec![], last),
            ];
            let mut groups = groups(api::Fork { groups: all, recurse: false });
            put_failed_trunks_last(&mut groups, &mut avoided.clone(), &mut names(), now);
            let shown = |group: Group<Target>| {
                let target = group.targets.into_iter().next().unwrap();
                let uri = String::from_utf8(target.uri.unwrap().to_vec()).unwrap();
                (uri, target.cause.to_string(), group.condition)
            };
            groups.into_iter().map(shown).collect::<Vec<_>>()
        };
        let shown = ordered("trunk-failover");
        let uris: Vec<&str> = shown.iter().map(|(uri, ..)| uri.as_str()).collect();
        assert_eq!(
            uris,
            ["sip:+49@gw.example", "sip:+49@192.0.2.3", "sip:+49@192.0.2.1;user=phone", "sip:a@far.example"]
        );
        let causes: Vec<&str> = shown.iter().map(|(_, cause, _)| cause.as_str()).collect();
        assert_eq!(causes, ["trunk", "trunk-failover", "trunk-failover", "trunk-failover"]);
        assert_eq!(shown[0].2, Condition::Always);
        assert!(shown[1..].iter().all(|(_, _, condition)| *condition == Condition::NotServed));
        assert!(ordered("contact")[0].0.contains("192.0.2.1"));
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
