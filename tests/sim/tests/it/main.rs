//! Runs of the whole cluster. `SEED=7 cargo nextest run -p sim` repeats one seed, `SEEDS=400` runs so many, `TRACE=1` shows what
//! happened; a run that fails shows it by itself.

mod loss;
mod sabotage;

use std::collections::{BTreeMap, BTreeSet};

use sim::disturbance::Kind;
use sim::sabotage::Sabotage;
use sim::workload::{self, Report};

/// Seeds of every run of the tests, unless SEEDS says how many.
const SEEDS: u64 = 60;
/// Of these, seeds of runs in which everything is done to calls.
const LADDER_SEEDS: u64 = 20;

/// TXN-17, TPC-15: loss, duplication and reordering of datagrams; processes of every role die, stop, lose their links or
/// their store between any two steps. Every invariant holds.
#[test]
fn every_invariant_holds_whatever_is_lost_and_whoever_dies() {
    let (first, second): (Vec<u64>, Vec<u64>) = seeds().partition(|seed| seed % 2 == 0);
    let halves =
        [first, second].map(|half| std::thread::spawn(move || half.into_iter().map(run_well).collect()));
    let reports: Vec<Report> = halves
        .into_iter()
        .flat_map(|half: std::thread::JoinHandle<Vec<_>>| half.join().expect("no run fails"))
        .collect();
    if asked_for().is_some() {
        return;
    }
    // Invariants of what never comes about are no proof.
    let connected: usize = reports.iter().map(|report| report.connected).sum();
    let promises: usize = reports.iter().map(|report| report.promises).sum();
    assert!(connected > reports.len() && promises > reports.len(), "{connected} calls, {promises} promises");
    let kinds: BTreeSet<&Kind> = reports.iter().flat_map(|report| report.disturbances.keys()).collect();
    assert_eq!(kinds.len(), 7, "everything happened: {kinds:?}");
}

/// LAD-5, LAD-9, CCL-07, TPC-15: the same while parties are led to other phones and to parties of other calls.
#[test]
fn every_invariant_holds_while_parties_are_led_elsewhere() {
    let mut led = 0;
    for seed in seeds().take(16) {
        let report = run_led(seed, Sabotage::Nothing);
        let (trace, breaches) = (report.trace.join("\n"), report.breaches);
        assert!(breaches.is_empty(), "{trace}\nSEED={seed} {breaches:#?}");
        led += report.led;
    }
    assert!(led > 0 || asked_for().is_some(), "nobody was led anywhere");
}

/// CCL-09, CCL-13 … CCL-16, CCL-19, LAD-5 … LAD-9, IMI-04, ALC-01, TPC-15: the same while phones of anchored accounts call by themselves,
/// join and take over each other's calls, and applications do to any call what can be done to one.
#[test]
fn every_invariant_holds_whatever_is_done_to_calls() {
    let most = number("SEEDS").unwrap_or(LADDER_SEEDS);
    let (first, second): (Vec<u64>, Vec<u64>) =
        seeds().filter(|seed| *seed < most || asked_for().is_some()).partition(|seed| seed % 2 == 0);
    let halves = [first, second]
        .map(|half| std::thread::spawn(move || half.into_iter().map(run_ladders_well).collect()));
    let reports: Vec<Report> = halves
        .into_iter()
        .flat_map(|half: std::thread::JoinHandle<Vec<_>>| half.join().expect("no run fails"))
        .collect();
    if asked_for().is_some() {
        return;
    }
    let mut reached: BTreeMap<&str, usize> = BTreeMap::new();
    for report in &reports {
        let told = [("led", report.led), ("joined", report.joined), ("held", report.held)];
        for (what, times) in report.taken.iter().map(|(what, times)| (*what, *times)).chain(told) {
            *reached.entry(what).or_default() += times;
        }
    }
    println!("{reached:?}");
    assert_eq!(reached.len(), 16, "{reached:?}");
    assert!(reached.values().all(|times| *times > 0), "{reached:?}");
}

fn run_ladders_well(seed: u64) -> Report {
    let mut report = run_ladders(seed, Sabotage::Nothing);
    let trace = std::mem::take(&mut report.trace);
    assert!(report.breaches.is_empty(), "{}\nSEED={seed} {:#?}", trace.join("\n"), report.breaches);
    report
}

fn run_ladders(seed: u64, sabotage: Sabotage) -> Report {
    println!("SEED={seed}, ladders {sabotage:?}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let report = runtime.expect("a runtime").block_on(workload::run_ladders(seed, sabotage));
    if std::env::var_os("TRACE").is_some() {
        println!("{}", report.trace.join("\n"));
    }
    println!(
        "  SEED={seed} {} connected, {:?}, {} joined, {} led",
        report.connected, report.taken, report.joined, report.led
    );
    report
}

fn run_led(seed: u64, _: Sabotage) -> Report {
    println!("SEED={seed}, led");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(workload::run_led(seed))
}

fn run_well(seed: u64) -> Report {
    let mut report = run(seed, Sabotage::Nothing);
    let trace = std::mem::take(&mut report.trace);
    assert!(report.breaches.is_empty(), "{}\nSEED={seed} {:#?}", trace.join("\n"), report.breaches);
    report
}

/// A seed that fails once fails always.
#[test]
fn the_same_seed_makes_the_same_trace() {
    for seed in seeds().take(6) {
        let twice = |run: fn(u64, Sabotage) -> Report| [(); 2].map(|()| run(seed, Sabotage::Nothing).trace);
        let [first, second] = match seed % 3 {
            0 => twice(run_ladders),
            1 => twice(run),
            _ => twice(run_led),
        };
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
        let same = traces.insert(run(seed, Sabotage::Nothing).trace, seed);
        assert_eq!(same, None, "seed {seed} repeats another one");
    }
}

fn run(seed: u64, sabotage: Sabotage) -> Report {
    println!("SEED={seed} {sabotage:?}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let report = runtime.expect("a runtime").block_on(workload::run(seed, sabotage));
    println!(
        "  SEED={seed} {:?}, {} calls, {} connected, {} promises, {:?}, {} lines",
        report.weather,
        report.calls.len(),
        report.connected,
        report.promises,
        report.disturbances,
        report.trace.len()
    );
    if std::env::var_os("TRACE").is_some() {
        println!("{}", report.trace.join("\n"));
    }
    report
}

fn seeds() -> std::ops::Range<u64> {
    let count = number("SEEDS").unwrap_or(SEEDS);
    asked_for().map_or(0..count, |seed| seed..seed + 1)
}

fn asked_for() -> Option<u64> {
    number("SEED")
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
