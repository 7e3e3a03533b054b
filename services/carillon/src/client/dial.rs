//! `carillon dial`: one rpc, and its events until the end.

use std::io::IsTerminal;

use anyhow::bail;
use cluster_api::callcontrol::v1::call_control_client::CallControlClient;
use cluster_api::callcontrol::v1::{Call, DialRequest, Flow as ApiFlow, Party, outcome};

use super::call_view::{call_json, outcome_text, state};
use super::connect::connect;
use super::follow::follow;
use super::refusal::Refusal;
use crate::cli::{DialArgs, Flow};
use crate::out::{complain, say, shown};

impl From<Flow> for ApiFlow {
    fn from(flow: Flow) -> Self {
        match flow {
            Flow::Auto => Self::Auto,
            Flow::I => Self::I,
            Flow::Iii => Self::Iii,
            Flow::Iv => Self::Iv,
            Flow::Ringback => Self::Ringback,
        }
    }
}

/// Dials and prints the id of the call; with `--watch` the command lasts as long as the call.
///
/// # Errors
/// A refused rpc, or (with `--watch`) a call that did not complete.
pub async fn dial(args: DialArgs) -> anyhow::Result<()> {
    let mut client = CallControlClient::new(connect(&args.api).await?);
    let party = |uri: String| Some(Party { uri, ..Party::default() });
    let request = DialRequest {
        request_id: args.request_id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
        from: party(args.from),
        to: party(args.to),
        flow: ApiFlow::from(args.flow) as i32,
        ring_timeout: args.ring_timeout.map(to_wire).transpose()?,
        max_duration: args.max_duration.map(to_wire).transpose()?,
        caller_id: args.caller_id,
        ..DialRequest::default()
    };
    let call = client.dial(request).await.map_err(Refusal)?.into_inner();
    if !args.watch {
        if args.api.json {
            return Ok(say!("{}", call_json(&call))?);
        }
        // The id alone, so that `carillon hangup $(carillon dial …)` works.
        say!("{}", call.call_id)?;
        if std::io::stdout().is_terminal() {
            complain!("{}; `carillon call show {}` tells how it goes", state(&call), call.call_id);
        }
        return Ok(());
    }
    if !args.api.json {
        say!("{}", call.call_id)?;
    }
    let ended = follow(&mut client, &call.call_id, args.api.json).await?;
    exit_status(&ended)
}

/// Done for a completed call, failed for any other outcome.
///
/// # Errors
/// The outcome of a call that did not complete.
pub fn exit_status(call: &Call) -> anyhow::Result<()> {
    let completed = call.outcome.as_ref().is_some_and(|o| o.kind == outcome::Kind::Completed as i32);
    if completed {
        return Ok(());
    }
    bail!("the call did not complete: {}{}", outcome_text(call), next_step(call))
}

/// What to look at, where the status alone would leave the reader at a loss.
fn next_step(call: &Call) -> String {
    let Some(outcome) = &call.outcome else { return String::new() };
    let party = match outcome.ended_by.as_str() {
        "a" => call.from.as_ref(),
        "b" => call.to.as_ref(),
        _ => None,
    };
    let uri = party.map_or_else(String::new, |party| shown(&party.uri));
    match outcome.sip_status {
        404 if !uri.is_empty() => "; is there such an account? `carillon account list` tells".to_owned(),
        480 if !uri.is_empty() => format!("; is its phone registered? `carillon bindings {uri}` tells"),
        _ => String::new(),
    }
}

fn to_wire(duration: std::time::Duration) -> anyhow::Result<prost_types::Duration> {
    prost_types::Duration::try_from(duration)
        .map_err(|_| anyhow::anyhow!("a duration of more than 292 years"))
}

#[cfg(test)]
mod tests {
    use cluster_api::callcontrol::v1::Outcome;

    use super::*;

    #[test]
    fn a_call_to_nobody_says_where_to_look() {
        let told = |status: u32, ended_by: &str| {
            let outcome = Outcome { sip_status: status, ended_by: ended_by.into(), ..Outcome::default() };
            let to = Some(Party { uri: "sip:bob@example.lan".into(), ..Party::default() });
            let call = Call { outcome: Some(outcome), to, ..Call::default() };
            exit_status(&call).unwrap_err().to_string()
        };
        assert!(
            told(480, "b").ends_with("`carillon bindings sip:bob@example.lan` tells"),
            "{}",
            told(480, "b")
        );
        assert!(told(404, "b").ends_with("`carillon account list` tells"));
        assert!(!told(486, "b").contains("tells") && !told(480, "api").contains("tells"));
    }
}
