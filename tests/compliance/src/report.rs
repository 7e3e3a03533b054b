//! What rows and claims say together.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::claims::Claim;
use crate::rows::{Row, Status};

/// Rows with the tests that name them.
#[derive(Debug)]
pub struct Report {
    rows: Vec<Row>,
    claims: BTreeMap<String, Vec<Claim>>,
}

impl Report {
    /// Brings rows and claims together.
    pub fn new(rows: Vec<Row>, claims: Vec<Claim>) -> Report {
        let mut by_row: BTreeMap<String, Vec<Claim>> = BTreeMap::new();
        for claim in claims {
            by_row.entry(claim.row.clone()).or_default().push(claim);
        }
        Report { rows, claims: by_row }
    }

    /// The tests that name a row.
    pub fn tests_of(&self, id: &str) -> &[Claim] {
        self.claims.get(id).map_or(&[], Vec::as_slice)
    }

    /// Claims of rows that do not exist. Only areas that the table has are looked at: `SHA-256` is no row.
    pub fn unknown(&self) -> Vec<&Claim> {
        let known = |id: &str| self.rows.iter().any(|row| row.id == id);
        let area = |id: &str| self.rows.iter().any(|row| row.id.get(..3) == id.get(..3));
        self.claims.iter().filter(|(id, _)| area(id) && !known(id)).flat_map(|(_, claims)| claims).collect()
    }

    /// Rows that say *proved* and that no test names.
    pub fn unproved(&self) -> Vec<&Row> {
        self.rows
            .iter()
            .filter(|row| row.status == Status::Proved && self.tests_of(&row.id).is_empty())
            .collect()
    }

    /// Rows that say *partly* without saying what is missing.
    pub fn partly_without_reason(&self) -> Vec<&Row> {
        self.rows.iter().filter(|row| row.status == Status::Partly && row.reason.is_empty()).collect()
    }

    /// The status that the tests give a row: *partly* is a person's judgement and stays while there is a test.
    pub fn decide(&self, row: &Row) -> Status {
        match (self.tests_of(&row.id).is_empty(), row.status) {
            (true, _) => Status::Later,
            (false, Status::Partly) => Status::Partly,
            (false, _) => Status::Proved,
        }
    }

    /// Every row with its tests, the rows without, and the sums.
    pub fn print(&self) -> String {
        let mut text = String::new();
        let mut area = "";
        for row in &self.rows {
            if row.area != area {
                area = &row.area;
                let _ = writeln!(text, "\n{area}");
            }
            let tests = self.tests_of(&row.id);
            let reason = if row.reason.is_empty() { String::new() } else { format!(" ({})", row.reason) };
            let _ = writeln!(
                text,
                "  {:<7} {:<11} {}{reason}",
                row.id,
                row.status.to_string(),
                shortened(&row.requirement)
            );
            for claim in tests {
                let _ = writeln!(text, "            {} {}:{}", claim.test, claim.file, claim.line);
            }
        }
        let without: Vec<&str> = self
            .rows
            .iter()
            .filter(|row| self.tests_of(&row.id).is_empty())
            .map(|row| row.id.as_str())
            .collect();
        let _ = writeln!(text, "\nRows without a test ({}):", without.len());
        for line in without.chunks(14) {
            let _ = writeln!(text, "  {}", line.join(" "));
        }
        let count = |status| self.rows.iter().filter(|row| row.status == status).count();
        let _ = writeln!(
            text,
            "\n{} rows: {} proved, {} partly, {} later issue; {} named by a test",
            self.rows.len(),
            count(Status::Proved),
            count(Status::Partly),
            count(Status::Later),
            self.rows.len() - without.len()
        );
        text
    }
}

fn shortened(text: &str) -> String {
    const WIDTH: usize = 96;
    if text.chars().count() <= WIDTH {
        return text.to_owned();
    }
    let cut: String = text.chars().take(WIDTH).collect();
    format!("{}…", cut.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows;

    fn report(table: &str, claimed: &[&str]) -> Report {
        let claim = |row: &&str| Claim { row: (*row).into(), test: "t".into(), file: "f.rs".into(), line: 1 };
        Report::new(rows::read(table).unwrap(), claimed.iter().map(claim).collect())
    }

    const TABLE: &str = "## Registrar\n| REG-01 | a | b | MUST | proved |  |\n| REG-02 | a | b | MUST | partly | no 404 |\n\
        | REG-03 | a | b | MUST | later issue | x |\n";

    #[test]
    fn a_proved_row_without_a_test_is_told() {
        let ids: Vec<String> =
            report(TABLE, &["REG-02"]).unproved().iter().map(|row| row.id.clone()).collect();
        assert_eq!(ids, ["REG-01"]);
    }

    #[test]
    fn a_claim_of_a_row_that_does_not_exist_is_told_but_other_words_are_not() {
        let report = report(TABLE, &["REG-01", "REG-99", "SHA-256"]);
        let unknown: Vec<&str> = report.unknown().iter().map(|claim| claim.row.as_str()).collect();
        assert_eq!(unknown, ["REG-99"]);
    }

    #[test]
    fn the_tests_decide_but_partly_stays_while_there_is_one() {
        let decide = |claimed: &[&str]| {
            let report = report(TABLE, claimed);
            report.rows.iter().map(|row| report.decide(row)).collect::<Vec<_>>()
        };
        assert_eq!(decide(&["REG-02", "REG-03"]), [Status::Later, Status::Partly, Status::Proved]);
        assert_eq!(decide(&["REG-01"]), [Status::Proved, Status::Later, Status::Later]);
    }

    #[test]
    fn the_print_shows_each_row_with_its_tests_and_the_sums() {
        let text = report(TABLE, &["REG-01"]).print();
        assert!(text.contains("  REG-01  proved      a\n            t f.rs:1\n"), "{text}");
        assert!(text.contains("Rows without a test (2):\n  REG-02 REG-03\n"), "{text}");
        assert!(text.ends_with("3 rows: 1 proved, 1 partly, 1 later issue; 1 named by a test\n"), "{text}");
    }
}
