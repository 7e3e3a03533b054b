//! RFC 3261 10.3 as a function: what one REGISTER does to one record.
//!
//! [`plan`] looks and decides; [`Plan::apply`] changes. A plan that was refused has changed nothing (REG-10).

pub(crate) mod ended;
mod granted;
pub(crate) mod gruu;
pub(crate) mod itself;
mod order;
pub(crate) mod outbound;
pub(crate) mod temporary;

use std::time::Duration;

use cluster_api::registrar::v1::{EdgeLife, RegisterContact, binding_event};
use sip_message::{Scheme, Uri};

use crate::record::{AorRecord, BindingRecord, NEVER_MS, PushRecord, contact_param};

use granted::{Granted, granted};
use temporary::Gruus;

/// Which times are granted, and how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub default_expires: Duration,
    pub min_expires: Duration,
    pub max_expires: Duration,
    pub max_bindings: u32,
}

/// What a REGISTER asks of a record, after it was authorised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The address of record in normal form.
    pub aor: &'a str,
    /// Without what they say of push services.
    pub contacts: &'a [RegisterContact],
    /// That, by their URI.
    pub pushes: &'a [(String, PushRecord)],
    pub star: bool,
    /// The Expires header.
    pub expires: Option<u32>,
    pub call_id: &'a str,
    pub cseq: u32,
    /// Whether Request-URI is sips.
    pub is_secure: bool,
    pub path: &'a [String],
    /// "transport:address:port".
    pub received: &'a str,
    pub flow: &'a str,
    /// The edge that has the connection of that flow.
    pub life: Option<&'a EdgeLife>,
    pub user_agent: &'a str,
    /// Whether instance and reg-id name the flow that is registered (RFC 5626 6).
    pub outbound: bool,
    /// What the GRUUs in the answer are made with; `None` when it shows none (RFC 5627 5.1).
    pub gruus: Option<Gruus<'a>>,
}

/// Why a REGISTER changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 400: `*` with something else, or without Expires 0.
    Star,
    /// 400: not a URI.
    BadContact(String),
    /// 400: a sips contact behind something that is not.
    Insecure,
    /// 403: the contact is the address of record itself.
    Self_,
    /// 403: more contacts than the account may have.
    TooMany(u32),
    /// 423: shorter than the least time, in seconds.
    TooBrief(u32),
    /// 500: an older request than one that was carried out.
    OutOfOrder,
}

impl Asked<'_> {
    /// How the phone of a contact is woken, when it can be.
    fn push_of(&self, contact: &RegisterContact) -> Option<&PushRecord> {
        let said = self.pushes.iter().rev().find(|(uri, _)| *uri == contact.uri).map(|(_, push)| push);
        said.filter(|push| !push.provider.is_empty() && !push.prid.is_empty())
    }
}

/// How long a phone without a connection counts as awake after its REGISTER: as long as an address translator lets requests through to
/// it (RFC 5626 4.4.2), and nothing tells when it falls asleep.
const AWAKE_MS: u64 = 30_000;

/// What to do with the record.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    asked: Asked<'a>,
    steps: Vec<Step<'a>>,
}

#[derive(Debug)]
enum Step<'a> {
    /// The contact and where it stands among the bindings, if it does.
    Bind(&'a RegisterContact, Granted, Option<u64>),
    /// The id of a binding.
    Unbind(u64),
}

