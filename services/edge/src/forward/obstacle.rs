//! What kept a request from a phone, in words for whoever sent it: a Warning of our own answer. RFC 3261 20.43

use std::sync::Arc;

use sip_endpoint::{Distrust, DnsError};
use sip_message::{HeaderId, Message, Uri, Warning, standard_reason};
use sip_proxy::Best;

use crate::compose::RELAYED;

const AGENT: &str = "carillon";
const REFUSED: &str = "Nobody listens where the phone registered from";
const DENIED: &str = "This call is not allowed";
const UNDECIDED: &str = "Nobody says at present whether this call may be made";

/// What kept a branch from its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// `sips`, and the phone is reached in clear. RFC 5630 6.4
    PhoneInClear,
    /// `sips`, and the edge that has the phone's flow is reached in clear.
    EdgeInClear,
    /// By TLS a host is called by its name alone, and this is a number; `sips` leaves no other way.
    Unproved { is_secure: bool },
    /// `sips`, and none of the servers that this domain leads to takes a connection.
    NotByTls(Box<str>),
    /// The far host said by ICMP that its port is closed.
    Refused,
    /// DNS says no address of the next hop, and why.
    NoAddress(DnsError),
    /// A name, a contact or a dialog leads to the gateway of a trunk.
    AtTrunk,
    /// The trunk has as many calls as it may.
    TrunkFull,
    /// The server that this domain leads to does not prove it by TLS. RFC 5922 7.3
    DistrustedServer(Box<str>, Distrust),
    /// The operator's service denies the call, and says why, or nothing.
    Denied(Arc<str>),
    /// The operator's service does not say whether the call may go out.
    Undecided,
    /// The number that a leg dials is lent: this is who it calls instead.
    Lent(Box<str>),
}

impl Obstacle {
    /// The value of Warning in an answer with this status; `None` when it is not about this.
    pub(crate) fn warning(&self, status: u16) -> Option<String> {
        let words;
        let (code, text, statuses) = match self {
            Self::PhoneInClear => (380, "SIPS Not Allowed", [480, 480]),
            Self::EdgeInClear => (399, "No TLS to the edge that has the phone's connection", [480, 480]),
            Self::Unproved { is_secure } => (
                if *is_secure { 380 } else { 399 },
                "By TLS only names are called: no certificate proves an address",
                [480, 480],
            ),
            Self::NotByTls(domain) => {
                words = format!("No server of {domain} takes a connection by TLS, which sips asks for");
                (399, &*words, [500, 500])
            }
            Self::Refused => (399, REFUSED, [430, 480]),
            Self::NoAddress(DnsError::NoSuchHost) => {
                (399, "DNS says no address of the host that this leads to", [480, 480])
            }
            Self::NoAddress(DnsError::NoTransport) => (
                399,
                "The host that this leads to is reached by no transport that is spoken here",
                [480, 480],
            ),
            // Not of the zone but of who answers for it: an operator looks elsewhere.
            Self::NoAddress(_) => {
                (399, "DNS does not answer where the host is that this leads to", [480, 480])
            }
            Self::AtTrunk => (399, "This leads to the gateway of a trunk", [403, 480]),
            Self::TrunkFull => (399, "All trunks for this call have as many calls as they may", [503, 503]),
            Self::DistrustedServer(domain, why) => {
                let fault = match why {
                    Distrust::Name => "The certificate of the server that was found is not one of",
                    Distrust::Time => {
                        "The certificate of the server that was found is out of date, looking for"
                    }
                    Distrust::Authority => {
                        "The certificate of the server that was found is of an authority that is not known here, looking for"
                    }
                    Distrust::Other => "The certificate of the server that was found does not prove",
                    Distrust::NoTls => "The server that was found speaks no TLS 1.2 or later, looking for",
                    Distrust::Alert => "The server that was found refuses TLS with this one, looking for",
                    Distrust::Unfinished => {
                        "The server that was found does not finish its TLS handshake, looking for"
                    }
                };
                words = format!("{fault} {domain}");
                (399, &*words, [502, 502])
            }
            Self::Denied(why) if why.is_empty() => (399, DENIED, [403, 403]),
            Self::Denied(why) => (399, &**why, [403, 403]),
            Self::Undecided => (399, UNDECIDED, [503, 503]),
            Self::Lent(_) => return None,
        };
        statuses.contains(&status).then(|| Warning::print(code, AGENT, text))
    }

    /// The status of our answer where this is all that came of a request; `None` leaves it at what RFC 3261 16.7 makes of it: a 503 of a
    /// neighbour's, or in its place, is nobody else's business, unless it says something true of what is asked next.
    fn status(&self) -> Option<u16> {
        match self {
            // RFC 3261 21.5.4: the caller is to know that it may come again
            Self::TrunkFull | Self::Undecided => Some(503),
            // RFC 3261 21.5.3: what the next server showed is not valid, whoever asks and whatever for
            Self::DistrustedServer(..) => Some(502),
            Self::PhoneInClear
            | Self::EdgeInClear
            | Self::Unproved { .. }
            | Self::NotByTls(_)
            | Self::Refused
            | Self::NoAddress(_)
            | Self::AtTrunk
            | Self::Denied(_)
            | Self::Lent(_) => None,
        }
    }
}

