//! From a record to a plan: groups by q, redirections, refusals (RFC 3261 16.5, 16.6; RFC 5359; PXY-09, PXY-24).

use std::collections::HashSet;

use cluster_api::convert::timestamp;
use cluster_api::registrar::v1::{Fork, Group, Redirect, Refuse, Target, route_response::Plan};
use sip_message::{Scheme, Uri};

use crate::{
    answer::header,
    aors::time,
    callers::is_allowed,
    forwards::{MOST_FORWARDS, Rules, add_conditional, busy, unconditional},
    preferences::{Order, Preferences},
    record::{AorRecord, BindingRecord, ForwardingRecord, NEVER_MS},
    register::gruu,
};

/// What a request finds at an address of record.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Callee {
    /// Its address of record.
    aor: String,
    /// Whether there is such a user.
    pub is_known: bool,
    pub is_disabled: bool,
    pub is_anchored: bool,
    /// Whether the caller is none of those who may reach the account.
    pub is_caller_refused: bool,
    /// Where such a caller hears why; empty when nowhere.
    pub refused_callers_info: String,
    /// Most calls at a time; 0 for any number.
    pub max_calls: u32,
    /// Whether who calls it is told its contacts, and nothing is forwarded.
    pub is_redirecting: bool,
    /// Whether what they are told holds for good.
    has_moved: bool,
    /// Whether the contacts are a choice, none of them before another.
    is_choice: bool,
    /// Whether a sips request found contacts, and none of them is sips.
    is_insecure: bool,
    /// Targets in groups of falling q.
    groups: Vec<Group>,
    /// All contacts, of any scheme, as Contact values with q.
    contacts: Vec<String>,
    /// Where calls go instead, unless one device is meant.
    forwarding: Option<ForwardingRecord>,
    is_secure: bool,
}

/// Whom a request looks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looking<'a> {
    /// A sips request reaches sips contacts only (RFC 5630 5.3).
    pub is_secure: bool,
    /// One device (RFC 5627 6.1).
    pub device: Option<Device<'a>>,
    pub preferences: &'a Preferences,
    /// The address of record that calls, empty when it has none; `None` for requests of our own.
    pub caller: Option<&'a str>,
}

/// How a GRUU names a device.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Device<'a> {
    /// By its instance, whether it is registered or not.
    Instance(&'a str),
    /// By the life of its registration, which is good for nothing once that is over.
    Life(u64),
}

impl<'a> Device<'a> {
    /// The instance, as it stands among these bindings. `None`: nothing of that life is left, or no such device was ever there.
    fn instance(self, record: &'a AorRecord, now_ms: u64) -> Option<&'a str> {
        match self {
            Self::Instance(instance) => gruu::is_remembered(record, instance).then_some(instance),
            Self::Life(life) => {
                let alive = record.live(now_ms).find(|binding| binding.gruu_life == life && life != 0);
                alive.map(|binding| binding.instance().trim_start_matches('<').trim_end_matches('>'))
            }
        }
    }
}

/// What a plan takes into account besides the callee.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asking {
    /// Whether it is a new call, which the callee's rules may lead elsewhere.
    pub is_call: bool,
    /// How often the call was forwarded before.
    pub forwards: u32,
    /// Whether 3xx answers are followed.
    pub recurse: bool,
}

