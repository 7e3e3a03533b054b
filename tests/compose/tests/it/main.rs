//! The containers. Where no Docker engine answers, the stack cannot be brought up, and the test fails unless
//! `CARILLON_WITHOUT_DOCKER=1` says that this is known; `scripts/run-tests` then names what was left out.

use std::path::PathBuf;

use compose::{carillon, docker_answers, run_script};

fn executable() -> PathBuf {
    carillon().expect("scripts/run-tests builds the executable beside the tests")
}

#[test]
fn the_compose_files_are_valid_with_every_profile_and_the_executable_takes_their_settings() {
    let told = run_script("scripts/check-compose", &[&executable()]).unwrap_or_else(|told| panic!("{told}"));
    assert!(told.contains(" 0 failed"), "{told}");
}

#[test]
fn the_chart_renders_safely_refuses_contradictions_and_the_executable_takes_its_settings() {
    let told = run_script("scripts/check-chart", &[&executable()]).unwrap_or_else(|told| panic!("{told}"));
    assert!(told.contains(" 0 failed"), "{told}");
}

/// TPC-15
#[test]
fn a_ringing_call_completes_after_the_container_that_took_it_was_killed() {
    if !docker_answers() {
        let is_known = std::env::var_os("CARILLON_WITHOUT_DOCKER").is_some_and(|value| value == "1");
        assert!(is_known, "no Docker engine answers here: start one, or set CARILLON_WITHOUT_DOCKER=1");
        return;
    }
    let told = run_script("scripts/docker/e2e", &[&executable()]).unwrap_or_else(|told| panic!("{told}"));
    assert!(told.contains("compose stack: passed"), "{told}");
}
