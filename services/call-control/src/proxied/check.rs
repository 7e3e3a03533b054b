//! Which calls go on: asked by who counts them, when there is no room for another one.

use cluster_api::callcontrol::v1::call::State;
use cluster_api::callcontrol::v1::check_calls_response::Standing;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use store::StoreError;

use crate::repository::{CALLS_AT_ONCE, Known, Loaded, Repository};

/// Reads that are under way at a time.
const AT_A_TIME: usize = 16;

/// How these calls stand, in their order.
///
/// # Errors
/// When the store fails.
pub(super) async fn check(repository: &Repository, call_ids: &[String]) -> Result<Vec<Standing>, StoreError> {
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
        standings[place] = standing(&loaded);
    }
    Ok(standings)
}

fn standing(loaded: &Result<Option<Loaded>, StoreError>) -> Standing {
    match loaded {
        Ok(None) => Standing::Unspecified,
        Ok(Some(loaded)) => match &loaded.known {
            Known::Over(_) => Standing::Ended,
            Known::Live(_) if loaded.public().state() == State::Ended => Standing::Ended,
            Known::Live(_) | Known::Proxied(_) => Standing::Live,
        },
        // A record that cannot be read tells of a call.
        Err(_) => Standing::Live,
    }
}
