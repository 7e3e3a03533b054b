//! The containers. Where no Docker engine answers, the stack is not brought up, and the test says so.

use compose::{carillon, docker_answers, run_script};

#[test]
fn the_compose_files_are_valid_with_every_profile_and_refuse_a_missing_password() {
    let told = run_script("scripts/check-compose", &[]).unwrap_or_else(|told| panic!("{told}"));
    assert!(told.contains(" 0 failed"), "{told}");
}

#[test]
fn the_chart_renders_safely_and_refuses_contradictions() {
    let told = run_script("scripts/check-chart", &[]).unwrap_or_else(|told| panic!("{told}"));
    assert!(told.contains(" 0 failed"), "{told}");
}

/// TPC-15
#[test]
fn a_ringing_call_completes_after_the_container_that_took_it_was_killed() {
    if !docker_answers() {
        eprintln!("no Docker engine answers here: the stack was not brought up");
        return;
    }
    let executable = carillon().expect("scripts/run-tests builds the executable beside the tests");
    let told = run_script("scripts/docker/e2e", &[&executable]).unwrap_or_else(|told| panic!("{told}"));
    assert!(told.contains("compose stack: passed"), "{told}");
}
