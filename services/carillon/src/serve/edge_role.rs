//! The settings of the edge, and where other edges reach it.

use std::net::{IpAddr, SocketAddr};

use anyhow::Context;
use tokio::net::lookup_host;

use super::listeners::listeners;
use super::members::Myself;
use super::settings::{Domain, Settings};
use super::streams::streams;

/// Settings of the edge.
///
/// # Errors
/// A listener or network that is none.
pub async fn config(settings: &Settings, myself: &Myself) -> anyhow::Result<edge::Config> {
    let listen = listeners(&settings.sip.listen, &settings.advertise).map_err(anyhow::Error::msg)?;
    let mut endpoint = sip_endpoint::Config {
        listen,
        streams: streams(settings).map_err(anyhow::Error::msg)?,
        origins: settings.sip.origins.clone(),
        max_handshakes: settings.limits.handshakes,
        connect_timeout: settings.sip.connect_timeout,
        handshake_timeout: settings.sip.handshake_timeout,
        message_timeout: settings.sip.message_timeout,
        write_timeout: settings.sip.write_timeout,
        idle_timeout: settings.sip.idle_timeout,
        stranger_timeout: settings.sip.stranger_timeout,
        websocket_ping: settings.sip.websocket_ping,
        max_connections: settings.limits.tcp_connections,
        max_connections_per_address: settings.limits.tcp_connections_per_source,
        max_strangers_per_source: settings.limits.strangers_per_source,
        max_queued_per_connection: settings.limits.queue_per_connection,
        limits: sip_message::Limits {
            head_bytes: settings.limits.head_bytes,
            body_bytes: settings.limits.body_bytes,
            header_lines: settings.limits.header_lines,
            line_bytes: settings.limits.line_bytes,
            uri_bytes: settings.limits.uri_bytes,
            via_values: settings.limits.via_values,
            route_values: settings.limits.route_values,
            contact_values: settings.limits.contact_values,
        },
        ..sip_endpoint::Config::default()
    };
    let transactions = &mut endpoint.transactions;
    (transactions.timing.t1, transactions.timing.t2, transactions.timing.t4) =
        (settings.sip.t1, settings.sip.t2, settings.sip.t4);
    (transactions.max_client, transactions.max_server) =
        (settings.limits.transactions, settings.limits.transactions);
    // The low half of the epoch: keys of an earlier life of this edge mean nothing in this one.
    transactions.space = myself.epoch as u32;
    let mut config = edge::Config::new(myself.id.clone(), myself.epoch, endpoint);
    config.domains = settings.domain.iter().map(|d| d.name.clone()).collect();
    let realm = |domain: &Domain| {
        if domain.realm.is_empty() { domain.name.clone() } else { domain.realm.clone() }
    };
    config.realms = settings.domain.iter().map(realm).collect();
    let sip = &settings.sip;
    let names = [&settings.advertise, &sip.advertise_tls, &sip.advertise_ws, &sip.advertise_wss];
    config.aliases.extend(names.into_iter().filter(|name| !name.is_empty()).cloned());
    if let Some(ip) = inside(settings).await? {
        // Where siblings reach this edge is a name of its own too, beside the advertised one.
        config.aliases.push(match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        });
    }
    config.trusted = networks("edge.trusted", &settings.edge.trusted)?;
    config.trusted_domains = settings.edge.trusted_domains.clone();
    config.danger_reach = networks("edge.danger_reach", &settings.edge.danger_reach)?;
    config.endpoint.local_nets = networks("edge.local_nets", &settings.edge.local_nets)?;
    config.ring_timeout = settings.edge.ring_timeout;
    config.transport_tls = settings.edge.transport_tls;
    config.service_route = settings.edge.service_route;
    config.flow_timer = settings.edge.flow_timer;
    config.avoid_failed = settings.edge.avoid_failed;
    config.target_timeout = settings.edge.target_timeout;
    config.dialog_lifetime = settings.edge.dialog_lifetime;
    config.scanners = settings.edge.scanners.clone();
    config.wake_timeout = settings.push.hold;
    config.limits = edge::Limits {
        forks: settings.limits.forks,
        branches: settings.limits.branches,
        held: settings.limits.held_requests,
        source_requests: settings.limits.source_requests,
        sources: settings.limits.sources,
        calls: settings.limits.calls,
        events_per_call: settings.limits.events_per_call,
        effects_per_call: settings.limits.effects_per_call,
        call_reports: settings.limits.call_reports,
        failed_servers: settings.limits.failed_servers,
        captured_messages: settings.limits.ladder_messages,
        captured_octets: settings.limits.ladder_bytes,
        ..config.limits
    };
    Ok(config)
}

