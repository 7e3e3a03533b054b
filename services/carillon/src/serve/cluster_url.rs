//! The URL by which the others reach this process, and the host that phones are shown, as they are composed where a pod knows no
//! more than its address.

use std::net::Ipv6Addr;

/// The URL with the brackets that an IPv6 address needs (RFC 3986 3.2.2), for `http://$(POD_IP):PORT` on an IPv6-only pod.
/// What follows the last colon is the port, without which the URL is none. Anything else stays as it is.
pub fn bracketed(url: &str) -> String {
    let Some((scheme, authority)) = url.split_once("://") else { return url.to_owned() };
    match authority.rsplit_once(':') {
        Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() => format!("{scheme}://[{host}]:{port}"),
        _ => url.to_owned(),
    }
}

/// HOST or HOST:PORT with the brackets that an IPv6 address needs in a URI and in Via (RFC 3261 25.1), for the bare address that a
/// pod or an operator knows. What can be read as an address alone is one: `fd00::7:5060` has no port. Anything else stays as it is.
pub fn bracketed_host(host: &str) -> String {
    if host.parse::<Ipv6Addr>().is_ok() {
        return format!("[{host}]");
    }
    match host.rsplit_once(':') {
        // A port of five digits is no part of an address, as that of a node never is.
        Some((address, port)) if address.parse::<Ipv6Addr>().is_ok() => format!("[{address}]:{port}"),
        _ => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_ipv6_host_gets_its_brackets() {
        for (given, expected) in [
            ("fd00::7", "[fd00::7]"),
            ("fd00::7:30060", "[fd00::7]:30060"),
            ("[fd00::7]", "[fd00::7]"),
            ("[::1]:5060", "[::1]:5060"),
            ("a.example", "a.example"),
            ("", ""),
        ] {
            assert_eq!(bracketed_host(given), expected);
        }
    }

    #[test]
    fn a_bare_ipv6_address_gets_its_brackets_and_nothing_else_changes() {
        for (given, expected) in [
            ("http://fd00::7:50051", "http://[fd00::7]:50051"),
            ("http://fd00:1:2:3:4:5:6:7:443", "http://[fd00:1:2:3:4:5:6:7]:443"),
            ("https://::1:50051/", "https://[::1]:50051/"),
            ("http://[fd00::7]:50051", "http://[fd00::7]:50051"),
            ("http://10.0.0.7:50051", "http://10.0.0.7:50051"),
            ("http://edge-0.edges:50051", "http://edge-0.edges:50051"),
            // without a port it is no URL of ours, and is refused as it was given
            ("http://fd00:1:2:3:4:5:6:7", "http://fd00:1:2:3:4:5:6:7"),
            ("", ""),
        ] {
            assert_eq!(bracketed(given), expected);
        }
    }
}
