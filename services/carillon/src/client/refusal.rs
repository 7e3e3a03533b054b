//! What a refused rpc says to the person at the terminal.

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// An rpc that was refused, told so that the reader knows what to do.
#[derive(Debug, thiserror::Error)]
#[error("{}", describe(.0))]
pub struct Refusal(pub Status);

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self(status)
    }
}

fn describe(status: &Status) -> String {
    let details = status.get_error_details();
    let mut text = status.message().to_string();
    if text.is_empty() {
        text = status.code().description().to_string();
    }
    if let Some(bad) = details.bad_request() {
        for violation in &bad.field_violations {
            text += &format!("\n  {}: {}", violation.field, violation.description);
        }
    }
    if let Some(info) = details.error_info() {
        text += &format!(" ({})", info.reason);
    }
    if status.code() == Code::Unauthenticated {
        text += "\n  give a token with --token or CARILLON_TOKEN";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    #[test]
    fn a_refusal_names_field_and_reason() {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("from.uri", "expected a sip, sips or tel URI");
        details.set_error_info("BAD_URI", "carillon", std::collections::HashMap::new());
        let status = Status::with_error_details(Code::InvalidArgument, "bad argument", details);
        let text = Refusal(status).to_string();
        assert!(
            text.contains("from.uri: expected a sip, sips or tel URI") && text.contains("BAD_URI"),
            "{text}"
        );
    }
}
