//! RequestCallback, GetCallback, ListCallbacks, CancelCallback.

use std::ops::RangeInclusive;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cluster_api::callcontrol::v1 as wire;
use cluster_rpc::Reason;
use sha2::{Digest as _, Sha256};
use tonic::Status;

use super::{CallControlApi, dial, trunk};
use crate::callback::machine::record::Awaited;
use crate::callback::machine::{Event, NewCallback, begin};
use crate::callback::{CallbackError, call_of};
use crate::config::{millis, millis_of};
use crate::engine::claim::takers::address_of_record;
use crate::refusal;
use crate::repository::{CallbackSummary, Position, RequestUse};
use crate::violations::Violations;
use crate::wire::public;

/// How long to try.
const LASTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
const USUALLY_LASTS: Duration = Duration::from_secs(3600);
/// How far ahead it may begin.
const AHEAD_MS: u64 = 30 * 24 * 3_600_000;
const MOST_ATTEMPTS: u32 = 10;
const USUAL_ATTEMPTS: u32 = 3;

impl CallControlApi {
    pub(super) async fn request_callback(
        &self,
        request: wire::RequestCallbackRequest,
    ) -> Result<wire::Callback, Status> {
        if self.drain.is_draining() {
            let text = "this replica is about to stop; ask another one";
            return Err(refusal::refuse(Reason::Draining, text));
        }
        let fingerprint = dial::plain_fingerprint("RequestCallback", &request);
        let request_id = request.request_id.clone();
        let now_ms = millis_of(self.runner.repository.now());
        let mut new = new_callback(request, now_ms)?;
        new.callback_id = self.runner.repository.new_callback_id(&new.from.uri, self.entropy.as_ref());
        self.entropy.fill(&mut new.seed);
        let callback = begin(new, now_ms);
        // A trunk may have gone since this very request was made. API 1
        let was_made = self.runner.repository.was_made_by(&request_id).await;
        if !was_made.map_err(|error| refusal::of_store(&error))? {
            trunk::check(self.location.as_ref(), &call_of(&callback, self.runner.config())).await?;
        }
        let request = (!request_id.is_empty()).then(|| RequestUse {
            request_id,
            fingerprint: fingerprint.clone(),
            call_id: callback.callback_id.clone(),
        });
        match self.runner.make_callback(callback, request).await {
            Ok(made) => Ok(public::callback(&made)),
            Err(error) => Err(refusal::of_callback(&error)),
        }
    }

    pub(super) async fn get_callback(
        &self,
        request: wire::GetCallbackRequest,
    ) -> Result<wire::Callback, Status> {
        check_id("", &request.callback_id)?;
        let found = self.runner.repository.load_callback(&request.callback_id).await;
        let found = found.map_err(|error| refusal::of_store(&error))?;
        found
            .map(|loaded| public::callback(&loaded.callback))
            .ok_or_else(|| refusal::of_callback(&CallbackError::Unknown))
    }

    pub(super) async fn cancel_callback(
        &self,
        request: wire::CancelCallbackRequest,
    ) -> Result<wire::Callback, Status> {
        check_id(&request.request_id, &request.callback_id)?;
        let id = request.callback_id.as_str();
        let used = RequestUse {
            request_id: request.request_id.clone(),
            fingerprint: dial::plain_fingerprint("CancelCallback", &request),
            call_id: id.to_owned(),
        };
        let request = (!used.request_id.is_empty()).then_some(&used);
        match self.runner.apply_callback(id, &Event::Cancel, request).await {
            Ok((loaded, _)) => Ok(public::callback(&loaded.callback)),
            Err(CallbackError::RequestUsed(before)) if before.fingerprint == used.fingerprint => {
                self.get_callback(wire::GetCallbackRequest { callback_id: id.to_owned() }).await
            }
            Err(error) => Err(refusal::of_callback(&error)),
        }
    }

    pub(super) async fn list_callbacks(
        &self,
        request: wire::ListCallbacksRequest,
    ) -> Result<wire::ListCallbacksResponse, Status> {
        let filter = request.filter.unwrap_or_default();
        let mut violations = Violations::default();
        let is_known = |state: &i32| *state != 0 && wire::callback::State::try_from(*state).is_ok();
        if !filter.states.iter().all(is_known) {
            violations.add(Reason::BadField, "filter.states", "states that this version knows");
        }
        if !filter.party.is_empty() {
            violations.uri("filter.party", &filter.party);
        }
        let size = violations.page(request.page_size);
        let party = (!filter.party.is_empty()).then(|| address_of_record(&filter.party));
        let asked = digest(&filter.states, party.as_deref());
        let after = read_token(&request.page_token, &asked);
        if after.is_none() && !request.page_token.is_empty() {
            let expected = "next_page_token of the page before, with the same filter";
            violations.add(Reason::BadPageToken, "page_token", expected);
        }
        violations.check()?;
        let matches = |listed: &CallbackSummary| {
            (filter.states.is_empty() || filter.states.contains(&listed.state))
                && party.as_ref().is_none_or(|party| *party == listed.from || *party == listed.to)
        };
        let page = self.runner.repository.list_callbacks(matches, after, size).await;
        let page = page.map_err(|error| refusal::of_store(&error))?;
        let token = |next: &Position| URL_SAFE_NO_PAD.encode(format!("{asked}:{}", next.as_str()));
        Ok(wire::ListCallbacksResponse {
            next_page_token: page.next.as_ref().map(token).unwrap_or_default(),
            callbacks: page.callbacks.iter().map(public::callback).collect(),
        })
    }
}

