//! Which calls go on: asked by who counts them, when there is no room for another one.

use cluster_api::callcontrol::v1::call::State;
use cluster_api::callcontrol::v1::check_calls_response::Standing;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use store::StoreError;

use crate::engine::call::Call;
use crate::engine::leg::{Leg, LegState, Loan};
use crate::repository::{CALLS_AT_ONCE, Known, Loaded, Moved, Repository};

/// Reads that are under way at a time.
const AT_A_TIME: usize = 16;

/// The leg of who called, as the registrar counts it.
const INCOMING: &str = "in";
/// What the names of legs begin with that come to a conference.
const OF_CONFERENCE: &str = "in-";

/// How often a leg is followed from one call to the next; one that was moved more often is believed to go on.
const MOVES: usize = 8;

/// What is asked about.
#[derive(Clone, Debug, PartialEq)]
enum Asked {
    /// The call as a whole.
    Call,
    /// The leg of who called.
    Caller,
    /// The leg of who called a conference, by its name.
    Leg(String),
    /// The leg whose INVITE this effect was.
    Effect(u64),
    /// The leg that came from another call.
    From(Loan),
    /// What is said in a way that this version does not know.
    Unknown,
}

/// What a record says.
#[derive(Debug, PartialEq)]
enum Found {
    Stands(Standing),
    /// Another call has kept the leg.
    Moved(Loan),
}

/// How these calls stand, or these legs of them, in their order.
///
/// # Errors
/// When the store fails.
pub(super) async fn check(
    repository: &Repository,
    call_ids: &[String],
    legs: &[String],
) -> Result<Vec<Standing>, StoreError> {
    let mut standings = vec![Standing::Live; call_ids.len()];
    let asked = |place: usize| Asked::of(legs.get(place).map_or("", String::as_str));
    let mut open: Vec<_> =
        call_ids.iter().cloned().zip(0..).map(|(id, place)| (id, place, asked(place))).collect();
    for _ in 0..MOVES {
        let ids: Vec<&str> = open.iter().map(|(call_id, ..)| call_id.as_str()).collect();
        let found = load(repository, &ids).await?;
        let mut moved = Vec::new();
        for ((call_id, place, asked), loaded) in open.into_iter().zip(found) {
            match find(&loaded, &asked) {
                Found::Stands(standing) => standings[place] = standing,
                Found::Moved(Loan { call_id: to, operation }) => {
                    moved.push((to, place, Asked::From(Loan { call_id, operation })));
                }
            }
        }
        if moved.is_empty() {
            break;
        }
        open = moved;
    }
    Ok(standings)
}

/// In which call a leg is that was asked for by one, and how it stands there.
///
/// # Errors
/// When the store fails, or a record cannot be read.
pub(super) async fn follow(
    repository: &Repository,
    call_id: &str,
    leg: &str,
) -> Result<(String, Standing), StoreError> {
    let (mut place, mut asked) = (call_id.to_owned(), Asked::of(leg));
    for _ in 0..MOVES {
        match find(&Ok(repository.load(&place).await?), &asked) {
            Found::Stands(standing) => return Ok((place, standing)),
            Found::Moved(Loan { call_id: to, operation }) => {
                asked = Asked::From(Loan { call_id: std::mem::replace(&mut place, to), operation });
            }
        }
    }
    Ok((place, Standing::Live))
}

/// The records of these calls, in their order.
async fn load(
    repository: &Repository,
    call_ids: &[&str],
) -> Result<Vec<Result<Option<Loaded>, StoreError>>, StoreError> {
    let mut places: Vec<(usize, usize)> =
        call_ids.iter().map(|call_id| repository.partition_number(call_id)).zip(0..).collect();
    places.sort_unstable();
    let same_partition = places.chunk_by(|(one, _), (other, _)| one == other);
    let chunks: Vec<_> = same_partition.flat_map(|places| places.chunks(CALLS_AT_ONCE)).collect();
    let reads = chunks.into_iter().map(|places| async move {
        let number = places.first().map_or(0, |(number, _)| *number);
        let ids: Vec<_> = places.iter().map(|(_, place)| call_ids[*place]).collect();
        let loaded = repository.load_many(number, &ids).await?;
        Ok(places.iter().map(|(_, place)| *place).zip(loaded).collect::<Vec<_>>())
    });
    // Collected before they are polled: a closure over borrowed ids is not general enough for the stream.
    let reads: Vec<_> = reads.collect();
    let found: Vec<Vec<_>> = stream::iter(reads).buffer_unordered(AT_A_TIME).try_collect().await?;
    let mut found: Vec<_> = found.into_iter().flatten().collect();
    found.sort_unstable_by_key(|(place, _)| *place);
    Ok(found.into_iter().map(|(_, loaded)| loaded).collect())
}

fn find(loaded: &Result<Option<Loaded>, StoreError>, asked: &Asked) -> Found {
    let loaded = match loaded {
        // A call that has kept a leg is in the store before the other one says so: it is over, and forgotten
        Ok(None) if matches!(asked, Asked::From(_)) => return Found::Stands(Standing::Ended),
        Ok(None) => return Found::Stands(Standing::Unspecified),
        Ok(Some(loaded)) => loaded,
        // A record that cannot be read tells of a call.
        Err(_) => return Found::Stands(Standing::Live),
    };
    match &loaded.known {
        Known::Proxied(_) => Found::Stands(Standing::Live),
        Known::Over(_) => match loaded.moved.iter().find(|moved| asked.names(moved)) {
            Some(moved) => Found::Moved(moved.to.clone()),
            None => Found::Stands(Standing::Ended),
        },
        Known::Live(call) => find_live(call, asked, loaded.public().state() == State::Ended),
    }
}

