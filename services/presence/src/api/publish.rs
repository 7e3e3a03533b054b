//! `PublishPresence`: what PUBLISH does, for an application.

use cluster_api::convert::{duration, is_one_line, timestamp};
use cluster_api::presence::v1::{Basic, Publication, PublishPresenceRequest};
use cluster_rpc::{Reason, Refusal};
use prost::Message as _;
use sip_body::pidf::{Part, Pidf, Tuple};
use tonic::{Response, Status};

use crate::Presence;
use crate::engine::Package;
use crate::refusal::of_change;
use crate::repository::{digest, time};
use crate::topics::publications::{MOST_IN_WINDOW, Publishing, Unpublished};

/// Longest note.
const LONGEST_NOTE: usize = 1_024;

impl Presence {
    pub(super) async fn publish_state(
        &self,
        request: PublishPresenceRequest,
    ) -> Result<Response<Publication>, Status> {
        let aor = self.account("aor", &request.aor).await?;
        let expires_s = self.expires(&request)?;
        let document = document(&request, &aor)?;
        let store = &**self.runner.repository.store();
        self.requests.claim(store, "PublishPresence", &request.request_id, &request).await?;
        // The tag names the request, so that a repeated one finds what it made. Without an id every request is another.
        let unique = match request.request_id.as_str() {
            "" => self.entropy.token(16),
            id => id.to_owned(),
        };
        let content = format!("{:?}", request.encode_to_vec());
        let asked = Publishing {
            if_match: (!request.etag.is_empty()).then(|| request.etag.clone()),
            document: document.map(Into::into),
            expires_s,
            etag: digest(&["publication by an application", &aor, &unique, &content]),
        };
        match self.runner.publish(&aor, &asked).await.map_err(of_change)? {
            Ok(published) => {
                let expire_time = published.expire_ms.map(|ms| timestamp(time(ms)));
                Ok(Response::new(Publication { etag: published.etag, expire_time }))
            }
            Err(Unpublished::NoMatch) => {
                Err(Refusal::new(Reason::EtagMismatch, "there is no publication of this etag any more")
                    .into())
            }
            Err(Unpublished::NoDocument) => {
                let expected = "BASIC_OPEN, BASIC_CLOSED, or a pidf, for a new publication";
                Err(Refusal::field(Reason::BadField, "basic", expected).into())
            }
            Err(Unpublished::TooOften) => {
                let text = format!(
                    "{MOST_IN_WINDOW} publications of {aor} within some seconds are all that is taken"
                );
                Err(Refusal::new(Reason::Overloaded, text).into())
            }
            Err(Unpublished::Full) => {
                let text =
                    "the address of record has its most publications; remove one, or wait until one lapses";
                Err(Refusal::new(Reason::Overloaded, text).into())
            }
        }
    }

    fn expires(&self, request: &PublishPresenceRequest) -> Result<u32, Status> {
        let config = &self.runner.config;
        let Some(asked) = request.expires else { return Ok(Package::Presence.default_expires_s()) };
        let asked = duration("expires", asked).map_err(Refusal::from)?;
        if asked.is_zero() && !request.etag.is_empty() {
            return Ok(0);
        }
        if asked < config.min_expires {
            let expected =
                format!("at least {:?}, or 0 with an etag to remove a publication", config.min_expires);
            return Err(Refusal::field(Reason::ExpiresTooShort, "expires", expected).into());
        }
        Ok(u32::try_from(asked.min(config.max_expires).as_secs()).unwrap_or(u32::MAX))
    }
}

/// What the request says; `None` when it only refreshes or removes.
fn document(request: &PublishPresenceRequest, aor: &str) -> Result<Option<String>, Status> {
    if !request.pidf.is_empty() {
        return Pidf::normalized(&request.pidf).map(Some).map_err(|error| {
            Refusal::field(Reason::BadField, "pidf", format!("a presence document: {error}")).into()
        });
    }
    let note = &request.note;
    if note.len() > LONGEST_NOTE || !is_one_line(note) {
        return Err(Refusal::field(Reason::BadField, "note", "at most 1,024 octets in one line").into());
    }
    let is_open = match request.basic() {
        Basic::Open => true,
        Basic::Closed => false,
        Basic::Unspecified => return Ok(None),
    };
    let tuple = Tuple { id: "app".to_owned(), is_open: Some(is_open), ..Tuple::default() };
    let mut parts = vec![Part::Tuple(tuple.made())];
    if !note.is_empty() {
        parts.push(Part::note(note));
    }
    Ok(Some(Pidf { entity: aor.to_owned(), parts }.to_xml()))
}
