//! Calls that phones began: made of the first event of their first leg, by whichever replica it comes to.

use std::sync::Arc;

use store::StoreError;

use super::{ApplyError, Chain, How, Runner};
use crate::engine::claim::ask::{call_of_leg, claim_of};
use crate::engine::claim::whose::{EndedLeg, Named, Word, word_of_ended};
use crate::engine::derive::call_of_call_id;
use crate::engine::event::{EdgeEvent, Event, LegEvent};
use crate::engine::transfer::record::DialogId;
use crate::engine::{self, NewAnchored};
use crate::repository::{Known, Loaded};

impl Runner {
    /// Takes the events of a call that begins with the first of them. Delivered again, or to several replicas at once, they make one
    /// call: the record is made only where there is none, and knows what it has taken.
    ///
    /// # Errors
    /// As of [`apply`](Runner::apply).
    pub async fn receive(
        self: &Arc<Self>,
        call_id: &str,
        seed: Vec<u8>,
        events: &[Event],
    ) -> Result<Arc<Loaded>, ApplyError> {
        let how = How { acknowledged: true, ..How::default() };
        match self.apply(call_id, events, how).await {
            Err(ApplyError::Unknown) => {}
            known => return known,
        }
        let Some((Event::Leg(first), rest)) = events.split_first() else { return Err(ApplyError::Unknown) };
        let named = self.named(first).await?;
        let new = NewAnchored { call_id: call_id.to_owned(), policy: self.config.policy(), seed, named };
        let now = self.repository.now().into();
        let step = engine::receive(new, first, now, &self.context())?;
        let chain = Chain::begin(step, now);
        let legs = chain.legs_with_effects();
        let loaded = match self.repository.save(chain.change(None, None)).await {
            Ok(loaded) => Arc::new(loaded),
            // Another replica was faster
            Err(StoreError::Conflict) => return self.apply(call_id, events, how).await,
            Err(error) => return Err(error.into()),
        };
        self.counts.calls.inc();
        let slot = self.slots.get(call_id);
        *slot.state.lock().await = Some(Arc::clone(&loaded));
        self.carry(call_id, &slot, &loaded, &legs);
        if rest.is_empty() { Ok(loaded) } else { self.apply(call_id, rest, how).await }
    }

    /// The call that an INVITE with Replaces or Join is about: that of the leg that it is for, else that whose dialog it names.
    async fn named(&self, first: &EdgeEvent) -> Result<Named, ApplyError> {
        let LegEvent::Incoming(invite) = &first.what else { return Ok(Named::Nobody) };
        let Ok(Some(claim)) = claim_of(invite, &self.config.takers) else { return Ok(Named::Nobody) };
        self.named_by(call_of_leg(&invite.request_uri), &claim.dialog).await
    }

    /// Whose dialog it is, asked for by a URI that leads to a leg of the call `addressed`, or to somebody by name.
    pub(super) async fn named_by(
        &self,
        addressed: Option<String>,
        dialog: &DialogId,
    ) -> Result<Named, ApplyError> {
        let made = call_of_call_id(&dialog.call_id, &self.config.host).map(str::to_owned);
        let is_to_leg = addressed.is_some();
        let mut named = Named::Nobody;
        for call_id in addressed.into_iter().chain(made) {
            match self.word_on(&call_id, dialog, is_to_leg).await? {
                Some(Word::Last(named)) => return Ok(named),
                Some(Word::Perhaps(perhaps)) => named = better(named, perhaps),
                None => {}
            }
        }
        // The leg may have gone to another call, or a phone made the dialog
        for call_id in self.repository.calls_with(&dialog.call_id).await? {
            match self.word_on(&call_id, dialog, is_to_leg).await? {
                Some(Word::Last(named)) => return Ok(named),
                Some(Word::Perhaps(perhaps)) => named = better(named, perhaps),
                None => {}
            }
        }
        Ok(named)
    }

    async fn word_on(
        &self,
        call_id: &str,
        dialog: &DialogId,
        is_to_leg: bool,
    ) -> Result<Option<Word>, ApplyError> {
        let Some(loaded) = self.repository.load(call_id).await? else { return Ok(None) };
        Ok(match &loaded.known {
            Known::Live(call) => Some(call.word_on(dialog, is_to_leg)),
            Known::Over(call) => {
                let legs = call.legs.iter().map(|leg| EndedLeg {
                    sip_call_id: &leg.sip_call_id,
                    local_tag: &leg.local_tag,
                    remote_tag: &leg.remote_tag,
                    is_kept: loaded.moved.iter().any(|moved| moved.leg_id == leg.leg_id),
                });
                Some(word_of_ended(legs, dialog))
            }
            Known::Proxied(_) => None,
        })
    }
}

/// Of two that are not sure, the one that says more.
fn better(named: Named, other: Named) -> Named {
    match named {
        Named::Nobody | Named::Unknown => other,
        Named::Call(_) | Named::Over | Named::AtPhone(_) => named,
    }
}
