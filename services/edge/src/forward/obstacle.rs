//! What kept a request from a phone, in words for whoever sent it: a Warning of our own answer. RFC 3261 20.43

use sip_message::{HeaderId, Message, Uri, Warning};

use crate::compose::RELAYED;

const AGENT: &str = "carillon";
const REFUSED: &str = "Nobody listens where the phone registered from";

/// What kept a branch from its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// `sips`, and the phone is reached in clear. RFC 5630 6.4
    PhoneInClear,
    /// `sips`, and the edge that has the phone's flow is reached in clear.
    EdgeInClear,
    /// The far host said by ICMP that its port is closed.
    Refused,
}

impl Obstacle {
    /// The value of Warning in an answer with this status; `None` when it is not about this.
    pub(crate) fn warning(self, status: u16) -> Option<String> {
        let (code, text, statuses) = match self {
            Self::PhoneInClear => (380, "SIPS Not Allowed", [480, 480]),
            Self::EdgeInClear => (399, "No TLS to the edge that has the phone's connection", [480, 480]),
            Self::Refused => (399, REFUSED, [430, 480]),
        };
        statuses.contains(&status).then(|| Warning::print(code, AGENT, text))
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
        let told = warning(Obstacle::Refused, 430);
        assert!(says_refused(&response(430, &told)));
        assert!(!says_refused(&response(480, &told)));
        assert!(!says_refused(&response(430, "399 carillon \"something else\"")));
    }
}