impl Callee {
    fn rules(&self) -> Option<Rules<'_>> {
        self.forwarding.as_ref().map(|of| Rules { aor: &self.aor, of })
    }

    /// Whether the user is nowhere at present, and may come.
    pub(crate) fn is_away(&self) -> bool {
        self.groups.is_empty() && !(self.is_disabled || self.is_redirecting || self.is_insecure)
    }

    /// Reads a record for one request.
    pub(crate) fn reached(record: &AorRecord, aor: &str, looking: Looking<'_>, now_ms: u64) -> Self {
        let Looking { is_secure, device, preferences, caller } = looking;
        let found = device.map(|device| device.instance(record, now_ms));
        if found == Some(None) {
            // RFC 5627 5.3: as if it had never been
            return Self::default();
        }
        let instance = found.flatten();
        let wanted = record.live(now_ms).filter_map(|binding| {
            let is_meant = instance.is_none_or(|instance| names_device(binding, instance));
            Some((binding, preferences.rank(&binding.params).filter(|_| is_meant)?))
        });
        let mut bindings: Vec<(&BindingRecord, u32)> = wanted.collect();
        // a stable sort: what is equally wanted stays in the order of registration. RFC 3841 7.2.4: the caller's wishes count
        // within one q
        bindings.sort_by_key(|(binding, rank)| std::cmp::Reverse((binding.q(), *rank)));
        let account = record.account.as_deref();
        let mut callee = Self {
            aor: aor.to_owned(),
            // an expired binding that nobody has cleaned away yet tells of a user too
            is_known: account.is_some() || !record.bindings.is_empty() || record.forget_ms > now_ms,
            is_disabled: account.is_some_and(|account| account.disabled),
            is_anchored: account.is_some_and(|account| account.anchor),
            is_caller_refused: caller.is_some_and(|caller| {
                let allowed = account.map(|account| &account.allowed_callers[..]).unwrap_or_default();
                !allowed.is_empty() && !is_allowed(allowed, caller)
            }),
            refused_callers_info: account
                .map_or_else(String::new, |known| known.refused_callers_info.clone()),
            max_calls: account.map_or(0, |account| account.max_calls),
            is_redirecting: account.is_some_and(|account| account.redirect_only)
                || preferences.disposition.redirect,
            has_moved: account.is_some_and(|account| account.redirect_only && account.moved_permanently),
            forwarding: account.filter(|_| instance.is_none()).and_then(|account| account.forwarding.clone()),
            is_secure,
            ..Self::default()
        };
        if callee.is_redirecting {
            callee.contacts = bindings.iter().map(|(binding, _)| contact_value(binding)).collect();
            let places = bindings.iter().map(|(binding, rank)| (binding.q(), *rank)).collect::<HashSet<_>>();
            callee.is_choice = bindings.len() > 1 && places.len() == 1;
            return callee;
        }
        let mut last = None;
        for (binding, rank) in bindings {
            if !is_dialable(&binding.uri, is_secure) {
                callee.is_insecure |= is_dialable(&binding.uri, false);
                continue;
            }
            let place = (binding.q(), rank);
            let begins = match preferences.disposition.order {
                Order::Ranked => last != Some(place),
                Order::Parallel => last.is_none(),
                Order::Sequential => true,
            };
            last = Some(place);
            if begins {
                callee.groups.push(Group { cause: "contact".to_owned(), ..Group::default() });
            }
            if let Some(group) = callee.groups.last_mut() {
                group.targets.push(target(binding, aor, now_ms));
            }
        }
        if preferences.disposition.no_fork {
            callee.groups.truncate(1);
            callee.groups.iter_mut().for_each(|group| group.targets.truncate(1));
        }
        callee
    }
}

/// The plan for a user of ours.
pub(crate) fn callee_plan(callee: &Callee, asking: Asking) -> Plan {
    if callee.is_disabled {
        return refuse(480, "");
    }
    let rules = callee.rules().filter(|_| asking.is_call);
    let may_forward = asking.forwards < MOST_FORWARDS;
    let always = rules.and_then(|rules| unconditional(rules, callee.is_secure));
    if always.is_some() && !may_forward {
        return refuse(482, "Too Many Forwards");
    }
    if callee.is_redirecting {
        let contacts = match &always {
            Some(group) => group.targets.iter().map(|target| format!("<{}>", target.uri)).collect(),
            None => callee.contacts.clone(),
        };
        return match contacts.is_empty() {
            true => refuse(480, ""),
            false => {
                let is_choice = callee.is_choice && always.is_none();
                Plan::Redirect(Redirect { status: redirection(callee.has_moved, is_choice), contacts })
            }
        };
    }
    let recurse = asking.recurse;
    if let Some(group) = always {
        return Plan::Fork(Fork { groups: vec![group], recurse });
    }
    let mut groups = callee.groups.clone();
    if let Some(rules) = rules.filter(|_| may_forward) {
        add_conditional(&mut groups, rules, callee.is_secure);
    }
    match groups.is_empty() {
        true if callee.is_insecure => Plan::Refuse(Refuse {
            status: 480,
            // RFC 5630: a warning, so that the caller may try sip
            headers: vec![header("Warning", "380 carillon \"SIPS Not Allowed\"".to_owned())],
            ..Refuse::default()
        }),
        true => refuse(480, ""),
        false => Plan::Fork(Fork { groups, recurse }),
    }
}

