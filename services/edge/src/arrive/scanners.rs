//! Programs that look for SIP servers to break into are not answered at all: an answer, even a refusal, tells them where to come back.
//!
//! They are known by the User-Agent that they write. Who writes another one is treated like anybody, so this stops the many that run
//! with what their program is shipped with, and keeps their noise from those who decide.

use sip_endpoint::{Arrival, ServerKey};
use sip_message::{HeaderId, Message};

use crate::edge::{Cx, Edge};

/// What the programs call themselves that most scans are made with: sipvicious and what was made from it, sipcli, and tools over the
/// libraries pplsip and VaxVoIP. No phone begins its name so.
pub(crate) const KNOWN: [&str; 8] = [
    "friendly-scanner",
    "friendly-request",
    "sipvicious",
    "sundayddr",
    "sip-scan",
    "sipcli",
    "pplsip",
    "VaxSIPUserAgent",
];

impl Edge {
    /// Is it of a scanner? Nobody is whose word we take.
    pub(crate) fn is_of_scanner(&self, request: &Message, arrival: &Arrival) -> bool {
        let Some(agent) = request.first(HeaderId::UserAgent) else { return false };
        self.config.scanners.iter().any(|name| begins(agent, name.as_bytes())) && !self.is_trusted(arrival)
    }

    /// Nobody is answered, and nothing is remembered.
    pub(crate) fn ignore(&mut self, cx: &mut Cx<'_>, key: ServerKey, kind: &str) {
        self.meters.dropped.with_label_values(&[kind]).inc();
        self.servers.remove(&key);
        cx.forget(key);
    }
}

fn begins(agent: &[u8], name: &[u8]) -> bool {
    !name.is_empty() && agent.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_beginning_in_any_case_and_no_name_is_nobodys() {
        for (agent, name, expected) in [
            ("sipcli/v1.8", "sipcli", true),
            ("SIPCLI", "sipcli", true),
            ("sipcl", "sipcli", false),
            ("my sipcli", "sipcli", false),
            ("Linphone", "", false),
        ] {
            assert_eq!(begins(agent.as_bytes(), name.as_bytes()), expected, "{agent}");
        }
    }
}
