//! The URL by which the others reach this process, as it is composed where a pod knows no more than its address.

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

#[cfg(test)]
mod tests {
    use super::*;

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
