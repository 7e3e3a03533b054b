//! Callbacks that are asked for by calling in: `INVITE sip:callback@...` is answered 480, never 200, so that it costs nobody anything, and
//! who called is called back when it has hung up (LAD-6). The engine refuses the INVITE; what is here commits the callback before.

use std::sync::Arc;

use ambient::Entropy;
use sip_message::Uri;
use tonic::Status;

use super::machine::record::{Awaited, State};
use super::machine::{NewCallback, begin};
use crate::config::millis_of;
use crate::engine::call::Party;
use crate::engine::claim::takers::address_of_record;
use crate::engine::event::{CallReceived, Event, LegEvent};
use crate::refusal;
use crate::repository::{CallbackSummary, RequestUse};
use crate::runner::Runner;
use crate::wire::public::callback_state;

/// How long who called in is waited for.
const LASTS_MS: u64 = 600_000;
/// How often it is called.
const ATTEMPTS: u32 = 3;

impl Runner {
    /// The INVITE of these events, when it asks for a callback.
    pub(crate) fn calls_in<'a>(&self, events: &'a [Event]) -> Option<&'a CallReceived> {
        let Some(Event::Leg(first)) = events.first() else { return None };
        let LegEvent::Incoming(invite) = &first.what else { return None };
        let config = self.config();
        let is_asked = !config.callback_target.is_empty() && invite.is_for(&config.callback_user);
        is_asked.then_some(invite)
    }

    /// Commits the callback of a call that came in. Delivered again, it is the same one; while one waits for the caller, that one.
    ///
    /// # Errors
    /// When the store fails. A caller who is not known, or has too many callbacks, gets 480 all the same.
    pub(crate) async fn called_in(
        self: &Arc<Self>,
        call_id: &str,
        invite: &CallReceived,
        entropy: &dyn Entropy,
    ) -> Result<(), Status> {
        let Some(caller) = caller(invite, &self.config().host) else {
            tracing::info!("somebody of elsewhere called in, and is not called back");
            return Ok(());
        };
        let waits = [State::Waiting, State::Calling].map(|state| i32::from(callback_state(state)));
        let (from, to) = (address_of_record(&caller), address_of_record(&self.config().callback_target));
        let is_asked_for = |listed: &CallbackSummary| {
            waits.contains(&listed.state) && listed.from == from && listed.to == to
        };
        let asked = self.repository.list_callbacks(is_asked_for, None, 1).await;
        if !asked.map_err(|error| refusal::of_store(&error))?.callbacks.is_empty() {
            return Ok(());
        }
        let mut seed = vec![0; 32];
        entropy.fill(&mut seed);
        let party = |uri: &str, name: &str| Party {
            uri: uri.to_owned(),
            display_name: name.to_owned(),
            ..Party::default()
        };
        let new = NewCallback {
            callback_id: self.repository.new_callback_id(&caller, entropy),
            from: party(&caller, &invite.from_display),
            to: party(&self.config().callback_target, ""),
            not_before_ms: 0,
            lasts_ms: LASTS_MS,
            attempts: ATTEMPTS,
            waits_for: Awaited::From,
            seed,
        };
        let new = begin(new, millis_of(self.repository.now()));
        // No id of an application begins so: it is longer than they may be
        let request_id = format!("{call_id:64} called in");
        let request = RequestUse { request_id, fingerprint: Vec::new(), call_id: new.callback_id.clone() };
        match self.make_callback(new, Some(request)).await {
            Ok(_) => Ok(()),
            Err(super::CallbackError::Full(limit)) => {
                tracing::info!(limit, "somebody called in, and is not called back");
                Ok(())
            }
            Err(error) => Err(refusal::of_callback(&error)),
        }
    }
}

/// Who is called back: who proved to be somebody, or, where nobody has to, who says to be a user of ours.
fn caller(invite: &CallReceived, domain: &str) -> Option<String> {
    if !invite.identity.is_empty() {
        return Some(invite.identity.clone());
    }
    let from = Uri::parse(invite.from_uri.as_bytes()).ok()?;
    let is_ours = from.user.is_some() && from.host.eq_ignore_ascii_case(domain);
    is_ours.then(|| address_of_record(&invite.from_uri))
}
