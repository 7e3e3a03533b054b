//! MESSAGE for somebody who is away: 202 once it is kept. RFC 3428 7

use cluster_api::presence::v1::HandleResponse;
use sip_message::HeaderId;

use super::answer::{refuse, refuse_with};
use super::asking::Asking;
use crate::Presence;
use crate::mail::Message;
use crate::runner::ApplyError;

/// Longest content.
pub const LONGEST_BODY: usize = 64 * 1024;
/// How long a message is kept that does not say, in seconds: 7 days.
pub const USUAL_EXPIRES_S: u32 = 7 * 24 * 3_600;

impl Presence {
    pub(super) async fn keep_message(&self, asking: &Asking<'_>) -> Result<HandleResponse, ApplyError> {
        let request = asking.0;
        let Some(aor) = asking.resource() else { return Ok(refuse(404)) };
        if !request.to_tag.is_empty() {
            return Ok(refuse(481));
        }
        if let Some(refused) = asking.unknown_extensions() {
            return Ok(refused);
        }
        let body = request.body.clone().unwrap_or_default();
        if body.content.len() > LONGEST_BODY {
            return Ok(refuse(513));
        }
        if !body.content.is_empty() && body.content_type.is_empty() {
            return Ok(refuse(400));
        }
        let expires_s = request.expires.unwrap_or(USUAL_EXPIRES_S).min(USUAL_EXPIRES_S);
        if expires_s == 0 {
            // RFC 3428 7: what has expired is not kept; its user is not there
            return Ok(refuse(480));
        }
        let cseq = request.cseq.to_string();
        let parts = ["message", &aor, &request.sip_call_id, &request.from_tag, &cseq];
        let repository = &self.runner.repository;
        let now_ms = repository.now_ms();
        let new = Message {
            id: repository.id_of(&aor, &parts),
            from: request.from_uri.clone(),
            from_display: request.from_display.clone(),
            content_type: body.content_type,
            body: body.content,
            create_ms: now_ms,
            expire_ms: now_ms + u64::from(expires_s) * 1_000,
            date: asking.all(HeaderId::Date).next().unwrap_or_default().to_owned(),
            ..Message::default()
        };
        let kept = self.runner.change_mail(&aor, |mail, _| mail.add(new.clone()), |_, _| {}).await?;
        if kept.is_err() {
            self.runner.counts.limits.with_label_values(&["messages"]).inc();
            return Ok(refuse_with(480, "Retry-After", "3600"));
        }
        // Its user may have come while it was on its way here.
        self.runner.deliver(&aor, false);
        Ok(refuse(202))
    }
}
