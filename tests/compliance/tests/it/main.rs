//! Holds the claims of all tests against `docs/conformance.md`.

mod threats;

use compliance::report::Report;
use compliance::{claims, rows, table_path, workspace_root};

#[test]
fn no_test_names_a_row_that_does_not_exist() {
    let report = report();
    let told: Vec<String> = report
        .unknown()
        .iter()
        .map(|claim| format!("{}:{}: {} names {}", claim.file, claim.line, claim.test, claim.row))
        .collect();
    assert!(told.is_empty(), "rows that do not exist:\n  {}", told.join("\n  "));
}

#[test]
fn every_proved_row_has_a_test() {
    let report = report();
    let told: Vec<&str> = report.unproved().iter().map(|row| row.id.as_str()).collect();
    assert!(
        told.is_empty(),
        "proved without a test: {} (cargo run -p compliance -- --refresh)",
        told.join(" ")
    );
}

#[test]
fn a_row_that_is_partly_done_says_what_is_missing() {
    let report = report();
    let told: Vec<&str> = report.partly_without_reason().iter().map(|row| row.id.as_str()).collect();
    assert!(told.is_empty(), "partly without a reason: {}", told.join(" "));
}

#[test]
fn the_table_holds_every_area() {
    let table = std::fs::read_to_string(table_path()).expect("docs/conformance.md is part of the tree");
    let rows = rows::read(&table).expect("docs/conformance.md is well formed");
    let mut areas: Vec<&str> = rows.iter().filter_map(|row| row.id.get(..3)).collect();
    areas.sort_unstable();
    areas.dedup();
    let expected = "ALC AUT CAP CCL DNS EVT FWD GRU IMI LAD MSG OBD OFA OVL PKG PRK PRS PSH PUB PXY REG RLS SCN SEC TMR TPC TRN TXN UAC UPD WIN";
    assert_eq!(areas.join(" "), expected);
    assert!(rows.len() >= 317, "rows were lost: {}", rows.len());
}

fn report() -> Report {
    let table = std::fs::read_to_string(table_path()).expect("docs/conformance.md is part of the tree");
    let rows = rows::read(&table).expect("docs/conformance.md is well formed");
    Report::new(rows, claims::in_workspace(&workspace_root()).expect("the sources can be read"))
}
