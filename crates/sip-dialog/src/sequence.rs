//! In which order the requests of the peer are taken.

/// Whether the peer's number is above the last one taken; gaps are fine. What is not gets 500. ACK and CANCEL repeat the number
/// of their INVITE and are not asked about. RFC 3261 12.2.2
pub fn is_in_order(last: Option<u32>, number: u32) -> bool {
    last.is_none_or(|last| number > last)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// UAC-09
    #[test]
    fn numbers_rise_and_may_leave_gaps() {
        assert!(is_in_order(None, 0));
        assert!(is_in_order(Some(7), 8));
        assert!(is_in_order(Some(7), 20));
        assert!(!is_in_order(Some(7), 7));
        assert!(!is_in_order(Some(7), 6));
        assert!(!is_in_order(Some(u32::MAX), 0));
    }
}