/// The status of a redirection. RFC 3261 21.3.1 to 21.3.3; 305 is for user agents alone (21.3.4), and 380 for who has a body to say more with
/// (21.3.5), so that both only pass.
fn redirection(has_moved: bool, is_choice: bool) -> u32 {
    match (has_moved, is_choice) {
        (true, _) => 301,
        (false, true) => 300,
        (false, false) => 302,
    }
}

/// What a call finds that is one too many: its callee is busy, also for the rule about that. RFC 3261 21.4.24, RFC 5359 2.8
pub(crate) fn at_limit(callee: &Callee, forwards: u32, recurse: bool) -> Plan {
    let rules = callee.rules().filter(|_| forwards < MOST_FORWARDS);
    if let Some(group) = rules.and_then(|rules| busy(rules, callee.is_secure)) {
        return Plan::Fork(Fork { groups: vec![group], recurse });
    }
    let warning = "399 carillon \"The account has as many calls as it may\"".to_owned();
    Plan::Refuse(Refuse { status: 486, headers: vec![header("Warning", warning)], ..Refuse::default() })
}

/// The answer to a caller whom the account does not want: final everywhere, and with the reason (RFC 3261 21.6.2, RFC 3326); or, where
/// the account names an announcement, a refusal that leads there. RFC 5359 2.13, RFC 3261 20.18
pub(crate) fn unwanted(callee: &Callee) -> Plan {
    if !callee.refused_callers_info.is_empty() {
        let headers = vec![header("Error-Info", format!("<{}>", callee.refused_callers_info))];
        return Plan::Refuse(Refuse { status: 403, reason: "Screening Failure".to_owned(), headers });
    }
    let reason = "SIP;cause=603;text=\"Caller Not Allowed\"".to_owned();
    Plan::Refuse(Refuse { status: 603, headers: vec![header("Reason", reason)], ..Refuse::default() })
}

/// A final failure.
pub(crate) fn refuse(status: u32, reason: &str) -> Plan {
    Plan::Refuse(Refuse { status, reason: reason.to_owned(), headers: Vec::new() })
}

pub(crate) fn target(binding: &BindingRecord, aor: &str, now_ms: u64) -> Target {
    let expire_time = (binding.expires_ms != NEVER_MS).then(|| timestamp(time(binding.expires_ms)));
    Target {
        uri: binding.uri.clone(),
        flow: binding.flow.clone(),
        route: binding.path.clone(),
        // Where a REGISTER came from is not where a contact is that its URI leads to. RFC 3261 16.6
        received: if binding.flow.is_empty() { String::new() } else { binding.received.clone() },
        aor: aor.to_owned(),
        instance: binding.instance().to_owned(),
        expire_time,
        trunk: String::new(),
        seize: String::new(),
        led_by: String::new(),
        charge: None,
        look_up: false,
        wake: match &binding.push {
            Some(push) if push.is_asleep(now_ms) => binding.id.to_string(),
            Some(_) | None => String::new(),
        },
        callee: String::new(),
    }
}

/// REG-14: contacts of other schemes are told, never dialled.
fn is_dialable(uri: &str, is_secure: bool) -> bool {
    match Uri::parse(uri.as_bytes()).map(|uri| uri.scheme) {
        Ok(Scheme::Sip) => !is_secure,
        Ok(Scheme::Sips) => true,
        _ => false,
    }
}

fn names_device(binding: &BindingRecord, instance: &str) -> bool {
    binding.instance().trim_start_matches('<').trim_end_matches('>').eq_ignore_ascii_case(instance)
}

