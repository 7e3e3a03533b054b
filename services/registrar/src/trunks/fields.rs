//! What a trunk may say of itself, and its normal form.

use cluster_api::registrar::v1::{Trunk, TrunkPeer, TrunkPrefix};
use cluster_rpc::{Reason, Refusal};
use sip_message::{Scheme, Uri};

use super::number::is_number;
use crate::{accounts::text, domains::Domains};

/// Fields that UpdateTrunk may name.
pub(super) const FIELDS: [&str; 11] = [
    "display_name",
    "peers",
    "domains",
    "prefixes",
    "priority",
    "weight",
    "credentials",
    "registration",
    "probe",
    "disabled",
    "max_calls",
];
const MAX_NAME: usize = 64;
const MAX_PEERS: usize = 16;
const MAX_DOMAINS: usize = 100;
const MAX_PREFIXES: usize = 1_000;

/// A name: letters, digits, '-', '_' and '.'.
pub(super) fn name(given: &str, field: &str) -> Result<String, Refusal> {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    if given.is_empty() || given.len() > MAX_NAME || !given.bytes().all(is_plain) {
        let expected = "1 to 64 letters, digits, '-', '_' and '.'";
        return Err(Refusal::field(Reason::BadField, field, expected));
    }
    Ok(given.to_owned())
}

/// Whether a field says anything, for updates without a mask.
pub(super) fn is_set(trunk: &Trunk, field: &str) -> bool {
    match field {
        "display_name" => !trunk.display_name.is_empty(),
        "peers" => !trunk.peers.is_empty(),
        "domains" => !trunk.domains.is_empty(),
        "prefixes" => !trunk.prefixes.is_empty(),
        "priority" => trunk.priority != 0,
        "weight" => trunk.weight != 0,
        "credentials" => trunk.credentials.is_some(),
        "registration" => trunk.registration.is_some(),
        "probe" => trunk.probe.is_some(),
        "disabled" => trunk.disabled,
        "max_calls" => trunk.max_calls != 0,
        _ => false,
    }
}

/// `known` with the named fields as in `given`.
pub(super) fn with_fields(
    domains: &Domains,
    mut known: Trunk,
    given: &Trunk,
    is_named: impl Fn(&str) -> bool,
) -> Result<Trunk, Refusal> {
    refuse_absent(given, &is_named)?;
    if is_named("display_name") {
        known.display_name = text(&given.display_name, "trunk.display_name")?;
    }
    if is_named("peers") {
        if !(1..=MAX_PEERS).contains(&given.peers.len()) {
            return Err(Refusal::field(Reason::BadField, "trunk.peers", "1 to 16 peers"));
        }
        known.peers =
            given.peers.iter().enumerate().map(|each| peer(domains, each)).collect::<Result<_, _>>()?;
    }
    if is_named("domains") {
        bounded(given.domains.len(), MAX_DOMAINS, "trunk.domains")?;
        let read = |(index, name): (usize, &String)| domain(domains, index, name);
        known.domains = given.domains.iter().enumerate().map(read).collect::<Result<_, _>>()?;
    }
    if is_named("prefixes") {
        bounded(given.prefixes.len(), MAX_PREFIXES, "trunk.prefixes")?;
        known.prefixes = given.prefixes.iter().enumerate().map(prefix).collect::<Result<_, _>>()?;
    }
    if is_named("priority") {
        known.priority = given.priority;
    }
    if is_named("weight") {
        known.weight = given.weight;
    }
    if is_named("disabled") {
        known.disabled = given.disabled;
    }
    Ok(known)
}

/// What is part of the API and not carried out is refused, so that nobody relies on it.
fn refuse_absent(given: &Trunk, is_named: &impl Fn(&str) -> bool) -> Result<(), Refusal> {
    let absent = [
        ("credentials", given.credentials.is_some(), "this version answers no challenge of a trunk"),
        ("registration", given.registration.is_some(), "this version registers at no trunk"),
        ("probe", given.probe.is_some(), "this version sends a trunk no OPTIONS"),
        ("max_calls", given.max_calls != 0, "this version does not count the calls of a trunk"),
    ];
    match absent.into_iter().find(|(field, is_given, _)| *is_given && is_named(field)) {
        Some((field, _, why)) => {
            let expected = format!("nothing: {why}");
            Err(Refusal::not_implemented(&format!("The {field} of a trunk"))
                .violation(format!("trunk.{field}"), expected))
        }
        None => Ok(()),
    }
}

fn bounded(number: usize, most: usize, field: &str) -> Result<(), Refusal> {
    if number <= most {
        return Ok(());
    }
    Err(Refusal::field(Reason::BadField, field, format!("at most {most}")))
}

/// T19: what is stored goes into requests, so it is the URI of a host and nothing but one.
fn peer(served: &Domains, (index, given): (usize, &TrunkPeer)) -> Result<TrunkPeer, Refusal> {
    let field = || format!("trunk.peers[{index}].uri");
    let uri = text(&given.uri, &field())?;
    let is_clean = !uri.contains(['<', '>', '"', ' ', '?', '@', ',']);
    let is_host = Uri::parse(uri.as_bytes()).is_ok_and(|uri| {
        let is_sip = matches!(uri.scheme, Scheme::Sip | Scheme::Sips);
        is_sip
            && served.of(&uri).is_none()
            && uri.user.is_none()
            && uri.param("lr").is_none()
            && uri.param("user").is_none()
    });
    if !is_clean || !is_host {
        let expected = "a sip or sips URI of a host of others like sip:gw.example.net;transport=tcp";
        return Err(Refusal::field(Reason::BadUri, field(), expected));
    }
    Ok(TrunkPeer { uri, ..given.clone() })
}

fn domain(served: &Domains, index: usize, given: &str) -> Result<String, Refusal> {
    let field = || format!("trunk.domains[{index}]");
    let text = format!("sip:{given}");
    let uri = Uri::parse(text.as_bytes()).ok().filter(|uri| uri.user.is_none() && uri.host == given);
    let Some(uri) = uri else {
        return Err(Refusal::field(Reason::BadDomain, field(), "a domain like peer.example"));
    };
    if served.of(&uri).is_some() {
        let expected = "a domain of others: this one is served here";
        return Err(Refusal::field(Reason::BadDomain, field(), expected));
    }
    Ok(given.strip_suffix('.').unwrap_or(given).to_ascii_lowercase())
}

fn prefix((index, given): (usize, &TrunkPrefix)) -> Result<TrunkPrefix, Refusal> {
    let bad = |part: &str, expected: &str| {
        Err(Refusal::field(Reason::BadPrefix, format!("trunk.prefixes[{index}].{part}"), expected))
    };
    let is_start = |text: &str| text.is_empty() || text == "+" || is_number(text);
    if !is_start(&given.prefix) {
        return bad("prefix", "digits, with a + in front for the global form, or nothing");
    }
    if !is_start(&given.prepend) {
        return bad("prepend", "digits, with a + in front for the global form, or nothing");
    }
    if given.strip as usize > given.prefix.len() {
        return bad("strip", "at most the length of the prefix");
    }
    Ok(given.clone())
}