/// What a valid request asks for; id and entropy come from elsewhere.
fn new_callback(request: wire::RequestCallbackRequest, now_ms: u64) -> Result<NewCallback, Status> {
    let mut violations = Violations::default();
    violations.line("request_id", &request.request_id, 64);
    let from = dial::party(&mut violations, "from", request.from);
    let to = dial::party(&mut violations, "to", request.to);
    if !from.uri.is_empty() && address_of_record(&from.uri) == address_of_record(&to.uri) {
        violations.add(Reason::BadField, "to.uri", "another party than from");
    }
    let not_before_ms = match request.not_before {
        None => 0,
        Some(time) => match cluster_api::convert::system_time("not_before", time) {
            Ok(time) if millis_of(time) <= now_ms + AHEAD_MS => millis_of(time),
            Ok(_) | Err(_) => {
                violations.add(Reason::BadField, "not_before", "a time within the next 30 days");
                0
            }
        },
    };
    let lasts = violations.duration("expires", request.expires, LASTS);
    if request.attempts > MOST_ATTEMPTS {
        violations.add(Reason::BadField, "attempts", format!("at most {MOST_ATTEMPTS}"));
    }
    violations.check()?;
    Ok(NewCallback {
        callback_id: String::new(),
        from,
        to,
        not_before_ms,
        lasts_ms: millis(lasts.unwrap_or(USUALLY_LASTS)),
        attempts: if request.attempts == 0 { USUAL_ATTEMPTS } else { request.attempts },
        waits_for: Awaited::To,
        seed: vec![0; 32],
    })
}

fn check_id(request_id: &str, callback_id: &str) -> Result<(), Status> {
    let mut violations = Violations::default();
    violations.line("request_id", request_id, 64);
    if callback_id.is_empty() {
        violations.add(Reason::BadField, "callback_id", "the id of a callback");
    }
    violations.line("callback_id", callback_id, 64);
    violations.check()
}

/// Short and the same for filters that ask for the same.
fn digest(states: &[i32], party: Option<&str>) -> String {
    let mut states = states.to_vec();
    states.sort_unstable();
    states.dedup();
    let asked = format!("callbacks {:?}", (states, party));
    Sha256::digest(asked).iter().take(8).map(|octet| format!("{octet:02x}")).collect()
}

/// A token belongs to its filter: with another one the pages would not be of one list.
fn read_token(token: &str, asked: &str) -> Option<Position> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let text = text.strip_prefix(asked)?.strip_prefix(':')?;
    let is_position = text.len() <= 200 && text.contains('/') && !text.chars().any(char::is_control);
    is_position.then(|| Position::from_text(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> wire::RequestCallbackRequest {
        let party = |uri: &str| Some(wire::Party { uri: uri.into(), ..wire::Party::default() });
        wire::RequestCallbackRequest {
            from: party("sip:alice@example.com"),
            to: party("tel:+15551234"),
            ..wire::RequestCallbackRequest::default()
        }
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let new = new_callback(request(), 1).expect("valid");
        assert_eq!((new.attempts, new.lasts_ms, new.not_before_ms), (3, 3_600_000, 0));
        assert_eq!(public::callback(&begin(new, 1)).not_before, None);
    }

    #[test]
    fn every_field_is_checked() {
        type Spoil = fn(&mut wire::RequestCallbackRequest);
        let bad: [(&str, Spoil); 8] = [
            ("request_id", |r| r.request_id = "x".repeat(65)),
            ("from", |r| r.from = None),
            ("to.uri", |r| r.to.as_mut().expect("to").uri = "sip:b\r\n@c".into()),
            ("to.uri", |r| r.to.as_mut().expect("to").uri = "sips:alice@example.com:5061".into()),
            ("not_before", |r| {
                r.not_before = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
            }),
            ("not_before", |r| {
                r.not_before = Some(prost_types::Timestamp { seconds: 31 * 86_400, nanos: 0 });
            }),
            ("expires", |r| r.expires = Some(prost_types::Duration { seconds: 90_000, nanos: 0 })),
            ("attempts", |r| r.attempts = 11),
        ];
        for (field, spoil) in bad {
            let mut spoiled = request();
            spoil(&mut spoiled);
            let status = new_callback(spoiled, 1).expect_err(field);
            assert!(status.message().starts_with(field), "{field}: {}", status.message());
        }
    }

    #[test]
    fn a_page_token_belongs_to_its_filter() {
        let asked = digest(&[1, 2, 2], Some("sip:a@b"));
        assert_eq!(asked, digest(&[2, 1], Some("sip:a@b")));
        let token = URL_SAFE_NO_PAD.encode(format!("{asked}:00ff/id"));
        assert_eq!(read_token(&token, &asked), Some(Position::from_text("00ff/id")));
        assert_eq!(read_token(&token, &digest(&[1], None)), None);
        assert_eq!(read_token("?", &asked), None);
    }
}
