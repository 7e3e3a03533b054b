//! NOTIFYs of other domains, as edges hand them over.

use cluster_api::presence::v1::HandleResponse;
use sip_body::pidf::{CONTENT_TYPE, Pidf};
use sip_dialog::{RouteSet, Side};
use sip_message::{HeaderId, SubscriptionState};

use super::{Happened, Notified, NotifyState, Told};
use crate::Presence;
use crate::engine::Package;
use crate::intake::{Asking, bad_event, refuse, refuse_with, user_aor};
use crate::runner::ApplyError;

/// Octets of the presence of one member: a notification of a list has room for some of them (RFC 4662 5).
const MOST_OCTETS: usize = 16 * 1024;

/// The id of what the tag of ours in a dialog belongs to.
fn id_of_tag(tag: &str) -> Option<&str> {
    tag.split_once('.').map(|(id, _)| id)
}

impl Presence {
    /// A NOTIFY: of a member of another domain that somebody seeks, or of nothing.
    pub(crate) async fn take_notify(&self, asking: &Asking<'_>) -> Result<HandleResponse, ApplyError> {
        let Some(id) = id_of_tag(&asking.0.to_tag) else { return Ok(refuse(481)) };
        let notified = match read(asking) {
            Ok(notified) => notified,
            Err(refused) => {
                // What is wrong with it is told to nobody but the notifier (RFC 6665 4.1.3).
                let known = self.runner.sought(id).await?;
                let is_known =
                    known.is_some_and(|known| known.is_dialog(&asking.0.sip_call_id, &asking.0.to_tag));
                return Ok(if is_known { *refused } else { refuse(481) });
            }
        };
        let step = self.runner.apply_sought(id, &Happened::Notified(&notified), false).await;
        match step {
            Ok(step) => {
                let status = step.status.to_string();
                self.runner.counts.members_told.with_label_values(&[&status]).inc();
                let reason = if step.is_of_another { "Presence Of Another Entity" } else { "" };
                Ok(HandleResponse { reason: reason.to_owned(), ..refuse(step.status) })
            }
            Err(ApplyError::Unknown) => Ok(refuse(481)),
            Err(error) => Err(error),
        }
    }
}

/// The address of record that an entity names: a SIP URI, or one of presence (RFC 3859).
fn named(entity: &str) -> Option<String> {
    let address = entity.split_once(':').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("pres"));
    match address {
        Some((_, address)) => user_aor(&format!("sip:{address}")),
        None => user_aor(entity),
    }
}

/// Reads a NOTIFY.
///
/// # Errors
/// The answer to what cannot be read.
fn read(asking: &Asking<'_>) -> Result<Notified, Box<HandleResponse>> {
    let request = asking.0;
    let refused = |status: u32| Box::new(refuse(status));
    if asking.event().is_none_or(|event| event.package != Package::Presence.name()) {
        return Err(Box::new(bad_event()));
    }
    let mut states = asking.all(HeaderId::SubscriptionState);
    let state = states.next().and_then(|value| SubscriptionState::parse(value.as_bytes()).ok());
    let Some(state) = state.filter(|_| states.next().is_none() && !request.from_tag.is_empty()) else {
        return Err(refused(400));
    };
    let document = match request.body.as_ref().filter(|body| !body.content.is_empty()) {
        None => None,
        Some(body) if !body.is(CONTENT_TYPE) => {
            return Err(Box::new(refuse_with(415, "Accept", CONTENT_TYPE)));
        }
        Some(body) => {
            if let Some(refused) = asking.unread_encoding() {
                return Err(Box::new(refused));
            }
            let (pidf, document) = Pidf::read(&body.content).map_err(|_| refused(400))?;
            if document.len() > MOST_OCTETS {
                return Err(refused(513));
            }
            Some(Told { of: named(&pidf.entity), document: document.into() })
        }
    };
    let state = match state.state.to_ascii_lowercase().as_str() {
        "active" => NotifyState::Active(state.expires()),
        "pending" => NotifyState::Pending(state.expires()),
        "terminated" => {
            let reason = state.reason().unwrap_or_default().to_ascii_lowercase();
            NotifyState::Terminated(reason, state.retry_after())
        }
        // RFC 6665 8.2.3: one that is not known here; nothing is known of it yet
        _ => NotifyState::Pending(state.expires()),
    };
    Ok(Notified {
        call_id: request.sip_call_id.clone(),
        to_tag: request.to_tag.clone(),
        from_tag: request.from_tag.clone(),
        cseq: request.cseq,
        contact: request.contact.clone(),
        route: RouteSet::of(request.record_route.iter().cloned(), Side::Callee).into_values(),
        flow: request.flow.clone(),
        state,
        document,
    })
}
