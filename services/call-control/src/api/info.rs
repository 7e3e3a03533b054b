//! SendInfo and SendDtmf: committed like any wish, and answered with what the phone answered.

use std::ops::RangeInclusive;
use std::time::Duration;

use cluster_api::callcontrol::v1 as wire;
use cluster_rpc::{Reason, Refusal};
use tokio::time::{Instant, sleep};
use tonic::Status;

use super::{CallControlApi, dial};
use crate::engine::call::Answer;
use crate::engine::effect::Body;
use crate::engine::event::Command;
use crate::refusal;
use crate::repository::Known;
use crate::runner::ApplyError;
use crate::violations::Violations;

/// Longest body of an INFO.
const MAX_BODY: usize = 64 * 1024;
/// Digits of one request at most.
const MAX_DIGITS: usize = 64;
/// How long a digit may be.
const DIGIT: RangeInclusive<Duration> = Duration::from_millis(40)..=Duration::from_secs(5);
/// How long it is when nobody says.
const DIGIT_DEFAULT: Duration = Duration::from_millis(160);
/// Pauses between looks at the record for the answer: any replica may have got it.
const PAUSES: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_millis(500);
/// 64*T1 and the time in which another replica takes a dead one's work over, for each INFO.
const PATIENCE: Duration = Duration::from_secs(40);

impl CallControlApi {
    pub(super) async fn send_info(
        &self,
        request: wire::SendInfoRequest,
    ) -> Result<wire::SendInfoResponse, Status> {
        let fingerprint = dial::plain_fingerprint("SendInfo", &request);
        let mut violations = Violations::default();
        violations.line("leg_id", &request.leg_id, 64);
        violations.line("content_type", &request.content_type, 256);
        violations.line("info_package", &request.info_package, 64);
        let is_token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
        if !request.info_package.chars().all(is_token) {
            violations.add(Reason::BadField, "info_package", "a token");
        }
        let has_type = sip_body::media_type::MediaType::parse(request.content_type.as_bytes()).is_some();
        if !(has_type || request.content_type.is_empty() && request.body.is_empty()) {
            violations.add(Reason::BadField, "content_type", "type/subtype");
        }
        if request.body.len() > MAX_BODY {
            violations.add(Reason::BadField, "body", "at most 64 kB");
        }
        violations.check()?;
        let body = has_type.then(|| Body {
            content_type: request.content_type,
            content_disposition: String::new(),
            content: request.body.into(),
        });
        let ticket = self.ticket(&request.request_id);
        let (leg_id, package) = (request.leg_id, request.info_package);
        let command = Command::SendInfo { leg_id, body, package, ticket: ticket.clone() };
        self.command(&request.request_id, &request.call_id, fingerprint, command).await?;
        let answer = self.answer(&request.call_id, &ticket, 1).await?;
        Ok(wire::SendInfoResponse { sip_status: answer.sip_status, sip_reason: answer.sip_reason })
    }

    pub(super) async fn send_dtmf(
        &self,
        request: wire::SendDtmfRequest,
    ) -> Result<wire::SendDtmfResponse, Status> {
        let fingerprint = dial::plain_fingerprint("SendDtmf", &request);
        let mut violations = Violations::default();
        violations.line("leg_id", &request.leg_id, 64);
        let is_key = |c: char| c.is_ascii_digit() || matches!(c, 'A'..='D' | '*' | '#');
        let count = request.digits.len();
        if !(1..=MAX_DIGITS).contains(&count) || !request.digits.chars().all(is_key) {
            violations.add(Reason::BadField, "digits", "1 to 64 of 0-9, A-D, * and #");
        }
        let duration = violations.duration("duration", request.duration, DIGIT).unwrap_or(DIGIT_DEFAULT);
        violations.check()?;
        let ticket = self.ticket(&request.request_id);
        let command = Command::SendKeys {
            leg_id: request.leg_id,
            digits: request.digits,
            duration_ms: duration.as_millis().try_into().unwrap_or(u64::MAX),
            ticket: ticket.clone(),
        };
        self.command(&request.request_id, &request.call_id, fingerprint, command).await?;
        let answer = self.answer(&request.call_id, &ticket, count as u32).await?;
        Ok(wire::SendDtmfResponse { sip_status: answer.sip_status, sip_reason: answer.sip_reason })
    }

    /// By what the answer to this request is found: the same for its repetitions.
    fn ticket(&self, request_id: &str) -> String {
        match request_id {
            "" => {
                let mut random = [0; 8];
                self.entropy.fill(&mut random);
                format!("x/{:016x}", u64::from_be_bytes(random))
            }
            request_id => format!("r/{request_id}"),
        }
    }

    /// Waits for an answer of the phone.
    async fn answer(&self, call_id: &str, ticket: &str, requests: u32) -> Result<Answer, Status> {
        let give_up = Instant::now() + PATIENCE * requests;
        let mut pause = *PAUSES.start();
        loop {
            let answer = match self.runner.look(call_id).await.map(|loaded| loaded.known) {
                Ok(Known::Live(call)) => {
                    let answer = call.answers.iter().find(|answer| answer.ticket == ticket).cloned();
                    let is_lost = answer.is_none() && !call.waits_for(ticket);
                    answer.or_else(|| is_lost.then(gone))
                }
                Ok(Known::Over(_) | Known::Proxied(_)) | Err(ApplyError::Unknown) => Some(gone()),
                Err(error) => return Err(refusal::of(&error)),
            };
            match answer {
                Some(answer) if (200..300).contains(&answer.sip_status) => return Ok(answer),
                Some(answer) => {
                    return Err(
                        Refusal::sip(Reason::SipFailure, answer.sip_status, &answer.sip_reason).into()
                    );
                }
                None if Instant::now() >= give_up => {
                    return Err(Refusal::sip(Reason::SipFailure, 408, "Request Timeout").into());
                }
                None => sleep(pause).await,
            }
            pause = (2 * pause).min(*PAUSES.end());
        }
    }
}

/// The dialog ended first, or it is too long ago.
fn gone() -> Answer {
    let (ticket, sip_reason) = (String::new(), "Call/Transaction Does Not Exist".to_owned());
    Answer { ticket, sip_status: 481, sip_reason }
}
