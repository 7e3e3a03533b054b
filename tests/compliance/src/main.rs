//! Prints every conformance row with its tests; `--refresh` also writes the status column of `docs/conformance.md`.

use std::process::ExitCode;
use std::{env, fs};

use compliance::report::Report;
use compliance::{claims, rows, table_path, workspace_root};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let refresh = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--refresh"] => true,
        _ => {
            eprintln!("usage: compliance [--refresh]");
            return ExitCode::from(2);
        }
    };
    match run(refresh) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("compliance: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(refresh: bool) -> Result<String, String> {
    let path = table_path();
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut table = fs::read_to_string(&path).map_err(told)?;
    let claims = claims::in_workspace(&workspace_root()).map_err(|error| format!("sources: {error}"))?;
    if refresh {
        let report = Report::new(rows::read(&table)?, claims.clone());
        table = rows::rewrite(&table, |row| report.decide(row));
        fs::write(&path, &table).map_err(told)?;
    }
    Ok(Report::new(rows::read(&table)?, claims).print())
}
