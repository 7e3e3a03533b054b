//! What is known of the dialog between two phones, and the BYE that ends it at each of them.

use cluster_api::callcontrol::v1 as wire;
use cluster_api::edge::v1::{ExchangeRequest, SendRequest};
use cluster_api::sip::v1::Header;

/// Where both sides are, seen from this tier.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Dialog {
    /// Remote target of the caller.
    #[prost(string, tag = "1")]
    pub caller_target: String,
    /// Route set toward it, in sending order.
    #[prost(string, repeated, tag = "2")]
    pub caller_route: Vec<String>,
    /// Remote target of the callee.
    #[prost(string, tag = "3")]
    pub callee_target: String,
    /// Route set toward it.
    #[prost(string, repeated, tag = "4")]
    pub callee_route: Vec<String>,
}

/// A phone that rings, as the edge that proxies the INVITE saw it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Early {
    /// Its tag.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// Its remote target.
    #[prost(string, tag = "2")]
    pub target: String,
    /// Route set toward it, in sending order.
    #[prost(string, repeated, tag = "3")]
    pub route: Vec<String>,
}

impl Early {
    /// `None` for a 18x that makes no dialog. RFC 3261 12.1
    pub(super) fn of(event: &wire::ProxiedCallEvent) -> Option<Early> {
        let (tag, target) = (event.to_tag.clone(), event.to_contact.clone());
        let is_dialog = !tag.is_empty() && !target.is_empty();
        is_dialog.then(|| Early { tag, target, route: event.to_route.clone() })
    }

    /// The BYE that stops it, as if from the caller, who may end an early dialog so. RFC 3261 15, 15.1.2
    pub(super) fn bye(&self, call: &wire::Call) -> Option<ExchangeRequest> {
        let [a, b] = &call.legs[..] else { return None };
        let request = SendRequest { to_tag: self.tag.clone(), ..bye((a, b), &self.target, &self.route) };
        let exchange_id = format!("{}.{}.{}", call.call_id, b.leg_id, self.tag);
        Some(ExchangeRequest { exchange_id, request: Some(request) })
    }
}

/// The highest sequence number (RFC 3261 8.1.1.5). Nobody here knows how far the phones have counted between themselves; this one
/// is above whatever the other side sent, a gap is no error (12.2.2), and a BYE is the last request of its side.
const LAST_CSEQ: u32 = (1 << 31) - 1;

impl Dialog {
    pub(super) fn of(event: &wire::ProxiedCallEvent) -> Dialog {
        Dialog {
            caller_target: event.from_contact.clone(),
            caller_route: event.from_route.clone(),
            callee_target: event.to_contact.clone(),
            callee_route: event.to_route.clone(),
        }
    }

    /// A side says that it is somewhere else. RFC 3261 12.2.1.2; the route set stays (12.2).
    pub(super) fn moved(&mut self, event: &wire::ProxiedCallEvent) {
        if !event.from_contact.is_empty() {
            self.caller_target.clone_from(&event.from_contact);
        }
        if !event.to_contact.is_empty() {
            self.callee_target.clone_from(&event.to_contact);
        }
    }

    /// The BYE for the caller and the one for the callee, each as if from the other one. Repeated, they are the same requests.
    pub(super) fn byes(&self, call: &wire::Call, reason: &str) -> Option<[ExchangeRequest; 2]> {
        let [a, b] = &call.legs[..] else { return None };
        let toward_caller = self.bye(call, reason, (b, a), &self.caller_target, &self.caller_route);
        let toward_callee = self.bye(call, reason, (a, b), &self.callee_target, &self.callee_route);
        Some([toward_caller, toward_callee])
    }

    fn bye(
        &self,
        call: &wire::Call,
        reason: &str,
        (from, to): (&wire::Leg, &wire::Leg),
        target: &str,
        route: &[String],
    ) -> ExchangeRequest {
        let headers = vec![Header { name: "Reason".into(), value: reason_value(reason) }];
        let request = SendRequest { headers, ..bye((from, to), target, route) };
        ExchangeRequest { exchange_id: format!("{}.{}", call.call_id, to.leg_id), request: Some(request) }
    }
}

