//! SIP listeners as the operator names them.

use std::io;
use std::net::SocketAddr;

use sip_endpoint::Listen;

use super::streams::is_stream;

/// The addresses of `udp://…` and `tcp://…`: each is served by UDP and TCP (RFC 3261 18), so one address is listed once. Those for
/// TLS and WebSocket are in `streams.rs`.
///
/// # Errors
/// What is no listener, with what was expected.
pub fn listeners(uris: &[String], advertise: &str) -> Result<Vec<Listen>, String> {
    let mut listen: Vec<Listen> = Vec::new();
    for uri in uris {
        let expected = || {
            format!(
                "{uri:?}: expected udp://, tcp://, tls://, ws:// or wss:// and ADDR:PORT, where ADDR is an IP address of this machine, as \
                 udp://192.0.2.1:5060 or udp://[2001:db8::1]:5060"
            )
        };
        let (scheme, rest) = uri.split_once("://").ok_or_else(expected)?;
        match scheme {
            "udp" | "tcp" => {}
            _ if is_stream(scheme) => continue,
            _ => return Err(expected()),
        }
        let address: SocketAddr = rest.parse().map_err(|_| expected())?;
        if !listen.iter().any(|l| l.address == address) {
            let advertise = (!advertise.is_empty()).then(|| advertise.to_string());
            listen.push(Listen { address, advertise });
        }
    }
    if listen.is_empty() {
        Err("an edge needs at least one listener for UDP and TCP, as udp://192.0.2.1:5060".into())
    } else {
        Ok(listen)
    }
}

/// Why an address cannot be listened on, and what to do.
pub fn unbound(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("{error}; another process listens there: end it, or name another port")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("{error}; this machine has no such address: `ip address` lists those that it has")
        }
        io::ErrorKind::PermissionDenied => {
            format!("{error}; ports below 1024 want a right: name another one")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_bound_says_what_to_do() {
        for (kind, advice) in [
            (io::ErrorKind::AddrInUse, "another process listens there"),
            (io::ErrorKind::AddrNotAvailable, "this machine has no such address"),
            (io::ErrorKind::PermissionDenied, "name another one"),
        ] {
            assert!(unbound(&io::Error::new(kind, "cannot listen on 192.0.2.1:5060")).contains(advice));
        }
    }

    #[test]
    fn udp_and_tcp_of_one_address_are_one_listener() {
        let uris = ["udp://127.0.0.1:5060", "tcp://127.0.0.1:5060", "udp://[::1]:5060"].map(String::from);
        assert_eq!(listeners(&uris, "").unwrap().len(), 2);
    }

    #[test]
    fn an_edge_listens_for_datagrams_whatever_else_it_serves() {
        assert!(listeners(&["tls://127.0.0.1:5061".into()], "").unwrap_err().contains("for UDP and TCP"));
        let both = ["tls://127.0.0.1:5061", "udp://127.0.0.1:5060"].map(String::from);
        assert_eq!(listeners(&both, "").unwrap().len(), 1);
        assert!(listeners(&["127.0.0.1:5060".into()], "").unwrap_err().contains("expected udp://"));
    }
}
