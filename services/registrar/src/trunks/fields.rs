//! What a trunk may say of itself, and its normal form.

use std::net::SocketAddr;

use cluster_api::registrar::v1::{
    Trunk, TrunkCredentials, TrunkPeer, TrunkPrefix, TrunkProbe, TrunkRegistration,
};
use cluster_rpc::{Reason, Refusal};
use sip_message::{Scheme, Uri};

use super::number::is_prefix;
use crate::{Shared, accounts::text, call_slots::limit, domains::Domains};

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
/// Those that an edge makes connections by.
const TRANSPORTS: [&str; 5] = ["udp", "tcp", "tls", "ws", "wss"];
const MOST_FAILURES: u32 = 10;

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
    shared: &Shared,
    mut known: Trunk,
    given: &Trunk,
    is_named: impl Fn(&str) -> bool,
) -> Result<Trunk, Refusal> {
    let domains = &shared.domains;
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
    if is_named("credentials") {
        known.credentials = given.credentials.as_ref().map(credentials).transpose()?;
    }
    if is_named("registration") {
        let read = |given| registration(domains, given);
        known.registration = given.registration.as_ref().map(read).transpose()?;
    }
    if is_named("probe") {
        known.probe = given.probe.as_ref().map(probe).transpose()?;
    }
    if is_named("disabled") {
        known.disabled = given.disabled;
    }
    if is_named("max_calls") {
        known.max_calls = limit(shared, given.max_calls, "trunk.max_calls")?;
    }
    Ok(known)
}

fn credentials(given: &TrunkCredentials) -> Result<TrunkCredentials, Refusal> {
    if given.username.is_empty() {
        return Err(Refusal::field(Reason::BadField, "trunk.credentials.username", "a user name"));
    }
    Ok(TrunkCredentials {
        username: text(&given.username, "trunk.credentials.username")?,
        password: text(&given.password, "trunk.credentials.password")?,
        realm: text(&given.realm, "trunk.credentials.realm")?,
    })
}

fn registration(served: &Domains, given: &TrunkRegistration) -> Result<TrunkRegistration, Refusal> {
    let bad = |field: &str, expected: &str| {
        Err(Refusal::field(Reason::BadUri, format!("trunk.registration.{field}"), expected))
    };
    let is_clean = |uri: &str| !uri.contains(['<', '>', '"', ' ', '?', ',']);
    let of_others = |uri: &Uri<'_>| {
        matches!(uri.scheme, Scheme::Sip | Scheme::Sips)
            && served.of(uri).is_none()
            && uri.param("lr").is_none()
    };
    let registrar = text(&given.registrar_uri, "trunk.registration.registrar_uri")?;
    let parsed = Uri::parse(registrar.as_bytes());
    if !is_clean(&registrar) || !parsed.is_ok_and(|uri| of_others(&uri) && uri.user.is_none()) {
        return bad("registrar_uri", "a sip or sips URI of a domain of others like sip:carrier.example");
    }
    let aor = text(&given.aor, "trunk.registration.aor")?;
    let parsed = Uri::parse(aor.as_bytes());
    if !is_clean(&aor) || !parsed.is_ok_and(|uri| of_others(&uri) && uri.user.is_some()) {
        return bad("aor", "an address of record of others like sip:+49301234@carrier.example");
    }
    let callee = text(&given.callee, "trunk.registration.callee")?;
    let is_own = |uri: &Uri<'_>| served.of(uri).is_some() && uri.user.is_some();
    if !callee.is_empty() && !Uri::parse(callee.as_bytes()).is_ok_and(|uri| is_own(&uri) && is_clean(&callee))
    {
        return bad("callee", "the address of record of an own user, or nothing");
    }
    within(given.expires, 10..=86_400, "trunk.registration.expires", "10 s to 24 h")?;
    Ok(given.clone())
}

fn probe(given: &TrunkProbe) -> Result<TrunkProbe, Refusal> {
    within(given.interval, 5..=3_600, "trunk.probe.interval", "5 s to 1 h")?;
    if given.failures > MOST_FAILURES {
        return Err(Refusal::field(Reason::BadField, "trunk.probe.failures", "at most 10"));
    }
    Ok(*given)
}

fn within(
    given: Option<prost_types::Duration>,
    seconds: std::ops::RangeInclusive<i64>,
    field: &str,
    expected: &str,
) -> Result<(), Refusal> {
    match given {
        Some(given) if !seconds.contains(&given.seconds) || given.nanos != 0 => {
            Err(Refusal::field(Reason::BadField, field, format!("{expected}, in whole seconds")))
        }
        Some(_) | None => Ok(()),
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
    let transport = Uri::parse(uri.as_bytes()).ok().and_then(|uri| uri.param("transport"));
    let is_spoken = |name: &str| TRANSPORTS.iter().any(|known| known.eq_ignore_ascii_case(name));
    if let Some(unknown) = transport.filter(|name| !is_spoken(name)) {
        let expected =
            format!("{unknown:?} is not spoken here: transport is one of {}", TRANSPORTS.join(", "));
        return Err(Refusal::field(Reason::BadUri, field(), expected));
    }
    Ok(TrunkPeer { uri, ..given.clone() })
}

/// No peer is an edge of ours: its calls would come back for ever. `edges`: where they listen, as "host:port".
pub(super) fn not_ourselves<'e>(
    peers: &[TrunkPeer],
    mut edges: impl Iterator<Item = &'e str>,
) -> Result<(), Refusal> {
    let place = |uri: &Uri<'_>| {
        let port = uri.port.unwrap_or(if uri.is_secure() { 5061 } else { 5060 });
        Some(SocketAddr::new(uri.host_ip()?.to_canonical(), port))
    };
    let places: Vec<_> =
        peers.iter().map(|peer| Uri::parse(peer.uri.as_bytes()).ok().and_then(|uri| place(&uri))).collect();
    let ours = edges.find_map(|edge| {
        let edge = edge.parse::<SocketAddr>().ok()?;
        places.iter().position(|place| *place == Some(edge))
    });
    ours.map_or(Ok(()), |index| {
        let expected = "this is an address of Carillon itself: give that of the carrier's gateway";
        Err(Refusal::field(Reason::BadUri, format!("trunk.peers[{index}].uri"), expected))
    })
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
    if !is_prefix(&given.prefix) {
        return bad("prefix", "digits, with a + in front for the global form, or nothing");
    }
    if !is_prefix(&given.prepend) {
        return bad("prepend", "digits, with a + in front for the global form, or nothing");
    }
    if given.strip as usize > given.prefix.len() {
        return bad("strip", "at most the length of the prefix");
    }
    Ok(given.clone())
}
