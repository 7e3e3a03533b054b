//! What the forwarding rules of a callee make of a plan: groups of one target each, told apart by their cause.

use std::time::Duration;

use cluster_api::registrar::v1::{Group, Target};

use crate::record::ForwardingRecord;

/// How often one call is forwarded at most, over all users and domains: five is what telephone networks count to. It ends what
/// no loop detection sees, say two accounts that forward to each other through a domain that writes the URI anew. FWD-08
pub(crate) const MOST_FORWARDS: u32 = 5;

/// Where an account has its calls go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    /// Its address of record.
    pub aor: &'a str,
    pub of: &'a ForwardingRecord,
}

/// Puts the rules that apply once something has failed behind the groups of contacts.
pub(crate) fn add_conditional(groups: &mut Vec<Group>, rules: Rules<'_>, is_secure: bool) {
    let unreachable = group("forward-unreachable", rules, &rules.of.unreachable, is_secure);
    if groups.is_empty() {
        // nobody is there who could be busy or not answer
        groups.extend(unreachable);
        return;
    }
    let no_answer = group("forward-no-answer", rules, &rules.of.no_answer, is_secure);
    if no_answer.is_some() {
        // the time of the callee as a whole: the groups have it together
        let after = Duration::from_millis(rules.of.no_answer_ms);
        for contacts in groups.iter_mut() {
            contacts.ring_time = after.try_into().ok();
        }
    }
    groups.extend(busy(rules, is_secure));
    groups.extend(no_answer);
    groups.extend(unreachable);
}

/// The group of the rule for every call, if there is one.
pub(crate) fn unconditional(rules: Rules<'_>, is_secure: bool) -> Option<Group> {
    group("forward-unconditional", rules, &rules.of.unconditional, is_secure)
}

/// The group of the rule for a callee who is busy, if there is one.
pub(crate) fn busy(rules: Rules<'_>, is_secure: bool) -> Option<Group> {
    group("forward-busy", rules, &rules.of.busy, is_secure)
}

fn group(cause: &str, Rules { aor, .. }: Rules<'_>, uri: &str, is_secure: bool) -> Option<Group> {
    let uri = match uri.strip_prefix("sip:") {
        _ if uri.is_empty() => return None,
        // RFC 5630 5.3: what was asked for by sips does not go on without it. Of a number the edge says so when it asks about it.
        Some(rest) if is_secure => format!("sips:{rest}"),
        Some(_) | None => uri.to_owned(),
    };
    // T6: it answers for where its calls go
    let target = Target { uri, led_by: aor.to_owned(), ..Target::default() };
    Some(Group { targets: vec![target], ring_time: None, cause: cause.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> ForwardingRecord {
        ForwardingRecord {
            unconditional: "sip:a@h".into(),
            busy: "sip:b@h".into(),
            no_answer: "sips:c@h".into(),
            no_answer_ms: 15_000,
            unreachable: "tel:+1".into(),
            revision: 1,
        }
    }

    fn shown(groups: &[Group]) -> Vec<(&str, &str, i64)> {
        let seconds = |group: &Group| group.ring_time.as_ref().map_or(0, |time| time.seconds);
        groups.iter().map(|group| (&*group.cause, &*group.targets[0].uri, seconds(group))).collect()
    }

    fn contact() -> Group {
        let target = Target { uri: "sip:bob@h".into(), ..Target::default() };
        Group { targets: vec![target], ring_time: None, cause: "contact".into() }
    }

    /// FWD-03, FWD-04, FWD-05: contacts ring as long as the rule for no answer says, and the rules follow them.
    #[test]
    fn conditional_rules_follow_the_contacts() {
        let mut groups = vec![contact()];
        add_conditional(&mut groups, Rules { aor: "sip:bob@h", of: &rules() }, false);
        let expected = [
            ("contact", "sip:bob@h", 15),
            ("forward-busy", "sip:b@h", 0),
            ("forward-no-answer", "sips:c@h", 0),
            ("forward-unreachable", "tel:+1", 0),
        ];
        assert_eq!(shown(&groups), expected);
        assert!(groups[1..].iter().all(|group| group.targets[0].led_by == "sip:bob@h"), "T6");
        let mut plain = vec![contact()];
        let times = ForwardingRecord { no_answer_ms: 9_000, ..Default::default() };
        add_conditional(&mut plain, Rules { aor: "sip:bob@h", of: &times }, false);
        assert_eq!(plain, [contact()]);
    }

    /// FWD-05: without a contact only the rule for the unreachable callee applies.
    #[test]
    fn nobody_there_is_unreachable() {
        let mut groups = Vec::new();
        add_conditional(&mut groups, Rules { aor: "sip:bob@h", of: &rules() }, false);
        assert_eq!(shown(&groups), [("forward-unreachable", "tel:+1", 0)]);
    }

    /// FWD-02, TRN-09: a sips call stays one.
    #[test]
    fn a_secure_call_is_forwarded_securely_or_not_at_all() {
        let of = |secure| {
            unconditional(Rules { aor: "sip:bob@h", of: &rules() }, secure)
                .map(|group| group.targets[0].uri.clone())
        };
        assert_eq!((of(false), of(true)), (Some("sip:a@h".into()), Some("sips:a@h".into())));
        let mut groups = vec![contact()];
        add_conditional(&mut groups, Rules { aor: "sip:bob@h", of: &rules() }, true);
        let causes: Vec<&str> = groups.iter().map(|group| &*group.cause).collect();
        assert_eq!(causes, ["contact", "forward-busy", "forward-no-answer", "forward-unreachable"]);
        assert_eq!(groups[3].targets[0].uri, "tel:+1", "by TLS, if a trunk is reached so");
    }
}