/// A Contact value of a redirection (RFC 3261 8.3, 20.10).
fn contact_value(binding: &BindingRecord) -> String {
    match binding.q_milli {
        Some(q) => format!("<{}>;q={}.{:03}", binding.uri, q / 1_000, q % 1_000),
        None => format!("<{}>", binding.uri),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::AccountRecord;

    const AOR: &str = "sip:bob@d";

    fn binding(uri: &str, q_milli: Option<u32>) -> BindingRecord {
        BindingRecord { uri: uri.to_owned(), q_milli, expires_ms: 2_000, ..BindingRecord::default() }
    }

    impl Callee {
        fn of(record: &AorRecord, aor: &str, is_secure: bool, instance: Option<&str>, now_ms: u64) -> Self {
            let preferences = &Preferences::default();
            let device = instance.map(Device::Instance);
            Self::reached(record, aor, Looking { is_secure, device, preferences, caller: None }, now_ms)
        }
    }

    fn record(bindings: Vec<BindingRecord>) -> AorRecord {
        AorRecord { account: Some(Box::default()), bindings, ..AorRecord::new() }
    }

    fn groups(callee: &Callee) -> Vec<Vec<&str>> {
        callee
            .groups
            .iter()
            .map(|group| group.targets.iter().map(|target| target.uri.as_str()).collect())
            .collect()
    }

    fn status(plan: &Plan) -> u32 {
        match plan {
            Plan::Refuse(refuse) => refuse.status,
            Plan::Redirect(redirect) => redirect.status,
            other => panic!("{other:?} has no status"),
        }
    }

    /// PXY-24, REG-13: equal q together, others by falling q; a missing q is one.
    #[test]
    fn targets_are_grouped_by_falling_q() {
        let record = record(vec![
            binding("sip:low@h", Some(300)),
            binding("sip:first@h", None),
            binding("sip:second@h", Some(1_000)),
            binding("sip:middle@h", Some(700)),
        ]);
        let callee = Callee::of(&record, AOR, false, None, 1_000);
        assert_eq!(
            groups(&callee),
            [vec!["sip:first@h", "sip:second@h"], vec!["sip:middle@h"], vec!["sip:low@h"]]
        );
    }

    /// PXY-09, REG-17: unknown, known without a binding, and known with an expired one.
    #[test]
    fn an_unknown_user_is_told_from_an_absent_one() {
        let unknown = Callee::of(&AorRecord::new(), AOR, false, None, 1_000);
        assert!(!unknown.is_known);
        let absent = Callee::of(&record(vec![]), AOR, false, None, 1_000);
        assert!(absent.is_known);
        assert_eq!(status(&callee_plan(&absent, Asking::default())), 480);
        let expired = Callee::of(&record(vec![binding("sip:b@h", None)]), AOR, false, None, 2_000);
        assert_eq!(status(&callee_plan(&expired, Asking::default())), 480);
        let forgettable = AorRecord { forget_ms: 1_001, ..AorRecord::new() };
        assert!(Callee::of(&forgettable, AOR, false, None, 1_000).is_known);
        assert!(!Callee::of(&forgettable, AOR, false, None, 1_001).is_known);
    }

    /// REG-14: other schemes are never dialled. FWD-01: a redirection lists them all with their q.
    #[test]
    fn other_schemes_are_listed_and_never_dialled() {
        let mut record = record(vec![binding("mailto:bob@d", Some(500)), binding("sip:b@h", None)]);
        assert_eq!(groups(&Callee::of(&record, AOR, false, None, 1_000)), [vec!["sip:b@h"]]);
        record.account = Some(AccountRecord { redirect_only: true, ..AccountRecord::default() }.into());
        let plan = callee_plan(&Callee::of(&record, AOR, false, None, 1_000), Asking::default());
        let expected = vec!["<sip:b@h>".to_owned(), "<mailto:bob@d>;q=0.500".to_owned()];
        assert_eq!(plan, Plan::Redirect(Redirect { status: 302, contacts: expected }));
    }

    /// FWD-01: several contacts without a preference are a choice (300), one or a ranked list is where to go now (302), and what has moved for
    /// good says so (301).
    #[test]
    fn the_status_of_a_redirection_says_what_its_contacts_are() {
        let told = |qs: &[Option<u32>], moved_permanently, unconditional: &str| {
            let of = qs.iter().enumerate().map(|(number, q)| binding(&format!("sip:{number}@h"), *q));
            let mut record = record(of.collect());
            let unconditional = unconditional.to_owned();
            let forwarding = Some(ForwardingRecord { unconditional, ..ForwardingRecord::default() });
            record.account = Some(Box::new(AccountRecord {
                redirect_only: true,
                moved_permanently,
                forwarding,
                ..Default::default()
            }));
            let callee = Callee::of(&record, AOR, false, None, 1_000);
            let asking = Asking { is_call: true, ..Asking::default() };
            match callee_plan(&callee, asking) {
                Plan::Redirect(Redirect { status, contacts }) => (status, contacts.len()),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(told(&[None], false, ""), (302, 1));
        assert_eq!(told(&[None, None], false, ""), (300, 2));
        assert_eq!(told(&[Some(1_000), None], false, ""), (300, 2), "no q is one");
        assert_eq!(told(&[Some(500), None], false, ""), (302, 2));
        assert_eq!(told(&[None, None], true, ""), (301, 2));
        assert_eq!(told(&[None, None], true, "sip:new@d"), (301, 1));
        assert_eq!(told(&[None, None], false, "sip:new@d"), (302, 1));
    }

    /// RFC 5630 5.3: a sips request goes to sips contacts only.
    #[test]
    fn a_sips_request_needs_a_sips_contact() {
        let record = record(vec![binding("sip:b@h", None), binding("sips:b@h", None)]);
        assert_eq!(groups(&Callee::of(&record, AOR, true, None, 1_000)), [vec!["sips:b@h"]]);
    }

    /// TRN-09: who has only sip contacts is not reached by a sips request, and the caller is told why.
    #[test]
    fn a_sips_request_to_sip_contacts_is_warned() {
        let warning = |bindings, is_secure| {
            let callee = Callee::of(&record(bindings), AOR, is_secure, None, 1_000);
            match callee_plan(&callee, Asking::default()) {
                Plan::Refuse(refuse) => {
                    assert_eq!(refuse.status, 480);
                    refuse.headers.first().map(|header| (header.name.clone(), header.value.clone()))
                }
                other => panic!("{other:?}"),
            }
        };
        let expected = ("Warning".to_owned(), "380 carillon \"SIPS Not Allowed\"".to_owned());
        assert_eq!(warning(vec![binding("sip:b@h", None)], true), Some(expected));
        assert_eq!(warning(vec![binding("mailto:b@h", None)], true), None);
        assert_eq!(warning(vec![], true), None);
    }

    /// GRU-03: a device is reached alone.
    #[test]
    fn one_device_is_found_by_its_instance() {
        let with = |uri: &str, instance: &str| BindingRecord {
            params: vec![format!("+sip.instance=\"<{instance}>\"")],
            ..binding(uri, None)
        };
        let record = record(vec![with("sip:1@h", "urn:uuid:1"), with("sip:2@h", "urn:uuid:2")]);
        let find = |instance| Callee::of(&record, AOR, false, Some(instance), 1_000);
        assert_eq!(groups(&find("urn:uuid:2")), [vec!["sip:2@h"]]);
        assert_eq!(status(&callee_plan(&find("urn:uuid:3"), Asking::default())), 480);
    }

    #[test]
    fn a_disabled_account_cannot_be_reached() {
        let mut record = record(vec![binding("sip:b@h", None)]);
        let account = AccountRecord { disabled: true, redirect_only: true, ..AccountRecord::default() };
        record.account = Some(account.into());
        assert_eq!(
            status(&callee_plan(&Callee::of(&record, AOR, false, None, 1_000), Asking::default())),
            480
        );
    }
}