/// Decides what `asked` does to `record` at `now_ms`.
pub(crate) fn plan<'a>(
    record: &AorRecord,
    asked: Asked<'a>,
    now_ms: u64,
    policy: Policy,
) -> Result<Plan<'a>, Refusal> {
    if asked.star {
        // RFC 3261 10.2.2, 10.3 step 6
        if !asked.contacts.is_empty() || asked.expires != Some(0) {
            return Err(Refusal::Star);
        }
        order::check(record, asked, false, now_ms)?;
        let bound = record.live(now_ms).filter(|binding| !binding.is_static);
        return Ok(Plan { asked, steps: bound.map(|binding| Step::Unbind(binding.id)).collect() });
    }
    if let Some((contact, id)) = refreshes(record, asked, now_ms) {
        let granted = granted(Scheme::Sip, contact.expires.or(asked.expires), policy)?;
        let (step, binds) = match granted {
            Granted::Nothing => (Step::Unbind(id), false),
            Granted::Seconds(_) => (Step::Bind(contact, granted, Some(id)), true),
        };
        order::check(record, asked, binds, now_ms)?;
        return Ok(Plan { asked, steps: vec![step] });
    }
    // RFC 3261 10.3 step 7 takes one contact after the other: of one that is named twice, the last counts.
    let mut decided: Vec<(Uri<'_>, Option<u64>, Option<Step<'a>>)> = Vec::with_capacity(asked.contacts.len());
    for contact in asked.contacts {
        let uri = Uri::parse(contact.uri.as_bytes()).map_err(|_| Refusal::BadContact(contact.uri.clone()))?;
        check_contact(&uri, asked)?;
        let granted = granted(uri.scheme, contact.expires.or(asked.expires), policy)?;
        let flow = outbound::key(&contact.params).filter(|_| asked.outbound);
        // RFC 5626 6: a flow is known by instance and reg-id, whatever its contact is now
        let known = record.live(now_ms).find(|binding| match flow {
            Some(flow) => outbound::is_flow(binding, flow),
            None => is_equivalent(&uri, &binding.uri),
        });
        // RFC 8599 5.6.2: a phone that was pushed may come back from elsewhere
        let known = known.or_else(|| {
            let push = asked.push_of(contact).filter(|_| flow.is_none())?;
            let is_same = |known: &PushRecord| known.is_same_phone(push);
            record
                .live(now_ms)
                .find(|binding| binding.reg_id == 0 && binding.push.as_ref().is_some_and(is_same))
        });
        let known = known.map(|binding| binding.id);
        let step = match (granted, known) {
            (Granted::Nothing, known) => known.map(Step::Unbind),
            (Granted::Seconds(_), known) => Some(Step::Bind(contact, granted, known)),
        };
        let is_same = |(other, binding, _): &&mut (Uri<'_>, Option<u64>, _)| {
            other.equivalent(&uri) || (known.is_some() && *binding == known)
        };
        match decided.iter_mut().find(is_same) {
            Some((.., decided)) => *decided = step,
            None => decided.push((uri, known, step)),
        }
    }
    let steps: Vec<Step<'a>> = decided.into_iter().filter_map(|(.., step)| step).collect();
    let binds = steps.iter().any(|step| matches!(step, Step::Bind(..)));
    if !asked.contacts.is_empty() {
        order::check(record, asked, binds, now_ms)?;
    }
    let added = steps.iter().filter(|step| matches!(step, Step::Bind(_, _, None))).count();
    let is_going = |id| steps.iter().any(|step| matches!(step, Step::Unbind(gone) if *gone == id));
    let count = added + record.live(now_ms).filter(|binding| !is_going(binding.id)).count();
    if added > 0 && count > usize::try_from(policy.max_bindings).unwrap_or(usize::MAX) {
        return Err(Refusal::TooMany(policy.max_bindings));
    }
    Ok(Plan { asked, steps })
}

/// The contact and its binding, when it is the only one and was bound as it is named: what nearly every REGISTER is. It was found good
/// then, and is not taken apart again.
fn refreshes<'a>(record: &AorRecord, asked: Asked<'a>, now_ms: u64) -> Option<(&'a RegisterContact, u64)> {
    let ([contact], [binding]) = (asked.contacts, &record.bindings[..]) else { return None };
    let is_bound = binding.uri == contact.uri && binding.expires_ms > now_ms && !binding.is_static;
    let is_flow = binding.reg_id != 0 || (asked.outbound && outbound::key(&contact.params).is_some());
    (is_bound && !is_flow && contact.uri.starts_with("sip:")).then_some((contact, binding.id))
}

