//! PUBLISH: the 200 leaves after the commit. RFC 3903 6

use cluster_api::presence::v1::HandleResponse;
use cluster_api::sip::v1::Header;
use sip_body::pidf::{CONTENT_TYPE, Pidf};
use sip_message::{CommaList, HeaderId};

use super::answer::{bad_event, refuse, refuse_saying, refuse_with, too_brief};
use super::asking::Asking;
use crate::Presence;
use crate::engine::Package;
use crate::repository::digest;
use crate::runner::ApplyError;
use crate::topics::publications::{Publishing, Unpublished, WINDOW_MS};

/// Longest entity tag: ours are shorter.
const LONGEST_TAG: usize = 64;

impl Presence {
    pub(super) async fn publish(&self, asking: &Asking<'_>) -> Result<HandleResponse, ApplyError> {
        let request = asking.0;
        // RFC 3903 6 (1) to (5), in this order
        let Some((resource, publisher)) = asking.resource().zip(asking.asker()) else {
            return Ok(refuse_saying(404, "Not The Address Of A User"));
        };
        if asking.event().is_none_or(|event| event.package != Package::Presence.name()) {
            return Ok(bad_event());
        }
        if publisher != resource {
            return Ok(refuse_saying(403, "Not Your Own Presence"));
        }
        if let Some(refused) = asking.unknown_extensions() {
            return Ok(refused);
        }
        let tags: Vec<&[u8]> =
            asking.all(HeaderId::SipIfMatch).flat_map(|value| CommaList::new(value.as_bytes())).collect();
        let if_match = match tags[..] {
            // RFC 3903 11.3.1: it has a tag
            [] if asking.all(HeaderId::SipIfMatch).next().is_some() => {
                return Ok(refuse_saying(400, "SIP-If-Match Without A Tag"));
            }
            [] => None,
            [tag] if tag.len() > LONGEST_TAG => return Ok(refuse(412)),
            [tag] => Some(String::from_utf8_lossy(tag).into_owned()),
            _ => return Ok(refuse_saying(400, "SIP-If-Match With Several Tags")),
        };
        let config = &self.runner.config;
        let most_s = u32::try_from(config.max_expires.as_secs()).unwrap_or(u32::MAX);
        let usual_s = Package::Presence.default_expires_s();
        let least_s = config.min_expires.as_secs();
        let expires_s = request.expires.unwrap_or(usual_s).min(most_s);
        if expires_s > 0 && u64::from(expires_s) < least_s {
            return Ok(too_brief(least_s));
        }
        let document = match &request.body {
            Some(body) if !body.is(CONTENT_TYPE) => return Ok(refuse_with(415, "Accept", CONTENT_TYPE)),
            Some(body) => {
                if let Some(refused) = asking.unread_encoding() {
                    return Ok(refused);
                }
                match Pidf::normalized(&body.content) {
                    Ok(document) => Some(document.into()),
                    Err(error) => return Ok(HandleResponse { reason: bad_document(&error), ..refuse(400) }),
                }
            }
            None => None,
        };
        let cseq = request.cseq.to_string();
        let before = if_match.as_deref().unwrap_or_default();
        let parts = ["publication", &resource, &request.sip_call_id, &request.from_tag, &cseq, before];
        let etag = digest(&parts);
        let asked = Publishing { if_match, document, expires_s, etag };
        Ok(match self.runner.publish(&resource, &asked).await? {
            Ok(published) => {
                // What is left of it, also when the request is repeated.
                let now_ms = self.runner.repository.now_ms();
                let left = published.expire_ms.map_or(0, |end| end.saturating_sub(now_ms).div_ceil(1_000));
                let headers =
                    vec![Header::new("SIP-ETag", published.etag), Header::new("Expires", left.to_string())];
                HandleResponse { headers, ..refuse(200) }
            }
            Err(Unpublished::NoMatch) => refuse(412),
            Err(Unpublished::NoDocument) => refuse_saying(400, "First PUBLISH Without A Document"),
            Err(Unpublished::TooOften) => later("Too Many Publications At Once", WINDOW_MS / 1_000),
            Err(Unpublished::Full) => later("Too Many Or Too Large Publications Of This User", 300),
        })
    }
}

/// There is no room now.
fn later(reason: &str, seconds: u64) -> HandleResponse {
    HandleResponse { reason: reason.to_owned(), ..refuse_with(503, "Retry-After", seconds.to_string()) }
}

/// A reason phrase for what is wrong with a document.
fn bad_document(error: &sip_body::xml::XmlError) -> String {
    let text: String = error.to_string().chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
    format!("Bad Presence Document ({text:.80})")
}
