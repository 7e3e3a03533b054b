//! What the operator's own service says of calls that cost money: those that leave by a trunk (T6).
//!
//! **Here:** the question ([`asked`]), its bounds, when nothing is asked because nobody answers ([`circuit`]), and the end of calls that
//! may last so long and no longer ([`overdue`]). The edge asks for room at
//! a trunk before a branch begins there, and the registrar asks in the same step (ADR 19).
//!
//! | what is heard                           | the branch                                   |
//! |-----------------------------------------|----------------------------------------------|
//! | ALLOW                                   | begins, and ends after `max_duration` if any |
//! | DENY                                    | fails as 403, and no other trunk is tried    |
//! | nothing in time, an error, nothing read | what [`Silent`] says                         |
//! | too many questions are open             | the same                                     |
//! | nothing a few times in a row            | the same, without asking, for a while        |

mod asked;
mod circuit;
mod overdue;
mod service;

use std::time::Duration;

use cluster_api::registrar::v1::{AuthorizeRequest, authorize_response::Decision};
use cluster_rpc::{Reason, Refusal, SpendingLink};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use telemetry::{Counters, Gauge, Metrics};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tonic::Status;

use circuit::Circuit;
pub use service::SpendingService;

/// Longest time that the operator's service may be given: less than one attempt of the edge's question (800 ms), which would be taken for a
/// dead replica's and made again at another one.
pub const MOST_PATIENCE: Duration = Duration::from_millis(600);
/// Longest reason that is passed on, in characters.
const LONGEST_REASON: usize = 64;

/// What happens to a call that the operator's service says nothing of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Silent {
    /// It does not go out.
    #[default]
    Deny,
    /// It does.
    Allow,
}

/// Settings of the questions to the operator's service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpendingConfig {
    /// How long an answer is waited for, at most [`MOST_PATIENCE`]: 500 ms, since the caller hears nothing meanwhile.
    pub timeout: Duration,
    /// What happens when none comes: the call does not go out.
    pub silent: Silent,
    /// Questions that are open at once: 256, half a second of five hundred calls a second.
    pub at_once: usize,
}

impl Default for SpendingConfig {
    fn default() -> Self {
        Self { timeout: Duration::from_millis(500), silent: Silent::Deny, at_once: 256 }
    }
}

/// What becomes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// For how long; `None` for as long as it likes.
    Allowed(Option<Duration>),
    /// Why, fit for a reason phrase; may be empty.
    Denied(String),
    /// Nobody said, and so it does not go out.
    Undecided,
}

/// The operator's service, if there is one.
pub(crate) struct Spending {
    config: SpendingConfig,
    link: Option<SpendingLink>,
    room: Semaphore,
    circuit: Mutex<Circuit>,
    outcomes: Counters,
    open: Gauge,
    overdue: Counters,
}

impl Spending {
    pub(crate) fn new(config: SpendingConfig, metrics: &Metrics) -> Self {
        Self {
            config,
            link: None,
            room: Semaphore::new(config.at_once.max(1)),
            circuit: Mutex::default(),
            outcomes: metrics.counters(
                "registrar_spending_total",
                "Calls that the operator's service was to decide about: allowed, denied, no answer in time (silent), an error (failed), \
                 not asked because nobody answered (open) or too many were asked about (full)",
                &["outcome"],
            ),
            open: metrics.gauge(
                "registrar_spending_circuit_open",
                "1 while the operator's service is not asked because it did not answer",
            ),
            overdue: metrics.counters(
                "registrar_spending_limits_total",
                "Calls that may last so long: over when their time was (ended), those that call-control did not hear of (lost), and \
                 questions that it did not answer (unanswered)",
                &["outcome"],
            ),
        }
    }

    pub(crate) fn set_service(&mut self, link: SpendingLink) {
        self.link = Some(link);
    }

    /// Whether there is a service to ask.
    pub(crate) fn is_set(&self) -> bool {
        self.link.is_some()
    }

