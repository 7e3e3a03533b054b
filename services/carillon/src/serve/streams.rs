//! Listeners for TLS and WebSocket, as the operator names them.

use std::net::SocketAddr;

use sip_endpoint::{ListenStream, Transport};

use super::settings::Settings;

/// The addresses of `tls://…`, `ws://…` and `wss://…`.
///
/// # Errors
/// What is no listener, with what was expected.
pub fn streams(settings: &Settings) -> Result<Vec<ListenStream>, String> {
    let mut listen: Vec<ListenStream> = Vec::new();
    for uri in &settings.sip.listen {
        let expected = || format!("{uri:?}: expected tls://ADDR:PORT, ws://ADDR:PORT or wss://ADDR:PORT");
        // What is none of these is told of by the reader of all listeners.
        let Some((scheme, rest)) = uri.split_once("://") else { continue };
        let Some(transport) = transport(scheme) else { continue };
        let address: SocketAddr = rest.parse().map_err(|_| expected())?;
        if listen.iter().any(|other| other.address == address && address.port() != 0) {
            return Err(format!("{uri:?}: another listener has this address and port already"));
        }
        listen.push(ListenStream { transport, address, advertise: advertise(transport, settings) });
    }
    Ok(listen)
}

/// Whether a scheme is that of a listener for connections alone.
pub fn is_stream(scheme: &str) -> bool {
    transport(scheme).is_some()
}

fn transport(scheme: &str) -> Option<Transport> {
    let known = [("tls", Transport::Tls), ("ws", Transport::Ws), ("wss", Transport::Wss)];
    known.into_iter().find_map(|(name, transport)| (name == scheme).then_some(transport))
}

/// What peers are shown: the name of its own, else the common one without its port, which is that of UDP and TCP.
fn advertise(transport: Transport, settings: &Settings) -> Option<String> {
    let own = match transport {
        Transport::Tls => &settings.sip.advertise_tls,
        Transport::Ws => &settings.sip.advertise_ws,
        Transport::Wss => &settings.sip.advertise_wss,
        Transport::Udp | Transport::Tcp => &settings.advertise,
    };
    let common = || {
        let uri = format!("sip:{}", settings.advertise);
        let uri = sip_message::Uri::parse(uri.as_bytes()).ok()?;
        Some(uri.host.to_owned()).filter(|host| !host.is_empty())
    };
    Some(own.clone()).filter(|own| !own.is_empty()).or_else(common)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(listen: &[&str]) -> Settings {
        let mut settings = Settings { advertise: "sip.example.com:5070".into(), ..Settings::default() };
        settings.sip.listen = listen.iter().map(|uri| (*uri).to_owned()).collect();
        settings.sip.advertise_wss = "ws.example.com:443".into();
        settings
    }

    #[test]
    fn each_kind_is_shown_by_a_name_of_its_own_or_by_the_common_host() {
        let uris = ["udp://127.0.0.1:5060", "tls://127.0.0.1:5061", "ws://127.0.0.1:80", "wss://[::1]:443"];
        let found = streams(&settings(&uris)).unwrap();
        let shown = found.iter().map(|listen| (listen.transport, listen.advertise.as_deref().unwrap()));
        assert_eq!(
            shown.collect::<Vec<_>>(),
            [
                (Transport::Tls, "sip.example.com"),
                (Transport::Ws, "sip.example.com"),
                (Transport::Wss, "ws.example.com:443")
            ]
        );
    }

    #[test]
    fn what_is_no_listener_or_one_twice_is_refused() {
        for bad in [&["tls://here:5061"][..], &["ws://"], &["tls://127.0.0.1:5061", "wss://127.0.0.1:5061"]] {
            assert!(streams(&settings(bad)).is_err(), "{bad:?}");
        }
    }
}
