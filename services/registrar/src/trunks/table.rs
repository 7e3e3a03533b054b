//! All trunks as routing asks for them: by number, by domain, by address. Made once for each version of what is stored.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::Bound;

use cluster_api::registrar::v1::{Fork, Group, Target, Trunk, TrunkPrefix};
use sip_message::{Uri, host_ip};

use super::draw::Draw;
use super::number::Number;
use super::secret::Secret;
use super::standing::Standings;

/// Peers that are tried for one call.
const MOST_TARGETS: usize = 8;

/// The trunks that are in use.
#[derive(Debug, Default)]
pub(crate) struct Table {
    trunks: Vec<Trunk>,
    by_name: HashMap<String, usize>,
    /// The trunks of each prefix, with their rule for it.
    by_prefix: HashMap<String, Vec<(usize, TrunkPrefix)>>,
    longest_prefix: usize,
    /// The same prefixes in their order.
    prefixes: BTreeSet<String>,
    by_domain: HashMap<String, Vec<usize>>,
    /// The trunks whose peers have an address.
    peers: HashMap<IpAddr, Vec<usize>>,
    /// The trunks whose peers have a name, in small letters.
    named_peers: HashMap<String, Vec<usize>>,
    /// By address of a peer: the trunk whose challenges can be answered there.
    challengers: HashMap<IpAddr, usize>,
    secrets: HashMap<String, Secret>,
    /// Trunks by the user part of the contact that is registered there.
    by_contact: HashMap<String, usize>,
    pub(super) standings: Standings,
    /// Whether every call is asked about when it goes out, and not only those of trunks with a limit.
    asks_always: bool,
}

impl Table {
    pub(crate) fn of(
        trunks: Vec<Trunk>,
        secrets: Vec<Secret>,
        standings: Standings,
        asks_always: bool,
    ) -> Self {
        let secrets = secrets.into_iter().map(|secret| (secret.trunk_id.clone(), secret)).collect();
        let mut table = Self { secrets, standings, asks_always, ..Self::default() };
        for trunk in trunks.into_iter().filter(|trunk| !trunk.disabled) {
            let at = table.trunks.len();
            for rule in &trunk.prefixes {
                table.longest_prefix = table.longest_prefix.max(rule.prefix.len());
                table.prefixes.insert(rule.prefix.clone());
                table.by_prefix.entry(rule.prefix.clone()).or_default().push((at, rule.clone()));
            }
            for domain in &trunk.domains {
                table.by_domain.entry(domain.clone()).or_default().push(at);
            }
            for peer in &trunk.peers {
                let Ok(uri) = Uri::parse(peer.uri.as_bytes()) else { continue };
                let trunks = match host_ip(next_host(&uri)) {
                    Some(address) => table.peers.entry(address.to_canonical()).or_default(),
                    None => table.named_peers.entry(host_name(next_host(&uri))).or_default(),
                };
                if trunks.last() != Some(&at) {
                    trunks.push(at);
                }
            }
            for peer in trunk.peers.iter().filter(|_| trunk.credentials.is_some()) {
                if let Some(address) = Uri::parse(peer.uri.as_bytes()).ok().and_then(|uri| uri.host_ip()) {
                    table.challengers.entry(address.to_canonical()).or_insert(at);
                }
            }
            let contact = table.secrets.get(&trunk.trunk_id).map(|secret| &secret.contact);
            if let Some(contact) = contact.filter(|name| !name.is_empty() && trunk.registration.is_some()) {
                table.by_contact.insert(contact.clone(), at);
            }
            table.by_name.insert(trunk.trunk_id.clone(), at);
            table.trunks.push(trunk);
        }
        table
    }

    /// Whether requests from this address are a trunk's.
    pub(crate) fn is_peer(&self, address: &str) -> bool {
        self.at(address).is_some()
    }