    /// What the service says of one call; without a service every call may go out.
    async fn decide(&self, question: AuthorizeRequest) -> Verdict {
        let Some(link) = &self.link else { return Verdict::Allowed(None) };
        let Ok(_room) = self.room.try_acquire() else { return self.undecided("full") };
        let Some(question_id) = self.circuit.lock().ask(Instant::now().into_std()) else {
            return self.undecided("open");
        };
        let asked = Asked { spending: self, question_id, is_told: false };
        let answer = timeout(self.config.timeout, link.authorize(question)).await;
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(status)) if !is_absent(&status) => {
                // It is there and says so at once: nothing is delayed by asking the next time.
                asked.heard(true);
                return self.undecided("failed");
            }
            Ok(Err(_)) | Err(_) => {
                asked.heard(false);
                return self.undecided("silent");
            }
        };
        asked.heard(true);
        match answer.decision() {
            Decision::Allow => match answer.max_duration.map(overdue::readable) {
                Some(None) => self.undecided("failed"),
                limit => {
                    self.outcomes.with_label_values(&["allowed"]).inc();
                    Verdict::Allowed(limit.flatten())
                }
            },
            Decision::Deny => {
                self.outcomes.with_label_values(&["denied"]).inc();
                Verdict::Denied(phrase(&answer.reason))
            }
            Decision::Unspecified => self.undecided("failed"),
        }
    }

    /// What became of a call that may last so long.
    fn overdue(&self, outcome: &str) {
        self.overdue.with_label_values(&[outcome]).inc();
    }

    /// What becomes of a call that nobody decides about.
    pub(crate) fn undecided(&self, outcome: &str) -> Verdict {
        self.outcomes.with_label_values(&[outcome]).inc();
        match self.config.silent {
            Silent::Deny => Verdict::Undecided,
            Silent::Allow => Verdict::Allowed(None),
        }
    }
}

/// A question that is open. One that is given up by whoever asked is told as one without an answer, or the circuit would wait for it.
struct Asked<'s> {
    spending: &'s Spending,
    question_id: u64,
    is_told: bool,
}

impl Asked<'_> {
    fn heard(mut self, is_there: bool) {
        self.tell(is_there);
    }

    fn tell(&mut self, is_there: bool) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        let mut circuit = self.spending.circuit.lock();
        let before = circuit.is_closed();
        circuit.heard(self.question_id, is_there, Instant::now().into_std());
        let after = circuit.is_closed();
        drop(circuit);
        self.spending.open.set(i64::from(!after));
        match (before, after) {
            (true, false) => tracing::warn!(
                silent = ?self.spending.config.silent,
                "the spending service does not answer: it is left alone for a while"
            ),
            (false, true) => tracing::info!("the spending service answers again"),
            (true, true) | (false, false) => {}
        }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.tell(false);
    }
}

/// Is the service not there, as opposed to saying no?
fn is_absent(status: &Status) -> bool {
    let refusal = Refusal::read(status);
    refusal.is_some_and(|refusal| {
        matches!(refusal.reason(), Reason::ServiceUnavailable | Reason::DeadlineExceeded)
    })
}

/// What of a text of the operator's can stand in a reason phrase, and in quotes. RFC 3261 25.1
fn phrase(text: &str) -> String {
    let may_stand = |c: &char| c.is_alphanumeric() || " ;/?:@&=+$,-_.!~*'()".contains(*c);
    let kept: String = text.chars().filter(may_stand).take(LONGEST_REASON).collect();
    kept.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T19: no line, no quote and nothing that turns a line around comes out of it.
    #[test]
    fn only_what_may_stand_in_a_reason_phrase_is_passed_on() {
        for (given, kept) in [
            ("Credit Exhausted", "Credit Exhausted"),
            ("", ""),
            (" a\r\nVia: SIP/2.0/UDP h\0 ", "aVia: SIP/2.0/UDP h"),
            ("\"quoted\\\" <sip:a@b>", "quoted sip:a@b"),
            ("Guthaben erschöpft \u{202e}x", "Guthaben erschöpft x"),
        ] {
            assert_eq!(phrase(given), kept);
        }
        assert_eq!(phrase(&"ä".repeat(1_000)).chars().count(), LONGEST_REASON);
    }

    /// Who asks from another process has the answer before it thinks that nobody is there.
    #[test]
    fn a_question_is_answered_within_one_attempt() {
        let one_attempt = cluster_rpc::remote::Config::default().attempt;
        assert!(MOST_PATIENCE + Duration::from_millis(150) < one_attempt, "{MOST_PATIENCE:?}");
        assert!(SpendingConfig::default().timeout <= MOST_PATIENCE);
    }
}
