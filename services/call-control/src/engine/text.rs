//! Small rules about header text.

/// The text without characters that could end a header line.
pub fn one_line(value: &str) -> String {
    value.chars().filter(|c| !matches!(c, '\r' | '\n' | '\0')).collect()
}

/// Whether a list of option tags, methods or types names `wanted`; names are compared without regard to case.
pub fn lists(list: &[String], wanted: &str) -> bool {
    list.iter().any(|entry| entry.trim().eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_start_another_line() {
        assert_eq!(one_line("x\r\nEvil: 1\0"), "xEvil: 1");
    }
}