fn networks(key: &str, texts: &[String]) -> anyhow::Result<Vec<edge::Network>> {
    texts.iter().map(|text| text.parse().with_context(|| key.to_owned())).collect()
}

/// The numeric address at which other edges reach a listener of this one: the first, unless that is bound to no certain address; then
/// that of the family in which the other services reach this process.
///
/// # Errors
/// When nothing says which address to use, or no listener has its family.
pub async fn internal(settings: &Settings, listening: &[SocketAddr]) -> anyhow::Result<SocketAddr> {
    let first = listening.first().context("an edge listens somewhere")?;
    if !first.ip().is_unspecified() {
        return Ok(*first);
    }
    let ip = inside(settings).await?.context(
        "the listener has no certain address: set --cluster-url to this process's own address, or listen on one",
    )?;
    let reached = listening.iter().find(|at| at.is_ipv4() == ip.is_ipv4()).with_context(|| {
        let (family, any) = if ip.is_ipv4() { ("IPv4", "0.0.0.0") } else { ("IPv6", "[::]") };
        format!(
            "cluster_url leads to {ip}, and no SIP listener has {family}: add --sip udp://{any}:{}",
            first.port()
        )
    })?;
    let ip = if reached.ip().is_unspecified() { ip } else { reached.ip() };
    Ok(SocketAddr::new(ip, reached.port()))
}

/// The address in `cluster_url`, by which the other services reach this process.
async fn inside(settings: &Settings) -> anyhow::Result<Option<IpAddr>> {
    let Some((_, rest)) = settings.cluster_url.split_once("://") else { return Ok(None) };
    let found = lookup_host(rest.trim_end_matches('/'))
        .await
        .with_context(|| format!("cluster_url {}: no such host", settings.cluster_url))?
        .next();
    Ok(found.map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn limits_and_the_inside_address_reach_the_edge() {
        let mut settings =
            Settings { cluster_url: "http://[2001:db8::7]:50051".into(), ..Settings::default() };
        let limits = &mut settings.limits;
        (limits.tcp_connections, limits.tcp_connections_per_source) = (11, 12);
        (limits.transactions, limits.ladder_messages, limits.strangers_per_source) = (13, 14, 15);
        let api = SocketAddr::from(([127, 0, 0, 1], 50051));
        let myself = Myself::new(&settings, api, 1, lifecycle::Drain::new());
        let edge = config(&settings, &myself).await.unwrap();
        let endpoint = &edge.endpoint;
        assert_eq!((endpoint.max_connections, endpoint.max_connections_per_address), (11, 12));
        assert_eq!(endpoint.max_strangers_per_source, 15);
        assert_eq!((endpoint.transactions.max_client, endpoint.transactions.max_server), (13, 13));
        assert_eq!(edge.limits.captured_messages, 14);
        assert_eq!(edge.aliases, ["[2001:db8::7]"]);
    }

    #[tokio::test]
    async fn other_edges_reach_the_listener_of_the_family_in_which_they_reach_the_process() {
        let at = |url: &str| Settings { cluster_url: url.into(), ..Settings::default() };
        let both: Vec<SocketAddr> = ["0.0.0.0:5060", "[::]:5070"].map(|text| text.parse().unwrap()).to_vec();
        for (url, expected) in [
            ("http://192.0.2.7:50051", "192.0.2.7:5060"),
            ("http://[2001:db8::7]:50051", "[2001:db8::7]:5070"),
        ] {
            assert_eq!(internal(&at(url), &both).await.unwrap().to_string(), expected);
        }
        let error = internal(&at("http://[2001:db8::7]:50051"), &both[..1]).await.unwrap_err().to_string();
        assert!(error.contains("no SIP listener has IPv6: add --sip udp://[::]:5060"), "{error}");
        let certain = "192.0.2.1:5060".parse().unwrap();
        assert_eq!(internal(&at("http://[2001:db8::7]:50051"), &[certain, both[1]]).await.unwrap(), certain);
    }
}
