//! Refusals as the API shows them: a gRPC code, `google.rpc.ErrorInfo` of domain `carillon`, and field violations.
//!
//! Services turn their errors into a [`Refusal`]; nothing else makes a `Status`.

use std::{collections::HashMap, fmt, time::Duration};

use cluster_api::convert::{Fault, FaultKind};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::reason::Reason;

/// The `domain` of every `google.rpc.ErrorInfo`.
pub const ERROR_DOMAIN: &str = "carillon";

/// A refused request: why, in words, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    reason: Reason,
    message: String,
    violations: Vec<(String, String)>,
    facts: HashMap<String, String>,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal for `reason`, explained by `message`: what was found, what was expected, what can be done.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            violations: Vec::new(),
            facts: HashMap::new(),
            retry_after: None,
        }
    }

    /// A refusal because of one field of the request, named as in the proto file (`from.uri`, `headers[2].name`).
    pub fn field(reason: Reason, field: impl Into<String>, expected: impl Into<String>) -> Self {
        let (field, expected) = (field.into(), expected.into());
        Self::new(reason, format!("{field}: {expected}")).violation(field, expected)
    }

    /// An rpc that the API has and this version does not carry out.
    pub fn not_implemented(rpc: &str) -> Self {
        Self::new(
            Reason::NotImplemented,
            format!("{rpc} is part of the API, but this version does not carry it out; nothing was done"),
        )
    }

    /// A SIP request that failed.
    pub fn sip(reason: Reason, sip_status: u32, sip_reason: &str) -> Self {
        Self::new(reason, format!("the SIP request was answered {sip_status} {sip_reason}").trim_end())
            .fact("sip_status", sip_status.to_string())
            .fact("sip_reason", sip_reason)
    }

    /// Adds a further field that is wrong.
    pub fn violation(mut self, field: impl Into<String>, expected: impl Into<String>) -> Self {
        self.violations.push((field.into(), expected.into()));
        self
    }

    /// Adds an entry to the metadata of `ErrorInfo`.
    pub fn fact(mut self, name: &str, value: impl Into<String>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    /// A fact that belongs to it.
    pub fn fact_named(&self, name: &str) -> Option<&str> {
        self.facts.get(name).map(String::as_str)
    }

    /// Says when it is worth to ask again.
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Why.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// In words.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Reads the refusal back from a status; `None` for one that Carillon did not make.
    pub fn read(status: &Status) -> Option<Self> {
        let details = status.get_error_details();
        let error = details.error_info().filter(|error| error.domain == ERROR_DOMAIN)?;
        let violations = details.bad_request().map(|bad| &bad.field_violations[..]).unwrap_or_default();
        Some(Self {
            reason: Reason::from_name(&error.reason)?,
            message: status.message().to_owned(),
            violations: violations.iter().map(|bad| (bad.field.clone(), bad.description.clone())).collect(),
            facts: error.metadata.clone(),
            retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.reason, self.message)
    }
}

impl std::error::Error for Refusal {}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        let reason = match fault.kind {
            FaultKind::Field => Reason::BadField,
            FaultKind::Uri => Reason::BadUri,
            FaultKind::Aor => Reason::BadAor,
            FaultKind::Header => Reason::BadHeader,
        };
        Self::field(reason, fault.field, fault.expected)
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        // What a field of the request names wrongly is wrong in the request, although the same reason may be that of an rpc about it.
        // A field that this version does not carry out is right in itself.
        let is_wrong = !refusal.violations.is_empty() && refusal.reason != Reason::NotImplemented;
        let code = if is_wrong { Code::InvalidArgument } else { refusal.reason.code() };
        let mut details = ErrorDetails::new();
        details.set_error_info(refusal.reason.name(), ERROR_DOMAIN, refusal.facts);
        for (field, expected) in refusal.violations {
            details.add_bad_request_violation(field, expected);
        }
        if refusal.retry_after.is_some() {
            details.set_retry_info(refusal.retry_after);
        }
        Status::with_error_details(code, refusal.message, details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_field_names_wrongly_is_a_wrong_argument() {
        let named = Status::from(Refusal::field(Reason::TrunkNotFound, "to.trunk", "there is no trunk"));
        assert_eq!(named.code(), Code::InvalidArgument);
        assert_eq!(Refusal::read(&named).expect("ours").reason(), Reason::TrunkNotFound);
        assert_eq!(Status::from(Refusal::new(Reason::TrunkNotFound, "gone")).code(), Code::NotFound);
    }

    #[test]
    fn a_refusal_arrives_as_it_was_made() {
        let refusal = Refusal::field(Reason::BadUri, "from.uri", "a sip, sips or tel URI")
            .violation("to.uri", "a sip, sips or tel URI")
            .retry_after(Duration::from_secs(3));
        let status = Status::from(refusal.clone());
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "from.uri: a sip, sips or tel URI");
        assert_eq!(Refusal::read(&status), Some(refusal));
    }

    #[test]
    fn a_sip_outcome_carries_its_status_and_reason() {
        let status = Status::from(Refusal::sip(Reason::CalleeBusy, 486, "Busy Here"));
        let details = status.get_error_details();
        let error = details.error_info().expect("every refusal has one");
        assert_eq!((&*error.domain, &*error.reason), ("carillon", "CALLEE_BUSY"));
        assert_eq!(error.metadata["sip_status"], "486");
        assert_eq!(error.metadata["sip_reason"], "Busy Here");
    }

    #[test]
    fn a_status_of_somebody_else_is_no_refusal() {
        assert_eq!(Refusal::read(&Status::unavailable("connection refused")), None);
    }

    #[test]
    fn every_reason_is_found_by_its_name_and_no_name_means_two() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_name(reason.name()), Some(*reason));
        }
        assert_eq!(Reason::from_name("NO_SUCH_REASON"), None);
    }
}