/// A BYE of one side for the other.
fn bye((from, to): (&wire::Leg, &wire::Leg), target: &str, route: &[String]) -> SendRequest {
    let uri = |leg: &wire::Leg| leg.party.as_ref().map_or(String::new(), |party| party.uri.clone());
    SendRequest {
        method: "BYE".into(),
        request_uri: target.into(),
        route: route.to_vec(),
        from_uri: uri(from),
        from_tag: from.remote_tag.clone(),
        to_uri: uri(to),
        to_tag: to.remote_tag.clone(),
        sip_call_id: to.sip_call_id.clone(),
        cseq: LAST_CSEQ,
        ..SendRequest::default()
    }
}

/// Why, for the phones. RFC 3326 2; the words were checked to be one line without quotes to escape.
pub(super) fn reason_value(words: &str) -> String {
    sip_message::Reason::print_sip(200, words_of(words))
}

/// What is said when the application said nothing.
pub(super) fn words_of(words: &str) -> &str {
    if words.is_empty() { "Ended by the application" } else { words }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> wire::Call {
        let leg = |leg_id: &str, uri: &str, tag: &str| wire::Leg {
            leg_id: leg_id.into(),
            party: Some(wire::Party { uri: uri.into(), ..wire::Party::default() }),
            sip_call_id: "c@phone".into(),
            remote_tag: tag.into(),
            ..wire::Leg::default()
        };
        let legs = vec![leg("a", "sip:a@x", "1"), leg("b", "sip:b@x", "2")];
        wire::Call { call_id: "px-1".into(), legs, ..wire::Call::default() }
    }

    fn dialog() -> Dialog {
        Dialog {
            caller_target: "sip:a@10.0.0.1".into(),
            caller_route: vec!["<sip:us;lr;d=m>".into(), "<sip:up.example.org;lr>".into()],
            callee_target: "sip:b@10.0.0.2".into(),
            callee_route: vec!["<sip:us;lr;d=m>".into()],
        }
    }

    /// Each BYE is one that the other phone might have sent. RFC 3261 12.2.1.1
    #[test]
    fn both_sides_get_a_bye_of_their_dialog() {
        let [toward_a, toward_b] = dialog().byes(&call(), "").expect("two legs");
        assert_ne!(toward_a.exchange_id, toward_b.exchange_id);
        let (a, b) = (toward_a.request.expect("a request"), toward_b.request.expect("a request"));
        assert_eq!((a.from_tag.as_str(), a.to_tag.as_str(), a.from_uri.as_str()), ("2", "1", "sip:b@x"));
        assert_eq!((a.request_uri.as_str(), a.route.len()), ("sip:a@10.0.0.1", 2));
        assert_eq!((b.from_tag.as_str(), b.to_tag.as_str(), b.to_uri.as_str()), ("1", "2", "sip:b@x"));
        assert_eq!((b.request_uri.as_str(), b.route.len()), ("sip:b@10.0.0.2", 1));
        assert_eq!((a.cseq, a.sip_call_id.as_str()), (2_147_483_647, "c@phone"));
        assert_eq!(a.headers[0].value, "SIP;cause=200;text=\"Ended by the application\"");
    }

    #[test]
    fn a_side_that_moves_is_followed_and_the_route_stays() {
        let mut dialog = dialog();
        dialog.moved(&wire::ProxiedCallEvent {
            to_contact: "sip:b@10.9.9.9".into(),
            ..wire::ProxiedCallEvent::default()
        });
        assert_eq!(dialog.callee_target, "sip:b@10.9.9.9");
        assert_eq!(dialog.caller_target, "sip:a@10.0.0.1");
        assert_eq!(dialog.callee_route.len(), 1);
    }
}