    /// The trunk that a request comes by from an address: of several, the one whose domain From names, else the first by name.
    pub(crate) fn of_peer(&self, address: &str, from_host: &str) -> Option<&Trunk> {
        let trunks = self.at(address)?;
        let is_of =
            |at: &&usize| self.trunks[**at].domains.iter().any(|name| name.eq_ignore_ascii_case(from_host));
        trunks.iter().find(is_of).or(trunks.first()).map(|at| &self.trunks[*at])
    }

    fn at(&self, address: &str) -> Option<&Vec<usize>> {
        if self.peers.is_empty() {
            return None;
        }
        self.peers.get(&address.parse::<IpAddr>().ok()?.to_canonical())
    }

    /// The trunk that has this address and whose challenges we can answer; empty when there is none.
    pub(crate) fn challenger_at(&self, address: &str) -> &str {
        if self.challengers.is_empty() {
            return "";
        }
        let found = address.parse::<IpAddr>().ok().and_then(|ip| self.challengers.get(&ip.to_canonical()));
        found.map_or("", |at| &self.trunks[*at].trunk_id)
    }

    /// Where the peers are, as their URIs say it.
    pub(crate) fn gateways(&self) -> Vec<String> {
        let uris = self.trunks.iter().flat_map(|trunk| &trunk.peers);
        let uris = uris.filter_map(|peer| Uri::parse(peer.uri.as_bytes()).ok());
        let mut places: Vec<String> = uris
            .map(|uri| {
                let port = uri.port.map(|port| format!(":{port}")).unwrap_or_default();
                format!("{}{port}", host_name(next_host(&uri)))
            })
            .collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Whether any peer is known by its address.
    pub(crate) fn has_addresses(&self) -> bool {
        !self.peers.is_empty()
    }

    /// The trunks whose peer is the next hop of a URI, whatever its port: a gateway may listen at several. T6
    fn at_next_hop(&self, uri: &Uri<'_>) -> &[usize] {
        if self.trunks.is_empty() {
            return &[];
        }
        let host = next_host(uri);
        let found = match host_ip(host) {
            Some(address) => self.peers.get(&address.to_canonical()),
            None => self.named_peers.get(&host_name(host)),
        };
        found.map_or(&[], Vec::as_slice)
    }

    /// Whether a URI leads to the peer of a trunk. T6
    pub(crate) fn is_gateway(&self, uri: &Uri<'_>) -> bool {
        !self.at_next_hop(uri).is_empty()
    }

    /// Whether a domain is reached by a trunk.
    pub(crate) fn has_domain(&self, host: &str) -> bool {
        !self.by_domain.is_empty() && self.by_domain.contains_key(&host_name(host))
    }

    /// The way of a number by the first of the trunks at the next hop of a URI that carries such numbers. T6
    pub(crate) fn by_gateway(&self, uri: &Uri<'_>, number: &Number, way: Way<'_>) -> Option<Fork> {
        let carries = |at: &&usize| {
            let rules = &self.trunks[**at].prefixes;
            rules.iter().any(|rule| number.digits.starts_with(&rule.prefix))
        };
        let trunk = self.at_next_hop(uri).iter().find(carries)?;
        self.by_name(&self.trunks[*trunk].trunk_id, Some(number), way)
    }

    /// Peers that do not serve, and registrations that do not stand.
    pub(crate) fn troubles(&self) -> (usize, usize) {
        let peers = self.trunks.iter().flat_map(|trunk| trunk.peers.iter().map(move |peer| (trunk, peer)));
        let down = peers.filter(|(trunk, peer)| self.standings.is_down(&trunk.trunk_id, &peer.uri)).count();
        let wanted = self.trunks.iter().filter(|trunk| trunk.registration.is_some());
        let stands = |trunk: &&Trunk| self.standings.is_registered(&trunk.trunk_id);
        (down, wanted.filter(|trunk| !stands(trunk)).count())
    }

    /// A trunk that is in use.
    pub(crate) fn trunk(&self, name: &str) -> Option<&Trunk> {
        self.by_name.get(name).map(|at| &self.trunks[*at])
    }

    /// What its challenges are answered with, of a trunk that is in use.
    pub(super) fn secret(&self, name: &str) -> Option<&Secret> {
        self.trunk(name).and_then(|trunk| self.secrets.get(&trunk.trunk_id))
    }

    /// The trunk to which a request comes that is for the contact registered there.
    pub(crate) fn registered(&self, request_uri: &str) -> Option<&Trunk> {
        // asked of every request
        if self.by_contact.is_empty() {
            return None;
        }
        let target = Uri::parse(request_uri.as_bytes()).ok()?;
        let user = std::str::from_utf8(target.user?).ok()?;
        self.by_contact.get(user).map(|at| &self.trunks[*at])
    }

    /// The way of a number: the trunks of its longest prefix.
    pub(crate) fn to_number(&self, number: &Number, way: Way<'_>) -> Option<Fork> {
        let digits = &*number.digits;
        let longest = self.longest_prefix.min(digits.len());
        // a number is digits with a + in front: every cut is between octets
        let rules = (0..=longest).rev().find_map(|end| self.by_prefix.get(&digits[..end]))?;
        let mut draw = Draw::of_call(way.call_id);
        let ways = rules.iter().map(|(at, rule)| {
            let trunk = &self.trunks[*at];
            (trunk.priority, trunk.weight, (trunk, rewritten(number, rule)))
        });
        let ordered = draw.order(ways.collect());
        let targets = ordered.into_iter().flat_map(|(trunk, number)| {
            let peers = self.peers(trunk, &mut draw).into_iter().filter(|peer| peer.may_carry(way));
            peers.map(move |peer| peer.way(|uri| to_number_at(uri, &number))).collect::<Vec<_>>()
        });
        fork(targets.collect())
    }

    /// Whether a number that has no way begins the prefix of one: with more digits it may have. RFC 3261 21.4.22
    pub(crate) fn is_incomplete(&self, number: &str) -> bool {
        let longer = (Bound::Excluded(number), Bound::Unbounded);
        self.prefixes.range::<str, _>(longer).next().is_some_and(|next| next.starts_with(number))
    }

    /// The way to a domain that is a trunk's.
    pub(crate) fn to_domain(&self, host: &str, request_uri: &str, call_id: &str) -> Option<Fork> {
        if self.by_domain.is_empty() {
            return None;
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let mut draw = Draw::of_call(call_id);
        let ways = self.by_domain.get(&host)?.iter().map(|at| &self.trunks[*at]);
        let ordered = draw.order(ways.map(|trunk| (trunk.priority, trunk.weight, trunk)).collect());
        let targets = ordered.into_iter().flat_map(|trunk| {
            let peers = self.peers(trunk, &mut draw);
            peers.into_iter().map(|peer| peer.way(|uri| through(uri, request_uri))).collect::<Vec<_>>()
        });
        fork(targets.collect())
    }

    /// The way by the trunk that the asker named; `None` when there is no such trunk, or it is not in use.
    pub(crate) fn by_name(&self, name: &str, number: Option<&Number>, way: Way<'_>) -> Option<Fork> {
        let trunk = &self.trunks[*self.by_name.get(name)?];
        let peers = self.peers(trunk, &mut Draw::of_call(way.call_id)).into_iter();
        let Some(number) = number else {
            return fork(peers.map(|peer| peer.way(|uri| through(uri, way.request_uri))).collect());
        };
        let rules = trunk.prefixes.iter().filter(|rule| number.digits.starts_with(&rule.prefix));
        let rule = rules.max_by_key(|rule| rule.prefix.len());
        let number =
            rule.map_or_else(|| [&*number.digits, &number.params()].concat(), |rule| rewritten(number, rule));
        let peers = peers.filter(|peer| peer.may_carry(way));
        fork(peers.map(|peer| peer.way(|uri| to_number_at(uri, &number))).collect())
    }

    /// The peers of a trunk in the order of this call.
    pub(super) fn peers<'t>(&self, trunk: &'t Trunk, draw: &mut Draw) -> Vec<Peer<'t>> {
        let has_credentials = trunk.credentials.is_some();
        let peer = |uri: &'t str| Peer {
            uri,
            is_down: self.standings.is_down(&trunk.trunk_id, uri),
            trunk: if has_credentials { &trunk.trunk_id } else { "" },
            seize: if trunk.max_calls > 0 || self.asks_always { &trunk.trunk_id } else { "" },
        };
        let peers = trunk.peers.iter().map(|known| (known.priority, known.weight, peer(&known.uri)));
        draw.order(peers.collect())
    }
}

