//! Runs of the whole cluster. `SEED=7 cargo nextest run -p sim` repeats one seed, `TRACE=1` shows what happened in it; a run that
//! fails shows it by itself.

use std::collections::BTreeMap;

use sim::workload::{self, Report};

/// Seeds of every run of the tests.
const SEEDS: std::ops::Range<u64> = 0..20;

/// TXN-17, TPC-15: loss, duplication and reordering of datagrams, and the crash of a call-control replica between any two steps.
/// Every call ends exactly once, and nothing is left of it.
#[test]
fn every_call_ends_once_whatever_datagrams_are_lost_and_replicas_die() {
    let mut connected = 0;
    let mut crashes = 0;
    for seed in seeds() {
        let report = run(seed);
        connected += report.connected;
        crashes += report.crashes;
    }
    // Invariants of calls that never come about are no proof.
    assert!(connected > 0 || asked_for().is_some(), "some calls are connected");
    assert!(crashes > 0 || asked_for().is_some(), "some replicas die");
}

/// A seed that fails once fails always.
#[test]
fn the_same_seed_makes_the_same_trace() {
    for seed in seeds().take(4) {
        let (first, second) = (run(seed).trace, run(seed).trace);
        let differs = first.iter().zip(&second).position(|(first, second)| first != second);
        if let Some(line) = differs {
            let around = line.saturating_sub(5)..;
            let show = |trace: &[String]| {
                trace[around.clone()].iter().take(8).cloned().collect::<Vec<_>>().join("\n")
            };
            panic!("seed {seed}, line {line}:\n{}\n--- or ---\n{}", show(&first), show(&second));
        }
        assert_eq!(first.len(), second.len(), "seed {seed}: one of the traces goes on");
    }
}

#[test]
fn another_seed_makes_another_trace() {
    let mut traces = BTreeMap::new();
    for seed in 0..3 {
        let same = traces.insert(run(seed).trace, seed);
        assert_eq!(same, None, "seed {seed} repeats another one");
    }
}

fn run(seed: u64) -> Report {
    println!("SEED={seed}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let report = runtime.expect("a runtime").block_on(workload::run(seed));
    println!(
        "  {:?}, {} calls, {} connected, {} crashes, {} lines",
        report.weather,
        report.calls.len(),
        report.connected,
        report.crashes,
        report.trace.len()
    );
    if std::env::var_os("TRACE").is_some() {
        println!("{}", report.trace.join("\n"));
    }
    report
}

fn seeds() -> std::ops::Range<u64> {
    asked_for().map_or(SEEDS, |seed| seed..seed + 1)
}

fn asked_for() -> Option<u64> {
    std::env::var("SEED").ok().map(|seed| seed.parse().expect("SEED is a number"))
}
