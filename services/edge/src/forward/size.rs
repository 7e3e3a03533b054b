//! A request that is too large for a datagram, to a phone that registered by datagrams: by TCP or along its flow?

use sip_endpoint::{Hop, Target as Host, Transport};
use sip_message::Uri;

use super::target::Target;

/// Whether TCP is tried, as RFC 3261 18.1.1 has it for requests over 1300 bytes.
///
/// It is where the Contact names the very place that the phone's datagrams come from: what listens there is the phone itself. It is
/// not for a flow of RFC 5626 (`ob`, or an instance that registered it), which 5.3 lets nothing leave; nor where the Contact
/// names another place than the flow, for then a NAT is in between and lets in nothing but answers.
pub(crate) fn may_leave_flow(target: &Target, uri: &[u8], hop: Hop) -> bool {
    let Hop::Udp { peer, .. } = hop else { return false };
    let Ok(contact) = Uri::parse(uri) else { return false };
    if target.instance.is_some() || contact.has_param("ob") {
        return false;
    }
    let named = Host::of_uri(&contact).and_then(|host| host.numeric());
    named.is_some_and(|named| named.transport == Transport::Udp && named.address == peer)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn may(uri: &str, instance: Option<&str>, peer: &str) -> bool {
        let hop = Hop::Udp { socket: sip_endpoint::SocketId(0), peer: peer.parse().unwrap() };
        let target = Target { instance: instance.map(Arc::from), ..Target::of_uri(None) };
        may_leave_flow(&target, uri.as_bytes(), hop)
    }

    /// TRN-02, OBD-05
    #[test]
    fn only_the_place_itself_is_tried_by_tcp_and_never_from_an_outbound_flow() {
        let peer = "192.0.2.7:5060";
        assert!(may("sip:bob@192.0.2.7", None, peer));
        assert!(may("sip:bob@192.0.2.7:5060;transport=udp", None, peer));
        for elsewhere in [
            "sip:bob@192.0.2.7:5070",
            "sip:bob@10.0.0.7",
            "sip:bob@phone.example.com",
            "sip:bob@192.0.2.7;transport=tcp",
            "sips:bob@192.0.2.7",
            "sip:bob@192.0.2.7;ob",
            "tel:+1",
        ] {
            assert!(!may(elsewhere, None, peer), "{elsewhere}");
        }
        assert!(!may("sip:bob@192.0.2.7", Some("<urn:uuid:1>"), peer));
        let connection = Hop::Flow(sip_endpoint::FlowId(1));
        assert!(!may_leave_flow(&Target::of_uri(None), b"sip:bob@192.0.2.7", connection));
    }
}