/// A peer for one call.
pub(super) struct Peer<'t> {
    pub(super) uri: &'t str,
    pub(super) is_down: bool,
    /// Whose challenges we can answer; empty when we cannot.
    trunk: &'t str,
    /// Who is asked for room; empty where nobody is.
    seize: &'t str,
}

/// What a way is looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way<'r> {
    pub request_uri: &'r str,
    pub call_id: &'r str,
    /// Whether TLS alone leads there. RFC 5630 5
    pub is_secure: bool,
}

/// A target, and whether it is known not to answer.
type Choice = (Target, bool);

impl Peer<'_> {
    /// TRN-09: a number that is called by `sips` keeps that scheme, which is the peer's to offer.
    fn may_carry(&self, way: Way<'_>) -> bool {
        !way.is_secure || self.uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"))
    }

    fn way(&self, target: impl FnOnce(&str) -> Target) -> Choice {
        let (trunk, seize) = (self.trunk.to_owned(), self.seize.to_owned());
        (Target { trunk, seize, ..target(self.uri) }, self.is_down)
    }
}

/// A number as a rule has it, with what is said of it: one that became another number has left its context.
fn rewritten(number: &Number, rule: &TrunkPrefix) -> String {
    let rest = number.digits.get(rule.strip as usize..).unwrap_or_default();
    let digits = [rule.prepend.as_str(), rest].concat();
    let params = if digits == number.digits { number.params() } else { number.without_context().params() };
    [digits, params].concat()
}

