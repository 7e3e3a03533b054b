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
    /// The highest number that the caller's side is known to have used; 0 when none was told.
    #[prost(uint32, tag = "5")]
    pub caller_cseq: u32,
    /// The same of the callee's side.
    #[prost(uint32, tag = "6")]
    pub callee_cseq: u32,
}

/// A phone that answered after another one had (RFC 3261 16.7 step 10): the caller is in two dialogs until it ends one.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Another {
    /// Its tag.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// What of it answered, for applications.
    #[prost(string, tag = "2")]
    pub target: String,
    /// Where both sides are.
    #[prost(message, required, tag = "3")]
    pub dialog: Dialog,
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
    /// The number of the caller's INVITE.
    #[prost(uint32, tag = "4")]
    pub cseq: u32,
}

impl Early {
    /// `None` for a 18x that makes no dialog. RFC 3261 12.1
    pub(super) fn of(event: &wire::ProxiedCallEvent) -> Option<Early> {
        let (tag, target) = (event.to_tag.clone(), event.to_contact.clone());
        let is_dialog = !tag.is_empty() && !target.is_empty();
        is_dialog.then(|| Early { tag, target, route: event.to_route.clone(), cseq: event.from_cseq })
    }

    /// The BYE that stops it, as if from the caller, who may end an early dialog so. RFC 3261 15, 15.1.2
    pub(super) fn bye(&self, call: &wire::Call) -> Option<ExchangeRequest> {
        let [a, b] = &call.legs[..] else { return None };
        let request =
            SendRequest { to_tag: self.tag.clone(), ..bye((a, b), &self.target, &self.route, self.cseq) };
        let exchange_id = format!("{}.{}.{}", call.call_id, b.leg_id, self.tag);
        Some(ExchangeRequest { exchange_id, request: Some(request) })
    }
}

/// How far a side may have counted on beyond what was told of it: edges tell of INVITE, UPDATE and BYE, and not of PRACK, INFO, OPTIONS
/// and the rest, nor of what was refused. A thousand is a keep-alive in each minute of a long working day; a gap is no error (RFC 3261
/// 12.2.2), and leaves room for the BYE to be sent once more.
const UNTOLD: u32 = 1_000;
/// The number for a side of which nothing was told: as likely above what it may have begun with as room is left above it.
const OF_NOBODY: u32 = 1 << 30;
/// The highest of all. RFC 3261 8.1.1.5
const LAST_CSEQ: u32 = (1 << 31) - 1;

/// The number of the next request of a side. RFC 3261 12.2.1.1
fn after(told: u32) -> u32 {
    match told {
        0 => OF_NOBODY,
        told => told.saturating_add(UNTOLD).min(LAST_CSEQ),
    }
}

impl Dialog {
    pub(super) fn of(event: &wire::ProxiedCallEvent) -> Dialog {
        Dialog {
            caller_target: event.from_contact.clone(),
            caller_route: event.from_route.clone(),
            callee_target: event.to_contact.clone(),
            callee_route: event.to_route.clone(),
            caller_cseq: event.from_cseq,
            callee_cseq: event.to_cseq,
        }
    }

    /// A side says that it is somewhere else, or has sent something. RFC 3261 12.2.1.2; the route set stays (12.2).
    pub(super) fn moved(&mut self, event: &wire::ProxiedCallEvent) {
        if !event.from_contact.is_empty() {
            self.caller_target.clone_from(&event.from_contact);
        }
        if !event.to_contact.is_empty() {
            self.callee_target.clone_from(&event.to_contact);
        }
        self.caller_cseq = self.caller_cseq.max(event.from_cseq);
        self.callee_cseq = self.callee_cseq.max(event.to_cseq);
    }

    /// The BYE for the caller and the one for the callee, each as if from the other one. Repeated, they are the same requests.
    pub(super) fn byes(&self, call: &wire::Call, reason: &str) -> Option<[ExchangeRequest; 2]> {
        let [a, b] = &call.legs[..] else { return None };
        let toward_caller = bye((b, a), &self.caller_target, &self.caller_route, self.callee_cseq);
        let toward_callee = bye((a, b), &self.callee_target, &self.callee_route, self.caller_cseq);
        let explained = |request: SendRequest, to: &wire::Leg| ExchangeRequest {
            exchange_id: format!("{}.{}", call.call_id, to.leg_id),
            request: Some(SendRequest {
                headers: vec![Header { name: "Reason".into(), value: reason_value(reason) }],
                ..request
            }),
        };
        Some([explained(toward_caller, a), explained(toward_callee, b)])
    }

    /// The two BYEs of the dialog with a callee who answered too.
    pub(super) fn byes_of_another(&self, call: &wire::Call, reason: &str, tag: &str) -> Vec<ExchangeRequest> {
        let mut call = call.clone();
        if let Some(callee) = call.legs.get_mut(1) {
            tag.clone_into(&mut callee.remote_tag);
        }
        let named = |bye: ExchangeRequest| ExchangeRequest {
            exchange_id: format!("{}.{tag}", bye.exchange_id),
            ..bye
        };
        self.byes(&call, reason).into_iter().flatten().map(named).collect()
    }
}

/// A BYE of one side, which is known to have counted so far, for the other.
fn bye((from, to): (&wire::Leg, &wire::Leg), target: &str, route: &[String], told: u32) -> SendRequest {
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
        cseq: after(told),
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
            caller_cseq: 102,
            callee_cseq: 0,
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
        assert_eq!(a.sip_call_id, "c@phone");
        assert_eq!((a.cseq, b.cseq), (1 << 30, 1_102), "of whom nothing was told, and after the INVITE");
        assert_eq!(a.headers[0].value, "SIP;cause=200;text=\"Ended by the application\"");
    }

    /// PXY-16: a phone that answered too is in a dialog of its own.
    #[test]
    fn each_of_two_dialogs_has_its_own_byes() {
        let byes = dialog().byes_of_another(&call(), "", "3");
        let [toward_a, toward_b] = &byes[..] else { panic!("two: {byes:?}") };
        let tags = |bye: &ExchangeRequest| {
            let request = bye.request.as_ref().expect("a request");
            (request.from_tag.clone(), request.to_tag.clone())
        };
        assert_eq!(tags(toward_a), ("3".into(), "1".into()));
        assert_eq!(tags(toward_b), ("1".into(), "3".into()));
        let first = dialog().byes(&call(), "").expect("two legs");
        assert!(first.iter().all(|bye| byes.iter().all(|other| other.exchange_id != bye.exchange_id)));
    }

    /// RFC 3261 12.2.1.1, 8.1.1.5
    #[test]
    fn the_highest_number_that_was_told_counts_and_no_number_is_too_high() {
        let mut dialog = dialog();
        for (from_cseq, to_cseq) in [(103, 0), (0, 7), (0, 5)] {
            dialog.moved(&wire::ProxiedCallEvent { from_cseq, to_cseq, ..wire::ProxiedCallEvent::default() });
        }
        assert_eq!((dialog.caller_cseq, dialog.callee_cseq), (103, 7));
        let byes = dialog.byes(&call(), "").expect("two legs");
        let numbers = byes.map(|bye| bye.request.expect("a request").cseq);
        assert_eq!(numbers, [1_007, 1_103]);
        assert_eq!([LAST_CSEQ - 1, u32::MAX].map(after), [LAST_CSEQ; 2]);
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
