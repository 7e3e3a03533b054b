//! A seeded simulation: two edges, random phones, a shell that crashes, duplicates and reorders; then the invariants.
//!
//! `CARILLON_SIM_SEED=n` runs one seed, `CARILLON_SIM_RUNS=n` so many from `CARILLON_SIM_FROM` on; a failure prints its seed and
//! its history.

mod branches;
mod called;
mod edge;
mod phone;
mod rules;
mod shell;
mod talk;
mod walk;
mod wire;
mod world;

use call_control::engine::call::Flow;

use world::World;

const RUNS: u64 = 1_500;
const FLOWS: [Flow; 5] = [Flow::Iv, Flow::Ringback, Flow::Iii, Flow::I, Flow::Auto];

/// TPC-09, TPC-15, UAC-17, LAD-1 … LAD-4: whatever phones, edges and replicas do, each call ends exactly once, no leg stays half
/// open, every 2xx is acknowledged or ended, and nobody keeps ringing.
#[test]
fn every_call_ends_once_and_completely() {
    if let Some(seed) = number("CARILLON_SIM_SEED") {
        return run(seed);
    }
    let first = number("CARILLON_SIM_FROM").unwrap_or(0);
    for seed in first..first + number("CARILLON_SIM_RUNS").unwrap_or(RUNS) {
        run(seed);
    }
}

/// The same seed gives the same history.
#[test]
fn a_run_can_be_repeated() {
    let history = |seed| {
        let mut world = World::new(seed, Flow::Ringback);
        world.run();
        world.history
    };
    assert_eq!(history(7), history(7));
    assert_ne!(history(7), history(8));
}

/// The runs reach what they are for: connected calls, refusals, edge deaths, ringback.
#[test]
fn the_runs_reach_every_stage() {
    let mut reached = std::collections::BTreeMap::new();
    for seed in 0..600 {
        let mut world = World::new(seed, FLOWS[(seed % 5) as usize]);
        world.run();
        for line in &world.history {
            for mark in [
                "! Connected",
                "! RingbackStarted",
                "! Held",
                "! InfoReceived",
                "lost",
                "PRACK",
                "CANCEL",
                "491",
                "407",
                "! TransferSucceeded",
                "! TransferFailed",
                "! PartyJoined",
                "! PlayStarted",
                "! PlayEnded",
                "! HoldFailed",
                "! UnholdFailed",
            ] {
                if line.contains(mark) {
                    *reached.entry(mark).or_insert(0) += 1;
                }
            }
        }
    }
    assert_eq!(reached.len(), 16, "{reached:?}");
    assert!(reached.values().all(|times| *times > 10), "{reached:?}");
}

fn run(seed: u64) {
    let mut world = World::new(seed, FLOWS[(seed % 5) as usize]);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| checked(&mut world)));
    if let Err(panic) = outcome {
        println!("CARILLON_SIM_SEED={seed}");
        std::panic::resume_unwind(panic);
    }
}

/// Runs, and shows what happened when something of it must not be.
fn checked(world: &mut World) {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        world.run();
        rules::check(world);
    }));
    if let Err(panic) = outcome {
        println!("{}", world.history.join("\n"));
        std::panic::resume_unwind(panic);
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}
