//! `carillon calls`, `call show`, `hangup`.

use std::time::Duration;

use cluster_api::callcontrol::v1::call_control_client::CallControlClient;
use cluster_api::callcontrol::v1::{
    Call, CallFilter, GetCallRequest, HangupRequest, ListCallsRequest, WatchCallsRequest, call,
};
use comfy_table::{Table, presets};

use super::call_view::{call_json, leg_state, outcome_cell, outcome_text, state, time};
use super::connect::{Connection, connect};
use super::pages::all_pages;
use super::refusal::Refusal;
use crate::cli::{CallIdArgs, CallsArgs, HangupArgs};
use crate::out::{OutputError, complain, say, shown};

/// How long a hangup waits for phones to answer: most do so at once, and one that is gone is given up after 32 s (64*T1).
const PATIENCE: Duration = Duration::from_secs(5);

/// Lists calls.
///
/// # Errors
/// A refused rpc.
pub async fn list(args: CallsArgs) -> anyhow::Result<()> {
    let mut client = CallControlClient::new(connect(&args.api).await?);
    let page = async |page_token| {
        let request = ListCallsRequest { filter: Some(args.filter.clone()), page_size: 0, page_token };
        let page = client.list_calls(request).await?.into_inner();
        Ok((page.calls, page.next_page_token))
    };
    let calls = all_pages(page).await?;
    if args.api.json {
        return Ok(calls.iter().try_for_each(|c| say!("{}", call_json(c)))?);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["CALL", "STATE", "FROM", "TO", "CREATED", "OUTCOME"]);
    for c in &calls {
        let party = |p: &Option<cluster_api::callcontrol::v1::Party>| {
            p.as_ref().map_or(String::new(), |p| shown(&p.uri))
        };
        table.add_row([
            c.call_id.clone(),
            state(c),
            party(&c.from),
            party(&c.to),
            time(c.create_time.as_ref()),
            outcome_cell(c),
        ]);
    }
    Ok(say!("{table}")?)
}

/// Shows one call.
///
/// # Errors
/// A refused rpc.
pub async fn show(args: CallIdArgs) -> anyhow::Result<()> {
    let mut client = CallControlClient::new(connect(&args.api).await?);
    let call = client.get_call(GetCallRequest { call_id: args.call_id }).await.map_err(Refusal)?.into_inner();
    Ok(print_call(&call, args.api.json)?)
}

/// Ends a call.
///
/// # Errors
/// A refused rpc.
pub async fn hangup(args: HangupArgs) -> anyhow::Result<()> {
    let mut client = CallControlClient::new(connect(&args.api).await?);
    let request = HangupRequest {
        request_id: uuid::Uuid::new_v4().to_string(),
        call_id: args.call_id,
        reason: (!args.reason.is_empty()).then_some(args.reason),
    };
    let call = client.hangup(request).await.map_err(Refusal)?.into_inner();
    // What ends a call between phones is told by the edges when the phones have answered.
    let call = match call.kind() {
        call::Kind::Proxied if call.end_time.is_none() => after_hangup(&mut client, call).await,
        _ => call,
    };
    if call.kind() == call::Kind::Proxied && call.end_time.is_none() {
        complain!(
            "the phones were told to end the call and have not answered yet: see `carillon call show {}`",
            call.call_id
        );
    }
    Ok(print_call(&call, args.api.json)?)
}

/// The call once it has ended, or as it is when that takes longer than anybody waits.
async fn after_hangup(client: &mut CallControlClient<Connection>, mut call: Call) -> Call {
    let request = WatchCallsRequest { call_id: Some(call.call_id.clone()), ..WatchCallsRequest::default() };
    let told = async {
        let Ok(events) = client.watch_calls(request).await else { return };
        let mut events = events.into_inner();
        while let Ok(Some(event)) = events.message().await {
            call = event.call.unwrap_or_else(|| call.clone());
            if call.end_time.is_some() {
                return;
            }
        }
    };
    // Whoever is not told in time looks again; the call was asked to end all the same.
    let _ = tokio::time::timeout(PATIENCE, told).await;
    call
}

fn print_call(call: &Call, json: bool) -> Result<(), OutputError> {
    if json {
        return say!("{}", call_json(call));
    }
    say!("{}  {}  {}", call.call_id, state(call), outcome_text(call))?;
    say!("  created {}", time(call.create_time.as_ref()))?;
    if call.answer_time.is_some() {
        say!("  answered {}", time(call.answer_time.as_ref()))?;
    }
    if call.end_time.is_some() {
        say!("  ended {}", time(call.end_time.as_ref()))?;
    }
    for leg in &call.legs {
        let party = leg.party.as_ref().map_or("", |p| p.uri.as_str());
        say!(
            "  leg {} {}  {}  edge {}  Call-ID {}",
            leg.leg_id,
            shown(party),
            leg_state(leg),
            leg.edge_id,
            shown(&leg.sip_call_id)
        )?;
    }
    Ok(())
}

/// Reads "state=ANSWERED party=sip:a@b metadata.order=17".
///
/// # Errors
/// A word that is none of these.
pub fn call_filter(text: &str) -> Result<CallFilter, String> {
    let mut filter = CallFilter::default();
    for word in text.split_whitespace() {
        match word.split_once('=') {
            Some(("state", name)) => {
                let state = call::State::from_str_name(name).ok_or_else(|| {
                    format!("{word}: expected DIALING, RINGING, PROGRESSING, ANSWERED, HELD, ENDING or ENDED")
                })?;
                filter.states.push(state as i32);
            }
            Some(("party", uri)) => filter.party = uri.into(),
            Some((key, value)) if key.starts_with("metadata.") => {
                filter.metadata.insert(key["metadata.".len()..].into(), value.into());
            }
            _ => return Err(format!("{word}: expected state=…, party=… or metadata.KEY=…")),
        }
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_word_by_word_and_a_bad_one_says_what_was_expected() {
        let f = call_filter("state=ANSWERED party=sip:a@b metadata.order=17").unwrap();
        assert_eq!((f.states, f.party.as_str()), (vec![call::State::Answered as i32], "sip:a@b"));
        assert_eq!(f.metadata["order"], "17");
        assert!(call_filter("state=UP").unwrap_err().contains("ANSWERED"));
        assert!(call_filter("colour=red").unwrap_err().contains("party="));
    }
}