/// The status of our own answer to a request of which nothing better came than `best`, when what was in the way decides it.
pub(crate) fn status(best: &Best<Message>, obstacle: Option<&Obstacle>) -> Option<u16> {
    obstacle.filter(|_| matches!(best, Best::Local(503)))?.status()
}

/// The reason phrase of an answer of ours with this status, where one says more than the usual one.
pub(crate) fn reason(obstacle: Option<&Obstacle>, status: u16) -> &str {
    match obstacle {
        Some(Obstacle::TrunkFull) if status == 503 => "Trunk Full",
        Some(Obstacle::Denied(why)) if status == 403 && why.is_empty() => "Call Not Allowed",
        Some(Obstacle::Denied(why)) if status == 403 => why,
        Some(Obstacle::Undecided) if status == 503 => "Call Not Decided",
        Some(_) | None => standard_reason(status),
    }
}

/// Does a sibling say of the flow that we sent a request to that its port is closed?
pub(crate) fn says_refused(response: &Message) -> bool {
    let ours = Warning::print(399, AGENT, REFUSED);
    response.status() == Some(430) && response.values(HeaderId::Warning).any(|value| value == ours.as_bytes())
}

/// Did a sibling send the request here for a flow of ours? Then it hears that the flow failed, and tries the device's next one;
/// anybody else has no use for that. RFC 5626 5.3.1
pub(crate) fn is_relayed(own_routes: &[bytes::Bytes]) -> bool {
    own_routes.last().and_then(|route| Uri::parse(route).ok()).is_some_and(|uri| uri.has_param(RELAYED))
}

#[cfg(test)]
mod tests {
    use sip_message::Limits;

    use super::*;

    /// T6
    #[test]
    fn who_may_not_spend_is_told_in_the_words_of_the_operator() {
        let denied = |why: &str| Obstacle::Denied(why.into());
        let said = denied("Credit Exhausted");
        assert_eq!(said.warning(403).as_deref(), Some("399 carillon \"Credit Exhausted\""));
        assert_eq!((reason(Some(&said), 403), reason(Some(&said), 486)), ("Credit Exhausted", "Busy Here"));
        assert_eq!(said.warning(486), None);
        assert_eq!(reason(Some(&denied("")), 403), "Call Not Allowed");
        assert!(denied("").warning(403).unwrap().ends_with("\"This call is not allowed\""));
        assert!(Obstacle::Undecided.warning(503).unwrap().starts_with("399 carillon \"Nobody says"));
        assert_eq!(reason(Some(&Obstacle::Undecided), 503), "Call Not Decided");
    }

    fn response(status: u16, warning: &str) -> Message {
        let text = format!(
            "SIP/2.0 {status} x\r\nWarning: {warning}\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        );
        Message::parse(text.into_bytes().into(), &Limits::default()).unwrap()
    }

    /// TRN-09, OBD-05
    #[test]
    fn an_answer_says_what_was_in_the_way_and_no_other_does() {
        let warning = |obstacle: Obstacle, status| obstacle.warning(status).unwrap_or_default();
        assert_eq!(warning(Obstacle::PhoneInClear, 480), "380 carillon \"SIPS Not Allowed\"");
        assert!(warning(Obstacle::EdgeInClear, 480).starts_with("399 carillon \"No TLS"));
        assert_eq!(warning(Obstacle::EdgeInClear, 486), "");
        assert!(warning(Obstacle::TrunkFull, 503).starts_with("399 carillon \"All trunks"));
        assert_eq!(reason(Some(&Obstacle::TrunkFull), 503), "Trunk Full");
        assert_eq!(reason(Some(&Obstacle::TrunkFull), 486), "Busy Here");
        let told = warning(Obstacle::Refused, 430);
        assert!(says_refused(&response(430, &told)));
        assert!(!says_refused(&response(480, &told)));
        assert!(!says_refused(&response(430, "399 carillon \"something else\"")));
    }

    /// SEC-02, PXY-19: a server that proves to be somebody else is told of, unless something better came.
    #[test]
    fn a_foreign_server_is_a_bad_gateway_with_the_name_that_did_not_match() {
        let foreign = Obstacle::DistrustedServer("far.example".into(), Distrust::Name);
        assert_eq!(status(&Best::Local(503), Some(&foreign)), Some(502));
        assert_eq!(status(&Best::Local(408), Some(&foreign)), None);
        assert_eq!(status(&Best::Received(response(503, "399 x \"y\"")), Some(&foreign)), None);
        assert_eq!(status(&Best::Local(503), Some(&Obstacle::NoAddress(DnsError::NoSuchHost))), None);
        let warning = foreign.warning(502).unwrap_or_default();
        assert!(warning.starts_with("399 carillon \"") && warning.contains(" far.example\""), "{warning}");
        assert_eq!(foreign.warning(500), None);
    }
}
