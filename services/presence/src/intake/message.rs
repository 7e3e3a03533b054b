//! MESSAGE for somebody who is away: 202 once it is kept. RFC 3428 7

use cluster_api::presence::v1::HandleResponse;
use cluster_api::sip::v1::Header;
use sip_message::{Date, HeaderId};

use super::answer::{refuse, refuse_saying};
use super::asking::Asking;
use crate::Presence;
use crate::mail::Message;
use crate::runner::ApplyError;

/// Longest content.
pub const LONGEST_BODY: usize = 64 * 1024;
/// How long a message is kept that does not say, in seconds: 7 days.
pub const USUAL_EXPIRES_S: u32 = 7 * 24 * 3_600;
/// What its sender says of a message to its reader, and what the content cannot be read without. RFC 3428 10 lists what may be there.
const KEPT: [HeaderId; 9] = [
    HeaderId::CallInfo,
    HeaderId::ContentEncoding,
    HeaderId::ContentLanguage,
    HeaderId::InReplyTo,
    HeaderId::MimeVersion,
    HeaderId::Organization,
    HeaderId::Priority,
    HeaderId::ReplyTo,
    HeaderId::Subject,
];
/// Octets of all that: more than anybody writes, and little beside the content.
const MOST_HEADERS: usize = 4_096;

impl Presence {
    pub(super) async fn keep_message(&self, asking: &Asking<'_>) -> Result<HandleResponse, ApplyError> {
        let request = asking.0;
        let Some(aor) = asking.resource() else { return Ok(refuse_saying(404, "Not The Address Of A User")) };
        if !request.to_tag.is_empty() {
            return Ok(refuse(481));
        }
        if let Some(refused) = asking.unknown_extensions() {
            return Ok(refused);
        }
        let body = request.body.clone().unwrap_or_default();
        if body.content.len() > LONGEST_BODY {
            return Ok(refuse_saying(513, "Content Too Large To Be Kept (64 kB)"));
        }
        if !body.content.is_empty() && body.content_type.is_empty() {
            return Ok(refuse_saying(400, "Content Without Content-Type"));
        }
        let headers = kept_headers(asking);
        let octets = headers.iter().map(|header| header.name.len() + header.value.len()).sum::<usize>();
        if octets + body.content_disposition.len() > MOST_HEADERS {
            return Ok(refuse_saying(513, "Headers Too Large To Be Kept (4 kB)"));
        }
        let repository = &self.runner.repository;
        let now_ms = repository.now_ms();
        let date = asking.all(HeaderId::Date).next().unwrap_or_default();
        let sent = Date::parse(date.as_bytes()).ok();
        let Some(expire_ms) = end_ms(request.expires, sent, now_ms) else {
            // What has expired is not kept; its user is not there.
            return Ok(refuse_saying(480, "Message Has Expired, Its User Is Away"));
        };
        let cseq = request.cseq.to_string();
        let parts = ["message", &aor, &request.sip_call_id, &request.from_tag, &cseq];
        let new = Message {
            id: repository.id_of(&aor, &parts),
            from: request.from_uri.clone(),
            from_display: request.from_display.clone(),
            content_type: body.content_type,
            body: body.content,
            create_ms: now_ms,
            expire_ms,
            date: sent.map_or(String::new(), |_| date.to_owned()),
            headers,
            disposition: body.content_disposition,
            expires_s: request.expires,
            ..Message::default()
        };
        let kept = self.runner.change_mail(&aor, |mail, _| mail.add(new.clone()), |_, _| {}).await?;
        if kept.is_err() {
            self.runner.counts.limits.with_label_values(&["messages"]).inc();
            let headers = vec![Header::new("Retry-After", "3600")];
            return Ok(HandleResponse {
                headers,
                ..refuse_saying(480, "Too Many Messages Wait For This User")
            });
        }
        // Its user may have come while it was on its way here.
        self.runner.deliver(&aor, false);
        Ok(refuse(202))
    }
}

fn kept_headers(asking: &Asking<'_>) -> Vec<Header> {
    let kept = asking.0.headers.iter().filter_map(|header| {
        let id = HeaderId::from_name(header.name.as_bytes());
        KEPT.contains(&id).then(|| Header::new(id.as_str(), &header.value))
    });
    kept.collect()
}

/// When a message is given up: Expires counts from Date (RFC 3428 4), and nobody has sent it later than it came. `None`: it is over.
fn end_ms(expires_s: Option<u32>, sent: Option<Date>, now_ms: u64) -> Option<u64> {
    let longest = now_ms + u64::from(USUAL_EXPIRES_S) * 1_000;
    let Some(expires_s) = expires_s else { return Some(longest) };
    let sent_ms = sent.map(|sent| u64::try_from(sent.unix_seconds).unwrap_or(0).saturating_mul(1_000));
    let end = sent_ms.unwrap_or(now_ms).min(now_ms) + u64::from(expires_s) * 1_000;
    Some(end.min(longest)).filter(|end| *end > now_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: i64 = 1_700_000_000;

    fn left_s(expires_s: Option<u32>, sent: Option<i64>) -> Option<u64> {
        let now_ms = NOW_S.unsigned_abs() * 1_000;
        let sent = sent.map(|at| Date { unix_seconds: NOW_S + at });
        end_ms(expires_s, sent, now_ms).map(|end| (end - now_ms) / 1_000)
    }

    /// IMI-02: Expires counts from Date.
    #[test]
    fn a_message_expires_by_its_date() {
        assert_eq!(left_s(None, Some(-100_000_000)), Some(USUAL_EXPIRES_S.into()));
        assert_eq!(left_s(Some(600), None), Some(600));
        assert_eq!(left_s(Some(600), Some(-500)), Some(100));
        assert_eq!(left_s(Some(600), Some(500)), Some(600), "nobody has sent it later than it came");
        assert_eq!(left_s(Some(u32::MAX), Some(0)), Some(USUAL_EXPIRES_S.into()));
        for over in [(Some(0), None), (Some(600), Some(-600)), (Some(600), Some(-NOW_S - 1))] {
            assert_eq!(left_s(over.0, over.1), None, "{over:?}");
        }
    }
}
