//! All trunks as routing asks for them: by number, by domain, by address. Made once for each version of what is stored.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use cluster_api::registrar::v1::{Fork, Group, Target, Trunk, TrunkPrefix};
use sip_message::Uri;

use super::draw::Draw;

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
    by_domain: HashMap<String, Vec<usize>>,
    peers: HashSet<IpAddr>,
}

impl Table {
    pub(crate) fn of(trunks: Vec<Trunk>) -> Self {
        let mut table = Self::default();
        for trunk in trunks.into_iter().filter(|trunk| !trunk.disabled) {
            let at = table.trunks.len();
            for rule in &trunk.prefixes {
                table.longest_prefix = table.longest_prefix.max(rule.prefix.len());
                table.by_prefix.entry(rule.prefix.clone()).or_default().push((at, rule.clone()));
            }
            for domain in &trunk.domains {
                table.by_domain.entry(domain.clone()).or_default().push(at);
            }
            for peer in &trunk.peers {
                table.peers.extend(Uri::parse(peer.uri.as_bytes()).ok().and_then(|uri| uri.host_ip()));
            }
            table.by_name.insert(trunk.trunk_id.clone(), at);
            table.trunks.push(trunk);
        }
        table
    }

    /// Whether requests from this address are a trunk's.
    pub(crate) fn is_peer(&self, address: &str) -> bool {
        !self.peers.is_empty()
            && address.parse::<IpAddr>().is_ok_and(|address| self.peers.contains(&address.to_canonical()))
    }

    /// The way of a number: the trunks of its longest prefix.
    pub(crate) fn to_number(&self, number: &str, call_id: &str) -> Option<Fork> {
        let longest = self.longest_prefix.min(number.len());
        // a number is digits with a + in front: every cut is between octets
        let rules = (0..=longest).rev().find_map(|end| self.by_prefix.get(&number[..end]))?;
        let mut draw = Draw::of_call(call_id);
        let ways = rules.iter().map(|(at, rule)| {
            let trunk = &self.trunks[*at];
            (trunk.priority, trunk.weight, (trunk, rewritten(number, rule)))
        });
        let ordered = draw.order(ways.collect());
        let targets = ordered.into_iter().flat_map(|(trunk, number)| {
            peers(trunk, &mut draw).into_iter().map(move |peer| to_number_at(peer, &number))
        });
        fork(targets.collect())
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
            peers(trunk, &mut draw).into_iter().map(|peer| through(peer, request_uri)).collect::<Vec<_>>()
        });
        fork(targets.collect())
    }

    /// The way by the trunk that the asker named; `None` when there is no such trunk, or it is not in use.
    pub(crate) fn by_name(
        &self,
        name: &str,
        number: Option<&str>,
        request_uri: &str,
        call_id: &str,
    ) -> Option<Fork> {
        let trunk = &self.trunks[*self.by_name.get(name)?];
        let peers = peers(trunk, &mut Draw::of_call(call_id));
        let Some(number) = number else {
            return fork(peers.into_iter().map(|peer| through(peer, request_uri)).collect());
        };
        let rules = trunk.prefixes.iter().filter(|rule| number.starts_with(&rule.prefix));
        let rule = rules.max_by_key(|rule| rule.prefix.len());
        let number = rule.map_or_else(|| number.to_owned(), |rule| rewritten(number, rule));
        fork(peers.into_iter().map(|peer| to_number_at(peer, &number)).collect())
    }
}

fn peers<'t>(trunk: &'t Trunk, draw: &mut Draw) -> Vec<&'t str> {
    draw.order(trunk.peers.iter().map(|peer| (peer.priority, peer.weight, peer.uri.as_str())).collect())
}

fn rewritten(number: &str, rule: &TrunkPrefix) -> String {
    let rest = number.get(rule.strip as usize..).unwrap_or_default();
    [rule.prepend.as_str(), rest].concat()
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

/// One after the other, the next one when the one before did not serve.
fn fork(targets: Vec<Target>) -> Option<Fork> {
    let group = |(index, target)| Group {
        targets: vec![target],
        ring_time: None,
        cause: if index == 0 { "trunk" } else { "trunk-failover" }.to_owned(),
    };
    let groups: Vec<Group> = targets.into_iter().take(MOST_TARGETS).enumerate().map(group).collect();
    // what a trunk answers leads nobody anywhere at our expense
    (!groups.is_empty()).then_some(Fork { groups, recurse: false })
}
