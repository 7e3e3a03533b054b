//! Calls that phones began: made of the first event of their first leg, by whichever replica it comes to.

use std::sync::Arc;

use store::StoreError;

use super::{ApplyError, Chain, How, Runner};
use crate::engine::event::Event;
use crate::engine::{self, NewAnchored};
use crate::repository::Loaded;

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
        let new = NewAnchored { call_id: call_id.to_owned(), policy: self.config.policy(), seed };
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
}
