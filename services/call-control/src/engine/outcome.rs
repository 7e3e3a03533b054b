//! How a call ends: which class a SIP status is, and the Reason header that carries it to the other leg (RFC 3326).

use sip_message::{Reason, standard_reason};

use crate::engine::call::{Outcome, OutcomeKind};
use crate::engine::effect::Header;

/// Who ended the call, when it was no leg: the business application.
pub const BY_API: &str = "api";
/// Who ended the call, when it was no leg: Carillon itself.
pub const BY_CARILLON: &str = "carillon";

/// Why the call is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The class.
    pub kind: OutcomeKind,
    /// SIP status that decided it.
    pub status: u32,
    /// Its reason phrase.
    pub reason: String,
    /// A leg's id, [`BY_API`] or [`BY_CARILLON`].
    pub by: String,
    /// The leg on which it happened: its end is told first. Empty for none.
    pub leg: String,
    /// Value of the Reason header for CANCEL and BYE; empty for none.
    pub header: String,
    /// Refuse an offer in a reliable 18x before its INVITE is cancelled (LAD-4 d).
    pub refuse_early: bool,
    /// What a caller that is refused is told besides.
    pub told: Vec<Header>,
}

impl Cause {
    /// A leg was refused, or could not be reached, with this status.
    pub fn refused(by: &str, status: u32, reason: &str, rang: bool) -> Cause {
        let reason = if reason.is_empty() { phrase(status).to_owned() } else { reason.to_owned() };
        let (header, kind) = (reason_value(status, &reason), kind_of(status, rang));
        let (by, leg) = (by.to_owned(), by.to_owned());
        Cause { kind, status, reason, by, leg, header, refuse_early: false, told: Vec::new() }
    }

    /// A leg was not reached: no response came at all, and Carillon's own timer or transport said so. One that rang was reached:
    /// what is lost is the way to it, with an edge on it or with the phone's own connection.
    pub fn unreached(leg: &str, status: u32, reason: &str, rang: bool) -> Cause {
        let cause = Cause { by: BY_CARILLON.to_owned(), ..Cause::refused(leg, status, reason, rang) };
        let kind = if rang && status == 503 { OutcomeKind::Failed } else { cause.kind };
        Cause { kind, ..cause }
    }

    /// The engine itself gives up, with this status.
    pub fn failed(status: u32, reason: &str) -> Cause {
        let header = reason_value(status, reason);
        Cause {
            kind: OutcomeKind::Failed,
            status,
            reason: reason.to_owned(),
            by: BY_CARILLON.to_owned(),
            leg: String::new(),
            header,
            refuse_early: false,
            told: Vec::new(),
        }
    }

    /// The same, and what this leg said is why.
    pub fn failed_by(leg: &str, status: u32, reason: &str) -> Cause {
        Cause { by: leg.to_owned(), leg: leg.to_owned(), ..Cause::failed(status, reason) }
    }

    /// RING passed on a leg (none: the other leg cannot wait any longer). RFC 3261 and 3326 leave the Reason open; 480 is Carillon's choice.
    pub fn no_answer(leg: &str) -> Cause {
        Cause { kind: OutcomeKind::NoAnswer, leg: leg.to_owned(), ..Cause::failed(480, "No answer") }
    }

    /// The edge that carried a leg is gone, and with it what the leg was waiting for.
    pub fn edge_lost() -> Cause {
        Cause::failed(503, "Edge lost")
    }

    /// Nobody asked this leg's phone: there was no edge that took the INVITE on.
    pub fn no_edge(leg: &str) -> Cause {
        Cause { leg: leg.to_owned(), ..Cause::failed(503, "No edge takes new work") }
    }

    /// The parties were connected for as long as allowed.
    pub fn too_long() -> Cause {
        let header = Reason::print_q850(31, "Maximum duration");
        Cause { kind: OutcomeKind::Completed, header, ..Cause::failed(200, "Maximum duration") }
    }

    /// What the application sees.
    pub fn outcome(&self) -> Outcome {
        Outcome {
            kind: self.kind.into(),
            sip_status: self.status,
            sip_reason: self.reason.clone(),
            ended_by: self.by.clone(),
        }
    }
}

/// The class of a final status, from a leg that has rung or not.
pub fn kind_of(status: u32, rang: bool) -> OutcomeKind {
    match status {
        486 | 600 => OutcomeKind::Busy,
        408 | 480 | 487 if rang => OutcomeKind::NoAnswer,
        404 | 408 | 410 | 430 | 480 | 484 | 485 | 502 | 503 | 504 | 604 => OutcomeKind::Unreachable,
        401 | 403 | 407 | 433 | 603 | 607 | 608 => OutcomeKind::Rejected,
        _ => OutcomeKind::Failed,
    }
}

/// `SIP;cause=486;text="Busy Here"`.
pub fn reason_value(status: u32, text: &str) -> String {
    let text = if text.is_empty() { phrase(status) } else { text };
    Reason::print_sip(u16::try_from(status).unwrap_or(u16::MAX), text)
}

fn phrase(status: u32) -> &'static str {
    u16::try_from(status).map_or("", standard_reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TPC-05
    #[test]
    fn a_refusal_is_carried_to_the_other_leg_in_one_reason_value() {
        let cause = Cause::refused("b", 486, "", true);
        assert_eq!(cause.header, "SIP;cause=486;text=\"Busy Here\"");
        assert_eq!(cause.outcome().sip_reason, "Busy Here");
        assert_eq!(reason_value(488, "a \"b\""), "SIP;cause=488;text=\"a \\\"b\\\"\"");
    }

    /// UAC-14: an unknown code of a class never becomes a success or a class of another kind.
    #[test]
    fn every_final_status_has_a_class() {
        for status in 300..700 {
            assert!(!matches!(
                kind_of(status, false),
                OutcomeKind::Unspecified | OutcomeKind::Completed | OutcomeKind::Cancelled
            ));
        }
    }

    /// UAC-14: each status that has a class of its own, and no other.
    #[test]
    fn the_classes_are_exactly_these() {
        let of = |kind, rang| (300..700).filter(|status| kind_of(*status, rang) == kind).collect::<Vec<_>>();
        for rang in [false, true] {
            assert_eq!(of(OutcomeKind::Busy, rang), [486, 600]);
            assert_eq!(of(OutcomeKind::Rejected, rang), [401, 403, 407, 433, 603, 607, 608]);
        }
        assert_eq!(of(OutcomeKind::NoAnswer, true), [408, 480, 487]);
        assert_eq!(of(OutcomeKind::NoAnswer, false), [0; 0]);
        assert_eq!(of(OutcomeKind::Unreachable, true), [404, 410, 430, 484, 485, 502, 503, 504, 604]);
        let unanswered = [404, 408, 410, 430, 480, 484, 485, 502, 503, 504, 604];
        assert_eq!(of(OutcomeKind::Unreachable, false), unanswered);
    }
}
