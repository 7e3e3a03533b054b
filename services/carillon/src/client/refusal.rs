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
    // What the message says already is not said again: of one field that is wrong it says everything.
    if let Some(bad) = details.bad_request() {
        let lines = bad.field_violations.iter().map(|bad| format!("{}: {}", bad.field, bad.description));
        for line in lines.filter(|line| *line != status.message()) {
            text += &format!("\n  {line}");
        }
    }
    if let Some(info) = details.error_info() {
        text += &format!(" ({})", info.reason);
    }
    if status.code() == Code::Unauthenticated {
        text += "\n  give a token with --token or CARILLON_TOKEN: one of those in the file that the server was given (--api-token-file)";
    }
    // The library's words for an answer that is no gRPC, and for none.
    if text.starts_with("h2 protocol error") && is_broken_off(status) {
        text =
            "the server is gone: the connection ended in the middle of an answer; see whether it still runs"
                .to_owned();
    } else if text.starts_with("h2 protocol error") {
        text = "what answers there does not speak gRPC; --api wants the address that `carillon serve` prints as api="
            .to_owned();
    } else if text == "transport error" {
        text = "the connection ended before an answer came: does the server still run, and is --api the address that it prints as api=?"
            .to_owned();
    }
    text
}

/// Whether an answer had begun, or the connection stood, and then the other side was no more. Who speaks no gRPC says something else first.
fn is_broken_off(status: &Status) -> bool {
    let mut texts = vec![status.message().to_owned()];
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        texts.push(error.to_string());
        source = error.source();
    }
    let ends = ["error reading a body", "broken pipe", "reset by peer", "connection closed"];
    texts.iter().any(|text| ends.iter().any(|end| text.contains(end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    #[test]
    fn one_wrong_field_is_told_once_and_several_each_in_a_line() {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("aor", "expected an address of record");
        let status = |text: &str, details: ErrorDetails| {
            Refusal(Status::with_error_details(Code::InvalidArgument, text, details)).to_string()
        };
        assert_eq!(
            status("aor: expected an address of record", details.clone()),
            "aor: expected an address of record"
        );
        details.add_bad_request_violation("password", "expected a password");
        assert_eq!(
            status("two fields", details),
            "two fields\n  aor: expected an address of record\n  password: expected a password"
        );
    }

    #[test]
    fn what_is_no_api_and_a_token_that_is_not_known_say_what_to_do() {
        let stranger = Refusal(Status::internal("h2 protocol error: http2 error")).to_string();
        assert!(stranger.contains("does not speak gRPC") && !stranger.contains("h2"), "{stranger}");
        let killed = "h2 protocol error: error reading a body from connection";
        let killed = Refusal(Status::unknown(killed)).to_string();
        assert!(killed.contains("the server is gone") && !killed.contains("speak"), "{killed}");
        let gone = Refusal(Status::unavailable("transport error")).to_string();
        assert!(gone.contains("the connection ended before an answer came"), "{gone}");
        let unknown = Refusal(Status::unauthenticated("who are you")).to_string();
        assert!(
            unknown.contains("--token or CARILLON_TOKEN") && unknown.contains("--api-token-file"),
            "{unknown}"
        );
    }

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
