//! How many calls an account begins within a minute: a list like those of simultaneous calls, from which time alone takes them out.

use store::StoreError;

use super::{
    ATTEMPTS, LONGEST_ID,
    list::{Seized, Wish},
};
use crate::{Shared, aors::ChangeError};

const MINUTE_MS: u64 = 60_000;

impl Shared {
    /// Counts a call that an account begins, once however often it is asked about; whether it is one too many.
    pub(crate) async fn begins_too_many(
        &self,
        aor: &str,
        most: u32,
        call_id: &str,
    ) -> Result<bool, ChangeError> {
        // what cannot be told apart from another one is not counted twice
        let call_id = if call_id.len() > LONGEST_ID { "" } else { call_id };
        let whose = ["rate:", aor].concat();
        for _ in 0..ATTEMPTS {
            let (mut list, version) = self.read_slots(&whose).await?;
            let now_ms = self.aors.now_ms();
            list.forget(MINUTE_MS, now_ms);
            match list.seize(Wish::of_call(call_id), most, now_ms) {
                Seized::Held => return Ok(false),
                Seized::Full => return Ok(true),
                Seized::Taken => {}
            }
            match self.write_slots(&whose, list, version).await {
                Ok(()) => return Ok(false),
                Err(StoreError::Conflict) => self.meters.conflicts.inc(),
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangeError::Contended)
    }
}