fn find_live(call: &Call, asked: &Asked, is_ended: bool) -> Found {
    if let Some(moved) = Moved::of(call).into_iter().find(|moved| asked.names(moved)) {
        return Found::Moved(moved.to);
    }
    let leg = call.legs.iter().find(|leg| asked.is(leg));
    // The call ended while another one had the leg, which may keep it
    let is_lent = leg.is_some_and(|leg| leg.lent.is_some());
    let is_over = match (asked, leg) {
        (Asked::Call | Asked::Unknown | Asked::Caller, None) => false,
        // It has left a call that goes on
        (_, Some(leg)) => leg.state() == LegState::Ended,
        // An attempt that another one has followed; what is not committed yet is not asked about
        (Asked::Effect(effect), None) => *effect <= call.last_effect,
        // It was refused, or has not come yet
        (Asked::Leg(_), None) if !is_ended => return Found::Stands(Standing::Unspecified),
        (Asked::Leg(_) | Asked::From(_), None) => true,
    };
    let is_over = (is_over || is_ended) && !is_lent;
    Found::Stands(if is_over { Standing::Ended } else { Standing::Live })
}

impl Asked {
    /// A leg as the registrar counts it: `in`, the name that it gave a leg to a conference, or the branch of an edge.
    fn of(leg: &str) -> Asked {
        match leg {
            "" => Asked::Call,
            INCOMING => Asked::Caller,
            _ if leg.starts_with(OF_CONFERENCE) => Asked::Leg(leg.to_owned()),
            _ => effect_of(leg).map_or(Asked::Unknown, Asked::Effect),
        }
    }

    fn is(&self, leg: &Leg) -> bool {
        match self {
            Asked::Call | Asked::Unknown => false,
            Asked::Caller => leg.incoming.is_some() && leg.borrowed.is_none(),
            Asked::Leg(leg_id) => leg.leg_id == *leg_id,
            Asked::Effect(effect) => leg.invite.as_ref().is_some_and(|invite| invite.effect == *effect),
            Asked::From(loan) => leg.borrowed.as_ref() == Some(loan),
        }
    }

    fn names(&self, moved: &Moved) -> bool {
        match self {
            Asked::Call | Asked::Unknown => false,
            Asked::Caller => moved.is_caller && moved.borrowed.is_none(),
            Asked::Leg(leg_id) => moved.leg_id == *leg_id,
            Asked::Effect(effect) => moved.effect == *effect,
            Asked::From(loan) => moved.borrowed.as_ref() == Some(loan),
        }
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
    use crate::engine::leg::Invite;

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
        let member = Leg { leg_id: "in-x".into(), ..leg(LegState::Ended, 0) };
        let to = Loan { call_id: "other".into(), operation: 3 };
        let kept = Leg { kept: Some(to.clone()), ..leg(LegState::Ended, 0x2e) };
        let legs =
            vec![called, leg(LegState::Answered, 0x1a), leg(LegState::Ended, 0x1b), lent, member, kept];
        let call = Call { legs, last_effect: 0x30, ..Call::default() };
        let (over, live) = (Found::Stands(Standing::Ended), Found::Stands(Standing::Live));
        let unheard = Found::Stands(Standing::Unspecified);
        for (name, is) in [
            ("", &live),
            ("in", &over),
            ("in-x", &over),
            ("in-y", &unheard),
            ("cc0123456789abcdef-1a-0-0", &live),
            ("cc0123456789abcdef-1b-1-0", &over),
            ("cc0123456789abcdef-2f-0-0", &live),
            ("cc0123456789abcdef-2e-0-0", &Found::Moved(to.clone())),
            ("cc0123456789abcdef-3-0-0", &over),
            ("cc0123456789abcdef-31-0-0", &live),
            ("0123456789abcdef-1b", &live),
            ("cc-", &live),
            ("ccx-zz-0", &live),
        ] {
            assert_eq!(find_live(&call, &Asked::of(name), false), *is, "{name}");
        }
        for (name, is) in [("", &over), ("cc0-1a-0-0", &over), ("cc0-2f-0-0", &live), ("in-y", &over)] {
            assert_eq!(find_live(&call, &Asked::of(name), true), *is, "{name} of a call that is over");
        }
    }

    /// Where the leg came to, it is found by the call that it came from, and followed on from there.
    #[test]
    fn a_leg_that_moved_on_is_followed() {
        let loan = |call_id: &str| Loan { call_id: call_id.into(), operation: 1 };
        let leg = |state: LegState, kept| Leg {
            state: state.into(),
            borrowed: Some(loan("first")),
            kept,
            ..Leg::default()
        };
        let stands = |leg: Leg| {
            let call = Call { legs: vec![Leg::default(), leg], ..Call::default() };
            find_live(&call, &Asked::From(loan("first")), false)
        };
        assert_eq!(stands(leg(LegState::Answered, None)), Found::Stands(Standing::Live));
        assert_eq!(stands(leg(LegState::Ended, None)), Found::Stands(Standing::Ended));
        assert_eq!(stands(leg(LegState::Ended, Some(loan("third")))), Found::Moved(loan("third")));
        assert_eq!(find(&Ok(None), &Asked::From(loan("first"))), Found::Stands(Standing::Ended));
        assert_eq!(find(&Ok(None), &Asked::Caller), Found::Stands(Standing::Unspecified));
    }
}