impl Plan<'_> {
    /// Whether nothing is asked for: a query (RFC 3261 10.2.3).
    pub(crate) fn is_query(&self) -> bool {
        self.asked.contacts.is_empty() && !self.asked.star
    }

    /// The bindings whose flow another one takes the place of: the same binding over a new connection, or another contact of a device
    /// that has one flow.
    pub(crate) fn replaced<'r>(&self, record: &'r AorRecord) -> impl Iterator<Item = &'r BindingRecord> {
        let asked = self.asked;
        let is_replaced = move |binding: &BindingRecord, step: &Step<'_>| match step {
            Step::Bind(contact, _, Some(id)) => binding.id == *id && !contact.by_uri,
            Step::Bind(contact, _, None) => {
                let instance = contact_param(&contact.params, "+sip.instance").unwrap_or_default();
                let is_a_flow = asked.outbound && outbound::key(&contact.params).is_some();
                let is_its = !instance.is_empty() && outbound::same_instance(binding.instance(), instance);
                is_its && binding.reg_id == 0 && !is_a_flow
            }
            Step::Unbind(_) => false,
        };
        let has_other =
            move |binding: &&BindingRecord| !binding.flow.is_empty() && binding.flow != asked.flow;
        record
            .bindings
            .iter()
            .filter(has_other)
            .filter(move |binding| self.steps.iter().any(|step| is_replaced(binding, step)))
    }

    /// Changes the record and tells to `note` every change but that of the time alone.
    pub(crate) fn apply(
        self,
        record: &mut AorRecord,
        now_ms: u64,
        mut note: impl FnMut(binding_event::Type, &BindingRecord),
    ) {
        use binding_event::Type;

        for expired in record.take_expired(now_ms) {
            note(Type::Expired, &expired);
        }
        let mut overtaken = Vec::new();
        for step in &self.steps {
            match *step {
                Step::Unbind(id) => {
                    for gone in record.bindings.extract_if(.., |binding| binding.id == id) {
                        note(Type::Unregistered, &gone);
                        overtaken.push((gone.call_id, gone.cseq));
                    }
                }
                Step::Bind(contact, granted, Some(id)) => {
                    let life = temporary::life(record, self.asked, &contact.params, now_ms);
                    if let Some(binding) = record.bindings.iter_mut().find(|binding| binding.id == id) {
                        let is_other =
                            is_shown_otherwise(binding, contact) || binding.gruu_life != life.number;
                        if binding.call_id != self.asked.call_id {
                            overtaken.push((binding.call_id.clone(), binding.cseq));
                        }
                        self.fill(binding, contact, granted, now_ms);
                        temporary::note(binding, life, self.asked.gruus);
                        // Who only has more time is told nobody: most of the log would be that.
                        if is_other {
                            note(Type::Refreshed, binding);
                        }
                    }
                }
                Step::Bind(contact, granted, None) => {
                    record.last_binding_id += 1;
                    let life = temporary::life(record, self.asked, &contact.params, now_ms);
                    let mut binding =
                        BindingRecord { id: record.last_binding_id, ..BindingRecord::default() };
                    self.fill(&mut binding, contact, granted, now_ms);
                    temporary::note(&mut binding, life, self.asked.gruus);
                    note(Type::Registered, &binding);
                    record.bindings.push(binding);
                }
            }
        }
        for step in &self.steps {
            if let Step::Bind(contact, ..) = step
                && let Some(instance) = contact_param(&contact.params, "+sip.instance")
            {
                gruu::remember(record, instance);
            }
        }
        for (call_id, cseq) in overtaken.iter().filter(|(call_id, _)| !call_id.is_empty()) {
            order::remember(record, call_id, *cseq, now_ms);
        }
        order::remember(record, self.asked.call_id, self.asked.cseq, now_ms);
    }

    fn fill(&self, binding: &mut BindingRecord, contact: &RegisterContact, granted: Granted, now_ms: u64) {
        let asked = self.asked;
        set(&mut binding.uri, &contact.uri);
        set(&mut binding.display_name, &contact.display_name);
        binding.params.clone_from(&contact.params);
        // RFC 5627 5.1: these are ours to give
        binding.params.retain(|param| !gruu::is_given(param));
        binding.q_milli = contact.q_milli.map(|q| q.min(1_000));
        binding.expires_ms = match granted {
            Granted::Seconds(seconds) => now_ms.saturating_add(u64::from(seconds) * 1_000),
            Granted::Nothing => now_ms,
        }
        .min(NEVER_MS - 1);
        set(&mut binding.call_id, asked.call_id);
        binding.cseq = asked.cseq;
        asked.path.clone_into(&mut binding.path);
        set(&mut binding.received, asked.received);
        set(&mut binding.flow, if contact.by_uri { "" } else { asked.flow });
        binding.life = asked.life.filter(|_| !binding.flow.is_empty() && asked.path.is_empty()).cloned();
        set(&mut binding.user_agent, asked.user_agent);
        let flow = outbound::key(&contact.params).filter(|_| asked.outbound);
        binding.reg_id = flow.map_or(0, |(_, reg_id)| reg_id);
        binding.is_static = false;
        let is_connected = !binding.flow.is_empty() && !asked.received.starts_with("udp:");
        binding.push = asked.push_of(contact).map(|push| PushRecord {
            awake_until_ms: if is_connected { NEVER_MS } else { now_ms.saturating_add(AWAKE_MS) },
            ..push.clone()
        });
    }
}

fn check_contact(uri: &Uri<'_>, asked: Asked<'_>) -> Result<(), Refusal> {
    if itself::is_itself(uri, asked.aor) {
        return Err(Refusal::Self_);
    }
    // RFC 5630 5.2
    let is_secure_path =
        || asked.path.iter().all(|hop| hop.trim_start_matches(['<', ' ']).starts_with("sips:"));
    let is_secure = || {
        asked.is_secure
            && is_secure_path()
            && asked.contacts.iter().all(|contact| contact.uri.starts_with("sips:"))
    };
    if uri.scheme == Scheme::Sips && !is_secure() {
        return Err(Refusal::Insecure);
    }
    Ok(())
}

/// Whether those who watch see something else in a binding that is refreshed: RFC 3680 5.2, and its GRUU, which is of its parameters.
fn is_shown_otherwise(binding: &BindingRecord, contact: &RegisterContact) -> bool {
    binding.uri != contact.uri
        || binding.display_name != contact.display_name
        || binding.q_milli != contact.q_milli.map(|q| q.min(1_000))
        || !contact.params.iter().filter(|param| !gruu::is_given(param)).eq(&binding.params)
}

fn is_equivalent(uri: &Uri<'_>, other: &str) -> bool {
    uri.raw() == other.as_bytes() || Uri::parse(other.as_bytes()).is_ok_and(|other| uri.equivalent(&other))
}

/// Reuses the memory of a refreshed binding.
fn set(place: &mut String, value: &str) {
    place.clear();
    place.push_str(value);
}

#[cfg(test)]
mod tests;
