//! Which calls go on: asked by who counts them, when there is no room for another one.

use cluster_api::callcontrol::v1::call::State;
use cluster_api::callcontrol::v1::check_calls_response::Standing;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use store::StoreError;

use crate::engine::call::Call;
use crate::engine::leg::{Leg, LegState};
use crate::repository::{CALLS_AT_ONCE, Known, Loaded, Repository};

/// Reads that are under way at a time.
const AT_A_TIME: usize = 16;

/// The leg of who called, as the registrar counts it.
const INCOMING: &str = "in";

/// How these calls stand, or these legs of them, in their order.
///
/// # Errors
/// When the store fails.
pub(super) async fn check(
    repository: &Repository,
    call_ids: &[String],
    legs: &[String],
) -> Result<Vec<Standing>, StoreError> {
    let mut places: Vec<(usize, usize)> =
        call_ids.iter().map(|call_id| repository.partition_number(call_id)).zip(0..).collect();
    places.sort_unstable();
    let same_partition = places.chunk_by(|(one, _), (other, _)| one == other);
    let chunks: Vec<_> = same_partition.flat_map(|places| places.chunks(CALLS_AT_ONCE)).collect();
    let reads = chunks.into_iter().map(|places| async move {
        let number = places.first().map_or(0, |(number, _)| *number);
        let ids: Vec<_> = places.iter().map(|(_, place)| call_ids[*place].as_str()).collect();
        let loaded = repository.load_many(number, &ids).await?;
        Ok(places.iter().map(|(_, place)| *place).zip(loaded).collect::<Vec<_>>())
    });
    let mut standings = vec![Standing::Unspecified; call_ids.len()];
    // Collected before they are polled: a closure over borrowed ids is not general enough for the stream.
    let reads: Vec<_> = reads.collect();
    let found: Vec<Vec<_>> = stream::iter(reads).buffer_unordered(AT_A_TIME).try_collect().await?;
    for (place, loaded) in found.into_iter().flatten() {
        standings[place] = standing(&loaded, legs.get(place).map_or("", String::as_str));
    }
    Ok(standings)
}

fn standing(loaded: &Result<Option<Loaded>, StoreError>, leg: &str) -> Standing {
    match loaded {
        Ok(None) => Standing::Unspecified,
        Ok(Some(loaded)) => match &loaded.known {
            Known::Over(_) => Standing::Ended,
            Known::Live(_) if loaded.public().state() == State::Ended => Standing::Ended,
            // It has left a call that goes on
            Known::Live(call) if is_over(call, leg) => Standing::Ended,
            Known::Live(_) | Known::Proxied(_) => Standing::Live,
        },
        // A record that cannot be read tells of a call.
        Err(_) => Standing::Live,
    }
}

/// Whether a leg, as the registrar counts it at a trunk, is over for good.
fn is_over(call: &Call, leg: &str) -> bool {
    if leg.is_empty() {
        return false;
    }
    if leg == INCOMING {
        let caller = call.legs.iter().find(|leg| leg.incoming.is_some() && leg.borrowed.is_none());
        return caller.is_some_and(|leg| leg.state() == LegState::Ended && leg.lent.is_none());
    }
    let Some(effect) = effect_of(leg) else { return false };
    let is_it = |leg: &&Leg| leg.invite.as_ref().is_some_and(|invite| invite.effect == effect);
    match call.legs.iter().find(is_it) {
        Some(leg) => leg.state() == LegState::Ended && leg.lent.is_none(),
        // An attempt that another one has followed; what is not committed yet is not asked about
        None => effect <= call.last_effect,
    }
}

/// The effect that a branch of an edge stands for: `ccORIGIN-EFFECT-BRANCH-ATTEMPT`, in hexadecimal digits.
fn effect_of(branch: &str) -> Option<u64> {
    let mut parts = branch.strip_prefix("cc")?.split('-');
    let (_, effect) = (parts.next()?, parts.next()?);
    u64::from_str_radix(effect, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::anchor::record::Incoming;
    use crate::engine::leg::{Invite, Loan};

    /// A trunk's place is free as soon as its leg has left the call, by transfer or otherwise.
    #[test]
    fn a_leg_that_left_its_call_is_over() {
        let leg = |state: LegState, effect: u64| Leg {
            state: state.into(),
            invite: Some(Invite { effect, ..Invite::default() }),
            ..Leg::default()
        };
        let called = Leg { incoming: Some(Incoming::default()), ..leg(LegState::Ended, 0) };
        let lent = Leg { lent: Some(Loan::default()), ..leg(LegState::Ended, 0x2f) };
        let legs = vec![called, leg(LegState::Answered, 0x1a), leg(LegState::Ended, 0x1b), lent];
        let call = Call { legs, last_effect: 0x30, ..Call::default() };
        for (name, is) in [
            ("", false),
            ("in", true),
            ("cc0123456789abcdef-1a-0-0", false),
            ("cc0123456789abcdef-1b-1-0", true),
            ("cc0123456789abcdef-2f-0-0", false),
            ("cc0123456789abcdef-3-0-0", true),
            ("cc0123456789abcdef-31-0-0", false),
            ("0123456789abcdef-1b", false),
            ("cc-", false),
            ("ccx-zz-0", false),
        ] {
            assert_eq!(is_over(&call, name), is, "{name}");
        }
    }
}
