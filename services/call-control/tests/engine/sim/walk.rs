//! Every step of runs that go through all branches of LAD-1 … LAD-4, each once with the application hanging up there and once with
//! the replica dying there, before and after what it committed has left.
//!
//! `CARILLON_WALK=n` walks one seed and prints every run; a failure prints seed, step and what came between.

use std::collections::BTreeSet;

use call_control::engine::call::Flow;

use super::FLOWS;
use super::branches::{self, branches_of};
use super::world::World;

/// Runs that are looked through for those that reach a branch.
const LOOKED_THROUGH: u64 = 1_500;
/// Runs that are walked; what they do not reach by then is a failure.
const WALKED: usize = 40;

/// What comes between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// The application hangs up before the effects of the step have left.
    HangUp,
    /// It hangs up when they have left, and before anything came of them.
    HangUpLater,
    /// The replica dies before the effects have left.
    Dies,
    /// It dies when they have left, and before it has committed that they did.
    DiesLater,
}

const INTERRUPTIONS: [Interruption; 4] =
    [Interruption::HangUp, Interruption::HangUpLater, Interruption::Dies, Interruption::DiesLater];

/// TPC-09, TPC-15, LAD-1 … LAD-4: whatever branch a call takes, it ends once and completely wherever in it the application hangs up
/// or the replica dies.
#[test]
fn every_step_of_every_branch_may_be_the_last_of_the_application_or_of_the_replica() {
    if let Some(seed) = super::number("CARILLON_WALK") {
        return walk(seed, true);
    }
    let seeds = seeds();
    println!("seeds {seeds:?}");
    let halves: Vec<Vec<u64>> =
        [0, 1].map(|rest| seeds.iter().copied().skip(rest).step_by(2).collect()).to_vec();
    let walks = halves
        .into_iter()
        .map(|half| std::thread::spawn(move || half.into_iter().for_each(|seed| walk(seed, false))));
    for walk in walks.collect::<Vec<_>>() {
        walk.join().expect("every walk ends well");
    }
}

/// Few runs that together reach every branch.
fn seeds() -> Vec<u64> {
    let mut runs: Vec<(u64, Vec<&str>)> = Vec::new();
    let mut missed: BTreeSet<&str> = branches::all().into_iter().collect();
    for seed in 0..LOOKED_THROUGH {
        let taken = branches_of(&run(seed));
        if taken.iter().any(|branch| missed.contains(branch)) {
            missed.retain(|branch| !taken.contains(branch));
            runs.push((seed, taken));
        }
    }
    assert!(missed.is_empty(), "no run reaches {missed:?}");
    // Later runs may go through all that an earlier one was taken for.
    for at in (0..runs.len()).rev() {
        let others = || runs.iter().enumerate().filter(|(other, _)| *other != at);
        let is_needed =
            |branch: &&str| !others().any(|(_, (_, taken))| taken.iter().any(|other| other == branch));
        if !runs[at].1.iter().any(is_needed) {
            runs.remove(at);
        }
    }
    assert!(runs.len() <= WALKED, "{} runs are walked", runs.len());
    runs.into_iter().map(|(seed, _)| seed).collect()
}

fn walk(seed: u64, is_told: bool) {
    let steps = run(seed).commits;
    for step in 1..=steps {
        for interruption in INTERRUPTIONS {
            if is_told {
                println!("seed {seed}, step {step} of {steps}, {interruption:?}");
            }
            let tried = std::panic::catch_unwind(|| {
                let mut world = World::interrupted(seed, flow(seed), Some((step, interruption)));
                super::checked(&mut world);
            });
            if let Err(panic) = tried {
                println!("CARILLON_WALK={seed}, step {step} of {steps}, {interruption:?}");
                std::panic::resume_unwind(panic);
            }
        }
    }
}

fn run(seed: u64) -> World {
    let mut world = World::new(seed, flow(seed));
    world.run();
    world
}

fn flow(seed: u64) -> Flow {
    FLOWS[(seed % 5) as usize]
}