/// The host that requests for a URI go to first. RFC 3263 4
fn next_host<'u>(uri: &Uri<'u>) -> &'u str {
    uri.param("maddr").filter(|maddr| !maddr.is_empty()).unwrap_or(uri.host)
}

fn host_name(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// RFC 3261 19.1.6: a number at a gateway.
fn to_number_at(peer: &str, number: &str) -> Target {
    let (scheme, place) = peer.split_once(':').unwrap_or(("sip", peer));
    Target { uri: format!("{scheme}:{number}@{place};user=phone"), ..Target::default() }
}

/// RFC 3261 16.6 step 6: the address stays, and the peer is a proxy on the way to it.
fn through(peer: &str, request_uri: &str) -> Target {
    Target { uri: request_uri.to_owned(), route: vec![format!("<{peer};lr>")], ..Target::default() }
}

/// One after the other, the next one when the one before did not serve. Who is down is left out; where all are, a call that is refused
/// for certain is worth less than one that tries, so that all are tried in their own order.
fn fork(ways: Vec<Choice>) -> Option<Fork> {
    let is_any_up = ways.iter().any(|(_, is_down)| !is_down);
    let ways = ways.into_iter().filter(|(_, is_down)| !(is_any_up && *is_down));
    let targets = ways.map(|(target, _)| target);
    let group = |(index, target)| Group {
        targets: vec![target],
        ring_time: None,
        cause: if index == 0 { "trunk" } else { "trunk-failover" }.to_owned(),
    };
    let groups: Vec<Group> = targets.take(MOST_TARGETS).enumerate().map(group).collect();
    // what a trunk answers leads nobody anywhere at our expense
    (!groups.is_empty()).then_some(Fork { groups, recurse: false })
}
