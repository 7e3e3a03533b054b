//! Contacts that lead back to who asks for them: a loop that every call would run through until something stops it.

use std::net::IpAddr;

use cluster_api::cluster::v1::Member;
use sip_message::{Scheme, Uri};

/// Does the contact name the address of record itself, however it is written, or a GRUU of it? RFC 5627 5.1
///
/// The default port and sips name the same user in the same place, although URI equality tells them apart (RFC 3261 19.1.4), and so do
/// all parameters: the request comes back here. Another port is that of a phone at the host that the domain is called by, and headers,
/// which no comparison passes over, may lead elsewhere (RFC 4475 3.3.14).
pub(crate) fn is_itself(contact: &Uri<'_>, aor: &str) -> bool {
    let default = if contact.is_secure() { 5061 } else { 5060 };
    let is_of_host = || {
        // In normal form an IPv6 address is the only host that has other spellings.
        let host = aor.rsplit_once('@').map_or("", |(_, host)| host);
        host.starts_with('[') || host.eq_ignore_ascii_case(contact.host.trim_end_matches('.'))
    };
    contact.headers.is_none()
        && contact.port.is_none_or(|port| port == default)
        && is_of_host()
        && matches!(contact.scheme, Scheme::Sip | Scheme::Sips)
        && contact.user.is_some()
        && contact.aor().is_some_and(|named| named == aor)
}

/// Is it an address at which an edge of the tier is reached by the others?
pub(crate) fn is_of_tier(contact: &Uri<'_>, members: &[Member]) -> bool {
    let Some(ip) = contact.host_ip().map(|ip: IpAddr| ip.to_canonical()) else { return false };
    let port = contact.port.unwrap_or(if contact.is_secure() { 5061 } else { 5060 });
    let at = |text: &str| text.parse::<std::net::SocketAddr>().ok();
    members
        .iter()
        .filter_map(|member| at(&member.sip))
        .any(|sip| (sip.ip().to_canonical(), sip.port()) == (ip, port))
}
