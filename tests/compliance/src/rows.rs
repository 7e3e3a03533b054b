//! The table of requirements: reading it and writing its status column.

use std::fmt;

/// How far a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// A test sends it and sees it.
    Proved,
    /// Built or proved in part; the reason says what is missing.
    Partly,
    /// Not built, or not proved.
    Later,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Proved => "proved",
            Status::Partly => "partly",
            Status::Later => "later issue",
        })
    }
}

/// One requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its id, such as `REG-07`.
    pub id: String,
    /// The heading it stands under.
    pub area: String,
    /// What is required.
    pub requirement: String,
    /// Where that is written.
    pub source: String,
    /// MUST, SHOULD, MAY.
    pub level: String,
    /// How far it is.
    pub status: Status,
    /// Why it is not further.
    pub reason: String,
}

/// Reads every row of the table.
///
/// # Errors
/// When a line that begins like a row is not one, or an id stands twice. The message names the line.
pub fn read(table: &str) -> Result<Vec<Row>, String> {
    let mut rows: Vec<Row> = Vec::new();
    let mut area = String::new();
    for (index, line) in table.lines().enumerate() {
        if let Some(heading) = line.strip_prefix("## ") {
            area = heading.to_owned();
        } else if let Some(row) =
            row_of(line, &area).map_err(|error| format!("line {}: {error}", index + 1))?
        {
            if rows.iter().any(|other| other.id == row.id) {
                return Err(format!("line {}: {} stands twice", index + 1, row.id));
            }
            rows.push(row);
        }
    }
    Ok(rows)
}

/// Writes the table with the status that `decide` gives each row; everything else stays byte for byte.
pub fn rewrite(table: &str, decide: impl Fn(&Row) -> Status) -> String {
    let mut written = String::with_capacity(table.len());
    for line in table.lines() {
        match row_of(line, "") {
            Ok(Some(row)) => written.push_str(&print(&row, decide(&row))),
            _ => written.push_str(line),
        }
        written.push('\n');
    }
    written
}

/// Splits text such as `REG-07` into area and number; `None` for anything else.
pub fn id_parts(text: &str) -> Option<(&str, u32)> {
    let (area, number) = text.split_once('-')?;
    let named = area.len() == 3 && area.bytes().all(|byte| byte.is_ascii_uppercase());
    let counted = !number.is_empty() && number.len() <= 3 && number.bytes().all(|byte| byte.is_ascii_digit());
    if named && counted { Some((area, number.parse().ok()?)) } else { None }
}

fn row_of(line: &str, area: &str) -> Result<Option<Row>, String> {
    let Some(cells) = line.strip_prefix("| ").and_then(|rest| rest.strip_suffix('|')) else {
        return Ok(None);
    };
    let cells: Vec<&str> = cells.split(" | ").map(str::trim).collect();
    if id_parts(cells[0]).is_none() {
        return Ok(None);
    }
    let [id, requirement, source, level, status, reason] = cells[..] else {
        return Err(format!("{} has {} cells, expected 6", cells[0], cells.len()));
    };
    Ok(Some(Row {
        id: id.to_owned(),
        area: area.to_owned(),
        requirement: requirement.to_owned(),
        source: source.to_owned(),
        level: level.to_owned(),
        status: status_of(status).ok_or_else(|| {
            format!("{id}: status {status:?}, expected \"proved\", \"partly\" or \"later issue\"")
        })?,
        reason: reason.to_owned(),
    }))
}

fn status_of(text: &str) -> Option<Status> {
    [Status::Proved, Status::Partly, Status::Later].into_iter().find(|status| status.to_string() == text)
}

fn print(row: &Row, status: Status) -> String {
    // A reason says why a row is not proved, so a proved row has none.
    let reason = if status == Status::Proved { "" } else { &row.reason };
    format!("| {} | {} | {} | {} | {status} | {reason} |", row.id, row.requirement, row.source, row.level)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "# Head\n\n## Registrar\n\n| ID | R | S | L | Status | Reason |\n|---|---|---|---|---|---|\n\
        | REG-01 | R-URI is a domain | 3261 10.2 | MUST | later issue | not yet |\n\
        | REG-02 | Order of checks | 3261 10.3 | MUST | partly | no 404 |\n";

    #[test]
    fn rows_are_read_with_the_heading_they_stand_under() {
        let rows = read(TABLE).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[1].id.as_str(), rows[1].area.as_str()), ("REG-02", "Registrar"));
        assert_eq!((rows[1].status, rows[1].reason.as_str()), (Status::Partly, "no 404"));
    }

    #[test]
    fn a_row_with_too_few_cells_is_an_error_that_names_the_line() {
        let error = read("## A\n| REG-01 | text | MUST | proved |\n").unwrap_err();
        assert_eq!(error, "line 2: REG-01 has 4 cells, expected 6");
    }

    #[test]
    fn an_unknown_status_is_an_error() {
        let error = read("| REG-01 | a | b | MUST | done |  |\n").unwrap_err();
        assert!(error.contains("status \"done\""), "{error}");
    }

    #[test]
    fn an_id_that_stands_twice_is_an_error() {
        let twice = "| REG-01 | a | b | MUST | proved |  |\n| REG-01 | a | b | MUST | proved |  |\n";
        assert_eq!(read(twice).unwrap_err(), "line 2: REG-01 stands twice");
    }

    #[test]
    fn rewriting_changes_the_status_column_only_and_drops_the_reason_of_a_proved_row() {
        let same = rewrite(TABLE, |row| row.status);
        assert_eq!(same, TABLE);
        let proved = rewrite(TABLE, |_| Status::Proved);
        assert_eq!(
            proved,
            TABLE
                .replace("later issue | not yet |", "proved |  |")
                .replace("partly | no 404 |", "proved |  |")
        );
    }

    #[test]
    fn only_three_capitals_and_a_number_are_an_id() {
        assert_eq!(id_parts("REG-07"), Some(("REG", 7)));
        assert_eq!(
            [id_parts("RFC-3261"), id_parts("SHA-256"), id_parts("Reg-07")],
            [None, Some(("SHA", 256)), None]
        );
    }
}
