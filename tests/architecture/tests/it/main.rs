//! Holds the workspace against the rules. Every breach is printed, with what to do.

mod files;
mod imports;

/// Fails with all breaches at once.
fn none_of(title: &str, breaches: Vec<String>) {
    assert!(breaches.is_empty(), "{title}:\n  {}\n", breaches.join("\n  "));
}
