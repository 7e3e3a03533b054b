//! Keys of what phones reach: listeners, certificates, the edge.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Certificates for SIP over TLS and WebSocket over TLS, in PEM. New contents of the files are taken over without a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain for all who ask for no domain with one of its own.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authorities to believe when peers show certificates; empty believes nobody, so that no server is called by TLS.
    pub ca: PathBuf,
    /// Certificate chain shown to servers; empty means that of the domain that a request is from, or the first one.
    pub client_cert: PathBuf,
    /// Its key.
    pub client_key: PathBuf,
    /// How often the files are looked at; SIGHUP looks at once.
    #[serde(with = "humantime_serde")]
    pub reload: Duration,
}

impl Default for Tls {
    fn default() -> Self {
        let none = PathBuf::new;
        let (cert, key, ca, client_cert, client_key) = (none(), none(), none(), none(), none());
        // As often as a secret that is mounted into a pod changes at most.
        Self { cert, key, ca, client_cert, client_key, reload: Duration::from_secs(60) }
    }
}

/// SIP listeners and base timers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sip {
    /// Listeners.
    pub listen: Vec<String>,
    /// Host, optionally with port, that is shown to peers by TLS; empty means the host of `advertise` and the listener's port.
    pub advertise_tls: String,
    /// The same by WebSocket.
    pub advertise_ws: String,
    /// The same by WebSocket inside TLS.
    pub advertise_wss: String,
    /// Pages that browsers may connect from, as `https://phone.example.com`; empty means all.
    pub origins: Vec<String>,
    /// How long opening a connection may take.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How long a peer may take for the handshakes of TLS and WebSocket.
    #[serde(with = "humantime_serde")]
    pub handshake_timeout: Duration,
    /// How long a peer may take for the whole of a message that it began, and for the first one.
    #[serde(with = "humantime_serde")]
    pub message_timeout: Duration,
    /// How long a peer may leave our bytes unread.
    #[serde(with = "humantime_serde")]
    pub write_timeout: Duration,
    /// How long a connection may be silent.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// The same before anything was let in by it: no registration, no call.
    #[serde(with = "humantime_serde")]
    pub stranger_timeout: Duration,
    /// After what silence a WebSocket peer is asked whether it is there.
    #[serde(with = "humantime_serde")]
    pub websocket_ping: Duration,
    /// Round-trip estimate (RFC 3261 17.1.1.1).
    #[serde(with = "humantime_serde")]
    pub t1: Duration,
    /// Longest retransmission interval of non-INVITE (RFC 3261 17.1.2.2).
    #[serde(with = "humantime_serde")]
    pub t2: Duration,
    /// Longest life of a message in the network (RFC 3261 17.1.2.2).
    #[serde(with = "humantime_serde")]
    pub t4: Duration,
}

// Every default below is that of the owner of the value, so that there is one.

impl Default for Sip {
    fn default() -> Self {
        let own = sip_endpoint::Config::default();
        let timing = own.transactions.timing;
        Self {
            listen: vec!["udp://127.0.0.1:5060".into(), "tcp://127.0.0.1:5060".into()],
            advertise_tls: String::new(),
            advertise_ws: String::new(),
            advertise_wss: String::new(),
            origins: own.origins,
            connect_timeout: own.connect_timeout,
            handshake_timeout: own.handshake_timeout,
            message_timeout: own.message_timeout,
            write_timeout: own.write_timeout,
            idle_timeout: own.idle_timeout,
            stranger_timeout: own.stranger_timeout,
            websocket_ping: own.websocket_ping,
            t1: timing.t1,
            t2: timing.t2,
            t4: timing.t4,
        }
    }
}

/// Keys of the edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Edge {
    /// How long a branch or group may ring before the next step: phones of own users. A trunk or another domain that rings has until
    /// Timer C (181 s after its last provisional response, RFC 3261 16.6 step 11).
    #[serde(with = "humantime_serde")]
    pub ring_timeout: Duration,
    /// Whether Record-Route and Contact of a call to `sip` say `transport=tls` to who is on TLS, instead of `sips`: for phones that send
    /// nothing to a `sips` URI, such as baresip. Calls to `sips` keep it.
    pub transport_tls: bool,
    /// Whether registered phones are told to send their requests by way of this tier (Service-Route, RFC 3608).
    pub service_route: bool,
    /// How often a phone that keeps its flow (RFC 5626) has to be heard of by TCP and TLS, by UDP 29 s at most; 0s never.
    #[serde(with = "humantime_serde")]
    pub flow_timer: Duration,
    /// How long a server of another domain that did not answer is tried last.
    #[serde(with = "humantime_serde")]
    pub avoid_failed: Duration,
    /// How long such a server, or a trunk, may say nothing where another one can take the request; 0s waits for 64 * T1.
    #[serde(with = "humantime_serde")]
    pub target_timeout: Duration,
    /// How long after its beginning the route of a dialog lets in what could begin something (re-INVITE, REFER, SUBSCRIBE, NOTIFY,
    /// MESSAGE); later its sender is asked who it is.
    #[serde(with = "humantime_serde")]
    pub dialog_lifetime: Duration,
    /// User-Agents that are not answered at all, by their beginning in any case; those of scanners.
    pub scanners: Vec<String>,
    /// Networks (CIDR) that see the inside address.
    pub local_nets: Vec<String>,
    /// Networks (CIDR) whose peers are not challenged.
    pub trusted: Vec<String>,
    /// Domains whose servers are not challenged when they prove them by a certificate (RFC 5922 7.4).
    pub trusted_domains: Vec<String>,
    /// Networks (CIDR) of loopback or link-local addresses where phones or gateways are, for a listener on no such address: to these
    /// a Contact or Route leads nobody else.
    pub danger_reach: Vec<String>,
}

impl Default for Edge {
    fn default() -> Self {
        let own = edge::Config::new("", 0, sip_endpoint::Config::default());
        let (local_nets, trusted, danger_reach) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            ring_timeout: own.ring_timeout,
            transport_tls: own.transport_tls,
            service_route: own.service_route,
            flow_timer: own.flow_timer,
            avoid_failed: own.avoid_failed,
            target_timeout: own.target_timeout,
            dialog_lifetime: own.dialog_lifetime,
            scanners: own.scanners,
            local_nets,
            trusted,
            trusted_domains: Vec::new(),
            danger_reach,
        }
    }
}
