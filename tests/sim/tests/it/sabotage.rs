//! Each invariant is seen to fail: a mistake is put in, and exactly what it breaks is found broken.

use std::collections::BTreeSet;

use sim::invariants::Invariant;
use sim::sabotage::Sabotage;

use crate::{run, run_ladders};

/// Runs that a mistake is given to show itself.
const PATIENCE: u64 = 4;

fn broken_by(sabotage: Sabotage) -> BTreeSet<Invariant> {
    let mut broken = BTreeSet::new();
    for seed in 1_000..1_000 + PATIENCE {
        broken.extend(run(seed, sabotage).breaches.into_keys());
    }
    broken
}

macro_rules! breaks {
    ($($test:ident: $sabotage:ident => $($invariant:ident)+;)+) => {$(
        #[test]
        fn $test() {
            let expected = BTreeSet::from([$(Invariant::$invariant),+]);
            assert_eq!(broken_by(Sabotage::$sabotage), expected);
        }
    )+};
}

breaks! {
    a_forgotten_request_id_makes_two_calls: ForgetsRequests => OneCallADial;
    an_event_kept_twice_is_seen: RepeatsEvents => EachEventOnce;
    an_event_that_is_not_kept_is_seen: LosesEvents => EachEventOnce;
    events_in_another_order_are_seen: SwapsEvents => InOrder;
    another_outcome_is_seen: TellsAnotherOutcome => ToldTheOutcome;
    a_missing_outcome_is_seen: TellsNoOutcome => ToldTheOutcome;
    a_hangup_that_is_not_sent_leaves_a_leg: LosesHangups => NoLegLeft;
    a_bye_that_is_sent_again_and_again_is_seen: RepeatsHangups => NoStorm;
    a_phone_that_no_cancel_reaches_is_seen: LosesCancels => NoneRingsForNothing;
    an_effect_without_its_record_is_seen: InventsEffects => NoEffectWithoutRecord;
    a_call_that_is_forgotten_is_seen: ForgetsTheEnded => EveryCallEnds;
    an_event_that_is_not_told_is_seen: MissesEvents => ToldExactlyOnce;
    an_event_that_is_told_twice_is_seen: TellsTwice => ToldExactlyOnce;
    work_that_is_done_and_kept_is_seen: KeepsDueWork => StoreAtBase;
    a_registration_that_is_not_kept_is_seen: ForgetsBindings => RegisteredIsFound;
    a_registration_that_comes_back_is_seen: RevivesBindings => NoBindingRevived;
}

/// In runs in which all is done to calls.
fn broken_on_ladders(sabotage: Sabotage) -> BTreeSet<Invariant> {
    (1_000..1_000 + PATIENCE).flat_map(|seed| run_ladders(seed, sabotage).breaches.into_keys()).collect()
}

#[test]
fn a_place_that_is_not_given_back_is_seen() {
    assert_eq!(broken_on_ladders(Sabotage::KeepsPlaces), BTreeSet::from([Invariant::PlacesGivenBack]));
}

#[test]
fn a_callback_that_nobody_comes_back_to_is_seen() {
    let expected = BTreeSet::from([Invariant::EveryCallbackEnds, Invariant::StoreAtBase]);
    assert_eq!(broken_on_ladders(Sabotage::ForgetsCallbacks), expected);
}

/// What is lost in the middle of a call shows in more than one way.
#[test]
fn a_step_that_is_not_kept_is_seen() {
    assert!(broken_by(Sabotage::ForgetsSteps).contains(&Invariant::EveryCallEnds));
}
