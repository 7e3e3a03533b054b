//! Draws columns and arrows.

use std::fmt::Write as _;
use std::time::Duration;

/// A message between two columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrow {
    /// Column it leaves.
    pub from: usize,
    /// Column it reaches.
    pub to: usize,
    /// What stands on it.
    pub label: String,
}

/// One line of a ladder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A message, at this time after the first.
    Message(Duration, Arrow),
    /// A decision, told at a column.
    Decision(Duration, usize, String),
}

const TIME: usize = 9;
const WIDEST: usize = 58;
/// Longest decision that is shown as a whole.
const LONGEST: usize = 120;

/// Draws `entries` under the names in `columns`; at least one column.
pub fn draw(columns: &[String], entries: &[Entry]) -> String {
    let gap = gap(columns, entries);
    let mut out = String::new();
    let mut head = vec![' '; TIME + gap * columns.len() + 2];
    for (i, name) in columns.iter().enumerate() {
        let middle = TIME + gap / 2 + i * gap;
        put(&mut head, middle.saturating_sub(name.chars().count() / 2), name);
    }
    line(&mut out, &head);
    for entry in entries {
        let mut row = rails(columns.len(), gap);
        match entry {
            Entry::Message(at, arrow) => {
                put(&mut row, 0, &format!("{:>8.3}", at.as_secs_f64()));
                draw_arrow(&mut row, arrow, gap);
            }
            Entry::Decision(at, column, text) => {
                put(&mut row, 0, &format!("{:>8.3}", at.as_secs_f64()));
                put_beyond(&mut row, rail(*column, gap) + 2, &format!("· {text}"));
            }
        }
        line(&mut out, &row);
    }
    out
}

fn gap(columns: &[String], entries: &[Entry]) -> usize {
    let label = |e: &Entry| match e {
        Entry::Message(_, arrow) => arrow.label.chars().count() / arrow.from.abs_diff(arrow.to).max(1) + 8,
        Entry::Decision(..) => 0,
    };
    let widest = entries.iter().map(label).chain(columns.iter().map(|c| c.chars().count() + 2)).max();
    widest.unwrap_or(0).clamp(20, WIDEST)
}

fn rail(column: usize, gap: usize) -> usize {
    TIME + gap / 2 + column * gap
}

fn rails(columns: usize, gap: usize) -> Vec<char> {
    let mut row = vec![' '; TIME + gap * columns + 2];
    for column in 0..columns {
        row[rail(column, gap)] = '│';
    }
    row
}

fn draw_arrow(row: &mut [char], arrow: &Arrow, gap: usize) {
    let (a, b) = (rail(arrow.from, gap), rail(arrow.to, gap));
    let (left, right) = (a.min(b), a.max(b));
    for cell in &mut row[left + 1..right] {
        *cell = '─';
    }
    if left == right {
        put(row, left + 2, &format!("↺ {}", arrow.label));
        return;
    }
    row[if a < b { right - 1 } else { left + 1 }] = if a < b { '▶' } else { '◀' };
    let room = right - left - 5;
    let label: String = format!(" {} ", arrow.label).chars().take(room).collect();
    put(row, left + (right - left - label.chars().count()).div_ceil(2), &label);
}

fn put(row: &mut [char], at: usize, text: &str) {
    for (cell, c) in row.iter_mut().skip(at).zip(text.chars()) {
        *cell = c;
    }
}

/// As [`put`], with more room to the right where the drawing ends.
fn put_beyond(row: &mut Vec<char>, at: usize, text: &str) {
    let text: String = text.chars().take(LONGEST).collect();
    row.resize(row.len().max(at + text.chars().count()), ' ');
    put(row, at, &text);
}

fn line(out: &mut String, row: &[char]) {
    let text: String = row.iter().collect();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}", text.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_run_between_their_columns_in_their_direction() {
        let columns = ["alice".to_string(), "carillon".to_string()];
        let arrow = |from, to, label: &str| {
            Entry::Message(Duration::from_millis(5), Arrow { from, to, label: label.into() })
        };
        let text = draw(&columns, &[arrow(1, 0, "INVITE"), arrow(0, 1, "200 OK")]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("alice") && lines[0].contains("carillon"));
        assert!(lines[1].contains("◀─") && lines[1].contains(" INVITE ") && lines[1].contains("0.005"));
        assert!(lines[2].contains("─▶") && lines[2].contains(" 200 OK "));
    }

    #[test]
    fn a_decision_at_the_last_column_is_shown_as_a_whole() {
        let words = "registrar: fork to 2 targets (contact: sip:a@h, sip:b@h)";
        let text = draw(&["a".to_string()], &[Entry::Decision(Duration::ZERO, 0, words.into())]);
        assert!(text.contains(words), "{text}");
    }

    #[test]
    fn a_label_longer_than_the_room_is_cut_not_overflowing() {
        let columns = ["a".to_string(), "b".to_string()];
        let arrow = Arrow { from: 0, to: 1, label: "x".repeat(500) };
        let text = draw(&columns, &[Entry::Message(Duration::ZERO, arrow)]);
        assert!(text.lines().all(|l| l.chars().count() < 2 * WIDEST + TIME + 3));
    }
}
